"""Which samples share a network's batch, at which size, and with which noise: sample k never depends on its neighbours.

Batches are aligned: sample k always stands in batch k // width at position k % width, however many are made and
wherever generation starts. Empty places are computed and thrown away. Conditions of another kind or size in the same
batch are run apart, each at its own position; a tile much larger than the usual one is run alone.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nucleosynth.data.tiles import size_at
from nucleosynth.methods.reading import Pairs, Unread, ahead, begin
from nucleosynth.methods.tiles import TileSettings
from nucleosynth.sample import Condition, Sample
from nucleosynth.seeds import seed_of

LARGE = 4
"""A tile of more than this many times the usual area is run alone."""
STAGES = 16
"""Keys of noise that each stage has for its channel groups."""


@dataclass(frozen=True)
class Slot:
    """Sample k, its condition, and its place in the batch."""

    k: int
    position: int
    condition: Condition


@dataclass(frozen=True)
class Group:
    """Slots that go through the network together: a batch of `width` tiles of `size` (h w) px, of one kind."""

    slots: tuple[Slot, ...]
    width: int
    size: tuple[int, int]
    given: frozenset[str]


def in_order(
    conditions: Iterator[Condition],
    make: Callable[[Group], Unread | Pairs],
    tiles: TileSettings,
    *,
    count: int,
    start: int,
    batch: int,
) -> Iterator[Sample]:
    """Samples start .. start + count - 1 in order, as their batches are made; ends early if the conditions do.

    make: a group -> the samples of its slots, each with its k, in any order; or what they are to be read from, which
    other processes do beside the next batch's network if there are any (methods.reading).
    """
    coming: deque[list[Callable[[], Pairs]]] = deque()

    def size_of(condition: Condition) -> tuple[int, int]:
        return working_size(condition, tiles.mpp, tiles.stride)

    for groups in aligned(conditions, count=count, start=start, batch=batch, size_of=size_of, usual=tiles.size):
        coming.append([begin(make(group)) for group in groups])
        if len(coming) > ahead():
            yield from _sorted(coming.popleft())
    while coming:
        yield from _sorted(coming.popleft())


def _sorted(batch: list[Callable[[], Pairs]]) -> list[Sample]:
    """The samples of a batch's groups in order."""
    made = dict(pair for samples in batch for pair in samples())
    return [made[k] for k in sorted(made)]


def aligned(
    conditions: Iterator[Condition],
    *,
    count: int,
    start: int,
    batch: int,
    size_of: Callable[[Condition], tuple[int, int]],
    usual: tuple[int, int],
) -> Iterator[list[Group]]:
    """Groups of each batch in turn, for samples start .. start + count - 1; ends early if the conditions do.

    size_of: a condition -> (h w) px that the network works at.
    """
    assert start % batch == 0, "generation starts at the first sample of a batch"
    for first in range(start, start + count, batch):
        kinds: dict[tuple[object, ...], list[Slot]] = {}
        for position, condition in enumerate(islice(conditions, min(batch, start + count - first))):
            size = size_of(condition)
            large = size[0] * size[1] > LARGE * usual[0] * usual[1]
            key = (size, condition.given(), position if large else None)
            kinds.setdefault(key, []).append(Slot(first + position, 0 if large else position, condition))
        yield [
            Group(tuple(slots), 1 if alone is not None else batch, size, given)  # type: ignore[arg-type]
            for (size, given, alone), slots in kinds.items()
        ]


def own_size(condition: Condition, mpp: float | None) -> tuple[int, int]:
    """(h w) of a condition's tile in px at the method's resolution; unchanged where either is unknown."""
    if mpp is None or condition.mpp is None or condition.mpp == mpp:
        return condition.size
    return size_at(condition.size, condition.mpp, mpp)


def working_size(condition: Condition, mpp: float | None, stride: int) -> tuple[int, int]:
    """`own_size` rounded up to whole strides of the network."""
    height, width = own_size(condition, mpp)
    return -(-height // stride) * stride, -(-width // stride) * stride


def padded(channels: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """(c h w) or (h w) grown to `size` at the right and the bottom by repeating the border."""
    height, width = channels.shape[-2:]
    still = ((0, 0),) * (channels.ndim - 2)
    return np.pad(channels, (*still, (0, size[0] - height), (0, size[1] - width)), mode="edge")


class SlotNoise:
    """The noise of a group's slots: from (seed, k, name, step) and the size alone; empty places are 0.

    shapes: of one sample of each channel group, such as (3, h, w); stage: tells the stages of a method apart. Drawn on
    the CPU, so that devices agree. A diffusion.samplers.Noise.
    """

    def __init__(
        self,
        group: Group,
        shapes: Mapping[str, tuple[int, ...]],
        seed: int,
        device: torch.device,
        stage: int = 0,
    ) -> None:
        self._group, self._shapes, self._seed, self._device = group, shapes, seed, device
        self._key = {name: index + stage * STAGES for index, name in enumerate(shapes)}

    def normal(self, name: str, step: int = 0) -> Tensor:
        """Standard normal numbers of a channel group: (b c h w)."""
        return self._drawn(name, step, Tensor.normal_)

    def uniform(self, name: str, step: int = 0) -> Tensor:
        """Numbers in 0..1, 1 excluded, of a channel group: (b ...)."""
        return self._drawn(name, step, Tensor.uniform_)

    def _drawn(self, name: str, step: int, draw: Callable[..., Tensor]) -> Tensor:
        numbers = torch.zeros(self._group.width, *self._shapes[name])
        for slot in self._group.slots:
            keys = (self._seed, slot.k, self._key[name], *((step,) if step else ()))
            draw(numbers[slot.position], generator=torch.Generator().manual_seed(seed_of(*keys)))
        return numbers.to(self._device)
