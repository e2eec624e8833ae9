"""Size, shape and spacing of nuclei, and how far those of two sets of labels lie apart.

All are exact symmetric functions of the label map: a flipped or turned tile gives the same numbers. Pixels are squares:
a nucleus of one pixel has an area of one, and a rectangle a solidity of 1.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.spatial import KDTree
from scipy.stats import wasserstein_distance

from nucleosynth.conditions.structure import pixel_sums
from nucleosynth.errors import UserError
from nucleosynth.metrics.overlap import check_classes, check_names, numbered
from nucleosynth.metrics.resampling import Side
from nucleosynth.sample import Instances

Floats = NDArray[np.float64]

OF_WHOLE_NUCLEI = ("area_um2", "diameter_um", "perimeter_um", "circularity", "eccentricity", "solidity")
"""What is not known of a nucleus that the border of the tile cuts."""
FEATURES = (*OF_WHOLE_NUCLEI, "neighbour_um")
DENSITY = "per_mm2"
ALL = "all"
"""In the place of a class's name: nuclei of all classes, and of unknown type."""


class Label(NamedTuple):
    """The nuclei of one tile: instances (h w), classes (n,) by ascending ids (0 = unknown type), mpp in um a pixel."""

    instances: NDArray[Any]
    classes: NDArray[Any]
    mpp: float


class Measured(NamedTuple):
    """A tile's nuclei, measured: features as `shapes` gives them, classes (n,), and the area of the tile."""

    features: Mapping[str, Floats]
    classes: NDArray[Any]
    area_mm2: float


def shapes(instances: NDArray[Any], mpp: float) -> dict[str, Floats]:
    """Each feature of each nucleus: name -> (n,), in the order of ascending ids, which may have gaps.

    `area_um2`; `diameter_um`, of the circle of that area; `perimeter_um`, by Crofton's formula in four directions;
    `circularity`, 4 pi area / perimeter^2, about 1 for a circle (more for a few pixels); `eccentricity`, 0..1, of the
    ellipse of equal second moments; `solidity`, 0..1, area over that of the convex hull; `neighbour_um`, distance to
    the nearest other centroid. NaN: all but the last for a nucleus that touches the border of the tile (part of it may
    be missing); the last for a nucleus alone. Empty arrays for a map without nuclei.

    Raises:
        UserError: not an instance map, or an mpp that is not above 0.
    """
    if not 0 < mpp < np.inf:
        raise UserError("no resolution", expected="mpp > 0, um a pixel", got=str(mpp), mend="about 0.25 at 40x")
    labels = numbered(instances)
    sums = pixel_sums(labels, int(labels.max(initial=0)))[1:]
    area, least, largest = sums[:, 0], sums[:, 3::2], sums[:, 4::2]
    perimeter = _crossings(labels, len(sums)) @ [np.pi / 8, np.pi / 8 / np.sqrt(2)]
    whole = (least > 0).all(axis=1) & (largest < np.array(labels.shape[::-1]) - 1).all(axis=1)
    hull = _hull_areas(labels, sums)
    found = {
        "area_um2": area * mpp**2,
        "diameter_um": np.sqrt(4 / np.pi * area) * mpp,
        "perimeter_um": perimeter * mpp,
        "circularity": 4 * np.pi * area / np.maximum(perimeter, 1) ** 2,
        "eccentricity": _eccentricities(_second_moments(labels, sums)),
        "solidity": area / hull,
    }
    found = {name: np.where(whole, values, np.nan) for name, values in found.items()}
    return found | {"neighbour_um": _to_neighbour(sums[:, 1:3] / area[:, None]) * mpp}


def statistics(labels: Iterable[Label], class_names: Sequence[str]) -> dict[str, dict[str, dict[str, float]]]:
    """ "all" or class -> feature -> `mean`, `sd`, `median`, `n`: over nuclei, and over tiles for `per_mm2`.

    "all" holds nuclei of unknown type too. NaN where there is none (or, for the sd, a single one). See `shapes`.

    Raises:
        UserError: maps, classes or resolutions that cannot be measured, or a class name that is there twice or "all".
    """
    check_names(class_names, (ALL,))
    tables = [measured(label, len(class_names)) for label in labels]
    return {
        name: {feature: _summary(values) for feature, values in _pooled(tables, c).items()}
        for c, name in _kinds(class_names)
    }


def shape_distances(
    real: Sequence[Label | Measured],
    synthetic: Sequence[Label | Measured],
    class_names: Sequence[str] = (),
    *,
    groups: NDArray[Any] | None = None,
    halvings: int = 10,
    seed: int = 0,
) -> dict[str, float]:
    """1-Wasserstein distance of each feature between two sets of labels: "all.area_um2", "<class>.solidity" ...

    In the feature's own unit: by how much nuclei would have to change on the average (tiles, for `per_mm2`). Beside
    each, "....floor": the mean distance between two halves of the real tiles, over seeded random halvings; as
    halves are smaller than the whole, it is rather too large; groups (n,): real tiles that are not independent (a
    slide's), which come into the same half. NaN where a side has no such nucleus, as on empty tiles,
    and for the floor of fewer than two tiles. Source: Ramdas et al., On Wasserstein two-sample testing, Entropy 2017.

    Raises:
        UserError: maps, classes or resolutions that cannot be measured, groups that do not fit, or a class name that is
            there twice or is "all".
    """
    check_names(class_names, (ALL,))
    tables = [
        [each if isinstance(each, Measured) else measured(each, len(class_names)) for each in side]
        for side in (real, synthetic)
    ]
    rng, side = np.random.default_rng(seed), Side(np.arange(len(real)), groups)
    halves = [side.halves(rng) for _ in range(halvings)]
    result: dict[str, float] = {}
    for c, name in _kinds(class_names):
        first, second = (_pooled(each, c) for each in tables)
        parts = [[_pooled([tables[0][i] for i in half], c) for half in pair] for pair in halves]
        for feature in (*FEATURES, DENSITY):
            result[f"{name}.{feature}"] = _wasserstein(first[feature], second[feature])
            floor = [_wasserstein(one[feature], other[feature]) for one, other in parts]
            result[f"{name}.{feature}.floor"] = float(np.mean(floor)) if floor else float("nan")
    return result


def measured(label: Label, number_of_classes: int) -> Measured:
    """What distances need of a tile; without classes (0) their range is not looked at.

    Raises:
        UserError: a map, classes or a resolution that cannot be measured.
    """
    features = shapes(label.instances, label.mpp)
    classes = np.asarray(label.classes)
    if number_of_classes:
        check_classes(classes, len(features["area_um2"]), number_of_classes, "label")
    return Measured(features, classes, label.instances.size * label.mpp**2 * 1e-6)


def _kinds(class_names: Sequence[str]) -> list[tuple[int | None, str]]:
    return [(None, ALL), *enumerate(class_names, start=1)]


def _pooled(tables: Sequence[Measured], c: int | None) -> dict[str, Floats]:
    """The defined values of each feature of class c (None: of all nuclei), and the density of each tile."""
    chosen = [np.full(len(table.features["area_um2"]), True) if c is None else table.classes == c for table in tables]
    pooled = {
        name: np.concatenate([np.empty(0), *(t.features[name][k] for t, k in zip(tables, chosen, strict=True))])
        for name in FEATURES
    }
    density = np.array([k.sum() / t.area_mm2 for t, k in zip(tables, chosen, strict=True) if t.area_mm2], np.float64)
    return {name: values[~np.isnan(values)] for name, values in pooled.items()} | {DENSITY: density}


def _summary(values: Floats) -> dict[str, float]:
    n = len(values)
    nan = float("nan")
    return {
        "mean": float(values.mean()) if n else nan,
        "sd": float(values.std(ddof=1)) if n > 1 else nan,
        "median": float(np.median(values)) if n else nan,
        "n": n,
    }


def _wasserstein(one: Floats, other: Floats) -> float:
    return float(wasserstein_distance(one, other)) if len(one) and len(other) else float("nan")


def _to_neighbour(xy: Floats) -> Floats:
    """(n,) distance of each point to the nearest other one, NaN where there is none."""
    if len(xy) < 2:
        return np.full(len(xy), np.nan)
    return np.asarray(KDTree(xy).query(xy, k=2)[0], np.float64)[:, 1]


def _eccentricities(moments: Floats) -> Floats:
    """From the covariances xx, yy, xy (n 3) of a nucleus's pixels, each a square of variance 1/12."""
    xx, yy, xy = moments.T
    half, root = (xx + yy) / 2, np.hypot((xx - yy) / 2, xy)
    return np.asarray(np.sqrt(2 * root / (half + root)))


@njit(cache=True)
def _second_moments(labels: Instances, sums: NDArray[np.int64]) -> Floats:
    n = len(sums)
    centres = np.zeros((n, 2))
    for k in range(n):
        centres[k, 0], centres[k, 1] = sums[k, 1] / sums[k, 0], sums[k, 2] / sums[k, 0]
    moments = np.zeros((n, 3))
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            k = labels[y, x] - 1
            if k >= 0:
                dx, dy = x - centres[k, 0], y - centres[k, 1]
                moments[k, 0] += dx * dx
                moments[k, 1] += dy * dy
                moments[k, 2] += dx * dy
    for k in range(n):
        moments[k] /= sums[k, 0]
        moments[k, :2] += 1 / 12
    return moments


@njit(cache=True)
def _crossings(labels: Instances, n: int) -> Floats:
    """How often the lines through pixel centres enter or leave each nucleus: (n 2), along the axes, along diagonals."""
    height, width = labels.shape
    framed = np.zeros((height + 2, width + 2), np.int32)
    framed[1:-1, 1:-1] = labels
    counts = np.zeros((n + 1, 2))
    for y in range(height + 1):
        for x in range(width + 1):  # the four pairs of each square of four pixels, and of its diagonals
            a, b, c, d = framed[y, x], framed[y, x + 1], framed[y + 1, x], framed[y + 1, x + 1]
            if a == b == c == d:
                continue
            for one, other, diagonal in ((a, b, 0), (a, c, 0), (a, d, 1), (b, c, 1)):
                if one != other:
                    counts[one, diagonal] += 1
                    counts[other, diagonal] += 1
    return counts[1:]


@njit(cache=True)
def _hull_areas(labels: Instances, sums: NDArray[np.int64]) -> Floats:
    """Area of the convex hull of each nucleus's pixel squares, in px.

    A hull is what lies between the convex envelopes of its left and right ends, taken on the edges between rows.
    """
    n = len(sums)
    first = np.zeros(n + 1, np.int64)
    for k in range(n):
        first[k + 1] = first[k] + sums[k, 6] - sums[k, 5] + 2
    left, right = np.full(first[n], np.inf), np.full(first[n], -np.inf)
    height, width = labels.shape
    for y in range(height):
        end = 0
        while end < width:
            start, k = end, labels[y, end]
            while end < width and labels[y, end] == k:
                end += 1
            if k:
                above = first[k - 1] + y - sums[k - 1, 5]
                left[above], right[above] = min(left[above], start - 0.5), max(right[above], end - 0.5)
                below = above + 1
                left[below], right[below] = min(left[below], start - 0.5), max(right[below], end - 0.5)
    areas = np.zeros(n)
    for k in range(n):
        span = slice(first[k], first[k + 1])
        areas[k] = -_below_envelope(left[span]) - _below_envelope(-right[span])
    return areas


@njit(cache=True)
def _below_envelope(ends: Floats) -> float:
    """Integral of the convex envelope of ends (rows,) over the rows; infinite entries are no points."""
    kept = np.empty(len(ends), np.int64)
    count = 0
    for row in range(len(ends)):
        if np.isinf(ends[row]):
            continue
        while count > 1:
            a, b = kept[count - 2], kept[count - 1]
            if (ends[b] - ends[a]) * (row - a) < (ends[row] - ends[a]) * (b - a):
                break
            count -= 1
        kept[count] = row
        count += 1
    total = 0.0
    for i in range(1, count):
        a, b = kept[i - 1], kept[i]
        total += (ends[a] + ends[b]) / 2 * (b - a)
    return total
