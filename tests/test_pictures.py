"""Pictures: outlines lie where nuclei end, in the colours of their classes."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from drawn import CLASS_NAMES, drawn_sample
from nucleosynth.pictures import class_colours, contact_sheet, enlarged, outlined, outlines, write_contact_sheet


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
