"""How far pairs lie from real crops, and whether their images and labels belong together: those rows of pairs.py that
have intervals of 95 % (see nucleosynth.metrics.resampling), and real crops beside them.

Crops of one slide, or of one tile where there are few slides, are drawn together for intervals. A Frechet distance is
too large by an amount that depends on how many images there are, so its floors are of as many.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucleosynth.encoders import encoder as encoders
from nucleosynth.errors import UserError
from nucleosynth.metrics.consistency import estimated
from nucleosynth.metrics.distribution import compared
from nucleosynth.metrics.proportions import class_proportions
from nucleosynth.metrics.resampling import Estimate
from nucleosynth.run import Run
from nucleosynth.sample import Sample
from nucleosynth.segmentation import judge as judges
from nucleosynth.segmentation.predict import predict
from nucleosynth.studies.trials import Predict
from nucleosynth.studies.witness import agreed, units

ENCODER = "texture"


def distances(
    made: Sequence[Sample], real: Sequence[Sample], others: Mapping[str, Sequence[Sample]]
) -> dict[str, float]:
    """FD and KID by the embedded encoder and FSD, of made tiles to real ones, and of others to the same real ones."""
    encoder = encoders.load(ENCODER)
    found: dict[str, float] = {}
    ways: dict[tuple[str, ...], Callable[[Sequence[Sample]], NDArray[Any]]] = {
        ("fd", "kid"): lambda tiles: _features(tiles, encoder),
        ("fsd",): proportions,
    }
    for measures, rows_of in ways.items():
        known, groups = rows_of(real), {"real_groups": units(real), "synthetic_groups": units(made)}
        each = compared(known, rows_of(made), measures, **groups, halvings=0)
        floors = {
            name: compared(known, rows_of(tiles), measures, draws=0, halvings=0) for name, tiles in others.items()
        }
        for name, score in each.items():
            what = name if name == "fsd" else f"{name}, {encoder.name}"
            found |= _with_interval(what, score)
            found |= {f"{what}, {other}": floor[name].value for other, floor in floors.items()}
    return found


def consistency(look: Predict, made: Sequence[Sample], held_out: Sequence[Sample]) -> dict[str, float]:
    """What a judge sees in made tiles against their labels, beside the same of held-out crops, as many of one size."""
    typed = len(made[0].class_names) > 1
    found = estimated(agreed(look, made), agreed(look, held_out), typed=typed)
    return {
        key: value
        for name, score in found.items()
        for key, value in _with_interval(f"consistency, {name.replace('.', ', ')}", score).items()
    }


def judge_of(folder: Path, class_names: Sequence[str], tests: Sequence[Sample]) -> Predict:
    """The judge of a run of `segment fit`.

    Raises:
        UserError: it tells other classes apart, or was trained on a source of the test tiles.
    """
    judge = judges.load(folder)
    if judge.class_names != tuple(class_names):
        raise UserError(
            "a judge of other classes",
            expected=", ".join(class_names),
            got=", ".join(judge.class_names),
            where=str(folder),
            mend="train it with the --classes of the run",
        )
    seen = {each.source for each in Run.open(folder).record.training_sources} & {tile.source for tile in tests}
    if seen:
        raise UserError(
            "a judge that has seen the test tiles",
            expected="one of the training split alone",
            got=", ".join(sorted(seen)),
            where=str(folder),
            mend="train it with --split train",
        )
    return lambda tiles: predict(judge, tiles)


def proportions(samples: Sequence[Sample]) -> NDArray[np.float64]:
    """Class proportions of each tile in per cent, background in."""
    return np.array([class_proportions(s.instances, s.classes, len(s.class_names), background=True) for s in samples])


def _features(samples: Sequence[Sample], encoder: Any) -> NDArray[np.float32]:
    return np.concatenate([encoder(sample.image[None]) for sample in samples])


def _with_interval(name: str, found: Estimate) -> dict[str, float]:
    return {name: found.value, f"{name}, low": found.low, f"{name}, high": found.high}
