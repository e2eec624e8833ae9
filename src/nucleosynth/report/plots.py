"""Dots, intervals and bars; every number that is drawn stands in a table as well."""

from collections.abc import Sequence

from markupsafe import Markup

from nucleosynth.report import svg
from nucleosynth.report.results import Comparison, Maker, Metric, Part, Results, Tiles
from nucleosynth.report.svg import AXIS, ROW, TOP, WIDE, WIDTH, Scale


def values_plot(results: Results, fraction: float, metric: Metric) -> Markup:
    """A metric of every arm: a dot for each judge, the mean, a line for one standard deviation; the ceiling dashed."""
    each = [(arm, results.score(arm.name, fraction, metric.name)) for arm in results.arms]
    ceiling = ceiling_of(results, fraction, metric)
    reach = [value for _, found in each for value in found.each if value is not None]
    reach += [found.mean + sign * (found.sd or 0) for _, found in each if found.mean is not None for sign in (-1, 1)]
    if not reach:
        return Markup("")
    if ceiling is not None and ceiling - max(reach) < 2 * (max(reach) - min(reach)):
        reach.append(ceiling)
    left, height = svg.room([arm.label for arm, _ in each], WIDTH), TOP + ROW * len(each)
    x = Scale(reach, left, WIDTH - 14)
    parts = list(svg.axis(x, height))
    if ceiling is not None and x.low <= ceiling <= x.high:
        parts.append(f'<line class="ceiling" x1="{x(ceiling)}" x2="{x(ceiling)}" y1="{TOP}" y2="{height}"/>')
    for k, (arm, found) in enumerate(each):
        y = TOP + ROW * (k + 0.5)
        parts.append(svg.name(arm.label, y, left))
        if found.mean is not None:
            if found.sd is not None:
                parts.append(svg.bar(k, x(found.mean - found.sd), x(found.mean + found.sd), y))
            left_end, kind = x(found.mean) - 1.5, f"fill{k % svg.TONES}"
            parts.append(f'<rect class="{kind}" x="{left_end}" y="{y - 8}" width="3" height="16" rx="1"/>')
        parts += svg.dots(k, x, found.each, y)
    return svg.svg(parts, WIDTH, height + AXIS, f"{metric.label} of each arm; a dot for each judge")


def differences_plot(results: Results, rows: Sequence[tuple[str, Comparison]], label: str) -> Markup:
    """Named differences: a dot for each pair of judges, the mean, and the 95 % interval; empty if none is defined."""
    rows = [(name, found) for name, found in rows if found.mean is not None]
    if not rows:
        return Markup("")
    reach = [0.0]
    for _, found in rows:
        reach += [value for value in (*found.each, found.low, found.high) if value is not None]
    left, height = svg.room([name for name, _ in rows], WIDE), TOP + ROW * len(rows)
    x = Scale(reach, left, WIDE - 14)
    parts = list(svg.axis(x, height, signs=True))
    parts.append(f'<line class="zero" x1="{x(0)}" x2="{x(0)}" y1="{TOP - 6}" y2="{height}"/>')
    arms = [arm.name for arm in results.arms]
    for row, (name, found) in enumerate(rows):
        y, k = TOP + ROW * (row + 0.5), arms.index(found.arm)
        parts.append(svg.name(name, y, left))
        if found.low is not None and found.high is not None:
            parts.append(svg.bar(k, x(found.low), x(found.high), y))
        parts += svg.dots(k, x, found.each, y)
        middle = x(found.mean or 0)
        diamond = f"{middle},{y - 7} {middle + 6},{y} {middle},{y + 7} {middle - 6},{y}"
        parts.append(f'<polygon class="mean fill{k % svg.TONES}" points="{diamond}"/>')
    return svg.svg(parts, WIDE, height + AXIS, label)


def class_bars(results: Results, part: Part) -> Markup:
    """The share of nuclei of each class: training tiles, test tiles, and what each maker of the part adds."""
    sets: list[tuple[int, Tiles]] = [(0, part.training), (-1, part.test)]
    sets += [(k, maker.synthetic) for k, maker in enumerate(makers_of(results, part), start=1)]
    shares = [
        [tiles.classes.get(name, 0) / max(sum(tiles.classes.values()), 1) for _, tiles in sets]
        for name in results.class_names
    ]
    most = max((share for row in shares for share in row), default=0) or 1
    left, thick, gap = svg.room(results.class_names, WIDE), 13, 12
    parts, y = [], float(TOP)
    for name, row in zip(results.class_names, shares, strict=True):
        parts.append(svg.name(name, y + thick * len(sets) / 2, left))
        for (k, _), share in zip(sets, row, strict=True):
            length = round((WIDE - left - 60) * share / most, 1)
            kind = "held-out" if k < 0 else f"fill{svg.tone(k)}"
            parts.append(
                f'<rect class="{kind}" x="{left}" y="{y}" width="{max(length, 0.5)}" height="{thick - 2}" rx="1"/>'
            )
            parts.append(svg.text(f"{100 * share:.1f} %", left + length + 6, y + thick - 3, "tick"))
            y += thick
        y += gap
    return svg.svg(parts, WIDE, y, "share of nuclei in each class, real and synthetic")


def makers_of(results: Results, part: Part) -> list[Maker]:
    """The makers of a part."""
    return [maker for maker in results.makers if (maker.fold, maker.fraction) == (part.fold, part.fraction)]


def ceiling_of(results: Results, fraction: float, metric: Metric) -> float | None:
    """What perfect maps would reach, mean over folds; None if it is not defined in one."""
    each = [part.ceiling.get(metric.name) for part in results.parts if part.fraction == fraction]
    known = [value for value in each if value is not None]
    return sum(known) / len(known) if known and len(known) == len(each) else None
