"""Outlines as polygons and back, exactly: a nucleus that is traced and filled again is the same, pixel for pixel.

Coordinates are those of QuPath, COCO and ImageScope: pixel (row, column) covers the square [column, column + 1] x [row,
row + 1], so the image spans x in [0, w], y in [0, h], and a pixel's centre lies at half numbers (our own points
have pixel centres at whole numbers: subtract 0.5). `trace` follows the edges between pixels; `fill` takes the pixels
whose centre lies inside. A ring is (m 2) x, y, not closed; a polygon is an outer ring and the rings of its holes; a
nucleus is one or more polygons.

Traced polygons are valid by OGC Simple Features, as QuPath's geometry library wants them: rings that do not touch
themselves, holes inside, one polygon for each 4-connected part.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import ndimage

from nucleosynth.sample import Instances

Ring = NDArray[Any]
"""(m 2) x, y in px, corner coordinates, not closed."""
Polygon = Sequence[Ring]
"""The outer ring, then those of the holes."""


class Filled(NamedTuple):
    """The pixels of a nucleus inside an image: `mask` (h w) with its upper left pixel at (top, left).

    crosses: an outline crosses itself (both its lobes, and what it goes round twice, are filled); beyond: a vertex lies
    outside the image.
    """

    top: int
    left: int
    mask: NDArray[np.bool_]
    crosses: bool
    beyond: bool


def fill(polygons: Sequence[Polygon], size: tuple[int, int]) -> Filled:
    """The pixels of an image of `size` (h w) whose centre lies inside any of the polygons and in none of its holes.

    A pixel centre on an edge belongs to the polygon on its right or below, so polygons that share an edge share no
    pixel. Rings may be closed (first vertex repeated) and of either direction.

    Example:
        >>> square = np.array([[1, 1], [3, 1], [3, 2], [1, 2]])
        >>> fill([[square]], (4, 4)).mask
        array([[ True,  True]])
    """
    every = np.concatenate([np.asarray(ring, np.float64).reshape(-1, 2) for polygon in polygons for ring in polygon])
    high = np.array([size[1], size[0]])
    beyond = bool((every < 0).any() or (every > high).any())
    first = np.floor(every.min(axis=0)).clip(0, high).astype(int)
    last = np.ceil(every.max(axis=0)).clip(0, high).astype(int)
    (left, top), (width, height) = first, np.maximum(last - first, 0)
    mask, crosses = np.zeros((height, width), bool), False
    for polygon in polygons:
        part = np.zeros((height, width), bool)
        for k, ring in enumerate(polygon):
            winding = _winding(np.ascontiguousarray(ring, np.float64).reshape(-1, 2), top, left, height, width)
            crosses |= bool(winding.size and (winding.max() - min(winding.min(), 0) > 1 or winding.min() < -1))
            part = part & (winding == 0) if k else winding != 0
        mask |= part
    return Filled(int(top), int(left), mask, crosses, beyond)


def trace(instances: Instances) -> Iterator[list[list[Ring]]]:
    """The polygons of each nucleus of a map with ids 1..n, in the order of the ids: int32 rings along pixel edges.

    Outer rings run clockwise as seen (x right, y down), holes against it.

    Example:
        >>> [nucleus[0][0].tolist() for nucleus in trace(np.array([[0, 1]], np.int32))]
        [[[1, 0], [2, 0], [2, 1], [1, 1]]]
    """
    for number, window in enumerate(ndimage.find_objects(instances), start=1):
        if window is not None:
            yield trace_mask(instances[window] == number, window[0].start, window[1].start)


def trace_mask(mask: NDArray[np.bool_], top: int = 0, left: int = 0) -> list[list[Ring]]:
    """The polygons of one nucleus: a mask (h w) whose upper left pixel stands at (top, left)."""
    parts, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)
    corners, begins, owners = _rings(np.pad(labels, 1).astype(np.int32))
    corners += np.array([left, top], np.int32)
    polygons: list[list[Ring]] = [[] for _ in range(parts - 1)]
    for start, end, owner in zip(begins[:-1].tolist(), begins[1:].tolist(), owners.tolist(), strict=True):
        ring = corners[start:end]
        polygon = polygons[owner - 1]
        # The outer ring is the one that runs clockwise, and stands first.
        polygon.insert(0 if area(ring) > 0 else len(polygon), ring)
    return polygons


def area(ring: Ring) -> float:
    """Signed area in px: positive for a ring that runs clockwise as seen (y down)."""
    x, y = np.asarray(ring, np.float64).T
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2)


@njit(cache=True)
def _winding(ring: NDArray[np.float64], top: int, left: int, height: int, width: int) -> NDArray[np.int16]:
    """(height width) how often a ring goes round each pixel's centre."""
    turns = np.zeros((height, width), np.int16)
    count = len(ring)
    for k in range(count):
        x0, y0 = ring[k, 0] - left, ring[k, 1] - top
        x1, y1 = ring[(k + 1) % count, 0] - left, ring[(k + 1) % count, 1] - top
        if y0 == y1:
            continue
        sign = 1 if y0 > y1 else -1
        low, high = (y1, y0) if y0 > y1 else (y0, y1)
        for row in range(max(int(np.ceil(low - 0.5)), 0), min(int(np.ceil(high - 0.5)), height)):
            x = x0 + (row + 0.5 - y0) * (x1 - x0) / (y1 - y0)
            column = max(int(np.ceil(x - 0.5)), 0)
            if column < width:
                turns[row, column] += sign
    for row in range(height):
        for column in range(1, width):
            turns[row, column] += turns[row, column - 1]
    return turns


@njit(cache=True)
def _rings(labels: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
    """All rings of a padded map of 4-connected parts: corners (m 2) x, y; where each ring begins; the part it bounds.

    Edges run with their part on the right. A walk turns right where it can, so it stays with its part where two meet at
    a corner; a loop that comes back to a corner of the walk is cut off as a ring of its own.
    """
    edges = _edges(labels)
    stack = np.empty((labels.size, 2), np.int32)
    place = np.full(labels.shape, -1, np.int32)
    corners, begins, owners = [(0, 0)], [0], [0]
    for top in range(1, labels.shape[0]):
        for left in range(1, labels.shape[1]):
            while edges[top, left]:
                # The first corner of a ring in reading order is a turn.
                y, x, depth, before = top, left, 0, -1
                owner, heading = _leaving(edges, labels, y, x, 0, 0)
                while heading >= 0:
                    if heading != before:
                        if place[y, x] >= 0:
                            begins.append(len(corners))
                            owners.append(owner)
                            depth = _cut_off(stack, place, place[y, x], depth, corners)
                        stack[depth, 0], stack[depth, 1], place[y, x] = y, x, depth
                        depth += 1
                    edges[y, x] ^= 1 << heading
                    y += (heading == 1) - (heading == 3)
                    x += (heading == 0) - (heading == 2)
                    before = heading
                    _, heading = _leaving(edges, labels, y, x, before + 1, owner)
                begins.append(len(corners))
                owners.append(owner)
                _cut_off(stack, place, 0, depth, corners)
    begins.append(len(corners))
    return np.array(corners, np.int32), np.array(begins[1:], np.int32), np.array(owners[1:], np.int32)


@njit(cache=True)
def _edges(labels: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Bit d at (y, x): an edge leaves that corner east (0), south (1), west (2) or north (3)."""
    edges = np.zeros(labels.shape, np.uint8)
    for y in range(1, labels.shape[0]):
        for x in range(1, labels.shape[1]):
            here, above, before, across = labels[y, x], labels[y - 1, x], labels[y, x - 1], labels[y - 1, x - 1]
            east, south = here > 0 and above == 0, before > 0 and here == 0
            west, north = across > 0 and before == 0, above > 0 and across == 0
            edges[y, x] = east + 2 * south + 4 * west + 8 * north
    return edges


@njit(cache=True)
def _leaving(
    edges: NDArray[np.uint8], labels: NDArray[np.int32], y: int, x: int, right: int, owner: int
) -> tuple[int, int]:
    """The part of the next edge and its heading: the rightmost one, `right` being the heading of a turn to the right.

    Any part's where `owner` is 0; heading -1 where no edge is left.
    """
    for turn in range(4):
        heading = (right - turn) % 4
        if edges[y, x] >> heading & 1:
            part = labels[y - (heading >= 2), x - (heading == 1 or heading == 2)]
            if owner == 0 or owner == part:
                return part, heading
    return owner, -1


@njit(cache=True)
def _cut_off(
    stack: NDArray[np.int32], place: NDArray[np.int32], start: int, depth: int, corners: list[tuple[int, int]]
) -> int:
    """Move the corners from `start` on from the walk to the rings; the walk's new length."""
    for k in range(start, depth):
        y, x = stack[k]
        corners.append((x - 1, y - 1))
        place[y, x] = -1
    return start
