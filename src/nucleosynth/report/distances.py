"""Distances of makers as tables show them: fold by fold, and the mean of the folds."""

from collections.abc import Iterator
from typing import NamedTuple

from nucleosynth.metrics.distribution import HELD
from nucleosynth.report.results import Estimate, Maker, Results

MEAN = "mean"
"""In the place of a fold's name: the mean of all folds."""


def held() -> str:
    """What the intervals are worth, by simulation."""
    shares = {name: share for name, share in HELD.items() if name != "coverage"}
    low, high = (round(100 * share) for share in (min(shares.values()), max(shares.values())))
    return (
        f"Intervals come from halves drawn without replacement; simulated, {low} to {high} % of them held their score, "
        f"of coverage {100 * HELD['coverage']:.0f} %."
    )


class Distance(NamedTuple):
    """An estimate of a maker (by name) at a fraction in a fold, or the mean over folds, which has no interval."""

    maker: str
    fraction: float
    fold: str
    estimate: Estimate


def distances(results: Results) -> list[Distance]:
    """Of every maker and fold; after those of a maker at a fraction their means, where there are several folds."""
    found = []
    for name in dict.fromkeys(maker.name for maker in results.makers):
        for fraction in results.fractions:
            each = [
                Distance(name, fraction, maker.fold, estimate)
                for maker in results.makers
                if (maker.name, maker.fraction) == (name, fraction)
                for estimate in estimates(maker)
            ]
            found += each
            found += _means(each) if len(results.folds) > 1 else []
    return found


def estimates(maker: Maker) -> list[Estimate]:
    """All distances of a maker, FSD among them."""
    known = list(maker.evidence.distances)
    if any(each.metric == "FSD" for each in known):
        return known
    found = maker.evidence
    return [*known, Estimate(metric="FSD", value=found.fsd, low=None, high=None, floor=found.fsd_floor, better="lower")]


def kind_of(metric: str) -> str:
    """The column of a paper's table that a distance belongs to: FID (any encoder's), IS, FSD; "" for none."""
    if "infinity" in metric:
        return ""
    return {"FID": "FID", "FD": "FID", "IS": "IS", "FSD": "FSD"}.get(metric.partition("-")[0], "")


def in_table(results: Results, maker: str, fraction: float, kind: str) -> Estimate | None:
    """The distance that stands in a paper's column, of the mean of the folds where there are several."""
    fold = MEAN if len(results.folds) > 1 else results.folds[0]
    wanted = (maker, fraction, fold, kind)
    return next(
        (
            each.estimate
            for each in distances(results)
            if (each.maker, each.fraction, each.fold, kind_of(each.estimate.metric)) == wanted
        ),
        None,
    )


def _means(each: list[Distance]) -> Iterator[Distance]:
    for metric in dict.fromkeys(one.estimate.metric for one in each):
        same = [one for one in each if one.estimate.metric == metric]
        values, floors = ([getattr(one.estimate, name) for one in same] for name in ("value", "floor"))
        estimate = same[0].estimate.model_copy(
            update={"value": _mean(values), "low": None, "high": None, "floor": _mean(floors)}
        )
        yield same[0]._replace(fold=MEAN, estimate=estimate)


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None
