"""Rectified flow: x_t = t x0 + (1 - t) noise, t from 0 (noise) to 1 (data), one clock for each channel group.

Lipman et al., "Flow matching for generative modeling", ICLR 2023; Liu et al., "Flow straight and fast", ICLR 2023. The
clocks differ by group, so that one network knows the joint and both conditional distributions and both marginals:
(t_image, t_label) = (t, t) is a pair, (t, 1) image given label, (1, t) label given image, (t, 0) an image alone.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from nucleosynth.diffusion.prediction import State

CLAMP = 0.3
"""1 - t is held above this in the weight of the velocity loss."""


class Flow:
    """alpha = t, sigma = 1 - t."""

    def alpha(self, t: Tensor) -> Tensor:
        """t."""
        return t

    def sigma(self, t: Tensor) -> Tensor:
        """1 - t."""
        return 1 - t


def noised(x0: State, noise: State, t: Tensor) -> State:
    """x_t of each group at its own clock; t (b g)."""
    clocks = dict(zip(x0, t.unbind(1), strict=True))
    return {name: torch.lerp(noise[name], x0[name], clocks[name].view(-1, 1, 1, 1)) for name in x0}


def shifted(t: Tensor, shift: float) -> Tensor:
    """More time near the noise for larger tiles: 1 - t' = s (1 - t) / (1 + (s - 1)(1 - t)) (Esser et al., 2024)."""
    return 1 - shift * (1 - t) / (1 + (shift - 1) * (1 - t))


def draw_clocks(batch: int, mix: Mapping[str, float], mean: float, spread: float, shift: float) -> Tensor:
    """Clocks of the groups (first, second) for training, (b 2), from torch's global generator.

    Each draw is logit-normal(mean, spread), then shifted. Independent draws almost never hit the diagonal and the
    edges that sampling uses, so `mix` gives the shares of: "equal" (both clocks the same), "first_known",
    "second_known" (that clock at 1), "first_absent", "second_absent" (at 0), "independent".
    """
    t = shifted(torch.sigmoid(mean + spread * torch.randn(batch, 2)), shift)
    kinds = list(mix)
    kind = torch.multinomial(torch.tensor([mix[name] for name in kinds]), batch, replacement=True)
    for index, name in enumerate(kinds):
        chosen = kind == index
        if name == "equal":
            t[chosen, 1] = t[chosen, 0]
        elif name != "independent":
            side, what = name.split("_")
            t[chosen, ("first", "second").index(side)] = {"known": 1.0, "absent": 0.0}[what]
    return t


def velocity_weight(t: Tensor) -> Tensor:
    """Weight that turns |x0-hat - x0|^2 into the velocity loss, 1 / (1 - t)^2 clamped; 0 for a side at 0 or 1."""
    return torch.where((t > 0) & (t < 1), 1 / (1 - t).clamp(min=CLAMP) ** 2, 0.0)
