"""The flow over image and label as a stage: one network, what it is told, its clocks, its velocity loss."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from lightning_fabric import Fabric
from pydantic import Field
from torch import Tensor

from nucleosynth.conditions.coding import LabelCoding
from nucleosynth.data.crops import CodedBatch, Colours
from nucleosynth.diffusion.flow import draw_clocks, noised, velocity_weight
from nucleosynth.diffusion.losses import weighted_error
from nucleosynth.diffusion.prediction import State
from nucleosynth.nets.conditioning import ConditionShape, Given
from nucleosynth.nets.joint import JointNet
from nucleosynth.nets.text import TextShape
from nucleosynth.nets.unet import UNetSettings
from nucleosynth.stages.training import AveragedStage, TrainingSettings
from nucleosynth.training.checkpoint import Moment

GROUPS = ("image", "label")


class FlowTraining(TrainingSettings):
    """How the flow is trained; shares are of the crops."""

    points: float = Field(0.35, ge=0, le=1)
    """Share that is told the points."""
    counts: float = Field(0.7, ge=0, le=1)
    """Share that is told the number of nuclei of each class."""
    proportions: float = Field(0.7, ge=0, le=1)
    """Share that is told how much of the tile each class covers."""
    tissue: float = Field(0.8, ge=0, le=1)
    """Share that is told the tissue, where there are several."""
    caption: float = Field(0.25, ge=0, le=1)
    """Share that is told the caption."""
    reference: float = Field(0.25, ge=0, le=1)
    """Share that is shown another window of the same source."""
    inpainting: float = Field(0.15, ge=0, le=1)
    """Share of which image, label or both are known but for a hole."""
    label_weight: float = Field(2.0, ge=0)
    """Weight of the label's loss against the image's."""
    clock_mean: float = -0.6
    """Mean of the logit-normal clocks; below 0 is nearer the noise."""
    clock_spread: float = Field(1.2, ge=0)
    """Spread of the logit-normal clocks."""
    clock_shift: float = Field(1.0, gt=0)
    """More time near the noise for larger tiles (diffusion.flow.shifted); 1 at 64^2."""
    mix: Mapping[str, float] = {
        "equal": 0.4,
        "first_known": 0.15,
        "second_known": 0.15,
        "first_absent": 0.05,
        "second_absent": 0.05,
        "independent": 0.2,
    }
    """Shares of the clocks' combinations (diffusion.flow.draw_clocks), first = image, second = label."""


class Told(NamedTuple):
    """What could be told of each tile, with a flag (b,) of 1 or 0 each that says whether it is.

    points: (b c h w) splats; counts, proportions: (b c) amounts; tissue: (b c), one of them 1; text: values and mask of
    tokens; reference: (b 3 h w) standardised; known: (b 2 h w), 1 where image, label are known.
    """

    points: tuple[Tensor, Tensor]
    counts: tuple[Tensor, Tensor]
    proportions: tuple[Tensor, Tensor]
    tissue: tuple[Tensor, Tensor]
    text: tuple[Tensor, Tensor, Tensor]
    reference: tuple[Tensor, Tensor]
    known: Tensor

    def given(self, device: torch.device) -> Given:
        """As the network takes it: what is not told is 0, and a number beside it says so."""
        maps, pointed = self.points
        flag = pointed.view(-1, 1, 1, 1)
        amounts = [part for values, told in (self.counts, self.proportions) for part in _flagged(values, told)]
        parts = Given(
            torch.cat([maps * flag, flag.expand(-1, 1, *maps.shape[2:])], dim=1),
            torch.cat([*amounts, self.tissue[0] * self.tissue[1][:, None]], dim=1),
            self.known,
            *self.text[:2],
            self.reference[0],
            torch.stack([self.text[2], self.reference[1]], dim=1),
        )
        return Given(*(part.to(device) for part in parts))


def _flagged(values: Tensor, told: Tensor) -> tuple[Tensor, Tensor]:
    return values * told[:, None], told[:, None]


class JointSizes(NamedTuple):
    """What data and settings decide of the network; label: its channels; classes, tissues: those told apart."""

    label: int
    classes: int
    tissues: int
    text: TextShape

    @classmethod
    def of(cls, coding: LabelCoding, tissues: int, text: TextShape) -> "JointSizes":
        """Of the label's coding."""
        return cls(coding.channels, len(coding.told_apart), tissues, text)

    @property
    def groups(self) -> dict[str, int]:
        """Channels of the state."""
        return dict(zip(GROUPS, (3, self.label), strict=True))


def build(network: UNetSettings, sizes: JointSizes, ends: bool = False) -> JointNet:
    """The network, untrained."""
    points = 1 + sizes.classes + 1
    amounts = 2 * (1 + sizes.classes + 1) + sizes.tissues
    return JointNet(network, sizes.groups, ConditionShape(points, amounts, len(GROUPS), sizes.text), ends)


class FlowBatch(NamedTuple):
    """Crops, and the tokens of their captions (encoders.text.Tokens)."""

    crops: CodedBatch
    text: Tensor
    mask: Tensor


class Drawn(NamedTuple):
    """Training tiles with their clocks: the clean state, clocks (b g), the condition, where each channel is learned."""

    x0: State
    t: Tensor
    given: Given
    learned: State


class JointStage(AveragedStage[JointNet]):
    """The one stage: the network of the flow, in training."""

    def __init__(
        self, name: str, network: UNetSettings, settings: FlowTraining, sizes: JointSizes, colours: Colours
    ) -> None:
        self.settings, self.colours, net = settings, colours, build(network, sizes)
        super().__init__(name, net, net.hidden(), settings)

    def step(self, fabric: Fabric, batch: FlowBatch, moment: Moment) -> dict[str, Tensor]:
        """One step on the velocity loss of both groups."""
        drawn = draw(batch, self.settings, self.colours, fabric.device)
        noise = {name: torch.randn_like(part) for name, part in drawn.x0.items()}
        x0_hat = self.wrapped(kept(drawn, noised(drawn.x0, noise, drawn.t)), drawn.t, drawn.given)
        weights = dict(zip(drawn.x0, velocity_weight(drawn.t).unbind(1), strict=True))
        losses = weighted_error(x0_hat, drawn.x0, weights, drawn.learned)
        self.descend(fabric, losses["image"] + self.settings.label_weight * losses["label"], moment)
        return losses


def draw(batch: FlowBatch, settings: FlowTraining, colours: Colours, device: torch.device) -> Drawn:
    """What a step learns on: clocks and what is told are drawn from torch's global generator."""
    image, label, typed, hole, reference, points, counts, proportions, tissue = (
        torch.from_numpy(getattr(batch.crops, name))
        for name in (
            "image",
            "label",
            "typed",
            "hole",
            "reference",
            "points",
            "counts",
            "proportions",
            "tissue",
        )
    )
    count = len(image)

    def told(share: float) -> Tensor:
        return (torch.rand(count) < share).float()

    sides = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])[torch.randint(3, (count,))]
    known = (1 - hole) * (sides * told(settings.inpainting)[:, None])[..., None, None]
    given = Told(
        (points, told(settings.points)),
        (counts, told(settings.counts)),
        (proportions, told(settings.proportions)),
        (tissue, told(settings.tissue)),
        (batch.text, batch.mask, told(settings.caption)),
        (standardised(reference, colours), told(settings.reference)),
        known,
    ).given(device)
    t = draw_clocks(count, settings.mix, settings.clock_mean, settings.clock_spread, settings.clock_shift)
    typing = torch.ones_like(label)
    typing[:, 1:-2] = typed
    x0 = {"image": standardised(image, colours).to(device), "label": label.to(device)}
    unknown = (1 - known).to(device).chunk(len(GROUPS), dim=1)
    return Drawn(x0, t.to(device), given, {"image": unknown[0], "label": typing.to(device) * unknown[1]})


def kept(drawn: Drawn, state: State) -> State:
    """The state with what is known put back into it."""
    sides = zip(state.items(), drawn.given.known.chunk(len(GROUPS), dim=1), strict=True)
    return {name: torch.where(known > 0, drawn.x0[name], part) for (name, part), known in sides}


def standardised(image: Tensor, colours: Colours) -> Tensor:
    """(b 3 h w) in [-1, 1] -> mean 0 and spread 1 over the training tiles."""
    return (image - image.new_tensor(colours.mean).view(3, 1, 1)) / image.new_tensor(colours.spread).view(3, 1, 1)


def restored(image: Tensor, colours: Colours) -> Tensor:
    """The inverse of `standardised`."""
    return image * image.new_tensor(colours.spread).view(3, 1, 1) + image.new_tensor(colours.mean).view(3, 1, 1)
