"""Numbers as a page writes them: true minus signs, a dash where a number is not defined."""

import math
from collections.abc import Sequence

from nucleosynth.report.results import Comparison, Score

MINUS = "\N{MINUS SIGN}"
UNDEFINED = "\N{EN DASH}"
_LONGEST = 5
"""Decimals of `amount` at most."""


def number(value: float | None, digits: int = 3) -> str:
    """A number with so many decimals."""
    return UNDEFINED if value is None else _clean(f"{value:.{digits}f}")


def signed(value: float | None, digits: int = 3) -> str:
    """The same, with its sign."""
    return UNDEFINED if value is None else _clean(f"{value:+.{digits}f}")


def amount(value: float | None) -> str:
    """A number of unknown size, to three digits that count: 1292, 52.6, 2.11, 0.00123.

    Example:
        >>> [amount(each) for each in (1292.05, 52.61, 0.00123, 0.0)]
        ['1292', '52.6', '0.00123', '0']
    """
    if not value:
        return UNDEFINED if value is None else "0"
    power = math.floor(math.log10(abs(value)))
    return number(value, min(max(2 - power, 0), _LONGEST))


def count(value: int | float) -> str:
    """A whole number, thousands apart."""
    return f"{value:,.0f}"


def counts(values: Sequence[int]) -> str:
    """A range of whole numbers: "27", or "3 to 27"."""
    low, high = min(values), max(values)
    return count(low) if low == high else f"{count(low)} to {count(high)}"


def spread(score: Score) -> str:
    """Mean ± standard deviation."""
    return number(score.mean) + (f" ± {number(score.sd)}" if score.sd is not None else "")


def interval(found: Comparison) -> str:
    """The 95 % interval in brackets; empty where there is none."""
    if found.low is None or found.high is None:
        return ""
    return f"[{signed(found.low)}, {signed(found.high)}]"


def p_value(p: float | None) -> str:
    """Two digits, never 0."""
    return UNDEFINED if p is None else "< 0.001" if p < 0.001 else f"{p:.2g}" if p < 0.1 else f"{p:.2f}"


def equals(p: float | None) -> str:
    """The same behind a sign: "= 0.03", "< 0.001"."""
    return p_value(p) if p is not None and p < 0.001 else f"= {p_value(p)}"


def minutes(seconds: float | None) -> str:
    """Seconds as minutes."""
    return UNDEFINED if seconds is None else f"{seconds / 60:.1f} min"


def percent(share: float | None) -> str:
    """A share of 1 as per cent."""
    return UNDEFINED if share is None else f"{100 * share:.0f} %"


def plural(value: int, one: str, more: str = "") -> str:
    """A count and what is counted: "1 seed", "3 seeds"."""
    return f"{count(value)} {one if value == 1 else more or one + 's'}"


def sentence(words: str) -> str:
    """The same with a capital letter."""
    return words[:1].upper() + words[1:]


def listed(names: Sequence[str]) -> str:
    """Names as a sentence lists them: "a, b and c"."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else "none"


def megabytes(size: int) -> str:
    """Bytes as megabytes."""
    return f"{size / 1e6:.1f} MB"


def _clean(text: str) -> str:
    """A true minus sign, and none before zero."""
    zero = not text.strip("+-0.")
    return text.lstrip("-") if zero and text.startswith("-") else text.replace("-", MINUS)
