"""SDM: an image painted for a label by SPADE diffusion.

Wang et al., "Semantic image synthesis via diffusion models", 2022. The label is one-hot classes with a channel of
instance edges; it enters the middle and the decoder of ADM's network alone (nets.spade), and sampling is guided by it.
Unless labels are given, images are painted for windows of the training tiles' labels, so that a run can generate on its
own. Released sampling is `sampling.sampler=ancestral sampling.steps=1000`; the default takes a fortieth of the steps.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import count as naturals
from typing import ClassVar, Self

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from pydantic import model_validator
from torch import Tensor

from nucleosynth.conditions.edges import label_channels
from nucleosynth.config import Settings
from nucleosynth.data.crops import Crops
from nucleosynth.data.tiles import resample, resize_label
from nucleosynth.errors import UserError
from nucleosynth.methods.batches import Group, Slot, SlotNoise, aligned, own_size, padded, working_size
from nucleosynth.methods.facts import Facts
from nucleosynth.methods.kept import keep, kept
from nucleosynth.methods.method import StageCost
from nucleosynth.methods.provenance import Origin
from nucleosynth.methods.results import sample_of
from nucleosynth.nets.adm import BASE, PAPER
from nucleosynth.nets.spade import SpadeADM
from nucleosynth.pictures import write_contact_sheet
from nucleosynth.run import Run
from nucleosynth.sample import Condition, Sample
from nucleosynth.seeds import generator_of, seed_of
from nucleosynth.stages import mask_to_image
from nucleosynth.stages.denoising import Denoising
from nucleosynth.stages.mask_to_image import (
    MaskToImageSettings,
    MaskToImageStage,
    PaintingSampling,
    PaintingTraining,
    paint,
)
from nucleosynth.training import checkpoint
from nucleosynth.training.loop import train

SHEET = 16
"""Pairs on a contact sheet of the training."""
SHEET_CELL_PX = 256
LABEL_KEY = 1
"""Beside (seed, k): which window's label sample k is painted for."""


class SDMSettings(MaskToImageSettings):
    """Everything that a run of SDM is decided by."""

    tile: int = 64
    """Side of a training window, and of a generated tile, in px."""
    mpp: float | None = 0.5
    """Resolution in micrometres per pixel; none = the data's own."""

    @model_validator(mode="after")
    def _tile_fits(self) -> Self:
        """The network halves a tile as often as it has levels."""
        if self.tile < 1 or self.tile % self.network.stride:
            raise ValueError(
                f"a tile whose side is a multiple of {self.network.stride} px, as the network halves it "
                f"(tile is {self.tile})"
            )
        return self


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
        denoising=Denoising(schedule="linear", target="eps", learned_variance=True),
        training=PaintingTraining(
            batch=32,
            optimiser="adamw",
            learning_rate=1e-4,
            weight_decay=0.0,
            warmup=0,
            decay=0.0,
            ema=0.9999,
            second_phase=0.5,
            second_rate=0.2,
        ),
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
        tiles: Sequence[Sample],
        net: SpadeADM,
        origin: Origin,
        fabric: Fabric,
    ) -> None:
        self.settings, self.facts, self.class_names, self.origin = settings, facts, class_names, origin
        self._tiles, self._net, self._fabric = tiles, net.eval(), fabric
        self.size, self.mpp = (settings.tile, settings.tile), settings.mpp

    @classmethod
    def fit(cls, samples: Sequence[Sample], settings: SDMSettings, run: Run, fabric: Fabric) -> Self:
        """Train on windows of tiles, resampled as the settings say; the tiles stay in the run folder."""
        tiles = [sample if settings.mpp is None else resample(sample, settings.mpp) for sample in samples]
        facts, names = Facts.of(tiles), run.record.class_names
        keep(run, tiles)
        run.write_facts(facts.model_dump())
        torch.manual_seed(seed_of(run.record.seed))
        stage, windows = _stage(settings, facts), Crops(tiles, settings.tile)

        def batch_at(step: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
            generator = generator_of(run.record.seed, step)
            drawn = [windows.draw(generator) for _ in range(settings.training.batch)]
            images = np.stack([window.image.transpose(2, 0, 1) for window in drawn]).astype(np.float32) / 127.5 - 1
            return images, np.stack([label_channels(facts.slots, one.instances, one.classes) for one in drawn])

        def sheet(step: int) -> None:
            origin = Origin(cls.name, "in training", ())
            drawn = cls(settings, facts, names, tiles, stage.averaged_net, origin, fabric)
            samples = drawn.generate(drawn.default_conditions(0), 0, count=SHEET, batch=SHEET)
            write_contact_sheet(run.picture(f"step_{step:06d}.png"), list(samples), columns=4, cell_px=SHEET_CELL_PX)

        train(stage, batch_at, budget=run.record.budget, run=run, fabric=fabric, picture=sheet)
        return cls(settings, facts, names, tiles, stage.averaged_net, Origin.of(run), fabric)

    @classmethod
    def load(cls, run: Run, fabric: Fabric) -> Self:
        """The trained network of a run folder: its moving average."""
        settings = SDMSettings.model_validate(run.record.settings)
        facts = Facts.model_validate(run.read_facts())
        stage = _stage(settings, facts)
        checkpoint.load(run.checkpoint(stage.name), f"{cls.name}/{stage.name}", {"average": stage.average})
        net = stage.averaged_net.to(fabric.device)
        return cls(settings, facts, run.record.class_names, kept(run), net, Origin.of(run), fabric)

    def default_conditions(self, seed: int, start: int = 0, size: tuple[int, int] | None = None) -> Iterator[Condition]:
        """Labels of windows of the training tiles, drawn by (seed, k)."""
        height, width = size or self.size
        windows = Crops(self._tiles, max(height, width))
        for k in naturals(start):
            window = windows.draw(generator_of(seed, k, LABEL_KEY)).crop(0, 0, height, width)
            yield Condition(
                window.size,
                window.mpp,
                self.class_names,
                instances=window.instances,
                classes=window.classes,
                source=window.source,
                licence=window.licence,
            )

    def generate(
        self, conditions: Iterator[Condition], seed: int, *, count: int, start: int = 0, batch: int = 16
    ) -> Iterator[Sample]:
        """One sample a condition, in order (see methods.method.Method.generate).

        Raises:
            UserError: a condition without instances.
        """
        for groups in aligned(
            conditions, count=count, start=start, batch=batch, size_of=self._size_for, usual=self.size
        ):
            made = [pair for group in groups for pair in self._make(group, seed)]
            yield from (sample for _, sample in sorted(made, key=lambda pair: pair[0]))

    @classmethod
    def cost(cls, settings: SDMSettings, size: int, classes: int) -> list[StageCost]:
        """One stage."""
        return [StageCost(name=cls.stages[0], **mask_to_image.cost(settings, _channels(classes), size))]

    def _size_for(self, condition: Condition) -> tuple[int, int]:
        return working_size(condition, self.mpp, self.settings.network.stride)

    def _make(self, group: Group, seed: int) -> list[tuple[int, Sample]]:
        """The network's part for a group, then each sample's."""
        noise = SlotNoise(group, {mask_to_image.GROUP: (3, *group.size)}, seed, self._fabric.device)
        found = paint(self._fabric, self._net, self._maps(group), noise, self.settings)
        images = (found * 127.5 + 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()
        made = []
        for slot in group.slots:
            (height, width), condition = own_size(slot.condition, self.mpp), slot.condition
            assert condition.instances is not None, "conditions without a label are refused"
            assert condition.classes is not None, "instances and classes come together"
            image = images[slot.position, :height, :width]
            made.append((slot.k, sample_of(self, slot, seed, image, condition.instances, condition.classes)))
        return made

    def _maps(self, group: Group) -> Tensor:
        """(b c h w) the labels of a group at the network's size; empty places are 0."""
        maps = torch.zeros(group.width, _channels(self.facts.slots.count), *group.size)
        for slot in group.slots:
            maps[slot.position] = torch.from_numpy(padded(self._label(slot), group.size))
        return maps.to(self._fabric.device)

    def _label(self, slot: Slot) -> NDArray[np.float32]:
        condition = slot.condition
        if condition.instances is None or condition.classes is None:
            raise UserError(
                "no label to paint an image for",
                expected="instances and classes",
                got=", ".join(sorted(condition.given())) or "nothing",
                where=f"condition {condition.name or slot.k}",
                mend="give labels (--labels DATA), or none at all for labels of the training tiles",
            )
        label = resize_label(condition.instances, condition.classes, own_size(condition, self.mpp))
        return label_channels(self.facts.slots, *label)


def _channels(classes: int) -> int:
    """Of a label: background, classes, edges."""
    return classes + 2


def _stage(settings: SDMSettings, facts: Facts) -> MaskToImageStage:
    return MaskToImageStage(SDM.stages[0], settings, _channels(facts.slots.count))
