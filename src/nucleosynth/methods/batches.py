"""Which samples share a network's batch, so that sample k never depends on its neighbours.

Batches are aligned: sample k always stands in batch k // width at position k % width, however many are made and
wherever generation starts. Empty places are computed and thrown away. Conditions of another kind or size in the same
batch are run apart, each at its own position; a tile much larger than the usual one is run alone.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

from nucleosynth.sample import Condition

LARGE = 4
"""A tile of more than this many times the usual area is run alone."""


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
