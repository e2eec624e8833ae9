"""What the stages share: how a network is trained, by which optimisers, and the moving average that generates."""

from collections.abc import Mapping, Sequence
from typing import Generic, Literal, TypeVar, cast

import torch
from lightning_fabric import Fabric
from pydantic import Field
from torch import Tensor, nn
from torch.optim import Adam, AdamW, Optimizer

from nucleosynth.config import Settings
from nucleosynth.run import Run
from nucleosynth.training import checkpoint
from nucleosynth.training.checkpoint import Moment
from nucleosynth.training.ema import averaged
from nucleosynth.training.optimisers import muon_and_adamw
from nucleosynth.training.rates import set_rate, warm_then_decay

Net = TypeVar("Net", bound=nn.Module)


class TrainingSettings(Settings):
    """How a network is trained; a stage's own settings extend it."""

    batch: int = Field(32, ge=1)
    """Windows a step."""
    optimiser: Literal["muon", "adamw", "adam"] = "muon"
    """Muon for the matrices of the convolutions and AdamW for the rest, or one for all parameters."""
    learning_rate: float = Field(2e-3, gt=0)
    """Of all optimisers."""
    weight_decay: float = Field(0.01, ge=0)
    """Of AdamW where it has all parameters."""
    warmup: int = Field(50, ge=0)
    """Steps over which the learning rate rises."""
    decay: float = Field(0.4, ge=0, le=1)
    """The last share of the budget, over which the learning rate falls to nothing."""
    ema: float = Field(0.995, ge=0, lt=1)
    """Decay of the moving average that generates."""

    def optimisers(self, net: nn.Module, matrices: Sequence[nn.Parameter]) -> Mapping[str, Optimizer]:
        """The optimisers of a network, by name; matrices: those for Muon."""
        if self.optimiser == "muon":
            return muon_and_adamw(net, matrices, self.learning_rate)
        if self.optimiser == "adam":
            return {"adam": Adam(net.parameters(), lr=self.learning_rate, betas=(0.9, 0.99))}
        return {"adamw": AdamW(net.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay)}


class AveragedStage(Generic[Net]):
    """A network, its moving average, its optimisers: a training.loop.Stage but for the `step` that its heir gives it.

    net: the network, untrained; matrices: those of its parameters that are for Muon.
    """

    def __init__(self, name: str, net: Net, matrices: Sequence[nn.Parameter], training: TrainingSettings) -> None:
        self.name, self.training = name, training
        self.net = net.to(memory_format=torch.channels_last)
        self.average = averaged(self.net, training.ema)
        self.modules: Mapping[str, nn.Module] = {"net": self.net, "average": self.average}
        self.optimisers = training.optimisers(self.net, matrices)

    @property
    def averaged_net(self) -> Net:
        """The network with the averaged weights: the one that generates."""
        return cast(Net, self.average.module)

    def setup(self, fabric: Fabric) -> None:
        """Put the network and its average on the device."""
        self.average.to(fabric.device)
        self.wrapped, *self.wrapped_optimisers = fabric.setup(self.net, *self.optimisers.values())

    def descend(self, fabric: Fabric, loss: Tensor, moment: Moment, share: float = 1.0) -> None:
        """One step down the loss, at the moment's learning rate times `share`; the average follows."""
        fabric.backward(loss)
        training = self.training
        rate = share * warm_then_decay(moment, training.learning_rate, training.warmup, training.decay)
        for optimiser in self.wrapped_optimisers:
            set_rate(optimiser, rate)
            optimiser.step()
            optimiser.zero_grad()
        self.average.update_parameters(self.net)

    def trained(self, run: Run, method: str, fabric: Fabric) -> Net:
        """The averaged network of a method's run, on the fabric's device.

        Raises:
            UserError: the run has no checkpoint, or one of another method or of a network of other shapes.
        """
        checkpoint.load(run.checkpoint(self.name), f"{method}/{self.name}", {"average": self.average})
        return self.averaged_net.to(fabric.device)
