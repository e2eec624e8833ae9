"""The state and the denoiser: all that a sampler sees of a method.

A state is a dict of channel groups (image, label ...), each (b c h w), each with its own process and clock. A denoiser
maps a state and the clocks t (b g), one column a group in the state's order, to the clean state it expects. Conditions
are bound beforehand; guidance wraps the denoiser.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

State = dict[str, Tensor]


@dataclass(frozen=True)
class Prediction:
    """x0: the expected clean state; log_variance: of the reverse step, where a method learns it."""

    x0: State
    log_variance: State | None = None


Denoise = Callable[[State, Tensor], Prediction]
"""(state, t (b g)) -> Prediction."""


def guided(conditional: Denoise, null: Denoise, scale: float) -> Denoise:
    """Classifier-free guidance: x0 = null + scale (conditional - null) (Ho and Salimans, 2022, Eq. 6, on x0).

    On x0 it equals guidance on the noise or the velocity: each is the same affine function of x0 in both passes.
    """

    def denoise(state: State, t: Tensor) -> Prediction:
        given, free = conditional(state, t).x0, null(state, t).x0
        return Prediction({name: free[name] + scale * (given[name] - free[name]) for name in given})

    return denoise


def history_guided(denoise: Denoise, scale: float) -> Denoise:
    """Guidance against the last step's prediction: x0 = x0(now) + scale (x0(now) - x0(before)).

    An earlier prediction knows less of the tile, so that the way from it points to what makes this tile particular;
    it costs no evaluation. Each call makes the denoiser of one path, which remembers. After Sadat et al., "HiGS:
    History-guided sampling", 2025, without its weights and filters.
    """
    before: State = {}

    def guide(state: State, t: Tensor) -> Prediction:
        now = denoise(state, t).x0
        guided = {name: torch.lerp(before.get(name, x0), x0, 1 + scale) for name, x0 in now.items()}
        before.update(now)
        return Prediction(guided)

    return guide
