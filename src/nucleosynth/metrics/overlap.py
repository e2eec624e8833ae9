"""Who overlaps whom: the one contingency table of two instance maps, from which every instance metric is read.

Both maps are walked once, side by side, in runs of equal (true, predicted) ids. A tile of 1000^2 with 600 nuclei
has a few ten thousand runs, so that all that follows is cheap. Ids may have gaps and be of any integer type.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nucleosynth.errors import UserError

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Overlap:
    """The contingency table of n true and m predicted nuclei, k pairs of which share pixels.

    true_ids (n,), predicted_ids (m,): the ids that occur, ascending. true_areas (n,), predicted_areas (m,): px.
    true_index (k,), predicted_index (k,): places in those arrays, ascending by true, then by predicted;
    intersection (k,): px, at least 1.
    """

    true_ids: Ints
    predicted_ids: Ints
    true_areas: Ints
    predicted_areas: Ints
    true_index: Ints
    predicted_index: Ints
    intersection: Ints

    @cached_property
    def area_sum(self) -> Ints:
        """(k,) A_i + B_j of each pair, in px."""
        return self.true_areas[self.true_index] + self.predicted_areas[self.predicted_index]

    @cached_property
    def iou(self) -> NDArray[np.float64]:
        """(k,) I_ij / U_ij of each pair, in (0, 1]."""
        return self.intersection / (self.area_sum - self.intersection)


def overlap(true: NDArray[Any], predicted: NDArray[Any]) -> Overlap:
    """The contingency table of two instance maps (h w), 0 background; background is in no pair and no area.

    Raises:
        UserError: maps of different shapes, not of integers, or with a negative id.

    Example:
        >>> table = overlap(np.array([[7, 7, 0]]), np.array([[0, 2, 2]]))
        >>> table.true_ids, table.predicted_areas, table.intersection
        (array([7]), array([2]), array([1]))
    """
    _check(true, predicted)
    narrow = all(np.can_cast(labels.dtype, np.int32) for labels in (true, predicted))
    width = np.int32 if narrow else np.int64
    runs = _runs(true.astype(width, copy=False).ravel(), predicted.astype(width, copy=False).ravel())
    true_ids, true_index = _compact(runs[0], "true")
    predicted_ids, predicted_index = _compact(runs[1], "predicted")
    table = _table(true_index, predicted_index, runs[2], len(true_ids), len(predicted_ids))
    return Overlap(true_ids, predicted_ids, *table)


def joined(tables: Sequence[Overlap]) -> Overlap:
    """The table of all these images side by side, for scores pooled over a data set; ids are numbered anew from 1."""
    trues = np.cumsum([0, *(len(table.true_ids) for table in tables)])
    predicteds = np.cumsum([0, *(len(table.predicted_ids) for table in tables)])
    return Overlap(
        np.arange(1, trues[-1] + 1),
        np.arange(1, predicteds[-1] + 1),
        _end_to_end([table.true_areas for table in tables]),
        _end_to_end([table.predicted_areas for table in tables]),
        _end_to_end([table.true_index + first for table, first in zip(tables, trues[:-1], strict=True)]),
        _end_to_end([table.predicted_index + first for table, first in zip(tables, predicteds[:-1], strict=True)]),
        _end_to_end([table.intersection for table in tables]),
    )


def check_names(class_names: Sequence[str], taken: Sequence[str] = ()) -> None:
    """Refuse class names whose scores would be called as others are: twice the same, or one of `taken`.

    Names that end in ".floor" are taken too: so the floor beside a score is called.

    Raises:
        UserError: as said.
    """
    for k, name in enumerate(class_names):
        if name in taken or name.endswith(".floor") or name in class_names[:k]:
            raise UserError(
                "a class name that is taken",
                expected=f"names that differ, none of them {', '.join((*taken, '*.floor'))}",
                got=repr(name),
                where=f"classes {', '.join(class_names)}",
                mend="read the data in a scheme that names the class otherwise: --classes FILE.toml",
            )


def check_classes(classes: NDArray[Any], nuclei: int, number_of_classes: int, where: str) -> None:
    """Refuse classes that are not one for each nucleus, each 0 (unknown type) or 1..C.

    Raises:
        UserError: as said.
    """
    if classes.shape != (nuclei,):
        raise UserError(
            "classes do not fit the nuclei",
            expected=f"{nuclei} classes, one for each nucleus",
            got=str(classes.shape),
            where=where,
        )
    if nuclei and not 0 <= classes.min() <= classes.max() <= number_of_classes:
        raise UserError(
            "a class out of range",
            expected=f"0 (unknown) or 1..{number_of_classes}",
            got=f"{classes.min()}..{classes.max()}",
            where=where,
        )


def numbered(instances: NDArray[Any]) -> NDArray[np.int32]:
    """The map (h w) with its n nuclei numbered 1..n in the order of ascending ids.

    Raises:
        UserError: not (h w), not of integers, or a negative id.
    """
    low, high = instances.min(initial=0), instances.max(initial=0)
    if instances.ndim != 2 or instances.dtype.kind not in "iu" or low < 0:
        raise UserError(
            "not an instance map",
            expected="(h, w) integers, 0 background",
            got=f"{instances.dtype} {instances.shape}, least value {low}",
        )
    if high > instances.size:  # too sparse for a lookup table
        present, place = np.unique(instances, return_inverse=True)
        return np.asarray(place.reshape(instances.shape) + (present[0] > 0), np.int32)
    return _numbered(np.ascontiguousarray(instances, np.int32), int(high))


def _end_to_end(parts: Sequence[Ints]) -> Ints:
    return np.concatenate([np.empty(0, np.int64), *parts])


def _check(true: NDArray[Any], predicted: NDArray[Any]) -> None:
    if true.shape != predicted.shape:
        raise UserError(
            "maps of different shapes",
            expected=f"a predicted map of {true.shape}, as the true one",
            got=str(predicted.shape),
            mend="compare the maps of one tile at one resolution",
        )
    for name, labels in (("true", true), ("predicted", predicted)):
        if labels.dtype.kind not in "iu":
            raise UserError(
                "not an instance map", expected="integer ids, 0 background", got=str(labels.dtype), where=f"{name} map"
            )


def _compact(ids: Ints, name: str) -> tuple[Ints, Ints]:
    """The ids above 0 that occur, ascending, and the place of each run's id among them (-1 for background)."""
    if ids.size and ids.min() < 0:
        raise UserError(
            "a negative id", expected="0 background, nuclei from 1", got=str(ids.min()), where=f"{name} map"
        )
    if ids.max(initial=0) > 8 * len(ids):  # too sparse for a lookup table
        present, index = np.unique(np.append(ids, 0), return_inverse=True)
        return present[1:], index[:-1] - 1
    occurs = np.zeros(ids.max(initial=0) + 1, np.bool_)
    occurs[ids] = True
    occurs[0] = True
    return np.flatnonzero(occurs)[1:], (np.cumsum(occurs) - 2)[ids]


@njit(cache=True)
def _numbered(labels: NDArray[np.int32], high: int) -> NDArray[np.int32]:
    number = np.zeros(high + 1, np.int32)
    for k in labels.flat:
        number[k] = 1
    number[0] = 0
    number = np.cumsum(number).astype(np.int32)
    result = np.empty_like(labels)
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            result[y, x] = number[labels[y, x]]
    return result


@njit(cache=True)
def _runs(true: NDArray[Any], predicted: NDArray[Any]) -> tuple[Ints, Ints, Ints]:
    """True id, predicted id and length of each run in which either is not background."""
    runs = np.empty((3, true.size), np.int64)  # memory that is never touched is never taken
    count = i = 0
    while i < true.size:
        start, a, b = i, true[i], predicted[i]
        while i < true.size and true[i] == a and predicted[i] == b:
            i += 1
        if a or b:
            runs[0, count], runs[1, count], runs[2, count] = a, b, i - start
            count += 1
    return runs[0, :count], runs[1, :count], runs[2, :count]


@njit(cache=True)
def _table(
    true_index: Ints, predicted_index: Ints, lengths: Ints, n: int, m: int
) -> tuple[Ints, Ints, Ints, Ints, Ints]:
    """Areas and overlapping pairs; the runs are sorted by true nucleus by counting, then summed one nucleus a time."""
    true_areas, predicted_areas = np.zeros(n, np.int64), np.zeros(m, np.int64)
    first = np.zeros(n + 1, np.int64)
    for run in range(lengths.size):
        i, j = true_index[run], predicted_index[run]
        if i >= 0:
            true_areas[i] += lengths[run]
        if j >= 0:
            predicted_areas[j] += lengths[run]
        if i >= 0 and j >= 0:
            first[i + 1] += 1
    first = np.cumsum(first)
    by_true, place = np.empty(first[n], np.int64), first.copy()
    for run in range(lengths.size):
        i = true_index[run]
        if i >= 0 and predicted_index[run] >= 0:
            by_true[place[i]] = run
            place[i] += 1

    left, right, shared = np.empty_like(by_true), np.empty_like(by_true), np.empty_like(by_true)
    pixels, pairs = np.zeros(m, np.int64), 0
    for i in range(n):
        begin = pairs
        for run in by_true[first[i] : first[i + 1]]:
            j = predicted_index[run]
            if pixels[j] == 0:
                right[pairs] = j
                pairs += 1
            pixels[j] += lengths[run]
        right[begin:pairs].sort()
        for pair in range(begin, pairs):
            left[pair], shared[pair] = i, pixels[right[pair]]
            pixels[right[pair]] = 0
    return true_areas, predicted_areas, left[:pairs], right[:pairs], shared[:pairs]
