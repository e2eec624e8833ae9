"""How many samples go through the networks together where nobody says: as many as fit, counted before any is made.

The count rests on the device's whole memory and not on what is free of it, since the batch is part of what tells one
store from another: the same command on the same machine goes on with the batch that it began with.
"""

import math
from collections.abc import Collection, Sequence
from typing import Any

import torch

from nucleosynth.methods.batches import LARGE
from nucleosynth.nets.count import StageCost
from nucleosynth.progress import say
from nucleosynth.training.device import total_memory

MOST = {"cpu": 16, "cuda": 256}
"""Kind of device -> samples together at most; on a CPU more are not faster."""
SHARE = 0.5
"""What weights and batch take of a device's memory at most."""
MARGIN = 3.0
"""Memory of a sample above its counted peak: twice where a guided step has both passes in one batch, and half as much
again for what samplers keep and kernels take for themselves."""
BYTES = 4
"""Of a weight."""


def batch_for(stages: Sequence[StageCost], total_bytes: int, most: int) -> int:
    """The largest of most, most / 2, ... 1 samples with which all weights, and the largest stage, fit; 1 if none does.

    most: a power of two.
    """
    weights = BYTES * sum(stage.parameters for stage in stages)
    each = MARGIN * 1e6 * max(stage.peak_mb for stage in stages)
    batch = most
    while batch > 1 and weights + batch * each >= SHARE * total_bytes:
        batch //= 2
    return batch


def most_together(device: str, sizes: Collection[tuple[int, int]]) -> int:
    """The most that is worth it on a kind of device, for tiles of `sizes` (h w), however many are made: a sample is the
    same to the byte only in batches of one size.

    Empty places of a batch are computed too, and tiles of several sizes go through the network size by size: there it
    is no more than on a CPU.
    """
    return MOST[device] if len(set(sizes)) == 1 else MOST["cpu"]


def side_of(sizes: Collection[tuple[int, int]], usual: tuple[int, int], stride: int) -> int:
    """Side in px of the square, a multiple of `stride`, that covers as much as the largest tile of `sizes` (h w).

    Tiles that are run alone (methods.batches) do not count; where there are no others, the usual one does.
    """
    areas = [height * width for height, width in sizes]
    whole = usual[0] * usual[1]
    area = max((area for area in areas if area <= LARGE * whole), default=whole)
    return math.ceil(math.sqrt(area) / stride) * stride


def fitting(kind: Any, model: Any, sizes: Collection[tuple[int, int]], device: torch.device) -> int:
    """Samples that a trained method takes together; told where memory is what limits them.

    kind: its class (methods.method.Method); sizes: (h w) px at which its networks work.
    """
    most = most_together(device.type, sizes)
    side = side_of(sizes, model.size, model.settings.stride)
    stages = kind.cost(model.settings, side, len(model.class_names))
    batch = batch_for(stages, total_memory(device), most)
    if batch < most:
        say(f"{batch} at a time, as memory allows, where up to {most} would go together (--batch overrules)")
    return batch
