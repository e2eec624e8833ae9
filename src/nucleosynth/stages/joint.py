"""The flow over image and label as a stage: one network, its moving average, its two optimisers, its velocity loss."""

from collections.abc import Mapping

import torch
from lightning_fabric import Fabric
from pydantic import Field
from torch import Tensor, nn
from torch.optim import Optimizer

from nucleosynth.conditions.coding import LabelCoding
from nucleosynth.config import Settings
from nucleosynth.data.crops import CodedBatch, Colours
from nucleosynth.diffusion.flow import draw_clocks, noised, velocity_weight
from nucleosynth.diffusion.losses import weighted_error
from nucleosynth.nets.joint import JointNet
from nucleosynth.nets.unet import Given, UNetSettings
from nucleosynth.training.checkpoint import Moment
from nucleosynth.training.ema import averaged
from nucleosynth.training.optimisers import muon_and_adamw
from nucleosynth.training.rates import set_rate, warm_then_decay


class TrainingSettings(Settings):
    """How the flow is trained."""

    batch: int = Field(32, ge=1)
    """Crops a step."""
    learning_rate: float = Field(2e-3, gt=0)
    """Of both optimisers: Muon for the convolutions' matrices, AdamW for the rest."""
    warmup: int = Field(50, ge=0)
    """Steps over which the learning rate rises."""
    decay: float = Field(0.4, ge=0, le=1)
    """The last share of the budget, over which the learning rate falls to nothing."""
    ema: float = Field(0.995, ge=0, lt=1)
    """Decay of the moving average that generates."""
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


class JointStage:
    """The one stage: the network, its moving average, its optimiser (see training.loop.Stage)."""

    name = "flow"

    def __init__(
        self, network: UNetSettings, settings: TrainingSettings, coding: LabelCoding, colours: Colours
    ) -> None:
        self.settings, self.colours = settings, colours
        self.net = build(network, coding).to(memory_format=torch.channels_last)
        self.average = averaged(self.net, self.settings.ema)
        self.optimisers: Mapping[str, Optimizer] = muon_and_adamw(
            self.net, self.net.unet.hidden(), self.settings.learning_rate
        )
        self.modules: Mapping[str, nn.Module] = {"net": self.net, "average": self.average}

    @property
    def averaged_net(self) -> JointNet:
        """The network with the averaged weights: the one that generates."""
        assert isinstance(self.average.module, JointNet), "the average is of the network"
        return self.average.module

    def setup(self, fabric: Fabric) -> None:
        """Put the network and its average on the device."""
        self.average.to(fabric.device)
        self.wrapped, *self.wrapped_optimisers = fabric.setup(self.net, *self.optimisers.values())

    def step(self, fabric: Fabric, batch: CodedBatch, moment: Moment) -> dict[str, Tensor]:
        """One step on the velocity loss of both groups."""
        settings = self.settings
        losses = self._losses(fabric, batch)
        fabric.backward(losses["image"] + settings.label_weight * losses["label"])
        for optimiser in self.wrapped_optimisers:
            set_rate(optimiser, warm_then_decay(moment, settings.learning_rate, settings.warmup, settings.decay))
            optimiser.step()
            optimiser.zero_grad()
        self.average.update_parameters(self.net)
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
