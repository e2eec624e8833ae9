"""From noise to the clean state of image and label, in any direction: one path for the method and for its students."""

from collections.abc import Callable, Collection
from functools import partial
from typing import Literal

import torch
from lightning_fabric import Fabric
from pydantic import Field
from torch import Tensor

from nucleosynth.config import Settings
from nucleosynth.diffusion.flow import Flow, shifted
from nucleosynth.diffusion.prediction import Denoise, Prediction, State, guided, history_guided
from nucleosynth.diffusion.samplers import SAMPLERS, jump
from nucleosynth.nets.conditioning import Features
from nucleosynth.nets.joint import JointNet
from nucleosynth.stages.joint import GROUPS

PROCESSES = dict.fromkeys(GROUPS, Flow())


class SamplingSettings(Settings):
    """How pairs are sampled; a guided step is two evaluations."""

    sampler: Literal["euler", "heun", "multistep"] = "multistep"
    """See diffusion.samplers; a student jumps."""
    steps: int = Field(16, ge=1)
    """Steps for a pair, and for a label from an image: unguided."""
    shift: float = Field(3.0, gt=0)
    """Steps are smaller near the noise, where layout and colour are settled (diffusion.flow.shifted); 1 = even."""
    lead: float = Field(0.7, ge=0, le=1)
    """How far the label's clock is ahead of the image's in a pair: 0 = together, 1 = the label is whole before the
    image begins. An image that follows its label shows the nuclei that this says."""
    history: float = Field(0.0, ge=0)
    """Guidance of pairs against the last step's prediction (diffusion.prediction.history_guided); 0 = none."""
    guided_steps: int = Field(8, ge=1)
    """Steps for an image from a label: guided by the label's clock at 1 against 0."""
    guidance: float = Field(1.5, ge=0)
    """Scale of that guidance; 1 = none."""
    interval: tuple[float, float] = (0.0, 1.0)
    """Clocks of the image, from and to, between which there is guidance; a step outside is one evaluation."""

    def times(self, steps: int, whole: Collection[str]) -> Tensor:
        """Clocks (steps + 1, groups) of a path; those of the sides that are given whole stand at 1."""
        even = torch.linspace(0, 1, steps + 1).view(-1, 1).repeat(1, len(GROUPS))
        if not whole:
            pace, waits = 1 + self.lead, torch.tensor([name == "image" for name in GROUPS])
            even = torch.where(waits, 1 - (1 - even) * pace, even * pace).clamp(0, 1)
        times = shifted(even, self.shift)
        for name in whole:
            times[:, GROUPS.index(name)] = 1
        return times


def follow(
    denoise: Denoise,
    state: State,
    noise: State,
    settings: SamplingSettings,
    whole: Collection[str],
    free: bool,
    seen: Callable[[State, Tensor], None] | None = None,
) -> State:
    """The clean state at the end of the path.

    state: `noise` with what is known in its place; whole: the sides that are given whole; free: nothing is known of
    either side; seen: called with each state and its clocks (b g), before the step that leaves it.
    """
    steps = settings.steps
    if set(whole) == {"label"}:
        steps, denoise = settings.guided_steps, for_labels(denoise, noise, settings)
    elif free and settings.history:
        denoise = history_guided(denoise, settings.history)
    if seen:
        denoise = partial(_watched, denoise, seen)
    return SAMPLERS[settings.sampler](denoise, state, settings.times(steps, whole), PROCESSES)


def for_labels(denoise: Denoise, noise: State, settings: SamplingSettings) -> Denoise:
    """Guidance of images for labels: by the label's clock at 1 against 0, where the label is noise."""
    return guided(denoise, partial(_without_label, denoise, noise["label"]), settings.guidance, settings.interval)


def leap(net: JointNet, fabric: Fabric, features: Features, state: State, times: Tensor) -> State:
    """The clean state by a student's jumps from clock to clock (n + 1, g): one evaluation each."""

    def denoise(state: State, t: Tensor, ends: Tensor) -> Prediction:
        with fabric.autocast():
            return Prediction(net(state, t, features, ends))

    return jump(denoise, state, times, PROCESSES)


def denoiser(net: JointNet, fabric: Fabric, features: Features) -> Denoise:
    """The network under a condition."""

    def denoise(state: State, t: Tensor) -> Prediction:
        with fabric.autocast():
            return Prediction(net(state, t, features))

    return denoise


def _without_label(denoise: Denoise, noise: Tensor, state: State, t: Tensor) -> Prediction:
    """What the denoiser says of the image alone: the label is noise, its clock 0."""
    clocks = torch.stack([t[:, 0], torch.zeros_like(t[:, 1])], dim=1)
    return denoise({**state, "label": noise}, clocks)


def _watched(denoise: Denoise, seen: Callable[[State, Tensor], None], state: State, t: Tensor) -> Prediction:
    seen(state, t)
    return denoise(state, t)
