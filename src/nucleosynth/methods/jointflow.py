"""JointFlow: one flow over image and label, every direction from one network in a few evaluations.

The state has two groups, image (3) and label (outline, classes, centroid offsets), each with its own clock:
x_t = t x0 + (1 - t) noise. Pairs are made on the diagonal of both clocks, an image for a label with the label's clock
at 1, a label for an image with the image's at 1; pixels of either that are known have the clock 1 by themselves, which
is inpainting. Beside the state the network may be told points, how many nuclei of each class there are and how much
they cover, the tissue, a caption, and shown an image of the wanted stain; each is dropped for part of training. A pair
from nothing is one from the counts and proportions of a training crop: how full a tile is comes from the data, all else
from the flow. Ours; the flow is Lipman et al. (ICLR 2023), two clocks follow UniDiffuser (Bao et al., ICML 2023).
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import count as naturals
from typing import ClassVar, Self

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

from nucleosynth.conditions.coding import Channels, LabelCoding, resize_channels
from nucleosynth.conditions.slots import Slots
from nucleosynth.config import Settings
from nucleosynth.data.crops import CodedTiles
from nucleosynth.diffusion.flow import Flow, shifted
from nucleosynth.diffusion.prediction import Denoise, Prediction, State, guided, history_guided
from nucleosynth.diffusion.samplers import SAMPLERS, evaluations
from nucleosynth.encoders import identity
from nucleosynth.encoders import text as texts
from nucleosynth.encoders.text import TextEncoder
from nucleosynth.methods.batches import Group, Slot, SlotNoise, in_order, own_size
from nucleosynth.methods.jointflow_conditions import SIDES, Asking, published_text, silence
from nucleosynth.methods.jointflow_presets import PRESETS, JointFlowFacts, JointFlowSettings
from nucleosynth.methods.painting import rgb
from nucleosynth.methods.provenance import Origin
from nucleosynth.methods.results import sample_of
from nucleosynth.methods.sheets import write_pairs
from nucleosynth.nets.conditioning import Features
from nucleosynth.nets.count import StageCost
from nucleosynth.nets.joint import JointNet
from nucleosynth.run import Run
from nucleosynth.sample import Condition, Image, Sample
from nucleosynth.seeds import generator_of, seed_of
from nucleosynth.stages.joint import GROUPS, FlowBatch, JointSizes, JointStage, build, restored
from nucleosynth.training import checkpoint
from nucleosynth.training.loop import train

PROCESSES = dict.fromkeys(GROUPS, Flow())
CROP_KEY = len(PROCESSES)
"""Beside (seed, k), as the groups' numbers are for their noise."""


class JointFlow:
    """A trained JointFlow (see methods.method.Method)."""

    name: ClassVar[str] = "jointflow"
    needs: ClassVar[frozenset[str]] = frozenset()
    takes: ClassVar[frozenset[str]] = frozenset(
        {"points", "counts", "proportions", "instances", "image", "known", "tissue", "caption", "reference"}
    )
    stages: ClassVar[tuple[str, ...]] = ("flow",)
    presets: ClassVar[Mapping[str, Settings]] = PRESETS
    published_classes: ClassVar[int] = 5

    def __init__(
        self,
        settings: JointFlowSettings,
        facts: JointFlowFacts,
        class_names: tuple[str, ...],
        net: JointNet,
        encoder: TextEncoder,
        origin: Origin,
        fabric: Fabric,
    ) -> None:
        self.settings, self.facts, self.class_names, self.origin = settings, facts, class_names, origin
        self.coding = LabelCoding(facts.classes, settings.coding)
        self._asking = Asking(settings, facts, self.coding, encoder)
        self._net, self._fabric = net.eval(), fabric
        self.size, self.mpp = settings.size, settings.mpp

    @classmethod
    def fit(cls, samples: Sequence[Sample], settings: JointFlowSettings, run: Run, fabric: Fabric) -> Self:
        """Train on tiles, cut and resampled as the settings say.

        Raises:
            UserError: a run to go on with was begun with another text encoder.
        """
        encoder, begun = settings.encoder(), run.checkpoint(cls.stages[0])
        if begun.exists():
            identity.check(texts.KIND, encoder, checkpoint.beside(begun), str(begun))
        tiles, seed = settings.resampled(samples), run.record.seed
        coding = LabelCoding(Slots.of(tiles).classes, settings.coding)
        coded = CodedTiles(tiles, coding, settings.tile, settings.splat_px)
        facts = JointFlowFacts.of_crops(tiles, coded, seed)
        run.write_facts(facts.model_dump())
        torch.manual_seed(seed_of(seed))
        stage = stage_of(Asking(settings, facts, coding, encoder))

        def batch_at(step: int) -> FlowBatch:
            crops = coded.batch(generator_of(seed, step), settings.training.batch)
            return FlowBatch(crops, *encoder(crops.captions))

        training, names = Origin.in_training(cls.name), run.record.class_names
        model = cls(settings, facts, names, stage.averaged_net, encoder, training, fabric)
        show, beside = partial(write_pairs, run, model), identity.record(texts.KIND, encoder)
        train(stage, batch_at, budget=run.record.budget, run=run, fabric=fabric, picture=show, beside=beside)
        model.origin = Origin.of(run)
        return model

    @classmethod
    def load(cls, run: Run, fabric: Fabric) -> Self:
        """The trained network of a run folder: its moving average."""
        settings = JointFlowSettings.model_validate(run.record.settings)
        facts, encoder = JointFlowFacts.model_validate(run.read_facts()), settings.encoder()
        stage = stage_of(Asking(settings, facts, LabelCoding(facts.classes, settings.coding), encoder))
        net, path = stage.trained(run, cls.name, fabric), run.checkpoint(stage.name)
        identity.check(texts.KIND, encoder, checkpoint.beside(path), str(path))
        return cls(settings, facts, run.record.class_names, net, encoder, Origin.of(run), fabric)

    def default_conditions(self, seed: int, start: int = 0, size: tuple[int, int] | None = None) -> Iterator[Condition]:
        """As many nuclei of each class as a training crop has, covering as much, drawn by (seed, k).

        A tile of another size than the training crops is as crowded as one.
        """
        height, width = size or self.size
        area, facts = height * width / self.settings.tile**2, self.facts
        for k in naturals(start):
            drawn = generator_of(seed, k, CROP_KEY).integers(len(facts.counts))
            yield Condition(
                (height, width),
                facts.mpp if self.mpp is None else self.mpp,
                self.class_names,
                tissue=facts.crop_tissues[drawn] if facts.tissues else None,
                counts=np.rint(np.array(facts.counts[drawn]) * area).astype(np.int64),
                proportions=np.array(facts.proportions[drawn]),
            )

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
        """One stage; a pair from nothing. The text encoder, which runs once a sentence, is left out."""
        coding = LabelCoding(tuple(range(1, classes + 1)), settings.coding)
        with torch.device("meta"):
            text = published_text(settings)
        told = silence(coding, 0, settings.tile, 1, (size, size))
        words = (
            torch.zeros(1, text.length, dtype=torch.int64) if text.words else torch.zeros(1, text.length, text.width)
        )
        told = told._replace(text=(words, torch.ones(1, text.length, dtype=torch.bool), torch.ones(1)))
        with torch.device("meta"):
            net = build(settings.network, JointSizes.of(coding, 0, text))
            state = {name: torch.empty(1, width, size, size) for name, width in net.groups.items()}
            t, given = torch.empty(1, len(GROUPS)), told.given(torch.device("meta"))
            features = net.encode(given)
        path = evaluations(settings.sampling.sampler, settings.sampling.steps)
        passes = (lambda: net(state, t, given)), (lambda: net(state, t, features))
        return [StageCost.of(cls.stages[0], net, *passes, evaluations=path)]

    @torch.inference_mode()
    def _make(self, group: Group, seed: int) -> list[tuple[int, Sample]]:
        """The network's part for a group, then each sample's."""
        told, noise = self._asking.told(group), self._noise(group, seed)
        state = {name: noise.normal(name) for name in self._net.groups}
        for name, place, values in self._asking.sides(group):
            kept = told.known[place, GROUPS.index(name)] > 0 if "known" in group.given else torch.tensor(True)
            part = state[name][place]
            state[name][place] = torch.where(kept.to(part.device), values.to(part.device), part)
        with self._fabric.autocast():
            features = self._net.encode(told.given(self._fabric.device))
        x0 = self._flow(group, state, features, noise)
        images = rgb(restored(x0["image"], self.facts.colours).clamp(-1, 1))
        labels = x0["label"].float().cpu().numpy()
        return [
            (slot.k, self._sample(slot, images[slot.position], labels[slot.position], seed)) for slot in group.slots
        ]

    def _flow(self, group: Group, state: State, features: Features, noise: SlotNoise) -> State:
        """From noise to the clean state; a side that is given whole stands still."""
        settings, steps, denoise = self.settings.sampling, self.settings.sampling.steps, self._denoiser(features)
        inpaints = "known" in group.given
        whole = {name for name, field in SIDES.items() if field in group.given and not inpaints}
        if whole == {"label"}:
            steps, null = settings.guided_steps, partial(_without_label, denoise, noise.normal("label"))
            denoise = guided(denoise, null, settings.guidance, settings.interval)
        elif not whole and not inpaints and settings.history:
            denoise = history_guided(denoise, settings.history)
        times = shifted(torch.linspace(0, 1, steps + 1), settings.shift).view(-1, 1).repeat(1, len(GROUPS))
        for name in whole:
            times[:, GROUPS.index(name)] = 1
        return SAMPLERS[settings.sampler](denoise, state, times, PROCESSES)

    def _denoiser(self, features: Features) -> Denoise:
        def denoise(state: State, t: Tensor) -> Prediction:
            with self._fabric.autocast():
                return Prediction(self._net(state, t, features))

        return denoise

    def _noise(self, group: Group, seed: int) -> SlotNoise:
        shapes = {name: (width, *group.size) for name, width in self._net.groups.items()}
        return SlotNoise(group, shapes, seed, self._fabric.device)

    def _sample(self, slot: Slot, image: Image, label: Channels, seed: int) -> Sample:
        """Read the label at the condition's size, unless it was given whole."""
        condition, (height, width) = slot.condition, own_size(slot.condition, self.mpp)
        instances, classes = condition.instances, condition.classes
        if instances is None or classes is None or condition.known is not None:
            maps = resize_channels(label[:, :height, :width], condition.size)
            instances, classes = self.coding.decode(maps, zoom=condition.size[0] / height)
        return sample_of(self, slot, seed, image[:height, :width], instances, classes, condition.caption or "")


def stage_of(asking: Asking) -> JointStage:
    """The stage, untrained."""
    settings = asking.settings
    return JointStage(JointFlow.stages[0], settings.network, settings.training, asking.sizes, asking.facts.colours)


def _without_label(denoise: Denoise, noise: Tensor, state: State, t: Tensor) -> Prediction:
    """What the denoiser says of the image alone: the label is noise, its clock 0."""
    clocks = torch.stack([t[:, 0], torch.zeros_like(t[:, 1])], dim=1)
    return denoise({**state, "label": noise}, clocks)
