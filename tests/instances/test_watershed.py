"""Marker watershed beside scikit-image's, and from points."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from skimage.segmentation import watershed as reference

from nucleosynth.conditions import points, structure
from nucleosynth.errors import UserError
from nucleosynth.instances.watershed import from_distance, from_points, watershed
from nucleosynth.sample import Condition, Layout, transform_array

SPAN = np.mgrid[:40, :60]


def disc(x, y, radius):
    return (SPAN[1] - x) ** 2 + (SPAN[0] - y) ** 2 <= radius**2


def layout(*xy, size=(40, 60)):
    return Layout(np.array(xy, np.float32).reshape(-1, 2), np.zeros(len(xy), np.uint8), size, ())


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_it_equals_scikit_image_on_distinct_integers(seed):
    rng = np.random.default_rng(seed)
    energy = rng.permutation(30 * 40).reshape(30, 40) - 600
    mask = rng.random((30, 40)) < 0.8
    markers = np.where(rng.random((30, 40)) < 0.02, rng.integers(1, 9, (30, 40)), 0)
    assert_array_equal(watershed(energy, markers, mask), reference(energy, markers * mask, mask=mask))


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_it_equals_scikit_image_on_plateaus(seed):
    rng = np.random.default_rng(seed)
    energy, markers = rng.integers(0, 4, (30, 40)), np.zeros((30, 40), np.int32)
    for k in range(4):  # one marker a level: scikit-image does not define the order of equal ones
        place = tuple(rng.integers((30, 40)))
        energy[place], markers[place] = k, k + 1
    mask = rng.random((30, 40)) < 0.9
    markers *= mask
    assert_array_equal(watershed(energy, markers, mask), reference(energy, markers, mask=mask))


@given(st.integers(0, 2**32 - 1), st.integers(0, 7))
@settings(max_examples=40, deadline=None)
def test_a_turned_map_floods_to_the_turned_nuclei(seed, symmetry):
    rng = np.random.default_rng(seed)
    energy = rng.permutation(12 * 15).reshape(12, 15)  # no two alike: no order of queues decides
    mask = rng.random((12, 15)) < 0.8
    markers = np.where(rng.random((12, 15)) < 0.05, rng.integers(1, 9, (12, 15)), 0)
    turned = [transform_array(array, symmetry) for array in (energy, markers, mask)]
    assert_array_equal(watershed(*turned), transform_array(watershed(energy, markers, mask), symmetry))


def test_one_pixel_and_ids_stay_as_they_are():
    one = np.ones((1, 1), np.int64)
    found = watershed(one, 7 * one, one > 0)
    assert found.dtype == np.int32
    assert_array_equal(found, [[7]])
    assert not watershed(one, 7 * one, one < 0).any()
    assert watershed(np.zeros((0, 3)), np.zeros((0, 3), int), np.zeros((0, 3), bool)).shape == (0, 3)


def test_floats_flood_as_their_order_says():
    order = np.random.default_rng(1).permutation(1200).reshape(30, 40)
    markers = np.zeros((30, 40), np.int32)
    markers[5, 5], markers[25, 35] = 1, 2
    mask = np.ones((30, 40), bool)
    assert_array_equal(watershed(order / 7 - 3, markers, mask), watershed(order, markers, mask))


def test_a_ridge_parts_two_markers_and_the_mask_holds():
    energy = -np.abs(SPAN[1] - 30)
    mask = np.ones((40, 60), bool)
    mask[:10], mask[30:33] = False, False
    markers = np.zeros((40, 60), np.int32)
    markers[20, 12], markers[20, 47], markers[5, 5] = 1, 2, 3
    found = watershed(energy, markers, mask)
    assert_array_equal(found[10:30, :30], 1)
    assert_array_equal(found[10:30, 31:], 2)
    assert not found[:10].any()
    assert not found[30:].any()


def test_bad_maps_are_refused():
    flat, mask = np.zeros((2, 2)), np.ones((2, 2), bool)
    with pytest.raises(UserError, match="different sizes"):
        watershed(flat, np.ones((2, 3), np.int32), mask)
    with pytest.raises(UserError, match="not finite"):
        watershed(np.array([[0, np.nan], [0, 0]]), np.ones((2, 2), np.int32) * np.eye(2, dtype=np.int32), mask)
    with pytest.raises(UserError, match="another size"):
        from_points(mask, layout(size=(3, 3)))
    with pytest.raises(UserError, match="different sizes"):
        from_distance(mask, np.zeros((3, 3)))


def test_points_part_touching_discs():
    true = np.where(disc(18, 20, 10), 1, np.where(disc(38, 20, 10), 2, 0)).astype(np.int32)
    where = points.from_instances(Condition((40, 60), instances=true, classes=np.zeros(2, np.uint8)))
    assert_array_equal(from_points(true > 0, where, structure.distance(true)), true)


def test_without_a_distance_the_neck_parts_discs_wherever_their_points_are():
    true = np.where(disc(18, 20, 10), 1, np.where(disc(37, 20, 10), 2, 0)).astype(np.int32)
    found = from_points(true > 0, layout((24, 20), (42, 20)))
    assert np.mean(found != true) < 0.01
    assert_array_equal(found > 0, true > 0)


def test_points_off_the_foreground_and_foreground_off_the_points():
    foreground = disc(10, 20, 6) | disc(30, 20, 6) | disc(50, 20, 6)
    found = from_points(foreground, layout((2, 2), (50, 20), (10, 19), (50.2, 19.8), (59.5, 39.5)))
    assert_array_equal(found, np.where(disc(50, 20, 6), 1, np.where(disc(10, 20, 6), 2, 0)))


def test_no_point_and_no_foreground_make_an_empty_map():
    for foreground in (disc(10, 20, 6), disc(10, 20, -1)):
        for found in (from_points(foreground, layout()), from_distance(foreground & False, np.zeros((40, 60)))):
            assert found.dtype == np.int32
            assert not found.any()


def test_a_point_in_a_tile_without_background_takes_it_all():
    assert_array_equal(from_points(np.ones((40, 60), bool), layout((3, 3))), np.ones((40, 60)))


def test_minima_of_the_distance_are_nuclei_if_deep_enough():
    true = np.where(disc(18, 20, 10), 1, np.where(disc(38, 20, 10), 2, 0)).astype(np.int32)
    distance = structure.distance(true)
    assert_array_equal(from_distance(true > 0, distance), true)
    dented = distance - 0.15 * ((SPAN[0] % 4 == 0) & (SPAN[1] % 4 == 0))  # about .05 below the lowest neighbour
    assert from_distance(true > 0, dented).max() == 2
    assert from_distance(true > 0, dented, depth=0.01).max() > 2
