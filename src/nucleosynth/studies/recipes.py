"""Recipes: a method fitted inside the study, on exactly an arm's training tiles, and the pairs that it makes."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nucleosynth import catalog, config
from nucleosynth.data.reader import read
from nucleosynth.data.shards import read_manifest
from nucleosynth.run import RECORD, Budget, Run, RunRecord, now, versions
from nucleosynth.sample import Sample
from nucleosynth.studies.arms import Arm
from nucleosynth.studies.conduct import Made, MakePairs
from nucleosynth.verbs.fit import sources_of, train
from nucleosynth.verbs.generate import generate


def pair_maker(data: str, budget: Budget, seed: int, device: str, precision: str) -> MakePairs:
    """A function that makes an arm's pairs; what it finds finished is read back, what was stopped is gone on with."""

    def make(arm: Arm, tiles: Sequence[Sample], area_mm2: float, folder: Path) -> Made:
        place, store = folder / "generator", folder / "pairs"
        if not (read_manifest(store) or {}).get("finished"):
            record, resume = _record(arm, tiles, data, budget, seed), (place / RECORD).exists()
            run = train(record, tiles, place, resume=resume, device=device, precision=precision)
            count = _count(run, area_mm2, device, precision)
            generate(place, out=store, n=count, seed=seed, device=device, precision=precision)
        return Made(list(read(str(store))), seconds_of(Run.open(place)))

    return make


def seconds_of(run: Run) -> float | None:
    """For how many seconds all stages of a run were trained; None if it has logged none."""
    stages = catalog.load("method", run.record.method).stages
    logged = [lines[-1]["seconds"] for stage in stages if (lines := run.read_log(stage))]
    return float(sum(logged)) if logged else None


def _count(run: Run, area_mm2: float, device: str, precision: str) -> int:
    """How many pairs of the method's size have that area."""
    from nucleosynth.training.device import fabric_for

    model: Any = catalog.load("method", run.record.method).load(run, fabric_for(device, precision))
    pair_mm2: float = model.size[0] * model.size[1] * (model.mpp or 1.0) ** 2 / 1e6
    return max(math.ceil(area_mm2 / pair_mm2), 1)


def _record(arm: Arm, tiles: Sequence[Sample], data: str, budget: Budget, seed: int) -> RunRecord:
    kind = catalog.load("method", arm.method)
    return RunRecord(
        method=kind.name,
        preset=arm.preset,
        settings=config.preset(kind.presets, arm.preset).model_dump(mode="json"),
        data=data,
        split=None,
        seed=seed,
        budget=budget,
        class_names=tiles[0].class_names,
        class_scheme=tiles[0].class_scheme,
        training_sources=sources_of(tiles),
        versions=versions(),
        started=now(),
    )
