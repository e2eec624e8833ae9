"""The way of a state through its clocks: the numbers of each step, the denoiser's view of it, the categorical draws.

Any Gaussian process is a rescaled flow: with s = alpha / (alpha + sigma) and y = x / (alpha + sigma),
y = s x0 + (1 - s) noise. So samplers work in (s, y), whatever the process and the direction of its clock. A categorical
group moves by its posterior, the same in every sampler: one draw a step, the likeliest id at the data.
"""

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor

from nucleosynth.diffusion.categorical import Categorical, drawn
from nucleosynth.diffusion.prediction import Denoise, Prediction, State
from nucleosynth.diffusion.schedule import Process

Move = tuple[float, float]
"""A group's step in s: (from, to)."""


class Noise(Protocol):
    """Random numbers of a path, of a group's own shape, the same whenever asked: a function of (seed, k, name, step).

    Step 0 is the start's; step i + 1 is drawn on the way from clock i to clock i + 1.
    """

    def normal(self, name: str, step: int) -> Tensor:
        """Standard normal, (b c h w)."""

    def uniform(self, name: str, step: int) -> Tensor:
        """In [0, 1), (b h w)."""


class Path:
    """The steps of each group; states go in as x and are y between `enter` and `leave` (ids stay as they are)."""

    def __init__(
        self, times: Tensor, state: State, processes: Mapping[str, Process | Categorical], noise: Noise | None
    ) -> None:
        self._times, self._noise = times, noise
        self.steps = len(times) - 1
        self._batch = len(next(iter(state.values())))
        self._scale: dict[str, Tensor] = {}
        self._s: dict[str, list[float]] = {}
        self._categorical: dict[str, tuple[Categorical, Tensor]] = {}
        for name, t in zip(state, times.double().unbind(1), strict=True):
            process = processes[name]
            if isinstance(process, Categorical):
                self._categorical[name] = process, t
                continue
            alpha, sigma = process.alpha(t), process.sigma(t)
            self._scale[name] = alpha + sigma
            self._s[name] = (alpha / (alpha + sigma)).tolist()

    @property
    def gaussian(self) -> tuple[str, ...]:
        """The groups that a sampler moves itself."""
        return tuple(self._s)

    @property
    def noise(self) -> Noise:
        """The path's random numbers, which must have been given."""
        assert self._noise is not None, "ancestral steps and categorical groups need noise"
        return self._noise

    def enter(self, state: State) -> State:
        """x -> y at the first clock."""
        return state | {name: state[name] / float(self._scale[name][0]) for name in self._s}

    def leave(self, y: State) -> State:
        """y -> x at the last clock."""
        return y | {name: y[name] * self.scale(name, self.steps) for name in self._s}

    def scale(self, name: str, i: int) -> float:
        """x / y at clock i."""
        return float(self._scale[name][i])

    def move(self, name: str, i: int) -> Move:
        """Step i of a Gaussian group."""
        return self._s[name][i], self._s[name][i + 1]

    def ends_at_data(self, i: int) -> bool:
        """Whether step i takes every Gaussian group to the data."""
        return all(s[i + 1] >= 1 for s in self._s.values())

    def evaluate(self, denoise: Denoise, y: State, i: int) -> Prediction:
        """What the denoiser says at clock i."""
        x = y | {name: y[name] * self.scale(name, i) for name in self._s}
        device = next(iter(x.values())).device
        t = self._times[i].to(device, torch.float32).expand(self._batch, -1)
        return denoise(x, t)

    def redrawn(self, y: State, x0: State, i: int) -> State:
        """The state with its categorical groups moved over step i; x0: the prediction at its start."""
        return y | {name: self._redrawn(name, y[name], x0[name].float(), i) for name in self._categorical}

    def _redrawn(self, name: str, ids: Tensor, log_x0: Tensor, i: int) -> Tensor:
        process, times = self._categorical[name]
        if times[i] == times[i + 1]:
            return ids
        if times[i + 1] == 0:
            return log_x0.argmax(1)
        t, s = times[i : i + 2].to(ids.device, torch.float32).unsqueeze(1).expand(-1, self._batch)
        return drawn(process.posterior(ids, log_x0, t, s), self.noise.uniform(name, i + 1))
