"""How far chance moves a score of two populations, from the one sample of each that there is.

A bootstrap draws with replacement. Images that are there twice are what these scores are about: they are nearest
neighbours at distance 0, and leave covariances with fewer dimensions, so a bootstrapped Frechet distance lies far above
the one it is to be an interval of. Here halves are drawn without replacement (the delete-half jackknife; Shao and Wu,
Annals of Statistics 1989): for a smooth score the spread over halves of n images is that over new samples of n images,
since 1 / (n / 2) - 1 / n = 1 / n. Halves have a bias of their own, so they give the interval its width alone: it is
laid around the score of all images (a basic interval, centred). It says where the score would lie with as many images
drawn anew; of a score without bias, that is where the populations' lies.

How often an interval of 95 % does so differs from score to score (benchmarks/intervals.py: 60 images a side, 8
features; two populations apart, then the same one; 200 replicates, so known to .02 at .95 and to .03 at .8):

    FD .95 1.00, FD-infinity 1.00 1.00, KID .93 1.00, FSD .94 1.00, IS .94 .94,
    precision .93 .94, recall .94 .95, density .93 .92, coverage .81 .75

Distances of one population, and FD-infinity always, have intervals that are too wide (1.6 to 2.8 times), for they are
far from linear there. Those of coverage are too narrow (.7 and .5 times): halves, whose balls are larger, differ in it
by less than samples do. `distribution.HELD` keeps the lower share of each score, and `compare` states it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucleosynth.errors import UserError
from nucleosynth.seeds import generator_of

Score = Callable[[NDArray[Any], NDArray[Any]], dict[str, float]]
"""From the rows of the real and of the synthetic side to numbers by name."""
Rows = NDArray[np.intp]
Tick = Callable[[], None]


@dataclass(frozen=True)
class Estimate:
    """A score and what chance makes of it; NaN where there are too few images to say.

    value: of all images. low, high: the interval. floor: of one half of the real images against the other, the mean
    over halvings; floor_high: what one halving in forty exceeds, at the level .95. at_floor: of the same halves against
    as many synthetic images, the mean, so that both have the same bias. real, synthetic: numbers of images.
    """

    value: float
    low: float
    high: float
    floor: float
    floor_high: float
    at_floor: float
    real: int
    synthetic: int


@dataclass(frozen=True)
class Side:
    """One population: rows (n, ...), one for each image, and which images come together (n,), if any do.

    groups: numbers or names of slides, say, whose images are not independent; they are drawn as a whole.
    """

    rows: NDArray[Any]
    groups: NDArray[Any] | None = None

    def __post_init__(self) -> None:
        if self.groups is not None and len(self.groups) != len(self.rows):
            raise UserError(
                "groups do not fit the images", expected=f"{len(self.rows)} of them", got=str(len(self.groups))
            )

    def halves(self, rng: np.random.Generator) -> tuple[Rows, Rows]:
        """The images of one half of the groups, and those of the other, in a random order."""
        of = np.arange(len(self.rows)) if self.groups is None else np.unique(self.groups, return_inverse=True)[1]
        kinds = rng.permutation(of.max(initial=-1) + 1)
        first = np.isin(of, kinds[: len(kinds) // 2])
        return rng.permutation(np.flatnonzero(first)), rng.permutation(np.flatnonzero(~first))


def estimate(
    score: Score,
    real: Side,
    synthetic: Side,
    *,
    halves: Score | None = None,
    least: int = 2,
    draws: int = 100,
    halvings: int = 20,
    level: float = 0.95,
    seed: int = 0,
    tick: Tick = lambda: None,
) -> dict[str, Estimate]:
    """`score` of all images, its interval at `level`, and its real-versus-real floor, by the score's names.

    halves: the same score by a quicker way, for halves; least: images on each side that it needs; draws: how many
    halves give the interval, 0 for none; halvings: of the real side, for the floor; tick: called after each of
    `evaluations`.

    Raises:
        UserError: a level that is none, or what `score` raises.
    """
    if not 0 < level < 1:
        raise UserError("no level of confidence", expected="a number between 0 and 1", got=str(level))
    quick = halves or score
    found = score(real.rows, synthetic.rows)
    tick()
    nothing = dict.fromkeys(found, np.nan)

    def of(first: NDArray[Any], second: NDArray[Any]) -> dict[str, float]:
        tick()
        return quick(first, second) if min(len(first), len(second)) >= least else nothing

    rng = generator_of(seed, 0)
    drawn = [of(real.rows[real.halves(rng)[0]], synthetic.rows[synthetic.halves(rng)[0]]) for _ in range(draws)]
    rng = generator_of(seed, 1)
    floors, beside = [], []
    for _ in range(halvings):
        one, other = real.halves(rng)
        some = rng.permutation(len(synthetic.rows))[: len(other)]
        floors.append(of(real.rows[one], real.rows[other[: len(some)]]))
        beside.append(of(real.rows[one], synthetic.rows[some]))
    return {
        name: Estimate(
            value,
            *_interval(value, _column(drawn, name), level),
            *_floor(_column(floors, name), level),
            *_floor(_column(beside, name), level)[:1],
            *(len(real.rows), len(synthetic.rows)),
        )
        for name, value in found.items()
    }


def evaluations(draws: int, halvings: int) -> int:
    """How many times `estimate` evaluates a score."""
    return 1 + draws + 2 * halvings


def _interval(value: float, drawn: NDArray[np.float64], level: float) -> tuple[float, float]:
    """What lies around `value` as the draws lie around their mean, mirrored; (NaN, NaN) without two draws."""
    if len(drawn) < 2:
        return np.nan, np.nan
    above, below = np.quantile(drawn - drawn.mean(), [(1 + level) / 2, (1 - level) / 2])
    return float(value - above), float(value - below)


def _floor(halved: NDArray[np.float64], level: float) -> tuple[float, float]:
    """Mean and upper end of the scores of halves; NaN without any."""
    return (float(halved.mean()), float(np.quantile(halved, (1 + level) / 2))) if len(halved) else (np.nan, np.nan)


def _column(found: list[dict[str, float]], name: str) -> NDArray[np.float64]:
    return np.array([each[name] for each in found])
