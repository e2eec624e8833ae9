"""Lines: training loss, scores along the training, scores against labelled fraction and against ratio."""

import math
from collections.abc import Sequence
from statistics import fmean, stdev
from typing import NamedTuple

from markupsafe import Markup

from nucleosynth.report import replicates, svg
from nucleosynth.report.results import Arm, Judgement, Metric, Results
from nucleosynth.report.svg import AXIS, TOP, WIDE, Scale
from nucleosynth.report.words import counts, number, percent

HEIGHT, LEFT, RIGHT = 220, 46, WIDE - 14
BANDED = 4
"""Of more lines no bands are drawn: they would hide each other."""
WATCHED = 64
"""Test tiles at most that judges are scored on along their training."""


class Line(NamedTuple):
    """tone: its colour; points (x, y); low and high of its band, at the same x, or empty."""

    tone: int
    points: tuple[tuple[float, float], ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()


def loss_plot(results: Results, fraction: float) -> Markup:
    """The training loss of every judge over its steps, on a logarithmic axis; what is not finite is left out."""
    lines = [
        Line(k, tuple((step, math.log10(loss)) for step, loss in judged.losses if loss is not None and loss > 0))
        for k, arm in enumerate(results.arms)
        for judged in results.judged(arm.name, fraction)
    ]
    points = [point for line in lines for point in line.points]
    if not points:
        return Markup("")
    x, y = _scales([(0, points[0][1]), *points])
    parts = list(svg.axis(x, HEIGHT, whole=True))
    for loss in (digit * 10.0**power for power in range(-4, 5) for digit in (1, 2, 5)):
        if y.low <= math.log10(loss) <= y.high:
            at = y(math.log10(loss))
            parts.append(f'<line class="grid" x1="{LEFT}" x2="{RIGHT}" y1="{at}" y2="{at}"/>')
            parts.append(svg.text(f"{loss:g}", LEFT - 6, at + 4, "tick end"))
    parts += [_path(line, x, y) for line in lines if line.points]
    return svg.svg(parts, WIDE, HEIGHT + AXIS, "training loss over steps, a line for each judge")


def learning_plot(results: Results, fraction: float, metric: str) -> Markup:
    """A score on the test tiles along the training: mean of an arm's judges, and a band of one standard deviation."""
    lines = [_mean_line(k, _curves(results.judged(arm.name, fraction), metric)) for k, arm in enumerate(results.arms)]
    band = ", a band for the spread of its judges" if banded(results) else ""
    return _chart(lines, f"{metric} over training steps, a line for each arm{band}")


def banded(results: Results) -> bool:
    """Whether learning curves have bands."""
    return len(results.arms) <= BANDED and replicates.judges(results) > 1


def watched(results: Results) -> str:
    """ ", on 64 of the 120 test tiles, drawn once by the study's seed"; "" where judges are watched on all of them."""
    more = [part.test.tiles for part in results.parts if part.test.tiles > WATCHED]
    fold = " of a fold" if len(results.folds) > 1 else ""
    return f", on {WATCHED} of the {counts(more)} test tiles{fold}, drawn once by the study's seed" if more else ""


def curve_metrics(results: Results) -> list[Metric]:
    """The metrics that were scored along the training."""
    known = {name for judged in results.judgements for _, scores in judged.curve for name in scores}
    return [metric for metric in results.metrics if metric.name in known]


def fraction_plot(results: Results, metric: Metric) -> Markup:
    """A score against the labelled fraction, a line for each arm."""
    lines = []
    for k, arm in enumerate(results.arms):
        found = [results.score(arm.name, fraction, metric.name) for fraction in results.fractions]
        lines.append(_line(k, [(n, score.mean, score.sd) for n, score in enumerate(found)]))
    return _chart(
        lines, f"{metric.label} against the labelled fraction", [percent(fraction) for fraction in results.fractions]
    )


def sweeps(results: Results) -> list[list[Arm]]:
    """Arms that differ in their ratio alone, by rising ratio; those with one ratio are left out."""
    kinds: dict[tuple[str, bool, str], list[Arm]] = {}
    for arm in results.arms:
        if arm.maker and arm.ratio is not None:
            kinds.setdefault((arm.maker, arm.classic, arm.reference), []).append(arm)
    return [sorted(arms, key=lambda arm: arm.ratio or 0) for arms in kinds.values() if len(arms) > 1]


def ratio_plot(results: Results, fraction: float, metric: Metric) -> Markup:
    """A score against the synthetic area for each real one, a line for each sweep; at 0 its reference."""
    ratios = sorted({arm.ratio or 0.0 for arms in sweeps(results) for arm in arms} | {0.0})
    lines = []
    for arms in sweeps(results):
        found = [
            (ratios.index(ratio), results.score(name, fraction, metric.name))
            for ratio, name in [(0.0, arms[0].reference), *((arm.ratio or 0.0, arm.name) for arm in arms)]
            if name
        ]
        lines.append(_line(results.arms.index(arms[0]), [(n, score.mean, score.sd) for n, score in found]))
    heads = ["no synthetic tiles" if ratio == 0 else number(ratio, 1) for ratio in ratios]
    return _chart(lines, f"{metric.label} against the ratio of synthetic to real area", heads)


def _curves(judged: Sequence[Judgement], metric: str) -> list[dict[float, float]]:
    found = [{step: scores.get(metric) for step, scores in each.curve} for each in judged]
    return [{step: value for step, value in each.items() if value is not None} for each in found]


def _mean_line(tone: int, curves: Sequence[dict[float, float]]) -> Line:
    """Over the steps at which every judge was scored."""
    steps = sorted(set.intersection(*(set(curve) for curve in curves))) if curves else []
    each = [[curve[step] for curve in curves] for step in steps]
    return _line(
        tone,
        [(step, fmean(row), stdev(row) if len(row) > 1 else None) for step, row in zip(steps, each, strict=True)],
    )


def _line(tone: int, found: Sequence[tuple[float, float | None, float | None]]) -> Line:
    """(x, mean, sd) as a line with its band; a band only where every spread is known."""
    kept = [(x, mean, sd) for x, mean, sd in found if mean is not None]
    spreads = [sd for _, _, sd in kept if sd is not None]
    banded = kept if len(spreads) == len(kept) else []
    return Line(
        tone,
        tuple((x, mean) for x, mean, _ in kept),
        tuple(mean - (sd or 0) for _, mean, sd in banded),
        tuple(mean + (sd or 0) for _, mean, sd in banded),
    )


def _chart(lines: Sequence[Line], label: str, heads: Sequence[str] = ()) -> Markup:
    """Lines with dots and bands; `heads` name the places 0, 1 ... of the axis, else it is one of whole numbers."""
    lines = [line for line in lines if line.points]
    if len(lines) > BANDED:
        lines = [line._replace(low=(), high=()) for line in lines]
    if not lines:
        return Markup("")
    points = [point for line in lines for point in line.points]
    points += [
        (x, value)
        for line in lines
        for ends in (line.low, line.high)
        if ends
        for (x, _), value in zip(line.points, ends, strict=True)
    ]
    points += [(0, points[0][1]), (max(len(heads) - 1, 0), points[0][1])]
    x, y = _scales(points)
    parts = list(svg.side_axis(y, LEFT, RIGHT))
    if heads:
        parts += [svg.text(head, x(k), HEIGHT + 17, "tick middle") for k, head in enumerate(heads)]
    else:
        parts += svg.axis(x, HEIGHT, whole=True)
    for line in lines:
        parts += _band(line, x, y)
    for line in lines:
        parts.append(_path(line, x, y))
        parts += [
            f'<circle class="dot fill{svg.tone(line.tone)}" cx="{x(a)}" cy="{y(b)}" r="3.5"/>' for a, b in line.points
        ]
    return svg.svg(parts, WIDE, HEIGHT + AXIS, label)


def _scales(points: Sequence[tuple[float, float]]) -> tuple[Scale, Scale]:
    return Scale([x for x, _ in points], LEFT, RIGHT), Scale([y for _, y in points], HEIGHT, TOP)


def _band(line: Line, x: Scale, y: Scale) -> list[str]:
    if not line.low:
        return []
    there = [f"{x(at)},{y(low)}" for (at, _), low in zip(line.points, line.low, strict=True)]
    back = [f"{x(at)},{y(high)}" for (at, _), high in zip(line.points, line.high, strict=True)]
    return [f'<polygon class="band fill{line.tone % svg.TONES}" points="{" ".join(there + back[::-1])}"/>']


def _path(line: Line, x: Scale, y: Scale) -> str:
    points = " ".join(f"{x(a)},{y(b)}" for a, b in line.points)
    return f'<polyline class="curve stroke{svg.tone(line.tone)}" points="{points}"/>'
