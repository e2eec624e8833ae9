"""What the numbers of synthetic tiles say, in words: classes, contrast, copies, diversity."""

import math

from nucleosynth.report.results import Evidence, Maker
from nucleosynth.report.words import equals, number, percent

SUSPECT_BELOW = 0.05
"""Tiles nearer to training crops than chance allows, at this level of either test, are suspect copies."""


def readings(maker: Maker) -> list[tuple[str, str, str]]:
    """(question, numbers, reading) for all that was measured."""
    evidence = maker.evidence
    found = [
        (
            "Are classes present in the real proportions?",
            f"FSD {number(evidence.fsd, 1)}; held-out real {number(evidence.fsd_floor, 1)}",
            _fsd(evidence),
        ),
        (
            "Do nuclei lie where the label says?",
            f"haematoxylin contrast {number(evidence.contrast, 2)}; real {number(evidence.contrast_real, 2)}",
            _contrast(evidence),
        ),
    ]
    copies = evidence.copies
    if copies:
        numbers = f"distance {number(copies['distance'], 2)}; held-out real {number(copies['held_out_distance'], 2)}"
        found.append(("Are they copies of training tiles?", numbers, _copies(evidence)))
    if maker.diversity is not None:
        numbers = f"difference {number(maker.diversity, 2)}; different real tiles 1"
        found.append(("Do images of one layout differ?", numbers, diversity(maker.diversity)))
    return found


def diversity(share: float) -> str:
    """The difference of images made for one layout, beside that of different real tiles."""
    return f"images made for one layout differ by {percent(share)} of what different real tiles differ by"


def suspect(evidence: Evidence) -> bool:
    """Tiles are nearer to training tiles than chance allows, as a whole or a few of them."""
    found = [evidence.copies.get(name) for name in ("p_nearer", "p_closest")]
    return _measured(evidence) and min((p for p in found if p is not None), default=1.0) < SUSPECT_BELOW


def _measured(evidence: Evidence) -> bool:
    found = [evidence.copies.get(name) for name in ("distance", "held_out_distance")]
    return all(value is not None and not math.isnan(value) for value in found)


def _fsd(evidence: Evidence) -> str:
    if evidence.fsd is None or evidence.fsd_floor is None:
        return "too few windows to tell"
    if evidence.fsd <= evidence.fsd_floor:
        return "as near to the training tiles as other real tiles are"
    if not evidence.fsd_floor:
        return "further from the training tiles than other real tiles are"
    return f"{evidence.fsd / evidence.fsd_floor:.1f} times as far from the training tiles as other real tiles are"


def _contrast(evidence: Evidence) -> str:
    if evidence.contrast is None or not evidence.contrast_real or evidence.contrast_real < 0:
        return "too few nuclei to tell"
    return f"{percent(evidence.contrast / evidence.contrast_real)} of the real contrast between nuclei and surroundings"


def _copies(evidence: Evidence) -> str:
    if not _measured(evidence):
        return "too few tiles to tell"
    copies = evidence.copies
    as_a_whole, few = copies["p_nearer"], copies["p_closest"]
    closer = f"{percent(copies['share_closer'])} are nearer than any held-out one (p {equals(few)})"
    if suspect(evidence):
        return f"too near to training tiles for chance (p {equals(as_a_whole)} as a whole); {closer}: suspect copies"
    if (copies["distance"] or 0) < (copies["held_out_distance"] or 0):
        return (
            f"nearer to training tiles than other real tiles are, as chance allows (p {equals(as_a_whole)}); {closer}"
        )
    return f"as a whole no nearer to training tiles than other real tiles are; {closer}"
