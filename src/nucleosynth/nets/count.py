"""FLOPs and parameters, and what a pair costs: counted by running a network on shapes alone (nothing is computed)."""

from collections.abc import Callable
from typing import Any, Self

import torch
from pydantic import BaseModel, ConfigDict
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from nucleosynth.nets.memory import peak_mb


class StageCost(BaseModel):
    """What one network of a method costs for one pair; counted on shapes alone. 1 multiply-add = 2 FLOP."""

    model_config = ConfigDict(frozen=True)
    name: str
    parameters: int
    """Parameters that generation uses."""
    gflop_per_evaluation: float
    """One plain pass."""
    gflop_once: float
    """What is computed once a sample."""
    gflop_cached: float
    """A pass after that."""
    evaluations: int
    """Passes a pair, as sampled by default; a guided step is two."""
    peak_mb: float
    """Live tensors at the peak of one plain pass of a pair, MB, float32, weights apart."""

    @property
    def gflop(self) -> float:
        """This stage's GFLOP for one pair."""
        return self.gflop_once + self.gflop_cached * self.evaluations

    @classmethod
    def of(
        cls,
        name: str,
        net: nn.Module,
        plain: Callable[[], Any],
        cached: Callable[[], Any] | None = None,
        *,
        evaluations: int,
    ) -> Self:
        """Of one plain pass of one pair, and of one after what is computed once a sample, if there is such a part."""
        whole = gflop(plain)
        rest = whole if cached is None else gflop(cached)
        return cls(
            name=name,
            parameters=parameters(net),
            gflop_per_evaluation=whole,
            gflop_once=whole - rest,
            gflop_cached=rest,
            evaluations=evaluations,
            peak_mb=peak_mb(plain),
        )


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
