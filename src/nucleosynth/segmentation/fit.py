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

from nucleosynth.data.classes import numbered_names
from nucleosynth.data.tiles import resample
from nucleosynth.encoders.weights import digest_of, fill
from nucleosynth.errors import UserError
from nucleosynth.progress import say
from nucleosynth.run import Budget, Run, RunRecord, TrainingSource, now, versions
from nucleosynth.sample import Sample
from nucleosynth.seeds import generator_of, seed_of
from nucleosynth.segmentation import pretrained
from nucleosynth.segmentation.augment import Window, draw
from nucleosynth.segmentation.hovernet import HoVerNet, HoVerNetSettings, in_mode
from nucleosynth.segmentation.losses import losses
from nucleosynth.segmentation.networks.published import PublishedHoVerNet
from nucleosynth.segmentation.schedule import place, rate, timetable
from nucleosynth.segmentation.targets import targets
from nucleosynth.training import checkpoint
from nucleosynth.training.checkpoint import Moment
from nucleosynth.training.device import fabric_for
from nucleosynth.training.loop import train

METHOD, STAGE = "hovernet", "judge"
Batch = dict[str, Tensor]


@dataclass(frozen=True)
class Judge:
    """A trained network, ready to predict (see predict.py). `network` is set up by `fabric` and in evaluation mode.

    checkpoint: the digest of its weights, "" while they are in the making; class_scheme: as `Sample.class_scheme`.
    """

    network: nn.Module
    settings: HoVerNetSettings
    class_names: tuple[str, ...]
    fabric: Fabric
    checkpoint: str = ""
    class_scheme: str = ""


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
    names = _class_names([*samples, *synthetic] if samples else [])
    real, drawn = (_tiles(part, settings.mpp) for part in (samples, synthetic))
    fabric = fabric or fabric_for()
    _check_phases(settings, budget, fabric)
    scheme = samples[0].class_scheme
    run = Run.create(folder, _record(samples, synthetic, settings, budget, seed, data, split), resume)
    torch.manual_seed(seed_of(seed))
    stage = _Stage(settings, len(names), budget.steps)
    _start(stage.network, settings, run)

    def mark(step: int, share: float) -> None:
        if at_mark:
            at_mark(Judge(stage.network.eval(), settings, names, fabric, "", scheme), step, share)
            stage.network.train()

    made = batches(real, drawn, settings, seed, budget.steps)
    train(stage, made, budget=budget, run=run, fabric=fabric, marks=marks, at_mark=mark)
    digest = checkpoint.fingerprint(run.checkpoint(STAGE))
    return Judge(stage.network.eval(), settings, names, fabric, digest, scheme)


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
    network = HoVerNet.build(settings, len(run.record.class_names))
    path = run.checkpoint(STAGE)
    checkpoint.load(path, f"{METHOD}/{STAGE}", {"network": network})
    fabric = fabric or fabric_for()
    ready = fabric.setup_module(network).eval()
    record = run.record
    return Judge(ready, settings, record.class_names, fabric, checkpoint.fingerprint(path), record.class_scheme)


def load_released(
    path: Path, class_names: Sequence[str] = (), mode: str | None = None, fabric: Fabric | None = None
) -> Judge:
    """A judge from a file of HoVer-Net's released weights (or of others that were saved by its names).

    Its mode and number of classes are read from the file; `mode` "same" runs the weights of fast with maps as large as
    the image. class_names: of the types; "class 1", ... unless given. It works at .25 um, as released.

    Raises:
        UserError: no such file, a broken one, weights of another network, or another number of class names.
    """
    weights, classes, is_original = pretrained.released(path)
    names = tuple(class_names) or numbered_names(classes) or ("nucleus",)
    if len(names) != max(classes, 1):
        raise UserError(
            "other classes", expected=f"{max(classes, 1)} class names", got=", ".join(names), where=str(path)
        )
    settings = in_mode(HoVerNet.presets["resnet50"], mode or ("original" if is_original else "fast"))
    network = HoVerNet.build(settings, classes)
    fill(network, weights, f"HoVer-Net in mode {settings.mode}", str(path))
    fabric = fabric or fabric_for()
    return Judge(fabric.setup_module(network).eval(), settings, names, fabric, digest_of(weights))


def batches(
    real: Sequence[Window],
    synthetic: Sequence[Window],
    settings: HoVerNetSettings,
    seed: int,
    steps: int | None = None,
) -> Callable[[int], Batch]:
    """step -> batch: `image` uint8 (b 3 h w) and the targets of targets.py, a pure function of (seed, step).

    Of the first n steps' windows (of a phase, where there are phases; then `steps` is needed) the share that is
    synthetic is right to within one window for every n.
    """
    stretches = timetable(settings.phases, steps or 0)

    def batch_at(step: int) -> Batch:
        stretch = stretches[place(stretches, step)] if stretches else None
        size, done = (stretch.phase.batch, step - stretch.first) if stretch else (settings.batch, step)
        share = settings.synthetic_share * size if synthetic else 0.0
        rng = generator_of(seed, step)
        made = math.floor((done + 1) * share) - math.floor(done * share)
        pools = [synthetic] * made + [real] * (size - made)
        return _collate([draw(pool, settings.crop, settings.augmentation, rng) for pool in pools], settings)

    return batch_at


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


def _start(network: nn.Module, settings: HoVerNetSettings, run: Run) -> None:
    """Fill the network with the weights that training starts from, if any; a checkpoint will overwrite them."""
    if settings.weights == pretrained.NONE or (run.resume and run.checkpoint(STAGE).exists()):
        return
    try:
        facts = pretrained.start(network, settings.weights, settings.network)
    except UserError:
        run.forget()
        raise
    run.write_facts({"weights": facts})
    fresh = f", {len(facts['fresh'])} start fresh" if facts["fresh"] else ""
    say(f"weights: {facts['loaded']} tensors of {facts['file']} ({facts['kind']}){fresh}; see facts.json")


def _check_phases(settings: HoVerNetSettings, budget: Budget, fabric: Fabric) -> None:
    if settings.phases and (budget.steps is None or fabric.world_size > 1):
        raise UserError(
            "a judge that is trained in phases counts its steps",
            expected="a budget in steps, on one device",
            got=f"{budget.minutes:g} minutes" if budget.steps is None else f"{fabric.world_size} devices",
            mend="give --steps, or --set phases=[] to train with one batch and rate" if budget.steps is None else "",
        )


def _collate(windows: Sequence[Window], settings: HoVerNetSettings) -> Batch:
    side, released, unit = settings.output_px(settings.crop), settings.released_targets, settings.offset_px
    wanted = [
        targets(each.instances, each.classes, settings.coding, unit, side=side, released=released) for each in windows
    ]
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
