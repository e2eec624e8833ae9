"""Plots as inline SVG: dots and intervals, loss curves, bars. Colours are those of the page, so that they follow its
light or dark; every number that is drawn stands in a table as well."""

import math
from collections.abc import Iterator, Sequence

from markupsafe import Markup, escape

from nucleosynth.report.results import Arm, Metric, Results
from nucleosynth.report.words import MINUS

WIDTH, WIDE, ROW, TOP, AXIS = 420, 780, 26, 10, 26
ROUNDING = 1e-6
"""Values nearer than this are drawn as one."""
LABEL = 132
"""Px left of an axis for names."""


class Scale:
    """Values to px: [low, high] of the values, a little wider, between `left` and `right`."""

    def __init__(self, values: Sequence[float], left: float, right: float) -> None:
        low, high = min(values), max(values)
        margin = 0.06 * (high - low) if high - low > ROUNDING else 0.05
        self.low, self.high, self.left, self.right = low - margin, high + margin, left, right

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(self.left + share * (self.right - self.left), 1)

    def ticks(self, about: int = 6) -> list[float]:
        """Round values inside, about so many."""
        raw = (self.high - self.low) / about
        power = 10.0 ** math.floor(math.log10(raw))
        step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw)
        return [k * step for k in range(math.ceil(self.low / step), math.floor(self.high / step) + 1)]


def values_plot(results: Results, metric: Metric) -> Markup:
    """A metric of every arm: a dot a seed, the mean, a line for one standard deviation; the ceiling dashed."""
    each = [(arm, arm.summaries[metric.name]) for arm in results.arms]
    ceiling = results.ceiling.get(metric.name)
    reach = [value for _, found in each for value in found.each if value is not None]
    reach += [found.mean + sign * (found.sd or 0) for _, found in each if found.mean is not None for sign in (-1, 1)]
    if not reach:
        return Markup("")
    if ceiling is not None and ceiling - max(reach) < 2 * (max(reach) - min(reach)):
        reach.append(ceiling)
    x, height = Scale(reach, LABEL, WIDTH - 14), TOP + ROW * len(each)
    parts = list(_axis(x, height))
    if ceiling is not None and x.low <= ceiling <= x.high:
        parts.append(f'<line class="ceiling" x1="{x(ceiling)}" x2="{x(ceiling)}" y1="{TOP}" y2="{height}"/>')
    for k, (arm, found) in enumerate(each):
        y = TOP + ROW * (k + 0.5)
        parts.append(_name(arm.label, y))
        if found.mean is not None:
            if found.sd is not None:
                parts.append(_line(k, x(found.mean - found.sd), x(found.mean + found.sd), y))
            parts.append(
                f'<rect class="fill{k % 6}" x="{x(found.mean) - 1.5}" y="{y - 8}" width="3" height="16" rx="1"/>'
            )
        parts += _dots(k, x, found.each, y)
    return _svg(parts, WIDTH, height + AXIS, f"{metric.label} of each arm; a dot for each seed")


def differences_plot(results: Results, arm: Arm, metrics: Sequence[Metric]) -> Markup:
    """An arm's differences to real tiles alone in some metrics: a dot a seed, the mean, and the 95 % interval."""
    rows = [(metric, arm.differences[metric.name]) for metric in metrics]
    rows = [(metric, found) for metric, found in rows if found.mean is not None]
    reach = [0.0]
    for _, found in rows:
        reach += [value for value in (*found.each, found.low, found.high) if value is not None]
    width = WIDE
    x, height = Scale(reach, LABEL, width - 14), TOP + ROW * len(rows)
    parts = list(_axis(x, height, signs=True))
    parts.append(f'<line class="zero" x1="{x(0)}" x2="{x(0)}" y1="{TOP - 6}" y2="{height}"/>')
    colour = results.arms.index(arm)
    for k, (metric, found) in enumerate(rows):
        y = TOP + ROW * (k + 0.5)
        parts.append(_name(metric.label, y, strong=metric is results.metrics[0]))
        if found.low is not None and found.high is not None:
            parts.append(_line(colour, x(found.low), x(found.high), y))
        parts += _dots(colour, x, found.each, y)
        middle = x(found.mean or 0)
        diamond = f"{middle},{y - 7} {middle + 6},{y} {middle},{y + 7} {middle - 6},{y}"
        parts.append(f'<polygon class="mean fill{colour % 6}" points="{diamond}"/>')
    label = f"differences of {arm.label} to real tiles alone, with 95 % intervals"
    return _svg(parts, width, height + AXIS, label)


def loss_plot(results: Results) -> Markup:
    """The training loss of every judge over its steps, on a logarithmic axis."""
    curves = [(k, judged.losses) for k, arm in enumerate(results.arms) for judged in arm.judgements if judged.losses]
    points = [(step, loss) for _, curve in curves for step, loss in curve if loss > 0]
    if not points:
        return Markup("")
    width, height = WIDE, 220
    x = Scale([0, *(step for step, _ in points)], 46, width - 14)
    y = Scale([math.log10(loss) for _, loss in points], height, TOP)
    parts = list(_axis(x, height, whole=True))
    for loss in (digit * 10.0**power for power in range(-4, 5) for digit in (1, 2, 5)):
        if y.low <= math.log10(loss) <= y.high:
            height_of = y(math.log10(loss))
            parts.append(f'<line class="grid" x1="46" x2="{width - 14}" y1="{height_of}" y2="{height_of}"/>')
            parts.append(f'<text class="tick end" x="40" y="{height_of + 4}">{loss:g}</text>')
    for k, curve in curves:
        path = " ".join(f"{x(step)},{y(math.log10(loss))}" for step, loss in curve if loss > 0)
        parts.append(f'<polyline class="curve stroke{k % 6}" points="{path}"/>')
    return _svg(parts, width, height + AXIS, "training loss over steps, a line for each judge")


def class_bars(results: Results) -> Markup:
    """The share of nuclei of each class: training tiles, test tiles, and what each arm adds."""
    sets = [("training", 0, results.training), ("test", -1, results.test)]
    sets += [(arm.label, k, arm.synthetic) for k, arm in enumerate(results.arms) if arm.synthetic]
    totals = [max(sum(part.classes.values()), 1) for _, _, part in sets]
    bar, gap, width = 13, 12, WIDE
    most = max(
        part.classes[name] / total for (_, _, part), total in zip(sets, totals, strict=True) for name in part.classes
    )
    parts, y = [], float(TOP)
    for name in results.class_names:
        parts.append(_name(name, y + bar * len(sets) / 2))
        for (_, colour, part), total in zip(sets, totals, strict=True):
            share = part.classes[name] / total
            length = round((width - LABEL - 60) * share / (most or 1), 1)
            kind = "held-out" if colour < 0 else f"fill{colour % 6}"
            parts.append(
                f'<rect class="{kind}" x="{LABEL}" y="{y}" width="{max(length, 0.5)}" height="{bar - 2}" rx="1"/>'
            )
            parts.append(f'<text class="tick" x="{LABEL + length + 6}" y="{y + bar - 3}">{100 * share:.1f} %</text>')
            y += bar
        y += gap
    return _svg(parts, width, y, "share of nuclei in each class, real and synthetic")


def _axis(x: Scale, bottom: float, signs: bool = False, whole: bool = False) -> Iterator[str]:
    ticks = x.ticks()
    digits = 0 if whole or len(ticks) < 2 else max(0, -math.floor(math.log10(ticks[1] - ticks[0]) + 1e-9))
    for tick in ticks:
        yield f'<line class="grid" x1="{x(tick)}" x2="{x(tick)}" y1="{TOP - 6}" y2="{bottom}"/>'
        words = f"{tick:{'+' if signs and abs(tick) > 1e-12 else ''}.{digits}f}".replace("-", MINUS)
        yield f'<text class="tick middle" x="{x(tick)}" y="{bottom + 17}">{words}</text>'


def _dots(colour: int, x: Scale, values: Sequence[float | None], y: float) -> list[str]:
    return [f'<circle class="dot fill{colour % 6}" cx="{x(v)}" cy="{y}" r="4"/>' for v in values if v is not None]


def _line(colour: int, left: float, right: float, y: float) -> str:
    return f'<line class="interval stroke{colour % 6}" x1="{left}" x2="{right}" y1="{y}" y2="{y}"/>'


def _name(text: str, y: float, strong: bool = False) -> str:
    short = text if len(text) <= 19 else text[:18] + "\N{HORIZONTAL ELLIPSIS}"
    kind = "name strong" if strong else "name"
    return f'<text class="{kind} end" x="{LABEL - 10}" y="{y + 4}">{escape(short)}<title>{escape(text)}</title></text>'


def _svg(parts: Sequence[str], width: float, height: float, label: str) -> Markup:
    opening = (
        f'<svg viewBox="0 0 {width} {height}" style="max-width:{width}px" role="img" aria-label="{escape(label)}">'
    )
    return Markup(opening + "".join(parts) + "</svg>")
