"""Which arms are set beside which: each beside its reference; one with a recipe's pairs also beside the control that
spends the recipe's compute on real tiles, plain beside plain and classic beside classic."""

from nucleosynth.report.results import Arm, Comparison, Results
from nucleosynth.report.words import MINUS

Pairs = list[tuple[Arm, Arm]]


def own(results: Results) -> Pairs:
    """Each arm that has a reference, and it."""
    return [(arm, results.arm(arm.reference)) for arm in results.arms if arm.reference]


def controlled(results: Results) -> Pairs:
    """Each arm that was tested against a control of equal compute, and the control."""
    tested = {(found.arm, found.reference) for found in results.comparisons}
    return [
        (arm, control)
        for control in results.arms
        if control.compute_of
        for arm in arms_of(results, control)
        if (arm.name, control.name) in tested
    ]


def arms_of(results: Results, control: Arm) -> list[Arm]:
    """The arms whose pairs a control's compute would have made, on the same real tiles varied in the same way."""
    return [arm for arm in results.arms if (arm.maker, arm.classic) == (control.compute_of, control.classic)]


def pairs(results: Results) -> Pairs:
    """All that are compared."""
    return own(results) + controlled(results)


def name_of(arm: Arm, reference: Arm) -> str:
    """A comparison as tables call it."""
    return f"{arm.label} {MINUS} {reference.label}"


def rows(results: Results, fraction: float, metric: str) -> list[tuple[str, Comparison]]:
    """All comparisons of a metric at a fraction, named."""
    found = [
        (name_of(arm, other), results.against(arm.name, fraction, metric, other.name)) for arm, other in pairs(results)
    ]
    return [(name, one) for name, one in found if one is not None]
