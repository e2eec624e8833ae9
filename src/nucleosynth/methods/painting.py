"""What methods share that paint images for labels: batches of labels, and images as networks take and make them."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nucleosynth.conditions.edges import label_channels, label_width
from nucleosynth.conditions.slots import Slots
from nucleosynth.data.crops import Crops, network_image
from nucleosynth.data.tiles import resize_label
from nucleosynth.errors import UserError
from nucleosynth.methods.batches import Group, own_size, padded
from nucleosynth.sample import Classes, Condition, Instances

Batch = tuple[NDArray[np.float32], NDArray[np.float32]]


def training_batch(windows: Crops, slots: Slots, generator: np.random.Generator, count: int) -> Batch:
    """Images (b 3 h w) in [-1, 1] of that many windows, and their labels (b c h w; conditions.edges)."""
    drawn = [windows.draw(generator) for _ in range(count)]
    labels = [label_channels(slots, window.instances, window.classes) for window in drawn]
    return np.stack([network_image(window.image) for window in drawn]), np.stack(labels)


def label_maps(group: Group, slots: Slots, mpp: float | None) -> Tensor:
    """The labels of a group (b c h w) at the network's size and resolution; empty places are 0.

    Raises:
        UserError: a condition without a label.
    """
    maps = torch.zeros(group.width, label_width(slots.count), *group.size)
    for slot in group.slots:
        instances, classes = label_of(slot.condition)
        label = resize_label(instances, classes, own_size(slot.condition, mpp))
        maps[slot.position] = torch.from_numpy(padded(label_channels(slots, *label), group.size))
    return maps


def label_of(condition: Condition) -> tuple[Instances, Classes]:
    """The label that a condition gives.

    Raises:
        UserError: it gives none.
    """
    if condition.instances is None or condition.classes is None:
        raise UserError(
            "no label to paint an image for",
            expected="instances and classes",
            got=", ".join(sorted(condition.given())) or "nothing",
            where=f"condition {condition.name!r}",
            mend="give labels (--labels DATA), or none at all for labels of the training tiles",
        )
    return condition.instances, condition.classes


def rgb(images: Tensor) -> NDArray[np.uint8]:
    """(b 3 h w) in [-1, 1] -> (b h w 3) uint8."""
    return np.asarray((images.float() * 127.5 + 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy())
