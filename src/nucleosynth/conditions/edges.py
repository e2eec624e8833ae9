"""Where one nucleus ends and the next thing begins, and the label that SDM and DiffMix paint an image for.

Source: SDM (Wang et al., 2022): one-hot classes with one channel of instance edges beside them, so that touching nuclei
of one class stay apart.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucleosynth.conditions.slots import Slots
from nucleosynth.sample import Classes, Instances


def instance_edges(instances: NDArray[Any]) -> NDArray[np.bool_]:
    """(h w) True where a neighbour, up, down, left or right, has another id: on both sides of each border.

    The border of the tile is no edge.
    """
    edge = np.zeros(instances.shape, bool)
    down, across = instances[1:] != instances[:-1], instances[:, 1:] != instances[:, :-1]
    edge[1:] |= down
    edge[:-1] |= down
    edge[:, 1:] |= across
    edge[:, :-1] |= across
    return edge


def label_width(classes: int) -> int:
    """Channels of a label with that many classes: background, each class, edges."""
    return classes + 2


def label_channels(slots: Slots, instances: Instances, classes: Classes) -> NDArray[np.float32]:
    """(`label_width`, h, w), 0 or 1: background, each slot (`Slots.onehot`), instance edges.

    A nucleus without a slot (of unknown type) is 0 in all but its edges.
    """
    return np.concatenate([slots.onehot(instances, classes), instance_edges(instances)[None].astype(np.float32)])
