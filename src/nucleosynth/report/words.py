"""Numbers and findings in words: what a report may say, and what it must not."""

import math

from nucleosynth.report.results import Arm, Difference, Evidence, Results, Summary

MINUS = "\N{MINUS SIGN}"
UNDEFINED = "\N{EN DASH}"
SUSPECT_BELOW = 0.05
"""Tiles nearer to training crops than chance allows, at this level of either test, are suspect copies."""


def number(value: float | None, digits: int = 3) -> str:
    """A number with a true minus sign; a dash where it is undefined."""
    return UNDEFINED if value is None else f"{value:.{digits}f}".replace("-", MINUS)


def signed(value: float | None, digits: int = 3) -> str:
    """The same, with its sign."""
    return UNDEFINED if value is None else f"{value:+.{digits}f}".replace("-", MINUS)


def spread(summary: Summary) -> str:
    """Mean ± standard deviation."""
    return number(summary.mean) + (f" ± {number(summary.sd)}" if summary.sd is not None else "")


def interval(difference: Difference) -> str:
    """The 95 % interval in brackets; empty where there is none."""
    if difference.low is None:
        return ""
    return f"[{signed(difference.low)}, {signed(difference.high)}]"


def p_value(p: float | None) -> str:
    """Two digits, never 0."""
    return UNDEFINED if p is None else "< 0.001" if p < 0.001 else f"{p:.2g}" if p < 0.1 else f"{p:.2f}"


def minutes(seconds: float | None) -> str:
    """Seconds as minutes."""
    return UNDEFINED if seconds is None else f"{seconds / 60:.1f} min"


def percent(share: float | None) -> str:
    """A share of 1 as per cent."""
    return UNDEFINED if share is None else f"{100 * share:.0f} %"


def outcome(results: Results) -> list[str]:
    """One sentence an arm on the primary metric: higher, lower, or no gain shown."""
    return [_outcome(arm, results) for arm in results.arms if arm.differences]


def _outcome(arm: Arm, results: Results) -> str:
    metric = results.metrics[0]
    found = arm.differences[metric.name]
    what, size = f"with {source_of(arm)}", f"{signed(found.mean)} {metric.label}"
    if found.mean is None:
        return f"Nothing can be said of judges trained {what}: {metric.label} is not defined on these test tiles."
    if found.low is None or found.high is None:
        return (
            f"No test can be made from {len(found.each)} seed{'s' if len(found.each) > 1 else ''}: judges trained "
            f"{what} differ by {size} from those trained on real tiles alone, by an unknown margin of chance."
        )
    if found.low > 0:
        finding = f"Judges trained {what} see nuclei better"
    elif found.high < 0:
        finding = f"Judges trained {what} see nuclei worse"
    else:
        finding = f"No gain could be shown from training {what}"
    p = f", p {_equals(found.p)}" if found.p is not None else ""
    return f"{finding}: {size} against real tiles alone, 95 % interval {signed(found.low)} to {signed(found.high)}{p}."


def source_of(arm: Arm) -> str:
    """What an arm adds to the real tiles, without "real+"."""
    return arm.label.partition("+")[2]


def readings(evidence: Evidence) -> list[tuple[str, str, str]]:
    """What the distribution numbers say: (question, numbers, reading)."""
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
    return found


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
    copies = evidence.copies
    distance, other = copies["distance"], copies["held_out_distance"]
    if distance is None or other is None or math.isnan(distance):
        return "too few tiles to tell"
    as_a_whole, few = copies["p_nearer"], copies["p_closest"]
    closer = f"{percent(copies['share_closer'])} are nearer than any held-out one (p {_equals(few)})"
    if min(p for p in (as_a_whole, few, 1) if p is not None) < SUSPECT_BELOW:
        return f"too near to training tiles for chance (p {_equals(as_a_whole)} as a whole); {closer}: suspect copies"
    if distance < other:
        return (
            f"nearer to training tiles than other real tiles are, as chance allows (p {_equals(as_a_whole)}); {closer}"
        )
    return f"as a whole no nearer to training tiles than other real tiles are; {closer}"


def _equals(p: float | None) -> str:
    return p_value(p) if p is not None and p < 0.001 else f"= {p_value(p)}"
