"""Means, spreads and the paired test, against hand values and SciPy's."""

import numpy as np
import pytest
from scipy.stats import ttest_rel

from nucleosynth.report.holm import holm
from nucleosynth.studies.statistics import paired, spread_within, summary


def test_mean_and_spread_by_hand() -> None:
    found = summary([1.0, 2.0, 4.0])
    assert found.mean == pytest.approx(7 / 3)
    assert found.sd == pytest.approx((((4 / 3) ** 2 + (1 / 3) ** 2 + (5 / 3) ** 2) / 2) ** 0.5)


@pytest.mark.parametrize("count", [3, 5, 10])
def test_the_paired_test_is_that_of_scipy(count: int) -> None:
    values = [0.6 + 0.01 * (k * 7 % 5) for k in range(count)]
    reference = [0.58 + 0.013 * (k * 3 % 4) for k in range(count)]
    expected = ttest_rel(values, reference)
    low, high = expected.confidence_interval(0.95)
    found = paired(values, reference)
    assert found.p == pytest.approx(expected.pvalue)
    assert (found.low, found.high) == pytest.approx((low, high))
    assert found.mean == pytest.approx(sum(values) / count - sum(reference) / count)


def test_three_seeds_by_hand() -> None:
    # Differences 1, 2, 3: mean 2, sd 1, t = 2 sqrt 3 with 2 degrees, of which p = 1 - t / sqrt(t^2 + 2).
    found = paired([2.0, 4.0, 6.0], [1.0, 2.0, 3.0])
    assert (found.mean, found.sd) == (2, 1)
    assert found.p == pytest.approx(1 - 12**0.5 / 14**0.5)
    assert found.low == pytest.approx(2 - 4.302653 / 3**0.5, abs=1e-6)


@pytest.mark.parametrize("count", [1, 2])
def test_fewer_than_three_seeds_are_no_test(count: int) -> None:
    found = paired([0.5, 0.7][:count], [0.4, 0.5][:count])
    assert found.n == count
    assert found.mean == pytest.approx([0.1, 0.15][count - 1])
    assert (found.low, found.high, found.p) == (None, None, None)
    assert (found.sd is None) == (count == 1)


def test_equal_differences_have_no_p() -> None:
    found = paired([0.3, 0.4, 0.6], [0.2, 0.3, 0.5])
    assert found.p is None
    assert found.low == pytest.approx(0.1)
    assert found.high == pytest.approx(0.1)


def test_what_is_undefined_once_is_undefined() -> None:
    assert summary([0.5, None, 0.7]).mean is None
    found = paired([0.5, 0.6, 0.7], [0.5, None, 0.7])
    assert found.each == (0.0, None, 0.0)
    assert (found.mean, found.low, found.p) == (None, None, None)


def test_seeds_are_paired_one_by_one() -> None:
    with pytest.raises(ValueError, match="zip"):
        paired([0.1, 0.2, 0.3], [0.1, 0.2])


def test_folds_widen_the_interval_as_nadeau_and_bengio_say() -> None:
    # Differences 1, 2, 3 of three folds with 1 test tile for every 2 training tiles: the error is sqrt(1/3 + 1/2).
    values, reference = [2.0, 4.0, 6.0], [1.0, 2.0, 3.0]
    plain, wide = paired(values, reference), paired(values, reference, folds=3, test_share=0.5)
    assert wide.mean == plain.mean
    assert (wide.high - wide.mean) / (plain.high - plain.mean) == pytest.approx((5 / 6) ** 0.5 / (1 / 3) ** 0.5)  # type: ignore[operator]
    t = 2 / (5 / 6) ** 0.5
    assert wide.p == pytest.approx(1 - t / (t**2 + 2) ** 0.5)


@pytest.mark.parametrize(
    ("p", "expected"),
    [
        ([0.2], [0.2]),
        ([0.01, 0.04, 0.03], [0.03, 0.06, 0.06]),
        ([0.04, 0.01, None, 0.02], [0.04, 0.03, None, 0.04]),
        ([0.5, 0.9], [1.0, 1.0]),
        ([None], [None]),
        ([], []),
    ],
)
def test_holm_by_hand(p: list[float | None], expected: list[float | None]) -> None:
    for found, wanted in zip(holm(p), expected, strict=True):
        assert found == (wanted if wanted is None else pytest.approx(wanted))


def test_the_spread_of_seeds_is_within_folds() -> None:
    # Folds far apart, seeds near: sd of (0, 2) is sqrt 2, of (10, 14) sqrt 8; mean variance 5.
    assert spread_within([0.0, 2.0, 10.0, 14.0], 2) == pytest.approx(5**0.5)
    assert spread_within([0.0, 2.0, 10.0, None], 2) == pytest.approx(2**0.5)
    assert spread_within([0.0, 2.0], 2) is None


def test_folds_are_tested_not_their_seeds() -> None:
    # Fold means 1, 2, 3, each of two seeds: as three differences, whatever the seeds do.
    values = [0.5, 1.5, 1.0, 3.0, 2.9, 3.1]
    found = paired(values, [0.0] * 6, folds=3, test_share=0.5)
    assert (found.n, found.mean, found.sd) == (3, pytest.approx(2), pytest.approx(1))
    assert found.p == pytest.approx(paired([1.0, 2.0, 3.0], [0.0] * 3, folds=3, test_share=0.5).p)
    assert found.each == tuple(values)


def test_two_folds_are_no_test_however_many_seeds() -> None:
    found = paired([float(k) for k in range(20)], [0.0] * 20, folds=2, test_share=1.0)
    assert (found.n, found.p, found.low) == (2, None, None)


def test_a_fold_without_a_score_is_left_out() -> None:
    values = [1.0, 1.0, None, 5.0, 3.0, 3.0, 2.0, 2.0]
    found = paired(values, [0.0] * 8, folds=4)
    assert (found.n, found.mean) == (3, pytest.approx(2))
    assert found.each[2] is None
    assert summary(values, 4).mean == pytest.approx(2)
    assert summary([None, 1.0], 2) == (1.0, None)


def test_seeds_of_one_fold_that_share_its_chance_are_not_taken_for_proof() -> None:
    """Under no difference, 5 folds x 3 seeds with a chance of the fold: about 5 of 100 tests say otherwise."""
    rng = np.random.default_rng(0)
    folds = rng.normal(size=(2000, 5, 1)) + 0.3 * rng.normal(size=(2000, 5, 3))
    false = np.mean([paired(each.ravel().tolist(), [0.0] * 15, folds=5).p < 0.05 for each in folds])  # type: ignore[operator]
    assert 0.035 < false < 0.065
