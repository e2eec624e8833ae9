"""The label's coding: nuclei -> channels -> nuclei."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from nucleosynth.conditions.coding import LabelCoding, resize_channels
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
