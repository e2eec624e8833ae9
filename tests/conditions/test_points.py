"""Points of nuclei and their splats."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal

from nucleosynth.conditions import points
from nucleosynth.errors import UserError
from nucleosynth.sample import Condition, Layout, Sample, transform_array, transform_points, without_gaps

MAPS = arrays(np.int32, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 3))


def layout(xy, classes, size=(20, 30)):
    return Layout(np.array(xy, np.float32).reshape(-1, 2), np.array(classes, np.uint8), size, ("a", "b"))


def test_the_point_of_a_nucleus_is_its_mean():
    instances = np.zeros((8, 9), np.int32)
    instances[2:5, 1:8], instances[6:8, 3:5] = 1, 2
    assert_array_equal(points.centroids(instances), [[4, 3], [3.5, 6.5]])


def test_the_point_of_a_crescent_is_its_nearest_pixel():
    instances = np.ones((7, 7), np.int32)
    instances[1:, 1:6] = 0  # mean 3, 2.3: inside the arch
    assert_array_equal(points.centroids(instances), [[3, 0]])


def test_a_mean_on_the_edge_of_a_pixel_outside_moves_inside():
    assert_array_equal(points.centroids(np.array([[1, 1, 0, 1, 0, 0, 1]])), [[3, 0]])  # mean 2.5


@given(MAPS)
@settings(max_examples=60, deadline=None)
def test_the_pixel_under_a_point_is_the_nucleus_s(raw):
    instances, _ = without_gaps(raw, np.zeros(3, np.uint8))
    xy = points.centroids(instances)
    column, row = np.floor(xy + 0.5).astype(int).T
    assert_array_equal(instances[row, column], np.arange(1, len(xy) + 1))


@pytest.mark.parametrize("symmetry", range(8))
def test_points_of_a_turned_map_are_the_turned_points(symmetry):
    instances = np.zeros((10, 13), np.int32)
    instances[1:4, 2:9], instances[5:9, 3:5], instances[9, 9] = 1, 2, 3
    turned = points.centroids(transform_array(instances, symmetry))
    assert_allclose(turned, transform_points(points.centroids(instances), (10, 13), symmetry), atol=1e-5)


def test_a_sample_and_a_condition_give_their_layout():
    instances, classes = np.array([[1, 1, 0, 2]], np.int32), np.array([2, 0], np.uint8)
    image = np.zeros((1, 4, 3), np.uint8)
    sample = Sample("s", image, instances, classes, ("a", "b"), "s", mpp=0.5)
    for labelled in (sample, Condition((1, 4), 0.5, ("a", "b"), instances=instances, classes=classes)):
        found = points.from_instances(labelled)
        assert_array_equal(found.xy, [[0.5, 0], [3, 0]])
        assert_array_equal(found.classes, classes)
        assert (found.size, found.class_names, found.mpp) == ((1, 4), ("a", "b"), 0.5)
    with pytest.raises(UserError, match="no label"):
        points.from_instances(Condition((1, 4)))


def test_ids_with_gaps_are_refused():
    with pytest.raises(UserError, match="id 1 missing"):
        points.centroids(np.array([[2, 0]]))


def test_splats_are_gaussians_of_which_the_largest_counts():
    xy, classes, sigma = [[3, 4], [5, 4], [6.25, 5.5], [29.4, -0.4]], [1, 2, 1, 0], 2.0
    maps = points.gaussian_splats(layout(xy, classes), sigma)
    rows, columns = np.mgrid[:20, :30]
    each = np.array([np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2)) for x, y in xy])
    assert maps.shape == (3, 20, 30)
    assert maps.dtype == np.float32
    assert_allclose(maps[0], each.max(axis=0), atol=4e-4)
    assert_allclose(maps[1], each[[0, 2]].max(axis=0), atol=4e-4)
    assert_allclose(maps[2], each[1], atol=4e-4)
    assert maps[0, 4, 3] == 1


def test_no_points_make_empty_splats():
    maps = points.gaussian_splats(layout([], []), 1.5)
    assert maps.shape == (3, 20, 30)
    assert not maps.any()
    with pytest.raises(UserError, match="sigma_px > 0"):
        points.gaussian_splats(layout([], []), 0)
