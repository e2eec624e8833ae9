"""Samplers: plain functions of (denoise, state, times, processes), deterministic, for any Gaussian process.

Any process is a rescaled flow: with s = alpha / (alpha + sigma) and y = x / (alpha + sigma), y = s x0 + (1 - s)
noise. So all of them work in (s, y), where d(y / (1 - s)) = x0-hat ds / (1 - s)^2 is the probability-flow equation,
solved exactly for an x0-hat that is a polynomial in s. A group whose clock stands still stays as it is: that is how a
known side is kept.

times: (n + 1, g), the clocks of each group from the start to the end of sampling.
"""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from nucleosynth.diffusion.flow import Process
from nucleosynth.diffusion.prediction import Denoise, State

Sampler = Callable[[Denoise, State, Tensor, Mapping[str, Process]], State]
Move = tuple[float, float]
"""A group's step in s: (from, to)."""


def euler(denoise: Denoise, state: State, times: Tensor, processes: Mapping[str, Process]) -> State:
    """First order: x0-hat held over the step; DDIM (Song et al., ICLR 2021). One evaluation a step."""
    path = _Path(times, state, processes)
    y = path.enter(state)
    for i in range(path.steps):
        x0 = path.evaluate(denoise, y, i)
        y = {name: _advance(y[name], x0[name], None, path.move(name, i)) for name in y}
    return path.leave(y)


def heun(denoise: Denoise, state: State, times: Tensor, processes: Mapping[str, Process]) -> State:
    """Second order: a trial step, then x0-hat linear between both ends (Karras et al., EDM, 2022, Algorithm 1, in x0).

    Two evaluations a step, one in a last step that ends at the data.
    """
    path = _Path(times, state, processes)
    y = path.enter(state)
    for i in range(path.steps):
        x0 = path.evaluate(denoise, y, i)
        trial = {name: _advance(y[name], x0[name], None, path.move(name, i)) for name in y}
        if path.ends_at_data(i):
            y = trial
            continue
        ahead = path.evaluate(denoise, trial, i + 1)
        y = {
            name: _advance(y[name], x0[name], _slope(ahead[name], x0[name], path.move(name, i)), path.move(name, i))
            for name in y
        }
    return path.leave(y)


def multistep(denoise: Denoise, state: State, times: Tensor, processes: Mapping[str, Process]) -> State:
    """Second order at one evaluation a step: x0-hat linear through this step's and the last one's.

    The data-prediction multistep of DPM-Solver++(2M) (Lu et al., 2022, Algorithm 2), with x0-hat linear in s instead
    of in log(alpha / sigma), so that pure noise (s = 0) is an ordinary start. A last step that ends at the data is
    first order.
    """
    path = _Path(times, state, processes)
    y = path.enter(state)
    before: State | None = None
    for i in range(path.steps):
        x0 = path.evaluate(denoise, y, i)
        moved = {}
        for name in y:
            straight = before is None or path.ends_at_data(i)
            slope = None if straight or before is None else _slope(x0[name], before[name], path.move(name, i - 1))
            moved[name] = _advance(y[name], x0[name], slope, path.move(name, i))
        y, before = moved, x0
    return path.leave(y)


SAMPLERS: Mapping[str, Sampler] = {"euler": euler, "heun": heun, "multistep": multistep}


def evaluations(sampler: str, steps: int) -> int:
    """Network evaluations of a whole path to the data in that many steps."""
    return 2 * steps - 1 if sampler == "heun" else steps


def _advance(y: Tensor, x0: Tensor, slope: Tensor | None, move: Move) -> Tensor:
    """Exact solution of the flow over [s, r] for x0-hat(s') = x0 + slope (s' - s)."""
    s, r = move
    if s == r:
        return y
    kept = (1 - r) / (1 - s)
    moved = kept * y + (1 - kept) * x0
    if slope is None:
        return moved
    return moved + ((r - s) + ((1 - r) * math.log(kept) if r < 1 else 0.0)) * slope


def _slope(late: Tensor, early: Tensor, move: Move) -> Tensor | None:
    return None if move[0] == move[1] else (late - early) / (move[1] - move[0])


class _Path:
    """The steps of each group in s, and the way from x to y and back."""

    def __init__(self, times: Tensor, state: State, processes: Mapping[str, Process]) -> None:
        self._times = times
        self.steps = len(times) - 1
        self._batch = len(next(iter(state.values())))
        self._scale: dict[str, Tensor] = {}
        self._s: dict[str, list[float]] = {}
        for name, t in zip(state, times.double().unbind(1), strict=True):
            alpha, sigma = processes[name].alpha(t), processes[name].sigma(t)
            self._scale[name] = alpha + sigma
            self._s[name] = (alpha / (alpha + sigma)).tolist()

    def enter(self, state: State) -> State:
        return {name: x / float(self._scale[name][0]) for name, x in state.items()}

    def leave(self, y: State) -> State:
        return {name: part * float(self._scale[name][-1]) for name, part in y.items()}

    def move(self, name: str, i: int) -> Move:
        return self._s[name][i], self._s[name][i + 1]

    def ends_at_data(self, i: int) -> bool:
        return all(s[i + 1] >= 1 for s in self._s.values())

    def evaluate(self, denoise: Denoise, y: State, i: int) -> State:
        x = {name: part * float(self._scale[name][i]) for name, part in y.items()}
        device = next(iter(x.values())).device
        t = self._times[i].to(device, torch.float32).expand(self._batch, -1)
        return denoise(x, t).x0
