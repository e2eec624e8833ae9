"""Whose tiles are suspect copies: two tests of every maker in every part, corrected for all of them (holm.py).

Held-out tiles are of other slides than training tiles: that alone can make synthetic tiles seem too near, as they share
the stain and the tissue of the training slides. So tiles are called suspect, never copies.
"""

import math
from typing import NamedTuple

from nucleosynth.report.holm import holm
from nucleosynth.report.results import Evidence, Maker, Results

SUSPECT_BELOW = 0.05
"""Tiles nearer to training crops than chance allows are suspect copies: either test, corrected, at this level."""
OTHER_SLIDES = (
    "Held-out tiles are of other slides: sharing no more than the look of a training slide may pass for copying."
)


class Chances(NamedTuple):
    """p, corrected, that tiles drawn like held-out ones come so near: as a whole, and the nearest of them."""

    nearer: float | None
    closest: float | None


def chances(results: Results) -> dict[tuple[str, str, float], Chances]:
    """Of every maker in every part: by name, fold and fraction."""
    raw = [p for maker in results.makers for p in _raw(maker.evidence)]
    found = holm(raw)
    return {
        (maker.name, maker.fold, maker.fraction): Chances(*found[2 * k : 2 * k + 2])
        for k, maker in enumerate(results.makers)
    }


def chances_of(maker: Maker, results: Results) -> Chances:
    """Of one of them."""
    return chances(results)[maker.name, maker.fold, maker.fraction]


def tests(results: Results) -> int:
    """How many tests there are: what each p is corrected for."""
    return sum(p is not None for maker in results.makers for p in _raw(maker.evidence))


def suspect(maker: Maker, results: Results) -> bool:
    """Tiles are nearer to training tiles than chance allows, as a whole or a few of them."""
    return any(p is not None and p < SUSPECT_BELOW for p in chances_of(maker, results))


def measured(evidence: Evidence) -> bool:
    """Whether there were tiles of both kinds that show something."""
    found = [evidence.copies.get(name) for name in ("distance", "held_out_distance")]
    return all(value is not None and not math.isnan(value) for value in found)


def _raw(evidence: Evidence) -> Chances:
    if not measured(evidence):
        return Chances(None, None)
    return Chances(evidence.copies.get("p_nearer"), evidence.copies.get("p_closest"))
