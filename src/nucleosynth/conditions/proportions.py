"""How much of a tile each class of nuclei covers, as a condition (Le Moing et al., Semantic Palette, CVPR 2021)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucleosynth.sample import Classes, Instances

Proportions = NDArray[np.float64]


def from_label(instances: Instances, classes: Classes, number_of_classes: int) -> Proportions:
    """(C + 1,) shares of a tile's pixels, 0..1, of each class 1..C; last, that of nuclei of unknown type (0).

    instances: (h w), ids may have gaps; classes: (n,), of id k at k - 1.
    """
    areas = np.bincount(instances.ravel(), minlength=len(classes) + 1)[1:]
    shares = np.bincount(classes, areas, minlength=number_of_classes + 1) / instances.size
    return np.asarray(np.roll(shares, -1))


def amounts(proportions: NDArray[Any], classes: Sequence[int]) -> NDArray[np.float32]:
    """(1 + len(classes),) 2 sqrt(share) of all nuclei and of those of the given class ids; 0..2.

    proportions: of each class, and if given those of unknown type (`from_label`), which count among all alone.
    """
    picked = np.asarray(proportions, np.float64)[np.array(classes, np.int64) - 1] if len(classes) else np.empty(0)
    return np.asarray(2 * np.sqrt(np.concatenate([[np.sum(proportions)], picked])), np.float32)
