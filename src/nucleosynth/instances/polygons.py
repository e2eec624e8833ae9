"""Outlines as polygons and back, exactly: a nucleus that is traced and filled again is the same, pixel for pixel.

Coordinates are those of QuPath, COCO and ImageScope: pixel (row, column) covers the square [column, column + 1] x [row,
row + 1], so the image spans x in [0, w], y in [0, h], and a pixel's centre lies at half numbers (our own points
have pixel centres at whole numbers: subtract 0.5). `trace` follows the edges between pixels; `fill` takes the pixels
whose centre lies inside. A ring is (m 2) x, y, not closed; a polygon is an outer ring and the rings of its holes; a
nucleus is one or more polygons.

Traced polygons are valid by OGC Simple Features, as QuPath's geometry library wants them: rings that do not touch
themselves, holes inside, one polygon for each 4-connected part.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nucleosynth.conditions.runs import joined, painted, runs_of
from nucleosynth.errors import UserError
from nucleosynth.sample import Instances

Ring = NDArray[Any]
"""(m 2) x, y in px, corner coordinates, not closed."""
Polygon = Sequence[Ring]
"""The outer ring, then those of the holes."""
FARTHEST_PX = 1e9
"""What a coordinate may be; beyond it, floats no longer tell pixels apart."""


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


def check_place(polygons: Sequence[Polygon], where: str) -> None:
    """Check that polygons lie where an image can be.

    Raises:
        UserError: a coordinate that is NaN, infinite or beyond any slide; `where` names the file and the outline.
    """
    for polygon in polygons:
        for ring in polygon:
            if not (np.abs(ring) <= FARTHEST_PX).all():
                raise UserError(
                    "an outline of no place",
                    expected=f"finite coordinates, at most {FARTHEST_PX:g} px from the image",
                    got=f"the coordinate {np.ravel(ring)[np.abs(ring).argmax()]}",
                    where=where,
                    mend="export the annotations again, or remove that outline",
                )


def fill(polygons: Sequence[Polygon], size: tuple[int, int]) -> Filled:
    """The pixels of an image of `size` (h w) whose centre lies inside any of the polygons and in none of its holes.

    A pixel centre on an edge belongs to the polygon on its right or below, so polygons that share an edge share no
    pixel. Rings may be closed (first vertex repeated) and of either direction.

    Example:
        >>> square = np.array([[1, 1], [3, 1], [3, 2], [1, 2]])
        >>> fill([[square]], (4, 4)).mask
        array([[ True,  True]])
    """
    rings = [[np.asarray(ring, np.float64).reshape(-1, 2) for ring in polygon] for polygon in polygons]
    corners = np.array([[outer.min(axis=0), outer.max(axis=0)] for outer, *_ in rings])
    high = np.array([size[1], size[0]])
    first = np.floor(corners[:, 0]).clip(0, high).astype(int)
    last = np.ceil(corners[:, 1]).clip(0, high).astype(int)
    left, top = first.min(axis=0)
    width, height = np.maximum(last.max(axis=0) - (left, top), 0)
    mask, crosses = np.zeros((height, width), bool), False
    for polygon, (x, y), (right, bottom) in zip(rings, first, np.maximum(first, last), strict=True):
        part = mask[y - top : bottom - top, x - left : right - left]
        inside = np.ones(part.shape, bool)
        for k, ring in enumerate(polygon):
            winding = _winding(np.ascontiguousarray(ring), y, x, *part.shape)
            crosses |= bool(winding.size and (winding.max() - min(winding.min(), 0) > 1 or winding.min() < -1))
            inside &= winding == 0 if k else winding != 0
        part |= inside
    beyond = bool((corners[:, 0] < 0).any() or (corners[:, 1] > high).any())
    return Filled(int(top), int(left), mask, crosses, beyond)


def trace(instances: Instances) -> list[list[list[Ring]]]:
    """The polygons of each nucleus of a map with ids 1..n, in the order of the ids: int32 rings along pixel edges.

    Outer rings run clockwise as seen (x right, y down), holes against it.

    Example:
        >>> [nucleus[0][0].tolist() for nucleus in trace(np.array([[0, 1]], np.int32))]
        [[[1, 0], [2, 0], [2, 1], [1, 1]]]
    """
    runs = runs_of(instances)
    part_of, count = joined(runs)
    number_of = np.zeros(count + 1, np.int32)
    number_of[part_of] = runs[:, 3]
    inside = runs + np.array([1, 1, 1, 0], np.int32)
    corners, begins, owners, areas = _rings(painted(inside, part_of, instances.shape[0] + 2, instances.shape[1] + 2))
    polygons: list[list[Ring]] = [[] for _ in number_of]
    for start, end, owner, area in zip(begins[:-1].tolist(), begins[1:].tolist(), owners.tolist(), areas, strict=True):
        # The outer ring is the one that runs clockwise, and stands first.
        polygons[owner].insert(0 if area > 0 else len(polygons[owner]), corners[start:end])
    nuclei: list[list[list[Ring]]] = [[] for _ in range(int(number_of.max()))]
    for part in range(1, len(number_of)):
        nuclei[number_of[part] - 1].append(polygons[part])
    return nuclei


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
def _rings(
    parts: NDArray[np.int32],
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32], NDArray[np.float64]]:
    """All rings of a padded map of 4-connected parts: corners (m 2) x, y; where each ring begins (and the last ends);
    the part that it bounds; its signed area in px, positive where it runs clockwise as seen.

    Edges run with their part on the right. A walk turns right where it can, so it stays with its part where two meet at
    a corner; a loop that comes back to a corner of the walk is cut off as a ring of its own.
    """
    edges = _edges(parts)
    stack = np.empty((parts.size, 2), np.int32)
    place = np.full(parts.shape, -1, np.int32)
    corners, begins, owners, areas = [(0, 0)], [0], [0], [0.0]
    for top in range(1, parts.shape[0]):
        for left in range(1, parts.shape[1]):
            while edges[top, left]:
                # The first corner of a ring in reading order is a turn.
                y, x, depth, before = top, left, 0, -1
                owner, heading = _leaving(edges, parts, y, x, 0, 0)
                while heading >= 0:
                    if heading != before:
                        if place[y, x] >= 0:
                            begins.append(len(corners))
                            owners.append(owner)
                            start = place[y, x]
                            areas.append(_cut_off(stack, place, start, depth, corners))
                            depth = start
                        stack[depth, 0], stack[depth, 1], place[y, x] = y, x, depth
                        depth += 1
                    edges[y, x] ^= 1 << heading
                    y += (heading == 1) - (heading == 3)
                    x += (heading == 0) - (heading == 2)
                    before = heading
                    _, heading = _leaving(edges, parts, y, x, before + 1, owner)
                begins.append(len(corners))
                owners.append(owner)
                areas.append(_cut_off(stack, place, 0, depth, corners))
    begins.append(len(corners))
    return (
        np.array(corners, np.int32),
        np.array(begins[1:], np.int32),
        np.array(owners[1:], np.int32),
        np.array(areas[1:]),
    )


@njit(cache=True)
def _edges(parts: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Bit d at (y, x): an edge leaves that corner east (0), south (1), west (2) or north (3)."""
    edges = np.zeros(parts.shape, np.uint8)
    for y in range(1, parts.shape[0]):
        for x in range(1, parts.shape[1]):
            here, above, before, across = parts[y, x], parts[y - 1, x], parts[y, x - 1], parts[y - 1, x - 1]
            east, south = here > 0 and above != here, before > 0 and here != before
            west, north = across > 0 and before != across, above > 0 and across != above
            edges[y, x] = east + 2 * south + 4 * west + 8 * north
    return edges


@njit(cache=True)
def _leaving(
    edges: NDArray[np.uint8], parts: NDArray[np.int32], y: int, x: int, right: int, owner: int
) -> tuple[int, int]:
    """The part of the next edge and its heading: the rightmost one, `right` being the heading of a turn to the right.

    Any part's where `owner` is 0; heading -1 where no edge is left.
    """
    for turn in range(4):
        heading = (right - turn) % 4
        if edges[y, x] >> heading & 1:
            part = parts[y - (heading >= 2), x - (heading == 1 or heading == 2)]
            if owner == 0 or owner == part:
                return part, heading
    return owner, -1


@njit(cache=True)
def _cut_off(
    stack: NDArray[np.int32], place: NDArray[np.int32], start: int, depth: int, corners: list[tuple[int, int]]
) -> float:
    """Move the corners from `start` on from the walk to the rings; the signed area of their ring."""
    area = 0.0
    for k in range(start, depth):
        y, x = stack[k]
        following = k + 1 if k + 1 < depth else start
        area += (x * stack[following, 0] - stack[following, 1] * y) / 2
        corners.append((x - 1, y - 1))
        place[y, x] = -1
    return area
