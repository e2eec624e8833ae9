"""What a study found, in words: no more than its numbers say.

A gain is claimed where the 95 % interval lies above 0 and p, corrected for all comparisons of the primary outcome, is
below 5 %. Everything else is "no gain could be shown", which is not "there is none".
"""

from collections import Counter
from collections.abc import Iterator
from typing import Literal, NamedTuple

from nucleosynth.report.results import Arm, Comparison, Results
from nucleosynth.report.words import equals, number, percent, plural, signed

LEVEL = 0.05
Kind = Literal["gain", "loss", "none", "untested", "undefined"]


NAMES: dict[Kind, str] = {
    "gain": "gain",
    "loss": "loss",
    "none": "no gain shown",
    "untested": "not tested",
    "undefined": "not defined",
}


class Finding(NamedTuple):
    """What one comparison of the primary outcome says."""

    kind: Kind
    sentence: str
    arm: str
    fraction: float


def outcome(results: Results) -> list[Finding]:
    """A finding for each arm that is compared with another, at each labelled fraction."""
    primary = results.metrics[0]
    return [
        _finding(arm, found, results)
        for arm in results.arms
        for fraction in results.fractions
        if (found := results.comparison(arm.name, fraction, primary.name)) is not None
    ]


def summary(findings: list[Finding]) -> str:
    """All findings in a sentence."""
    found = Counter(finding.kind for finding in findings)
    compared = f"the {len(findings)} comparisons"
    if not findings:
        return "Nothing is compared in this study."
    if not found["gain"] and not found["loss"]:
        return (
            f"No gain could be shown in any of {compared}." if found["none"] else f"None of {compared} can be tested."
        )
    says = [f"{found['gain']} show{'s' * (found['gain'] == 1)} a gain", f"{found['loss']} a loss"]
    says += [f"{found['none']} neither"] if found["none"] else []
    untested = found["untested"] + found["undefined"]
    says += [f"{untested} cannot be tested"] if untested else []
    return f"Of {compared}, {', '.join(says)}."


def tested(results: Results, metric: str) -> int:
    """How many comparisons of a metric have a p value: what it is corrected for."""
    return sum(found.metric == metric and found.p is not None for found in results.comparisons)


def kind_of(found: Comparison) -> Kind:
    """What a comparison may be called."""
    if found.mean is None:
        return "undefined"
    if found.low is None or found.high is None or found.p is None:
        return "untested"
    if (found.p if found.p_corrected is None else found.p_corrected) >= LEVEL or found.low <= 0 <= found.high:
        return "none"
    return "gain" if found.mean > 0 else "loss"


def controls(results: Results) -> Iterator[str]:
    """Each arm on real tiles that was given a generator's compute, beside the arms with that generator's tiles."""
    primary = results.metrics[0]
    for control in (arm for arm in results.arms if arm.compute_of):
        for fraction in results.fractions:
            given = results.score(control.name, fraction, primary.name).mean
            others = [
                f"{arm.label} {number(results.score(arm.name, fraction, primary.name).mean)}"
                for arm in results.arms
                if arm.maker == control.compute_of
            ]
            if others:
                yield (
                    f"{_at(fraction, results)}{control.label} (the generator's compute spent on further steps with "
                    f"real tiles) reaches {number(given)} {primary.label}; {', '.join(others)}."
                )


def _finding(arm: Arm, found: Comparison, results: Results) -> Finding:
    kind = kind_of(found)
    return Finding(kind, _at(found.fraction, results) + _sentence(kind, arm, found, results), arm.name, found.fraction)


def _sentence(kind: Kind, arm: Arm, found: Comparison, results: Results) -> str:
    metric, reference = results.metrics[0], results.arm(found.reference)
    what = f"judges trained with {arm.label}"
    if kind == "undefined":
        return f"nothing can be said of {what}: {metric.label} is not defined on these test tiles."
    size = f"{signed(found.mean)} {metric.label} against {reference.label}"
    if kind == "untested":
        if found.low is not None and found.high is not None:
            return f"no test can be made of {what}: every pair of judges differs by the same, {size}."
        pairs = plural(len(found.each), "pair")
        return f"no test can be made from {pairs} of judges: {what} differ by {size}, by an unknown margin of chance."
    finding = {
        "gain": f"{what} see nuclei better",
        "loss": f"{what} see nuclei worse",
        "none": f"no gain could be shown from training with {arm.label}",
    }[kind]
    if kind == "none" and not (found.low or 0) <= 0 <= (found.high or 0):
        finding += ", once p is corrected for all comparisons"
    return f"{finding}: {size}, 95 % interval {signed(found.low)} to {signed(found.high)}, {_chance(found, results)}."


def _chance(found: Comparison, results: Results) -> str:
    comparisons = tested(results, found.metric)
    if found.p_corrected is None or comparisons < 2:
        return f"p {equals(found.p)}"
    return f"p {equals(found.p)}, corrected for {comparisons} comparisons {equals(found.p_corrected)}"


def _at(fraction: float, results: Results) -> str:
    return f"With {percent(fraction)} of the labels, " if len(results.fractions) > 1 else ""
