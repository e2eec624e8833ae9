"""From a map of nuclei to the per-pixel fields that generators and judges are given or learn to make.

    semantic          class of each pixel
    distance          from the nucleus's centre, 0..1 per nucleus     CoSyn (Min et al., ECCV 2024)
    signed_distance   from the nucleus's outline, -1..1               zero level = the outline
    offsets           vector to the nucleus's centre, px              what `instances.offsets` reads back
    hv                the same, -1..1 per piece and direction         HoVer-Net (Graham et al., 2019), NuDiff

The centre of a nucleus is the mean of its pixels. All sums are kept in integers, so that every field of a rotated or
flipped map equals the rotated or flipped field bit for bit (vector fields by `transform_vectors`).
Instance maps are (h w) integers, 0 background; ids may have gaps.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nucleosynth.conditions.runs import Runs, joined, painted, runs_of
from nucleosynth.errors import UserError
from nucleosynth.sample import Classes, Instances, Symmetry, transform_array

Field = NDArray[np.float32]
Sums = NDArray[np.int64]

UNKNOWN = 255
"""Class of a pixel inside a nucleus of unknown type: neither background nor a class, to be masked in losses."""

HIGHEST_ID = 1 << 24
"""Tables have one row for each id up to the highest."""

RELEASED_MIN_AREA = 30
"""Pieces below this have no HV in the released code, px."""


def semantic(instances: NDArray[Any], classes: Classes) -> NDArray[np.uint8]:
    """Class of each pixel (h w): 0 background, 1..C, `UNKNOWN` inside nuclei whose class is 0.

    Raises:
        UserError: not an instance map, or an id without an entry in `classes`.
    """
    labels, highest = label_map(instances)
    if highest > len(classes):
        raise UserError("a nucleus without a class", expected=f"ids 1..{len(classes)}", got=f"id {highest}")
    colours = np.zeros(len(classes) + 1, np.uint8)
    colours[1:] = np.where(classes == 0, UNKNOWN, classes)
    return colours[labels]


def distance(instances: NDArray[Any]) -> Field:
    """Distance of each pixel to its nucleus's centre over the largest of that nucleus (h w): 0..1, background 0.

    All 0 for a nucleus of one pixel. Source: CoSyn's distance map, as its paper defines it.
    """
    labels, highest = label_map(instances)
    return _distance(labels, pixel_sums(labels, highest))


def signed_distance(instances: NDArray[Any], limit_px: float) -> Field:
    """Distance to the outline over `limit_px`, clipped to -1..1 (h w): positive inside nuclei, negative outside.

    Inside, the outline is the nucleus's own (touching nuclei have a valley between them); outside, the nearest
    nucleus's. Outlines run along the edges of pixels, so the outermost pixels of a nucleus have +0.5 px and those
    next to it -0.5 px, none has 0, and `> 0` gives back the exact mask. The border of the tile is no outline.

    Raises:
        UserError: not an instance map, or a limit that is not positive.
    """
    if not limit_px > 0:
        raise UserError("no room for a distance", expected="limit_px > 0", got=str(limit_px))
    labels, _ = label_map(instances)
    to_outline = _outline_distance(labels, limit_px, False)
    return (np.where(labels > 0, to_outline, -to_outline) / limit_px).astype(np.float32)


def inner_distance(instances: NDArray[Any]) -> Field:
    """`signed_distance` inside nuclei, in px and without a limit (h w); background 0.

    Infinite in a nucleus that fills the tile, as it has no outline there.
    """
    labels, _ = label_map(instances)
    return _outline_distance(labels, np.inf, True)


def offsets(instances: NDArray[Any]) -> Field:
    """Vector (dx, dy) in px from each pixel to the mean of its nucleus's pixels: (2 h w), background 0."""
    labels, highest = label_map(instances)
    return _offsets(labels, pixel_sums(labels, highest))


def hv(instances: NDArray[Any], released: bool = False, min_area: int = 0) -> Field:
    """HoVer-Net's horizontal and vertical maps (2 h w), -1..1: position relative to the centre of each piece.

    In each 4-connected piece of a nucleus, x and y minus the centre, negatives over the largest negative, positives
    over the largest positive; background 0, and so pieces of less than `min_area` px. `released=True` repeats the
    published code: centre rounded, positions counted from 1 (so the maps are one pixel off), and `RELEASED_MIN_AREA`.
    """
    labels, _ = label_map(instances)
    runs = runs_of(labels)
    parts, count = joined(runs)
    sums = _run_sums(runs, parts, count)
    area = np.maximum(sums[:, :1], 1)
    # Positions stay integers: ours times the area, x * area - sum; the released ones x + 1 - round(mean).
    factor, centre = (
        (np.ones_like(area), (2 * sums[:, 1:3] + area) // (2 * area) - 1) if released else (area, sums[:, 1:3])
    )
    reach = np.stack([centre - sums[:, 3::2] * factor, sums[:, 4::2] * factor - centre], axis=2)
    inverse = 1 / np.maximum(reach, 1)
    inverse[sums[:, 0] < (max(min_area, RELEASED_MIN_AREA) if released else min_area)] = 0
    return _hv(runs, parts, factor[:, 0], centre, inverse, *labels.shape)


def transform_vectors(vectors: Field, symmetry: Symmetry) -> Field:
    """One of the square's eight symmetries on a field of vectors (dx, dy) (2 h w): pixels move, vectors turn.

    Exact: transform_vectors(offsets(m), s) equals offsets(transform_array(m, s)), and so for `hv`.
    """
    dx, dy = vectors
    for _ in range(symmetry % 4):
        dx, dy = dy, -dx
    if symmetry >= 4:
        dx = -dx
    return np.stack([transform_array(dx, symmetry), transform_array(dy, symmetry)])


def label_map(instances: NDArray[Any]) -> tuple[Instances, int]:
    """The map as C-contiguous int32, and its highest id (0 where there is no nucleus).

    Raises:
        UserError: not (h, w), not integers, a negative id, or ids so high that a table of them would not fit.
    """
    low, high = int(instances.min(initial=0)), int(instances.max(initial=0))
    if instances.ndim != 2 or instances.dtype.kind not in "iub" or low < 0:
        raise UserError(
            "not an instance map",
            expected="(h, w) integers, 0 background",
            got=f"{instances.dtype} {instances.shape}, least value {low}",
        )
    if high > HIGHEST_ID:
        raise UserError(
            "ids far too high",
            expected=f"at most {HIGHEST_ID}",
            got=str(high),
            mend="renumber with nucleosynth.sample.without_gaps",
        )
    return np.ascontiguousarray(instances, np.int32), high


def pixel_sums(labels: Instances, highest: int) -> Sums:
    """Row k of (highest + 1, 7): area, sum of x, sum of y, least x, largest x, least y, largest y of nucleus k.

    `labels` as `label_map` gives it. Row 0 and the rows of absent ids have area 0.
    """
    runs = runs_of(labels)
    return _run_sums(runs, runs[:, 3].copy(), highest)


def pieces(labels: Instances) -> tuple[Instances, int]:
    """The 4-connected pieces of equal id, numbered 1..m in raster order of their first pixels, and m.

    `labels` as `label_map` gives it. Touching nuclei stay apart, unlike in the components of a mask.
    """
    runs = runs_of(labels)
    parts, count = joined(runs)
    return painted(runs, parts, *labels.shape), count


@njit(cache=True)
def _run_sums(runs: Runs, owners: Instances, highest: int) -> Sums:
    """`pixel_sums` of the owner of each run; a row without pixels has area 0."""
    sums = np.zeros((highest + 1, 7), np.int64)
    sums[:, 3] = sums[:, 5] = np.iinfo(np.int32).max
    for run in range(len(runs)):
        y, start, end, _ = runs[run]
        row, length = sums[owners[run]], np.int64(end - start)
        row[0] += length
        row[1] += (start + end - 1) * length // 2
        row[2] += y * length
        row[3] = min(row[3], start)
        row[4] = max(row[4], end - 1)
        row[5] = min(row[5], y)
        row[6] = max(row[6], y)
    return sums


@njit(cache=True)
def _distance(labels: Instances, sums: Sums) -> Field:
    height, width = labels.shape
    squares = np.zeros((height, width))
    largest = np.zeros(len(sums))
    for y in range(height):
        for x in range(width):
            k = labels[y, x]
            if k:
                dx = float(sums[k, 1] - x * sums[k, 0])
                dy = float(sums[k, 2] - y * sums[k, 0])
                squares[y, x] = dx * dx + dy * dy
                largest[k] = max(largest[k], squares[y, x])
    result = np.zeros((height, width), np.float32)
    for y in range(height):
        for x in range(width):
            if squares[y, x] > 0:
                result[y, x] = np.sqrt(squares[y, x] / largest[labels[y, x]])
    return result


@njit(cache=True)
def _offsets(labels: Instances, sums: Sums) -> Field:
    height, width = labels.shape
    result = np.zeros((2, height, width), np.float32)
    for y in range(height):
        for x in range(width):
            k = labels[y, x]
            if k:
                result[0, y, x] = (sums[k, 1] - x * sums[k, 0]) / sums[k, 0]
                result[1, y, x] = (sums[k, 2] - y * sums[k, 0]) / sums[k, 0]
    return result


@njit(cache=True)
def _hv(
    runs: Runs, parts: Instances, factor: Sums, centre: Sums, inverse: NDArray[np.float64], height: int, width: int
) -> Field:
    """inverse (pieces, axis, side): 1 over the largest position before and behind the centre."""
    result = np.zeros((2, height, width), np.float32)
    for run in range(len(runs)):
        y, start, end, _ = runs[run]
        k = parts[run]
        down = y * factor[k] - centre[k, 1]
        result[1, y, start:end] = down * inverse[k, 1, int(down > 0)]
        for x in range(start, end):
            along = x * factor[k] - centre[k, 0]
            result[0, y, x] = along * inverse[k, 0, int(along > 0)]
    return result


@njit(cache=True)
def _outline_distance(labels: Instances, limit: float, inside_only: bool) -> Field:
    """Exact distance from each pixel's centre to the nearest edge of a pixel with another id, at most `limit`.

    The nearest edge lies above, below, or at the end of a run of this id in a column that the pixel's own row reaches
    without leaving the id: so each row is walked outward while that can still be nearer than the best so far (the first
    pixel of another id ends it).
    """
    height, width = labels.shape
    vertical = _vertical_distance(labels)
    result = np.zeros((height, width), np.float32)
    for y in range(height):
        for x in range(width):
            k = labels[y, x]
            if inside_only and k == 0:
                continue
            best = min(limit * limit, vertical[y, x] * vertical[y, x])
            for step in (-1, 1):
                u, across = x + step, 0.5
                while 0 <= u < width and across * across < best:
                    down = vertical[y, u] if labels[y, u] == k else 0.0
                    best = min(best, across * across + down * down)
                    u += step
                    across += 1.0
            result[y, x] = np.sqrt(best)
    return result


@njit(cache=True)
def _vertical_distance(labels: Instances) -> Field:
    """Distance from each pixel's centre up or down its column to another id, infinite where the tile ends first."""
    height, width = labels.shape
    result = np.full((height, width), np.inf, np.float32)
    for y in range(1, height):
        for x in range(width):
            result[y, x] = result[y - 1, x] + 1 if labels[y - 1, x] == labels[y, x] else 0.5
    for y in range(height - 2, -1, -1):
        for x in range(width):
            below = result[y + 1, x] + 1 if labels[y + 1, x] == labels[y, x] else 0.5
            result[y, x] = min(result[y, x], below)
    return result
