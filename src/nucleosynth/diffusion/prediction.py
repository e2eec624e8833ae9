"""The state and the denoiser: all that a sampler sees of a method; and what a network's output says of the clean state.

A state is a dict of channel groups (image, label ...), each with its own process and clock: a Gaussian group is float
(b c h w), a categorical one int64 (b h w), ids 0 .. K - 1. A denoiser maps a state and the clocks t (b g), one column a
group in the state's order, to the clean state it expects. Conditions are bound beforehand; guidance wraps the denoiser.
"""

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from nucleosynth.diffusion.schedule import Chain, Reverse

State = dict[str, Tensor]
TINY = 1e-20
"""Variances are held above this before their logarithm is taken."""


@dataclass(frozen=True)
class Prediction:
    """x0: the expected clean state, log-probabilities (b K h w) for a categorical group.

    log_variance: of the step to the next clock of the path, where a method learns it (`learned_range`).
    """

    x0: State
    log_variance: State | None = None


Denoise = Callable[[State, Tensor], Prediction]
"""(state, t (b g)) -> Prediction."""
Target = Literal["eps", "x0", "v"]
"""What a network is trained to put out: the noise, the data, or v = alpha noise - sigma x0 (Salimans and Ho, 2022)."""


def target_of(kind: Target, x0: Tensor, noise: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    """What the network should have put out for x_t = alpha x0 + sigma noise; alpha, sigma: broadcastable."""
    if kind == "x0":
        return x0
    return noise if kind == "eps" else alpha * noise - sigma * x0


def x0_of(kind: Target, output: Tensor, x: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    """The clean state that an output stands for at x = alpha x0 + sigma noise; the inverse of `target_of`."""
    if kind == "x0":
        return output
    if kind == "eps":
        return (x - sigma * output) / alpha
    return (alpha * x - sigma * output) / (alpha**2 + sigma**2)


def learned_range(raw: Tensor, process: Chain, t: Tensor, s: Tensor) -> Tensor:
    """Log variance of the step t -> s: raw -1 is the least it can be (beta-tilde), 1 the most (beta).

    Nichol and Dhariwal, 2021, Eq. 15, for any two clocks of a chain (schedule.following); raw (b c h w), t and s (b,).
    A step to 0 has no beta-tilde: as published, the step before stands in, here taken to be as long.
    """
    ends = s == 0
    late, early = torch.where(ends, (2 * t).clamp(max=process.steps), t), torch.where(ends, t, s)
    least = Reverse.of(process, late, early).variance.clamp(min=TINY).log()
    most = Reverse.of(process, t, s).beta.log()
    least, most = (end.float().view(-1, 1, 1, 1) for end in (least, most))
    return least + (raw.float() + 1) / 2 * (most - least)


def guided(
    conditional: Denoise, null: Denoise, scale: float, interval: tuple[float, float] = (-math.inf, math.inf)
) -> Denoise:
    """Classifier-free guidance: x0 = null + scale (conditional - null) (Ho and Salimans, 2022, Eq. 6, on x0).

    On x0 it equals guidance on the noise or the velocity: each is the same affine function of x0 in both passes.
    interval: clocks, from and to, between which there is guidance, by the least clock of a sample; where none is in it,
    one pass is enough (Kynkaanniemi et al., "Applying guidance in a limited interval", NeurIPS 2024).
    """

    def denoise(state: State, t: Tensor) -> Prediction:
        given, earliest = conditional(state, t), t.amin(dim=1)
        within = (earliest >= interval[0]) & (earliest <= interval[1])
        if scale == 1 or not within.any():
            return given
        free, scales = null(state, t).x0, torch.where(within, scale, 1.0).view(-1, 1, 1, 1)
        return Prediction({name: free[name] + scales * (given.x0[name] - free[name]) for name in given.x0})

    return denoise


def guided_pair(denoise: Denoise, scale: float) -> Denoise:
    """Classifier-free guidance (`guided`) with both passes in one batch.

    denoise is bound to the conditions of 2 b samples: first those given, then the null ones. Log-probabilities are
    combined likewise and made to sum to one again; the variance is the conditional half's, as published.
    """

    def guide(state: State, t: Tensor) -> Prediction:
        both = denoise({name: torch.cat([x, x]) for name, x in state.items()}, torch.cat([t, t]))
        x0 = {}
        for name, parts in both.x0.items():
            given, free = parts.chunk(2)
            mixed = free + scale * (given - free)
            x0[name] = mixed if state[name].is_floating_point() else mixed.log_softmax(1)
        learned = both.log_variance
        return Prediction(x0, learned and {name: part.chunk(2)[0] for name, part in learned.items()})

    return guide


def clipped(denoise: Denoise, groups: Collection[str]) -> Denoise:
    """x0 of these groups held in [-1, 1] (Ho et al., 2020)."""
    return _changed(denoise, groups, lambda x0: x0.clamp(-1, 1))


def dynamically_thresholded(denoise: Denoise, groups: Collection[str], share: float = 0.95) -> Denoise:
    """x0 of these groups held in +-s, then divided by s, the quantile `share` of |x0| and at least 1.

    Of each sample and group by itself (Saharia et al., Imagen, 2022, Section 2.3).
    """

    def thresholded(x0: Tensor) -> Tensor:
        s = torch.quantile(x0.abs().float().flatten(1), share, dim=1).clamp(min=1).view(-1, 1, 1, 1)
        return x0.clamp(-s, s) / s

    return _changed(denoise, groups, thresholded)


def _changed(denoise: Denoise, groups: Collection[str], change: Callable[[Tensor], Tensor]) -> Denoise:
    def changed(state: State, t: Tensor) -> Prediction:
        found = denoise(state, t)
        x0 = {name: change(part) if name in groups else part for name, part in found.x0.items()}
        return Prediction(x0, found.log_variance)

    return changed


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
