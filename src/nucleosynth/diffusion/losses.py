"""Losses on a state, one number a channel group."""

from collections.abc import Mapping

from torch import Tensor

from nucleosynth.diffusion.prediction import State


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
