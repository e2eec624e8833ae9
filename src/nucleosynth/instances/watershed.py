"""Marker watershed: nuclei from an energy and one marker each.

`watershed` floods by levels with one queue per level instead of one heap (Meyer's flooding; Beucher and Meyer, 1993):
pixels of equal level in the order in which they were reached, 4-connected, as scikit-image does it. On integer
energies the two agree pixel for pixel; floats are sorted into 65536 equal levels first.
"""

from typing import Any

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray
from skimage.morphology import local_minima, reconstruction

from nucleosynth.conditions.structure import inner_distance, label_map
from nucleosynth.errors import UserError
from nucleosynth.sample import Instances, Layout

LEVELS = 1 << 16


def watershed(energy: NDArray[Any], markers: NDArray[Any], mask: NDArray[np.bool_]) -> Instances:
    """Grow the markers (h w, ids from 1) over `mask` in the order of rising energy (h w); ids as in `markers`.

    Markers outside the mask are lost; parts of the mask that no marker reaches stay 0. Energies are
    taken in 65536 equal levels from the least to the largest, so integers that span less stay as they are.

    Raises:
        UserError: shapes that differ, an energy that is not finite, or markers that are no instance map.
    """
    labels, _ = label_map(markers)
    if not energy.shape == labels.shape == mask.shape:
        raise UserError(
            "maps of different sizes",
            expected="energy, markers and mask of one (h, w)",
            got=f"{energy.shape}, {labels.shape}, {mask.shape}",
        )
    if not labels.any():
        return np.zeros(labels.shape, np.int32)
    return _flood(_levels(energy), labels, np.ascontiguousarray(mask))


def from_points(
    foreground: NDArray[np.bool_], layout: Layout, distance: NDArray[np.floating[Any]] | None = None
) -> Instances:
    """One nucleus for each point that hits the foreground (h w), ids 1..n in the order of those points.

    distance: (h w) low at centres, high at rims, such as `conditions.structure.distance` (CoSyn's instances); None
    takes minus the distance to the outline of the foreground. A point off the foreground makes no nucleus; of
    several points on one pixel the first counts; foreground that no point reaches is dropped.

    Raises:
        UserError: maps or layout of another size, or a distance that is not finite.
    """
    if layout.size != foreground.shape:
        raise UserError("points of another size", expected=str(foreground.shape), got=str(layout.size))
    if distance is None:
        # A foreground without an outline is one flat basin.
        distance = -np.minimum(inner_distance(foreground), np.float32(max(foreground.shape)))
    column, row = np.floor(layout.xy + 0.5).astype(np.int64).T
    column, row = np.minimum(column, layout.size[1] - 1), np.minimum(row, layout.size[0] - 1)
    places = (row * layout.size[1] + column)[foreground[row, column]]
    markers = np.zeros(layout.size, np.int32)
    _, first = np.unique(places, return_index=True)
    markers.ravel()[places[np.sort(first)]] = np.arange(1, len(first) + 1)
    return watershed(distance, markers, foreground)


def from_distance(foreground: NDArray[np.bool_], distance: NDArray[np.floating[Any]], depth: float = 0.1) -> Instances:
    """Nuclei from a distance to their centres alone, without points: one for each minimum at least `depth` deep.

    foreground, distance: (h w), distance 0..1 as `conditions.structure.distance`. Touching nuclei whose distances meet
    without a rim become one: points as markers (`from_points`) are the better way where there are any.

    Raises:
        UserError: maps of different sizes, or a distance that is not finite.
    """
    if distance.shape != foreground.shape:
        raise UserError("maps of different sizes", expected=str(foreground.shape), got=str(distance.shape))
    walled = np.where(foreground, distance, distance.max(initial=0) + 1).astype(np.float32)
    # Raised by `depth`, then eroded back onto the map: shallower basins vanish, the others get a flat floor.
    floor = reconstruction(walled + np.float32(depth), walled, method="erosion")  # type: ignore[no-untyped-call]
    minima = local_minima(floor)  # type: ignore[no-untyped-call]
    _, markers = cv2.connectedComponents(minima.astype(np.uint8), connectivity=8)
    return watershed(walled, markers, foreground)


def _levels(energy: NDArray[Any]) -> NDArray[np.uint16]:
    """The energy in whole levels from 0; integers that span less than 65536 stay apart."""
    energy = energy.astype(np.result_type(energy, np.float32), copy=False)
    low, high = energy.min(), energy.max()
    if not np.isfinite(low) or not np.isfinite(high):
        raise UserError("an energy that is not finite", expected="finite numbers", got=f"{low}..{high}")
    return np.asarray((energy - low) * ((LEVELS - 1) / ((high - low) or 1)), np.uint16)


@njit(cache=True)
def _flood(levels: NDArray[np.uint16], markers: Instances, mask: NDArray[np.bool_]) -> Instances:
    """The markers grown over the mask. Each level has a queue: `ends` its first and last place, -1 if empty, linked
    through `following`. Places are those of a map with a border, on which `state` is the id of what is flooded, 0
    outside the mask, and -1 - level of what is still dry."""
    height, width = levels.shape
    state = np.zeros((height + 2, width + 2), np.int32)
    for y in range(height):
        for x in range(width):
            if mask[y, x]:
                state[y + 1, x + 1] = markers[y, x] or -1 - levels[y, x]
    flat, beyond = state.ravel(), width + 2
    following, ends = np.empty(flat.size, np.int32), np.full((LEVELS, 2), -1, np.int32)
    for y in range(height):
        for x in range(width):
            here = (y + 1) * beyond + x + 1
            if flat[here] > 0 and min(flat[here - beyond], flat[here - 1], flat[here + 1], flat[here + beyond]) < 0:
                _append(ends, following, levels[y, x], here)
    for level in range(LEVELS):
        here = ends[level, 0]
        while here >= 0:
            for step in (-beyond, -1, 1, beyond):
                there = here + step
                if flat[there] < 0:
                    # The water stands at `level`: lower ground is flooded at once, but in its turn.
                    _append(ends, following, max(level, -1 - flat[there]), there)
                    flat[there] = flat[here]
            here = following[here]
    return np.maximum(state[1:-1, 1:-1], np.int32(0))


@njit(cache=True)
def _append(ends: Instances, following: Instances, level: int, place: int) -> None:
    """Put a place at the end of its level's queue."""
    if ends[level, 0] < 0:
        ends[level, 0] = place
    else:
        following[ends[level, 1]] = place
    ends[level, 1] = place
    following[place] = -1
