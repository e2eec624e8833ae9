"""The state and the denoiser: all that a sampler sees of a method.

A state is a dict of channel groups (image, label ...), each (b c h w), each with its own process and clock. A denoiser
maps a state and the clocks t (b g), one column a group in the state's order, to the clean state it expects. Conditions
are bound beforehand; guidance wraps the denoiser.
"""

from collections.abc import Callable
from dataclasses import dataclass

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
