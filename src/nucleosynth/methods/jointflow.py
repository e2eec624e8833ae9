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
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from pydantic import model_validator
from torch import Tensor

from nucleosynth.conditions import counts as counting
from nucleosynth.conditions.coding import Channels, LabelCoding, resize_channels
from nucleosynth.config import Settings
from nucleosynth.data.crops import CodedBatch, CodedTiles, Colours, colours_of, point_channels
from nucleosynth.data.tiles import resample, resize_image, resize_label, resize_points
from nucleosynth.diffusion.flow import Flow, shifted
from nucleosynth.diffusion.prediction import Denoise, Prediction, State, guided, history_guided
from nucleosynth.diffusion.samplers import SAMPLERS, evaluations
from nucleosynth.methods.batches import Group, Slot, aligned
from nucleosynth.methods.method import StageCost
from nucleosynth.methods.provenance import Origin
from nucleosynth.nets.count import gflop, parameters
from nucleosynth.nets.joint import JointNet
from nucleosynth.nets.unet import Features, Given, UNetSettings
from nucleosynth.pictures import write_contact_sheet
from nucleosynth.run import Run
from nucleosynth.sample import Condition, Image, Sample
from nucleosynth.seeds import generator_of, seed_of
from nucleosynth.stages.joint import JointStage, TrainingSettings, build, condition, restored, standardised
from nucleosynth.training import checkpoint
from nucleosynth.training.loop import train

SHEET = 16
"""Pairs on a contact sheet of the training."""
SHEET_CELL_PX = 256
COUNTED = 2048
"""Training crops whose counts are kept, to make pairs from nothing with."""
PROCESSES = {"image": Flow(), "label": Flow()}
COUNTS_KEY = len(PROCESSES)
"""Beside (seed, k), as the groups' numbers are for their noise."""


class SamplingSettings(Settings):
    """How pairs are sampled; a guided step is two evaluations."""

    sampler: Literal["euler", "heun", "multistep"] = "multistep"
    """See diffusion.samplers."""
    steps: int = 16
    """Steps for a pair from nothing or from points, and for a label from an image: unguided."""
    shift: float = 8.0
    """Steps are smaller near the noise, where layout and colour are settled (diffusion.flow.shifted); 1 = even."""
    history: float = 0.75
    """Guidance of pairs against the last step's prediction (diffusion.prediction.history_guided); 0 = none."""
    guided_steps: int = 8
    """Steps for an image from a label: guided by the label's clock at 1 against 0."""
    guidance: float = 1.5
    """Scale of that guidance; 1 = none."""


class JointFlowSettings(Settings):
    """Everything that a run of JointFlow is decided by."""

    tile: int = 64
    """Side of a training crop, and of a generated tile, in px."""
    mpp: float | None = 0.5
    """Resolution in micrometres per pixel; none = the data's own."""
    splat_px: float = 1.5
    """Standard deviation of a point's Gaussian."""
    network: UNetSettings = UNetSettings()
    training: TrainingSettings = TrainingSettings()
    sampling: SamplingSettings = SamplingSettings()

    @model_validator(mode="after")
    def _tile_fits(self) -> Self:
        """The network halves a tile as often as it has levels."""
        step = self.network.patch * 2 ** (len(self.network.widths) - 1)
        if self.tile < 1 or self.tile % step:
            raise ValueError(
                f"a tile whose side is a multiple of {step} px, as the network halves it (tile is {self.tile})"
            )
        return self


PRESETS = {
    "tiny": JointFlowSettings(),
    "small": JointFlowSettings(
        tile=256,
        mpp=0.25,
        network=UNetSettings(
            patch=4, widths=(160, 320, 448), blocks=(2, 2, 3), attention=(False, False, True), embedding=512
        ),
        training=TrainingSettings(batch=64, learning_rate=1e-3, warmup=500, decay=0.3, ema=0.9995),
    ),
    "base": JointFlowSettings(
        tile=256,
        mpp=0.25,
        network=UNetSettings(
            patch=4, widths=(256, 512, 768), blocks=(3, 3, 4), attention=(False, True, True), embedding=768
        ),
        training=TrainingSettings(batch=128, learning_rate=7e-4, warmup=1000, decay=0.3, ema=0.9998),
    ),
}


class Facts(Settings):
    """What a run learned of its training tiles before training; kept in the run folder."""

    classes: tuple[int, ...]
    """Class ids that occur; only these have a channel."""
    colours: Colours
    """Mean and spread of the image channels."""
    counts: tuple[tuple[int, ...], ...]
    """Nuclei of each class in some training crops."""
    tissue: str
    """The tissue of the training tiles, "mixed" where there are several."""
    stain: str
    """Their stain, likewise."""

    @classmethod
    def of(cls, tiles: Sequence[Sample], coded: CodedTiles, generator: np.random.Generator) -> Self:
        """The facts of some tiles, which are coded as well."""
        counts = coded.counts(generator, COUNTED, len(tiles[0].class_names))
        return cls(
            classes=coded.coding.classes,
            colours=colours_of(tiles),
            counts=tuple(map(tuple, counts.tolist())),
            tissue=_one_of({tile.tissue for tile in tiles}),
            stain=_one_of({tile.stain for tile in tiles}),
        )


class JointFlow:
    """A trained JointFlow (see methods.method.Method)."""

    name: ClassVar[str] = "jointflow"
    needs: ClassVar[frozenset[str]] = frozenset()
    takes: ClassVar[frozenset[str]] = frozenset({"points", "counts", "instances", "image"})
    stages: ClassVar[tuple[str, ...]] = (JointStage.name,)
    presets: ClassVar[Mapping[str, Settings]] = PRESETS

    def __init__(
        self,
        settings: JointFlowSettings,
        facts: Facts,
        class_names: tuple[str, ...],
        net: JointNet,
        origin: Origin,
        fabric: Fabric,
    ) -> None:
        self.settings, self.facts, self.class_names, self.origin = settings, facts, class_names, origin
        self.coding = LabelCoding(facts.classes)
        self._net, self._fabric = net.eval(), fabric
        self.size, self.mpp = (settings.tile, settings.tile), settings.mpp

    @classmethod
    def fit(cls, samples: Sequence[Sample], settings: JointFlowSettings, run: Run, fabric: Fabric) -> Self:
        """Train on tiles, cut and resampled as the settings say."""
        tiles = [sample if settings.mpp is None else resample(sample, settings.mpp) for sample in samples]
        coded = CodedTiles(tiles, LabelCoding(occurring(tiles)), settings.tile, settings.splat_px)
        facts = Facts.of(tiles, coded, generator_of(run.record.seed))
        run.write_facts(facts.model_dump())
        torch.manual_seed(seed_of(run.record.seed))
        stage = JointStage(settings.network, settings.training, coded.coding, facts.colours)

        def batch_at(step: int) -> CodedBatch:
            return coded.batch(generator_of(run.record.seed, step), settings.training.batch)

        def sheet(step: int) -> None:
            origin = Origin(cls.name, "in training", ())
            drawn = cls(settings, facts, run.record.class_names, stage.averaged_net, origin, fabric)
            samples = drawn.generate(drawn.default_conditions(0), 0, count=SHEET, batch=SHEET)
            write_contact_sheet(run.picture(f"step_{step:06d}.png"), list(samples), columns=4, cell_px=SHEET_CELL_PX)

        train(stage, batch_at, budget=run.record.budget, run=run, fabric=fabric, picture=sheet)
        return cls(settings, facts, run.record.class_names, stage.averaged_net, Origin.of(run), fabric)

    @classmethod
    def load(cls, run: Run, fabric: Fabric) -> Self:
        """The trained network of a run folder: its moving average."""
        settings = JointFlowSettings.model_validate(run.record.settings)
        facts = Facts.model_validate(run.read_facts())
        stage = JointStage(settings.network, settings.training, LabelCoding(facts.classes), facts.colours)
        checkpoint.load(run.checkpoint(stage.name), f"{cls.name}/{stage.name}", {"average": stage.average})
        net = stage.averaged_net.to(fabric.device)
        return cls(settings, facts, run.record.class_names, net, Origin.of(run), fabric)

    def default_conditions(self, seed: int, start: int = 0, size: tuple[int, int] | None = None) -> Iterator[Condition]:
        """As many nuclei of each class as a training crop has, drawn by (seed, k); at other sizes nothing is asked."""
        for k in naturals(start):
            drawn = generator_of(seed, k, COUNTS_KEY).integers(len(self.facts.counts))
            counts = np.array(self.facts.counts[drawn]) if size in (None, self.size) else None
            yield Condition(size or self.size, self.mpp, self.class_names, counts=counts)

    def generate(
        self, conditions: Iterator[Condition], seed: int, *, count: int, start: int = 0, batch: int = 16
    ) -> Iterator[Sample]:
        """One sample a condition, in order (see methods.method.Method.generate)."""
        for groups in aligned(
            conditions, count=count, start=start, batch=batch, size_of=self._size_for, usual=self.size
        ):
            made = [pair for group in groups for pair in self._make(group, seed)]
            yield from (sample for _, sample in sorted(made, key=lambda pair: pair[0]))

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
        plain = gflop(lambda: net(state, t, given))
        cached = gflop(lambda: net(state, t, features))
        steps = evaluations(settings.sampling.sampler, settings.sampling.steps)
        return [
            StageCost(
                name=cls.stages[0],
                parameters=parameters(net),
                gflop_per_evaluation=plain,
                gflop_once=plain - cached,
                gflop_cached=cached,
                evaluations=steps,
            )
        ]

    def _size_for(self, condition: Condition) -> tuple[int, int]:
        """(h w) that the network works at: at its own resolution, rounded up to its stride."""
        stride = self._net.unet.stride
        height, width = self._own_size(condition)
        return -(-height // stride) * stride, -(-width // stride) * stride

    def _own_size(self, condition: Condition) -> tuple[int, int]:
        if self.mpp is None or condition.mpp is None or condition.mpp == self.mpp:
            return condition.size
        return max(round(condition.size[0] * condition.mpp / self.mpp), 1), max(
            round(condition.size[1] * condition.mpp / self.mpp), 1
        )

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
            noise = _noise(group, {"label": self.coding.channels}, seed, self._fabric.device)["label"]
            denoise = guided(denoise, partial(self._without_label, features=features, noise=noise), settings.guidance)
        times = shifted(torch.linspace(0, 1, steps + 1), settings.shift).view(-1, 1).repeat(1, 2)
        if kept is not None:
            times[:, kept] = 1
        x0 = SAMPLERS[settings.sampler](denoise, state, times, PROCESSES)
        image = (restored(x0["image"], self.facts.colours).clamp(-1, 1) * 127.5 + 127.5).round().byte()
        images, labels = image.permute(0, 2, 3, 1).cpu().numpy(), x0["label"].float().cpu().numpy()
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
        state = _noise(group, self._net.groups, seed, self._fabric.device)
        width = self.coding.class_channels + 1
        points, amounts = torch.zeros(group.width, width, *group.size), torch.zeros(group.width, width)
        pointed, counted = torch.zeros(group.width), torch.zeros(group.width)
        for slot in group.slots:
            own, place = self._own_size(slot.condition), slot.position
            if slot.condition.image is not None:
                image = _padded(resize_image(slot.condition.image, own).transpose(2, 0, 1), group.size)
                state["image"][place] = standardised(
                    torch.from_numpy(image / np.float32(127.5) - 1), self.facts.colours
                )
            if slot.condition.instances is not None and slot.condition.classes is not None:
                label = self.coding.encode(*resize_label(slot.condition.instances, slot.condition.classes, own))
                state["label"][place] = torch.from_numpy(_padded(label, group.size))
            if slot.condition.points is not None:
                layout = resize_points(slot.condition.points, own, self.mpp)
                points[place] = torch.from_numpy(
                    _padded(point_channels(layout, self.coding, self.settings.splat_px), group.size)
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
        """Bring both sides to the condition's size, keep what was given, and say where the rest comes from."""
        condition, (height, width) = slot.condition, self._own_size(slot.condition)
        image, label = image[:height, :width], label[:, :height, :width]
        if condition.instances is not None and condition.classes is not None:
            instances, classes = condition.instances, condition.classes
        else:
            zoom = condition.size[0] / height
            instances, classes = self.coding.decode(resize_channels(label, condition.size), zoom=zoom)
        return Sample(
            sample_id=condition.name or f"{self.name}_{seed}_{slot.k:06d}",
            image=condition.image if condition.image is not None else resize_image(image, condition.size),
            instances=instances,
            classes=classes,
            class_names=self.class_names,
            class_scheme=self.origin.class_scheme,
            source=condition.source if condition.image is not None else self.origin.source,
            mpp=condition.mpp if condition.mpp is not None else self.mpp,
            tissue=condition.tissue or self.facts.tissue,
            stain=condition.stain or self.facts.stain,
            licence=condition.licence if condition.image is not None else self.origin.licence,
            points=condition.points,
            provenance=self.origin.of_sample(seed, slot.k, condition),
        )


def occurring(tiles: Sequence[Sample]) -> tuple[int, ...]:
    """Class ids of known type that occur, ascending."""
    return tuple(sorted({int(kind) for tile in tiles for kind in np.unique(tile.classes)} - {0}))


def _noise(group: Group, widths: Mapping[str, int], seed: int, device: torch.device) -> State:
    """Noise of each slot from (seed, k) and the side alone, drawn on the CPU so that devices agree; empty places 0."""
    state = {name: torch.zeros(group.width, width, *group.size) for name, width in widths.items()}
    for slot in group.slots:
        for index, name in enumerate(PROCESSES):
            if name in state:
                generator = torch.Generator().manual_seed(seed_of(seed, slot.k, index))
                state[name][slot.position].normal_(generator=generator)
    return {name: noise.to(device) for name, noise in state.items()}


def _padded(channels: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """(c h w) grown to `size` at the right and the bottom by repeating the border."""
    height, width = channels.shape[1:]
    return np.pad(channels, ((0, 0), (0, size[0] - height), (0, size[1] - width)), mode="edge")


def _one_of(names: set[str]) -> str:
    return next(iter(names)) if len(names) == 1 else "mixed"
