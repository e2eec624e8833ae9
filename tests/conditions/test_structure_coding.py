"""NuDiff's structures: nuclei -> channels -> nuclei, on drawn nuclei of known shape and on real labels."""

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from nucleosynth.conditions import structure
from nucleosynth.conditions.slots import Slots
from nucleosynth.conditions.structure_coding import REACH_UM, StructureCoding, Vectors
from nucleosynth.data.reader import read
from nucleosynth.data.tiles import resample
from nucleosynth.errors import UserError
from nucleosynth.metrics.instance import scores
from nucleosynth.sample import Sample, transform_array, without_gaps

CODINGS: tuple[Vectors, ...] = ("hv", "released", "offsets")


@pytest.fixture(scope="module")
def cells() -> Sample:
    """Ellipses of every class and of none in 96^2 px, most of them touching."""
    y, x = np.mgrid[:96, :96]
    instances = np.zeros((96, 96), np.int32)
    for k, (top, left) in enumerate((top, left) for top in range(12, 96, 24) for left in range(10, 96, 18)):
        free = ((x - left) / 10) ** 2 + ((y - top) / 12.5) ** 2 <= 1
        instances[free & (instances == 0)] = k + 1
    classes = (np.arange(instances.max()) % 4).astype(np.uint8)
    instances, classes = without_gaps(instances, classes)
    image = np.zeros((96, 96, 3), np.uint8)
    return Sample("cells", image, instances, classes, ("a", "b", "c"), "drawn", mpp=0.25)


def aji(coding: StructureCoding, tile: Sample) -> float:
    return scores(tile.instances, coding.decode(coding.encode(tile.instances, tile.classes))[0])["aji"]


@pytest.mark.parametrize("coding", CODINGS)
def test_drawn_nuclei_come_back_with_their_classes(cells: Sample, coding: Vectors) -> None:
    found = StructureCoding(Slots((1, 2, 3)), coding)
    instances, classes = found.decode(found.encode(cells.instances, cells.classes))
    assert scores(cells.instances, instances)["aji"] > 0.98
    for k in range(1, instances.max() + 1):
        true = cells.classes[np.bincount(cells.instances[instances == k]).argmax() - 1]
        assert true in (0, classes[k - 1])


def test_channels_are_as_documented(cells: Sample) -> None:
    several = StructureCoding(Slots((1, 3)))
    maps = several.encode(cells.instances, cells.classes)
    assert maps.shape == (several.channels, 96, 96) == (5, 96, 96)
    assert maps.dtype == np.float32
    assert_array_equal(maps[0], np.where(cells.instances > 0, -1, 1))
    kinds = np.concatenate([[0], cells.classes])[cells.instances]
    assert_array_equal(maps[1] == 1, kinds == 1)
    assert_array_equal(maps[2] == 1, kinds == 3)
    slotless = (cells.instances > 0) & ~np.isin(kinds, (1, 3))
    assert not maps[1:3, slotless].any()
    known = several.known(cells.instances, cells.classes)
    assert_array_equal(known[1:3] == 0, np.stack([slotless] * 2))
    assert known[[0, 3, 4]].all()
    one = StructureCoding(Slots(())).encode(cells.instances, cells.classes)
    assert_array_equal(one[0], np.where(cells.instances > 0, 1, -1))
    assert_array_equal(one[1:], maps[3:])


@pytest.mark.parametrize("coding", CODINGS)
def test_all_channels_keep_within_one(cells: Sample, coding: Vectors) -> None:
    large = np.ones((96, 96), np.int32)
    for instances in (cells.instances, large):
        maps = StructureCoding(Slots(()), coding, 0.5).encode(instances, np.zeros(instances.max(), np.uint8))
        assert np.abs(maps).max() <= 1


def test_offsets_are_in_micrometres(cells: Sample) -> None:
    left = np.argwhere(cells.instances == 7)[0]
    for mpp in (0.25, 0.5):
        maps = StructureCoding(Slots(()), "offsets", mpp).encode(cells.instances, cells.classes)
        centre = np.argwhere(cells.instances == 7).mean(axis=0)
        assert_allclose(maps[-1, left[0], left[1]], ((centre - left)[0] * mpp / REACH_UM).clip(-1, 1), rtol=1e-5)


def test_small_nuclei_have_no_hv_where_so_asked() -> None:
    instances = np.zeros((16, 16), np.int32)
    instances[1:6, 1:7], instances[9:13, 1:8] = 1, 2  # 30 and 28 px
    maps = StructureCoding(Slots(()), "hv", 0.25, vectors_from_um2=1.875).encode(instances, np.zeros(2, np.uint8))
    assert not maps[1:, instances == 2].any()
    np.testing.assert_array_equal(maps[1:, instances == 1], structure.hv(instances)[:, instances == 1])


@pytest.mark.parametrize("coding", ["hv", "offsets"])
@pytest.mark.parametrize("symmetry", range(8))
def test_turned_tiles_have_exact_vectors(cells: Sample, coding: Vectors, symmetry: int) -> None:
    assert aji(StructureCoding(Slots(()), coding), cells.transform(symmetry)) > 0.98


def test_eight_readings_mend_what_flips_without_vectors_break(cells: Sample) -> None:
    right = StructureCoding(Slots(())).encode(cells.instances, cells.classes)
    wrong = np.stack([transform_array(channel, 5) for channel in right])
    true = transform_array(cells.instances, 5)
    one, eight = (StructureCoding(Slots(()), hypotheses=count).decode(wrong)[0] for count in (1, 8))
    assert scores(true, one)["aji"] < 0.3
    assert scores(true, eight)["aji"] > 0.98


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("classes", [(), (1, 2)])
def test_an_empty_structure_has_no_nuclei(coding: Vectors, classes: tuple[int, ...]) -> None:
    empty = np.zeros((40, 33), np.int32)
    for hypotheses in (1, 8):
        found = StructureCoding(Slots(classes), coding, hypotheses=hypotheses)  # type: ignore[arg-type]
        instances, kinds = found.decode(found.encode(empty, np.zeros(0, np.uint8)))
        assert_array_equal(instances, empty)
        assert (instances.dtype, len(kinds)) == (np.int32, 0)


def test_noise_in_the_channels_is_read_through(cells: Sample) -> None:
    coding = StructureCoding(Slots((1, 2, 3)), "offsets")
    maps = coding.encode(cells.instances, cells.classes)
    noisy = maps + np.random.default_rng(0).normal(0, 0.1, maps.shape).astype(np.float32)
    noisy[1:-2] -= 5  # classes are compared, not thresholded
    instances, classes = coding.decode(noisy)
    assert scores(cells.instances, instances)["aji"] > 0.9
    assert (classes > 0).all()


def test_a_class_is_the_channel_that_is_highest_in_a_nucleus() -> None:
    coding = StructureCoding(Slots((2, 5)))
    instances = np.zeros((40, 40), np.int32)
    instances[5:30, 5:30] = 1
    maps = coding.encode(instances, np.array([2], np.uint8))
    maps[2, 5:12, 5:30] = 3.0
    assert coding.decode(maps)[1].tolist() == [2]
    maps[2, 5:20, 5:30] = 3.0
    assert coding.decode(maps)[1].tolist() == [5]


def test_the_condition_is_zero_or_one_with_clean_vectors(cells: Sample) -> None:
    coding = StructureCoding(Slots((1, 2, 3)))
    maps = coding.encode(cells.instances, cells.classes)
    given = coding.as_condition(maps)
    assert_array_equal(given[:-2], coding.slots.onehot(cells.instances, cells.classes))
    assert_array_equal(given[-2:], maps[-2:])
    noisy = maps + np.random.default_rng(0).normal(0, 0.2, maps.shape).astype(np.float32)
    again = coding.as_condition(noisy)
    assert set(np.unique(again[:-2])) == {0, 1}
    assert not again[-2:, cells.instances == 0].any()
    assert again[-2:, cells.instances > 0].all()


def test_a_picture_shows_nuclei_and_their_vectors(cells: Sample) -> None:
    coding = StructureCoding(Slots((1, 2, 3)))
    picture = coding.picture(coding.encode(cells.instances, cells.classes))
    assert (picture.shape, picture.dtype) == ((96, 96, 3), np.uint8)
    inside = cells.instances > 0
    assert picture[inside].max(axis=1).min() == 255
    assert picture[~inside].max() < 30
    right, left = picture[36, 17].astype(int), picture[36, 3].astype(int)  # of a nucleus with its centre at (36, 10)
    assert right.argmax() == 0 != left.argmax()
    assert picture[36, 10].min() > 200


def test_channels_that_are_not_finite_are_refused() -> None:
    for coding in CODINGS:
        with pytest.raises(UserError, match="not finite"):
            StructureCoding(Slots(()), coding).decode(np.full((3, 20, 20), np.nan, np.float32))


def test_what_real_labels_lose(shared: Path) -> None:
    tiles = list(read(f"consep:{shared / 'data' / 'consep'}", "test"))[:3]
    slots = Slots.of(tiles)
    for mpp, least in ((0.25, {"hv": 0.8, "offsets": 0.97}), (0.5, {"hv": 0.87, "offsets": 0.96})):
        at = [resample(tile, mpp) for tile in tiles]
        for coding, value in least.items():
            found = StructureCoding(slots, coding, mpp)  # type: ignore[arg-type]
            assert np.mean([aji(found, tile) for tile in at]) > value
