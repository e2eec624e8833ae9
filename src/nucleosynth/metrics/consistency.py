"""Do the images and labels of synthetic tiles belong together? What a segmenter that learnt from real tiles sees in the
images, against the labels, beside what it sees in real tiles that it did not learn from.

A share of 1: as far as this segmenter can tell, the labels fit the synthetic images as well as real labels fit real
images. Below 1, labels are off, or the images look like nothing that the segmenter knows: the number does not say
which. Above 1, synthetic images are easier to read than the held-out ones, as images that look like the tiles which the
segmenter learnt from are. It must be another one than is trained on the synthetic tiles. Both sides have tiles of one
size and resolution: nuclei that an edge cuts are harder, and small tiles have more of them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucleosynth.errors import UserError
from nucleosynth.metrics import instance
from nucleosynth.metrics.classification import confusion, nuclei, radius_at
from nucleosynth.metrics.resampling import Estimate, Side, estimate
from nucleosynth.metrics.shapes import Label

Rows = NDArray[np.float64]
"""(n 7), a row for each tile: `OF_TILES`; then of its paired centroids 2 TP, 2 TP + FP + FN, pairs of the right class
and pairs of known class."""
OF_TILES = ("dice", "aji", "pq")
POOLED = ("f_d", "accuracy")
SIDES = ("", ".real", ".share")
"""What a score's name ends in: of synthetic tiles, of real ones, and the first as a share of the second."""


def consistency(
    synthetic: Sequence[tuple[Label, Label]], real: Sequence[tuple[Label, Label]], class_names: Sequence[str] = ()
) -> dict[str, float]:
    """`dice`, `aji`, `pq` (means over tiles), `f_d` and, of two or more classes, `accuracy` (nuclei of all tiles
    together, centroids within 3 um), of synthetic tiles; each again as "....real" of real ones, and as "....share".

    Pairs are (label, what the segmenter sees in the image) of each tile. A tile that is empty on both sides has no
    Dice, AJI and PQ and is left out of their means; empty on one side it is 0. NaN: a score of no such tile or nucleus,
    and a share of 0. Source: Kirillov et al., CVPR 2019; Kumar et al., IEEE TMI 2017; Graham et al., HoVer-Net, 2019.

    Raises:
        UserError: as `rows_of`.
    """
    sides = (rows_of(pairs, len(class_names)) for pairs in (real, synthetic))
    return _scores(len(class_names) > 1, *sides)


def rows_of(pairs: Iterable[tuple[Label, Label]], number_of_classes: int) -> Rows:
    """What is known of each tile; of (label, what the segmenter sees).

    Raises:
        UserError: maps of different shapes or resolutions, or that are none, or classes that do not fit them.
    """
    return np.array([_row(*pair, number_of_classes) for pair in pairs], np.float64).reshape(-1, len(OF_TILES) + 4)


def estimated(synthetic: Side, real: Side, *, typed: bool, draws: int = 100, seed: int = 0) -> dict[str, Estimate]:
    """The scores of `consistency`, of the rows of both sides, each with its 95 % interval (see metrics/resampling.py).

    Tiles that come together are drawn together, as `Side` says. typed: with `accuracy`. Without floors; low and high
    are NaN with a single tile, or group, on a side, and where a half has no score.
    """
    found = estimate(partial(_scores, typed), real, synthetic, least=1, draws=draws, halvings=0, seed=seed)
    return {name: _bounded(name, each) for name, each in found.items()}


def names(typed: bool) -> tuple[str, ...]:
    """The scores that there are, without ends."""
    return OF_TILES + (POOLED if typed else POOLED[:1])


def _row(true: Label, seen: Label, number_of_classes: int) -> list[float]:
    if true.mpp != seen.mpp:
        raise UserError("labels of two resolutions", expected=f"{true.mpp} um a pixel", got=str(seen.mpp))
    scores = instance.scores(true.instances, seen.instances)
    given, found = (nuclei(label.instances, label.classes) for label in (true, seen))
    pairs = confusion(given, found, number_of_classes, radius_at(true.mpp))
    hits, known = 2 * pairs.paired.sum(), pairs.paired[1:]
    off = pairs.missed.sum() + pairs.false_alarms.sum()
    return [*(scores[name] for name in OF_TILES), hits, hits + off, known.trace(offset=1), known.sum()]


def _scores(typed: bool, real: Rows, synthetic: Rows) -> dict[str, float]:
    sides = _of_side(synthetic), _of_side(real)
    found: dict[str, float] = {}
    for k, name in enumerate(names(typed)):
        values = sides[0][k], sides[1][k]
        each = (*values, _ratio(*values))
        found |= {name + end: value for end, value in zip(SIDES, each, strict=True)}
    return found


def _of_side(rows: Rows) -> list[float]:
    """In the order of `names`."""
    tiles = rows[:, : len(OF_TILES)]
    means = [_ratio(np.nansum(column), np.count_nonzero(~np.isnan(column))) for column in tiles.T]
    hits, found, right, known = rows[:, len(OF_TILES) :].sum(axis=0)
    return [*means, _ratio(hits, found), _ratio(right, known)]


def _ratio(part: Any, whole: Any) -> float:
    return float(part / whole) if whole else float("nan")


def _bounded(name: str, found: Estimate) -> Estimate:
    low, high = np.clip([found.low, found.high], 0, None if name.endswith(SIDES[2]) else 1)
    return replace(found, low=float(low), high=float(high))
