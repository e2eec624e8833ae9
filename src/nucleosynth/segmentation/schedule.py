"""What changes while a judge trains: the learning rate, and in the published schedule batch and frozen encoder.

Graham et al., HoVer-Net, Medical Image Analysis 2019, train in two phases, each with an optimiser of its own. Phases
are counted in steps, so all of them are known before the first one.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from pydantic import Field

from nucleosynth.config import Settings


class Phase(Settings):
    """A part of the training with a batch, a learning rate and an optimiser of its own."""

    share: float = Field(gt=0, le=1)
    """Of the steps."""
    frozen: bool = False
    """Leave the encoder's residual units alone; their BatchNorm goes on collecting statistics, as released."""
    batch: int = Field(ge=1)
    """Windows in a step, real and synthetic together."""
    learning_rate: float = Field(gt=0)
    """At the beginning of the phase."""
    decay_at: float = Field(0.5, gt=0, le=1)
    """Share of the phase after which the rate is multiplied by `decay`."""
    decay: float = Field(0.1, gt=0, le=1)
    """See there."""


@dataclass(frozen=True)
class Stretch:
    """The steps first..last-1 of a phase."""

    first: int
    last: int
    phase: Phase

    def rate(self, step: int) -> float:
        """The learning rate at a step."""
        late = step - self.first >= self.phase.decay_at * (self.last - self.first)
        return self.phase.learning_rate * (self.phase.decay if late else 1.0)


def timetable(phases: Sequence[Phase], steps: int) -> list[Stretch]:
    """The phases over so many steps, borders rounded; a phase may get no step at all.

    Example:
        >>> phases = [Phase(share=0.2, batch=16, learning_rate=1e-4), Phase(share=0.8, batch=4, learning_rate=1e-4)]
        >>> [(each.first, each.last) for each in timetable(phases, 100)]
        [(0, 20), (20, 100)]
    """
    borders = [round(share * steps) for share in accumulate((phase.share for phase in phases), initial=0.0)]
    return [Stretch(first, last, phase) for (first, last), phase in zip(pairwise(borders), phases, strict=True)]


def place(stretches: Sequence[Stretch], step: int) -> int:
    """Which stretch a step is in; the last one goes on for ever."""
    ended = sum(step >= stretch.last for stretch in stretches)
    return min(ended, len(stretches) - 1)


def rate(progress: float, warmup: float) -> float:
    """The learning rate's factor at a share of the budget: linear from .1 to 1, then times a half cosine to 0.

    Example:
        >>> [round(rate(progress, 0.05), 3) for progress in (0, 0.5, 1)]
        [0.1, 0.5, 0.0]
    """
    return min(1.0, 0.1 + 0.9 * progress / warmup) * (1 + math.cos(math.pi * progress)) / 2
