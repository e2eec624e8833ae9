"""Nuclei that are labelled one by one (masks, outlines), drawn into one instance map; what was lost is counted.

Where two nuclei claim a pixel, the later one has it. Nothing vanishes unheard: `repairs` counts, in words, pixels that
two nuclei claim, nuclei that later ones cover, nuclei without a pixel, outlines that cross themselves or the border.
Every nucleus or hole that is drawn is a nucleus of the map, or is counted under one of `WITHOUT_NUCLEUS`.
"""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nucleosynth.instances.polygons import Polygon, check_place, fill
from nucleosynth.sample import Classes, Instances, without_gaps

CLAIMED_TWICE = "px claimed by two nuclei, left to the later one"
COVERED = "nuclei covered by later ones, left out"
NO_PIXEL = "nuclei without a pixel inside the image, left out"
TOO_FEW = "outlines of fewer than 3 points, left out"
PARTS = "parts of fewer than 3 points, left out"
CROSSES = "outlines that cross themselves, filled whole"
BEYOND = "outlines that leave the image, cut at its border"
HOLES = "regions marked as holes, cut out of the nuclei under them"
EMPTIED = "nuclei that holes take whole, left out"
WITHOUT_NUCLEUS = (TOO_FEW, NO_PIXEL, COVERED, HOLES, EMPTIED)
"""The repairs that each count something drawn that is no nucleus of the map."""


class Label(NamedTuple):
    """An instance map with ids 1..n in the order in which nuclei were drawn, their classes, and what was repaired."""

    instances: Instances
    classes: Classes
    repairs: dict[str, int]


class Canvas:
    """An instance map of `size` (h w) in the making.

    Example:
        >>> canvas = Canvas((2, 3))
        >>> canvas.draw(np.array([[True, True, False], [False] * 3]), kind=1)
        >>> canvas.draw(np.array([[False, True, True], [False] * 3]), kind=2)
        >>> canvas.label().instances.tolist(), canvas.label().repairs
        ([[1, 2, 2], [0, 0, 0]], {'px claimed by two nuclei, left to the later one': 1})
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self.size = size
        self.repairs: Counter[str] = Counter()
        self._map = np.zeros(size, np.int32)
        self._kinds: list[int] = []
        self._cut: set[int] = set()

    def draw(self, mask: NDArray[np.bool_], kind: int, top: int = 0, left: int = 0) -> None:
        """A nucleus of class `kind` (0 = unknown): a mask inside the image, its upper left pixel at (top, left)."""
        if not mask.any():
            self.repairs[NO_PIXEL] += 1
            return
        self._kinds.append(kind)
        under = self._map[top : top + mask.shape[0], left : left + mask.shape[1]]
        taken = int(np.count_nonzero(under[mask]))
        if taken:
            self.repairs[CLAIMED_TWICE] += taken
        under[mask] = len(self._kinds)

    def outline(self, polygons: Sequence[Polygon], kind: int, where: str) -> None:
        """A nucleus given by its polygons (see instances/polygons.py for their coordinates).

        Raises:
            UserError: a coordinate that is no number of px on any slide; `where` names the file and the outline.
        """
        whole = self._whole(polygons, where)
        if not whole:
            return
        filled = fill(whole, self.size)
        self.repairs[CROSSES] += filled.crosses
        self.repairs[BEYOND] += filled.beyond and bool(filled.mask.any())
        self.draw(filled.mask, kind, filled.top, filled.left)

    def erase(self, polygons: Sequence[Polygon], where: str) -> None:
        """A hole, cut out of whatever nuclei have its pixels: to be called when all of them are drawn.

        Raises:
            UserError: as `outline`.
        """
        whole = self._whole(polygons, where)
        if not whole:
            return
        self.repairs[HOLES] += 1
        filled = fill(whole, self.size)
        height, width = filled.mask.shape
        under = self._map[filled.top : filled.top + height, filled.left : filled.left + width]
        self._cut.update(np.unique(under[filled.mask]).tolist())
        under[filled.mask] = 0

    def label(self) -> Label:
        """What has been drawn."""
        drawn = np.array(self._kinds, np.uint8)
        instances, classes = without_gaps(self._map, drawn)
        repairs = self.repairs.copy()
        emptied = len(self._cut - {0} - set(np.unique(self._map).tolist())) if self._cut else 0
        repairs[EMPTIED] += emptied
        repairs[COVERED] += len(drawn) - len(classes) - emptied
        return Label(instances, classes, {words: count for words, count in repairs.items() if count})

    def _whole(self, polygons: Sequence[Polygon], where: str) -> list[Polygon]:
        """The polygons of 3 points and more; what is left out of them is counted."""
        check_place(polygons, where)
        whole = [polygon for polygon in polygons if polygon and len(polygon[0]) >= 3]
        if whole:
            self.repairs[PARTS] += len(polygons) - len(whole)
        else:
            self.repairs[TOO_FEW] += 1
        return whole
