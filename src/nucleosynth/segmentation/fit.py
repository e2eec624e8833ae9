"""Training a judge: the segmentation network whose score says what generated tiles are worth.

Every batch has the same number of windows and every arm of a study the same number of steps: synthetic tiles take the
place of real windows, they do not add updates. Windows are drawn by (seed, step), so a resumed judge equals an
uninterrupted one, and two arms of one seed differ in their tiles alone.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from nucleosynth.data.tiles import resample
from nucleosynth.errors import UserError
from nucleosynth.run import Budget, Run, RunRecord, TrainingSource, now, versions
from nucleosynth.sample import Sample
from nucleosynth.seeds import generator_of, seed_of
from nucleosynth.segmentation.augment import Window, draw
from nucleosynth.segmentation.hovernet import HoVerNet, HoVerNetSettings
from nucleosynth.segmentation.losses import losses
from nucleosynth.segmentation.targets import targets
from nucleosynth.training import checkpoint
from nucleosynth.training.checkpoint import Moment
from nucleosynth.training.device import fabric_for
from nucleosynth.training.loop import train

METHOD, STAGE = "hovernet", "judge"
Batch = dict[str, Tensor]


@dataclass(frozen=True)
class Judge:
    """A trained network, ready to predict (see predict.py). `network` is set up by `fabric` and in evaluation mode."""

    network: nn.Module
    settings: HoVerNetSettings
    class_names: tuple[str, ...]
    fabric: Fabric


def fit(
    samples: Sequence[Sample],
    settings: HoVerNetSettings,
    *,
    folder: Path,
    budget: Budget,
    seed: int,
    synthetic: Sequence[Sample] = (),
    resume: bool = False,
    fabric: Fabric | None = None,
    data: str = "",
) -> Judge:
    """Train a judge in a run folder of its own.

    samples: labelled tiles, of any size and resolution; synthetic: tiles that fill `settings.synthetic_share` of the
    windows; data: how the record names them.

    Raises:
        UserError: no tile; tiles without masks or without mpp; tiles of different classes; a folder that holds a run.
        Interrupted: Ctrl-C; what was trained is saved.
    """
    names = _class_names([*samples, *synthetic])
    real, drawn = (_tiles(part, settings.mpp) for part in (samples, synthetic))
    run = Run.create(folder, _record(samples, synthetic, settings, budget, seed, data), resume)
    fabric = fabric or fabric_for()
    torch.manual_seed(seed_of(seed))
    stage = _Stage(settings, len(names))
    train(stage, batches(real, drawn, settings, seed), budget=budget, run=run, fabric=fabric)
    return Judge(stage.network.eval(), settings, names, fabric)


def load(folder: Path, fabric: Fabric | None = None) -> Judge:
    """The judge that a run folder holds.

    Raises:
        UserError: no run, a run of something else, or no checkpoint in it.
    """
    run = Run.open(folder)
    if run.record.method != METHOD:
        raise UserError(
            "not a judge", expected=f"a run of {METHOD}", got=f"a run of {run.record.method}", where=str(folder)
        )
    settings = HoVerNetSettings.model_validate(run.record.settings)
    network = HoVerNet(settings, len(run.record.class_names))
    checkpoint.load(run.checkpoint(STAGE), f"{METHOD}/{STAGE}", {"network": network})
    fabric = fabric or fabric_for()
    return Judge(fabric.setup_module(network).eval(), settings, run.record.class_names, fabric)


def batches(
    real: Sequence[Window], synthetic: Sequence[Window], settings: HoVerNetSettings, seed: int
) -> Callable[[int], Batch]:
    """step -> batch: `image` uint8 (b 3 h w) and the targets of targets.py, a pure function of (seed, step).

    Of the windows of steps 0..n - 1 the share that is synthetic is right to within one window for every n.
    """
    share = settings.synthetic_share * settings.batch if synthetic else 0.0

    def batch_at(step: int) -> Batch:
        rng = generator_of(seed, step)
        made = math.floor((step + 1) * share) - math.floor(step * share)
        pools = [synthetic] * made + [real] * (settings.batch - made)
        return _collate([draw(pool, settings.crop, settings.augmentation, rng) for pool in pools], settings)

    return batch_at


class _Stage:
    """The network and its optimiser."""

    name = STAGE

    def __init__(self, settings: HoVerNetSettings, classes: int) -> None:
        self.settings = settings
        self.network: nn.Module = HoVerNet(settings, classes)
        self.optimiser: torch.optim.Optimizer = torch.optim.AdamW(
            self.network.parameters(), settings.learning_rate, weight_decay=settings.weight_decay
        )
        self.modules: Mapping[str, nn.Module] = {"network": self.network}
        self.optimisers: Mapping[str, torch.optim.Optimizer] = {"adamw": self.optimiser}

    def setup(self, fabric: Fabric) -> None:
        self.network, self.optimiser = fabric.setup(self.network, self.optimiser)
        self.network.train()

    def step(self, fabric: Fabric, batch: Batch, moment: Moment) -> Batch:
        for group in self.optimiser.param_groups:
            group["lr"] = self.settings.learning_rate * rate(moment.progress, self.settings.warmup)
        batch = fabric.to_device(batch)
        named = losses(self.network(batch["image"]), batch, self.settings.losses)
        loss = torch.stack(list(named.values())).sum()
        self.optimiser.zero_grad()
        fabric.backward(loss)
        self.optimiser.step()
        return {"loss": loss.detach(), **{name: value.detach() for name, value in named.items()}}


def rate(progress: float, warmup: float) -> float:
    """The learning rate's factor at a share of the budget: linear from .1 to 1, then times a half cosine to 0.

    Example:
        >>> [round(rate(progress, 0.05), 3) for progress in (0, 0.5, 1)]
        [0.1, 0.5, 0.0]
    """
    return min(1.0, 0.1 + 0.9 * progress / warmup) * (1 + math.cos(math.pi * progress)) / 2


def _collate(windows: Sequence[Window], settings: HoVerNetSettings) -> Batch:
    wanted = [targets(each.instances, each.classes, settings.coding, settings.offset_px) for each in windows]
    batch = {name: torch.from_numpy(np.stack([each[name] for each in wanted])) for name in wanted[0]}
    return {"image": torch.from_numpy(np.stack([each.image for each in windows])).movedim(-1, 1), **batch}


def _tiles(samples: Sequence[Sample], mpp: float) -> list[Window]:
    for sample in samples:
        if sample.labelled_as == "points":
            raise UserError(
                "a tile without masks",
                expected="tiles labelled as masks, or as masks derived from points",
                got="points alone",
                where=f"sample {sample.sample_id!r}",
            )
    finer = (resample(sample, mpp) for sample in samples)
    return [Window(sample.image, sample.instances, sample.classes) for sample in finer]


def _class_names(samples: Sequence[Sample]) -> tuple[str, ...]:
    names = {sample.class_names for sample in samples}
    if len(names) != 1:
        raise UserError(
            "tiles of different classes" if names else "no tile to train on",
            expected="tiles with one list of classes",
            got=" and ".join(repr(", ".join(each)) for each in sorted(names)) or "none",
            mend="merge the classes first" if names else "",
        )
    return names.pop()


def _record(
    samples: Sequence[Sample],
    synthetic: Sequence[Sample],
    settings: HoVerNetSettings,
    budget: Budget,
    seed: int,
    data: str,
) -> RunRecord:
    seen = sorted({(sample.source, sample.licence) for sample in (*samples, *synthetic)})
    return RunRecord(
        method=METHOD,
        preset=next((name for name, preset in HoVerNet.presets.items() if preset == settings), "custom"),
        settings=settings.model_dump(mode="json"),
        data=data or f"{len(samples)} tiles, {len(synthetic)} synthetic",
        split=None,
        seed=seed,
        budget=budget,
        class_names=samples[0].class_names,
        class_scheme=samples[0].class_scheme,
        training_sources=tuple(TrainingSource(source=source, licence=licence) for source, licence in seen),
        versions=versions(),
        started=now(),
    )
