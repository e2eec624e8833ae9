"""Shapes of nuclei: drawn ones with known numbers, scikit-image's, symmetries; distances of known shifts."""

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose
from numpy.typing import NDArray
from scipy.spatial import ConvexHull
from skimage.measure import regionprops

from nucleosynth.errors import UserError
from nucleosynth.metrics.shapes import (
    DENSITY,
    FEATURES,
    OF_WHOLE_NUCLEI,
    Label,
    measured,
    shape_distances,
    shapes,
    statistics,
)
from nucleosynth.sample import transform_array

Map = NDArray[np.int32]
MAPS = arrays(np.int32, (9, 7), elements=st.sampled_from([0, 0, 0, 2, 5, 9]), fill=st.nothing())


def drawn(seed: int = 0, size: int = 200, count: int = 30) -> Map:
    """Ellipses, some on others and some over the border."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((size, size), np.int32)
    for k in range(1, count + 1):
        centre, axes = rng.integers(0, size, 2).tolist(), rng.integers(4, 13, 2).tolist()
        cv2.ellipse(labels, centre, axes, int(rng.integers(180)), 0, 360, k, -1)
    return labels


def label(labels: Map, mpp: float = 0.5, *classes: int) -> Label:
    n = len(np.unique(labels[labels > 0]))
    return Label(labels, np.array(classes or [1] * n, np.uint8), mpp)


def test_a_rectangle_has_the_numbers_of_a_rectangle() -> None:
    labels = np.zeros((20, 30), np.int32)
    labels[4:8, 5:15] = 7
    found = {name: float(values[0]) for name, values in shapes(labels, 0.5).items()}
    assert found["area_um2"] == 40 * 0.25
    assert found["diameter_um"] == pytest.approx(math.sqrt(4 * 10 / math.pi))
    assert found["solidity"] == 1
    assert found["eccentricity"] == pytest.approx(math.sqrt(1 - 4**2 / 10**2))  # moments of the rectangle itself
    # Lines along x, y meet 4 and 10 px twice each; along either diagonal 13 lines of spacing 1 / sqrt 2.
    assert found["perimeter_um"] == pytest.approx(0.5 * math.pi / 8 * (8 + 20 + 2 * 26 / math.sqrt(2)))
    assert math.isnan(found["neighbour_um"])


def test_a_disc_is_round_and_as_long_around_as_a_circle() -> None:
    rows, columns = np.mgrid[:101, :101]
    found = shapes(((rows - 50) ** 2 + (columns - 50) ** 2 <= 40**2).astype(np.int32), 0.25)
    assert found["perimeter_um"][0] == pytest.approx(2 * math.pi * 10, rel=0.02)
    assert found["circularity"][0] == pytest.approx(1, abs=0.04)
    assert found["eccentricity"][0] == pytest.approx(0, abs=1e-7)
    assert 0.97 < found["solidity"][0] < 1


def test_the_hull_of_an_l_is_known() -> None:
    labels = np.zeros((9, 9), np.int32)
    labels[2:6, 2] = labels[5, 2:5] = 1  # 4 x 3 px box, 6 px; the hull cuts the corner off
    assert shapes(labels, 1)["solidity"][0] == pytest.approx(6 / (12 - 2 * 3 / 2))


def test_one_pixel() -> None:
    labels = np.zeros((3, 3), np.int32)
    labels[1, 1] = 4
    found = shapes(labels, 1)
    assert (found["area_um2"][0], found["solidity"][0], found["eccentricity"][0]) == (1, 1, 0)


def test_numbers_are_those_of_scikit_image() -> None:
    labels = drawn()
    found = shapes(labels, 1)
    for k, region in enumerate(regionprops(labels)):
        top, left, bottom, right = region.bbox
        if min(top, left) == 0 or max(bottom, right) == 200:
            assert all(math.isnan(found[name][k]) for name in OF_WHOLE_NUCLEI)
            continue
        assert found["area_um2"][k] == region.area
        assert_allclose(found["perimeter_um"][k], region.perimeter_crofton)
        wide, narrow = np.array(region.inertia_tensor_eigvals) + 1 / 12  # pixels are squares here, points there
        assert_allclose(found["eccentricity"][k], math.sqrt(1 - narrow / wide), atol=1e-9)


@settings(deadline=None)
@given(MAPS)
def test_solidity_is_the_area_over_that_of_the_hull_of_all_corners(labels: Map) -> None:
    framed = np.pad(labels, 1)
    found = shapes(framed, 1)["solidity"]
    for k, solidity in zip(np.unique(labels[labels > 0]), found, strict=True):
        pixels = np.argwhere(framed == k)
        corners = np.concatenate([pixels + shift for shift in ((0, 0), (0, 1), (1, 0), (1, 1))])
        assert solidity == pytest.approx(len(pixels) / ConvexHull(corners).volume)


@settings(deadline=None)
@given(MAPS, st.integers(0, 7), st.permutations([2, 5, 9]))
def test_neither_ids_nor_symmetries_matter(labels: Map, symmetry: int, names: list[int]) -> None:
    to = np.zeros(10, np.int32)
    to[[2, 5, 9]] = names
    before, after = shapes(labels, 0.5), shapes(transform_array(to[labels], symmetry), 0.5)
    present = np.unique(labels[labels > 0])
    order = np.argsort(np.argsort(to[present]))
    for name in FEATURES:
        assert_allclose(after[name][order], before[name], rtol=1e-9, atol=1e-9)


@settings(deadline=None)
@given(MAPS)
def test_ranges(labels: Map) -> None:
    found = shapes(np.pad(labels, 1), 0.5)
    assert all(not np.isnan(found[name]).any() for name in OF_WHOLE_NUCLEI)
    assert (found["area_um2"] >= 0.25).all()
    assert ((found["solidity"] > 0) & (found["solidity"] <= 1 + 1e-12)).all()
    assert ((found["eccentricity"] >= 0) & (found["eccentricity"] < 1)).all()


def test_neighbours_are_the_nearest_other_centroids() -> None:
    labels = np.zeros((9, 30), np.int32)
    labels[4, 2], labels[4, 12], labels[4, 28] = 5, 3, 8
    assert_allclose(shapes(labels, 0.5)["neighbour_um"], [5, 5, 8])


def test_statistics_are_by_class_and_density_is_by_tile() -> None:
    labels = np.zeros((20, 30), np.int32)
    labels[3:5, 3:5], labels[10:14, 3:7], labels[10:14, 20:24], labels[0, 0] = 1, 2, 3, 4
    found = statistics([label(labels, 0.5, 1, 2, 2, 0), label(np.zeros((20, 30), np.int32), 0.5)], ["a", "b"])
    assert found["a"]["area_um2"] == pytest.approx({"mean": 1, "sd": math.nan, "median": 1, "n": 1}, nan_ok=True)
    assert found["b"]["area_um2"] == {"mean": 4, "sd": 0, "median": 4, "n": 2}
    assert found["all"]["area_um2"]["n"] == 3  # the one at the border is no whole nucleus ...
    mm2 = 600 * 0.25e-6
    assert found["all"][DENSITY]["mean"] == pytest.approx((4 / mm2 + 0) / 2)  # ... but a nucleus
    assert found["b"][DENSITY]["mean"] == pytest.approx((2 / mm2 + 0) / 2)


def test_the_distance_of_one_set_to_itself_is_0_and_to_a_magnified_one_known() -> None:
    tiles = [label(drawn(seed, count=20 + 5 * seed), 0.25) for seed in range(4)]
    same = shape_distances(tiles, tiles)
    assert all(same[f"all.{name}"] == 0 for name in (*FEATURES, DENSITY))
    assert all(same[f"all.{name}.floor"] > 0 for name in (*FEATURES, DENSITY))
    larger = shape_distances(tiles, [tile._replace(mpp=0.5) for tile in tiles])
    mean = statistics(tiles, [])["all"]["diameter_um"]["mean"]
    assert larger["all.diameter_um"] == pytest.approx(mean)  # each is twice as wide: the mean moves by itself
    assert larger["all.solidity"] == pytest.approx(0, abs=1e-12)
    assert same == shape_distances(tiles, tiles)
    assert same != shape_distances(tiles, tiles, seed=1)


def test_distances_are_by_class_and_nan_without_a_nucleus() -> None:
    tiles = [label(drawn(seed), 0.25, *([1, 2] * 15)) for seed in (0, 1)]
    tiles = [tile._replace(classes=tile.classes[: len(np.unique(tile.instances)) - 1]) for tile in tiles]
    found = shape_distances(tiles, tiles, ["a", "b", "c"])
    assert found["a.area_um2"] == found["b.area_um2"] == 0
    assert math.isnan(found["c.area_um2"])
    assert found["c.per_mm2"] == 0
    empty = shape_distances([label(np.zeros((5, 5), np.int32))], [])
    assert np.isnan(list(empty.values())).all()


@pytest.mark.parametrize("shape", [(4, 5), (0, 5), (0, 0)])
def test_empty_maps(shape: tuple[int, int]) -> None:
    found = shapes(np.zeros(shape, np.int32), 0.25)
    assert list(found) == list(FEATURES)
    assert all(values.shape == (0,) for values in found.values())


@pytest.mark.parametrize("mpp", [0, -1, math.nan, math.inf])
def test_a_resolution_that_is_none_is_refused(mpp: float) -> None:
    with pytest.raises(UserError, match="no resolution"):
        shapes(np.eye(3, dtype=np.int32), mpp)


@pytest.mark.parametrize("names", [["a", "all"], ["a", "a"]])
def test_class_names_that_would_hide_other_numbers_are_refused(names: list[str]) -> None:
    for measure in (lambda: statistics([], names), lambda: shape_distances([], [], names)):
        with pytest.raises(UserError, match="a class name that is taken"):
            measure()


def test_measured_tiles_and_their_labels_give_the_same_and_slides_stay_together() -> None:
    tiles = [label(drawn(seed % 2, count=10 + 20 * (seed % 2)), 0.25) for seed in range(4)]
    once = [measured(tile, 0) for tile in tiles]
    assert shape_distances(once, once) == shape_distances(tiles, tiles)
    slides = shape_distances(once, once, groups=np.array([0, 1, 0, 1]))
    assert slides["all.per_mm2.floor"] == pytest.approx(abs(density(tiles[0]) - density(tiles[1])))


def density(tile: Label) -> float:
    """Nuclei per mm2 of a tile at 0.25 um a pixel."""
    return (len(np.unique(tile.instances)) - 1) / (tile.instances.size * 0.25**2 * 1e-6)
