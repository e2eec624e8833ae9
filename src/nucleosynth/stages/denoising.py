"""What the stages of Gaussian diffusion share: the process, what a network says of it, and the path from noise to data.

As published by ADM and all that stands on it: the noise is learned, and where between its bounds the variance of a step
lies (Nichol and Dhariwal, "Improved denoising diffusion probabilistic models", ICML 2021). With few training steps x0
is learned sooner and leaves no grain (measured on JointFlow: docs/decisions.md).
"""

from abc import abstractmethod
from collections.abc import Callable
from functools import cache
from typing import Literal, Self

from lightning_fabric import Fabric
from pydantic import Field, model_validator
from torch import Tensor

from nucleosynth.config import Settings
from nucleosynth.diffusion.losses import hybrid, squared_error, v_weight
from nucleosynth.diffusion.path import Noise
from nucleosynth.diffusion.prediction import Denoise, Prediction, State, Target, clipped, learned_range, x0_of
from nucleosynth.diffusion.samplers import SAMPLERS
from nucleosynth.diffusion.schedule import Chain, following, spaced, spaced_by_noise


class Gaussian(Settings):
    """A Gaussian process, and what the network says of its state."""

    steps: int = Field(1000, ge=1)
    """Clocks of the process."""
    target: Target = "x0"
    """What the network puts out; eps as published."""
    weight_limit: float = Field(11.0, gt=0)
    """With target x0, the weight of its squared error is 1 + SNR (then it is the error of v) up to this."""

    @property
    @abstractmethod
    def chain(self) -> Chain:
        """The process."""

    def x0(self, output: Tensor, x: Tensor, t: Tensor) -> Tensor:
        """The clean state (b c h w) that an output at x_t stands for; t (b,)."""
        alpha, sigma = (share(t).view(-1, 1, 1, 1) for share in (self.chain.alpha, self.chain.sigma))
        return x0_of(self.target, output, x, alpha, sigma)

    def error(self, output: Tensor, x0: Tensor, noise: Tensor, t: Tensor, known: Tensor | None = None) -> Tensor:
        """The loss (b,) of an output at x_t; t (b,) whole clocks, the rest (b c h w).

        known: 0 where x0 is not known, which then neither costs nor teaches; 1 elsewhere.
        """
        error = squared_error(self.target, output, x0, noise, t, self.chain, known)
        return error * v_weight(self.chain, t, self.weight_limit) if self.target == "x0" else error

    def times(self, path: "PathSettings", share: float = 1.0) -> Tensor:
        """The clocks (n + 1,) of a path from that share of the clocks to the data, with as much of its steps."""
        first = max(round(share * self.steps), 1)
        count = max(round(path.steps * first / self.steps), 1)
        if path.sampler == "ancestral" or path.spacing == "even":
            return spaced(self.steps, count, first)
        return spaced_by_noise(self.chain, count, first)

    def check_path(self, path: "PathSettings") -> None:
        """Refuse a path of more steps than the process has, or of none.

        Raises:
            ValueError: see above.
        """
        if not 1 <= path.steps <= self.steps:
            raise ValueError(f"1 to {self.steps} sampling steps (they are {path.steps})")


class Denoising(Gaussian):
    """The process of the one channel group that a stage makes, and what its network says of it."""

    schedule: Literal["linear", "cosine"] = "cosine"
    """How noise grows over the clocks (diffusion.schedule.Chain)."""
    learned_variance: bool = False
    """Whether the network also puts out the variance of a step, for the ancestral sampler; not with target x0."""

    @model_validator(mode="after")
    def _published_together(self) -> Self:
        """The loss of the variance stands beside one of even weight."""
        if self.learned_variance and self.target == "x0":
            raise ValueError("target eps or v where the variance is learned (target is x0)")
        return self

    @property
    def chain(self) -> Chain:
        """The process."""
        return chain_of(self.schedule, self.steps)

    def outputs(self, channels: int) -> int:
        """Channels that the network puts out for a state of so many."""
        return 2 * channels if self.learned_variance else channels

    def error(self, output: Tensor, x0: Tensor, noise: Tensor, t: Tensor, known: Tensor | None = None) -> Tensor:
        """As of every Gaussian process; where the variance is learned, output is (b 2c h w) and its bound is added."""
        if self.learned_variance:
            return hybrid(self.target, output, x0, noise, t, self.chain, known)
        return super().error(output, x0, noise, t, known)

    def prediction(self, raw: Tensor, x: Tensor, t: Tensor, s: Tensor) -> tuple[Tensor, Tensor | None]:
        """x0, and the log variance of the step t -> s where it is learned, from what the network put out at x_t."""
        output, *variance = raw.chunk(2, dim=1) if self.learned_variance else (raw,)
        return self.x0(output, x, t), learned_range(variance[0], self.chain, t, s) if variance else None

    def denoiser(self, fabric: Fabric, net: Callable[[Tensor, Tensor], Tensor], group: str, times: Tensor) -> Denoise:
        """A network of x_t and its clocks (b,) as the denoiser of a channel group along a path of these times (n,)."""

        def denoise(state: State, t: Tensor) -> Prediction:
            x, clock = state[group], t[:, 0]
            with fabric.autocast():
                raw = net(x, clock).float()
            x0, log_variance = self.prediction(raw, x, clock, following(times, clock))
            return Prediction({group: x0}, None if log_variance is None else {group: log_variance})

        return denoise

    def sample(self, denoise: Denoise, x: Tensor, group: str, times: Tensor, noise: Noise, sampler: str) -> Tensor:
        """The data (b c h w) in [-1, 1] at the end of a path of these times (n,) from x."""
        held = clipped(denoise, (group,))
        x0 = SAMPLERS[sampler](held, {group: x}, times[:, None], {group: self.chain}, noise)
        return x0[group].clamp(-1, 1)


PUBLISHED = Denoising(schedule="linear", target="eps", learned_variance=True)
"""ADM's, which NuDiff, SDM and DiffMix keep."""


class PathSettings(Settings):
    """How the path from noise to data is taken; a stage's own settings extend it."""

    sampler: Literal["ancestral", "ddim", "dpm_solver", "heun"] = "dpm_solver"
    """See diffusion.samplers; ancestral with every clock as published."""
    steps: int = 16
    """Steps from noise to data; from a part of the way, that part of them."""
    spacing: Literal["noise", "even"] = "noise"
    """Whether steps are even in log(alpha / sigma), or in clocks; in clocks where the sampler is ancestral."""


@cache
def chain_of(schedule: Literal["linear", "cosine", "log_snr"], steps: int) -> Chain:
    """The chain of that name and length, made once."""
    return {"linear": Chain.linear, "cosine": Chain.cosine, "log_snr": Chain.log_snr_cosine}[schedule](steps)
