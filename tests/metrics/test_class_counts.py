"""Counts of classes and their total variation: by hand, bounds, symmetry, empty sets."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from nucleosynth.errors import UserError
from nucleosynth.metrics.counts import class_counts, count_distances, total_variation

COUNTS = st.integers(1, 6).flatmap(lambda n: arrays(np.int64, (n, 2), elements=st.integers(0, 300), fill=st.nothing()))


def test_nuclei_of_each_class_are_counted_and_unknown_ones_are_not() -> None:
    images = [np.array([1, 2, 2, 0], np.uint8), np.zeros(0, np.uint8), np.array([3], np.uint8)]
    assert_array_equal(class_counts(images, 3), [[1, 2, 0], [0, 0, 0], [0, 0, 1]])
    assert class_counts([], 3).shape == (0, 3)


def test_distances_by_hand() -> None:
    #                     a  b
    real = np.array([[2, 0], [3, 0], [0, 5], [0, 0]])
    synthetic = np.array([[3, 0], [8, 2]])
    found = count_distances(real, synthetic, ["a", "b"])
    assert found["mix"] == pytest.approx(abs(5 / 10 - 11 / 13))
    assert found["a"] == pytest.approx((2 / 4 + 0 + 1 / 2) / 2)  # 0: 2/4 and 0; 2..3: 2/4 and 1/2; 8..15: 0 and 1/2
    assert found["b"] == pytest.approx((3 / 4 - 1 / 2 + 1 / 4 + 1 / 2) / 2)
    assert found["all"] == pytest.approx((1 / 4 + 0 + 1 / 4 + 1 / 2) / 2)


@given(COUNTS, COUNTS)
def test_bounds_symmetry_and_identity(real: NDArray[np.int64], synthetic: NDArray[np.int64]) -> None:
    there, back = count_distances(real, synthetic, ["a", "b"]), count_distances(synthetic, real, ["a", "b"])
    for name in ("mix", "all", "a", "b"):
        assert there[name] == pytest.approx(back[name], nan_ok=True)
        assert math.isnan(there[name]) or 0 <= there[name] <= 1 + 1e-12
    same = count_distances(real, real[::-1], ["a", "b"])
    assert all(math.isnan(same[name]) or same[name] == pytest.approx(0) for name in ("mix", "all", "a", "b"))


def test_the_floor_is_that_of_chance_and_seeded() -> None:
    rng = np.random.default_rng(0)
    real, alike, other = (rng.poisson(mean, (400, 1)) for mean in (20, 20, 40))
    found = count_distances(real, alike, ["a"])
    assert found["a"] < 2 * found["a.floor"] < 0.3
    assert count_distances(real, other, ["a"])["a"] > 0.7
    assert found == count_distances(real, alike, ["a"])
    assert found != count_distances(real, alike, ["a"], seed=1)


def test_disjoint_frequencies_are_1_apart() -> None:
    assert total_variation(np.array([3, 0]), np.array([0, 1])) == 1
    assert math.isnan(total_variation(np.zeros(2), np.array([0, 1])))


def test_empty_sets_give_nan() -> None:
    none, blank = np.zeros((0, 2), np.int64), np.zeros((3, 2), np.int64)
    assert np.isnan(list(count_distances(none, none, ["a", "b"]).values())).all()
    found = count_distances(blank, blank, ["a", "b"])
    assert math.isnan(found["mix"])
    assert (found["all"], found["a"], found["a.floor"]) == (0, 0, 0)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(UserError, match="a class out of range"):
        class_counts([np.array([4])], 3)
    with pytest.raises(UserError, match="counts of other classes"):
        count_distances(np.zeros((2, 2)), np.zeros((2, 3)), ["a", "b"])


@pytest.mark.parametrize("names", [["all", "b"], ["a", "mix"], ["a", "a"], ["a", "a.floor"]])
def test_class_names_that_would_hide_other_scores_are_refused(names: list[str]) -> None:
    with pytest.raises(UserError, match="a class name that is taken"):
        count_distances(np.zeros((2, 2), np.int64), np.zeros((2, 2), np.int64), names)


def test_images_of_a_slide_come_into_the_same_half() -> None:
    real = np.repeat([[1], [20]], 4, axis=0)
    found = count_distances(real, real, ["a"], groups=np.repeat([0, 1], 4))
    assert found["a.floor"] == 1 > count_distances(real, real, ["a"])["a.floor"]
