"""Nuclei as CoSyn's network makes them, and back: a distance map, a label of slots, and a map of points.

The distance is that to the nucleus's centre over its largest (Min et al., ECCV 2024), brought to -1..1, so that the
background, and every centre, is -1. The released code writes something else there, a map of two channels that then
spoils the label.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from nucleosynth.conditions import structure
from nucleosynth.conditions.counts import Counts, amounts
from nucleosynth.conditions.slots import Ids, Slots
from nucleosynth.instances import watershed
from nucleosynth.instances.classes import majority
from nucleosynth.instances.offsets import tidy
from nucleosynth.sample import Classes, Instances, Layout

SMALLEST_PX = 8
"""Nuclei of less than this are no nuclei, px at the method's resolution."""


@dataclass(frozen=True)
class JointCoding:
    """The coding for the slots of a run.

    point_px: radius of the disc in which the id of a point stands, 0 = one pixel as published.
    """

    slots: Slots
    point_px: int = 0

    @property
    def labels(self) -> int:
        """K, values of the label: background and slots."""
        return 1 + self.slots.count

    @property
    def counted(self) -> tuple[int, ...]:
        """Class ids that are counted apart."""
        return self.slots.classes if self.slots.typed else ()

    def distance(self, instances: Instances) -> NDArray[np.float32]:
        """(1 h w), -1..1."""
        return 2 * structure.distance(instances)[None] - 1

    def label(self, instances: Instances, classes: Classes) -> Ids:
        """(h w): 0 background, slots, `structure.UNKNOWN` in nuclei of unknown type."""
        return self.slots.of_pixels(instances, classes)

    def points(self, layout: Layout) -> Ids:
        """(h w): the slot of the last point in each pixel, K for a nucleus of unknown type, 0 without a point.

        A disc gives way to the pixel of any other point.
        """
        height, width = layout.size
        slots = self.slots.of_points(layout)
        ids = np.where(slots, slots, self.labels).astype(np.uint8)
        column, row = np.floor(layout.xy + 0.5).astype(np.int64).T
        column, row = np.minimum(column, width - 1), np.minimum(row, height - 1)
        found = np.zeros(layout.size, np.uint8)
        if self.point_px:
            for x, y, value in zip(column.tolist(), row.tolist(), ids.tolist(), strict=True):
                cv2.circle(found, (x, y), self.point_px, value, cv2.FILLED)
        found[row, column] = ids
        return found

    def amounts(self, counts: Counts, share: float = 1.0) -> NDArray[np.float32]:
        """(1 + len(counted),) of nuclei of each class (conditions.counts.amounts)."""
        return amounts(counts, self.counted, share)

    def read(
        self, label: Ids, distance: NDArray[np.float32] | None, layout: Layout | None
    ) -> tuple[Instances, Classes]:
        """Nuclei of what was made: label (h w) of slots, distance (1 h w) unless there is none.

        With points each nucleus that one of them lies in, by watershed from them; without, each basin of the distance;
        without both, each piece of one slot. A nucleus's class is that of most of its pixels.
        """
        mask = label > 0
        rims = None if distance is None else (distance[0].clip(-1, 1) + 1) / 2
        if layout is not None:
            found = watershed.from_points(mask, layout, rims)
        elif rims is not None:
            found = watershed.from_distance(mask, rims)
        else:
            found, _ = structure.pieces(label.astype(np.int32))
        instances = tidy(found, SMALLEST_PX)
        return instances, self.slots.class_ids(majority(instances, label))
