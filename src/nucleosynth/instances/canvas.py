"""Nuclei that are labelled one by one (masks, outlines), drawn into one instance map; what was lost is counted.

Where two nuclei claim a pixel, the later one has it. Nothing vanishes unheard: `repairs` counts, in words, pixels that
two nuclei claim, nuclei that later ones cover, nuclei without a pixel, outlines that cross themselves or the border.
"""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nucleosynth.errors import UserError
from nucleosynth.instances.polygons import Polygon, fill
from nucleosynth.sample import Classes, Instances, without_gaps

CLAIMED_TWICE = "px claimed by two nuclei, left to the later one"
COVERED = "nuclei covered by later ones, left out"
NO_PIXEL = "nuclei without a pixel inside the image, left out"
TOO_FEW = "outlines of fewer than 3 points, left out"
CROSSES = "outlines that cross themselves, filled whole"
BEYOND = "outlines that leave the image, cut at its border"

LARGEST_PX = 1e9
"""What a coordinate may be; beyond it, floats no longer tell pixels apart."""


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

    def outline(self, polygons: Sequence[Polygon], kind: int, where: str = "") -> None:
        """A nucleus given by its polygons (see instances/polygons.py for their coordinates).

        Raises:
            UserError: a coordinate that is no number of px on any slide; `where` names the file.
        """
        if not all((np.abs(ring) <= LARGEST_PX).all() for polygon in polygons for ring in polygon):
            raise UserError(
                "an outline of no place",
                expected=f"finite coordinates, at most {LARGEST_PX:g} px from the image",
                got="NaN, infinity or more",
                where=where,
                mend="export the annotations again, or remove that outline",
            )
        whole = [polygon for polygon in polygons if polygon and len(polygon[0]) >= 3]
        if len(whole) < len(polygons) or not polygons:
            self.repairs[TOO_FEW] += max(len(polygons) - len(whole), 1)
        if not whole:
            return
        filled = fill(whole, self.size)
        self.repairs[CROSSES] += filled.crosses
        self.repairs[BEYOND] += filled.beyond and bool(filled.mask.any())
        self.draw(filled.mask, kind, filled.top, filled.left)

    def erase(self, polygons: Sequence[Polygon]) -> int:
        """Take the pixels of some polygons from whatever nuclei have them; the number of pixels."""
        filled = fill(polygons, self.size)
        height, width = filled.mask.shape
        under = self._map[filled.top : filled.top + height, filled.left : filled.left + width]
        taken = int(np.count_nonzero(under[filled.mask]))
        under[filled.mask] = 0
        return taken

    def label(self) -> Label:
        """What has been drawn."""
        drawn = np.array(self._kinds, np.uint8)
        instances, classes = without_gaps(self._map, drawn)
        repairs = self.repairs.copy()
        repairs[COVERED] += len(drawn) - len(classes)
        return Label(instances, classes, {words: count for words, count in repairs.items() if count})
