"""The labelled fraction of a study: few sources that still show every class, in the proportions of all.

A random subset can miss whole classes, and then measures its own bad luck. Whole sources are taken, never parts of one:
provenance names sources, so a generator that saw the rest of a slide could not be told from one that did not.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from nucleosynth.errors import UserError
from nucleosynth.sample import Sample
from nucleosynth.seeds import generator_of

PAIRS_UP_TO = 300
"""Number of sources up to which two at once are exchanged; of more, single ones are fine enough."""
Counts = NDArray[np.int64]
"""(sources, 1 + classes): nuclei of a source, then those of each class that occurs anywhere."""


def nested(tiles: Sequence[Sample], fractions: Iterable[float], seed: int) -> dict[float, list[Sample]]:
    """`labelled` of each fraction, the larger ones with all sources of the smaller: then a curve over fractions shows
    what more labels bring, not which slides they came from.

    Raises:
        UserError: as `labelled`.
    """
    found: dict[float, list[Sample]] = {}
    kept: list[Sample] = []
    for fraction in sorted(set(fractions)):
        found[fraction] = kept = labelled(tiles, fraction, seed, kept)
    return found


def labelled(tiles: Sequence[Sample], fraction: float, seed: int, kept: Sequence[Sample] = ()) -> list[Sample]:
    """The tiles of some sources, in order: about `fraction` of the nuclei and of each class, no class missing.

    The first source is drawn by the seed; then sources are added, dropped or exchanged, each time those that bring the
    shares of nuclei and of classes nearest to `fraction`. More than the fraction is taken where the classes need it.
    The sources of `kept` are taken, whatever else.

    Raises:
        UserError: a fraction outside 0 (excluded) to 1, or tiles without a nucleus.
    """
    if not 0 < fraction <= 1:
        raise UserError("not a fraction", expected="above 0, at most 1", got=str(fraction), where="--fraction")
    names, counts = _counts(tiles)
    if not counts[:, 0].sum():
        raise UserError("nothing is labelled", expected="training tiles with nuclei", got="none", mend="check the data")
    if fraction == 1:
        return list(tiles)
    fixed = np.isin(names, [tile.source for tile in kept])
    first = fixed if fixed.any() else _first(counts, fraction, seed)
    chosen = _settle(_cover(first.copy(), counts, fraction), fixed, counts, fraction)
    taken = {name for name, is_in in zip(names, chosen, strict=True) if is_in}
    return [tile for tile in tiles if tile.source in taken]


def _counts(tiles: Sequence[Sample]) -> tuple[list[str], Counts]:
    names = sorted({tile.source for tile in tiles})
    rows = np.zeros((len(names), 1 + max((len(tile.class_names) for tile in tiles), default=0)), np.int64)
    for tile in tiles:
        row = rows[names.index(tile.source)]
        row[0] += len(tile.classes)
        row[1:] += np.bincount(tile.classes, minlength=len(row))[1:]
    return names, rows[:, rows.any(axis=0) | (np.arange(rows.shape[1]) == 0)]


def _first(counts: Counts, fraction: float, seed: int) -> NDArray[np.bool_]:
    """One source, drawn among those that are not too large; else the smallest with a nucleus."""
    nuclei = counts[:, 0]
    fit = np.flatnonzero((nuclei > 0) & (nuclei <= fraction * nuclei.sum()))
    chosen = np.zeros(len(counts), bool)
    smallest = int(np.where(nuclei > 0, nuclei, nuclei.max() + 1).argmin())
    chosen[generator_of(seed).choice(fit) if len(fit) else smallest] = True
    return chosen


def _cover(chosen: NDArray[np.bool_], counts: Counts, fraction: float) -> NDArray[np.bool_]:
    """Add sources until every class is there, the rarest of the missing ones first."""
    while (missing := np.flatnonzero(counts[chosen].sum(axis=0) == 0)).size:
        rarest = missing[counts[:, missing].sum(axis=0).argmin()]
        able = np.flatnonzero(counts[:, rarest] > 0)
        chosen[able[_error(counts[chosen].sum(axis=0) + counts[able], counts, fraction).argmin()]] = True
    return chosen


def _settle(chosen: NDArray[np.bool_], fixed: NDArray[np.bool_], counts: Counts, fraction: float) -> NDArray[np.bool_]:
    """Add, drop or exchange while that lowers the error and leaves every class covered; what is fixed stays."""
    best = float(_error(counts[chosen].sum(axis=0), counts, fraction))
    while True:
        flips = np.where(chosen[:, None], -counts, counts)
        if len(counts) <= PAIRS_UP_TO:
            flips = flips[:, None] + flips[None]
            flips[np.diag_indices(len(counts))] = np.where(chosen[:, None], -counts, counts)
        sums = counts[chosen].sum(axis=0) + flips
        error = np.where((sums > 0).all(axis=-1), _error(sums, counts, fraction), np.inf)
        error[fixed] = np.inf
        if error.ndim > 1:
            error[:, fixed] = np.inf
        move = np.unravel_index(int(error.argmin()), error.shape)
        if not error[move] < best:
            return chosen
        best = float(error[move])
        for source in set(move):
            chosen[source] = not chosen[source]


def _error(sums: Counts, counts: Counts, fraction: float) -> NDArray[np.float64]:
    """How far the share of all nuclei, and on average that of each class, are from the fraction."""
    off = np.abs(sums / counts.sum(axis=0) - fraction)
    return np.asarray(off[..., 0] + off[..., 1:].sum(axis=-1) / max(off.shape[-1] - 1, 1))
