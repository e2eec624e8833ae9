"""DiffMix (Oh and Jeong, "DiffMix: diffusion model-based data augmentation for synthesizing nuclei segmentation and
classification in imbalanced pathology image datasets", MICCAI 2023).

A painter as SDM's, trained on real tiles, paints images for perturbed real labels in which rare classes are frequent
(layouts.perturbation). It begins from the perturbed image, part of the way to noise (SDEdit, Meng et al., ICLR 2022),
so tissue and stain stay the tile's; given labels begin from their own images. Without one, painting begins from noise.

Where this departs from the released code: any class table and target proportions; nuclei stay disjoint, and what was
changed stands in each sample's provenance; windows are perturbed as they are drawn, with room around them, not tiles
before they are cut; the painter is guided against a condition that says it is absent; a path takes half the steps.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from itertools import count as naturals
from typing import Any, ClassVar, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from nucleosynth.conditions.edges import label_width
from nucleosynth.config import Settings
from nucleosynth.data.crops import network_image
from nucleosynth.data.tiles import resize_image
from nucleosynth.layouts.donors import Donors
from nucleosynth.layouts.perturbation import PerturbationSettings, perturbed, shares_of
from nucleosynth.methods.batches import Group, Slot, own_size, padded
from nucleosynth.methods.diffusion_painter import DiffusionPainter, DiffusionPainterSettings
from nucleosynth.methods.kept import kept_windows
from nucleosynth.nets.adm import BASE, PAPER
from nucleosynth.nets.count import StageCost
from nucleosynth.run import Run
from nucleosynth.sample import Condition, Image, Sample
from nucleosynth.seeds import generator_of
from nucleosynth.stages.denoising import PUBLISHED, Denoising
from nucleosynth.stages.mask_to_image import PUBLISHED_TRAINING, PaintingSampling, PaintingTraining, cost

WINDOWS_KEY = 1
"""Beside (seed, k): the window of sample k and its changes; its noise has 0."""


class DiffMixSettings(DiffusionPainterSettings):
    """Everything that a run of DiffMix is decided by."""

    perturbation: PerturbationSettings = PerturbationSettings()
    begin: float = Field(0.86, gt=0, le=1)
    """Share of the clocks whose noise a perturbed image gets before it is painted anew; 1 = all of them. 0.55 of the
    linear schedule is as much noise as 0.86 of the cosine one."""


PRESETS = {
    "tiny": DiffMixSettings(),
    "base": DiffMixSettings(
        tile=256,
        mpp=0.25,
        network=BASE,
        denoising=Denoising(target="v"),
        training=PaintingTraining(batch=32, learning_rate=5e-4, warmup=500, decay=0.3, ema=0.9995),
        sampling=PaintingSampling(steps=25, guidance=1.5),
    ),
    "paper": DiffMixSettings(
        tile=256,
        mpp=0.25,
        perturbation=PerturbationSettings(ratio=2.3, added=0),
        begin=0.55,
        network=PAPER,
        denoising=PUBLISHED,
        training=PUBLISHED_TRAINING,
        sampling=PaintingSampling(sampler="ddim", steps=50, spacing="even", guidance=1.5),
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


class DiffMix(DiffusionPainter[DiffMixSettings]):
    """A trained DiffMix (see methods.method.Method)."""

    name: ClassVar[str] = "diffmix"
    takes: ClassVar[frozenset[str]] = frozenset({"instances", "begin"})
    presets: ClassVar[Mapping[str, Settings]] = PRESETS
    published_classes: ClassVar[int] = 4

    @classmethod
    def check(cls, tiles: Sequence[Sample], settings: DiffMixSettings, run: Run) -> None:
        """Refuse tiles without whole nuclei to perturb labels with, or without the classes that are aimed at.

        Raises:
            UserError: see above.
        """
        _sources(tiles, settings.perturbation, run.record.class_names)

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
        made = []
        if begun:
            part = replace(group, slots=begun)
            starts = self._starts(part).to(self._fabric.device)
            made += self._samples(part, self._paint(part, self._maps(part), seed, starts, self.settings.begin), seed)
        return made + (super()._make(replace(group, slots=rest), seed) if rest else [])

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
        made = super()._sample(slot, image, seed)
        record = slot.condition.record if isinstance(slot.condition, PerturbedLabel) else None
        return replace(made, provenance={**made.provenance, "perturbation": dict(record)}) if record else made


def _sources(tiles: Sequence[Sample], settings: PerturbationSettings, class_names: Sequence[str]) -> _Sources:
    donors = Donors(tiles, settings.room(tiles[0].mpp))
    return _Sources(tiles, donors, shares_of(settings, class_names, donors))
