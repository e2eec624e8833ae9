"""Nuclei of each class in a tile, as a condition: what Semantic Palette does with shares of the area, in nuclei.

Counts are of all nuclei that a tile shows, those that its border cuts among them: a tile of no counts is an empty one.
Source: Le Moing et al., Semantic Palette, CVPR 2021 (proportions as a condition).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucleosynth.sample import Classes

Counts = NDArray[np.int64]


def from_classes(classes: Classes, number_of_classes: int) -> Counts:
    """(C + 1,) nuclei of each class 1..C among nuclei of the given classes (n,); last, those of unknown type (0)."""
    return np.roll(np.bincount(classes, minlength=number_of_classes + 1), -1).astype(np.int64)


def amounts(counts: NDArray[Any], classes: Sequence[int], share: float = 1.0) -> NDArray[np.float32]:
    """(1 + len(classes),) log2(1 + n) / 3 of all nuclei and of those of the given class ids; about 0..2.

    counts: of each class, and if given those of unknown type (`from_classes`), which count among all alone; share: the
    area of the tile that the counts are of, over that of the tiles that a network was trained on.
    """
    picked = np.asarray(counts, np.float64)[np.array(classes, np.int64) - 1] if len(classes) else np.empty(0)
    return (np.log2(1 + np.concatenate([[np.sum(counts)], picked]) / share) / 3).astype(np.float32)
