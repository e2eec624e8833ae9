"""Fidelity and variety apart: who lies among whose nearest neighbours (precision, recall, density, coverage).

Each image of a population stands for the ball around it that reaches its k-th nearest neighbour in that population.
Balls are closed, and what rounding could decide is inside, so that a population lies within itself; the package of
Naeem et al. has open balls, which differs where images are there twice.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucleosynth.errors import UserError
from nucleosynth.metrics.features import check

Floats = NDArray[np.float64]

AT_ONCE = 1024
"""Images of one side whose distances to all of the other are in memory together."""
ROUNDING = 1e-9
"""Relative to the square of a radius; distances squared are differences of products."""


def precision_recall(real: NDArray[Any], synthetic: NDArray[Any], *, k: int = 3) -> dict[str, float]:
    """`precision`: share of synthetic images within a real image's ball; `recall`: of real within a synthetic one's.

    real (n d), synthetic (m d). Precision says how many synthetic images are like real ones, recall how many real ones
    are like synthetic ones. Images without any difference have balls of radius 0, and lie in each other's.
    Source: Kynkaanniemi et al., Improved precision and recall metric, NeurIPS 2019, eq. 1 and 2; k = 3 as there.

    Raises:
        UserError: not more than k images on a side, k below 1, numbers of features that differ, or a value that is not
            finite.
    """
    real, synthetic = _checked(real, synthetic, k)
    inside = [
        np.concatenate([held.any(axis=1) for held in _held(points, centres, _radii(centres, k))])
        for points, centres in ((synthetic, real), (real, synthetic))
    ]
    return {"precision": float(inside[0].mean()), "recall": float(inside[1].mean())}


def density_coverage(real: NDArray[Any], synthetic: NDArray[Any], *, k: int = 5) -> dict[str, float]:
    """`density`: real balls around a synthetic image, mean over k; `coverage`: share of real balls that hold one.

    real (n d), synthetic (m d). Where precision counts a synthetic image that one outlier's ball holds in full, density
    counts it as 1 / k; it may exceed 1, and is about 1 for two samples of one population. Coverage is at most 1; one
    population, as many images on both sides, has 1 - (1/2)^k about. Images without any difference have balls of
    radius 0, and lie in each other's. Source: Naeem et al., Reliable fidelity and diversity metrics, ICML 2020,
    eq. 5 and 6; k = 5 as there.

    Raises:
        UserError: not more than k images on a side, k below 1, numbers of features that differ, or a value that is not
            finite.
    """
    real, synthetic = _checked(real, synthetic, k)
    balls, covered = 0, np.zeros(len(real), np.bool_)
    for held in _held(synthetic, real, _radii(real, k)):
        balls += int(held.sum())
        covered |= held.any(axis=0)
    return {"density": balls / (k * len(synthetic)), "coverage": float(covered.mean())}


def _checked(real: NDArray[Any], synthetic: NDArray[Any], k: int) -> tuple[Floats, Floats]:
    """Both around the mean of the real ones, where squares lose the fewest digits."""
    if k < 1:
        raise UserError("no neighbour to look at", expected="k of 1 or more", got=str(k))
    check(real, synthetic, k + 1)
    mean = real.mean(axis=0, dtype=np.float64)
    return real - mean, synthetic - mean


def _radii(points: Floats, k: int) -> Floats:
    """The squared distance (n,) of each to its k-th nearest other; itself is the nearest, at 0."""
    return np.concatenate([np.partition(squares, k, axis=1)[:, k] for squares in _squares(points, points)])


def _held(points: Floats, centres: Floats, radii: Floats) -> Iterator[NDArray[np.bool_]]:
    """Which balls (of the squared radii) hold each point, (some points, centres) at a time."""
    slack = ROUNDING * radii + np.finfo(np.float64).eps * points.shape[1] * (centres**2).sum(axis=1).max()
    return (squares <= radii + slack for squares in _squares(points, centres))


def _squares(points: Floats, centres: Floats) -> Iterator[Floats]:
    """Squared distances, (some points, centres) at a time."""
    lengths = (centres**2).sum(axis=1)
    for start in range(0, len(points), AT_ONCE):
        some = points[start : start + AT_ONCE]
        squares = (some**2).sum(axis=1)[:, None] + lengths - 2 * some @ centres.T
        yield squares.clip(0)
