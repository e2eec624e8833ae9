"""One trial: a judge of one arm, part and seed, trained, watched on its way, scored on the test tiles, written down.

    judges/<arm>/seed_<s>/    the judge's run folder
        curve.json            its scores on the way, so that a stopped judge loses none
        scores.json           the whole judgement; a trial that has one is read back

Every judge takes the same steps, but those of `real@METHOD`: they take as many more as the recipe's seconds would have
bought, at the pace of the judge that they are compared with.
"""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from nucleosynth.progress import say
from nucleosynth.report.results import Judgement, Picture
from nucleosynth.run import write_whole
from nucleosynth.sample import Sample
from nucleosynth.seeds import generator_of
from nucleosynth.studies import figures
from nucleosynth.studies.arms import Arm
from nucleosynth.studies.evidence import area_mm2
from nucleosynth.studies.parts import Part
from nucleosynth.studies.scoring import Scores, scored

SCORES, CURVE = "scores.json", "curve.json"
MARKS = (0.2, 0.4, 0.6, 0.8)
"""Shares of the steps at which a judge is scored on its way; the end is scored anyway."""
WATCHED = 64
"""Test tiles at most that it is scored on there, drawn by the seed."""

Predict = Callable[[Sequence[Sample]], Iterator[Sample]]


@dataclass(frozen=True)
class Diet:
    """What a judge is trained on: real and synthetic tiles, the share of synthetic windows, whether windows are varied,
    and for how many steps."""

    real: Sequence[Sample]
    synthetic: Sequence[Sample]
    share: float
    classic: bool
    steps: int


@dataclass(frozen=True)
class Trained:
    """A judge that can predict, and its training: steps, seconds (without `watch`), logged losses by step (None: not
    finite)."""

    predict: Predict
    steps: int
    seconds: float
    losses: tuple[tuple[int, float | None], ...]


class TrainJudge(Protocol):
    """Train a judge in a run folder, or go on where it stopped; `watch` is called with its predictions and the step at
    `MARKS`."""

    def __call__(self, diet: Diet, seed: int, folder: Path, watch: Callable[[Predict, int], None]) -> Trained:
        """The trained judge."""


@dataclass(frozen=True)
class Spent:
    """The compute of an arm's `compute_of`, in seconds, and the judge that sets the pace."""

    seconds: float
    pace: Judgement

    @property
    def steps(self) -> int:
        """As many as the seconds buy."""
        return math.ceil(self.seconds * self.pace.steps / self.pace.seconds)


@dataclass(frozen=True)
class Place:
    """Where a trial is written down: the folder of the study, the part's name in it, whether pictures are made; and by
    which seed the tiles are drawn that judges are scored on on their way, the same for all."""

    folder: Path
    part: str
    shown: bool
    watched_by: int

    def of(self, arm: Arm, seed: int) -> Path:
        """The judge's run folder."""
        return self.folder / "parts" / self.part / "judges" / arm.slug / f"seed_{seed}"

    def show(self, arm: Arm, tests: Sequence[Sample], predictions: Sequence[Sample]) -> tuple[Picture, ...]:
        """Pictures of its predictions, if any."""
        name = f"{self.part}_judge_{arm.slug}"
        return figures.write_predictions(self.folder, name, tests, predictions) if self.shown else ()


def trial(
    arm: Arm,
    part: Part,
    seed: int,
    synthetic: Sequence[Sample],
    *,
    steps: int,
    spent: Spent | None,
    place: Place,
    train: TrainJudge,
) -> Judgement:
    """Train and score one judge, or read back what it scored."""
    folder = place.of(arm, seed)
    if (folder / SCORES).exists():
        return Judgement.model_validate_json((folder / SCORES).read_text())
    diet = _diet(arm, part, synthetic, steps + (spent.steps if spent else 0))
    say(f"judge of {arm.label}, {part.fold}, {part.fraction:.0%} of the labels, seed {seed}: {diet.steps} steps")
    curve = Curve.at(folder / CURVE, part.tests, place.watched_by)
    trained = train(diet, seed, folder, curve.watch)
    predictions = list(trained.predict(part.tests))
    scores = scored(part.tests, predictions)
    judgement = Judgement(
        arm=arm.name,
        fold=part.fold,
        fraction=part.fraction,
        seed=seed,
        steps=trained.steps,
        seconds=trained.seconds,
        ratio=area_mm2(synthetic) / area_mm2(part.training) if synthetic else None,
        share=diet.share,
        losses=trained.losses,
        curve=curve.ended(trained.steps, predictions),
        images=scores.images,
        scores=scores.values,
        left_out=scores.left_out,
        confusion=scores.confusion,
        pictures=place.show(arm, part.tests, predictions),
    )
    write_whole(folder / SCORES, judgement.model_dump_json(indent=1))
    return judgement


def first_pairs(samples: Sequence[Sample], wanted_mm2: float | None) -> Sequence[Sample]:
    """The first tiles that together show as much tissue, which they must; all of them for None."""
    if wanted_mm2 is None:
        return samples
    reached = np.cumsum([area_mm2([sample]) for sample in samples])
    enough = np.flatnonzero(reached >= (1 - 1e-9) * wanted_mm2)
    assert len(enough), f"makers make as much as is asked for: {reached[-1:]} of {wanted_mm2} mm2"
    return samples[: int(enough[0]) + 1]


@dataclass
class Curve:
    """A judge's scores on its way, kept in a file: {step: scores}."""

    path: Path
    watched: Sequence[int]
    tests: Sequence[Sample]
    points: dict[int, dict[str, float | None]]

    @classmethod
    def at(cls, path: Path, tests: Sequence[Sample], seed: int) -> "Curve":
        """What the file holds already, or nothing."""
        found = json.loads(path.read_text()) if path.exists() else {}
        order = generator_of(seed).permutation(len(tests))[:WATCHED]
        return cls(path, sorted(order.tolist()), tests, {int(step): values for step, values in found.items()})

    def watch(self, predict: Predict, step: int) -> None:
        """Score a judge at a step and write it down."""
        self.points[step] = self._values(list(predict([self.tests[k] for k in self.watched])))
        write_whole(self.path, json.dumps(self.points))

    def ended(self, steps: int, predictions: Sequence[Sample]) -> tuple[tuple[int, dict[str, float | None]], ...]:
        """All points, with the end, from predictions of all test tiles."""
        last = self._values([predictions[k] for k in self.watched])
        return (*((step, values) for step, values in sorted(self.points.items()) if step < steps), (steps, last))

    def _values(self, predictions: Sequence[Sample]) -> dict[str, float | None]:
        found: Scores = scored([self.tests[k] for k in self.watched], predictions)
        return found.values


def _diet(arm: Arm, part: Part, synthetic: Sequence[Sample], steps: int) -> Diet:
    """Windows are drawn in proportion to area, as from the union of both kinds of tiles."""
    made, real = area_mm2(synthetic), area_mm2(part.training)
    return Diet(part.training, synthetic, made / (made + real), arm.classic, steps)
