"""Means, spreads, and the paired test of an arm against the real-only one.

The judges of two arms at one seed start from the same weights and draw windows by the same numbers, so the arms are
compared seed by seed: Student's paired t test. It assumes that the differences are independent and about normal. Seeds
vary the judge alone: tiles and generator are the same in all, so the interval says nothing about other slides, nor
about the generator trained again.
"""

import math
from collections.abc import Sequence

import numpy as np
from scipy.stats import t as student

from nucleosynth.report.results import Difference, Summary

LEAST_SEEDS = 3
"""With fewer no test is made."""
CONFIDENCE = 0.95
ROUNDING = 1e-12
"""A spread below this is none."""

Values = Sequence[float | None]


def summary(values: Values) -> Summary:
    """Mean and standard deviation (n - 1) of a metric over seeds; both None if it is undefined for one of them.

    Example:
        >>> summary([0.5, 0.7])
        Summary(each=(0.5, 0.7), mean=0.6, sd=0.14142135623730948)
    """
    mean, sd = _moments(values)
    return Summary(each=tuple(values), mean=mean, sd=sd)


def paired(values: Values, reference: Values) -> Difference:
    """The differences values - reference, seed by seed, with a 95 % interval and p from Student's t with n - 1 degrees.

    From fewer than three seeds, or if a value is undefined, there is no interval and no p; nor is there a p if all
    differences are equal, as then there is no spread to compare them with.
    """
    pairs = list(zip(values, reference, strict=True))
    each = tuple(None if a is None or b is None else a - b for a, b in pairs)
    mean, sd = _moments(each)
    if mean is None or sd is None or len(each) < LEAST_SEEDS:
        return Difference(each=each, mean=mean, sd=sd, low=None, high=None, p=None)
    error, freedom = sd / math.sqrt(len(each)), len(each) - 1
    margin = float(student.ppf((1 + CONFIDENCE) / 2, freedom)) * error
    p = float(2 * student.sf(abs(mean) / error, freedom)) if error > ROUNDING else None
    return Difference(each=each, mean=mean, sd=sd, low=mean - margin, high=mean + margin, p=p)


def _moments(values: Values) -> tuple[float | None, float | None]:
    defined = np.array([value for value in values if value is not None])
    if len(defined) < len(values) or not len(defined):
        return None, None
    return float(defined.mean()), float(defined.std(ddof=1)) if len(defined) > 1 else None
