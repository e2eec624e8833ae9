"""Fields of instance maps: known shapes, brute force on random maps, and exactness under the square's symmetries."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal
from scipy import ndimage

from nucleosynth.conditions import structure
from nucleosynth.errors import UserError
from nucleosynth.sample import transform_array

MAPS = arrays(np.int32, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 3))


def disc(size, x, y, radius):
    rows, columns = np.mgrid[:size, :size]
    return (columns - x) ** 2 + (rows - y) ** 2 <= radius**2


def test_offsets_point_to_the_centre_of_a_disc():
    instances = disc(41, 17, 23, 9).astype(np.int32)
    rows, columns = np.nonzero(instances)
    dx, dy = structure.offsets(instances)
    assert_array_equal(dx[rows, columns], 17 - columns)
    assert_array_equal(dy[rows, columns], 23 - rows)
    assert not dx[instances == 0].any()
    assert not dy[instances == 0].any()


def test_offsets_take_one_centre_for_a_nucleus_in_two_pieces():
    dx, dy = structure.offsets(np.array([[7, 0, 0, 7]]))
    assert_array_equal(dx, [[1.5, 0, 0, -1.5]])
    assert_array_equal(dy, np.zeros((1, 4)))


def test_distance_is_the_radius_in_parts_of_the_largest():
    instances = disc(41, 20, 20, 10).astype(np.int32)
    rows, columns = np.mgrid[:41, :41]
    expected = np.hypot(columns - 20, rows - 20) / 10 * instances
    assert_allclose(structure.distance(instances), expected, atol=1e-7)


def test_signed_distance_along_a_straight_edge():
    instances = np.zeros((3, 10), np.int32)
    instances[:, :4], instances[:, 4:6] = 1, 2
    row = np.array([3.5, 2.5, 1.5, 0.5, 0.5, 0.5, -0.5, -1.5, -2.5, -3.5])
    assert_allclose(structure.signed_distance(instances, 3), np.tile(np.clip(row, -3, 3) / 3, (3, 1)), rtol=1e-6)
    assert_allclose(structure.inner_distance(instances), np.tile(np.maximum(row, 0), (3, 1)))


def test_signed_distance_of_a_disc_is_its_radius_less_the_distance():
    instances = disc(61, 30, 30, 15).astype(np.int32)
    rows, columns = np.mgrid[:61, :61]
    expected = 15 - np.hypot(columns - 30, rows - 30)
    assert_allclose(structure.signed_distance(instances, 12) * 12, np.clip(expected, -12, 12), atol=1.0)


@given(MAPS, st.sampled_from([0.5, 2.0, 100.0]))
@settings(max_examples=60, deadline=None)
def test_signed_distance_equals_brute_force(instances, limit):
    rows, columns = np.mgrid[: instances.shape[0], : instances.shape[1]]
    expected = np.full(instances.shape, limit)
    for y, x in np.ndindex(instances.shape):
        other = instances != instances[y, x]
        across, down = np.maximum(np.abs(columns - x) - 0.5, 0), np.maximum(np.abs(rows - y) - 0.5, 0)
        expected[y, x] = min(limit, np.hypot(across, down)[other].min(initial=limit))
    expected[instances == 0] *= -1
    found = structure.signed_distance(instances, limit)
    assert_allclose(found * limit, expected, rtol=1e-6)
    assert_array_equal(found > 0, instances > 0)


def test_a_nucleus_without_an_outline_has_no_inner_distance():
    assert np.isinf(structure.inner_distance(np.ones((3, 3), np.int32))).all()
    assert_array_equal(structure.signed_distance(np.ones((3, 3), np.int32), 2), np.ones((3, 3)))


def test_hv_of_a_known_shape():
    instances = np.zeros((5, 7), np.int32)
    instances[1:4, 1:6] = 4
    horizontal, vertical = structure.hv(instances)
    assert_allclose(horizontal[2], [0, -1, -0.5, 0, 0.5, 1, 0])
    assert_allclose(vertical[:, 3], [0, -1, 0, 1, 0])


def test_hv_treats_pieces_apart():
    assert_array_equal(structure.hv(np.array([[2, 2, 0, 2, 2]]))[0], [[-1, 1, 0, -1, 1]])


@given(MAPS)
@settings(max_examples=60, deadline=None)
def test_hv_equals_the_definition(instances):
    expected = np.zeros((2, *instances.shape))
    for nucleus in np.unique(instances[instances > 0]):
        parts, count = ndimage.label(instances == nucleus)
        for part in range(1, count + 1):
            rows, columns = np.nonzero(parts == part)
            for axis, place in enumerate((columns, rows)):
                value = place - place.mean()
                value[value < 0] /= -value.min(initial=-1e-9)
                value[value > 0] /= value.max(initial=1e-9)
                expected[axis, rows, columns] = value
    assert_allclose(structure.hv(instances), expected, atol=1e-6)


def test_released_hv_counts_from_one_about_a_rounded_centre():
    instances = np.zeros((12, 12), np.int32)
    instances[2:7, 3:9] = 1  # 30 px; x 3..8, mean 5.5 -> 6; x + 1 - 6 = -2..3
    instances[8:, :7] = 2  # 28 px: too small
    horizontal, vertical = structure.hv(instances, released=True)
    assert_allclose(horizontal[4, 3:9], [-1, -0.5, 0, 1 / 3, 2 / 3, 1])
    assert_allclose(vertical[2:7, 5], [-1, 0, 1 / 3, 2 / 3, 1])  # y 2..6, mean 4; y + 1 - 4 = -1..3
    assert not horizontal[8:].any()
    assert structure.hv(instances)[0, 8:].any()


def test_small_pieces_have_no_hv_where_so_asked():
    instances = np.zeros((12, 12), np.int32)
    instances[2:7, 3:9], instances[8:, :7] = 1, 2  # 30 and 28 px
    expected = np.where(instances == 1, structure.hv(instances), 0)
    assert_array_equal(structure.hv(instances, min_area=30), expected)
    assert_array_equal(structure.hv(instances, min_area=28), structure.hv(instances))


def test_pieces_agree_with_components_of_each_nucleus():
    instances = np.random.default_rng(0).integers(0, 3, (40, 50)).astype(np.int32)
    parts, count = structure.pieces(instances)
    assert count == sum(ndimage.label(instances == k)[1] for k in (1, 2))
    assert_array_equal(parts > 0, instances > 0)
    for part in range(1, count + 1):
        assert len(np.unique(instances[parts == part])) == 1
        assert ndimage.label(parts == part)[1] == 1
    _, first = np.unique(parts[parts > 0], return_index=True)
    assert (np.diff(first) > 0).all()


@given(MAPS, st.integers(0, 7))
@settings(max_examples=80, deadline=None)
def test_fields_of_a_turned_map_are_the_turned_fields(instances, symmetry):
    turned = transform_array(instances, symmetry)
    for field in (structure.distance, structure.inner_distance, lambda m: structure.signed_distance(m, 2.5)):
        assert_array_equal(field(turned), transform_array(field(instances), symmetry))
    for vectors in (structure.offsets, structure.hv):
        assert_array_equal(vectors(turned), structure.transform_vectors(vectors(instances), symmetry))


def test_semantic_marks_unknown_nuclei_as_neither_class_nor_background():
    instances = np.array([[0, 1, 2, 3]])
    found = structure.semantic(instances, np.array([2, 0, 1], np.uint8))
    assert_array_equal(found, [[0, 2, structure.UNKNOWN, 1]])
    assert found.dtype == np.uint8


@pytest.mark.parametrize("size", [(0, 5), (4, 5)])
def test_an_empty_map_has_empty_fields(size):
    empty = np.zeros(size, np.int32)
    for field in (structure.distance, structure.inner_distance, structure.offsets, structure.hv):
        found = field(empty)
        assert found.shape[-2:] == size
        assert found.dtype == np.float32
        assert not found.any()
    assert_array_equal(structure.signed_distance(empty, 3), -np.ones(size))


@pytest.mark.parametrize("bad", [np.zeros((2, 2)), np.zeros((2, 2, 1), np.int32), np.full((2, 2), -1)])
def test_what_is_no_instance_map_is_refused(bad):
    with pytest.raises(UserError, match="not an instance map"):
        structure.offsets(bad)


def test_bad_arguments_are_refused():
    with pytest.raises(UserError, match="far too high"):
        structure.offsets(np.array([[2**32 + 1]]))
    with pytest.raises(UserError, match="without a class"):
        structure.semantic(np.array([[2]]), np.ones(1, np.uint8))
    with pytest.raises(UserError, match="no room"):
        structure.signed_distance(np.array([[1]]), 0)
