"""The judge that a study trains: HoVer-Net, by segmentation/fit.py, in a run folder of its own."""

import platform
from collections.abc import Sequence
from pathlib import Path

import torch
from lightning_fabric import Fabric

from nucleosynth.metrics import instance
from nucleosynth.run import RECORD, Budget, Run
from nucleosynth.sample import Sample
from nucleosynth.segmentation import fit as judge
from nucleosynth.segmentation.hovernet import HoVerNetSettings
from nucleosynth.segmentation.predict import ceiling, predict
from nucleosynth.studies.conduct import Trained, TrainJudge
from nucleosynth.studies.scoring import defined


def judge_trainer(settings: HoVerNetSettings, steps: int, fabric: Fabric) -> TrainJudge:
    """A function that trains judges of these settings for so many steps; one that was stopped is gone on with."""

    def train(real: Sequence[Sample], synthetic: Sequence[Sample], seed: int, folder: Path) -> Trained:
        resume = (folder / RECORD).exists()
        trained = judge.fit(
            real,
            settings,
            folder=folder,
            budget=Budget(steps=steps),
            seed=seed,
            synthetic=synthetic,
            resume=resume,
            fabric=fabric,
        )
        log = Run.open(folder).read_log(judge.STAGE)
        return Trained(
            predict=lambda tiles: predict(trained, tiles),
            steps=log[-1]["step"],
            seconds=log[-1]["seconds"],
            losses=tuple((line["step"], line["loss"]) for line in log),
        )

    return train


def judge_ceiling(tests: Sequence[Sample], settings: HoVerNetSettings) -> dict[str, float | None]:
    """Mean scores over the test tiles that perfect maps would reach."""
    means = instance.mean(ceiling(tests, settings))
    return defined({name: mean.value for name, mean in means.items()})


def hardware(fabric: Fabric) -> str:
    """What the judges are trained on, in words: the accelerator, or the processor and its threads."""
    if fabric.device.type == "cuda":
        return f"{fabric.world_size} x {torch.cuda.get_device_name(fabric.device)}"
    return f"{torch.get_num_threads()} CPU threads, {_processor()}"


def _processor() -> str:
    """Its model, where the system tells, else its architecture."""
    listed = Path("/proc/cpuinfo")
    lines = listed.read_text().splitlines() if listed.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()
