"""Classes of nuclei by majority."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_array_equal

from nucleosynth.conditions.structure import UNKNOWN
from nucleosynth.errors import UserError
from nucleosynth.instances.classes import majority

TWO = np.array([[1, 1, 1, 0, 2, 2]], np.int32)


def test_most_pixels_win_and_the_smallest_class_on_ties():
    assert_array_equal(majority(TWO, np.array([[2, 1, 2, 9, 3, 1]])), [2, 1])


def test_background_and_unknown_give_way_to_a_class():
    assert_array_equal(majority(TWO, np.array([[0, 0, 4, 1, UNKNOWN, 3]])), [4, 3])


def test_a_nucleus_of_background_alone_is_of_unknown_type():
    found = majority(TWO, np.array([[0, 0, 0, 1, UNKNOWN, UNKNOWN]], np.uint8))
    assert_array_equal(found, [0, 0])
    assert found.dtype == np.uint8


def test_the_largest_mean_probability_wins():
    probabilities = np.array(
        [[[0.9, 0.9, 0.9, 1, 0, 0]], [[0.0, 0.06, 0.06, 0, 0.6, 0.3]], [[0.1, 0.04, 0.04, 0, 0.4, 0.7]]]
    )
    assert_array_equal(majority(TWO, probabilities), [2, 2])
    assert_array_equal(majority(TWO, probabilities, background=False), [1, 3])


def test_probabilities_agree_with_votes_where_they_are_certain():
    rng = np.random.default_rng(0)
    instances, classes = rng.integers(0, 30, (50, 60)), rng.integers(0, 5, (50, 60))
    certain = (np.arange(5)[:, None, None] == classes).astype(np.float32)
    expected = [np.bincount(classes[instances == k], minlength=5)[1:].argmax() + 1 for k in range(1, 30)]
    assert_array_equal(majority(instances, classes), expected)
    assert_array_equal(majority(instances, certain), expected)


def test_an_id_that_does_not_occur_is_of_unknown_type_and_no_nucleus_gives_no_class():
    assert_array_equal(majority(np.array([[3, 3]]), np.array([[2, 2]])), [0, 0, 2])
    assert majority(np.zeros((2, 2), np.int32), np.ones((2, 2), np.uint8)).shape == (0,)


@pytest.mark.parametrize("pixels", [np.zeros((1, 5), np.uint8), np.zeros((1, 6)), np.zeros((2, 1, 6), np.uint8)])
def test_pixels_of_another_size_or_kind_are_refused(pixels):
    with pytest.raises(UserError, match="no classes of pixels"):
        majority(TWO, pixels)


@pytest.mark.parametrize("bad", [-1, 256])
def test_a_class_out_of_range_is_refused(bad):
    with pytest.raises(UserError, match="out of range"):
        majority(TWO, np.full((1, 6), bad))


@given(
    arrays(np.int32, st.tuples(st.integers(1, 8), st.integers(1, 8)), elements=st.integers(0, 3)),
    st.sampled_from([np.uint8, np.uint64, np.int16, np.int64]),
    st.data(),
)
@settings(deadline=None)
def test_majority_is_the_definition_for_any_kind_of_number(instances, kind, data):
    pixels = data.draw(arrays(kind, instances.shape, elements=st.sampled_from([0, 1, 2, 7, UNKNOWN])))
    expected = []
    for k in range(1, instances.max() + 1):
        named = pixels[(instances == k) & (pixels > 0) & (pixels < UNKNOWN)].astype(int)
        expected.append(np.bincount(named, minlength=1).argmax() if len(named) else 0)
    assert_array_equal(majority(instances, pixels), expected)
    for turn in range(4):
        assert_array_equal(majority(np.rot90(instances, turn), np.rot90(pixels, turn)), expected)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_probabilities_of_any_precision_and_order_of_axes(kind):
    rng = np.random.default_rng(0)
    instances, probabilities = rng.integers(0, 6, (20, 30)), rng.random((20, 30, 4)).astype(kind)
    sums = [probabilities[instances == k].astype(float).sum(axis=0)[1:] for k in range(1, 6)]
    assert_array_equal(majority(instances, probabilities.transpose(2, 0, 1)), np.argmax(sums, axis=1) + 1)


def test_what_lies_outside_nuclei_is_not_asked():
    assert_array_equal(majority(TWO, np.array([[1, 1, 2, -1, 999, 3]]) * [[1, 1, 1, 1, 0, 1]]), [1, 3])


def test_one_nucleus_with_a_high_id_takes_no_table_of_all_classes():
    highest = 1 << 22
    found = majority(np.array([[highest, highest]]), np.array([[UNKNOWN, 1]], np.uint8))
    assert len(found) == highest
    assert found[-1] == 1
