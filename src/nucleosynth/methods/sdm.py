"""SDM: an image painted for a label by SPADE diffusion.

Wang et al., "Semantic image synthesis via diffusion models", 2022. The label is one-hot classes with a channel of
instance edges; it enters the middle and the decoder of ADM's network alone (nets.spade), and sampling is guided by it.
Unless labels are given, images are painted for windows of the training tiles' labels, so that a run can generate on its
own. As released, sampling takes 1000 steps: "paper" with sampling.sampler=ancestral and sampling.steps=1000.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import count as naturals
from typing import ClassVar, Self

import torch
from lightning_fabric import Fabric

from nucleosynth.conditions.edges import label_width
from nucleosynth.config import Settings
from nucleosynth.data.crops import Crops
from nucleosynth.methods.batches import Group, Slot, SlotNoise, in_order, own_size
from nucleosynth.methods.facts import Facts
from nucleosynth.methods.kept import keep, kept, kept_windows
from nucleosynth.methods.painting import Batch, label_maps, label_of, painter, rgb, training_batch
from nucleosynth.methods.provenance import Origin
from nucleosynth.methods.results import sample_of
from nucleosynth.methods.sheets import write_pairs
from nucleosynth.methods.tiles import TileSettings
from nucleosynth.nets.adm import BASE, PAPER
from nucleosynth.nets.count import StageCost
from nucleosynth.nets.spade import SpadeADM
from nucleosynth.run import Run
from nucleosynth.sample import Condition, Image, Sample
from nucleosynth.seeds import generator_of, seed_of
from nucleosynth.stages.denoising import PUBLISHED, Denoising
from nucleosynth.stages.mask_to_image import (
    GROUP,
    PUBLISHED_TRAINING,
    MaskToImageSettings,
    PaintingSampling,
    PaintingTraining,
    cost,
    paint,
)
from nucleosynth.training import checkpoint
from nucleosynth.training.loop import train

LABEL_KEY = 1
"""Beside (seed, k): which window's label sample k is painted for."""


class SDMSettings(MaskToImageSettings, TileSettings):
    """Everything that a run of SDM is decided by."""

    @property
    def stride(self) -> int:
        """The network's."""
        return self.network.stride


PRESETS = {
    "tiny": SDMSettings(),
    "base": SDMSettings(
        tile=256,
        mpp=0.25,
        network=BASE,
        denoising=Denoising(target="v"),
        training=PaintingTraining(batch=32, learning_rate=5e-4, warmup=500, decay=0.3, ema=0.9995),
        sampling=PaintingSampling(steps=25),
    ),
    "paper": SDMSettings(
        tile=256,
        mpp=0.25,
        network=PAPER,
        denoising=PUBLISHED,
        training=PUBLISHED_TRAINING,
        sampling=PaintingSampling(steps=25),
    ),
}


class SDM:
    """A trained SDM (see methods.method.Method)."""

    name: ClassVar[str] = "sdm"
    needs: ClassVar[frozenset[str]] = frozenset()
    takes: ClassVar[frozenset[str]] = frozenset({"instances"})
    stages: ClassVar[tuple[str, ...]] = ("image",)
    presets: ClassVar[Mapping[str, Settings]] = PRESETS
    published_classes: ClassVar[int] = 149

    def __init__(
        self,
        settings: SDMSettings,
        facts: Facts,
        class_names: tuple[str, ...],
        net: SpadeADM,
        tiles: Callable[[], Sequence[Sample]],
        origin: Origin,
        fabric: Fabric,
    ) -> None:
        """tiles: reads the training tiles, at the method's resolution, when their labels are asked for."""
        self.settings, self.facts, self.class_names, self.origin = settings, facts, class_names, origin
        self._net, self._tiles, self._fabric = net.eval(), tiles, fabric
        self.size, self.mpp = settings.size, settings.mpp

    @classmethod
    def fit(cls, samples: Sequence[Sample], settings: SDMSettings, run: Run, fabric: Fabric) -> Self:
        """Train on windows of tiles, resampled as the settings say; the tiles stay in the run folder."""
        tiles = settings.resampled(samples)
        facts = Facts.of(tiles)
        keep(run, tiles)
        run.write_facts(facts.model_dump())
        torch.manual_seed(seed_of(run.record.seed))
        stage, windows = painter(cls.stages[0], settings, facts.slots), Crops(tiles, settings.tile)

        def batch_at(step: int) -> Batch:
            return training_batch(windows, facts.slots, generator_of(run.record.seed, step), settings.training.batch)

        training = Origin.in_training(cls.name)
        model = cls(settings, facts, run.record.class_names, stage.averaged_net, lambda: tiles, training, fabric)
        train(
            stage, batch_at, budget=run.record.budget, run=run, fabric=fabric, picture=partial(write_pairs, run, model)
        )
        model.origin = Origin.of(run)
        return model

    @classmethod
    def load(cls, run: Run, fabric: Fabric) -> Self:
        """The trained network of a run folder: its moving average."""
        settings = SDMSettings.model_validate(run.record.settings)
        facts = Facts.model_validate(run.read_facts())
        stage = painter(cls.stages[0], settings, facts.slots)
        checkpoint.load(run.checkpoint(stage.name), f"{cls.name}/{stage.name}", {"average": stage.average})
        net = stage.averaged_net.to(fabric.device)
        return cls(settings, facts, run.record.class_names, net, partial(kept, run), Origin.of(run), fabric)

    def default_conditions(self, seed: int, start: int = 0, size: tuple[int, int] | None = None) -> Iterator[Condition]:
        """Labels of windows of the training tiles, drawn by (seed, k).

        Raises:
            UserError: a size above those of training and of every training tile.
        """
        height, width = size or self.size
        crops = kept_windows(self._tiles(), (height, width), self.size)

        def label(k: int) -> Condition:
            window = crops.draw(generator_of(seed, k, LABEL_KEY)).crop(0, 0, height, width)
            return Condition(
                window.size,
                window.mpp,
                self.class_names,
                window.tissue,
                window.stain,
                instances=window.instances,
                classes=window.classes,
                source=window.source,
                licence=window.licence,
            )

        return map(label, naturals(start))

    def generate(
        self, conditions: Iterator[Condition], seed: int, *, count: int, start: int = 0, batch: int = 16
    ) -> Iterator[Sample]:
        """One sample a condition, in order (see methods.method.Method.generate).

        Raises:
            UserError: a condition without instances, or with classes that training never saw.
        """
        make = partial(self._make, seed=seed)
        return in_order(self.facts.known(conditions), make, self.settings, count=count, start=start, batch=batch)

    @classmethod
    def cost(cls, settings: SDMSettings, size: int, classes: int) -> list[StageCost]:
        """One stage."""
        return [cost(settings, label_width(classes), size, cls.stages[0])]

    def _make(self, group: Group, seed: int) -> list[tuple[int, Sample]]:
        """The network's part for a group, then each sample's."""
        device = self._fabric.device
        maps = label_maps(group, self.facts.slots, self.mpp).to(device)
        noise = SlotNoise(group, {GROUP: (3, *group.size)}, seed, device)
        images = rgb(paint(self._fabric, self._net, maps, noise, self.settings))
        return [(slot.k, self._sample(slot, images[slot.position], seed)) for slot in group.slots]

    def _sample(self, slot: Slot, image: Image, seed: int) -> Sample:
        height, width = own_size(slot.condition, self.mpp)
        return sample_of(self, slot, seed, image[:height, :width], *label_of(slot.condition))
