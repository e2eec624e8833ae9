"""Means, spreads, and the paired test of an arm against the one that it is compared with.

The judges of two arms at one fold and seed start from the same weights and draw windows by the same numbers, so the
arms are compared one by one: Student's paired t test. It assumes that the differences are independent and about normal.

With one fold, seeds vary the judge alone: tiles and generator are the same in all, and the interval says nothing about
other slides, nor about the generator trained again. With several folds, the judges of one fold share its tiles and its
generator and are no replicates: they are averaged, and the folds are tested. Folds share training tiles, with which the
plain test finds too much; the variance of the mean difference is therefore not sd^2 / k but
sd^2 (1 / k + test / training), with the numbers of tiles (Nadeau and Bengio, Machine Learning 2003). Several
comparisons of one metric are corrected by Holm's method (Scandinavian Journal of Statistics 1979).
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import t as student

LEAST = 3
"""With fewer differences (seeds of one fold, or folds) no test is made."""
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
    n: int | None = None
    """How many are tested: seeds of the one fold, or folds."""


def summary(values: Values, folds: int = 1) -> Summary:
    """Mean and standard deviation (n - 1) of a metric over judges, fold by fold, as many in each.

    Folds in which it is undefined for a judge are left out; both None if no fold is left.

    Example:
        >>> summary([0.5, 0.7])
        Summary(mean=0.6, sd=0.14142135623730948)
    """
    defined = np.array([value for fold in _whole_folds(values, folds) for value in fold])
    if not len(defined):
        return Summary(None, None)
    return Summary(float(defined.mean()), float(defined.std(ddof=1)) if len(defined) > 1 else None)


def spread_within(values: Values, folds: int) -> float | None:
    """The spread of the seeds: root of the mean variance (n - 1) within folds; values fold by fold, as many in each.

    None with one seed, or where no fold has the metric defined for all of its judges.
    """
    spreads = [np.std(fold, ddof=1) for fold in _whole_folds(values, folds) if len(fold) > 1]
    return float(np.sqrt(np.mean(np.square(spreads)))) if spreads else None


def paired(values: Values, reference: Values, folds: int = 1, test_share: float = 0.0) -> Difference:
    """The differences values - reference, one by one, with a 95 % interval and p from Student's t with n - 1 degrees.

    values, reference: fold by fold, in each seed by seed. n is the number of seeds with one fold, else that of folds,
    each the mean of its judges; folds in which a value is undefined are left out. test_share: test tiles for each
    training tile where there are several folds. From fewer than three there is no interval and no p; nor is there a p
    if all differences are equal, as then there is no spread to compare them with.
    """
    pairs = zip(values, reference, strict=True)
    each = tuple(None if a is None or b is None else a - b for a, b in pairs)
    whole = _whole_folds(each, folds)
    tested = [float(np.mean(fold)) for fold in whole] if folds > 1 else [value for fold in whole for value in fold]
    n = len(tested)
    mean, sd = summary(tested)
    if mean is None or sd is None or n < LEAST:
        return Difference(each, mean, sd, n=n)
    error = sd * math.sqrt(1 / n + (test_share if folds > 1 else 0))
    margin = float(student.ppf((1 + CONFIDENCE) / 2, n - 1)) * error
    p = float(2 * student.sf(abs(mean) / error, n - 1)) if error > ROUNDING else None
    return Difference(each, mean, sd, mean - margin, mean + margin, p, n)


def _whole_folds(values: Values, folds: int) -> list[list[float]]:
    """The values of each fold in which all are defined."""
    assert len(values) % folds == 0, "every fold has the same seeds"
    size = len(values) // folds
    parts = (list(values[k * size : (k + 1) * size]) for k in range(folds))
    return [[value for value in part if value is not None] for part in parts if None not in part]
