"""What methods share that are a painter of labels: trained on windows of real tiles, which they keep to paint for.

A method says which labels it paints for unless some are given (`default_conditions`), and how a group of them is made.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Generic, Self, TypeVar

import torch
from lightning_fabric import Fabric
from torch import Tensor

from nucleosynth.conditions.edges import label_width
from nucleosynth.config import Settings
from nucleosynth.data.crops import Crops
from nucleosynth.methods.batches import Group, Slot, SlotNoise, in_order, own_size
from nucleosynth.methods.facts import Facts
from nucleosynth.methods.kept import keep, kept
from nucleosynth.methods.painting import Batch, label_maps, label_of, rgb, training_batch
from nucleosynth.methods.provenance import Origin
from nucleosynth.methods.results import sample_of
from nucleosynth.methods.sheets import write_pairs
from nucleosynth.methods.tiles import TileSettings
from nucleosynth.nets.count import StageCost
from nucleosynth.nets.spade import SpadeADM
from nucleosynth.run import Run
from nucleosynth.sample import Condition, Image, Sample
from nucleosynth.seeds import generator_of, seed_of
from nucleosynth.stages.mask_to_image import GROUP, MaskToImageSettings, MaskToImageStage, cost, paint
from nucleosynth.training.loop import train


class LabelPainterSettings(MaskToImageSettings, TileSettings):
    """Everything that a run of such a method is decided by."""

    @property
    def stride(self) -> int:
        """The network's."""
        return self.network.stride


S = TypeVar("S", bound=LabelPainterSettings)


class LabelPainter(ABC, Generic[S]):
    """A trained painter of labels (see methods.method.Method).

    tiles: reads the training tiles, at the method's resolution, when their labels are asked for.
    """

    name: ClassVar[str]
    needs: ClassVar[frozenset[str]] = frozenset()
    takes: ClassVar[frozenset[str]] = frozenset({"instances"})
    stages: ClassVar[tuple[str, ...]] = ("image",)
    presets: ClassVar[Mapping[str, Settings]]

    def __init__(
        self,
        settings: S,
        facts: Facts,
        class_names: tuple[str, ...],
        net: SpadeADM,
        tiles: Callable[[], Sequence[Sample]],
        origin: Origin,
        fabric: Fabric,
    ) -> None:
        self.settings, self.facts, self.class_names, self.origin = settings, facts, class_names, origin
        self._net, self._tiles, self._fabric = net.eval(), tiles, fabric
        self.size, self.mpp = settings.size, settings.mpp

    @classmethod
    def check_tiles(cls, tiles: Sequence[Sample], settings: S, class_names: Sequence[str]) -> None:
        """Refuse training tiles, at the method's resolution, that there would be nothing to paint for.

        Raises:
            UserError: see above.
        """

    @classmethod
    def fit(cls, samples: Sequence[Sample], settings: S, run: Run, fabric: Fabric) -> Self:
        """Train on windows of tiles, resampled as the settings say; the tiles stay in the run folder.

        Raises:
            UserError: the tiles show nothing to paint for.
        """
        tiles, record = settings.resampled(samples), run.record
        cls.check_tiles(tiles, settings, record.class_names)
        facts = Facts.of(tiles)
        keep(run, tiles)
        run.write_facts(facts.model_dump())
        torch.manual_seed(seed_of(record.seed))
        stage, windows = cls._stage(settings, facts), Crops(tiles, settings.tile)

        def batch_at(step: int) -> Batch:
            return training_batch(windows, facts.slots, generator_of(record.seed, step), settings.training.batch)

        training = Origin.in_training(cls.name)
        model = cls(settings, facts, record.class_names, stage.averaged_net, lambda: tiles, training, fabric)
        show = partial(write_pairs, run, model)
        train(stage, batch_at, budget=record.budget, run=run, fabric=fabric, picture=show)
        model.origin = Origin.of(run)
        return model

    @classmethod
    def load(cls, run: Run, fabric: Fabric) -> Self:
        """The trained network of a run folder: its moving average."""
        settings: Any = type(cls.presets["tiny"]).model_validate(run.record.settings)
        facts = Facts.model_validate(run.read_facts())
        net = cls._stage(settings, facts).trained(run, cls.name, fabric)
        return cls(settings, facts, run.record.class_names, net, partial(kept, run), Origin.of(run), fabric)

    @abstractmethod
    def default_conditions(self, seed: int, start: int = 0, size: tuple[int, int] | None = None) -> Iterator[Condition]:
        """Endless labels to paint for (see methods.method.Method.default_conditions)."""

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
    def cost(cls, settings: S, size: int, classes: int) -> list[StageCost]:
        """One stage; an image from noise."""
        return [cost(settings, label_width(classes), size, cls.stages[0])]

    @classmethod
    def _stage(cls, settings: S, facts: Facts) -> MaskToImageStage:
        return MaskToImageStage(cls.stages[0], settings, label_width(facts.slots.count))

    def _make(self, group: Group, seed: int) -> list[tuple[int, Sample]]:
        """The samples of a group, painted from noise."""
        return self._painted(group, seed)

    def _painted(
        self, group: Group, seed: int, start: Tensor | None = None, share: float = 1.0
    ) -> list[tuple[int, Sample]]:
        """The network's part for a group, then each sample's; start, share: as of stages.mask_to_image.paint."""
        device = self._fabric.device
        maps = label_maps(group, self.facts.slots, self.mpp).to(device)
        noise = SlotNoise(group, {GROUP: (3, *group.size)}, seed, device)
        images = rgb(paint(self._fabric, self._net, maps, noise, self.settings, start=start, share=share))
        return [(slot.k, self._sample(slot, images[slot.position], seed)) for slot in group.slots]

    def _sample(self, slot: Slot, image: Image, seed: int) -> Sample:
        """The painted image with its label."""
        height, width = own_size(slot.condition, self.mpp)
        return sample_of(self, slot, seed, image[:height, :width], *label_of(slot.condition))
