"""Nuclei from a foreground and each pixel's vector to its nucleus's centre: our extractor of choice.

Every foreground pixel votes for its centre; the votes are smoothed, and their peaks are the nuclei. Unlike HoVer-Net's
maps, offsets in px know how far away the centre is, so touching, large and small nuclei come back alike.

Nothing is tuned to one size of nucleus or one kind of noise, because both are read from the votes themselves:

1. neighbouring pixels of one nucleus vote for the same point, so their disagreement is the noise of the votes;
   each vote is averaged with those of its neighbours that agree with it to within that noise, and noisy votes are
   smoothed more widely before peaks are sought;
2. one nucleus may still have several peaks (a large nucleus, blurred or shrunken offsets). Two nuclei have their
   centres far apart for their size: of 15,555 in CoNSeP two come nearer than half the larger one's radius. So peaks
   near for their joint size are one nucleus, unless their votes are too concentrated to have come from one.
"""

from typing import Any

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from nucleosynth.conditions.runs import Runs, areas, joined, large_pieces, painted, runs_of
from nucleosynth.conditions.structure import label_map
from nucleosynth.errors import UserError
from nucleosynth.instances.watershed import watershed
from nucleosynth.sample import Instances

Field = NDArray[np.float32]
Mask = NDArray[np.bool_]

AGREEMENT = 3.0
"""Neighbouring votes within this many sigma of their noise are averaged."""
NEAR_FOR_SIZE = 0.7
"""Peaks within this part of the radius of a disc of their joint area may be one nucleus ..."""
NEAR_FOR_SPREAD = 2.0
"""... if they also lie within this many times the sum of the two root mean square spreads of their votes."""


def extract(
    foreground: NDArray[Any],
    offsets_px: NDArray[np.floating[Any]],
    *,
    scale: float = 1.0,
    threshold: float = 0.5,
    min_area: int | None = None,
) -> Instances:
    """Nuclei 1..n (h w) from `foreground` (h w), bool or probability, and `offsets_px` (2 h w): dx, dy to the centre.

    scale: pixels per 0.5 um: 1 at 20x, 2 at 40x; votes are smoothed by at least 0.6 * scale px. threshold:
    probability from which a pixel is foreground. min_area: smaller nuclei are dropped, px; 4 * scale^2 unless given.
    Votes beyond the tile count at its border. Each nucleus is one 4-connected piece without holes (see `tidy`).

    Raises:
        UserError: maps whose shapes do not fit or that are not finite, or a scale that is not positive.
    """
    _check(foreground, offsets_px, scale)
    mask = np.ascontiguousarray(foreground if foreground.dtype == np.bool_ else foreground >= threshold)
    if not mask.any():
        return np.zeros(mask.shape, np.int32)
    votes = _votes(mask, np.ascontiguousarray(offsets_px, np.float32))
    noise = _noise(mask, votes)
    votes = _agreed(mask, votes, AGREEMENT * noise)
    zones, peak_of = _peaks(_ballot(mask, votes), max(0.6 * scale, 0.5 * noise))
    labels, sums = _assign(mask, votes, zones, peak_of)
    nucleus_of = _merge(np.argsort(-sums[:, 0], kind="stable"), sums)
    return tidy(nucleus_of[labels], round(4 * scale**2) if min_area is None else min_area)


def tidy(instances: NDArray[Any], min_area: int) -> Instances:
    """Nuclei 1..m (h w), each one 4-connected piece of at least `min_area` px without holes.

    The largest piece of a nucleus is kept. Its other pieces, and nuclei that are too small, go pixel by pixel to the
    nearest kept nucleus that they are connected to; where there is none, they are a nucleus of their own if large
    enough, else background. Background that one nucleus encloses becomes part of it.

    Raises:
        UserError: not an instance map.
    """
    labels, _ = label_map(instances)
    runs = runs_of(labels)
    parts, count = joined(runs)
    kept = _largest_pieces(runs, parts, count, min_area)
    grown = watershed(np.zeros(labels.shape, np.uint8), painted(runs, kept[parts], *labels.shape), labels > 0)
    apart = large_pieces((labels > 0) & (grown == 0), min_area)
    return _without_holes(np.where(apart, apart + kept.max(initial=0), grown))


def _check(foreground: NDArray[Any], offsets_px: NDArray[Any], scale: float) -> None:
    if foreground.ndim != 2 or offsets_px.shape != (2, *foreground.shape):
        raise UserError(
            "no foreground with its offsets",
            expected="foreground (h, w) and offsets (2, h, w)",
            got=f"{foreground.shape} and {offsets_px.shape}",
        )
    if not (np.isfinite(foreground).all() and np.isfinite(offsets_px).all()):
        raise UserError("maps that are not finite", expected="a probability and pixels", got="NaN or infinity")
    if not scale > 0:
        raise UserError("bad scale", expected="scale > 0 (1 at 20x, 2 at 40x)", got=str(scale))


def _noise(mask: Mask, votes: Field) -> float:
    """Sigma (px, per axis) of the votes: the median distance of two such votes is 1.665 sigma."""
    squares = _disagreements(mask, votes)
    return float(np.sqrt(np.median(squares)) / 1.665) if len(squares) else 0.0


def _peaks(ballot: Field, sigma: float) -> tuple[Instances, Instances]:
    """The zone (h w) of pixels that are nearest to one pixel of a peak, and the number of each zone's peak, from 1.

    Peaks are maxima of 3 x 3 px after smoothing.
    """
    side = 2 * int(np.ceil(3 * sigma)) + 1
    smooth = cv2.GaussianBlur(ballot, (side, side), sigma, borderType=cv2.BORDER_CONSTANT)
    peaks = (smooth >= cv2.dilate(smooth, np.ones((3, 3), np.uint8))) & (smooth > 0)
    _, numbers = cv2.connectedComponents(peaks.astype(np.uint8), connectivity=8)
    _, zones = cv2.distanceTransformWithLabels(
        (~peaks).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    peak_of = np.zeros(int(zones.max()) + 1, np.int32)
    peak_of[zones[peaks]] = numbers[peaks]
    return np.asarray(zones, np.int32), peak_of


def _largest_pieces(runs: Runs, parts: Instances, count: int, min_area: int) -> Instances:
    """New number of each piece (count + 1,), 0 for all but the largest piece (the first of equals) of each id."""
    sizes, owner = areas(runs, parts, count), np.zeros(count + 1, np.int32)
    owner[parts] = runs[:, 3]
    order = np.lexsort((np.arange(count + 1), -sizes, owner))
    first = order[np.flatnonzero(np.diff(owner[order], prepend=-1))]
    kept = np.zeros(count + 1, np.bool_)
    kept[first] = (owner[first] > 0) & (sizes[first] >= min_area)
    return np.where(kept, np.cumsum(kept), 0).astype(np.int32)


def _without_holes(labels: Instances) -> Instances:
    runs = runs_of(labels == 0)
    regions, count = joined(runs)
    return labels + painted(runs, _enclosing(labels, runs, regions, count)[regions], *labels.shape)


@njit(cache=True)
def _votes(mask: Mask, offsets_px: Field) -> Field:
    """x, y that each pixel votes for (h w 2), inside the tile."""
    height, width = mask.shape
    votes = np.zeros((height, width, 2), np.float32)
    for y in range(height):
        for x in range(width):
            if mask[y, x]:
                votes[y, x, 0] = min(max(x + offsets_px[0, y, x], 0), width - 1)
                votes[y, x, 1] = min(max(y + offsets_px[1, y, x], 0), height - 1)
    return votes


@njit(cache=True)
def _disagreements(mask: Mask, votes: Field) -> Field:
    """Squared distances (m,) between the votes of pixels that lie side by side."""
    height, width = mask.shape
    squares, count = np.empty(mask.size, np.float32), 0
    for y in range(height):
        for x in range(width - 1):
            if mask[y, x] and mask[y, x + 1]:
                dx, dy = votes[y, x + 1, 0] - votes[y, x, 0], votes[y, x + 1, 1] - votes[y, x, 1]
                squares[count] = dx * dx + dy * dy
                count += 1
    return squares[:count].copy()


@njit(cache=True)
def _agreed(mask: Mask, votes: Field, tolerance: float) -> Field:
    """Each vote averaged with those of its eight neighbours that lie within `tolerance` px of it."""
    height, width = mask.shape
    result = np.zeros_like(votes)
    for y in range(height):
        for x in range(width):
            if not mask[y, x]:
                continue
            a, b = votes[y, x]
            sum_a = sum_b = count = 0.0
            for v in range(max(y - 1, 0), min(y + 2, height)):
                for u in range(max(x - 1, 0), min(x + 2, width)):
                    dx, dy = votes[v, u, 0] - a, votes[v, u, 1] - b
                    if mask[v, u] and dx * dx + dy * dy <= tolerance * tolerance:
                        sum_a += dx
                        sum_b += dy
                        count += 1
            result[y, x, 0], result[y, x, 1] = a + sum_a / count, b + sum_b / count
    return result


@njit(cache=True)
def _ballot(mask: Mask, votes: Field) -> Field:
    """Votes at each pixel (h w), each shared bilinearly among four."""
    height, width = mask.shape
    ballot = np.zeros((height + 1, width + 1), np.float32)
    for y in range(height):
        for x in range(width):
            if mask[y, x]:
                a, b = votes[y, x]
                u, v = int(a), int(b)
                a, b = a - u, b - v
                ballot[v, u] += (1 - a) * (1 - b)
                ballot[v, u + 1] += a * (1 - b)
                ballot[v + 1, u] += (1 - a) * b
                ballot[v + 1, u + 1] += a * b
    return ballot[:height, :width].copy()


@njit(cache=True)
def _assign(mask: Mask, votes: Field, zones: Instances, peak_of: Instances) -> tuple[Instances, NDArray[np.float64]]:
    """The peak nearest to each pixel's vote (h w), and of each peak (n + 1, 4): votes, sums of x, y, x^2 + y^2."""
    height, width = mask.shape
    labels = np.zeros((height, width), np.int32)
    sums = np.zeros((peak_of.max() + 1, 4))
    for y in range(height):
        for x in range(width):
            if mask[y, x]:
                a, b = float(votes[y, x, 0]), float(votes[y, x, 1])
                k = peak_of[zones[int(b + 0.5), int(a + 0.5)]]
                labels[y, x] = k
                sums[k, 0] += 1
                sums[k, 1] += a
                sums[k, 2] += b
                sums[k, 3] += a * a + b * b
    return labels, sums


@njit(cache=True)
def _merge(order: NDArray[np.int64], sums: NDArray[np.float64]) -> Instances:
    """Nucleus of each peak (n + 1,). Peaks come by falling number of votes and join the relatively nearest nucleus.

    Nuclei stand in square cells by their means, linked from `first` through `following` (0 ends), so that a peak meets
    only those near it.
    """
    nucleus_of, following = np.zeros(len(sums), np.int32), np.zeros(len(sums), np.int32)
    nuclei = np.zeros_like(sums)
    means = sums[:, 1:3] / np.maximum(sums[:, :1], 1)
    most, near = sums[:, 0].max(), NEAR_FOR_SIZE**2 / np.pi
    side = max(8.0, np.sqrt(2 * near * most))
    first = np.zeros((int(means[:, 1].max() / side) + 1, int(means[:, 0].max() / side) + 1), np.int32)
    count = 0
    for i in order:
        if sums[i, 0] == 0:
            continue
        best = _nearest_nucleus(sums[i], nuclei, first, following, side, np.sqrt(near * (most + sums[i, 0])) + 1)
        if best:
            _unlink(best, nuclei, first, following, side)
        else:
            count += 1
            best = count
        nuclei[best] += sums[i]
        most = max(most, nuclei[best, 0])
        row, column = _cell(nuclei[best], side)
        following[best], first[row, column] = first[row, column], best
        nucleus_of[i] = best
    return nucleus_of


@njit(cache=True)
def _nearest_nucleus(
    peak: NDArray[np.float64],
    nuclei: NDArray[np.float64],
    first: Instances,
    following: Instances,
    side: float,
    reach: float,
) -> int:
    """The nucleus within `reach` px that is relatively nearest among those that may be one with the peak; 0 if none."""
    x, y = peak[1] / peak[0], peak[2] / peak[0]
    best, nearest = 0, NEAR_FOR_SIZE**2 / np.pi
    for row in range(max(int((y - reach) / side), 0), min(int((y + reach) / side) + 1, first.shape[0])):
        for column in range(max(int((x - reach) / side), 0), min(int((x + reach) / side) + 1, first.shape[1])):
            k = first[row, column]
            while k:
                dx, dy = nuclei[k, 1] / nuclei[k, 0] - x, nuclei[k, 2] / nuclei[k, 0] - y
                square = dx * dx + dy * dy
                relative = square / (nuclei[k, 0] + peak[0])
                nearer = relative < nearest or (relative == nearest and k < best)
                if nearer and np.sqrt(square) < NEAR_FOR_SPREAD * (_spread(nuclei[k]) + _spread(peak)):
                    best, nearest = k, relative
                k = following[k]
    return best


@njit(cache=True)
def _cell(sums: NDArray[np.float64], side: float) -> tuple[int, int]:
    """Row and column of the cell in which a nucleus's mean lies."""
    return int(sums[2] / sums[0] / side), int(sums[1] / sums[0] / side)


@njit(cache=True)
def _unlink(k: int, nuclei: NDArray[np.float64], first: Instances, following: Instances, side: float) -> None:
    """Take a nucleus out of its cell."""
    row, column = _cell(nuclei[k], side)
    if first[row, column] == k:
        first[row, column] = following[k]
        return
    before = first[row, column]
    while following[before] != k:
        before = following[before]
    following[before] = following[k]


@njit(cache=True)
def _spread(sums: NDArray[np.float64]) -> float:
    """Root mean square distance of votes from their mean."""
    x, y = sums[1] / sums[0], sums[2] / sums[0]
    return float(np.sqrt(max(sums[3] / sums[0] - x * x - y * y, 0.0)))


@njit(cache=True)
def _enclosing(labels: Instances, runs: Runs, regions: Instances, count: int) -> Instances:
    """The one nucleus round each background region (count + 1,); 0 where the tile's border or several nuclei touch it.

    runs, regions: of the background, as `conditions.runs` gives them.
    """
    height, width = labels.shape
    low, high = np.full(count + 1, np.iinfo(np.int32).max, np.int32), np.zeros(count + 1, np.int32)
    for run in range(len(runs)):
        region = regions[run]
        y, start, end, _ = runs[run]
        if y == 0 or start == 0 or y == height - 1 or end == width:
            low[region] = 0
            continue
        for k in (labels[y, start - 1], labels[y, end]):
            low[region], high[region] = min(low[region], k), max(high[region], k)
        for x in range(start, end):
            for k in (labels[y - 1, x], labels[y + 1, x]):
                if k:
                    low[region], high[region] = min(low[region], k), max(high[region], k)
    return np.where(low == high, low, 0).astype(np.int32)
