"""What the tests of methods and stages share: the record of a short run, and noise that samples keep in any batch."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nucleosynth.config import Settings
from nucleosynth.run import Budget, RunRecord
from nucleosynth.sample import Sample
from nucleosynth.verbs.fit import sources_of

DRAWN = "phantom:tiles=4&size=64&sources=2"
SMALL_JOINTFLOW = (
    "tile=32",
    "network.widths=[16,32]",
    "network.blocks=[1,1]",
    "network.attention=[false,true]",
    "network.embedding=32",
    "training.batch=4",
    "sampling.steps=4",
    "sampling.guided_steps=2",
)
"""Settings with which jointflow trains in a second."""


def record_of(method: str, settings: Settings, tiles: Sequence[Sample], seed: int = 3, steps: int = 2) -> RunRecord:
    """The record of a run on drawn tissue."""
    return RunRecord(
        method=method,
        preset="tiny",
        settings=settings.model_dump(mode="json"),
        data="phantom:",
        split=None,
        seed=seed,
        budget=Budget(steps=steps),
        class_names=tiles[0].class_names,
        training_sources=sources_of(tiles),
        versions={},
        started="now",
    )


@dataclass
class FixedNoise:
    """Noise (b 3 side side) of samples by their number: sample k of any batch has the same. Has no categories."""

    ks: tuple[int, ...]
    side: int = 16
    asked: int = 0

    def normal(self, name: str, step: int) -> Tensor:
        """Of any channel group."""
        self.asked += 1
        keys = (torch.Generator().manual_seed(100 * k + step) for k in self.ks)
        return torch.stack([torch.randn(3, self.side, self.side, generator=key) for key in keys])

    def uniform(self, name: str, step: int) -> Tensor:
        """None is there."""
        raise AssertionError("no categories")
