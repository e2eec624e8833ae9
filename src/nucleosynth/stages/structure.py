"""Making nuclei from nothing: unconditional diffusion of their structure, the first step of NuDiff.

As published (Yu et al., MICCAI 2023): ADM's network, the noise and the variance learned, every clean structure held in
[-1, 1]. Ours: x0 or v can be predicted instead, and a path may have few steps.
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
from nucleosynth.diffusion.prediction import history_guided
from nucleosynth.diffusion.samplers import evaluations
from nucleosynth.nets.adm import ADM, ADMSettings
from nucleosynth.nets.count import StageCost
from nucleosynth.stages.denoising import Denoising, PathSettings
from nucleosynth.stages.training import AveragedStage, TrainingSettings
from nucleosynth.training.checkpoint import Moment

GROUP = "structure"
"""The one channel group of the state."""
TINY = ADMSettings(
    width=64,
    multipliers=(1, 2, 3),
    blocks=1,
    attention=(False, True, True),
    head_channels=32,
    groups=16,
    patch=4,
)
"""A structure has no texture: coarser and a third as costly as a painter's network."""


class StructureSampling(PathSettings):
    """How a structure is sampled."""

    steps: int = 25
    """Steps from noise to a structure."""
    history: float = Field(1.0, ge=0)
    """Guidance against the last step's prediction (diffusion.prediction.history_guided), for short trainings, after
    which nuclei fade away on their path without it; 0 = none."""


class StructureSettings(Settings):
    """Everything that the diffusion of structures is decided by."""

    network: ADMSettings = TINY
    denoising: Denoising = Denoising()
    training: TrainingSettings = TrainingSettings()
    sampling: StructureSampling = StructureSampling()

    @model_validator(mode="after")
    def _can_be_sampled(self) -> Self:
        """A path has no more steps than the process, and guidance by the last step knows no variance."""
        self.denoising.check_path(self.sampling)
        if self.denoising.learned_variance and self.sampling.history:
            raise ValueError(f"history 0 where the variance is learned (history is {self.sampling.history})")
        return self


def build(settings: StructureSettings, channels: int) -> ADM:
    """The network over structures of that many channels, untrained."""
    return ADM(settings.network, channels, settings.denoising.outputs(channels))


class StructureStage(AveragedStage[ADM]):
    """The network that makes structures, in training."""

    def __init__(self, name: str, settings: StructureSettings, channels: int) -> None:
        self.settings, net = settings, build(settings, channels)
        super().__init__(name, net, net.hidden(), settings.training)

    def step(
        self, fabric: Fabric, batch: tuple[NDArray[np.float32], NDArray[np.float32]], moment: Moment
    ) -> dict[str, Tensor]:
        """One step on structures (b c h w) in [-1, 1], and where they are known (b c h w), 0 or 1."""
        structure, known = (torch.from_numpy(part).to(fabric.device) for part in batch)
        loss = self._loss(structure, known)
        self.descend(fabric, loss, moment)
        return {GROUP: loss}

    def _loss(self, structure: Tensor, known: Tensor) -> Tensor:
        denoising = self.settings.denoising
        t = denoising.chain.draw_clocks(len(structure)).to(structure.device)
        noise = torch.randn_like(structure)
        raw = self.wrapped(denoising.chain.noised(structure, noise, t), t)
        return denoising.error(raw.float(), structure, noise, t, known).mean()


@torch.inference_mode()
def draw(fabric: Fabric, net: ADM, noise: Noise, settings: StructureSettings) -> Tensor:
    """Structures (b c h w) in [-1, 1] from the noise of a group "structure" (c h w)."""
    sampling, denoising = settings.sampling, settings.denoising
    times = denoising.times(sampling)
    denoise = denoising.denoiser(fabric, net, GROUP, times)
    if sampling.history:
        denoise = history_guided(denoise, sampling.history)
    return denoising.sample(denoise, noise.normal(GROUP, 0), GROUP, times, noise, sampling.sampler)


def cost(settings: StructureSettings, channels: int, size: int, name: str) -> StageCost:
    """What a structure of size^2 costs, counted on shapes alone."""
    with torch.device("meta"):
        net = build(settings, channels)
        x, t = torch.empty(1, channels, size, size), torch.empty(1)
    path = evaluations(settings.sampling.sampler, settings.sampling.steps)
    return StageCost.of(name, net, lambda: net(x, t), evaluations=path)
