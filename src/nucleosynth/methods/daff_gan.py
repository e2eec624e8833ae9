"""DAFF-GAN: a random layout of points is made a mask, the mask an image, by two pix2pixHD of one kind.

Cheng et al., "Deep adversarial image synthesis for nuclei segmentation of histopathology image". Three stages behind
one `fit`: a library of the training tiles' points with six random transforms (layouts.library), a generator of masks,
a generator of images. Both generators are pix2pixHD's with criss-cross attention and a long skip.

There is no public code. Ours, where the paper is silent: the transforms' ranges; a mask is logits of the classes and a
distance, learned beside the game by cross-entropy too, and its nuclei are grown from the points, one for each
(conditions.mask_coding); the image is painted for the label of those nuclei with their edges, as for a real one; noise
beside points and label, so that one layout has many masks, and one mask many images. One critic of three scales judges
all phases, where the paper has two scales for the global generator.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import count as naturals
from typing import ClassVar, Self

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor

from nucleosynth.conditions.edges import label_channels, label_width
from nucleosynth.conditions.mask_coding import PUBLISHED_MPP, MaskCoding
from nucleosynth.conditions.points import from_instances
from nucleosynth.conditions.slots import Slots
from nucleosynth.config import Settings
from nucleosynth.data.crops import Crops
from nucleosynth.data.tiles import resize_label, resize_points
from nucleosynth.encoders import vgg
from nucleosynth.layouts.asking import condition_of
from nucleosynth.layouts.library import Library
from nucleosynth.methods.batches import Group, Slot, SlotNoise, in_order, own_size, padded
from nucleosynth.methods.daff_gan_presets import PRESETS, DaffGanSettings
from nucleosynth.methods.facts import Facts, common
from nucleosynth.methods.game_painter import GameFacts, check_resumed, told
from nucleosynth.methods.painting import label_of, rgb, training_batch
from nucleosynth.methods.provenance import Origin
from nucleosynth.methods.reading import Label, Unread
from nucleosynth.methods.results import sample_of
from nucleosynth.methods.sheets import PAIRS, write_pairs, write_sheet
from nucleosynth.nets.count import StageCost
from nucleosynth.run import Run
from nucleosynth.sample import Condition, Layout, Sample
from nucleosynth.seeds import generator_of, seed_of
from nucleosynth.stages import image_to_image
from nucleosynth.stages.image_to_image import Batch, ImageToImageStage, Phased, paint
from nucleosynth.stages.points_to_mask import errors, shown
from nucleosynth.training.loop import train

MASK, IMAGE = "mask", "image"
LIBRARY = "library.parquet"
"""The points of the training tiles, in the run folder."""


class DaffGan:
    """A trained DAFF-GAN (see methods.method.Method)."""

    name: ClassVar[str] = "daff_gan"
    needs: ClassVar[frozenset[str]] = frozenset()
    takes: ClassVar[frozenset[str]] = frozenset({"points", "instances"})
    stages: ClassVar[tuple[str, ...]] = (MASK, IMAGE)
    presets: ClassVar[Mapping[str, Settings]] = PRESETS
    published_classes: ClassVar[int] = 4

    def __init__(
        self,
        settings: DaffGanSettings,
        facts: GameFacts,
        class_names: tuple[str, ...],
        masks: Phased,
        images: Phased,
        library: Library,
        origin: Origin,
        fabric: Fabric,
    ) -> None:
        self.settings, self.facts, self.class_names, self.origin = settings, facts, class_names, origin
        self.coding = coding_of(settings, facts.slots, facts.mpp)
        self._masks, self._images, self._library, self._fabric = masks.eval(), images.eval(), library, fabric
        self.size, self.mpp = settings.size, settings.mpp

    @classmethod
    def fit(cls, samples: Sequence[Sample], settings: DaffGanSettings, run: Run, fabric: Fabric) -> Self:
        """Train on tiles, cut and resampled as the settings say: the library, then masks, then images.

        Raises:
            UserError: tiles without nuclei, or of a resolution that is not known and asked for; or a run that is
                resumed with another perceptual loss.
        """
        tiles, record = settings.resampled(samples), run.record
        check_resumed(settings.image.training, run, IMAGE)
        library = Library.of(tiles, PUBLISHED_MPP, held_out=())  # what `fit` is given is not held out
        facts = GameFacts.model_validate(common(tiles) | told(settings.image.training))
        library.write(run.folder / LIBRARY)
        run.write_facts(facts.model_dump())
        torch.manual_seed(seed_of(record.seed))
        first, second = stages_of(settings, facts)
        nets, training = (first.averaged_net, second.averaged_net), Origin.in_training(cls.name)
        model = cls(settings, facts, record.class_names, *nets, library, training, fabric)
        windows = _Windows(Crops(tiles, settings.tile), model.coding, settings, record.seed)

        def sketch(step: int) -> None:
            write_sheet(run, model.masks(PAIRS), step, MASK)

        budget, share = record.budget, settings.mask_share
        show = partial(write_pairs, run, model, name="pair")
        train(first, windows.masks, budget=budget.part(share), run=run, fabric=fabric, picture=sketch)
        train(second, windows.images, budget=budget.part(1 - share), run=run, fabric=fabric, picture=show)
        model.origin = Origin.of(run)
        return model

    @classmethod
    def load(cls, run: Run, fabric: Fabric) -> Self:
        """The trained networks of a run folder, their moving averages, and its library."""
        settings = DaffGanSettings.model_validate(run.record.settings)
        facts = GameFacts.model_validate(run.read_facts())
        masks, images = (stage.trained(run, cls.name, fabric) for stage in stages_of(settings, facts))
        library = Library.read(run.folder / LIBRARY)
        return cls(settings, facts, run.record.class_names, masks, images, library, Origin.of(run), fabric)

    def default_conditions(self, seed: int, start: int = 0, size: tuple[int, int] | None = None) -> Iterator[Condition]:
        """Layouts that are sampled from the library: layout k from (seed, k) alone."""
        asked = Condition(size or self.size, self.facts.mpp if self.mpp is None else self.mpp, self.class_names)
        return (self._laid_out(asked, seed, k) for k in naturals(start))

    def generate(
        self, conditions: Iterator[Condition], seed: int, *, count: int, start: int = 0, batch: int = 16
    ) -> Iterator[Sample]:
        """One sample a condition, in order (see methods.method.Method.generate).

        A condition that gives neither points nor a label gets a sampled layout.

        Raises:
            UserError: a condition with classes that training never saw.
        """
        asked = (
            condition if condition.given() & self.takes else self._laid_out(condition, seed, k)
            for k, condition in enumerate(self.facts.known(conditions), start=start)
        )
        make = partial(self._make, seed=seed)
        return in_order(asked, make, self.settings, count=count, start=start, batch=batch)

    @classmethod
    def cost(cls, settings: DaffGanSettings, size: int, classes: int) -> list[StageCost]:
        """Both generators, one pass each."""
        coding = coding_of(settings, Slots(tuple(range(1, classes + 1))))
        return [
            image_to_image.cost(settings.mask, coding.point_channels, coding.mask_channels, size, MASK),
            image_to_image.cost(settings.image, label_width(classes), 3, size, IMAGE),
        ]

    def _laid_out(self, asked: Condition, seed: int, k: int) -> Condition:
        """The condition with the points of layout k."""
        mpp = next((mpp for mpp in (asked.mpp, self.mpp, self.facts.mpp) if mpp), PUBLISHED_MPP)
        extent = (asked.size[0] * mpp, asked.size[1] * mpp)
        pattern = next(self._library.sample(seed, extent, self.settings.layouts, k))
        found = condition_of(pattern, mpp, stated=asked.mpp is not None)
        return replace(
            asked,
            points=found.points,
            source=found.source,
            licence=found.licence,
            operations=found.operations,
        )

    def _make(self, group: Group, seed: int) -> list[tuple[int, Sample]] | Unread:
        """Labels of a group, given or made, then their images."""
        if "instances" in group.given:
            return self._samples(group, seed, self._given(group))
        layouts = [self._layout(slot) for slot in group.slots]
        masks = zip(self._drawn(group, layouts, seed), layouts, strict=True)
        return Unread([partial(self.coding.nuclei, *each) for each in masks], partial(self._samples, group, seed))

    def _samples(self, group: Group, seed: int, labels: Sequence[Label]) -> list[tuple[int, Sample]]:
        """The images of labels at the method's resolution."""
        condition = torch.zeros(group.width, label_width(self.facts.slots.count), *group.size)
        for slot, label in zip(group.slots, labels, strict=True):
            maps = label_channels(self.facts.slots, *label)
            condition[slot.position] = torch.from_numpy(padded(maps, group.size))
        images = rgb(self._painted(group, seed, condition, IMAGE))
        made = []
        for slot, (instances, classes) in zip(group.slots, labels, strict=True):
            image = images[slot.position, : instances.shape[0], : instances.shape[1]]
            made.append((slot.k, sample_of(self, slot, seed, image, instances, classes)))
        return made

    def _given(self, group: Group) -> list[Label]:
        """Given labels at the method's resolution."""
        return [resize_label(*label_of(slot.condition), own_size(slot.condition, self.mpp)) for slot in group.slots]

    def _layout(self, slot: Slot) -> Layout:
        points = slot.condition.points
        assert points is not None, "what has no label has points"
        return resize_points(points, own_size(slot.condition, self.mpp), self.mpp)

    def _drawn(self, group: Group, layouts: Sequence[Layout], seed: int) -> list[NDArray[np.float32]]:
        """A mask (c h w) for each layout, of its own size."""
        condition = torch.zeros(group.width, self.coding.point_channels, *group.size)
        for slot, layout in zip(group.slots, layouts, strict=True):
            height, width = layout.size
            condition[slot.position, :, :height, :width] = torch.from_numpy(self.coding.points(layout))
        masks = self._painted(group, seed, condition, MASK).float().cpu().numpy()
        return [
            masks[slot.position, :, : layout.size[0], : layout.size[1]]
            for slot, layout in zip(group.slots, layouts, strict=True)
        ]

    def _painted(self, group: Group, seed: int, condition: Tensor, stage: str) -> Tensor:
        """What one of the generators makes of its conditions (b c h w)."""
        net, settings = (self._masks, self.settings.mask) if stage == MASK else (self._images, self.settings.image)
        shapes, device = {stage: (settings.network.noise, *group.size)}, self._fabric.device
        noise = SlotNoise(group, shapes, seed, device, stage=self.stages.index(stage)).normal(stage)
        return paint(self._fabric, net, condition.to(device), noise, shown if stage == MASK else torch.tanh)

    def masks(self, count: int) -> list[Sample]:
        """The labels of the first pairs of seed 0: samples with a picture of the mask for an image."""
        asked = self.default_conditions(0)
        slots = tuple(Slot(k, k, next(asked)) for k in range(count))
        group = Group(slots, count, self.size, frozenset({"points"}))
        layouts = [self._layout(slot) for slot in slots]
        return [
            sample_of(self, slot, 0, self.coding.picture(mask), *self.coding.nuclei(mask, layout))
            for slot, mask, layout in zip(slots, self._drawn(group, layouts, 0), layouts, strict=True)
        ]


class _Windows:
    """Batches of training windows: step i of a stage is a function of (seed, i, stage) alone."""

    def __init__(self, crops: Crops, coding: MaskCoding, settings: DaffGanSettings, seed: int) -> None:
        self._crops, self._coding, self._settings, self._seed = crops, coding, settings, seed

    def masks(self, step: int) -> Batch:
        """Masks (b c+2 h w), and the points (b c+1 h w) that they are made of."""
        generator = generator_of(self._seed, step, 0)
        drawn = [self._crops.draw(generator) for _ in range(self._settings.mask.training.batch)]
        masks = np.stack([self._coding.mask(window.instances, window.classes) for window in drawn])
        return masks, np.stack([self._coding.points(from_instances(window)) for window in drawn])

    def images(self, step: int) -> Batch:
        """Images (b 3 h w) in [-1, 1], and the labels that they are to be painted for."""
        generator = generator_of(self._seed, step, 1)
        return training_batch(self._crops, self._coding.slots, generator, self._settings.image.training.batch)


def coding_of(settings: DaffGanSettings, slots: Slots, mpp: float | None = None) -> MaskCoding:
    """The coding that some settings ask for; mpp: of the tiles, where the settings state none."""
    return MaskCoding(slots, settings.mpp or mpp, settings.disc_px, settings.blur_px)


def stages_of(settings: DaffGanSettings, facts: Facts) -> tuple[ImageToImageStage, ImageToImageStage]:
    """The games of masks and of images, untrained."""
    coding, training = coding_of(settings, facts.slots), settings.image.training
    return (
        ImageToImageStage(
            MASK,
            settings.mask,
            coding.point_channels,
            coding.mask_channels,
            shown=shown,
            errors=partial(errors, weight=settings.likeness),
        ),
        ImageToImageStage(
            IMAGE,
            settings.image,
            label_width(facts.slots.count),
            3,
            maps=partial(vgg.load, training.perceptual_weights),
        ),
    )
