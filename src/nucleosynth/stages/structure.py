"""Making nuclei from nothing: unconditional diffusion of their structure, the first step of NuDiff.

As published (Yu et al., MICCAI 2023): ADM's network, the noise and the variance learned, every clean structure held in
[-1, 1]. Ours: x0 or v can be predicted instead, and a path may have few steps.
"""

from collections.abc import Mapping
from functools import partial
from typing import Literal, Self

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.optim import Optimizer

from nucleosynth.config import Settings
from nucleosynth.diffusion.prediction import Denoise, Prediction, State, clipped, history_guided, target_of
from nucleosynth.diffusion.samplers import SAMPLERS, Noise, evaluations
from nucleosynth.diffusion.schedule import following, spaced
from nucleosynth.nets.adm import ADM, ADMSettings
from nucleosynth.nets.count import StageCost
from nucleosynth.stages.denoising import Denoising, TrainingSettings
from nucleosynth.training.checkpoint import Moment
from nucleosynth.training.ema import averaged

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


class StructureSampling(Settings):
    """How a structure is sampled."""

    sampler: Literal["ancestral", "ddim", "dpm_solver", "heun"] = "dpm_solver"
    """See diffusion.samplers."""
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
        if not 1 <= self.sampling.steps <= self.denoising.steps:
            raise ValueError(f"1 to {self.denoising.steps} sampling steps (they are {self.sampling.steps})")
        if self.denoising.learned_variance and self.sampling.history:
            raise ValueError(f"history 0 where the variance is learned (history is {self.sampling.history})")
        return self


def build(settings: StructureSettings, channels: int) -> ADM:
    """The network over structures of that many channels, untrained."""
    return ADM(settings.network, channels, settings.denoising.outputs(channels))


class StructureStage:
    """The network, its moving average, its optimisers (see training.loop.Stage)."""

    def __init__(self, name: str, settings: StructureSettings, channels: int) -> None:
        self.name, self.settings = name, settings
        self.net = build(settings, channels).to(memory_format=torch.channels_last)
        self.average = averaged(self.net, settings.training.ema)
        self.optimisers: Mapping[str, Optimizer] = settings.training.optimisers(self.net, self.net.hidden())
        self.modules: Mapping[str, nn.Module] = {"net": self.net, "average": self.average}

    @property
    def averaged_net(self) -> ADM:
        """The network with the averaged weights: the one that generates."""
        assert isinstance(self.average.module, ADM), "the average is of the network"
        return self.average.module

    def setup(self, fabric: Fabric) -> None:
        """Put the network and its average on the device."""
        self.average.to(fabric.device)
        self.wrapped, *self.wrapped_optimisers = fabric.setup(self.net, *self.optimisers.values())

    def step(
        self, fabric: Fabric, batch: tuple[NDArray[np.float32], NDArray[np.float32]], moment: Moment
    ) -> dict[str, Tensor]:
        """One step on structures (b c h w) in [-1, 1], and where they are known (b c h w), 0 or 1."""
        structure, known = (torch.from_numpy(part).to(fabric.device) for part in batch)
        loss = self._loss(structure, known)
        fabric.backward(loss)
        self.settings.training.advance(self.wrapped_optimisers, moment)
        self.average.update_parameters(self.net)
        return {GROUP: loss}

    def _loss(self, structure: Tensor, known: Tensor) -> Tensor:
        denoising = self.settings.denoising
        t = denoising.chain.draw_clocks(len(structure)).to(structure.device)
        noise = torch.randn_like(structure)
        raw = self.wrapped(denoising.chain.noised(structure, noise, t), t).float()
        alpha, sigma = (share(t).view(-1, 1, 1, 1) for share in (denoising.chain.alpha, denoising.chain.sigma))
        exact = target_of(denoising.target, structure, noise, alpha, sigma)
        return denoising.error(told_only(raw, exact, known), structure, noise, t).mean()


def told_only(raw: Tensor, exact: Tensor, known: Tensor) -> Tensor:
    """raw (b c h w, or b 2c h w with variances) with no gradient and no error where known (b c h w) is 0."""
    output, *variance = raw.chunk(raw.shape[1] // exact.shape[1], dim=1)
    told = known > 0
    return torch.cat([torch.where(told, output, exact), *(torch.where(told, v, v.detach()) for v in variance)], dim=1)


@torch.inference_mode()
def draw(fabric: Fabric, net: ADM, noise: Noise, settings: StructureSettings) -> Tensor:
    """Structures (b c h w) in [-1, 1] from the noise of a group "structure" (c h w)."""
    sampling, chain = settings.sampling, settings.denoising.chain
    times = spaced(chain.steps, sampling.steps)
    denoise: Denoise = partial(_denoise, fabric, net, settings.denoising, times)
    if sampling.history:
        denoise = history_guided(denoise, sampling.history)
    denoise = clipped(denoise, (GROUP,))
    state = {GROUP: noise.normal(GROUP, 0)}
    x0 = SAMPLERS[sampling.sampler](denoise, state, times[:, None], {GROUP: chain}, noise)[GROUP]
    return x0.clamp(-1, 1)


def cost(settings: StructureSettings, channels: int, size: int, name: str) -> StageCost:
    """What a structure of size^2 costs, counted on shapes alone."""
    with torch.device("meta"):
        net = build(settings, channels)
        x, t = torch.empty(1, channels, size, size), torch.empty(1)
    path = evaluations(settings.sampling.sampler, settings.sampling.steps)
    return StageCost.of(name, net, lambda: net(x, t), evaluations=path)


def _denoise(fabric: Fabric, net: ADM, denoising: Denoising, times: Tensor, state: State, t: Tensor) -> Prediction:
    x, clock = state[GROUP], t[:, 0]
    with fabric.autocast():
        raw = net(x, clock).float()
    x0, log_variance = denoising.prediction(raw, x, clock, following(times, clock))
    return Prediction({GROUP: x0}, None if log_variance is None else {GROUP: log_variance})
