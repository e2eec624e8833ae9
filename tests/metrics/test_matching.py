"""The sparse one-to-one pairing against the dense Hungarian algorithm."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import linear_sum_assignment

from nucleosynth.metrics.matching import one_to_one


@settings(deadline=None)  # busy machines
@given(st.integers(1, 12), st.integers(1, 12), st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_the_sum_of_weights_is_that_of_the_dense_solution(n: int, m: int, share: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    weight = rng.random((n, m)) * (rng.random((n, m)) < share)
    left, right = np.nonzero(weight)
    kept = one_to_one(left, right, weight[left, right])
    assert len(set(left[kept])) == len(set(right[kept])) == len(kept)
    assert_allclose(weight[left, right][kept].sum(), weight[linear_sum_assignment(weight, maximize=True)].sum())


def test_two_small_overlaps_may_beat_one_large_one() -> None:
    assert_array_equal(one_to_one(np.array([0, 0, 1]), np.array([0, 1, 0]), np.array([0.5, 0.33, 0.33])), [1, 2])


def test_no_candidate_gives_no_pair() -> None:
    nothing = np.empty(0, np.int64)
    assert len(one_to_one(nothing, nothing, np.empty(0))) == 0
