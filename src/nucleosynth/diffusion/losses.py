"""Losses: of a flow's state, one number a channel group; of a chain's Gaussian group, one number a sample."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from nucleosynth.diffusion.prediction import State, Target, learned_range, target_of, x0_of
from nucleosynth.diffusion.schedule import Chain, Process, Reverse

HALF_LEVEL = 1 / 255
"""Half the distance of two of 256 grey levels in [-1, 1]."""
LEAST_PROBABILITY = 1e-12
"""Probabilities are held above this before their logarithm is taken."""


def weighted_error(
    x0_hat: State, x0: State, weight: Mapping[str, Tensor], channel: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Mean of weight |x0-hat - x0|^2 for each group, over the samples whose weight is above 0.

    weight: (b,) of each group (from the clocks); channel: (b or 1, c, h or 1, w or 1), 0 where a value is unknown.
    """
    losses = {}
    for name, target in x0.items():
        error = (channel[name] * (x0_hat[name] - target) ** 2).mean(dim=(1, 2, 3)) * weight[name]
        losses[name] = error.sum() / (weight[name] > 0).sum().clamp(min=1)
    return losses


def p2_weight(process: Process, t: Tensor, gamma: float = 0.5) -> Tensor:
    """(1 + SNR)^-gamma, of the clocks' shape: less weight where little noise is left (Choi et al., P2, CVPR 2022)."""
    data, noise = process.alpha(t) ** 2, process.sigma(t) ** 2
    return (noise / (data + noise)) ** gamma


def v_weight(chain: Chain, t: Tensor, limit: float) -> Tensor:
    """1 + SNR up to a limit, of the clocks' shape: what makes the squared error of x0 that of v."""
    return chain.sigma(t).pow(-2).clamp(max=limit)


def squared_error(
    kind: Target, output: Tensor, x0: Tensor, noise: Tensor, t: Tensor, chain: Chain, known: Tensor | None = None
) -> Tensor:
    """Mean over (c h w) of |output - target|^2, (b,); x0, noise (b c h w), t (b,).

    known: (b c h w), 0 where x0 is not known and there is no error; 1 elsewhere.
    """
    alpha, sigma = (share.view(-1, 1, 1, 1) for share in (chain.alpha(t), chain.sigma(t)))
    return _mean((output - target_of(kind, x0, noise, alpha, sigma)) ** 2, known)


def hybrid(
    kind: Target, output: Tensor, x0: Tensor, noise: Tensor, t: Tensor, chain: Chain, known: Tensor | None = None
) -> Tensor:
    """Squared error of the mean, and T / 1000 of the variational bound for the variance alone: (b,).

    Nichol and Dhariwal, 2021, Eq. 16, with ADM's weight. output: (b 2c h w), the mean's channels, then those of
    `learned_range`. The bound's mean carries no gradient. known: as of `squared_error`.
    """
    mean, raw = output.chunk(2, dim=1)
    alpha, sigma = (share.view(-1, 1, 1, 1) for share in (chain.alpha(t), chain.sigma(t)))
    x_t = chain.noised(x0, noise, t)
    held = x0_of(kind, mean.detach(), x_t, alpha, sigma)
    bound = variational_bound(x0, x_t, held, learned_range(raw, chain, t, t - 1), t, chain, known)
    return squared_error(kind, mean, x0, noise, t, chain, known) + chain.steps / 1000 * bound


def variational_bound(
    x0: Tensor,
    x_t: Tensor,
    x0_hat: Tensor,
    log_variance: Tensor,
    t: Tensor,
    chain: Chain,
    known: Tensor | None = None,
) -> Tensor:
    """One clock's term of the bound on -log p(x0), in bits per number of x0 (b c h w): (b,), for clocks t >= 1.

    KL of the true step t -> t - 1 from the model's; at t = 1 the model's -log-probability of x0 among 256 grey levels
    in [-1, 1] (Ho et al., 2020, Eq. 5 and 13). known: as of `squared_error`.
    """
    step = Reverse.of(chain, t, t - 1)
    kept, taken, variance = (part.view(-1, 1, 1, 1) for part in (step.kept, step.taken, step.variance))
    mean = kept * x_t + taken * x0_hat
    ends = (t == 1).view(-1, 1, 1, 1)
    true = torch.where(ends, 1.0, variance).log()
    apart = (taken * (x0 - x0_hat)) ** 2 * torch.exp(-log_variance)
    divergence = 0.5 * (log_variance - true - 1 + torch.exp(true - log_variance) + apart)
    term = torch.where(ends, -_level_log_probability(x0, mean, log_variance), divergence)
    return _mean(term, known) / math.log(2)


def _mean(error: Tensor, known: Tensor | None) -> Tensor:
    """The mean over (c h w), what is not known counted as 0."""
    return (error if known is None else error * known).mean((1, 2, 3))


def _level_log_probability(x0: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """log of N(mean, variance) over the grey level about x0; the outer levels reach to infinity."""
    scale = torch.exp(-log_variance / 2)
    above = torch.where(x0 > 0.999, 1.0, torch.special.ndtr((x0 + HALF_LEVEL - mean) * scale))
    below = torch.where(x0 < -0.999, 0.0, torch.special.ndtr((x0 - HALF_LEVEL - mean) * scale))
    return (above - below).clamp(min=LEAST_PROBABILITY).log()
