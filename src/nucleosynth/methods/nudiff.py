"""NuDiff (Yu et al., "Diffusion-based data augmentation for nuclei image segmentation", MICCAI 2023).

Two diffusions, each with its own checkpoint: one makes nuclei from nothing, as a structure (foreground and two vector
maps) that is read as instances; the other paints an image for them. Given labels are painted as they are.

Where this departs from the released code: training windows lie anywhere, under all eight symmetries of the square,
where 49 patches were cut from a tile at a stride of 128 px and flipped; vectors are exact under flips, so that one
reading of a structure does and not eight (the search is an option); classes, where several occur, are a one-hot code in
place of the foreground; paths take 50 steps where they took 1000; the painter is guided against a condition that a
channel of its own says is absent, not against an empty tile; the weights of the painter decay as those of the first
network; averaged weights generate.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import count as naturals
from math import lcm
from typing import ClassVar, Literal, Self

import numpy as np
import torch
from lightning_fabric import Fabric
from pydantic import Field, model_validator

from nucleosynth.conditions.slots import Slots
from nucleosynth.conditions.structure_coding import Channels, StructureCoding, Vectors
from nucleosynth.config import Settings
from nucleosynth.data.crops import Crops, network_image
from nucleosynth.data.tiles import resize_label
from nucleosynth.methods.batches import Group, Slot, SlotNoise, in_order, own_size, padded
from nucleosynth.methods.facts import Facts
from nucleosynth.methods.painting import Batch, label_of, rgb
from nucleosynth.methods.provenance import Origin
from nucleosynth.methods.reading import Label, Unread
from nucleosynth.methods.results import sample_of
from nucleosynth.methods.sheets import PAIRS, write_pairs, write_sheet
from nucleosynth.methods.tiles import TileSettings
from nucleosynth.nets import adm
from nucleosynth.nets.adm import ADM
from nucleosynth.nets.count import StageCost
from nucleosynth.nets.spade import SpadeADM
from nucleosynth.run import Run
from nucleosynth.sample import Condition, Image, Sample
from nucleosynth.seeds import generator_of, seed_of
from nucleosynth.stages import mask_to_image, structure
from nucleosynth.stages.denoising import PUBLISHED
from nucleosynth.stages.mask_to_image import (
    PUBLISHED_TRAINING,
    MaskToImageSettings,
    MaskToImageStage,
    PaintingSampling,
    PaintingTraining,
)
from nucleosynth.stages.structure import StructureSampling, StructureSettings, StructureStage
from nucleosynth.stages.training import TrainingSettings
from nucleosynth.training.loop import train

STRUCTURE, IMAGE = "structure", "image"


class NuDiffSettings(TileSettings):
    """Everything that a run of NuDiff is decided by."""

    coding: Vectors = "offsets"
    """The structure's vectors: "hv" as published, "released" as in the code, or centroid "offsets"."""
    hypotheses: Literal[1, 8] = 1
    """8 = read a structure under all signs and axes of its vectors and keep most nuclei, as released."""
    smallest_um2: float = Field(2.0, ge=0)
    """Made nuclei below this are dropped."""
    vectors_from_um2: float = Field(0.0, ge=0)
    """Nuclei below this have no vectors, with coding "hv"; 1.875 (30 px) as released."""
    painted_from: Literal["nuclei", "structure"] = "nuclei"
    """Whether the painter is given the structure of the nuclei that were read, or the one that was sampled."""
    structure_share: float = Field(0.4, gt=0, lt=1)
    """Share of the budget that trains structures; the rest trains images."""
    structure: StructureSettings = StructureSettings()
    image: MaskToImageSettings = MaskToImageSettings()

    @property
    def stride(self) -> int:
        """Sides that both networks can halve."""
        return lcm(self.structure.network.stride, self.image.network.stride)

    @model_validator(mode="after")
    def _can_be_read(self) -> Self:
        """Only signed maps can be read eight ways."""
        if self.hypotheses == 8 and self.coding == "offsets":
            raise ValueError('coding "hv" or "released" where eight readings are tried (coding is "offsets")')
        return self


PRESETS = {
    "tiny": NuDiffSettings(),
    "base": NuDiffSettings(
        tile=256,
        mpp=0.25,
        structure=StructureSettings(
            network=adm.BASE,
            training=TrainingSettings(learning_rate=7e-4, warmup=1000, decay=0.3, ema=0.9998),
            sampling=StructureSampling(steps=50, history=0),
        ),
        image=MaskToImageSettings(
            network=adm.BASE,
            training=PaintingTraining(learning_rate=7e-4, warmup=1000, decay=0.3, ema=0.9998, second_phase=0.5),
            sampling=PaintingSampling(steps=25, guidance=2.0),
        ),
    ),
    "paper": NuDiffSettings(
        tile=256,
        mpp=0.25,
        coding="hv",
        smallest_um2=0.625,
        vectors_from_um2=1.875,
        painted_from="structure",
        structure=StructureSettings(
            network=adm.PAPER,
            denoising=PUBLISHED,
            training=TrainingSettings(
                batch=4, optimiser="adamw", learning_rate=1e-4, weight_decay=0.05, warmup=0, decay=0, ema=0.9999
            ),
            sampling=StructureSampling(steps=50, history=0),
        ),
        image=MaskToImageSettings(
            network=adm.PAPER,
            denoising=PUBLISHED,
            training=PUBLISHED_TRAINING.model_copy(update={"batch": 4, "weight_decay": 0.05}),
            sampling=PaintingSampling(steps=50, guidance=2.0),
        ),
    ),
}


class NuDiff:
    """A trained NuDiff (see methods.method.Method)."""

    name: ClassVar[str] = "nudiff"
    needs: ClassVar[frozenset[str]] = frozenset()
    takes: ClassVar[frozenset[str]] = frozenset({"instances"})
    stages: ClassVar[tuple[str, ...]] = (STRUCTURE, IMAGE)
    presets: ClassVar[Mapping[str, Settings]] = PRESETS
    published_classes: ClassVar[int] = 1

    def __init__(
        self,
        settings: NuDiffSettings,
        facts: Facts,
        class_names: tuple[str, ...],
        structures: ADM,
        painter: SpadeADM,
        origin: Origin,
        fabric: Fabric,
    ) -> None:
        self.settings, self.facts, self.class_names, self.origin = settings, facts, class_names, origin
        self.coding = coding_of(settings, facts.slots, facts.mpp)
        self._structures, self._painter, self._fabric = structures.eval(), painter.eval(), fabric
        self.size, self.mpp = settings.size, settings.mpp

    @classmethod
    def fit(cls, samples: Sequence[Sample], settings: NuDiffSettings, run: Run, fabric: Fabric) -> Self:
        """Train on tiles, cut and resampled as the settings say: structures first, then images.

        Raises:
            UserError: the tiles have no nuclei, or their resolution is unknown and one is asked for.
        """
        tiles = settings.resampled(samples)
        facts, seed = Facts.of(tiles), run.record.seed
        run.write_facts(facts.model_dump())
        coding = coding_of(settings, facts.slots, facts.mpp)
        torch.manual_seed(seed_of(seed))
        first = StructureStage(STRUCTURE, settings.structure, coding.channels)
        second = MaskToImageStage(IMAGE, settings.image, coding.channels)
        origin, nets = Origin.in_training(cls.name), (first.averaged_net, second.averaged_net)
        model = cls(settings, facts, run.record.class_names, *nets, origin, fabric)
        windows = _Windows(Crops(tiles, settings.tile), coding, settings, seed)

        def sketch(step: int) -> None:
            write_sheet(run, model.structures(PAIRS), step, STRUCTURE)

        budget, share = run.record.budget, settings.structure_share
        show = partial(write_pairs, run, model, name="pair")
        train(first, windows.structures, budget=budget.part(share), run=run, fabric=fabric, picture=sketch)
        train(second, windows.images, budget=budget.part(1 - share), run=run, fabric=fabric, picture=show)
        model.origin = Origin.of(run)
        return model

    @classmethod
    def load(cls, run: Run, fabric: Fabric) -> Self:
        """The trained networks of a run folder: their moving averages."""
        settings = NuDiffSettings.model_validate(run.record.settings)
        facts = Facts.model_validate(run.read_facts())
        channels = coding_of(settings, facts.slots).channels
        first = StructureStage(STRUCTURE, settings.structure, channels)
        second = MaskToImageStage(IMAGE, settings.image, channels)
        nets = first.trained(run, cls.name, fabric), second.trained(run, cls.name, fabric)
        return cls(settings, facts, run.record.class_names, *nets, Origin.of(run), fabric)

    def default_conditions(self, seed: int, start: int = 0, size: tuple[int, int] | None = None) -> Iterator[Condition]:
        """Nothing is asked but a size: nuclei and image are made."""
        for _ in naturals(start):
            yield Condition(size or self.size, self.facts.mpp, self.class_names)

    def generate(
        self, conditions: Iterator[Condition], seed: int, *, count: int, start: int = 0, batch: int = 16
    ) -> Iterator[Sample]:
        """One sample a condition, in order (see methods.method.Method.generate).

        Raises:
            UserError: a condition with classes that training never saw.
        """
        make = partial(self._make, seed=seed)
        return in_order(self.facts.known(conditions), make, self.settings, count=count, start=start, batch=batch)

    def structures(self, count: int) -> list[Sample]:
        """What the first pairs of seed 0 are painted from: samples with a picture of the structure for an image."""
        asked = Condition(self.size, self.facts.mpp, self.class_names)
        slots = tuple(Slot(k, k, asked) for k in range(count))
        maps = self._draw(Group(slots, count, self.size, frozenset()), 0)
        return [
            sample_of(self, slot, 0, self.coding.picture(found), *self.coding.decode(found))
            for slot, found in zip(slots, maps, strict=True)
        ]

    @classmethod
    def cost(cls, settings: NuDiffSettings, size: int, classes: int) -> list[StageCost]:
        """Both stages; a pair from nothing."""
        channels = coding_of(settings, Slots(tuple(range(1, classes + 1)))).channels
        return [
            structure.cost(settings.structure, channels, size, STRUCTURE),
            mask_to_image.cost(settings.image, channels, size, IMAGE),
        ]

    def _make(self, group: Group, seed: int) -> list[tuple[int, Sample]] | Unread:
        """Nuclei of each slot, given or made, then their images."""
        sizes = [own_size(slot.condition, self.mpp) for slot in group.slots]
        if "instances" in group.given:
            given = [label_of(slot.condition) for slot in group.slots]
            labels = [resize_label(*label, size) for label, size in zip(given, sizes, strict=True)]
            return self._samples(group, seed, None, labels)
        drawn = self._draw(group, seed)
        maps = [drawn[slot.position, :, :h, :w] for slot, (h, w) in zip(group.slots, sizes, strict=True)]
        kept = maps if self.settings.painted_from == "structure" else None
        return Unread([partial(self.coding.decode, each) for each in maps], partial(self._samples, group, seed, kept))

    def _samples(
        self, group: Group, seed: int, structures: Sequence[Channels] | None, labels: Sequence[Label]
    ) -> list[tuple[int, Sample]]:
        """The images of labels; structures (c h w): what they are painted from, unless from the labels themselves."""
        maps = structures or [self.coding.encode(*label) for label in labels]
        images = self._paint(group, seed, [self.coding.as_condition(each) for each in maps])
        return [
            (slot.k, sample_of(self, slot, seed, image, *label))
            for slot, image, label in zip(group.slots, images, labels, strict=True)
        ]

    def _draw(self, group: Group, seed: int) -> Channels:
        """Sampled structures (b c h w) of a group."""
        shapes = {structure.GROUP: (self.coding.channels, *group.size)}
        noise = SlotNoise(group, shapes, seed, self._fabric.device, stage=0)
        found = structure.draw(self._fabric, self._structures, noise, self.settings.structure)
        return np.asarray(found.float().cpu().numpy())

    def _paint(self, group: Group, seed: int, given: Sequence[Channels]) -> list[Image]:
        """The images of some structures (c h w), each of its own size."""
        condition = torch.zeros(group.width, self.coding.channels, *group.size)
        for slot, maps in zip(group.slots, given, strict=True):
            condition[slot.position] = torch.from_numpy(padded(maps, group.size))
        noise = SlotNoise(group, {mask_to_image.GROUP: (3, *group.size)}, seed, self._fabric.device, stage=1)
        painted = mask_to_image.paint(
            self._fabric, self._painter, condition.to(self._fabric.device), noise, self.settings.image
        )
        images = rgb(painted)
        return [
            images[slot.position, : maps.shape[1], : maps.shape[2]]
            for slot, maps in zip(group.slots, given, strict=True)
        ]


class _Windows:
    """Batches of training windows: step i of a stage is a function of (seed, i, stage) alone."""

    def __init__(self, crops: Crops, coding: StructureCoding, settings: NuDiffSettings, seed: int) -> None:
        self._crops, self._coding, self._settings, self._seed = crops, coding, settings, seed

    def structures(self, step: int) -> Batch:
        """Structures (b c h w), and where they are known."""
        labels = [(tile.instances, tile.classes) for tile in self._draw(step, 0, self._settings.structure.training)]
        structures, known = (
            np.stack([code(*it) for it in labels]) for code in (self._coding.encode, self._coding.known)
        )
        return structures, known

    def images(self, step: int) -> Batch:
        """Images (b 3 h w) in [-1, 1], and the structures that they are to be painted from."""
        tiles = self._draw(step, 1, self._settings.image.training)
        given = [self._coding.as_condition(self._coding.encode(tile.instances, tile.classes)) for tile in tiles]
        return np.stack([network_image(tile.image) for tile in tiles]), np.stack(given)

    def _draw(self, step: int, stage: int, training: TrainingSettings) -> list[Sample]:
        generator = generator_of(self._seed, step, stage)
        return [self._crops.draw(generator) for _ in range(training.batch)]


def coding_of(settings: NuDiffSettings, slots: Slots, mpp: float | None = None) -> StructureCoding:
    """The coding that some settings ask for; mpp: of the tiles, where the settings state none."""
    return StructureCoding(
        slots,
        settings.coding,
        settings.mpp or mpp,
        settings.hypotheses,
        settings.smallest_um2,
        settings.vectors_from_um2,
    )
