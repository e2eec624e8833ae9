"""Painting an image for a map: SPADE diffusion, the second step of NuDiff and the whole of SDM and DiffMix.

As published (Wang et al., "Semantic image synthesis via diffusion models", 2022): in a second phase the condition is
dropped from some of the batch, so that sampling may be guided by it. Ours: a channel of its own says that it was
dropped, for an empty map is a condition too; and what the condition decides is computed once a sample, not once a step.
"""

from typing import Self

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import Tensor

from nucleosynth.config import Settings
from nucleosynth.diffusion.path import Noise
from nucleosynth.diffusion.prediction import Denoise, guided_pair
from nucleosynth.diffusion.samplers import evaluations
from nucleosynth.nets.adm import TINY, ADMSettings
from nucleosynth.nets.count import StageCost
from nucleosynth.nets.spade import SpadeADM, joined
from nucleosynth.stages.denoising import Denoising, PathSettings
from nucleosynth.stages.training import AveragedStage, TrainingSettings
from nucleosynth.training.checkpoint import Moment

GROUP = "image"
"""The one channel group of the state."""


class PaintingTraining(TrainingSettings):
    """How the network is trained, in one phase or two."""

    second_phase: float = Field(0.0, ge=0, le=1)
    """Share of the budget after which the condition is dropped at times, and the learning rate is another."""
    second_rate: float = Field(1.0, ge=0)
    """Learning rate in the second phase over that of the first."""
    drop: float = Field(0.2, ge=0, le=1)
    """Share of the windows whose condition is dropped in the second phase."""


class PaintingSampling(PathSettings):
    """How an image is sampled; a guided step is two evaluations."""

    guidance: float = Field(1.0, ge=0)
    """Scale of the guidance by the condition against none; 1 = none; 1.5 as published."""


class MaskToImageSettings(Settings):
    """Everything that painting is decided by."""

    network: ADMSettings = TINY
    denoising: Denoising = Denoising()
    training: PaintingTraining = PaintingTraining()
    sampling: PaintingSampling = PaintingSampling()

    @model_validator(mode="after")
    def _can_be_sampled(self) -> Self:
        """A path has no more steps than the process, and guidance has an empty condition to start from."""
        self.denoising.check_path(self.sampling)
        if self.sampling.guidance != 1 and not (self.training.drop > 0 and self.training.second_phase < 1):
            raise ValueError("guidance 1 where the condition is never dropped in training")
        return self


PUBLISHED_TRAINING = PaintingTraining(
    batch=32,
    optimiser="adamw",
    learning_rate=1e-4,
    weight_decay=0.0,
    warmup=0,
    decay=0.0,
    ema=0.9999,
    second_phase=0.5,
    second_rate=0.2,
)
"""As SDM and DiffMix were trained; NuDiff in smaller batches and with weight decay."""


def build(settings: MaskToImageSettings, condition_channels: int) -> SpadeADM:
    """The network, untrained; it sees one channel more than the condition has (`flagged`)."""
    return SpadeADM(settings.network, 3, settings.denoising.outputs(3), condition_channels + 1)


def flagged(condition: Tensor, dropped: Tensor) -> Tensor:
    """The condition (b c h w) with a channel that is 1 where it was dropped, and all else 0; dropped (b,) bool."""
    flag = dropped.to(condition.dtype).view(-1, 1, 1, 1).expand(-1, 1, *condition.shape[2:])
    return torch.cat([condition * (1 - flag), flag], dim=1)


class MaskToImageStage(AveragedStage[SpadeADM]):
    """The network that paints, in training."""

    def __init__(self, name: str, settings: MaskToImageSettings, condition_channels: int) -> None:
        self.settings, net = settings, build(settings, condition_channels)
        super().__init__(name, net, net.hidden(), settings.training)

    def step(
        self, fabric: Fabric, batch: tuple[NDArray[np.float32], NDArray[np.float32]], moment: Moment
    ) -> dict[str, Tensor]:
        """One step on images (b 3 h w) in [-1, 1] and their conditions (b c h w)."""
        training = self.settings.training
        second = moment.progress >= training.second_phase
        image, condition = (torch.from_numpy(part).to(fabric.device) for part in batch)
        loss = self._loss(image, condition, training.drop if second else 0.0)
        self.descend(fabric, loss, moment, training.second_rate if second else 1.0)
        return {GROUP: loss}

    def _loss(self, image: Tensor, condition: Tensor, drop: float) -> Tensor:
        denoising, batch = self.settings.denoising, len(image)
        t = denoising.chain.draw_clocks(batch).to(image.device)
        dropped = (torch.rand(batch) < drop).to(image.device)
        noise = torch.randn_like(image)
        raw = self.wrapped(denoising.chain.noised(image, noise, t), t, flagged(condition, dropped))
        return denoising.error(raw.float(), image, noise, t).mean()


@torch.inference_mode()
def paint(
    fabric: Fabric,
    net: SpadeADM,
    condition: Tensor,
    noise: Noise,
    settings: MaskToImageSettings,
    *,
    start: Tensor | None = None,
    share: float = 1.0,
) -> Tensor:
    """Images (b 3 h w) in [-1, 1] for conditions (b c h w).

    noise: of a group "image" (3 h w). start: images to begin from, with `share` (0..1) of the way's noise on them and
    as much of its steps before them (SDEdit, Meng et al., ICLR 2022); from noise alone where it is not given. What is
    kept of a condition takes memory: at the published size, for 256^2 px in bf16, 1 GB a sample.
    """
    denoising = settings.denoising
    times = denoising.times(settings.sampling, 1.0 if start is None else share)
    x = noise.normal(GROUP, 0)
    if start is not None:
        x = denoising.chain.noised(start, x, times[0].to(x.device).expand(len(x)))
    denoise = _denoiser(fabric, net, condition, settings, times)
    return denoising.sample(denoise, x, GROUP, times, noise, settings.sampling.sampler)


def cost(settings: MaskToImageSettings, condition_channels: int, size: int, name: str, share: float = 1.0) -> StageCost:
    """What an image of size^2 costs, counted on shapes; share as in `paint`.

    The empty condition is encoded once a batch and not counted.
    """
    with torch.device("meta"):
        net = build(settings, condition_channels)
        x, t = torch.empty(1, 3, size, size), torch.empty(1)
        condition = torch.empty(1, condition_channels + 1, size, size)
        modulations = net.encode(condition)
    sampling = settings.sampling
    passes = 1 if sampling.guidance == 1 else 2
    path = passes * evaluations(sampling.sampler, len(settings.denoising.times(sampling, share)) - 1)
    return StageCost.of(name, net, lambda: net(x, t, condition), lambda: net(x, t, modulations), evaluations=path)


def _denoiser(
    fabric: Fabric, net: SpadeADM, condition: Tensor, settings: MaskToImageSettings, times: Tensor
) -> Denoise:
    """The denoiser under a condition, guided if asked; the empty condition is one for the whole batch."""
    kept, scale = torch.zeros(len(condition), dtype=torch.bool, device=condition.device), settings.sampling.guidance
    with fabric.autocast():
        modulations = net.encode(flagged(condition, kept))
        if scale != 1:
            modulations = joined(modulations, net.encode(flagged(condition[:1], ~kept[:1])))

    def told(x: Tensor, clock: Tensor) -> Tensor:
        return net(x, clock, modulations)  # type: ignore[no-any-return]

    denoise = settings.denoising.denoiser(fabric, told, GROUP, times)
    return denoise if scale == 1 else guided_pair(denoise, scale)
