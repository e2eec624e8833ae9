"""What methods share that are a painter of labels: trained on windows of real tiles, which they keep to paint for.

A method says what its stage is and how images are painted for maps; it may say which labels it paints for unless some
are given, what its network sees of a window, what it wants to know of the tiles, and what it trains before.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from itertools import count as naturals
from typing import Any, ClassVar, Generic, Protocol, Self, TypeVar

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from nucleosynth.config import Settings
from nucleosynth.data.crops import Crops
from nucleosynth.methods.batches import Group, Slot, in_order, own_size
from nucleosynth.methods.facts import Facts
from nucleosynth.methods.kept import keep, kept, kept_windows
from nucleosynth.methods.painting import label_maps, label_of, rgb, training_batch
from nucleosynth.methods.provenance import Origin
from nucleosynth.methods.results import sample_of
from nucleosynth.methods.sheets import write_pairs
from nucleosynth.methods.tiles import TileSettings
from nucleosynth.nets.count import StageCost
from nucleosynth.run import Budget, Run
from nucleosynth.sample import Condition, Image, Sample
from nucleosynth.seeds import generator_of, seed_of
from nucleosynth.training.loop import Stage, train

LABEL_KEY = 1
"""Beside (seed, k): which window's label sample k is painted for; its noise has 0."""


class LabelPainterSettings(TileSettings):
    """Everything that a run of such a method is decided by."""

    @property
    @abstractmethod
    def windows(self) -> int:
        """Windows a training step."""


S = TypeVar("S", bound=LabelPainterSettings)
Net = TypeVar("Net", bound=nn.Module)
Painted = TypeVar("Painted", bound=nn.Module, covariant=True)


class PainterStage(Stage, Protocol[Painted]):
    """A stage that paints: stages.training.AveragedStage and stages.game.Game have these."""

    @property
    def averaged_net(self) -> Painted:
        """The network that generates."""

    def trained(self, run: Run, method: str, fabric: Fabric) -> Painted:
        """The network that generates, from a method's run."""


class LabelPainter(ABC, Generic[S, Net]):
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
        stage: PainterStage[Net],
        tiles: Callable[[], Sequence[Sample]],
        origin: Origin,
        fabric: Fabric,
    ) -> None:
        self.settings, self.facts, self.class_names, self.origin = settings, facts, class_names, origin
        self._net, self._tiles, self._fabric = stage.averaged_net.eval(), tiles, fabric
        self.size, self.mpp = settings.size, settings.mpp

    @classmethod
    @abstractmethod
    def _stage(cls, settings: S, facts: Facts, run: Run, fabric: Fabric) -> PainterStage[Net]:
        """The stage that paints, untrained."""

    @abstractmethod
    def _paint(self, group: Group, maps: Tensor, seed: int) -> Tensor:
        """Images (b 3 h w) in [-1, 1] for the labels of a group, (b c h w) on the device (methods.painting)."""

    @classmethod
    def facts_of(cls, tiles: Sequence[Sample], settings: S) -> Facts:
        """What the method learns of its tiles before training."""
        return Facts.of(tiles)

    @classmethod
    def read_facts(cls, run: Run) -> Facts:
        """What a run learned."""
        return Facts.model_validate(run.read_facts())

    @classmethod
    def batch_of(cls, windows: Crops, settings: S, facts: Facts, generator: np.random.Generator) -> Any:
        """What one training step sees: images and labels (methods.painting.training_batch)."""
        return training_batch(windows, facts.slots, generator, settings.windows)

    @classmethod
    def check(cls, tiles: Sequence[Sample], settings: S, run: Run) -> None:
        """Refuse training tiles, at the method's resolution, that there would be nothing to paint for.

        Raises:
            UserError: see above.
        """

    @classmethod
    def before(cls, tiles: Sequence[Sample], settings: S, facts: Facts, run: Run, fabric: Fabric) -> Budget:
        """Train what the painting stage needs, if anything; what of the run's budget is left for painting."""
        return run.record.budget

    @classmethod
    def beside(cls, stage: PainterStage[Net]) -> Mapping[str, str]:
        """What the checkpoint is to say beside its weights (training.checkpoint)."""
        return {}

    @classmethod
    def fit(cls, samples: Sequence[Sample], settings: S, run: Run, fabric: Fabric) -> Self:
        """Train on windows of tiles, resampled as the settings say; the tiles stay in the run folder.

        Raises:
            UserError: the tiles show nothing to paint for.
        """
        tiles, record = settings.resampled(samples), run.record
        cls.check(tiles, settings, run)
        facts = cls.facts_of(tiles, settings)
        keep(run, tiles)
        run.write_facts(facts.model_dump())
        budget = cls.before(tiles, settings, facts, run, fabric)
        torch.manual_seed(seed_of(record.seed))
        stage, windows = cls._stage(settings, facts, run, fabric), Crops(tiles, settings.tile)

        def batch_at(step: int) -> Any:
            return cls.batch_of(windows, settings, facts, generator_of(record.seed, step))

        training = Origin.in_training(cls.name)
        model = cls(settings, facts, record.class_names, stage, lambda: tiles, training, fabric)
        show, beside = partial(write_pairs, run, model), cls.beside(stage)
        train(stage, batch_at, budget=budget, run=run, fabric=fabric, picture=show, beside=beside)
        model.origin = Origin.of(run)
        return model

    @classmethod
    def load(cls, run: Run, fabric: Fabric) -> Self:
        """The trained network of a run folder: its moving average."""
        settings: Any = type(cls.presets["tiny"]).model_validate(run.record.settings)
        facts = cls.read_facts(run)
        stage = cls._stage(settings, facts, run, fabric)
        stage.trained(run, cls.name, fabric)
        return cls(settings, facts, run.record.class_names, stage, cache(partial(kept, run)), Origin.of(run), fabric)

    def default_conditions(self, seed: int, start: int = 0, size: tuple[int, int] | None = None) -> Iterator[Condition]:
        """Labels of windows of the training tiles, drawn by (seed, k), with their captions for methods that take some.

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
                caption=(window.caption or None) if "caption" in self.takes else None,
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
    @abstractmethod
    def cost(cls, settings: S, size: int, classes: int) -> list[StageCost]:
        """What each stage costs for an image of size^2 (see methods.method.Method.cost)."""

    def _make(self, group: Group, seed: int) -> list[tuple[int, Sample]]:
        """The samples of a group, each with its k."""
        return self._samples(group, self._paint(group, self._maps(group), seed), seed)

    def _maps(self, group: Group) -> Tensor:
        """The labels of a group (b c h w), on the device."""
        return label_maps(group, self.facts.slots, self.mpp).to(self._fabric.device)

    def _samples(self, group: Group, images: Tensor, seed: int) -> list[tuple[int, Sample]]:
        """What was painted for a group, (b 3 h w) in [-1, 1], as samples."""
        pictures = rgb(images)
        return [(slot.k, self._sample(slot, pictures[slot.position], seed)) for slot in group.slots]

    def _sample(self, slot: Slot, image: Image, seed: int) -> Sample:
        """The painted image with its label."""
        height, width = own_size(slot.condition, self.mpp)
        return sample_of(self, slot, seed, image[:height, :width], *label_of(slot.condition))
