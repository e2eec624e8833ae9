"""pix2pixHD's training (Wang et al., CVPR 2018): a condition is made an output, and critics see both side by side.

With a local enhancer it has three phases, shares of one budget: the global generator alone at half the resolution, with
a last layer of its own; the local enhancer around it, while it is frozen; both. One critic judges all of them. DAFF-GAN
is this twice; what comes out may be an image (tanh) or whatever `shown` and `errors` make of the network's numbers.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Literal, NamedTuple, cast

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from nucleosynth.config import Settings
from nucleosynth.nets.count import StageCost
from nucleosynth.nets.patchgan import CriticSettings, halved
from nucleosynth.nets.pix2pixhd import LocalEnhancer, Pix2PixHDSettings, generator, head
from nucleosynth.stages.game import Game, Judgement
from nucleosynth.stages.judged import CRITIC, DiverseSettings, alike, judged, taught
from nucleosynth.training.checkpoint import Moment

Phase = Literal["global", "local", "both"]
Batch = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Outputs (b o h w) and their conditions (b c h w)."""


class ImageToImageTraining(DiverseSettings):
    """How generator and critic are trained; without a local enhancer there is one phase."""

    global_share: float = Field(0.5, ge=0, le=1)
    """Share of the budget for the global generator alone, at half the resolution."""
    local_share: float = Field(0.1, ge=0, le=1)
    """Share after that for the local enhancer alone; the rest trains both."""

    def phase(self, progress: float) -> Phase:
        """What is trained at that share of the budget."""
        if progress < self.global_share:
            return "global"
        return "local" if progress < self.global_share + self.local_share else "both"


class ImageToImageSettings(Settings):
    """Everything that making an image for a condition is decided by."""

    network: Pix2PixHDSettings = Pix2PixHDSettings()
    critic: CriticSettings = CriticSettings()
    training: ImageToImageTraining = ImageToImageTraining()


TINY = ImageToImageSettings(
    network=Pix2PixHDSettings(width=32, downs=2, blocks=4, local_width=0, upsampling="nearest", noise=4, norm="group"),
    critic=CriticSettings(width=32, layers=2, scales=2, spectral=True),
    training=ImageToImageTraining(batch=8, generator_rate=5e-4, critic_rate=5e-4, loss="hinge", diversity=1.0),
)
"""For tiles of 64^2 on two cores."""


class Phased(nn.Module):
    """A generator, and the last layer that its global part needs while it is trained alone.

    With a local enhancer, the buffer `alone` says that it is so; `painted` then shows what there is.
    """

    alone: Tensor

    def __init__(self, settings: Pix2PixHDSettings, inputs: int, outputs: int) -> None:
        super().__init__()
        self.net = generator(settings, inputs, outputs)
        self.sketch = head(settings, outputs) if settings.local_width else None
        if self.sketch is not None:
            self.register_buffer("alone", torch.tensor(False))

    def forward(self, condition: Tensor, noise: Tensor, phase: Phase = "both") -> Tensor:
        """(b c h w), noise (b z h w) -> (b o h w), without bounds; what the phase leaves alone gets no gradient."""
        if self.sketch is None or phase == "both":
            return self.net(condition, noise)  # type: ignore[no-any-return]
        net = cast(LocalEnhancer, self.net)
        if phase == "global":
            return self.sketch(net.coarse(condition, noise))  # type: ignore[no-any-return]
        with torch.no_grad():
            features = net.features(condition, noise)
        return net.enhanced(features, condition, noise)

    def painted(self, condition: Tensor, noise: Tensor) -> Tensor:
        """As `forward` by whatever has been trained: the global generator's output, doubled, while it is alone."""
        if self.sketch is None or not self.alone:
            return self(condition, noise)  # type: ignore[no-any-return]
        return functional.interpolate(self(halved(condition), noise[..., ::2, ::2], "global"), scale_factor=2)


class Shown(NamedTuple):
    """A batch on the device, at the phase's resolution, with noise (b z h w)."""

    output: Tensor
    condition: Tensor
    noise: Tensor
    phase: Phase


class Made(NamedTuple):
    """The generator's numbers (b o h w), and what is shown of them to the critic, both in fp32."""

    raw: Tensor
    shown: Tensor


class ImageToImageStage(Game[Phased, Shown, Made]):
    """Generator and critic, in training.

    shown: the generator's numbers as outputs look; outputs must be in its range. errors: named losses of the numbers
    against outputs, weighted, beside those of the game. maps: as of stages.game.Game; for outputs that are RGB.
    """

    def __init__(
        self,
        name: str,
        settings: ImageToImageSettings,
        inputs: int,
        outputs: int,
        *,
        shown: Callable[[Tensor], Tensor] = torch.tanh,
        errors: Callable[[Tensor, Tensor], Mapping[str, Tensor]] | None = None,
        maps: Callable[[], nn.Module | None] | None = None,
    ) -> None:
        self.settings, self._shown, self._errors = settings, shown, errors
        net, critic = Phased(settings.network, inputs, outputs), settings.critic.build(inputs + outputs)
        super().__init__(name, net, {CRITIC: critic}, settings.training, maps)

    def received(self, fabric: Fabric, batch: Batch, moment: Moment) -> Shown:
        """Outputs and conditions, halved while the global generator is alone, and new noise."""
        output, condition = (torch.from_numpy(part).to(fabric.device) for part in batch)
        training, network = self.settings.training, self.settings.network
        phase = training.phase(moment.progress) if network.local_width else "both"
        if network.local_width:
            self.generator.alone.fill_(phase == "global")
        if phase == "global":
            output, condition = halved(output), halved(condition)
        return Shown(output, condition, self._noise(condition), phase)

    def fake(self, batch: Shown) -> Made:
        """An output for each condition."""
        return self._made(self.wrapped_generator(batch.condition, batch.noise, batch.phase))

    def critic_losses(self, batch: Shown, fake: Made) -> Judgement:
        """Real and made outputs, each beside its condition."""
        return judged(self, batch.condition, batch.output, fake.shown)

    def generator_losses(self, batch: Shown, fake: Made) -> Mapping[str, Tensor]:
        """What the critic says, how far its features are from those of the real output, and what else is asked for."""
        losses = taught(self, self.critics[CRITIC], batch.condition, batch.output, fake.shown)
        if batch.noise.shape[1]:
            losses |= alike(self.settings.training, fake.shown, batch.noise, partial(self._again, batch))
        if self._errors is not None:
            losses |= self._errors(fake.raw, batch.output)
        return losses

    def _again(self, batch: Shown, number: int, noise: Tensor) -> Tensor:
        """What the critic would be shown of the first outputs, made from other noise."""
        return self._made(self.generator(batch.condition[:number], noise, batch.phase)).shown

    def _made(self, raw: Tensor) -> Made:
        return Made(raw.float(), self._shown(raw.float()))

    def _noise(self, condition: Tensor) -> Tensor:
        """White noise (b z h w), drawn on the CPU, so that devices agree."""
        return torch.randn(len(condition), self.settings.network.noise, *condition.shape[2:]).to(condition)


@torch.inference_mode()
def paint(
    fabric: Fabric,
    net: Phased,
    condition: Tensor,
    noise: Tensor,
    shown: Callable[[Tensor], Tensor] = torch.tanh,
) -> Tensor:
    """Outputs (b o h w) for conditions (b c h w) and noise (b z h w)."""
    with fabric.autocast():
        raw = net.painted(condition, noise)
    return shown(raw.float())


def cost(settings: ImageToImageSettings, inputs: int, outputs: int, size: int, name: str) -> StageCost:
    """What an output of size^2 costs, counted on shapes; the critic is for training alone."""
    with torch.device("meta"):
        net = generator(settings.network, inputs, outputs)
        condition = torch.empty(1, inputs, size, size)
    return StageCost.of(name, net, lambda: net(condition), evaluations=1)
