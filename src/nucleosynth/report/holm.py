"""Several tests at once: p values corrected so that the chance of any false alarm among them stays what was stated."""

from collections.abc import Sequence


def holm(p: Sequence[float | None]) -> tuple[float | None, ...]:
    """The p values corrected for their number; None stays None and does not count.

    Source: Holm, Scandinavian Journal of Statistics 1979.

    Example:
        >>> holm([0.01, None, 0.04, 0.03])
        (0.03, None, 0.06, 0.06)
    """
    order = sorted((value, k) for k, value in enumerate(p) if value is not None)
    corrected: list[float | None] = [None] * len(p)
    largest = 0.0
    for rank, (value, k) in enumerate(order):
        largest = max(largest, min((len(order) - rank) * value, 1.0))
        corrected[k] = largest
    return tuple(corrected)
