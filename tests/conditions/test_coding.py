"""The label's coding: nuclei -> channels -> nuclei."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from nucleosynth.conditions.coding import CodingSettings, LabelCoding, resize_channels
from nucleosynth.data.reader import read
from nucleosynth.metrics.instance import scores
from nucleosynth.sample import Sample, transform_array


@pytest.fixture(scope="module")
def tiles() -> list[Sample]:
    return list(read("phantom:tiles=3&size=128&sources=3"))


@pytest.fixture(scope="module")
def coding(tiles: list[Sample]) -> LabelCoding:
    return LabelCoding(tuple(range(1, len(tiles[0].class_names) + 1)))


def test_round_trip_on_drawn_tissue(tiles: list[Sample], coding: LabelCoding) -> None:
    for tile in tiles:
        instances, classes = coding.decode(coding.encode(tile.instances, tile.classes), smooth_px=0)
        assert scores(tile.instances, instances)["aji"] > 0.99
        found = np.concatenate([[0], classes])[instances]
        true = np.concatenate([[0], tile.classes])[tile.instances]
        both = (found > 0) & (true > 0)
        assert np.mean(found[both] == true[both]) > 0.99


def test_round_trip_survives_noise_and_zoom(tiles: list[Sample], coding: LabelCoding) -> None:
    tile = tiles[0]
    maps = coding.encode(tile.instances, tile.classes)
    noisy = maps + np.random.default_rng(0).normal(0, 0.1, maps.shape).astype(np.float32)
    assert scores(tile.instances, coding.decode(noisy)[0])["aji"] > 0.9
    large, _ = coding.decode(resize_channels(maps, (256, 256)), zoom=2.0)
    assert large.shape == (256, 256)
    assert scores(np.kron(tile.instances, np.ones((2, 2), np.int32)), large)["aji"] > 0.9


@pytest.mark.parametrize("symmetry", range(8))
def test_symmetries_are_exact(tiles: list[Sample], coding: LabelCoding, symmetry: int) -> None:
    tile = tiles[1]
    turned = coding.transform(coding.encode(tile.instances, tile.classes), symmetry)
    direct = coding.encode(transform_array(tile.instances, symmetry), tile.classes)
    assert_allclose(turned, direct, atol=1e-6)


def test_channels_have_their_ranges(tiles: list[Sample], coding: LabelCoding) -> None:
    maps = coding.encode(tiles[0].instances, tiles[0].classes)
    assert maps.shape == (coding.channels, 128, 128)
    assert maps.dtype == np.float32
    inside = tiles[0].instances > 0
    assert_array_equal(maps[0] > 0, inside)
    assert set(np.unique(maps[1:-2])) <= {-1.0, 1.0}
    assert_array_equal(maps[1:-2].max(axis=0) > 0, inside)
    assert not maps[-2:, ~inside].any()


def test_nuclei_of_unknown_type_have_no_class(coding: LabelCoding) -> None:
    instances = np.zeros((16, 16), np.int32)
    instances[2:8, 2:8], instances[9:15, 9:15] = 1, 2
    maps = coding.encode(instances, np.array([0, 2], np.uint8))
    assert not maps[1:-2, 4, 4].any()
    assert_array_equal(maps[1:-2, 11, 11], [-1, 1, -1, -1])


def test_one_class_needs_no_channel() -> None:
    coding = LabelCoding((3,))
    assert coding.channels == 3
    instances = np.zeros((16, 16), np.int32)
    instances[2:9, 2:9] = 1
    found, classes = coding.decode(coding.encode(instances, np.array([3], np.uint8)), smooth_px=0)
    assert_array_equal(found, instances)
    assert_array_equal(classes, [3])


def test_an_empty_tile_comes_back_empty(coding: LabelCoding) -> None:
    empty = np.zeros((16, 16), np.int32)
    instances, classes = coding.decode(coding.encode(empty, np.zeros(0, np.uint8)))
    assert not instances.any()
    assert len(classes) == 0


def test_nuclei_cut_by_the_border_stay_apart(coding: LabelCoding) -> None:
    """Their centres lie outside; votes need room there."""
    whole = np.zeros((40, 40), np.int32)
    whole[2:14, 4:12], whole[2:14, 14:22] = 1, 2
    maps = coding.encode(whole, np.array([1, 2], np.uint8))[:, 10:, :]
    instances, classes = coding.decode(maps, smooth_px=0)
    assert_array_equal(instances, whole[10:])
    assert_array_equal(classes, [1, 2])


@pytest.mark.parametrize("outline", ["distance", "mask"])
@pytest.mark.parametrize("kinds", ["levels", "bits"])
def test_every_coding_comes_back(tiles: list[Sample], outline: str, kinds: str) -> None:
    settings = CodingSettings.model_validate({"outline": outline, "classes": kinds})
    coding = LabelCoding(tuple(range(1, len(tiles[0].class_names) + 1)), settings)
    for tile in tiles:
        maps = coding.encode(tile.instances, tile.classes)
        instances, classes = coding.decode(maps, smooth_px=0)
        assert scores(tile.instances, instances)["aji"] > 0.98
        for k, kind in enumerate(classes):
            true = tile.instances[instances == k + 1]
            ids, pixels = np.unique(true[true > 0], return_counts=True)
            assert kind == tile.classes[ids[pixels.argmax()] - 1]


@pytest.mark.parametrize("classes", [(1, 2, 3, 4), (2, 5, 9), (1, 2, 3, 4, 5, 6, 7), (3, 7)])
def test_bits_tell_as_many_classes_apart_as_there_are(classes: tuple[int, ...]) -> None:
    coding = LabelCoding(classes, CodingSettings(classes="bits"))
    assert coding.channels == 3 + math.ceil(math.log2(1 + len(classes)))
    assert len({tuple(code) for code in coding.codes}) == 1 + len(classes)
    assert_array_equal(coding.codes[0], -1)
    instances = np.zeros((16, 16 * len(classes)), np.int32)
    for k in range(len(classes)):
        instances[3:12, 16 * k + 3 : 16 * k + 12] = k + 1
    found, kinds = coding.decode(coding.encode(instances, np.array(classes, np.uint8)), smooth_px=0)
    assert_array_equal(found, instances)
    assert_array_equal(kinds, classes)


@pytest.mark.parametrize("kinds", ["levels", "bits"])
def test_unknown_types_are_neither_background_nor_a_class(kinds: str) -> None:
    """0 between the two values of every channel; a class that training never saw is of unknown type too."""
    coding = LabelCoding((1, 2, 5), CodingSettings.model_validate({"classes": kinds, "class_level": 0.5}))
    instances = np.zeros((8, 8), np.int32)
    instances[1:4, 1:4], instances[5:8, 5:8] = 1, 2
    maps = coding.encode(instances, np.array([0, 5], np.uint8))
    assert not maps[1:-2, 2, 2].any()
    assert set(np.unique(maps[1:-2, 6, 6])) <= {-0.5, 0.5}
    assert (maps[1:-2, 6, 6] > 0).any()
    assert_array_equal(maps[1:-2, 0, 0], -0.5)


@pytest.mark.parametrize(("classes", "apart"), [((), ()), ((3,), ()), ((3, 4), (3, 4))])
def test_one_class_is_not_told_apart(classes: tuple[int, ...], apart: tuple[int, ...]) -> None:
    for kinds in ("levels", "bits"):
        coding = LabelCoding(classes, CodingSettings.model_validate({"classes": kinds}))
        assert (coding.told_apart, coding.channels) == (apart, 3 + len(apart))
        assert coding.codes.shape == (1 + len(apart), len(apart))


def test_a_mask_is_one_inside_and_minus_one_outside(tiles: list[Sample]) -> None:
    maps = LabelCoding((1, 2, 3, 4), CodingSettings(outline="mask")).encode(tiles[0].instances, tiles[0].classes)
    assert_array_equal(maps[0], np.where(tiles[0].instances > 0, 1, -1))
