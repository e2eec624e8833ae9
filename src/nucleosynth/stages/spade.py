"""SPADE's game: an image for a label in the style of the real one, judged by patches (Park et al., CVPR 2019).

A style is drawn from what the encoder says of the label's own image, and held near N(0, 1) by the Kullback-Leibler
divergence, so that a style from N(0, 1) paints the label later. Generator and encoder learn as one. Critics see the
label beside the image. Ours: the generator sees white noise beside the label, without which a wide area of one class
could be nothing but flat (OASIS, Sushko et al., ICLR 2021, has noise in that place).
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from nucleosynth.adversarial.losses import Kind
from nucleosynth.config import Settings
from nucleosynth.nets.count import StageCost
from nucleosynth.nets.patchgan import CriticSettings
from nucleosynth.nets.spade_generator import SpadeAutoencoder, SpadeGenerator, SpadeGeneratorSettings, Styled
from nucleosynth.stages.game import Game, GameSettings, Judgement
from nucleosynth.stages.judged import CRITIC, judged, taught
from nucleosynth.training.checkpoint import Moment


class SpadeTraining(GameSettings):
    """How generator, encoder and critic are trained; as published unless stated."""

    generator_rate: float = Field(1e-4, gt=0)
    """Learning rate of generator and encoder."""
    critic_rate: float = Field(4e-4, gt=0)
    """Learning rate of the critic."""
    betas: tuple[float, float] = (0.0, 0.9)
    """Adam's, of both sides."""
    loss: Kind = "hinge"
    """The kind of game."""
    divergence: float = Field(0.05, ge=0)
    """Weight of the nats that a style is away from N(0, 1), a mean over images (the release: a device's sum)."""


CRITIC_SETTINGS = CriticSettings(spectral=True)
"""As published: two scales, spectral norm beside InstanceNorm; of the release's 4 layers the last halves nothing."""


class LabelToImageSettings(Settings):
    """Everything that painting a label in one pass is decided by."""

    network: SpadeGeneratorSettings = SpadeGeneratorSettings()
    critic: CriticSettings = CRITIC_SETTINGS
    training: SpadeTraining = SpadeTraining()
    texture: int = Field(4, ge=0)
    """Channels of white noise that the generator sees beside the label; 0 as published."""


class Shown(NamedTuple):
    """On the device: image (b 3 h w) in [-1, 1], label (b c h w), noise of texture (b t h w) and style (b z)."""

    image: Tensor
    label: Tensor
    texture: Tensor
    style: Tensor


class SpadeStage(Game[SpadeAutoencoder, Shown, Styled]):
    """Generator, encoder and critic, in training.

    labels: channels of a label. maps: as of stages.game.Game; without them the perceptual loss is off.
    """

    def __init__(
        self,
        name: str,
        settings: LabelToImageSettings,
        labels: int,
        maps: Callable[[], nn.Module | None] | None = None,
    ) -> None:
        self.settings, net = settings, SpadeAutoencoder(settings.network, labels + settings.texture)
        super().__init__(name, net, {CRITIC: settings.critic.build(labels + 3)}, settings.training, maps)

    def received(self, fabric: Fabric, batch: tuple[NDArray[np.float32], NDArray[np.float32]], moment: Moment) -> Shown:
        """Images and their labels, with new noise."""
        image, label = (torch.from_numpy(part).to(fabric.device) for part in batch)
        texture = torch.randn(len(image), self.settings.texture, *image.shape[2:])
        return Shown(image, label, texture.to(image), torch.randn(len(image), self.settings.network.style).to(image))

    def fake(self, batch: Shown) -> Styled:
        """Each label painted anew in the style of its image, in [-1, 1]."""
        made = self.wrapped_generator(torch.cat([batch.label, batch.texture], dim=1), batch.image, batch.style)
        return Styled(torch.tanh(made.image.float()), made.mean.float(), made.log_variance.float())

    def critic_losses(self, batch: Shown, fake: Styled) -> Judgement:
        """Hinges of real and painted images, each beside its label."""
        return judged(self, batch.label, batch.image, fake.image)

    def generator_losses(self, batch: Shown, fake: Styled) -> Mapping[str, Tensor]:
        """What the critic says, how far its features are from those of the real image, how far styles from N(0, 1)."""
        found = taught(self, self.critics[CRITIC], batch.label, batch.image, fake.image)
        found["style"] = self.settings.training.divergence * divergence(fake.mean, fake.log_variance)
        return found


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Kullback-Leibler divergence in nats of N(mean, exp(log_variance)) from N(0, 1), (b z) each, a mean over b."""
    return 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(1).mean()


@torch.inference_mode()
def paint(fabric: Fabric, net: SpadeAutoencoder, label: Tensor, texture: Tensor, style: Tensor) -> Tensor:
    """Images (b 3 h w) in [-1, 1] for labels (b c h w), noise of textures (b t h w) and styles (b z)."""
    with fabric.autocast():
        return torch.tanh(net.generator(torch.cat([label, texture], dim=1), style).float())


def cost(settings: LabelToImageSettings, labels: int, size: int, name: str) -> StageCost:
    """What an image of size^2 costs, counted on shapes; the encoder is for training alone."""
    inputs = labels + settings.texture
    with torch.device("meta"):
        net = SpadeGenerator(settings.network, inputs)
        label, style = torch.empty(1, inputs, size, size), torch.empty(1, settings.network.style)
    return StageCost.of(name, net, lambda: net(label, style), evaluations=1)
