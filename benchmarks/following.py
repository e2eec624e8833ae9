"""Does a trained CoSyn do what it is told? Points and captions, each against those of another tile.

    python benchmarks/following.py RUN [N]

For points: the share of them under which the made label, read without the points, has a nucleus, and one of their
class. For captions: the share of the made nuclei whose type the caption names. "another's" is the same share under the
points or caption of another sample: what chance gives.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np

from nucleosynth.conditions.joint_coding import JointCoding
from nucleosynth.methods.cosyn import CoSyn
from nucleosynth.run import Run
from nucleosynth.sample import Classes, Condition, Instances, Layout, Sample
from nucleosynth.training.device import fabric_for

SEED = 11
Score = Callable[[Sample, Condition], tuple[float, int]]


class Unaided(JointCoding):
    """Reads nuclei without the points that they were made for."""

    def read(self, label: Any, distance: Any = None, layout: Layout | None = None) -> tuple[Instances, Classes]:
        """As its base does without points."""
        return super().read(label, distance, None)


def main(folder: str, count: int) -> None:
    """Print both tables."""
    model = CoSyn.load(Run.open(folder), fabric_for())
    conditions = [replace(asked, counts=None) for asked in islice(model.default_conditions(SEED), count)]
    told = [replace(asked, caption=None) for asked in conditions]
    model.coding = Unaided(model.coding.slots, model.coding.point_px)
    samples = made(model, told)
    show("a nucleus under a point", hit, samples, told)
    show("one of its class", of_its_class, samples, told)
    told = [replace(asked, points=None) for asked in conditions]
    show("nuclei of a type that the caption names", named, made(model, told), told)


def made(model: CoSyn, conditions: Sequence[Condition]) -> list[Sample]:
    """One sample a condition."""
    return list(model.generate(iter(conditions), SEED, count=len(conditions), batch=16))


def show(what: str, score: Score, samples: Sequence[Sample], conditions: Sequence[Condition]) -> None:
    """The share over all samples under their own conditions, and under those of others."""
    others = [*conditions[1:], conditions[0]]
    shares = []
    for asked in (conditions, others):
        parts = np.array([score(sample, each) for sample, each in zip(samples, asked, strict=True)])
        shares.append(parts[:, 0].sum() / max(parts[:, 1].sum(), 1))
    print(f"{what}: {shares[0]:.3f}, another's {shares[1]:.3f}")


def hit(sample: Sample, asked: Condition) -> tuple[float, int]:
    """Points on nuclei, and points."""
    layout = points_of(asked)
    return float((ids_under(sample, layout) > 0).sum()), len(layout.xy)


def of_its_class(sample: Sample, asked: Condition) -> tuple[float, int]:
    """Points on nuclei of their class, and points of known class."""
    layout = points_of(asked)
    kinds = np.concatenate([[0], sample.classes])[ids_under(sample, layout)]
    known = layout.classes > 0
    return float((kinds == layout.classes)[known].sum()), int(known.sum())


def named(sample: Sample, asked: Condition) -> tuple[float, int]:
    """Nuclei whose type stands in the caption, and nuclei of known type."""
    kinds = [asked.class_names[kind - 1] for kind in sample.classes if kind]
    return float(sum(kind in (asked.caption or "") for kind in kinds)), len(kinds)


def points_of(asked: Condition) -> Layout:
    """The points of a condition that has some."""
    assert asked.points is not None, "conditions with points"
    return asked.points


def ids_under(sample: Sample, layout: Layout) -> np.ndarray:
    """The nucleus in the pixel of each point."""
    column, row = np.floor(layout.xy + 0.5).astype(int).T
    height, width = sample.size
    return sample.instances[np.minimum(row, height - 1), np.minimum(column, width - 1)]


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 64)
