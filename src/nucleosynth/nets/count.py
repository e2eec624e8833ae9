"""FLOPs and parameters, counted by running a network on shapes alone (no memory, no time)."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def gflop(call: Callable[[], Any]) -> float:
    """GFLOP of the matrix products and convolutions of one call; 1 multiply-add = 2 FLOP.

    Build the network and its inputs under `torch.device("meta")` first, so that nothing is computed.
    """
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        call()
    return float(counter.get_total_flops() / 1e9)


def parameters(module: nn.Module) -> int:
    """Number of parameters."""
    return sum(parameter.numel() for parameter in module.parameters())
