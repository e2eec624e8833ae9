"""Outlines and back: every mask comes back to the pixel, as polygons that a geometry library calls valid."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_array_equal
from shapely.geometry import MultiPolygon
from shapely.geometry import Polygon as Shape

from nucleosynth.errors import UserError
from nucleosynth.instances.polygons import FARTHEST_PX, Ring, check_place, fill, trace
from nucleosynth.sample import renumbered

MASKS = arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))).filter(lambda mask: bool(mask.any()))


def area(ring: Ring) -> float:
    """Signed: positive for a ring that runs clockwise as seen (y down)."""
    x, y = ring.T.astype(float)
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2)


def placed(mask: np.ndarray, top: int, left: int, size: tuple[int, int]) -> np.ndarray:
    whole = np.zeros(size, bool)
    whole[top : top + mask.shape[0], left : left + mask.shape[1]] = mask
    return whole


@settings(deadline=None)
@given(MASKS)
def test_a_traced_mask_fills_to_itself(mask: np.ndarray) -> None:
    (nucleus,) = trace(np.pad(mask, ((2, 0), (3, 0))).astype(np.int32))
    filled = fill(nucleus, (14, 15))
    assert_array_equal(placed(filled.mask, filled.top, filled.left, (14, 15)), placed(mask, 2, 3, (14, 15)))
    assert not filled.crosses
    assert not filled.beyond


@settings(deadline=None)
@given(MASKS)
def test_traced_polygons_are_valid_and_have_the_area(mask: np.ndarray) -> None:
    (polygons,) = trace(mask.astype(np.int32))
    shape = MultiPolygon([Shape(outer, holes) for outer, *holes in polygons])
    assert shape.is_valid
    assert shape.area == mask.sum()
    assert all(area(outer) > 0 and all(area(hole) < 0 for hole in holes) for outer, *holes in polygons)


def test_a_map_is_traced_in_the_order_of_its_ids() -> None:
    instances = np.array([[2, 2, 1], [0, 1, 1]], np.int32)
    first, second = trace(instances)
    assert [(outer.min(axis=0).tolist(), area(outer)) for ((outer,),) in (first, second)] == [([1, 0], 3), ([0, 0], 2)]


@pytest.mark.parametrize("size", [(0, 4), (3, 4)])
def test_no_nucleus_has_no_outline(size: tuple[int, int]) -> None:
    assert trace(np.zeros(size, np.int32)) == []


@pytest.mark.parametrize("turned", [False, True])
def test_a_disc_has_the_pixels_whose_centre_lies_inside(turned: bool) -> None:
    angles = np.linspace(0, 2 * np.pi, 400, endpoint=False)[:: -1 if turned else 1]
    ring = np.stack([6.3 + 4.1 * np.cos(angles), 5.2 + 4.1 * np.sin(angles)], axis=1)
    filled = fill([[ring]], (12, 12))
    y, x = np.mgrid[:12, :12] + 0.5
    exact = (x - 6.3) ** 2 + (y - 5.2) ** 2
    clear = np.abs(np.sqrt(exact) - 4.1) > 0.01
    assert_array_equal(placed(filled.mask, filled.top, filled.left, (12, 12))[clear], (exact < 4.1**2)[clear])


def test_polygons_that_share_an_edge_share_no_pixel() -> None:
    left, right = np.array([[0, 0], [2.5, 0], [2.5, 4], [0, 4]]), np.array([[2.5, 0], [5, 0], [5, 4], [2.5, 4]])
    sums = sum(
        placed(f.mask, f.top, f.left, (4, 5)).astype(int) for f in (fill([[left]], (4, 5)), fill([[right]], (4, 5)))
    )
    assert_array_equal(sums, np.ones((4, 5)))


def test_holes_are_left_out_whatever_their_direction() -> None:
    outer, hole = np.array([[0, 0], [5, 0], [5, 5], [0, 5]]), np.array([[1, 1], [3, 1], [3, 3], [1, 3]])
    for ring in (hole, hole[::-1]):
        assert fill([[outer, ring]], (5, 5)).mask.sum() == 21


def test_outlines_that_cross_themselves_are_filled_whole_and_told() -> None:
    bow = np.array([[0, 0], [8, 8], [8, 0], [0, 8]])
    loop = np.array([[0, 0], [6, 0], [6, 6], [0, 6], [0, 0], [4, 0], [4, 4], [0, 4]])
    assert fill([[bow]], (8, 8)).crosses
    assert fill([[loop]], (8, 8)).crosses
    assert fill([[loop]], (8, 8)).mask.sum() == 36


def test_what_lies_outside_is_cut_and_told() -> None:
    ring = np.array([[-3, -3], [2, -3], [2, 2], [-3, 2]])
    filled = fill([[ring]], (10, 10))
    assert filled.beyond
    assert_array_equal(filled.mask, np.ones((2, 2), bool))
    assert not fill([[ring + 100]], (10, 10)).mask.any()
    assert not fill([[np.array([[0, 0], [10, 0], [10, 10], [0, 10]])]], (10, 10)).beyond


@settings(deadline=None)
@given(arrays(np.int32, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 3)))
def test_touching_nuclei_are_traced_apart(instances: np.ndarray) -> None:
    instances, _ = renumbered(instances)
    traced = trace(instances)
    assert len(traced) == instances.max()
    for number, polygons in enumerate(traced, start=1):
        filled = fill(polygons, instances.shape)
        assert_array_equal(placed(filled.mask, filled.top, filled.left, instances.shape), instances == number)


def test_a_nucleus_of_many_specks_is_filled_in_time() -> None:
    specks = np.zeros((400, 400), bool)
    specks[::3, ::3] = True
    (polygons,) = trace(specks.astype(np.int32))
    assert len(polygons) == specks.sum()
    assert_array_equal(fill(polygons, specks.shape).mask, specks)


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), -float("inf"), 2 * FARTHEST_PX])
def test_coordinates_of_no_place_are_refused_wherever_they_stand(odd: float) -> None:
    ring = np.array([[0, 0], [3, 1], [2, 2]], float)
    far = np.array([[0, 0], [odd, 1], [2, 2]])
    check_place([[ring, ring], [ring], [np.zeros((0, 2))]], "a.xml")
    for polygons in ([[far]], [[ring, far]], [[ring], [far]]):
        with pytest.raises(UserError, match=rf"outline of no place(.|\n)*{odd}(.|\n)*a\.xml, region 3"):
            check_place(polygons, "a.xml, region 3")
