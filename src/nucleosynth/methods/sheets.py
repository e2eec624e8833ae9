"""Contact sheets of a training: what a method makes of its default conditions, always the same samples."""

from collections.abc import Iterator, Sequence
from typing import Protocol

from nucleosynth.pictures import write_contact_sheet
from nucleosynth.run import Run
from nucleosynth.sample import Condition, Sample

PAIRS = 16
"""Pairs on a contact sheet."""
COLUMNS = 4
CELL_PX = 256


class Maker(Protocol):
    """What is asked of the method in training (methods.method.Method)."""

    def default_conditions(self, seed: int) -> Iterator[Condition]: ...
    def generate(self, conditions: Iterator[Condition], seed: int, *, count: int, batch: int) -> Iterator[Sample]: ...


def write_pairs(run: Run, model: Maker, step: int, name: str = "step") -> None:
    """The first pairs of seed 0, made in one batch."""
    write_sheet(run, list(model.generate(model.default_conditions(0), 0, count=PAIRS, batch=PAIRS)), step, name)


def write_sheet(run: Run, samples: Sequence[Sample], step: int, name: str = "step") -> None:
    """A contact sheet among the run's pictures, named after the step of the training."""
    write_contact_sheet(run.picture(f"{name}_{step:06d}.png"), samples, columns=COLUMNS, cell_px=CELL_PX)
