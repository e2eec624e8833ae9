"""Label-image consistency in a study: do images and labels belong together, in the eyes of a segmenter of its own?

The witness learns from the real training tiles of a part alone, once for all makers, for as many steps as the judges,
and judges nothing: its seed is no judge's, and no score of the study is of it. Windows of one size, synthetic ones and
held-out real ones, are shown to it, and what it sees is compared with their labels.

    parts/<fold>-<fraction>/witness/    its run folder; a training that was stopped is gone on with, a finished one read
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nucleosynth.metrics.consistency import SIDES, estimated, names, rows_of
from nucleosynth.metrics.resampling import Estimate, Side
from nucleosynth.metrics.shapes import Label
from nucleosynth.progress import say
from nucleosynth.report.results import Agreement, Consistency, Interval
from nucleosynth.sample import Sample
from nucleosynth.studies.figures import some
from nucleosynth.studies.parts import Part
from nucleosynth.studies.plan import Plan
from nucleosynth.studies.scoring import defined
from nucleosynth.studies.trials import Diet, Predict, TrainJudge

CHECKED = 256
"""Windows of a kind at most that it is shown: each costs it as much as the largest window that it works on."""
UNITS = 6
"""Sources that windows must come from for those to be drawn as a whole for intervals; of fewer, whole tiles are."""


@dataclass(frozen=True)
class Witness:
    """The witness of a part, trained when it is first asked."""

    plan: Plan
    part: Part
    folder: Path
    train: TrainJudge

    @property
    def seed(self) -> int:
        """The first that no judge has."""
        return max(self.plan.seeds) + 1

    @cached_property
    def predict(self) -> Predict:
        """What it sees in tiles. Its windows are varied, so that it is thrown by little that is only unusual."""
        say(f"witness of labels and images, {self.part.fold}, {self.part.fraction:.0%} of the labels")
        diet = Diet(self.part.training, (), 0.0, classic=True, steps=self.plan.steps)
        return self.train(diet, self.seed, self.folder, lambda _predict, _step: None).predict

    def sees(self, windows: Sequence[Sample]) -> Side:
        """How well it agrees with the labels of `CHECKED` of some windows at most, drawn by the study's seed."""
        return agreed(self.predict, some(windows, CHECKED, self.plan.seed))

    def consistency(self, made: Sequence[Sample], held_out: Side) -> Consistency:
        """Its agreement with the labels of synthetic windows, beside that with held-out ones (`sees`)."""
        synthetic, typed = self.sees(made), len(made[0].class_names) > 1
        found = estimated(synthetic, held_out, typed=typed, seed=self.plan.seed)
        return Consistency(
            seed=self.seed,
            steps=self.plan.steps,
            windows={"synthetic": len(synthetic.rows), "test": len(held_out.rows)},
            scores=tuple(
                Agreement(metric=name, synthetic=synthetic_, real=real, share=share)
                for name in names(typed)
                for synthetic_, real, share in [[_interval(found[name + end]) for end in SIDES]]
            ),
        )


def agreed(predict: Predict, windows: Sequence[Sample]) -> Side:
    """How well what a segmenter sees in windows agrees with their labels: rows of metrics.consistency."""
    pairs = zip(map(_label, windows), map(_label, predict(windows)), strict=True)
    return Side(rows_of(pairs, len(windows[0].class_names)), units(windows))


def units(windows: Sequence[Sample]) -> NDArray[np.str_]:
    """What windows are drawn together for in intervals: their slides or, of few slides, their tiles; such are alike."""
    sources = np.array([window.source for window in windows])
    return sources if len(np.unique(sources)) >= UNITS else np.array([window.sample_id for window in windows])


def _label(sample: Sample) -> Label:
    assert sample.mpp is not None, "tiles without mpp were refused"
    return Label(sample.instances, sample.classes, sample.mpp)


def _interval(found: Estimate) -> Interval:
    return Interval(**defined({"value": found.value, "low": found.low, "high": found.high}))
