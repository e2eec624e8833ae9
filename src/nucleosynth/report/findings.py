"""What a study found, in words: no more than its numbers say.

A gain is claimed where the 95 % interval lies above 0 and p, corrected for all comparisons of the primary outcome, is
below 5 %. Everything else is "no gain could be shown", which is not "there is none". Of one fold, every sentence says
that it is of these test tiles and this generator; of several, how many folds it rests on.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from nucleosynth.report import compared, replicates
from nucleosynth.report.results import Arm, Comparison, Judgement, Results
from nucleosynth.report.words import counts, equals, number, percent, plural, signed

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
    """A finding for each arm that has a reference, at each labelled fraction."""
    return _findings(results, compared.own(results))


def at_equal_compute(results: Results) -> list[Finding]:
    """A finding for each arm that was tested against a control of equal compute, at each labelled fraction."""
    return _findings(results, compared.controlled(results), "at equal compute, ")


def summary(findings: list[Finding], results: Results) -> str:
    """All findings in a sentence."""
    found = Counter(finding.kind for finding in findings)
    where = " on these test tiles" if len(results.folds) == 1 else f" over {plural(len(results.folds), 'fold')}"
    all_of_them = f"the {plural(len(findings), 'comparison')}{where}"
    if not findings:
        return "Nothing is compared in this study."
    if not found["gain"] and not found["loss"]:
        return (
            f"No gain could be shown in any of {all_of_them}."
            if found["none"]
            else (f"None of {all_of_them} can be tested.")
        )
    says = [f"{found['gain']} show{'s' * (found['gain'] == 1)} a gain", f"{found['loss']} a loss"]
    says += [f"{found['none']} neither"] if found["none"] else []
    untested = found["untested"] + found["undefined"]
    says += [f"{untested} cannot be tested"] if untested else []
    return f"Of {all_of_them}, {', '.join(says)}."


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
    """Each arm on real tiles that was given a generator's compute: what that is, and how far it brings the judge."""
    primary = results.metrics[0]
    for control in (arm for arm in results.arms if arm.compute_of):
        arms = compared.arms_of(results, control)
        for fraction in results.fractions if arms else ():
            given, *others = (number(results.score(arm.name, fraction, primary.name).mean) for arm in (control, *arms))
            beside = ", ".join(f"{arm.label} {mean}" for arm, mean in zip(arms, others, strict=True))
            yield (
                f"{_at(fraction, results)}judges of {control.label} take, on real tiles alone, as many further "
                f"steps as {_compute(control, results)} would have bought, "
                f"{_steps(results.judged(control.name, fraction))} in all, and reach {given} {primary.label}; {beside}."
            )


def _compute(control: Arm, results: Results) -> str:
    """What a control is given."""
    label = next((maker.label for maker in results.makers if maker.name == control.compute_of), control.compute_of)
    ratios = {arm.ratio for arm in results.arms if arm.maker == control.compute_of and arm.ratio is not None}
    largest = f", as many as ratio {max(ratios):g} needs," if len(ratios) > 1 else ""
    return f"fitting {label} and making all its pairs{largest}"


def _steps(judged: Sequence[Judgement]) -> str:
    return counts([each.steps for each in judged]) if judged else "none"


def _findings(results: Results, pairs: compared.Pairs, how: str = "") -> list[Finding]:
    metric = results.metrics[0].name
    return [
        _finding(arm, found, results, how)
        for arm, other in pairs
        for fraction in results.fractions
        if (found := results.against(arm.name, fraction, metric, other.name)) is not None
    ]


def _finding(arm: Arm, found: Comparison, results: Results, how: str) -> Finding:
    kind = kind_of(found)
    sentence = _at(found.fraction, results) + how + _sentence(kind, arm, found, results)
    return Finding(kind, sentence, arm.name, found.fraction)


def _sentence(kind: Kind, arm: Arm, found: Comparison, results: Results) -> str:
    metric, reference = results.metrics[0], results.arm(found.reference)
    what, several = f"judges trained with {arm.label}", len(results.folds) > 1
    if kind == "undefined":
        where = "defined in no fold for every judge" if several else "not defined on these test tiles"
        return f"nothing can be said of {what}: {metric.label} is {where}."
    size = f"{signed(found.mean)} {metric.label} against {reference.label}"
    if kind == "untested":
        if found.low is not None and found.high is not None:
            one = "fold" if several else "pair of judges"
            return f"no test can be made of {what}: every {one} differs by the same, {size}."
        few = replicates.folds_of(results, found.each) if several else f"{plural(len(found.each), 'pair')} of judges"
        return f"no test can be made from {few}: {what} differ by {size}, by an unknown margin of chance."
    where = _where(arm, found, results)
    finding = {
        "gain": f"{what} see nuclei better {where}",
        "loss": f"{what} see nuclei worse {where}",
        "none": f"no gain could be shown from training with {arm.label} {where}",
    }[kind]
    if kind == "none" and not (found.low or 0) <= 0 <= (found.high or 0):
        finding += ", once p is corrected for all comparisons"
    return f"{finding}: {size}, 95 % interval {signed(found.low)} to {signed(found.high)}, {_chance(found, results)}."


def _where(arm: Arm, found: Comparison, results: Results) -> str:
    """What a finding may be said of."""
    if len(results.folds) > 1:
        return f"over {replicates.folds_of(results, found.each)}"
    return "on these test tiles" + (", with this generator" if arm.maker else "")


def _chance(found: Comparison, results: Results) -> str:
    comparisons = tested(results, found.metric)
    if found.p_corrected is None or comparisons < 2:
        return f"p {equals(found.p)}"
    return f"p {equals(found.p)}, corrected for {comparisons} comparisons {equals(found.p_corrected)}"


def _at(fraction: float, results: Results) -> str:
    return f"With {percent(fraction)} of the labels, " if len(results.fractions) > 1 else ""
