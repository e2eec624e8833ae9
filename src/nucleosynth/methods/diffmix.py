"""DiffMix (Oh and Jeong, "DiffMix: diffusion model-based data augmentation for synthesizing nuclei segmentation and
classification in imbalanced pathology image datasets", MICCAI 2023).

A painter as SDM's, trained on real tiles, paints images for perturbed real labels in which rare classes are frequent
(layouts.perturbation). It begins from the perturbed image, part of the way to noise (SDEdit, Meng et al., ICLR 2022),
so tissue and stain stay the tile's; given labels begin from their own images. Without one, painting begins from noise.

Where this departs from the released code: any class table and target proportions; nuclei stay disjoint, and what was
changed stands in each sample's provenance; windows are perturbed as they are drawn, with room around them, not tiles
before they are cut; the painter is guided against a condition that says it is absent; a path takes half the steps.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial
from itertools import count as naturals
from typing import Any, ClassVar, NamedTuple, Self

import torch
from lightning_fabric import Fabric
from pydantic import Field
from torch import Tensor

from nucleosynth.conditions.edges import label_width
from nucleosynth.config import Settings
from nucleosynth.data.crops import Crops
from nucleosynth.data.tiles import resize_image
from nucleosynth.layouts.donors import Donors
from nucleosynth.layouts.perturbation import PerturbationSettings, perturbed, shares_of
from nucleosynth.methods.batches import Group, Slot, SlotNoise, in_order, own_size, padded
from nucleosynth.methods.facts import Facts
from nucleosynth.methods.kept import keep, kept, kept_windows
from nucleosynth.methods.painting import Batch, label_maps, label_of, network_image, painter, rgb, training_batch
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

WINDOWS_KEY = 1
"""Beside (seed, k): the window of sample k and its changes; its noise has 0."""


class DiffMixSettings(MaskToImageSettings, TileSettings):
    """Everything that a run of DiffMix is decided by."""

    perturbation: PerturbationSettings = PerturbationSettings()
    begin: float = Field(0.86, gt=0, le=1)
    """Share of the clocks whose noise a perturbed image gets before it is painted anew; 1 = all of them. 0.55 of the
    linear schedule is as much noise as 0.86 of the cosine one."""

    @property
    def stride(self) -> int:
        """The network's."""
        return self.network.stride


PRESETS = {
    "tiny": DiffMixSettings(),
    "base": DiffMixSettings(
        tile=256,
        mpp=0.25,
        network=BASE,
        denoising=Denoising(target="v"),
        training=PaintingTraining(batch=32, learning_rate=5e-4, warmup=500, decay=0.3, ema=0.9995),
        sampling=PaintingSampling(steps=25),
    ),
    "paper": DiffMixSettings(
        tile=256,
        mpp=0.25,
        perturbation=PerturbationSettings(ratio=2.3, added=0),
        begin=0.55,
        network=PAPER,
        denoising=PUBLISHED,
        training=PUBLISHED_TRAINING,
        sampling=PaintingSampling(sampler="ddim", steps=50),
    ),
}
"""Released: "paper" with sampling.steps=100, so that 55 guided steps are taken."""


@dataclass(frozen=True, eq=False)
class PerturbedLabel(Condition):
    """A label to paint an image for, beginning from the perturbed image.

    record: what `Sample.provenance["perturbation"]` will say.
    """

    record: Mapping[str, Any] = field(default_factory=dict)


class _Sources(NamedTuple):
    """What labels are perturbed with."""

    tiles: Sequence[Sample]
    donors: Donors
    shares: Mapping[int, float]


class DiffMix:
    """A trained DiffMix (see methods.method.Method)."""

    name: ClassVar[str] = "diffmix"
    needs: ClassVar[frozenset[str]] = frozenset()
    takes: ClassVar[frozenset[str]] = frozenset({"instances", "begin"})
    stages: ClassVar[tuple[str, ...]] = ("image",)
    presets: ClassVar[Mapping[str, Settings]] = PRESETS
    published_classes: ClassVar[int] = 4

    def __init__(
        self,
        settings: DiffMixSettings,
        facts: Facts,
        class_names: tuple[str, ...],
        net: SpadeADM,
        tiles: Callable[[], Sequence[Sample]],
        origin: Origin,
        fabric: Fabric,
    ) -> None:
        """tiles: reads the training tiles, at the method's resolution, when labels are to be perturbed."""
        self.settings, self.facts, self.class_names, self.origin = settings, facts, class_names, origin
        self._net, self._tiles, self._fabric = net.eval(), tiles, fabric
        self.size, self.mpp = settings.size, settings.mpp

    @classmethod
    def fit(cls, samples: Sequence[Sample], settings: DiffMixSettings, run: Run, fabric: Fabric) -> Self:
        """Train on tiles, cut and resampled as the settings say, and keep them to perturb.

        Raises:
            UserError: the tiles show no whole nuclei to perturb labels with, or not the classes that are aimed at.
        """
        tiles = settings.resampled(samples)
        _sources(tiles, settings.perturbation, run.record.class_names)
        facts, seed = Facts.of(tiles), run.record.seed
        run.write_facts(facts.model_dump())
        keep(run, tiles)
        torch.manual_seed(seed_of(seed))
        stage, windows = painter(cls.stages[0], settings, facts.slots), Crops(tiles, settings.tile)

        def batch_at(step: int) -> Batch:
            return training_batch(windows, facts.slots, generator_of(seed, step), settings.training.batch)

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
        settings = DiffMixSettings.model_validate(run.record.settings)
        facts = Facts.model_validate(run.read_facts())
        stage = painter(cls.stages[0], settings, facts.slots)
        checkpoint.load(run.checkpoint(stage.name), f"{cls.name}/{stage.name}", {"average": stage.average})
        net = stage.averaged_net.to(fabric.device)
        return cls(settings, facts, run.record.class_names, net, partial(kept, run), Origin.of(run), fabric)

    def default_conditions(self, seed: int, start: int = 0, size: tuple[int, int] | None = None) -> Iterator[Condition]:
        """Windows of the training tiles, perturbed: of each, and of what is done to it, (seed, k) decides.

        A window is drawn wider by the border that perturbation leaves alone, so that it has none left itself.

        Raises:
            UserError: a size above those of training and of every training tile.
        """
        height, width = size or self.size
        settings, sources = self.settings.perturbation, self._sources
        border = settings.px(settings.border_um, sources.tiles[0].mpp)
        crops = kept_windows(sources.tiles, (height, width), self.size, border)

        def label(k: int) -> Condition:
            generator = generator_of(seed, k, WINDOWS_KEY)
            window = crops.draw(generator)
            found, changes = perturbed(window, sources.donors, sources.shares, settings, generator)
            tile = found.crop(border, border, height, width)
            seen = (each.seen_from(border, border) for each in changes)
            shown = [asdict(each) for each in seen if each.x < width and each.y < height]
            return PerturbedLabel(
                (height, width),
                tile.mpp,
                self.class_names,
                tile.tissue,
                tile.stain,
                instances=tile.instances,
                classes=tile.classes,
                source=tile.source,
                begin=tile.image,
                record={"tile": tile.sample_id, "changes": shown},
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
    def cost(cls, settings: DiffMixSettings, size: int, classes: int) -> list[StageCost]:
        """One stage; an image from where a perturbed one begins."""
        return [cost(settings, label_width(classes), size, cls.stages[0], settings.begin)]

    @cached_property
    def _sources(self) -> _Sources:
        return _sources(self._tiles(), self.settings.perturbation, self.class_names)

    def _make(self, group: Group, seed: int) -> list[tuple[int, Sample]]:
        """The samples of a group; those that begin from an image go apart from those that begin from noise."""
        begun = tuple(slot for slot in group.slots if slot.condition.begin is not None)
        rest = tuple(slot for slot in group.slots if slot.condition.begin is None)
        return [pair for slots in (begun, rest) if slots for pair in self._paint(replace(group, slots=slots), seed)]

    def _paint(self, group: Group, seed: int) -> list[tuple[int, Sample]]:
        """Samples of slots that all begin alike."""
        device = self._fabric.device
        begins = group.slots[0].condition.begin is not None
        painted = paint(
            self._fabric,
            self._net,
            label_maps(group, self.facts.slots, self.mpp).to(device),
            SlotNoise(group, {GROUP: (3, *group.size)}, seed, device),
            self.settings,
            start=self._starts(group).to(device) if begins else None,
            share=self.settings.begin if begins else 1.0,
        )
        images = rgb(painted)
        return [(slot.k, self._sample(slot, images[slot.position], seed)) for slot in group.slots]

    def _starts(self, group: Group) -> Tensor:
        """(b 3 h w) the images that the slots of a group begin from; empty places are 0."""
        starts = torch.zeros(group.width, 3, *group.size)
        for slot in group.slots:
            begin = slot.condition.begin
            assert begin is not None, "the group's slots begin from images"
            image = network_image(resize_image(begin, own_size(slot.condition, self.mpp)))
            starts[slot.position] = torch.from_numpy(padded(image, group.size))
        return starts

    def _sample(self, slot: Slot, image: Image, seed: int) -> Sample:
        """The painted image with its label, and what was changed in it."""
        height, width = own_size(slot.condition, self.mpp)
        made = sample_of(self, slot, seed, image[:height, :width], *label_of(slot.condition))
        record = slot.condition.record if isinstance(slot.condition, PerturbedLabel) else None
        return replace(made, provenance={**made.provenance, "perturbation": dict(record)}) if record else made


def _sources(tiles: Sequence[Sample], settings: PerturbationSettings, class_names: Sequence[str]) -> _Sources:
    donors = Donors(tiles, settings.room(tiles[0].mpp))
    return _Sources(tiles, donors, shares_of(settings, class_names, donors))
