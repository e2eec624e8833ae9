"""The flow over image and label as a stage: one network, its clocks, its velocity loss."""

from collections.abc import Mapping

import torch
from lightning_fabric import Fabric
from pydantic import Field
from torch import Tensor

from nucleosynth.conditions.coding import LabelCoding
from nucleosynth.data.crops import CodedBatch, Colours
from nucleosynth.diffusion.flow import draw_clocks, noised, velocity_weight
from nucleosynth.diffusion.losses import weighted_error
from nucleosynth.nets.joint import JointNet
from nucleosynth.nets.unet import Given, UNetSettings
from nucleosynth.stages.training import AveragedStage, TrainingSettings
from nucleosynth.training.checkpoint import Moment


class FlowTraining(TrainingSettings):
    """How the flow is trained."""

    points: float = Field(0.3, ge=0, le=1)
    """Share of the crops whose points are given."""
    counts: float = Field(0.6, ge=0, le=1)
    """Share of the crops whose number of nuclei of each class is given."""
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


def build(settings: UNetSettings, coding: LabelCoding) -> JointNet:
    """The network over image (3) and label (the coding's channels), told of points and counts; untrained."""
    width = coding.class_channels + 2
    return JointNet(settings, {"image": 3, "label": coding.channels}, maps=width, amounts=width)


def condition(points: Tensor, pointed: Tensor, amounts: Tensor, counted: Tensor) -> Given:
    """Splats (b c h w) and amounts (b c), each with a channel that says whether they are to be followed.

    pointed, counted: (b,), 1 or 0.
    """
    flag, counted = pointed.view(-1, 1, 1, 1).expand(-1, 1, *points.shape[2:]), counted.view(-1, 1)
    return Given(torch.cat([points * flag, flag], dim=1), torch.cat([amounts * counted, counted], dim=1))


class JointStage(AveragedStage[JointNet]):
    """The one stage: the network of the flow, in training."""

    def __init__(
        self, name: str, network: UNetSettings, settings: FlowTraining, coding: LabelCoding, colours: Colours
    ) -> None:
        self.settings, self.colours, net = settings, colours, build(network, coding)
        super().__init__(name, net, net.hidden(), settings)

    def step(self, fabric: Fabric, batch: CodedBatch, moment: Moment) -> dict[str, Tensor]:
        """One step on the velocity loss of both groups."""
        losses = self._losses(fabric, batch)
        self.descend(fabric, losses["image"] + self.settings.label_weight * losses["label"], moment)
        return losses

    def _losses(self, fabric: Fabric, batch: CodedBatch) -> dict[str, Tensor]:
        settings = self.settings
        image, label, typed, points, amounts = (
            torch.from_numpy(part).to(fabric.device)
            for part in (batch.image, batch.label, batch.typed, batch.points, batch.amounts)
        )
        x0 = {"image": standardised(image, self.colours), "label": label}
        noise = {name: torch.randn_like(part) for name, part in x0.items()}
        t = draw_clocks(len(image), settings.mix, settings.clock_mean, settings.clock_spread, settings.clock_shift).to(
            fabric.device
        )
        pointed, counted = (
            (torch.rand(len(image), device=fabric.device) < share).float()
            for share in (settings.points, settings.counts)
        )
        x0_hat = self.wrapped(noised(x0, noise, t), t, condition(points, pointed, amounts, counted))
        known = torch.ones_like(label)
        known[:, 1:-2] = typed
        weights = dict(zip(x0, velocity_weight(t).unbind(1), strict=True))
        return weighted_error(x0_hat, x0, weights, {"image": torch.ones_like(image), "label": known})


def standardised(image: Tensor, colours: Colours) -> Tensor:
    """(b 3 h w) in [-1, 1] -> mean 0 and spread 1 over the training tiles."""
    return (image - image.new_tensor(colours.mean).view(3, 1, 1)) / image.new_tensor(colours.spread).view(3, 1, 1)


def restored(image: Tensor, colours: Colours) -> Tensor:
    """The inverse of `standardised`."""
    return image * image.new_tensor(colours.spread).view(3, 1, 1) + image.new_tensor(colours.mean).view(3, 1, 1)
