"""How well predicted nuclei agree with true ones: Dice, Dice2, AJI, AJI+, DQ, SQ and PQ of one pair of label maps.

Kumar et al., IEEE TMI 2017 (AJI); Kirillov et al., CVPR 2019 (PQ); Graham et al., Medical Image Analysis 2019 (the
set of them, Dice2 and AJI+). All are read from one contingency table. Where the released code adds 1e-6 to
denominators, and crashes on empty maps, these are exact and defined.

A_i, B_j: areas of true nucleus i and predicted nucleus j; I_ij, U_ij: their intersection and union, in px.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nucleosynth.errors import UserError
from nucleosynth.metrics.matching import one_to_one
from nucleosynth.metrics.overlap import Overlap, overlap

NAMES = ("dice", "dice2", "aji", "aji_plus", "dq", "sq", "pq")


def scores(true: NDArray[Any], predicted: NDArray[Any]) -> dict[str, float]:
    """`dice`, `dice2`, `aji`, `aji_plus`, `dq`, `sq`, `pq` of two instance maps (h w); ids may have gaps; each in 0..1.

    Both maps empty: all NaN, to be left out of means (see `mean`). One empty, or no pair to score: 0.
    Source: Kumar et al. 2017; Kirillov et al. 2019; Graham et al. 2019.

    Raises:
        UserError: maps of different shapes, not of integers, or with a negative id.
    """
    return scores_of(overlap(true, predicted))


def scores_of(table: Overlap) -> dict[str, float]:
    """The same of a table: of one image, or of a data set whose tables are `joined`."""
    if not len(table.true_ids) and not len(table.predicted_ids):
        return dict.fromkeys(NAMES, float("nan"))
    found = detections(table)
    values = (dice(table), dice2(table), aji(table), aji_plus(table), found.dq, found.sq, found.pq)
    return dict(zip(NAMES, values, strict=True))


def dice(table: Overlap) -> float:
    """2 |T and P| / (|T| + |P|) on the foreground; NaN where both are empty."""
    return _ratio(2 * table.intersection.sum(), table.true_areas.sum() + table.predicted_areas.sum())


def dice2(table: Overlap) -> float:
    """2 sum I / sum (A + B) over overlapping pairs; 0 where no pair overlaps, NaN where both are empty."""
    if not len(table.intersection):
        return dice(table)
    return _ratio(2 * table.intersection.sum(), table.area_sum.sum())


def aji(table: Overlap) -> float:
    """Aggregated Jaccard index: each true nucleus takes the prediction of largest IoU, the first on ties.

    A prediction may be taken more than once. NaN where both are empty.
    """
    return _aggregated_jaccard(table, _best_for_each_true(table, table.iou))


def aji_plus(table: Overlap) -> float:
    """The same with no prediction taken twice: the pairing of the largest sum of IoU. NaN where both are empty."""
    return _aggregated_jaccard(table, one_to_one(table.true_index, table.predicted_index, table.iou))


def mdice(true: NDArray[Any], predicted: NDArray[Any]) -> float:
    """Mean over true nuclei of the Dice with the prediction that overlaps best (CoSyn's table; Min et al. 2024).

    A true nucleus that nothing overlaps counts as 0. NaN where both maps are empty; 0 where one is.
    """
    table = overlap(true, predicted)
    pair_dice = 2 * table.intersection / table.area_sum
    if not len(table.true_ids):
        return 0.0 if len(table.predicted_ids) else float("nan")
    return _ratio(pair_dice[_best_for_each_true(table, pair_dice)].sum(), len(table.true_ids))


@dataclass(frozen=True)
class Detections:
    """Hits (pairs of IoU > 0.5, strictly, so that each nucleus is in at most one), false alarms, misses, and the
    sum of the hits' IoU. The sum of two is that of both images together, for scores pooled over a data set."""

    tp: int = 0
    fp: int = 0
    fn: int = 0
    iou: float = 0.0

    def __add__(self, other: "Detections") -> "Detections":
        return Detections(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn, self.iou + other.iou)

    @property
    def dq(self) -> float:
        """TP / (TP + FP / 2 + FN / 2); NaN where there is no nucleus at all."""
        return _ratio(self.tp, self.tp + self.fp / 2 + self.fn / 2)

    @property
    def sq(self) -> float:
        """Mean IoU of the hits; 0 without a hit, NaN where there is no nucleus at all."""
        return self.iou / self.tp if self.tp else self.dq

    @property
    def pq(self) -> float:
        """DQ SQ."""
        return self.dq * self.sq


def detections(table: Overlap) -> Detections:
    """Hits, false alarms and misses of one pair of maps."""
    hits = table.iou[is_hit(table)]
    tp = len(hits)
    return Detections(tp, len(table.predicted_ids) - tp, len(table.true_ids) - tp, float(hits.sum()))


def is_hit(table: Overlap) -> NDArray[np.bool_]:
    """(k,) which pairs have an IoU > 1/2, strictly, by integers alone."""
    hit: NDArray[np.bool_] = 2 * table.intersection > table.area_sum - table.intersection
    return hit


class Mean(NamedTuple):
    """A mean over images, the number of images in it, and of those left out because the score is undefined there."""

    value: float
    used: int
    left_out: int


def mean(images: Sequence[dict[str, float]]) -> dict[str, Mean]:
    """The mean over images of each score; NaN is left out and counted; NaN where nothing is left.

    Raises:
        UserError: the images do not all have the same scores.

    Example:
        >>> mean([{"pq": 0.5}, {"pq": float("nan")}])
        {'pq': Mean(value=0.5, used=1, left_out=1)}
    """
    names = list(images[0]) if images else []
    for image in images:
        if image.keys() != set(names):
            raise UserError("images with different scores", expected=", ".join(names), got=", ".join(image))
    return {name: _mean(np.array([image[name] for image in images])) for name in names}


def _mean(values: NDArray[np.float64]) -> Mean:
    defined = values[~np.isnan(values)]
    value = float(defined.mean()) if len(defined) else float("nan")
    return Mean(value, len(defined), len(values) - len(defined))


def _best_for_each_true(table: Overlap, value: NDArray[np.float64]) -> NDArray[np.int64]:
    """Place of each true nucleus's pair of largest value; of equal ones the first, as the sort is stable."""
    order = np.lexsort((-value, table.true_index))
    return order[np.flatnonzero(np.diff(table.true_index[order], prepend=-1))]


def _aggregated_jaccard(table: Overlap, pairs: NDArray[np.int64]) -> float:
    """sum I / (sum U + area of true and of predicted nuclei that are in none of the pairs)."""
    shared = table.intersection[pairs].sum()
    union = table.area_sum[pairs].sum() - shared
    alone = np.delete(table.true_areas, table.true_index[pairs]).sum()
    unused = np.delete(table.predicted_areas, table.predicted_index[pairs]).sum()
    return _ratio(shared, union + alone + unused)


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else float("nan")
