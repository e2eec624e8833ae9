"""Instance separation: what each algorithm can and cannot tell apart, on drawn nuclei; symmetries; empty maps."""

import math

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from nucleosynth.errors import UserError
from nucleosynth.metrics.separation import separation
from nucleosynth.sample import transform_array

Map = NDArray[np.int32]


def discs(*centres: tuple[int, int], radius: int = 9) -> Map:
    rows, columns = np.mgrid[:64, :64]
    labels = np.zeros((64, 64), np.int32)
    for k, (y, x) in enumerate(centres, start=1):
        labels[((rows - y) ** 2 + (columns - x) ** 2 <= radius**2) & (labels == 0)] = k
    return labels


def classes(*values: int) -> NDArray[np.uint8]:
    return np.array(values, np.uint8)


def test_nuclei_that_lie_apart_come_back_whole() -> None:
    assert separation(discs((16, 16), (45, 45)), classes(1, 2)) == {
        "connected_components": 1,
        "hover": pytest.approx(1, abs=0.03),
        "points": 1,
    }


def test_touching_nuclei_are_one_component_unless_their_classes_differ() -> None:
    touching = discs((30, 20), (30, 38))
    areas = np.bincount(touching.ravel())[1:]
    found = separation(touching, classes(1, 1))
    best = [2 * area / (areas.sum() + area) for area in areas]
    assert found["connected_components"] == pytest.approx(np.mean(best))
    assert min(found["hover"], found["points"]) > 0.95
    assert separation(touching, classes(1, 2))["connected_components"] == 1
    assert separation(touching, classes(1, 0))["connected_components"] == 1  # unknown type is a class like any other


def test_a_nucleus_in_two_pieces_is_as_good_as_its_larger_one() -> None:
    labels = np.zeros((64, 64), np.int32)
    labels[10:20, 10:20], labels[10:20, 30:50] = 4, 4
    found = separation(labels, classes(1))
    assert found["connected_components"] == found["points"] == pytest.approx(2 * 200 / (200 + 300))


def test_a_nucleus_below_the_published_size_is_lost_to_hover() -> None:
    labels = np.zeros((64, 64), np.int32)
    labels[30:33, 30:33] = 1
    assert separation(labels, classes(1)) == {"connected_components": 1, "hover": 0, "points": 1}


@pytest.mark.parametrize("symmetry", range(8))
def test_symmetries_and_ids_with_gaps(symmetry: int) -> None:
    labels = discs((20, 20), (20, 37), (50, 60))
    names, types = np.array([0, 40, 7, 900]), {40: 1, 7: 1, 900: 2}
    found = separation(transform_array(names[labels], symmetry), classes(*(types[k] for k in sorted(types))))
    plain = separation(labels, classes(1, 1, 2))
    assert found["connected_components"] == pytest.approx(plain["connected_components"])
    # Floods break ties by raster order, so that pixels on a watershed may change sides.
    assert found["hover"] == pytest.approx(plain["hover"], abs=0.01)
    assert found["points"] == pytest.approx(plain["points"], abs=0.01)


@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (12, 15)])
def test_an_empty_map_gives_nan_and_the_input_stays(shape: tuple[int, int]) -> None:
    empty = np.zeros(shape, np.int32)
    assert all(math.isnan(value) for value in separation(empty, classes()).values())
    labels = discs((20, 20), (20, 37))
    before = labels.copy()
    separation(labels, classes(1, 1))
    assert_array_equal(labels, before)


@pytest.mark.parametrize("types", [(), (1, 1), (255,)])
def test_classes_that_do_not_fit_are_refused(types: tuple[int, ...]) -> None:
    with pytest.raises(UserError):
        separation(discs((20, 20)), classes(*types))
