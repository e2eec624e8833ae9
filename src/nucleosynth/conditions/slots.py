"""The classes that a network tells apart: those that occur in its training tiles, numbered without gaps.

Slot 0 is the background, slots 1..count are classes, in the order of their ids. Where at most one class occurs, all
nuclei share one slot, those of unknown type among them: data without classes (MoNuSeg) are data of one.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucleosynth.conditions.structure import UNKNOWN
from nucleosynth.sample import Classes, Instances, Layout, Sample

Ids = NDArray[np.uint8]


@dataclass(frozen=True)
class Slots:
    """classes: the ids that occur, ascending, 0 (unknown type) never among them."""

    classes: tuple[int, ...]

    @classmethod
    def of(cls, samples: Iterable[Sample]) -> "Slots":
        """The slots of some tiles."""
        return cls(tuple(sorted({int(kind) for sample in samples for kind in np.unique(sample.classes)} - {0})))

    @property
    def count(self) -> int:
        """Slots besides the background, at least 1."""
        return max(len(self.classes), 1)

    @property
    def typed(self) -> bool:
        """Whether nuclei are told apart at all."""
        return self.count > 1

    def of_classes(self, classes: Classes) -> Ids:
        """(n,) slots of nuclei; 0 for those of unknown type and of classes without a slot, where there are several."""
        if not self.typed:
            return np.ones(len(classes), np.uint8)
        table = np.zeros(256, np.uint8)
        table[list(self.classes)] = np.arange(1, len(self.classes) + 1)
        return np.asarray(table[classes])

    def of_pixels(self, instances: Instances, classes: Classes) -> Ids:
        """(h w): 0 background, 1..count, `structure.UNKNOWN` inside nuclei that have no slot."""
        slots = self.of_classes(classes)
        return np.concatenate([[0], np.where(slots, slots, UNKNOWN)]).astype(np.uint8)[instances]

    def of_points(self, layout: Layout) -> Ids:
        """(m,) slots of points, as `of_classes`."""
        return self.of_classes(layout.classes)

    def onehot(self, instances: Instances, classes: Classes) -> NDArray[np.float32]:
        """(1 + count h w), 0 or 1: background, then each slot; all 0 inside nuclei that have no slot."""
        pixels = self.of_pixels(instances, classes)
        return np.asarray(pixels[None] == np.arange(1 + self.count)[:, None, None], np.float32)

    def class_ids(self, slots: NDArray[Any]) -> Classes:
        """Class ids of slots of any shape; 0 for slot 0, and for the one slot of data without classes."""
        return np.asarray(np.array([0, *(self.classes or (0,))], np.uint8)[slots])
