"""What is known exactly of a Gaussian mixture under noise, and random numbers by name and step."""

import torch
from torch import Tensor

from nucleosynth.diffusion.prediction import Denoise, Prediction, State
from nucleosynth.diffusion.schedule import Process
from nucleosynth.seeds import seed_of

MEANS = torch.tensor([-2.0, 0.5, 3.0], dtype=torch.float64)
SHARES = torch.tensor([0.3, 0.5, 0.2], dtype=torch.float64)
SPREAD = 0.4


def exact(x: Tensor, alpha: float, sigma: float) -> Tensor:
    """E[x0 | x_t], number by number."""
    variance = alpha**2 * SPREAD**2 + sigma**2
    x = x[..., None].double()
    weight = torch.softmax(SHARES.log() - (x - alpha * MEANS) ** 2 / (2 * variance), dim=-1)
    posterior = MEANS + alpha * SPREAD**2 / variance * (x - alpha * MEANS)
    return (weight * posterior).sum(-1)


def denoiser(process: Process) -> Denoise:
    """The exact one, for groups that are all mixtures."""

    def denoise(state: State, t: Tensor) -> Prediction:
        clock = t[0].double()
        return Prediction(
            {
                name: exact(x, float(process.alpha(clock[i])), float(process.sigma(clock[i])))
                for i, (name, x) in enumerate(state.items())
            }
        )

    return denoise


def cumulative(x: Tensor, alpha: float, sigma: float) -> Tensor:
    """P(x_t <= x)."""
    spread = (alpha**2 * SPREAD**2 + sigma**2) ** 0.5
    return (SHARES * torch.special.ndtr((x[..., None] - alpha * MEANS) / spread)).sum(-1)


def quantile(p: Tensor, alpha: float, sigma: float) -> Tensor:
    """The inverse of `cumulative`, by bisection."""
    low, high = torch.full_like(p, -20.0), torch.full_like(p, 20.0)
    for _ in range(80):
        middle = (low + high) / 2
        under = cumulative(middle, alpha, sigma) < p
        low, high = torch.where(under, middle, low), torch.where(under, high, middle)
    return (low + high) / 2


class Numbers:
    """A diffusion.samplers.Noise of some shapes, in float64."""

    def __init__(self, seed: int, **shapes: tuple[int, ...]) -> None:
        self._seed, self._shapes = seed, shapes

    def _generator(self, name: str, step: int) -> torch.Generator:
        return torch.Generator().manual_seed(seed_of(self._seed, list(self._shapes).index(name), step))

    def normal(self, name: str, step: int) -> Tensor:
        return torch.randn(self._shapes[name], generator=self._generator(name, step), dtype=torch.float64)

    def uniform(self, name: str, step: int) -> Tensor:
        return torch.rand(self._shapes[name], generator=self._generator(name, step), dtype=torch.float64)
