"""The judge that a study trains: HoVer-Net, by segmentation/fit.py, in a run folder of its own."""

import math
import platform
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from lightning_fabric import Fabric

from nucleosynth.metrics import instance
from nucleosynth.run import RECORD, Budget, Run
from nucleosynth.sample import Sample
from nucleosynth.segmentation import fit as judge
from nucleosynth.segmentation.augment import NONE
from nucleosynth.segmentation.hovernet import HoVerNetSettings
from nucleosynth.segmentation.predict import ceiling, predict
from nucleosynth.studies.scoring import defined
from nucleosynth.studies.trials import MARKS, Diet, Predict, Trained, TrainJudge


def judge_trainer(settings: HoVerNetSettings, fabric: Fabric) -> TrainJudge:
    """A function that trains judges of these settings; one that was stopped is gone on with."""

    def train(diet: Diet, seed: int, folder: Path, watch: Callable[[Predict, int], None]) -> Trained:
        own = {"synthetic_share": diet.share, "augmentation": settings.augmentation if diet.classic else NONE}
        trained = judge.fit(
            diet.real,
            settings.model_copy(update=own),
            folder=folder,
            budget=Budget(steps=diet.steps),
            seed=seed,
            synthetic=diet.synthetic,
            resume=(folder / RECORD).exists(),
            fabric=fabric,
            marks=MARKS,
            at_mark=lambda half_way, step, _share: watch(lambda tiles: predict(half_way, tiles), step),
        )
        log = Run.open(folder).read_log(judge.STAGE)
        return Trained(
            predict=lambda tiles: predict(trained, tiles),
            steps=log[-1]["step"],
            seconds=log[-1]["seconds"],
            losses=tuple((line["step"], line["loss"] if math.isfinite(line["loss"]) else None) for line in log),
        )

    return train


def judge_ceiling(settings: HoVerNetSettings) -> Callable[[Sequence[Sample]], dict[str, float | None]]:
    """A function from tiles to the mean scores over them that perfect maps would reach."""

    def of(tiles: Sequence[Sample]) -> dict[str, float | None]:
        means = instance.mean(ceiling(tiles, settings))
        return defined({name: mean.value for name, mean in means.items()})

    return of


def hardware(fabric: Fabric) -> str:
    """What the judges are trained on, in words: the accelerator, or the processor and its threads; and in which
    precision."""
    precision = str(fabric._precision.precision)
    if fabric.device.type == "cuda":
        return f"{fabric.world_size} x {torch.cuda.get_device_name(fabric.device)}, {precision}"
    return f"{torch.get_num_threads()} CPU threads, {_processor()}, {precision}"


def _processor() -> str:
    """Its model, where the system tells, else its architecture."""
    listed = Path("/proc/cpuinfo")
    lines = listed.read_text().splitlines() if listed.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()
