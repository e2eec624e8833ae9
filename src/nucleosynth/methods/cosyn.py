"""CoSyn: image, distance map and label made together by one diffusion, told where nuclei lie and what the tile shows.

Points and text are optional and dropped each by itself, and the numbers of nuclei of each class are a third condition
(what Semantic Palette is conditioned on: Le Moing et al., CVPR 2021, there in shares of the area). Nuclei are read from
the made distance map by watershed, from the points where they are given. Min, Oh, Jeong, "Co-synthesis of
histopathology nuclei image-label pairs using a context-conditioned joint diffusion model", ECCV 2024. Text alone on
image and label is GCDP (Park et al., ICCV 2023): presets "gcdp" and "gcdp-tiny".

Where this departs from the released code, each a setting: the exact posterior of the label, points that may be missing,
at most 50 steps. And: one integer clock for all, training windows under all eight symmetries of the square where they
were flipped, what the condition alone decides computed once a sample.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import count as naturals
from typing import Any, ClassVar, Self

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor

from nucleosynth.conditions import captions
from nucleosynth.conditions.counts import from_classes
from nucleosynth.conditions.joint_coding import JointCoding
from nucleosynth.conditions.points import from_instances
from nucleosynth.conditions.slots import Slots
from nucleosynth.config import Settings
from nucleosynth.data.crops import Crops, network_image
from nucleosynth.data.tiles import resize_points
from nucleosynth.diffusion.samplers import evaluations
from nucleosynth.encoders import identity
from nucleosynth.encoders import text as texts
from nucleosynth.encoders.text import TextEncoder
from nucleosynth.errors import UserError
from nucleosynth.methods.batches import Group, Slot, SlotNoise, in_order, own_size
from nucleosynth.methods.cosyn_presets import PRESETS, CoSynSettings
from nucleosynth.methods.facts import Facts
from nucleosynth.methods.kept import keep, kept, kept_windows
from nucleosynth.methods.painting import rgb
from nucleosynth.methods.provenance import Origin
from nucleosynth.methods.reading import Label, Read, Unread
from nucleosynth.methods.results import sample_of
from nucleosynth.methods.sheets import write_pairs
from nucleosynth.nets.cosyn import CoSynNet, Given
from nucleosynth.nets.count import StageCost
from nucleosynth.run import Run
from nucleosynth.sample import Condition, Sample
from nucleosynth.seeds import generator_of, seed_of
from nucleosynth.stages.cosyn import CoSynStage, JointBatch, build, condition, synthesise
from nucleosynth.training import checkpoint
from nucleosynth.training.loop import train

WINDOWS_KEY = 7
"""Beside (seed, k), for the window that a condition is taken from."""
FIELDS = {"points": "points", "counts": "counts", "text": "caption"}
"""Field of a Condition that gives each part."""


class CoSyn:
    """A trained CoSyn (see methods.method.Method)."""

    name: ClassVar[str] = "cosyn"
    needs: ClassVar[frozenset[str]] = frozenset()
    takes: ClassVar[frozenset[str]] = frozenset({"points", "counts", "caption", "tissue", "stain"})
    stages: ClassVar[tuple[str, ...]] = ("joint",)
    presets: ClassVar[Mapping[str, Settings]] = PRESETS
    published_classes: ClassVar[int] = 6

    def __init__(
        self,
        settings: CoSynSettings,
        facts: Facts,
        class_names: tuple[str, ...],
        net: CoSynNet,
        encoder: TextEncoder | None,
        tiles: Sequence[Sample],
        origin: Origin,
        fabric: Fabric,
    ) -> None:
        self.settings, self.facts, self.class_names, self.origin = settings, facts, class_names, origin
        self.coding = JointCoding(facts.slots, settings.point_px)
        self._net, self._encoder, self._tiles, self._fabric = net.eval(), encoder, tiles, fabric
        self.size, self.mpp = settings.size, settings.mpp

    @classmethod
    def fit(cls, samples: Sequence[Sample], settings: CoSynSettings, run: Run, fabric: Fabric) -> Self:
        """Train on tiles, cut and resampled as the settings say; they stay in the run, for their layouts.

        Raises:
            UserError: a run to go on with was begun with another text encoder.
        """
        encoder, begun = settings.encoder(), run.checkpoint(cls.stages[0])
        if encoder and begun.exists():
            identity.check(texts.KIND, encoder, checkpoint.beside(begun), str(begun))
        tiles = settings.resampled(samples)
        facts = Facts.of(tiles)
        run.write_facts(facts.model_dump())
        keep(run, tiles)
        seed, coding, crops = run.record.seed, JointCoding(facts.slots, settings.point_px), Crops(tiles, settings.tile)
        torch.manual_seed(seed_of(seed))
        stage = stage_of(settings, coding, encoder)

        def batch_at(step: int) -> JointBatch:
            generator = generator_of(seed, step)
            windows = [crops.draw(generator) for _ in range(settings.training.batch)]
            return batch_of(windows, coding, encoder, generator)

        training, names = Origin.in_training(cls.name), run.record.class_names
        model = cls(settings, facts, names, stage.averaged_net, encoder, tiles, training, fabric)
        show, beside = partial(write_pairs, run, model), identity.record(texts.KIND, encoder) if encoder else {}
        train(stage, batch_at, budget=run.record.budget, run=run, fabric=fabric, picture=show, beside=beside)
        model.origin = Origin.of(run)
        return model

    @classmethod
    def load(cls, run: Run, fabric: Fabric) -> Self:
        """The trained network of a run folder: its moving average."""
        settings = CoSynSettings.model_validate(run.record.settings)
        facts, encoder = Facts.model_validate(run.read_facts()), settings.encoder()
        stage = stage_of(settings, JointCoding(facts.slots), encoder)
        net = stage.trained(run, cls.name, fabric)
        if encoder:
            path = run.checkpoint(stage.name)
            identity.check(texts.KIND, encoder, checkpoint.beside(path), str(path))
        return cls(settings, facts, run.record.class_names, net, encoder, kept(run), Origin.of(run), fabric)

    def default_conditions(self, seed: int, start: int = 0, size: tuple[int, int] | None = None) -> Iterator[Condition]:
        """The points of windows of the training tiles, drawn by (seed, k), and the sentence for them.

        A network without points, or one that was always told counts, is given how many nuclei of each class it has.

        Raises:
            UserError: a size above those of training and of every training tile.
        """
        height, width = size or self.size
        crops, without = kept_windows(self._tiles, (height, width), self.size), self.settings.without
        counted = "counts" not in without and ("points" in without or "counts" in self.settings.never_dropped)

        def layout(k: int) -> Condition:
            window = crops.draw(generator_of(seed, k, WINDOWS_KEY)).crop(0, 0, height, width)
            counts = from_classes(window.classes, len(self.class_names))
            return Condition(
                (height, width),
                window.mpp,
                self.class_names,
                tissue=window.tissue,
                stain=window.stain,
                points=None if "points" in without else from_instances(window),
                counts=counts if counted else None,
                caption=None if "text" in without else captions.of_sample(window),
            )

        return map(layout, naturals(start))

    def generate(
        self, conditions: Iterator[Condition], seed: int, *, count: int, start: int = 0, batch: int = 16
    ) -> Iterator[Sample]:
        """One sample a condition, in order (see methods.method.Method.generate).

        Raises:
            UserError: a condition gives what the network was built without, or classes that training never saw, or
                lacks what was never dropped in training.
        """
        asked, make = self.facts.known(map(self._checked, conditions)), partial(self._make, seed=seed)
        return in_order(asked, make, self.settings, count=count, start=start, batch=batch)

    @classmethod
    def cost(cls, settings: CoSynSettings, size: int, classes: int) -> list[StageCost]:
        """One stage; a pair from points and text. The text encoder, which runs once a sentence, is left out."""
        coding = JointCoding(Slots(tuple(range(1, classes + 1))))
        with torch.device("meta"):
            text = texts.published_shape(settings.text)
            net = build(settings.network, settings.diffusion, settings.sizes(coding, text))
            ids, told = torch.zeros(1, size, size, dtype=torch.int64), torch.ones(1, dtype=torch.bool)
            words = torch.empty(1, text.length, text.width) if text.words is None else ids[:, 0, : text.length]
            mask = torch.ones(words.shape[:2], dtype=torch.bool)
            amounts = torch.empty(1, 1 + len(coding.counted))
            given = condition(net, points=(ids, told), text=(words, mask, told), amounts=(amounts, told))
            state = {name: torch.empty(1, width, size, size) for name, width in net.groups.items()} | {"label": ids}
            t, features = torch.ones(1), net.encode(given)
        sampling = settings.effective_sampling
        path = evaluations(sampling.sampler, sampling.steps) * (2 if sampling.guidance != 1 else 1)
        passes = (lambda: net(state, t, given)), (lambda: net(state, t, features))
        return [StageCost.of(cls.stages[0], net, *passes, evaluations=path)]

    def _checked(self, asked: Condition) -> Condition:
        """The condition, if the network can follow it."""
        text = captions.of_condition(asked, self.facts.tissue, self.facts.stain)
        given = asked.given() | ({"caption"} if text else set())
        for part, field in FIELDS.items():
            if part in self.settings.never_dropped and field not in given:
                raise UserError(
                    f"a model that never went without {part}",
                    expected=f"conditions with {field}",
                    got=f"condition {asked.name!r} without",
                    mend=f"give {field}, or train with --set training.drop_{part}=0.1",
                )
            if part in self.settings.without and field in asked.given():
                raise UserError(
                    f"a model without {part}",
                    expected=f"conditions without {field}",
                    got=f"{field} of condition {asked.name!r}",
                    mend=f"train a model with {part}, or leave them out",
                )
        return asked

    def _make(self, group: Group, seed: int) -> Unread:
        """The network's part for a group; the nuclei of each sample are read at the method's resolution."""
        shapes = {name: (width, *group.size) for name, width in self._net.groups.items()} | {"label": group.size}
        noise = SlotNoise(group, shapes, seed, self._fabric.device)
        sentences = {
            slot.position: captions.of_condition(slot.condition, self.facts.tissue, self.facts.stain)
            for slot in group.slots
            if self._encoder
        }
        state = synthesise(
            self._fabric,
            self._net,
            self._given(group, sentences),
            noise,
            self.settings.diffusion,
            self.settings.effective_sampling,
        )
        images = rgb(state.pop("image").clamp(-1, 1))
        made = {name: part.float().cpu().numpy() for name, part in state.items()}
        reads = [self._read(slot, {name: x[slot.position] for name, x in made.items()}) for slot in group.slots]
        return Unread(reads, partial(self._samples, group, seed, images, sentences))

    def _given(self, group: Group, sentences: Mapping[int, str | None]) -> Given:
        """What the network is told of a group."""
        points = torch.zeros(group.width, *group.size, dtype=torch.int64)
        amounts = torch.zeros(group.width, 1 + len(self.coding.counted))
        pointed, counted, told = (torch.zeros(group.width, dtype=torch.bool) for _ in range(3))
        for slot in group.slots:
            asked, own = slot.condition, own_size(slot.condition, self.mpp)
            if asked.points is not None:
                ids = self.coding.points(resize_points(asked.points, own, self.mpp))
                points[slot.position, : own[0], : own[1]] = torch.from_numpy(ids)
                pointed[slot.position] = True
            if asked.counts is not None:
                share = own[0] * own[1] / self.settings.tile**2
                amounts[slot.position] = torch.from_numpy(self.coding.amounts(asked.counts, share))
                counted[slot.position] = True
            told[slot.position] = sentences.get(slot.position) is not None
        text: tuple[Tensor, Tensor, Tensor] | None = None
        if self._encoder:
            text = (*self._encoder([sentences.get(place) or "" for place in range(group.width)]), told)
        device = self._fabric.device
        return condition(
            self._net,
            points=(points.to(device), pointed.to(device)),
            text=text and (text[0].to(device), text[1].to(device), text[2].to(device)),
            amounts=(amounts.to(device), counted.to(device)),
        )

    def _read(self, slot: Slot, made: Mapping[str, NDArray[Any]]) -> Read:
        """What reads the nuclei of a slot."""
        height, width = own_size(slot.condition, self.mpp)
        cut = {name: part[..., :height, :width] for name, part in made.items()}
        points = slot.condition.points
        layout = None if points is None else resize_points(points, (height, width), self.mpp)
        return partial(self.coding.read, cut["label"].astype(np.uint8), cut.get("distance"), layout)

    def _samples(
        self,
        group: Group,
        seed: int,
        images: NDArray[np.uint8],
        sentences: Mapping[int, str | None],
        labels: Sequence[Label],
    ) -> list[tuple[int, Sample]]:
        """What was made (b h w 3), with the nuclei that were read."""
        made = []
        for slot, label in zip(group.slots, labels, strict=True):
            height, width = label[0].shape
            image = images[slot.position, :height, :width]
            made.append((slot.k, sample_of(self, slot, seed, image, *label, sentences.get(slot.position) or "")))
        return made


def stage_of(settings: CoSynSettings, coding: JointCoding, encoder: TextEncoder | None) -> CoSynStage:
    """The stage, untrained."""
    text = texts.shape_of(encoder) if encoder else None
    name = CoSyn.stages[0]
    return CoSynStage(name, settings.network, settings.diffusion, settings.training, settings.sizes(coding, text))


def batch_of(
    windows: Sequence[Sample], coding: JointCoding, encoder: TextEncoder | None, generator: np.random.Generator
) -> JointBatch:
    """Windows as the network takes them, with the sentence for each, its types in any order."""
    tokens = encoder([captions.of_sample(window, generator) for window in windows]) if encoder else (None, None)
    return JointBatch(
        np.stack([network_image(window.image) for window in windows]),
        np.stack([coding.distance(window.instances) for window in windows]),
        np.stack([coding.label(window.instances, window.classes) for window in windows]),
        np.stack([coding.points(from_instances(window)) for window in windows]),
        np.stack([coding.amounts(from_classes(window.classes, len(window.class_names))) for window in windows]),
        *tokens,
    )
