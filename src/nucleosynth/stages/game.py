"""The base of all adversarial stages: a generator, its moving average, its critics, and every optimiser of them.

A step is the critics' step, then the generator's, on one forward pass of the generator (Goodfellow et al., NeurIPS
2014). An heir says what is made (`fake`), what the critics lose and what the generator loses. Everything that changes
is in the checkpoint, the critics and the optimisers among it, so that a resumed game equals an uninterrupted one. When
a critic tells nearly all patches apart for long, it has won and the generator learns little: adversarial.watch says so,
and the step's log.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Generic, NamedTuple, TypeVar, cast

import torch
from lightning_fabric import Fabric
from pydantic import Field
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from nucleosynth.adversarial.losses import OBJECTIVES, Kind, Objective
from nucleosynth.adversarial.watch import Watch, still
from nucleosynth.config import Settings
from nucleosynth.run import Run
from nucleosynth.training import checkpoint
from nucleosynth.training.checkpoint import Moment
from nucleosynth.training.ema import averaged
from nucleosynth.training.rates import set_rate, warm_then_decay

Net = TypeVar("Net", bound=nn.Module)
Batch = TypeVar("Batch")
Fake = TypeVar("Fake")


class GameSettings(Settings):
    """How a generator and its critics are trained; a stage's own settings extend it."""

    batch: int = Field(16, ge=1)
    """Windows a step."""
    generator_rate: float = Field(2e-4, gt=0)
    """Learning rate of the generator."""
    critic_rate: float = Field(2e-4, gt=0)
    """Learning rate of the critics."""
    betas: tuple[float, float] = (0.5, 0.999)
    """Adam's, of both sides."""
    decay: float = Field(0.5, ge=0, le=1)
    """The last share of the budget, over which both learning rates fall to nothing."""
    ema: float = Field(0.995, ge=0, lt=1)
    """Decay of the moving average that generates."""
    loss: Kind = "least_squares"
    """The kind of game."""
    adversarial: float = Field(1.0, ge=0)
    """Weight of the adversarial loss, a mean over the critic's scales, among the generator's."""
    feature_matching: float = Field(10.0, ge=0)
    """Weight of the distance between the critic's features of real and fake."""
    perceptual: float = Field(0.0, ge=0)
    """Weight of the distance between VGG19's features of real and fake, where its weights are at hand; 0 = none."""
    perceptual_weights: str = "imagenet"
    """VGG19's: imagenet (torchvision's, from its cache, else off and said so), imagenet:download, or a file."""
    won: float = Field(0.95, gt=0.5, le=1)
    """Share of the patches told apart above which, as a running mean, a critic is said to have won; 1 = never."""

    @property
    def objective(self) -> Objective:
        """What both sides lose in a game of this kind."""
        return OBJECTIVES[self.loss]


class Judgement(NamedTuple):
    """What the critics of one batch lose, by name, and the share of patches (0..1) that each told apart, by critic."""

    losses: Mapping[str, Tensor]
    right: Mapping[str, Tensor]


class Game(ABC, Generic[Net, Batch, Fake]):
    """A training.loop.Stage, given what an heir makes and loses.

    generator: untrained; critics: by name, untrained, without what is frozen. In `critic_losses` an heir asks the
    `wrapped_critics`, in `generator_losses` the plain `critics`, whose weights do not learn there. maps: loads the
    frozen network of the perceptual loss when training begins, or says that there is none; then it is at `maps`.
    """

    def __init__(
        self,
        name: str,
        generator: Net,
        critics: Mapping[str, nn.Module],
        training: GameSettings,
        maps: Callable[[], nn.Module | None] | None = None,
    ) -> None:
        self.name, self.training = name, training
        self._load_maps = maps if training.perceptual else None
        self.maps: nn.Module | None = None
        self.generator = generator.to(memory_format=torch.channels_last)
        self.average = averaged(self.generator, training.ema)
        self.critics = {key: critic.to(memory_format=torch.channels_last) for key, critic in critics.items()}
        self.watch = Watch(critics, training.won)
        self.modules: Mapping[str, nn.Module] = {
            "generator": self.generator,
            "average": self.average,
            "watch": self.watch,
            **self.critics,
        }
        self.optimisers: Mapping[str, Optimizer] = {
            "generator": _adam(self.generator, training.generator_rate, training.betas),
            **{key: _adam(critic, training.critic_rate, training.betas) for key, critic in self.critics.items()},
        }
        assert len(self.modules) == 3 + len(critics), "no critic is named as another part"

    @property
    def averaged_net(self) -> Net:
        """The generator with the averaged weights: the one that generates."""
        return cast(Net, self.average.module)

    @abstractmethod
    def received(self, fabric: Fabric, batch: Any, moment: Moment) -> Batch:
        """What `batch_at` made, as tensors on the fabric's device, and what the moment decides of it."""

    @abstractmethod
    def fake(self, batch: Batch) -> Fake:
        """What the `wrapped_generator` makes for a batch, with its graph."""

    @abstractmethod
    def critic_losses(self, batch: Batch, fake: Fake) -> Judgement:
        """What the `wrapped_critics` lose; an heir detaches the fake. Their sum is descended."""

    @abstractmethod
    def generator_losses(self, batch: Batch, fake: Fake) -> Mapping[str, Tensor]:
        """What the generator loses, by name, already weighted, by the plain `critics`. Their sum is descended."""

    def setup(self, fabric: Fabric) -> None:
        """Put all networks and optimisers on the device."""
        self.average.to(fabric.device)
        self.watch.to(fabric.device)
        found = self._load_maps() if self._load_maps else None
        self.maps = found and found.to(fabric.device)
        self.wrapped_generator, self._generator_optimiser = fabric.setup(self.generator, self.optimisers["generator"])
        pairs = {key: fabric.setup(critic, self.optimisers[key]) for key, critic in self.critics.items()}
        self.wrapped_critics = {key: critic for key, (critic, _) in pairs.items()}
        self._critic_optimisers = [optimiser for _, optimiser in pairs.values()]

    def step(self, fabric: Fabric, batch: Any, moment: Moment) -> dict[str, Tensor]:
        """The critics' step, then the generator's; the average follows. All losses, and what the watch has seen."""
        received = self.received(fabric, batch, moment)
        fake = self.fake(received)
        judged = self.critic_losses(received, fake)
        self._descend(fabric, judged.losses, self._critic_optimisers, self.training.critic_rate, moment)
        with fabric.autocast(), still(self.critics.values()):
            losses = self.generator_losses(received, fake)
        self._descend(fabric, losses, [self._generator_optimiser], self.training.generator_rate, moment)
        self.average.update_parameters(self.generator)
        return {**losses, **judged.losses, **self.watch.see(judged.right, moment, self.name)}

    def trained(self, run: Run, method: str, fabric: Fabric) -> Net:
        """The averaged generator of a method's run, on the fabric's device.

        Raises:
            UserError: the run has no checkpoint, or one of another method or of a network of other shapes.
        """
        checkpoint.load(run.checkpoint(self.name), f"{method}/{self.name}", {"average": self.average})
        return self.averaged_net.to(fabric.device)

    def _descend(
        self, fabric: Fabric, losses: Mapping[str, Tensor], optimisers: list[Any], rate: float, moment: Moment
    ) -> None:
        fabric.backward(torch.stack([loss.float() for loss in losses.values()]).sum())
        for optimiser in optimisers:
            set_rate(optimiser, warm_then_decay(moment, rate, 0, self.training.decay))
            optimiser.step()
            optimiser.zero_grad()


def _adam(network: nn.Module, rate: float, betas: tuple[float, float]) -> Optimizer:
    """Adam of what is not frozen."""
    return Adam([weight for weight in network.parameters() if weight.requires_grad], lr=rate, betas=betas)
