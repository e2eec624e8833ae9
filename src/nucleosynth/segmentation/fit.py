"""Training a judge: the segmentation network whose score says what generated tiles are worth.

Every batch has the same number of windows and every arm of a study the same number of steps: synthetic tiles take the
place of real windows, they do not add updates. Windows are drawn by (seed, step), so a resumed judge equals an
uninterrupted one, and two arms of one seed differ in their tiles alone.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import nn

from nucleosynth.errors import UserError
from nucleosynth.progress import say
from nucleosynth.run import Budget, Run, RunRecord, TrainingSource, now, versions
from nucleosynth.sample import Sample
from nucleosynth.seeds import seed_of
from nucleosynth.segmentation import pretrained
from nucleosynth.segmentation.batches import Batch, batches, windows_of
from nucleosynth.segmentation.hovernet import HoVerNet, HoVerNetSettings
from nucleosynth.segmentation.judge import METHOD, STAGE, Judge
from nucleosynth.segmentation.losses import losses
from nucleosynth.segmentation.networks.published import PublishedHoVerNet
from nucleosynth.segmentation.schedule import place, rate, timetable
from nucleosynth.training import checkpoint
from nucleosynth.training.checkpoint import Moment
from nucleosynth.training.device import fabric_for
from nucleosynth.training.loop import train

__all__ = ["STAGE", "Judge", "check", "fit"]


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
    split: str | None = None,
    marks: Sequence[float] = (),
    at_mark: Callable[[Judge, int, float], None] | None = None,
) -> Judge:
    """Train a judge in a run folder of its own.

    samples: labelled tiles, of any size and resolution; synthetic: tiles that fill `settings.synthetic_share` of the
    windows; data, split: how the record names them. What weights it starts from stands in the run's facts.json.

    at_mark: called with the judge as it is, the step and the share, when a share of the budget in `marks` (0..1) is
    reached. The judge is in evaluation mode and goes on training afterwards: keep its predictions, not itself. Training
    is the same with and without marks. A resumed run calls for the marks after its checkpoint: for one that was passed
    but not saved, again; for a finished run, none.

    Raises:
        UserError: no tile; tiles without masks or without mpp; tiles of different classes; a folder that holds a run;
            weights that are not there or do not fit; phases with a budget in minutes or on several devices.
        Interrupted: Ctrl-C; what was trained is saved.
    """
    fabric = fabric or fabric_for()
    _check_phases(settings, budget, fabric.world_size)
    names = _class_names([*samples, *synthetic] if samples else [])
    real, drawn = (windows_of(part, settings.mpp) for part in (samples, synthetic))
    scheme = samples[0].class_scheme
    torch.manual_seed(seed_of(seed))
    stage = _Stage(settings, len(names), budget.steps)
    record = _record(samples, synthetic, settings, budget, seed, data, split)
    fresh = not (resume and Run(folder, record).checkpoint(STAGE).exists())
    facts = _start(stage.network, settings) if fresh else {}  # a checkpoint will overwrite them
    run = Run.create(folder, record, resume)
    if facts:
        run.write_facts({"weights": facts})

    def mark(step: int, share: float) -> None:
        if at_mark:
            at_mark(Judge(stage.network.eval(), settings, names, fabric, "", scheme), step, share)
            stage.network.train()

    made = batches(real, drawn, settings, seed, budget.steps)
    train(stage, made, budget=budget, run=run, fabric=fabric, marks=marks, at_mark=mark)
    digest = checkpoint.fingerprint(run.checkpoint(STAGE))
    return Judge(stage.network.eval(), settings, names, fabric, digest, scheme)


def check(settings: HoVerNetSettings, budget: Budget, folder: Path, *, resume: bool = False) -> None:
    """Refuse, before any tile is read, a budget or weights that a training with these settings cannot have.

    Weights of a run that has a checkpoint to resume from are not looked at.

    Raises:
        UserError: phases with a budget in minutes; weights that are not there, or do not fit whatever the classes are.
    """
    _check_phases(settings, budget)
    if settings.weights != pretrained.NONE and not (resume and (folder / "checkpoints").exists()):
        with torch.device("meta"):
            network = HoVerNet.build(settings, 2)
        pretrained.choose(network, settings.weights, settings.network)


class _Stage:
    """The network and its optimiser. Where there are phases, the optimiser's groups say in which one it is."""

    name = STAGE

    def __init__(self, settings: HoVerNetSettings, classes: int, steps: int | None) -> None:
        self.settings = settings
        self.stretches = timetable(settings.phases, steps or 0)
        self.bare = HoVerNet.build(settings, classes)
        self.network = self.bare
        self.optimiser: torch.optim.Optimizer = torch.optim.AdamW(
            self.network.parameters(), settings.learning_rate, weight_decay=settings.weight_decay
        )
        self.modules: Mapping[str, nn.Module] = {"network": self.network}
        self.optimisers: Mapping[str, torch.optim.Optimizer] = {"adamw": self.optimiser}

    def setup(self, fabric: Fabric) -> None:
        self.network, self.optimiser = fabric.setup(self.network, self.optimiser)
        self.network.train()

    def step(self, fabric: Fabric, batch: Batch, moment: Moment) -> Batch:
        learning_rate = self._begin(moment)
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate
        batch = fabric.to_device(batch)
        # Mixed precision ends at the network's outputs, which Fabric gives back in float32: so are the losses.
        named = losses(self.network(batch["image"]), batch, self.settings.losses)
        loss = torch.stack(list(named.values())).sum()
        self.optimiser.zero_grad()
        fabric.backward(loss)
        self.optimiser.step()
        return {"loss": loss.detach(), **{name: value.detach() for name, value in named.items()}}

    def _begin(self, moment: Moment) -> float:
        """The learning rate of this step; where a phase begins, its optimiser begins anew."""
        if not self.stretches:
            return self.settings.learning_rate * rate(moment.progress, self.settings.warmup)
        index = place(self.stretches, moment.step)
        for group in self.optimiser.param_groups:
            if group.setdefault("phase", 0) != index:
                self.optimiser.state.clear()
                group["phase"] = index
        if isinstance(self.bare, PublishedHoVerNet):
            self.bare.frozen = self.stretches[index].phase.frozen
        return self.stretches[index].rate(moment.step)


def _start(network: nn.Module, settings: HoVerNetSettings) -> dict[str, Any]:
    """Fill the network with the weights that training starts from; what the record says of them, if there are any."""
    if settings.weights == pretrained.NONE:
        return {}
    facts = pretrained.start(network, settings.weights, settings.network)
    fresh = f", {len(facts['fresh'])} start fresh" if facts["fresh"] else ""
    say(f"weights: {facts['loaded']} tensors of {facts['file']} ({facts['kind']}){fresh}; see facts.json")
    return facts


def _check_phases(settings: HoVerNetSettings, budget: Budget, devices: int = 1) -> None:
    if settings.phases and (budget.steps is None or devices > 1):
        raise UserError(
            "a judge that is trained in phases counts its steps",
            expected="a budget in steps, on one device",
            got=f"{budget.minutes:g} minutes" if budget.steps is None else f"{devices} devices",
            mend="give --steps, or --set phases=[] to train with one batch and rate" if budget.steps is None else "",
        )


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
    split: str | None,
) -> RunRecord:
    seen = sorted({each for sample in (*samples, *synthetic) for each in _sources(sample)})
    return RunRecord(
        method=METHOD,
        preset=next((name for name, preset in HoVerNet.presets.items() if preset == settings), "custom"),
        settings=settings.model_dump(mode="json"),
        data=data or f"{len(samples)} tiles, {len(synthetic)} synthetic",
        split=split,
        seed=seed,
        budget=budget,
        class_names=samples[0].class_names,
        class_scheme=samples[0].class_scheme,
        training_sources=tuple(TrainingSource(source=source, licence=licence) for source, licence in seen),
        versions=versions(),
        started=now(),
    )


def _sources(sample: Sample) -> set[tuple[str, str]]:
    """(source, licence) of a tile, and of those that the generator of a synthetic one was trained on."""
    behind = sample.provenance.get("training_sources", ())
    return {(sample.source, sample.licence), *((each["source"], each["licence"]) for each in behind)}
