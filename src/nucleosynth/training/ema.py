"""Exponential moving average of weights, the weights that generate."""

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

Tensors = tuple[Tensor, ...] | list[Tensor]


def averaged(module: nn.Module, decay: float) -> AveragedModel:
    """A moving average of `module`; call `update_parameters(module)` after each step.

    The decay grows as min(decay, (1 + n) / (10 + n)) over the updates n, so that a short run is not held back by its
    random start.
    """

    @torch.no_grad()
    def towards(average: Tensors, current: Tensors, updates: Tensor | int) -> None:
        n = int(updates)
        torch._foreach_lerp_(average, current, 1 - min(decay, (1 + n) / (10 + n)))

    return AveragedModel(module, multi_avg_fn=towards, use_buffers=False).requires_grad_(False)
