"""JointFlow: one flow over image and label, every direction from one network in a few evaluations.

The state has two groups, image (3) and label (signed distance, classes, centroid offsets), each with its own clock:
x_t = t x0 + (1 - t) noise. Pairs are made on the diagonal of both clocks, an image for a label with the label's clock
at 1, a label for an image with the image's at 1. Points are given as Gaussian splats beside the state, and how many
nuclei of each class there are beside the clocks; both are dropped for part of training. A pair from nothing is one
from counts that were seen in the training tiles: how full a tile is comes from the data, all else from the flow.
Ours; the flow is Lipman et al. (ICLR 2023), two clocks follow UniDiffuser (Bao et al., ICML 2023).
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import count as naturals
from typing import ClassVar, Literal, Self

import numpy as np
import torch
from lightning_fabric import Fabric
from pydantic import Field
from torch import Tensor

from nucleosynth.conditions import counts as counting
from nucleosynth.conditions.coding import Channels, LabelCoding, resize_channels
from nucleosynth.conditions.slots import Slots
from nucleosynth.config import Settings
from nucleosynth.data.crops import CodedBatch, CodedTiles, Colours, colours_of, point_channels
from nucleosynth.data.tiles import resize_image, resize_label, resize_points
from nucleosynth.diffusion.flow import Flow, shifted
from nucleosynth.diffusion.prediction import Denoise, Prediction, State, guided, history_guided
from nucleosynth.diffusion.samplers import SAMPLERS, evaluations
from nucleosynth.methods.batches import Group, Slot, SlotNoise, in_order, own_size, padded
from nucleosynth.methods.facts import Facts, common
from nucleosynth.methods.painting import network_image, rgb
from nucleosynth.methods.provenance import Origin
from nucleosynth.methods.results import sample_of
from nucleosynth.methods.sheets import write_pairs
from nucleosynth.methods.tiles import TileSettings
from nucleosynth.nets.count import StageCost
from nucleosynth.nets.joint import JointNet
from nucleosynth.nets.unet import Features, Given, UNetSettings
from nucleosynth.run import Run
from nucleosynth.sample import Condition, Image, Sample
from nucleosynth.seeds import generator_of, seed_of
from nucleosynth.stages.joint import FlowTraining, JointStage, build, condition, restored, standardised
from nucleosynth.training.loop import train

COUNTED = 2048
"""Training crops whose counts are kept, to make pairs from nothing with."""
PROCESSES = {"image": Flow(), "label": Flow()}
COUNTS_KEY = len(PROCESSES)
"""Beside (seed, k), as the groups' numbers are for their noise."""


class SamplingSettings(Settings):
    """How pairs are sampled; a guided step is two evaluations."""

    sampler: Literal["euler", "heun", "multistep"] = "multistep"
    """See diffusion.samplers."""
    steps: int = Field(16, ge=1)
    """Steps for a pair from nothing or from points, and for a label from an image: unguided."""
    shift: float = Field(8.0, gt=0)
    """Steps are smaller near the noise, where layout and colour are settled (diffusion.flow.shifted); 1 = even."""
    history: float = Field(0.75, ge=0)
    """Guidance of pairs against the last step's prediction (diffusion.prediction.history_guided); 0 = none."""
    guided_steps: int = Field(8, ge=1)
    """Steps for an image from a label: guided by the label's clock at 1 against 0."""
    guidance: float = Field(1.5, ge=0)
    """Scale of that guidance; 1 = none."""


class JointFlowSettings(TileSettings):
    """Everything that a run of JointFlow is decided by."""

    splat_px: float = Field(1.5, gt=0)
    """Standard deviation of a point's Gaussian."""
    network: UNetSettings = UNetSettings()
    training: FlowTraining = FlowTraining()
    sampling: SamplingSettings = SamplingSettings()

    @property
    def stride(self) -> int:
        """The network's."""
        return self.network.stride


PRESETS = {
    "tiny": JointFlowSettings(),
    "small": JointFlowSettings(
        tile=256,
        mpp=0.25,
        network=UNetSettings(
            patch=4, widths=(160, 320, 448), blocks=(2, 2, 3), attention=(False, False, True), embedding=512
        ),
        training=FlowTraining(batch=64, learning_rate=1e-3, warmup=500, decay=0.3, ema=0.9995),
    ),
    "base": JointFlowSettings(
        tile=256,
        mpp=0.25,
        network=UNetSettings(
            patch=4, widths=(256, 512, 768), blocks=(3, 3, 4), attention=(False, True, True), embedding=768
        ),
        training=FlowTraining(batch=128, learning_rate=7e-4, warmup=1000, decay=0.3, ema=0.9998),
    ),
}


class JointFlowFacts(Facts):
    """What a run of JointFlow learned of its training tiles."""

    colours: Colours
    """Mean and spread of the image channels."""
    counts: tuple[tuple[int, ...], ...]
    """Nuclei of each class, then of unknown type, in some training crops."""


class JointFlow:
    """A trained JointFlow (see methods.method.Method)."""

    name: ClassVar[str] = "jointflow"
    needs: ClassVar[frozenset[str]] = frozenset()
    takes: ClassVar[frozenset[str]] = frozenset({"points", "counts", "instances", "image"})
    stages: ClassVar[tuple[str, ...]] = ("flow",)
    presets: ClassVar[Mapping[str, Settings]] = PRESETS
    published_classes: ClassVar[int] = 5

    def __init__(
        self,
        settings: JointFlowSettings,
        facts: JointFlowFacts,
        class_names: tuple[str, ...],
        net: JointNet,
        origin: Origin,
        fabric: Fabric,
    ) -> None:
        self.settings, self.facts, self.class_names, self.origin = settings, facts, class_names, origin
        self.coding = LabelCoding(facts.classes)
        self._net, self._fabric = net.eval(), fabric
        self.size, self.mpp = settings.size, settings.mpp

    @classmethod
    def fit(cls, samples: Sequence[Sample], settings: JointFlowSettings, run: Run, fabric: Fabric) -> Self:
        """Train on tiles, cut and resampled as the settings say."""
        tiles = settings.resampled(samples)
        coded = CodedTiles(tiles, LabelCoding(Slots.of(tiles).classes), settings.tile, settings.splat_px)
        counts = coded.counts(generator_of(run.record.seed), COUNTED, len(tiles[0].class_names))
        facts = JointFlowFacts(**common(tiles), colours=colours_of(tiles), counts=tuple(map(tuple, counts.tolist())))
        run.write_facts(facts.model_dump())
        torch.manual_seed(seed_of(run.record.seed))
        stage = JointStage(cls.stages[0], settings.network, settings.training, coded.coding, facts.colours)

        def batch_at(step: int) -> CodedBatch:
            return coded.batch(generator_of(run.record.seed, step), settings.training.batch)

        training = Origin.in_training(cls.name)
        model = cls(settings, facts, run.record.class_names, stage.averaged_net, training, fabric)
        show = partial(write_pairs, run, model)
        train(stage, batch_at, budget=run.record.budget, run=run, fabric=fabric, picture=show)
        model.origin = Origin.of(run)
        return model

    @classmethod
    def load(cls, run: Run, fabric: Fabric) -> Self:
        """The trained network of a run folder: its moving average."""
        settings = JointFlowSettings.model_validate(run.record.settings)
        facts = JointFlowFacts.model_validate(run.read_facts())
        coding = LabelCoding(facts.classes)
        stage = JointStage(cls.stages[0], settings.network, settings.training, coding, facts.colours)
        net = stage.trained(run, cls.name, fabric)
        return cls(settings, facts, run.record.class_names, net, Origin.of(run), fabric)

    def default_conditions(self, seed: int, start: int = 0, size: tuple[int, int] | None = None) -> Iterator[Condition]:
        """As many nuclei of each class as a training crop has, drawn by (seed, k); at other sizes nothing is asked."""
        for k in naturals(start):
            drawn = generator_of(seed, k, COUNTS_KEY).integers(len(self.facts.counts))
            counts = np.array(self.facts.counts[drawn]) if size in (None, self.size) else None
            yield Condition(size or self.size, self.facts.mpp, self.class_names, counts=counts)

    def generate(
        self, conditions: Iterator[Condition], seed: int, *, count: int, start: int = 0, batch: int = 16
    ) -> Iterator[Sample]:
        """One sample a condition, in order (see methods.method.Method.generate).

        Raises:
            UserError: a condition with classes that training never saw.
        """
        make = partial(self._make, seed=seed)
        return in_order(self.facts.known(conditions), make, self.settings, count=count, start=start, batch=batch)

    @classmethod
    def cost(cls, settings: JointFlowSettings, size: int, classes: int) -> list[StageCost]:
        """One stage; a pair from nothing."""
        coding = LabelCoding(tuple(range(1, classes + 1)))
        with torch.device("meta"):
            net = build(settings.network, coding)
            state = {name: torch.empty(1, width, size, size) for name, width in net.groups.items()}
            width = coding.class_channels + 2
            t, given = torch.empty(1, 2), Given(torch.empty(1, width, size, size), torch.empty(1, width))
            features = net.encode(given)
        path = evaluations(settings.sampling.sampler, settings.sampling.steps)
        passes = (lambda: net(state, t, given)), (lambda: net(state, t, features))
        return [StageCost.of(cls.stages[0], net, *passes, evaluations=path)]

    def _noise(self, group: Group, seed: int) -> SlotNoise:
        shapes = {name: (width, *group.size) for name, width in self._net.groups.items()}
        return SlotNoise(group, shapes, seed, self._fabric.device)

    @torch.inference_mode()
    def _make(self, group: Group, seed: int) -> list[tuple[int, Sample]]:
        """The network's part for a group, then each sample's."""
        settings = self.settings.sampling
        state, features = self._start(group, seed)
        denoise: Denoise = partial(self._denoise, features=features)
        steps, kept = settings.steps, None
        if not group.given & {"image", "instances"} and settings.history:
            denoise = history_guided(denoise, settings.history)
        if "image" in group.given and "instances" not in group.given:
            kept = 0
        elif "instances" in group.given:
            kept, steps = 1, settings.guided_steps
            noise = self._noise(group, seed).normal("label")
            denoise = guided(denoise, partial(self._without_label, features=features, noise=noise), settings.guidance)
        times = shifted(torch.linspace(0, 1, steps + 1), settings.shift).view(-1, 1).repeat(1, 2)
        if kept is not None:
            times[:, kept] = 1
        x0 = SAMPLERS[settings.sampler](denoise, state, times, PROCESSES)
        images = rgb(restored(x0["image"], self.facts.colours).clamp(-1, 1))
        labels = x0["label"].float().cpu().numpy()
        return [
            (slot.k, self._sample(slot, images[slot.position], labels[slot.position], seed)) for slot in group.slots
        ]

    def _denoise(self, state: State, t: Tensor, features: Features) -> Prediction:
        with self._fabric.autocast():
            return Prediction(self._net(state, t, features))

    def _without_label(self, state: State, t: Tensor, features: Features, noise: Tensor) -> Prediction:
        return self._denoise(
            {**state, "label": noise}, torch.stack([t[:, 0], torch.zeros_like(t[:, 1])], dim=1), features
        )

    def _start(self, group: Group, seed: int) -> tuple[State, Features]:
        """Noise, with the given sides in place, and the features of points and counts."""
        noise = self._noise(group, seed)
        state = {name: noise.normal(name) for name in self._net.groups}
        width = self.coding.class_channels + 1
        points, amounts = torch.zeros(group.width, width, *group.size), torch.zeros(group.width, width)
        pointed, counted = torch.zeros(group.width), torch.zeros(group.width)
        for slot in group.slots:
            own, place = own_size(slot.condition, self.mpp), slot.position
            if slot.condition.image is not None:
                image = padded(network_image(resize_image(slot.condition.image, own)), group.size)
                state["image"][place] = standardised(torch.from_numpy(image), self.facts.colours)
            if slot.condition.instances is not None and slot.condition.classes is not None:
                label = self.coding.encode(*resize_label(slot.condition.instances, slot.condition.classes, own))
                state["label"][place] = torch.from_numpy(padded(label, group.size))
            if slot.condition.points is not None:
                layout = resize_points(slot.condition.points, own, self.mpp)
                points[place] = torch.from_numpy(
                    padded(point_channels(layout, self.coding, self.settings.splat_px), group.size)
                )
                pointed[place] = 1
            if slot.condition.counts is not None:
                share = own[0] * own[1] / self.settings.tile**2
                amounts[place] = torch.from_numpy(
                    counting.amounts(slot.condition.counts, self.coding.channel_classes, share)
                )
                counted[place] = 1
        given = (part.to(self._fabric.device) for part in condition(points, pointed, amounts, counted))
        with self._fabric.autocast():
            return state, self._net.encode(Given(*given))

    def _sample(self, slot: Slot, image: Image, label: Channels, seed: int) -> Sample:
        """Read the label at the condition's size, unless it was given."""
        condition, (height, width) = slot.condition, own_size(slot.condition, self.mpp)
        instances, classes = condition.instances, condition.classes
        if instances is None or classes is None:
            maps = resize_channels(label[:, :height, :width], condition.size)
            instances, classes = self.coding.decode(maps, zoom=condition.size[0] / height)
        return sample_of(self, slot, seed, image[:height, :width], instances, classes)
