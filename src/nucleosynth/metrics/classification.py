"""Are nuclei found, and of the right class? F_d, accuracy and F_c by paired centroids, pooled over a data set.

Graham et al., HoVer-Net, Medical Image Analysis 2019. All scores are read from one `Confusion`, which is the sum of
those of the images. As released, all true and predicted centroids of an image are paired at the least sum of
distances, then pairs beyond the radius are undone; `gated` pairs within the radius only, and finds more of them.

Where this departs from the released code: an image side without nuclei has none, where that code puts a phantom
nucleus at (0, 0) (`phantom=True` does too); nuclei of unknown type are class 0 here, -1 there.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.spatial import KDTree
from scipy.spatial.distance import cdist

from nucleosynth.errors import UserError
from nucleosynth.metrics.matching import one_to_one
from nucleosynth.metrics.overlap import check_classes, check_names, numbered

RADIUS_UM = 3.0
"""The published radius: 12 px at 40x (0.25 um a pixel), 6 px at 20x."""


class Nuclei(NamedTuple):
    """The nuclei of one image: xy (n 2) centroids in px, classes (n,) 1..C, 0 = unknown type."""

    xy: NDArray[Any]
    classes: NDArray[Any]


class Pairs(NamedTuple):
    """Places of the nuclei that are paired, true (p,) and predicted (p,), ascending by true."""

    true: NDArray[np.int64]
    predicted: NDArray[np.int64]


def scores(
    images: Iterable[tuple[Nuclei, Nuclei]],
    class_names: Sequence[str],
    radius_px: float,
    *,
    gated: bool = False,
    phantom: bool = False,
) -> dict[str, float]:
    """`f_d`, `accuracy` and `f_<class name>` for each class, over all images (true, predicted) together; each in 0..1.

    True nuclei of class 0 count for f_d and are masked in the rest. Empty images add nothing but misses or false
    alarms. NaN: f_d without any nucleus, accuracy without a pair of known type, f_<class> without a nucleus of it on
    either side. Source: Graham et al. 2019; see the module for `gated` and `phantom`, `radius_at` for the radius.

    Raises:
        UserError: a radius that is not above 0, classes that do not fit the centroids, a class out of range, or a class
            name that is there twice or is "d".
    """
    check_names(class_names, ("d",))
    total = Confusion.empty(len(class_names))
    for true, predicted in images:
        total += confusion(true, predicted, len(class_names), radius_px, gated=gated, phantom=phantom)
    return total.scores(class_names)


def radius_at(mpp: float, radius_um: float = RADIUS_UM) -> float:
    """The radius in px at a resolution of `mpp` micrometres per pixel."""
    return radius_um / mpp


def nuclei(instances: NDArray[Any], classes: NDArray[Any]) -> Nuclei:
    """The centroids of an instance map (h w) with their classes (n,), which follow the ascending ids that occur."""
    return Nuclei(centroids(instances), classes)


def centroids(instances: NDArray[Any]) -> NDArray[np.float64]:
    """xy (n 2) in px: mean of the pixels of each nucleus, in the order of ascending ids; ids may have gaps.

    Raises:
        UserError: not a map (h w) of integers, or a negative id.
    """
    labels = numbered(instances)
    sums = _moments(labels, int(labels.max(initial=0)))
    return sums[:, :2] / sums[:, 2:]


def pair(true_xy: NDArray[Any], predicted_xy: NDArray[Any], radius_px: float, *, gated: bool = False) -> Pairs:
    """One-to-one pairs of points (n 2), (m 2) at most `radius_px` apart, in px.

    By default all are paired at the least sum of distances, then the pairs beyond the radius are undone (as
    released). `gated`: as many pairs within the radius as can be, of these the least sum of distances.

    Raises:
        UserError: the radius is not above 0.
    """
    if not radius_px > 0:
        raise UserError("bad radius", expected="a radius above 0 px", got=str(radius_px), mend="3 um at 40x are 12 px")
    if gated:
        return _pair_gated(true_xy, predicted_xy, radius_px)
    distance = cdist(true_xy, predicted_xy)
    rows, columns = linear_sum_assignment(distance)
    near = distance[rows, columns] <= radius_px
    return Pairs(rows[near], columns[near])


@dataclass(frozen=True, eq=False)
class Confusion:
    """Counts of nuclei: paired (C+2 C+2) by (true class, predicted class); missed (C+2,) true ones without a pair,
    false_alarms (C+2,) predicted ones without. Class 0 = unknown type, the last one = phantoms."""

    paired: NDArray[np.int64]
    missed: NDArray[np.int64]
    false_alarms: NDArray[np.int64]

    @classmethod
    def empty(cls, number_of_classes: int) -> "Confusion":
        """No nucleus at all."""
        rows = number_of_classes + 2
        return cls(np.zeros((rows, rows), np.int64), np.zeros(rows, np.int64), np.zeros(rows, np.int64))

    def __add__(self, other: "Confusion") -> "Confusion":
        return Confusion(self.paired + other.paired, self.missed + other.missed, self.false_alarms + other.false_alarms)

    @property
    def f_d(self) -> float:
        """2 TP / (2 TP + FP + FN), whatever the class."""
        hits = 2 * self.paired.sum()
        return _ratio(hits, hits + self.missed.sum() + self.false_alarms.sum())

    @property
    def accuracy(self) -> float:
        """Correct classes / pairs of known type."""
        known = self.paired[1:]
        return _ratio(known.trace(offset=1), known.sum())

    def f_class(self, c: int) -> float:
        """2 TP_c / (2 TP_c + 2 FP_c + 2 FN_c + FPd_c + FNd_c), over pairs of known type."""
        hits = self.paired[c, c]
        of_either = self.paired[c].sum() + self.paired[1:, c].sum() - hits
        return _ratio(2 * hits, 2 * of_either + self.false_alarms[c] + self.missed[c])

    def scores(self, class_names: Sequence[str]) -> dict[str, float]:
        """`f_d`; with classes `accuracy` and `f_<class name>` of each.

        Raises:
            UserError: a class name that is there twice, or "d", whose score would be called as that of detection.
        """
        check_names(class_names, ("d",))
        if not class_names:
            return {"f_d": self.f_d}
        named = {f"f_{name}": self.f_class(c) for c, name in enumerate(class_names, start=1)}
        return {"f_d": self.f_d, "accuracy": self.accuracy, **named}

    def precision(self, c: int) -> float:
        """TP_c / (TP_c + FP_c + FPd_c): predicted nuclei of class c that are paired with one of it.

        Those that are paired with a nucleus of unknown type are left out. Beside `recall` this is not F_c, in which a
        wrong type counts twice.
        """
        return _ratio(self.paired[c, c], self.paired[1:, c].sum() + self.false_alarms[c])

    def recall(self, c: int) -> float:
        """TP_c / (TP_c + FN_c + FNd_c): true nuclei of class c that are paired with one of it."""
        return _ratio(self.paired[c, c], self.paired[c].sum() + self.missed[c])

    def true_count(self, c: int) -> int:
        """True nuclei of class c, paired or not."""
        return int(self.paired[c].sum() + self.missed[c])

    def predicted_count(self, c: int) -> int:
        """Predicted nuclei of class c, paired or not."""
        return int(self.paired[:, c].sum() + self.false_alarms[c])

    def matrix(self, class_names: Sequence[str]) -> dict[str, dict[str, int]]:
        """True class -> predicted class -> nuclei; "unknown" type on either side, "missed" and "false alarm" alone.

        Phantoms are in it only if there are any.
        """
        names = ("unknown", *class_names, "phantom")
        rows = {
            name: {**dict(zip(names, map(int, pairs), strict=True)), "missed": int(missed)}
            for name, pairs, missed in zip(names, self.paired, self.missed, strict=True)
        }
        rows["false alarm"] = dict(zip(names, map(int, self.false_alarms), strict=True))
        if not (self.paired[-1].any() or self.paired[:, -1].any() or self.missed[-1] or self.false_alarms[-1]):
            del rows["phantom"]
            rows = {name: {key: count for key, count in row.items() if key != "phantom"} for name, row in rows.items()}
        return rows


def confusion(
    true: Nuclei,
    predicted: Nuclei,
    number_of_classes: int,
    radius_px: float,
    *,
    gated: bool = False,
    phantom: bool = False,
) -> Confusion:
    """The counts of one image; see `scores`."""
    for side, found in (("true", true), ("predicted", predicted)):
        _check(found, number_of_classes, side)
    if phantom:
        true, predicted = (_or_phantom(found, number_of_classes) for found in (true, predicted))
    pairs = pair(true.xy, predicted.xy, radius_px, gated=gated)
    counts = Confusion.empty(number_of_classes)
    np.add.at(counts.paired, (true.classes[pairs.true], predicted.classes[pairs.predicted]), 1)
    np.add.at(counts.missed, np.delete(true.classes, pairs.true), 1)
    np.add.at(counts.false_alarms, np.delete(predicted.classes, pairs.predicted), 1)
    return counts


def _pair_gated(true_xy: NDArray[Any], predicted_xy: NDArray[Any], radius_px: float) -> Pairs:
    near = KDTree(true_xy).sparse_distance_matrix(KDTree(predicted_xy), radius_px, output_type="coo_matrix")
    # Each pair is worth 1, and all distances together less than 1: no nearer pairs make up for one pair fewer.
    worth = 1 - near.data / (radius_px * (min(near.shape) + 1))
    kept = one_to_one(near.row, near.col, worth)
    order = kept[np.argsort(near.row[kept])]
    return Pairs(near.row[order].astype(np.int64), near.col[order].astype(np.int64))


def _or_phantom(found: Nuclei, number_of_classes: int) -> Nuclei:
    return found if len(found.xy) else Nuclei(np.zeros((1, 2)), np.array([number_of_classes + 1]))


def _check(found: Nuclei, number_of_classes: int, side: str) -> None:
    check_classes(found.classes, len(found.xy), number_of_classes, f"{side} nuclei")
    if found.xy.ndim != 2 or found.xy.shape[1] != 2:
        raise UserError("no centroids", expected="x, y of each (n, 2)", got=str(found.xy.shape), where=f"{side} nuclei")


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else float("nan")


@njit(cache=True)
def _moments(instances: NDArray[np.int32], largest: int) -> NDArray[np.float64]:
    """Sum of x, sum of y and number of pixels of ids 1..largest."""
    sums = np.zeros((largest + 1, 3))
    for y in range(instances.shape[0]):
        for x in range(instances.shape[1]):
            if instances[y, x]:
                sums[instances[y, x], 0] += x
                sums[instances[y, x], 1] += y
                sums[instances[y, x], 2] += 1
    return sums[1:]
