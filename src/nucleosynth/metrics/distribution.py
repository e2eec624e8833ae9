"""All that says how far two populations of images lie apart, each with its interval and its real-versus-real floor.

Rows are what is known of each image: features of an encoder (frechet, kernel, neighbours), a classifier's
probabilities (inception_score), or per cent of its pixels in each class (proportions). Which encoder it was names the
number: "FID" is of Inception-v3 with the weights of torch-fidelity, anything else "FD-<encoder>".
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import inf
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nucleosynth.errors import UserError, unknown_name
from nucleosynth.metrics.frechet import LEAST_FOR_INFINITY, fd_infinity, frechet_distance
from nucleosynth.metrics.inception_score import inception_score
from nucleosynth.metrics.kernel import kid, squared_mmd
from nucleosynth.metrics.neighbours import density_coverage, precision_recall
from nucleosynth.metrics.proportions import fsd
from nucleosynth.metrics.resampling import Estimate, Score, Side, Tick, estimate, evaluations

ENOUGH = 5000
"""Real images below which the Frechet distance's bias is large: the kernel distance or FD-infinity are to be read."""
INCEPTION = "inception"
"""What the encoder is called that has the published weights, and no other."""
DRAWS, HALVINGS = 100, 20


@dataclass(frozen=True)
class Measure:
    """One way to compare: what it looks at, its scores of (real, synthetic, seed), a quicker way for halves, and how
    many images it needs on each side."""

    of: Literal["features", "probabilities", "proportions"]
    scores: Callable[[NDArray[Any], NDArray[Any], int], dict[str, float]]
    halves: Score | None = None
    least: int = 2


MEASURES = {
    "fd": Measure("features", lambda real, synthetic, _: {"fd": frechet_distance(real, synthetic)}),
    "fd_infinity": Measure(
        "features",
        lambda real, synthetic, seed: {"fd_infinity": fd_infinity(real, synthetic, seed=seed)},
        lambda real, synthetic: {"fd_infinity": fd_infinity(real, synthetic, draws=1)},
        LEAST_FOR_INFINITY,
    ),
    "kid": Measure(
        "features",
        lambda real, synthetic, seed: {"kid": kid(real, synthetic, seed=seed)["kid"]},
        lambda real, synthetic: {"kid": squared_mmd(real, synthetic)},
    ),
    "prdc": Measure(
        "features",
        lambda real, synthetic, _: precision_recall(real, synthetic) | density_coverage(real, synthetic),
        least=6,
    ),
    # A score of one side: its "floor" is what real images score.
    "is": Measure(
        "probabilities",
        lambda _, synthetic, seed: {"is": inception_score(synthetic, seed=seed)["is"]},
        least=10,
    ),
    "fsd": Measure("proportions", lambda real, synthetic, _: {"fsd": fsd(real, synthetic)}),
}
BOUNDS = {
    **dict.fromkeys(("fd", "fsd", "density"), (0.0, inf)),
    **dict.fromkeys(("precision", "recall", "coverage"), (0.0, 1.0)),
    "is": (1.0, inf),
}
"""Beyond which no interval reaches; the kernel distance and FD-infinity may be below 0."""
HELD = {
    "fd": 0.95,
    "fd_infinity": 1.0,
    "kid": 0.93,
    "fsd": 0.94,
    "is": 0.94,
    "precision": 0.93,
    "recall": 0.94,
    "density": 0.92,
    "coverage": 0.75,
}
"""The share of 95 % intervals that held their score in simulation, the lower of two settings; see resampling."""
TITLES = {
    "fd": ("FID", "FD"),
    "fd_infinity": ("FID-infinity", "FD-infinity"),
    "kid": ("KID", "KID"),
    "is": ("IS", "IS"),
}


def compared(
    real: NDArray[Any],
    synthetic: NDArray[Any],
    measures: Sequence[str] = ("fd", "fd_infinity", "kid", "prdc"),
    *,
    real_groups: NDArray[Any] | None = None,
    synthetic_groups: NDArray[Any] | None = None,
    draws: int = DRAWS,
    halvings: int = HALVINGS,
    level: float = 0.95,
    seed: int = 0,
    tick: Tick = lambda: None,
) -> dict[str, Estimate]:
    """Scores of two populations (n d), (m d) by `measures`: names of MEASURES that look at such rows.

    Gives fd, fd_infinity, kid, precision, recall, density, coverage, is, fsd, whichever were asked for, in
    that order of `measures`. real_groups (n,), synthetic_groups (m,): what images are not independent (a slide's, a
    tile's), drawn together. draws, halvings, level, tick: as in `resampling.estimate`. Without any difference between
    images distances are 0. Source: each measure's own file; intervals: Shao and Wu, Annals of Statistics 1989.

    Raises:
        UserError: an unknown measure, groups that do not fit, or too few images or values that are not finite.

    Example:
        >>> features = np.random.default_rng(0).normal(size=(2, 40, 3))
        >>> found = compared(*features, ("kid",), seed=1)["kid"]
        >>> found.low < 0 < found.high, found.real
        (True, 40)
    """
    check_names(measures)
    sides = Side(real, real_groups), Side(synthetic, synthetic_groups)
    found: dict[str, Estimate] = {}
    for name in measures:
        measure = MEASURES[name]
        found |= estimate(
            partial(_seeded, measure, seed),
            *sides,
            halves=measure.halves,
            least=measure.least,
            draws=draws,
            halvings=halvings,
            level=level,
            seed=seed,
            tick=tick,
        )
    return {name: _bounded(name, each) for name, each in found.items()}


def check_names(measures: Sequence[str], where: str = "") -> None:
    """Refuse what is no measure.

    Raises:
        UserError: an unknown name, or none at all.
    """
    if not measures:
        raise UserError("nothing to measure", expected=f"some of {', '.join(MEASURES)}", got="none", where=where)
    for name in measures:
        if name not in MEASURES:
            raise unknown_name("measure", name, MEASURES, where)


def work(measures: Sequence[str], draws: int = DRAWS, halvings: int = HALVINGS) -> int:
    """How many ticks `compared` gives."""
    return len(measures) * evaluations(draws, halvings)


def title(score: str, encoder: str) -> str:
    """What a score of an encoder is called: "FID", "KID" and "IS" are of Inception with the published weights alone.

    Example:
        >>> title("fd", "inception"), title("fd", "texture-1"), title("kid", "texture-1"), title("fsd", "texture-1")
        ('FID', 'FD-texture-1', 'KID-texture-1', 'FSD')
    """
    if score == "fsd":
        return "FSD"
    published, other = TITLES.get(score, (score, score))
    return published if encoder == INCEPTION else f"{other}-{encoder}"


def _seeded(measure: Measure, seed: int, real: NDArray[Any], synthetic: NDArray[Any]) -> dict[str, float]:
    return measure.scores(real, synthetic, seed)


def _bounded(name: str, found: Estimate) -> Estimate:
    low, high = np.clip([found.low, found.high], *BOUNDS.get(name, (-inf, inf)))
    return replace(found, low=float(low), high=float(high))
