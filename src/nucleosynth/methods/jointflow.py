"""JointFlow: one flow over image and label, every direction from one network in a few evaluations.

The state has two groups, image (3) and label (outline, classes, centroid offsets), each with its own clock:
x_t = t x0 + (1 - t) noise. Pairs are made on the diagonal of both clocks, an image for a label with the label's clock
at 1, a label for an image with the image's at 1; pixels of either that are known have the clock 1 by themselves, which
is inpainting. Beside the state the network may be told points, how many nuclei of each class there are and how much
they cover, the tissue, a caption, and shown an image of the wanted stain; each is dropped for part of training. A pair
from nothing is one from the counts and proportions of a training crop: how full a tile is comes from the data, all else
from the flow. Ours; the flow is Lipman et al. (ICLR 2023), two clocks follow UniDiffuser (Bao et al., ICML 2023).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import count as naturals
from typing import ClassVar, Self

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray

from nucleosynth.conditions.coding import Channels, LabelCoding, read_at
from nucleosynth.conditions.slots import Slots
from nucleosynth.config import Settings
from nucleosynth.data.crops import CodedTiles
from nucleosynth.diffusion.samplers import evaluations
from nucleosynth.encoders import identity
from nucleosynth.encoders import text as texts
from nucleosynth.encoders.text import TextEncoder
from nucleosynth.errors import UserError
from nucleosynth.methods.batches import Group, Slot, SlotNoise, in_order, own_size
from nucleosynth.methods.jointflow_conditions import SIDES, Asking, silence
from nucleosynth.methods.jointflow_presets import PRESETS, JointFlowFacts, JointFlowSettings
from nucleosynth.methods.jointflow_transfer import ChannelNames, begin_from
from nucleosynth.methods.painting import rgb
from nucleosynth.methods.provenance import Origin
from nucleosynth.methods.reading import Label, Read, Unread, as_given
from nucleosynth.methods.results import sample_of
from nucleosynth.methods.sheets import write_pairs
from nucleosynth.nets.count import StageCost
from nucleosynth.nets.joint import JointNet
from nucleosynth.run import Run
from nucleosynth.sample import Condition, Sample
from nucleosynth.seeds import generator_of, seed_of
from nucleosynth.stages.flow_sampling import denoiser, follow, leap
from nucleosynth.stages.joint import GROUPS, FlowBatch, JointSizes, JointStage, build, restored
from nucleosynth.stages.student import StudentStage, Teacher
from nucleosynth.stages.training import AveragedStage
from nucleosynth.training import checkpoint
from nucleosynth.training.loop import train

CROP_KEY = len(GROUPS)
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
        self, asking: Asking, class_names: tuple[str, ...], net: JointNet, origin: Origin, fabric: Fabric
    ) -> None:
        self.settings, self.facts, self.coding = asking.settings, asking.facts, asking.coding
        self.class_names, self.origin = class_names, origin
        self._asking, self._net, self._fabric = asking, net.eval(), fabric
        self.size, self.mpp, self._device = self.settings.size, self.settings.mpp, fabric.device

    @classmethod
    def fit(cls, samples: Sequence[Sample], settings: JointFlowSettings, run: Run, fabric: Fabric) -> Self:
        """Train on tiles, cut and resampled as the settings say.

        Raises:
            UserError: a run to go on with was begun with another text encoder; or settings of a student.
        """
        if settings.role == "student":
            raise UserError(
                "a student is taught by a trained run",
                expected="role teacher",
                got="role student",
                mend="train the flow first, then `nucleosynth distil RUN --run STUDENT`",
            )
        tiles, encoder, seed = settings.resampled(samples), settings.encoder(), run.record.seed
        coding = LabelCoding(Slots.of(tiles).classes, settings.coding)
        coded = CodedTiles(tiles, coding, settings.tile, settings.splat_px)
        facts = JointFlowFacts.of_crops(tiles, coded, seed)
        torch.manual_seed(seed_of(seed))
        asking = Asking(settings, facts, coding, encoder)
        stage = JointStage(settings.stage, settings.network, settings.training, asking.sizes, facts.colours)
        if settings.begin and not run.checkpoint(stage.name).exists():
            cls._begin(stage, asking, run.record.class_names, Run.open(settings.begin), fabric)
        run.write_facts(facts.model_dump())
        batch_at = partial(batch_of, coded, encoder, settings.training.batch, seed)
        return cls._trained(asking, stage, batch_at, run, fabric)

    @classmethod
    def _begin(cls, stage: JointStage, asking: Asking, names: Sequence[str], before: Run, fabric: Fabric) -> None:
        """Give a stage the weights of a trained run.

        Raises:
            UserError: the run has none, or those of another network.
        """
        old = cls.load(before, fabric)
        theirs = ChannelNames.of(old._asking, old.class_names)
        for net in (stage.net, stage.averaged_net):
            begin_from(net, ChannelNames.of(asking, names), old._net.to("cpu"), theirs)

    @classmethod
    def distil(cls, teacher: Run, samples: Sequence[Sample], run: Run, fabric: Fabric) -> Self:
        """Teach a student of few steps, of the run's own settings, on the tiles that its teacher was trained on."""
        settings, taught = JointFlowSettings.model_validate(run.record.settings), cls.load(teacher, fabric)
        facts, seed, old = taught.facts, run.record.seed, taught.settings
        run.write_facts(facts.model_dump())
        asking = replace(taught._asking, settings=settings)
        coded = CodedTiles(settings.resampled(samples), taught.coding, settings.tile, settings.splat_px)
        torch.manual_seed(seed_of(seed))
        batch_at = partial(batch_of, coded, asking.encoder, settings.student.batch, seed)
        teaches = Teacher(taught._net, old.sampling, old.training, facts.colours)
        sizes = asking.sizes
        stage = StudentStage(settings.stage, settings.network, settings.student, sizes, teaches, batch_at, seed)
        return cls._trained(asking, stage, batch_at, run, fabric)

    @classmethod
    def _trained(
        cls,
        asking: Asking,
        stage: JointStage | StudentStage,
        batch_at: Callable[[int], FlowBatch],
        run: Run,
        fabric: Fabric,
    ) -> Self:
        """The method once its stage is trained; pictures of it are made on the way."""
        path, encoder = run.checkpoint(stage.name), asking.encoder
        if path.exists():
            identity.check(texts.KIND, encoder, checkpoint.beside(path), str(path))
        model = cls(asking, run.record.class_names, stage.averaged_net, Origin.in_training(cls.name), fabric)
        show, beside = partial(write_pairs, run, model), identity.record(texts.KIND, encoder)
        train(stage, batch_at, budget=run.record.budget, run=run, fabric=fabric, picture=show, beside=beside)
        model.origin = Origin.of(run)
        return model

    @classmethod
    def load(cls, run: Run, fabric: Fabric) -> Self:
        """The trained network of a run folder: its moving average."""
        settings = JointFlowSettings.model_validate(run.record.settings)
        facts, encoder = JointFlowFacts.model_validate(run.read_facts()), settings.encoder()
        asking = Asking(settings, facts, LabelCoding(facts.classes, settings.coding), encoder)
        net, path = build(settings.network, asking.sizes, settings.role == "student"), run.checkpoint(settings.stage)
        stage = AveragedStage(settings.stage, net, net.hidden(), settings.training)
        trained = stage.trained(run, cls.name, fabric)
        identity.check(texts.KIND, encoder, checkpoint.beside(path), str(path))
        return cls(asking, run.record.class_names, trained, Origin.of(run), fabric)

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
        coding, jumps = LabelCoding(tuple(range(1, classes + 1)), settings.coding), settings.role == "student"
        with torch.device("meta"):
            text = texts.published_shape(settings.text)
        told = silence(coding, 0, settings.tile, 1, (size, size))
        words = (
            torch.zeros(1, text.length, dtype=torch.int64) if text.words else torch.zeros(1, text.length, text.width)
        )
        told = told._replace(text=(words, torch.ones(1, text.length, dtype=torch.bool), torch.ones(1)))
        with torch.device("meta"):
            net = build(settings.network, JointSizes.of(coding, 0, text), jumps)
            state = {name: torch.empty(1, width, size, size) for name, width in net.groups.items()}
            t, given = torch.empty(1, len(GROUPS)), told.given(torch.device("meta"))
            features, ends = net.encode(given), torch.empty_like(t) if jumps else None
        path = settings.student.steps if jumps else evaluations(settings.sampling.sampler, settings.sampling.steps)
        passes = (lambda: net(state, t, given, ends)), (lambda: net(state, t, features, ends))
        return [StageCost.of(settings.stage, net, *passes, evaluations=path)]

    @torch.inference_mode()
    def _make(self, group: Group, seed: int) -> Unread:
        """The network's part for a group; the label of each sample is read, unless it was given whole."""
        told, inpaints = self._asking.told(group), "known" in group.given
        noise = SlotNoise(group, {name: (c, *group.size) for name, c in self._net.groups.items()}, seed, self._device)
        start = {name: noise.normal(name) for name in self._net.groups}
        state = {name: part.clone() for name, part in start.items()}
        for name, place, values in self._asking.sides(group):
            known = told.known[place, GROUPS.index(name)] > 0 if inpaints else torch.tensor(True)
            part = state[name][place]
            state[name][place] = torch.where(known.to(part.device), values.to(part.device), part)
        with self._fabric.autocast():
            features = self._net.encode(told.given(self._device))
        whole = {name for name, field in SIDES.items() if field in group.given and not inpaints}
        settings = self.settings
        if settings.role == "student":
            times = settings.sampling.times(settings.student.steps, whole)
            x0 = leap(self._net, self._fabric, features, state, times)
        else:
            denoise, free = denoiser(self._net, self._fabric, features), not whole and not inpaints
            x0 = follow(denoise, state, start, settings.sampling, whole, free)
        images = rgb(restored(x0["image"], self.facts.colours).clamp(-1, 1))
        labels = x0["label"].float().cpu().numpy()
        reads = [self._read(slot, labels[slot.position]) for slot in group.slots]
        return Unread(reads, partial(self._samples, group, seed, images))

    def _read(self, slot: Slot, label: Channels) -> Read:
        """What reads the label of a slot, at the condition's size."""
        condition, (height, width) = slot.condition, own_size(slot.condition, self.mpp)
        if condition.instances is not None and condition.classes is not None and condition.known is None:
            return partial(as_given, condition.instances, condition.classes)
        return partial(read_at, self.coding, label[:, :height, :width], condition.size)

    def _samples(
        self, group: Group, seed: int, images: NDArray[np.uint8], labels: Sequence[Label]
    ) -> list[tuple[int, Sample]]:
        """What was made (b h w 3), with the labels that were read."""
        made = []
        for slot, label in zip(group.slots, labels, strict=True):
            height, width = own_size(slot.condition, self.mpp)
            image = images[slot.position, :height, :width]
            made.append((slot.k, sample_of(self, slot, seed, image, *label, slot.condition.caption or "")))
        return made


def batch_of(coded: CodedTiles, encoder: TextEncoder, count: int, seed: int, step: int) -> FlowBatch:
    """The crops of a step, with the tokens of their captions."""
    crops = coded.batch(generator_of(seed, step), count)
    return FlowBatch(crops, *encoder(crops.captions))
