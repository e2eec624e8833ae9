"""What the stages of Gaussian diffusion share: what a network learns to put out, what that means, how it is trained.

As published by ADM and all that stands on it: the noise, and where between its bounds the variance of a step lies
(Nichol and Dhariwal, "Improved denoising diffusion probabilistic models", ICML 2021). With few training steps x0 is
learned sooner and leaves no grain (measured on JointFlow: docs/decisions.md).
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Literal, Self

from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from nucleosynth.config import Settings
from nucleosynth.diffusion.losses import hybrid, squared_error
from nucleosynth.diffusion.prediction import Target, learned_range, x0_of
from nucleosynth.diffusion.schedule import Chain
from nucleosynth.training.checkpoint import Moment
from nucleosynth.training.optimisers import muon_and_adamw
from nucleosynth.training.rates import set_rate, warm_then_decay


class Denoising(Settings):
    """The process, and what the network says of it."""

    schedule: Literal["linear", "cosine"] = "cosine"
    """How noise grows over the clocks (diffusion.schedule.Chain)."""
    steps: int = Field(1000, ge=1)
    """Clocks of the process."""
    target: Target = "x0"
    """What the network puts out."""
    learned_variance: bool = False
    """Whether it also puts out the variance of a step, for the ancestral sampler; not with target x0."""
    weight_limit: float = Field(11.0, gt=0)
    """With target x0, the weight of its squared error is 1 + SNR (then it is the error of v) up to this."""

    @model_validator(mode="after")
    def _published_together(self) -> Self:
        """The loss of the variance stands beside one of even weight."""
        if self.learned_variance and self.target == "x0":
            raise ValueError("target eps or v where the variance is learned (target is x0)")
        return self

    @property
    def chain(self) -> Chain:
        """The process."""
        return _chain(self.schedule, self.steps)

    def outputs(self, channels: int) -> int:
        """Channels that the network puts out for a state of so many."""
        return 2 * channels if self.learned_variance else channels

    def error(self, raw: Tensor, x0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """The loss (b,) of what the network put out at x_t; t (b,) whole clocks, the rest (b c h w)."""
        if self.learned_variance:
            return hybrid(self.target, raw, x0, noise, t, self.chain)
        error = squared_error(self.target, raw, x0, noise, t, self.chain)
        return error * self._weight(t) if self.target == "x0" else error

    def prediction(self, raw: Tensor, x: Tensor, t: Tensor, s: Tensor) -> tuple[Tensor, Tensor | None]:
        """x0, and the log variance of the step t -> s where it is learned, from what the network put out at x_t."""
        output, *variance = raw.chunk(2, dim=1) if self.learned_variance else (raw,)
        x0 = x0_of(self.target, output, x, *self._shares(t))
        return x0, learned_range(variance[0], self.chain, t, s) if variance else None

    def _shares(self, t: Tensor) -> tuple[Tensor, Tensor]:
        return self.chain.alpha(t).view(-1, 1, 1, 1), self.chain.sigma(t).view(-1, 1, 1, 1)

    def _weight(self, t: Tensor) -> Tensor:
        return (1 + self.chain.log_snr(t).exp()).clamp(max=self.weight_limit)


PUBLISHED = Denoising(schedule="linear", target="eps", learned_variance=True)
"""ADM's, which NuDiff, SDM and DiffMix keep."""


class TrainingSettings(Settings):
    """How a network is trained."""

    batch: int = Field(32, ge=1)
    """Windows a step."""
    optimiser: Literal["muon", "adamw"] = "muon"
    """AdamW for all parameters, or Muon for the convolutions' matrices and AdamW for the rest."""
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
        return {"adamw": AdamW(net.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay)}

    def advance(self, optimisers: Sequence[Optimizer], moment: Moment, share: float = 1.0) -> None:
        """One step of each optimiser at the moment's learning rate, times `share`."""
        rate = share * warm_then_decay(moment, self.learning_rate, self.warmup, self.decay)
        for optimiser in optimisers:
            set_rate(optimiser, rate)
            optimiser.step()
            optimiser.zero_grad()


@cache
def _chain(schedule: str, steps: int) -> Chain:
    return {"linear": Chain.linear, "cosine": Chain.cosine}[schedule](steps)
