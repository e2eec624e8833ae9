"""Inline SVG: scales, axes, names, marks. Colours are the page's, so that a plot follows its light or dark."""

import math
from collections.abc import Iterator, Sequence

from markupsafe import Markup, escape

from nucleosynth.report.words import MINUS

WIDTH, WIDE, ROW, TOP, AXIS = 420, 780, 26, 10, 26
"""Px: of a small plot, of a wide one, of a row, above the first row, below an axis."""
TONES = 6
"""Colours of the page; what comes after them is hollow or dashed."""
ROUNDING = 1e-6
"""Values nearer than this are drawn as one."""
_LETTER, _LEAST = 7.1, 90
"""Px of a letter of a name; of the room for names at least."""


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


def tone(k: int) -> str:
    """The class of the k-th colour: its number, and "hollow" for those after the first six."""
    return f"{k % TONES}{' hollow' if k // TONES % 2 else ''}"


def room(names: Sequence[str], width: float) -> float:
    """Px that the names need left of an axis: of a plot so wide two fifths at most."""
    return min(max(_LETTER * max(map(len, names), default=0) + 18, _LEAST), round(0.42 * width, 1))


def axis(x: Scale, bottom: float, *, signs: bool = False, whole: bool = False) -> Iterator[str]:
    """Vertical grid lines and the numbers below them."""
    ticks = x.ticks()
    digits = 0 if whole else decimals(ticks)
    for tick in ticks:
        if not whole or tick == int(tick):
            yield f'<line class="grid" x1="{x(tick)}" x2="{x(tick)}" y1="{TOP - 6}" y2="{bottom}"/>'
            yield text(written(tick, digits, signs), x(tick), bottom + 17, "tick middle")


def side_axis(y: Scale, left: float, right: float) -> Iterator[str]:
    """Horizontal grid lines and the numbers left of them."""
    ticks = y.ticks(5)
    for tick in ticks:
        yield f'<line class="grid" x1="{left}" x2="{right}" y1="{y(tick)}" y2="{y(tick)}"/>'
        yield text(written(tick, decimals(ticks)), left - 6, y(tick) + 4, "tick end")


def written(tick: float, digits: int, signs: bool = False) -> str:
    """The number at a tick."""
    tick = tick if abs(tick) > 1e-12 else 0.0  # else "-0"
    return f"{tick:{'+' if signs and tick else ''}.{digits}f}".replace("-", MINUS)


def decimals(ticks: Sequence[float]) -> int:
    """As many as tell ticks apart."""
    return 0 if len(ticks) < 2 else max(0, -math.floor(math.log10(ticks[1] - ticks[0]) + 1e-9))


def dots(k: int, x: Scale, values: Sequence[float | None], y: float) -> list[str]:
    """A dot for each value that is defined."""
    return [f'<circle class="dot fill{tone(k)}" cx="{x(v)}" cy="{y}" r="4"/>' for v in values if v is not None]


def bar(k: int, left: float, right: float, y: float) -> str:
    """The line of an interval."""
    return f'<line class="interval stroke{k % TONES}" x1="{left}" x2="{right}" y1="{y}" y2="{y}"/>'


def name(words: str, y: float, right: float) -> str:
    """A name that ends at `right`, shortened where it has no room; whole when pointed at."""
    longest = int((right - 8) / _LETTER)
    short = words if len(words) <= longest else words[: longest - 1] + "\N{HORIZONTAL ELLIPSIS}"
    return f'<text class="name end" x="{right - 10}" y="{y + 4}">{escape(short)}<title>{escape(words)}</title></text>'


def text(words: str, x: float, y: float, kind: str) -> str:
    """Words at a place."""
    return f'<text class="{kind}" x="{x}" y="{round(y, 1)}">{escape(words)}</text>'


def svg(parts: Sequence[str], width: float, height: float, label: str) -> Markup:
    """The whole plot, with what it shows in words for those who cannot see it."""
    kind = ' class="wide"' if width == WIDE else ""
    opening = (
        f'<svg{kind} viewBox="0 0 {width} {round(height, 1)}" style="max-width:{width}px" role="img" '
        f'aria-label="{escape(label)}">'
    )
    return Markup(opening + "".join(parts) + "</svg>")
