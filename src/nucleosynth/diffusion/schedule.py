"""How much data and how much noise there is at each clock: Gaussian processes, and chains of whole steps.

A chain's clock is a whole number kept as a float: 0 is data, T is noise (Ho et al., NeurIPS 2020). Its signal is abar:
x_t = sqrt(abar_t) x0 + sqrt(1 - abar_t) noise. A path over fewer clocks (`spaced`) is a path of the same chain: what is
asked below is asked for two clocks s < t, not for neighbours.
"""

import math
from dataclasses import dataclass
from typing import Protocol, Self

import torch
from torch import Tensor

from nucleosynth.errors import UserError

OFFSET = 0.008
"""Keeps the first steps of a cosine schedule from being too small (Nichol and Dhariwal, ICML 2021, Eq. 17)."""
LARGEST_BETA = 0.999
"""Of a cosine schedule (ibid., Section 3.2): the last step keeps something."""


class Process(Protocol):
    """A Gaussian process x_t = alpha(t) x0 + sigma(t) noise; nothing else of it is ever asked."""

    def alpha(self, t: Tensor) -> Tensor:
        """Share of the data."""

    def sigma(self, t: Tensor) -> Tensor:
        """Share of the noise."""


@dataclass(frozen=True, eq=False)
class Chain:
    """A process in T steps.

    signal: (T + 1,) float64, abar of the clocks 0 .. T: 1 at 0, falling, above 0; UserError otherwise.
    """

    signal: Tensor

    def __post_init__(self) -> None:
        signal = self.signal
        if len(signal) < 2 or signal[0] != 1 or not (signal.diff() < 0).all() or not signal[-1] > 0:
            raise UserError(
                "a chain whose noise does not grow at every step",
                expected="a signal that falls from 1 and stays above 0",
                got=f"{len(signal) - 1} steps, from {float(signal[0]):.3g} to {float(signal[-1]):.3g}",
                mend="take more steps, or other ends of the schedule",
            )

    @classmethod
    def linear(cls, steps: int = 1000, low: float = 1e-4, high: float = 0.02) -> Self:
        """Noise variances (betas) from low to high, evenly; scaled by 1000 / steps (Dhariwal and Nichol, ADM, 2021)."""
        scale = 1000 / steps
        return cls.of_betas(torch.linspace(scale * low, scale * high, steps, dtype=torch.float64))

    @classmethod
    def cosine(cls, steps: int = 1000) -> Self:
        """abar_t = f(t) / f(0), f(t) = cos^2 of the way to a quarter turn (Nichol and Dhariwal, 2021, Eq. 17)."""
        f = _cosine(torch.linspace(0, 1, steps + 1, dtype=torch.float64))
        return cls.of_betas((1 - f[1:] / f[:-1]).clamp(max=LARGEST_BETA))

    @classmethod
    def log_snr_cosine(cls, steps: int = 1000, last: float = 0.999) -> Self:
        """abar_i = sigmoid(logSNR(last i / T)), logSNR(u) = -log(cos^-2(((u + .008) / 1.008) pi/2) - 1) (CoSyn).

        That sigmoid is the cosine's square. At u = 0 the released code has abar = .99984; here clock 0 is data, so 1.
        """
        signal = _cosine(torch.linspace(0, last, steps + 1, dtype=torch.float64))
        return cls(torch.cat([torch.ones(1, dtype=torch.float64), signal[1:]]))

    @classmethod
    def of_betas(cls, betas: Tensor) -> Self:
        """From the noise variance that each step adds, (T,) float64."""
        return cls(torch.cat([torch.ones(1, dtype=torch.float64), (1 - betas).cumprod(0)]))

    @property
    def steps(self) -> int:
        """T."""
        return len(self.signal) - 1

    def alpha(self, t: Tensor) -> Tensor:
        """sqrt(abar_t), for whole clocks of any shape, in their type (float32 unless they are float64)."""
        return looked_up(self.signal.sqrt(), t)

    def sigma(self, t: Tensor) -> Tensor:
        """sqrt(1 - abar_t), likewise."""
        return looked_up((1 - self.signal).sqrt(), t)

    def log_snr(self, t: Tensor) -> Tensor:
        """log(abar_t / (1 - abar_t)), likewise; infinite at 0."""
        return looked_up(self.signal.logit(), t)

    def noised(self, x0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """x_t of a group (b c h w), each sample at its own clock t (b,)."""
        return self.alpha(t).view(-1, 1, 1, 1) * x0 + self.sigma(t).view(-1, 1, 1, 1) * noise

    def draw_clocks(self, batch: int) -> Tensor:
        """Whole clocks 1 .. T for training, each as likely as any other: (b,), from torch's global generator."""
        return torch.randint(1, self.steps + 1, (batch,)).float()


FAINTEST, LAST = -5.0, 0.01
"""log(alpha / sigma), and share of the clocks, between which `spaced_by_noise` is even."""


@dataclass(frozen=True)
class Reverse:
    """The step back t -> s of a Gaussian process with x0 known: q(x_s | x_t, x0) = N(kept x_t + taken x0, variance).

    Ho et al., 2020, Eq. 7, for clocks that need not be neighbours: variance is beta-tilde, and beta is the noise that
    the way s -> t adds. Each has the clocks' shape.
    """

    kept: Tensor
    taken: Tensor
    variance: Tensor
    beta: Tensor

    @classmethod
    def of(cls, process: Process, t: Tensor, s: Tensor) -> Self:
        """The step between two clocks of the same shape, in their type; t is not 0."""
        (alpha_t, sigma_t), (alpha_s, sigma_s) = ((process.alpha(clock), process.sigma(clock)) for clock in (t, s))
        ratio = alpha_t * sigma_s / (alpha_s * sigma_t)  # exp of the difference of log(alpha / sigma)
        gained = 1 - ratio**2
        return cls(ratio * sigma_s / sigma_t, alpha_s * gained, sigma_s**2 * gained, sigma_t**2 * gained)


def spaced(steps: int, evaluations: int, start: int | None = None) -> Tensor:
    """Whole clocks from `start` (T = steps unless given) down to 0, as even as may be, each once: (n + 1,) float32.

    Raises UserError for fewer than 1 or more than `start` steps, or a start outside 1 .. T.

    Example:
        >>> spaced(1000, 4).tolist(), spaced(10, 4).tolist()
        ([1000.0, 750.0, 500.0, 250.0, 0.0], [10.0, 8.0, 5.0, 3.0, 0.0])
    """
    first = steps if start is None else start
    if not 1 <= first <= steps or not 1 <= evaluations <= first:
        raise UserError(
            "a path that the chain does not have",
            expected=f"a start from 1 to {steps}, and 1 to as many steps",
            got=f"start {first}, {evaluations} steps",
        )
    halves = first * torch.arange(evaluations, -1, -1)
    return ((2 * halves + evaluations) // (2 * evaluations)).float()


def spaced_by_noise(chain: Chain, evaluations: int, start: int | None = None) -> Tensor:
    """Whole clocks of a chain from `start` down to 0, each once, as even as may be in log(alpha / sigma): (n + 1,).

    Where x0-hat bends is where the noise changes, not the clock (Lu et al., DPM-Solver, NeurIPS 2022, 3.4). Between
    `FAINTEST` (what is fainter says nothing yet) and the clock at `LAST` of the way; the last step goes to the data.
    Raises UserError as `spaced`.

    Example:
        >>> spaced_by_noise(Chain.cosine(), 4).tolist()
        [1000.0, 922.0, 266.0, 10.0, 0.0]
    """
    even = spaced(chain.steps, evaluations, start)
    ratio = chain.signal[1 : int(even[0]) + 1].logit() / 2
    last = ratio[min(max(round(LAST * chain.steps), 1), len(ratio)) - 1]
    wanted = torch.linspace(max(float(ratio[-1]), FAINTEST), float(last), evaluations, dtype=torch.float64)
    clocks = (ratio[None] - wanted[:, None]).abs().argmin(1) + 1
    clocks[0] = int(even[0])
    order = torch.arange(evaluations)
    clocks = torch.maximum((clocks + order).cummin(0).values - order, evaluations - order)  # each once
    return torch.cat([clocks, torch.zeros(1, dtype=torch.int64)]).float()


def following(times: Tensor, t: Tensor) -> Tensor:
    """The clock that a path goes to from each t: times (n + 1,) falling, t of any shape, each one of times[:-1].

    A denoiser with a learned variance needs it: the variance belongs to a step, and a denoiser sees its start alone.
    """
    times = times.to(t.device, t.dtype)
    at = torch.searchsorted(-times, -t.contiguous())
    return times[at + 1]


def looked_up(values: Tensor, t: Tensor) -> Tensor:
    """values (T + 1,) at whole clocks t of any shape, in the clocks' type (float32 for integers), on their device."""
    kind = t.dtype if t.is_floating_point() else torch.float32
    return values.to(kind).to(t.device)[t.long()]


def _cosine(u: Tensor) -> Tensor:
    return torch.cos((u + OFFSET) / (1 + OFFSET) * math.pi / 2) ** 2
