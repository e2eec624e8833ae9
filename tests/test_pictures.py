"""Pictures: outlines lie where nuclei end, in the colours of their classes."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from drawn import CLASS_NAMES, drawn_sample
from nucleosynth.pictures import (
    COLOURS,
    class_colours,
    contact_sheet,
    enlarged,
    enlarged_label,
    outlined,
    outlines,
    write_contact_sheet,
    write_paletted,
    write_png,
)


@pytest.mark.parametrize("count", [0, 1, 8, 9, 40])
def test_colours_are_distinct(count: int) -> None:
    colours = class_colours(count)
    assert colours.shape == (count + 1, 3)
    assert colours.dtype == np.uint8
    assert len({tuple(colour) for colour in colours.tolist()}) == count + 1
    assert_array_equal(colours[: min(count, 8) + 1], class_colours(40)[: min(count, 8) + 1])


def test_outlines_are_the_rim_of_each_nucleus() -> None:
    instances = np.zeros((7, 9), np.int32)
    instances[1:6, 1:5], instances[1:6, 5:8] = 1, 2
    rim = np.zeros((7, 9), bool)
    rim[1:6, 1:8] = True
    rim[2:5, 2:4] = rim[2:5, 6:7] = False
    assert_array_equal(outlines(instances), rim)


def test_an_outlined_picture_differs_on_the_outlines_alone() -> None:
    sample, colours = drawn_sample(), class_colours(3)
    picture = outlined(sample.image, sample.instances, sample.classes, colours)
    edge = outlines(sample.instances)
    assert_array_equal(picture[~edge], sample.image[~edge])
    assert_array_equal(picture[edge], colours[sample.classes[sample.instances[edge] - 1]])


def test_an_enlarged_outline_stays_one_pixel_wide() -> None:
    sample = drawn_sample(
        instances=np.pad(np.ones((10, 12), np.int32), ((10, 20), (10, 26))), classes=np.array([2], np.uint8)
    )
    picture = outlined(sample.image, sample.instances, sample.classes, class_colours(3), factor=4)
    changed = (picture != enlarged(sample.image, 4)).any(axis=2)
    assert picture.shape == (160, 192, 3)
    assert not changed[42:78, 42:86].any()
    assert changed[40, 40:88].all()
    assert changed.sum() <= 2 * (40 + 48) - 4


def test_a_sheet_holds_each_tile_as_it_is_and_names_the_classes(tmp_path: Path) -> None:
    samples = [drawn_sample(k) for k in range(3)] + [drawn_sample(3, size=(300, 40))]
    sheet = contact_sheet(samples, columns=2, cell_px=100)
    assert sheet.dtype == np.uint8
    for sample in samples[:3]:
        wanted = enlarged(sample.image, 2)
        found = cv2.matchTemplate(sheet, wanted, cv2.TM_SQDIFF)
        assert found.min() <= 1e-3 * wanted.size
    for colour in class_colours(len(CLASS_NAMES))[1:]:
        assert (sheet[-20:] == colour).all(axis=2).sum() > 50
    write_contact_sheet(tmp_path / "sheet.png", samples)
    assert_array_equal(cv2.imread(str(tmp_path / "sheet.png"))[..., ::-1], contact_sheet(samples))


def test_one_tile_without_nuclei_can_be_shown() -> None:
    empty = drawn_sample(instances=np.zeros((40, 48), np.int32), classes=np.zeros(0, np.uint8))
    assert contact_sheet([empty]).any()


def test_an_enlarged_label_is_the_same_nuclei_rounded() -> None:
    y, x = np.mgrid[:40, :40]
    label = np.zeros((40, 40), np.int32)
    label[(x - 15) ** 2 + (y - 15) ** 2 <= 64] = 1
    label[(x - 30) ** 2 + (y - 22) ** 2 <= 49] = 3
    large = enlarged_label(label, 4)
    rough = label.repeat(4, axis=0).repeat(4, axis=1)
    assert large.shape == rough.shape
    assert set(np.unique(large)) == {0, 1, 3}
    assert (large != rough).mean() < 0.02
    # Nearer to the circle of the same area than the steps are.
    v, u = np.mgrid[:160, :160]
    circle = (u - 61.5) ** 2 + (v - 61.5) ** 2 <= (rough == 1).sum() / np.pi
    assert ((large == 1) != circle).sum() < 0.6 * ((rough == 1) != circle).sum()
    assert_array_equal(enlarged_label(label, 1), label)


def test_no_nucleus_is_lost_by_rounding_and_touching_ones_still_touch() -> None:
    label = np.zeros((12, 12), np.int32)
    label[0, 0], label[5, 5], label[8, 2:10] = 1, 2, 3
    label[1:4, 4:8], label[1:4, 8:12] = 4, 5
    large = enlarged_label(label, 3)
    assert set(np.unique(large)) == set(range(6))
    assert (large[8, 12:] > 0).all()
    assert not enlarged_label(np.zeros((4, 6), np.int32), 3).any()


def read(path: Path) -> np.ndarray:
    return cv2.imread(str(path))[..., ::-1]


def test_pictures_of_few_colours_are_kept_exactly(tmp_path: Path) -> None:
    picture = class_colours(250)[np.random.default_rng(0).integers(0, 251, (60, 80))]
    write_paletted(tmp_path / "a.png", picture, class_colours(0))
    assert_array_equal(read(tmp_path / "a.png"), picture)


def test_of_many_colours_those_that_were_drawn_are_kept(tmp_path: Path) -> None:
    y, x = np.mgrid[:128, :128]
    wave = 128 + 60 * np.sin(x / 9) * np.cos(y / 7)
    picture = np.stack([wave + x / 4, wave / 2 + y / 3, 200 - wave / 2], axis=2).astype(np.uint8)
    colours, marked = class_colours(8), np.zeros((128, 128), bool)
    # One pixel of a colour that is rare, and lines of others.
    picture[64, 64], picture[:, 10:12], picture[20:22] = colours[4], colours[1], colours[8]
    marked[64, 64] = marked[:, 10:12] = marked[20:22] = True
    write_paletted(tmp_path / "few.png", picture, colours)
    write_png(tmp_path / "all.png", picture)
    found = read(tmp_path / "few.png")
    assert_array_equal(found[marked], picture[marked])
    assert len(np.unique(found.reshape(-1, 3), axis=0)) <= COLOURS
    assert np.abs(found.astype(int) - picture).mean() < 6
    assert (tmp_path / "few.png").stat().st_size < (tmp_path / "all.png").stat().st_size / 2
    first = (tmp_path / "few.png").read_bytes()
    write_paletted(tmp_path / "few.png", picture, colours)
    assert (tmp_path / "few.png").read_bytes() == first


def test_no_drawn_colour_need_occur(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    write_paletted(tmp_path / "a.png", picture, np.zeros((0, 3), np.uint8))
    assert read(tmp_path / "a.png").shape == picture.shape
