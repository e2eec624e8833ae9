"""Means, spreads, and the paired test of an arm against the one that it is compared with.

The judges of two arms at one fold and seed start from the same weights and draw windows by the same numbers, so the
arms are compared one by one: Student's paired t test. It assumes that the differences are independent and about normal.

Seeds vary the judge alone: with one fold, tiles and generator are the same in all, and the interval says nothing about
other slides, nor about the generator trained again. With several folds both vary, but the folds share training tiles
and the plain test finds too much; the variance of the mean difference is therefore not sd^2 / n but
sd^2 (1 / n + test / training), with the numbers of tiles (Nadeau and Bengio, Machine Learning 2003). Several
comparisons of one metric are corrected by Holm's method (Scandinavian Journal of Statistics 1979).
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import t as student

LEAST_SEEDS = 3
"""With fewer differences no test is made."""
CONFIDENCE = 0.95
ROUNDING = 1e-12
"""A spread below this is none."""

Values = Sequence[float | None]


class Summary(NamedTuple):
    """Mean and standard deviation (n - 1); None where a value is not defined, or is the only one."""

    mean: float | None
    sd: float | None


class Difference(NamedTuple):
    """Differences one by one, their mean and sd (n - 1), the 95 % interval of the mean, and p."""

    each: tuple[float | None, ...]
    mean: float | None
    sd: float | None
    low: float | None = None
    high: float | None = None
    p: float | None = None


def summary(values: Values) -> Summary:
    """Mean and standard deviation (n - 1) of a metric; both None if it is undefined for one of them.

    Example:
        >>> summary([0.5, 0.7])
        Summary(mean=0.6, sd=0.14142135623730948)
    """
    defined = np.array([value for value in values if value is not None])
    if len(defined) < len(values) or not len(defined):
        return Summary(None, None)
    return Summary(float(defined.mean()), float(defined.std(ddof=1)) if len(defined) > 1 else None)


def spread_within(values: Values, folds: int) -> float | None:
    """The spread of the seeds: root of the mean variance (n - 1) within folds; values fold by fold, as many in each."""
    parts = [summary(values[start : start + len(values) // folds]).sd for start in _starts(len(values), folds)]
    squares = [sd**2 for sd in parts if sd is not None]
    return math.sqrt(sum(squares) / folds) if len(squares) == folds else None


def paired(values: Values, reference: Values, test_share: float = 0.0) -> Difference:
    """The differences values - reference, one by one, with a 95 % interval and p from Student's t with n - 1 degrees.

    test_share: test tiles for each training tile where the differences come from several folds, else 0. From fewer than
    three, or if a value is undefined, there is no interval and no p; nor is there a p if all differences are equal, as
    then there is no spread to compare them with.
    """
    pairs = list(zip(values, reference, strict=True))
    each = tuple(None if a is None or b is None else a - b for a, b in pairs)
    mean, sd = summary(each)
    if mean is None or sd is None or len(each) < LEAST_SEEDS:
        return Difference(each, mean, sd)
    error, freedom = sd * math.sqrt(1 / len(each) + test_share), len(each) - 1
    margin = float(student.ppf((1 + CONFIDENCE) / 2, freedom)) * error
    p = float(2 * student.sf(abs(mean) / error, freedom)) if error > ROUNDING else None
    return Difference(each, mean, sd, mean - margin, mean + margin, p)


def holm(p: Values) -> tuple[float | None, ...]:
    """The p values corrected for their number; None stays None and does not count.

    Example:
        >>> holm([0.01, None, 0.04, 0.03])
        (0.03, None, 0.06, 0.06)
    """
    order = sorted((value, k) for k, value in enumerate(p) if value is not None)
    corrected: list[float | None] = [None] * len(p)
    largest = 0.0
    for rank, (value, k) in enumerate(order):
        largest = max(largest, min((len(order) - rank) * value, 1.0))
        corrected[k] = largest
    return tuple(corrected)


def _starts(count: int, folds: int) -> range:
    assert count % folds == 0, "every fold has the same seeds"
    return range(0, count, count // folds)
