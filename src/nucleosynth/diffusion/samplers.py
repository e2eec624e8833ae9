"""Samplers: plain functions of (denoise, state, times, processes, noise), for any Gaussian and categorical processes.

They work in the path's (s, y) (diffusion.path), where d(y / (1 - s)) = x0-hat ds / (1 - s)^2 is the probability-flow
equation, solved exactly for an x0-hat that is a polynomial in s. All but `ancestral` are deterministic for Gaussian
groups. A categorical group moves by its posterior in every one of them, after the first evaluation of a step. A group
whose clock stands still stays as it is: that is how a known side is kept.

times: (n + 1, g), the clocks of each group, in the state's order, from the start to the end of sampling. noise: what
`ancestral` and categorical groups draw from; the others do without.
"""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from nucleosynth.diffusion.categorical import Categorical
from nucleosynth.diffusion.path import Move, Path
from nucleosynth.diffusion.path import Noise as Noise
from nucleosynth.diffusion.prediction import Denoise, Prediction, State
from nucleosynth.diffusion.schedule import Process

Processes = Mapping[str, Process | Categorical]


class Sampler(Protocol):
    """What every sampler is: the state at the first clocks -> the state at the last ones."""

    def __call__(
        self, denoise: Denoise, state: State, times: Tensor, processes: Processes, noise: Noise | None = None
    ) -> State: ...


def euler(denoise: Denoise, state: State, times: Tensor, processes: Processes, noise: Noise | None = None) -> State:
    """First order: x0-hat held over the step; DDIM (Song et al., ICLR 2021). One evaluation a step."""
    path = Path(times, state, processes, noise)
    y = path.enter(state)
    for i in range(path.steps):
        x0 = path.evaluate(denoise, y, i).x0
        y = path.redrawn(y, x0, i) | {
            name: _advance(y[name], x0[name], None, path.move(name, i)) for name in path.gaussian
        }
    return path.leave(y)


def jump(
    denoise: Callable[[State, Tensor, Tensor], Prediction], state: State, times: Tensor, processes: Processes
) -> State:
    """Whole steps at once, by a denoiser that is also told the clocks (b g) that a step ends at: one evaluation a step.

    Its x0-hat is the point that the flow heads for on the average of the step (Geng et al., MeanFlow, 2025, in x0).
    """
    path = Path(times, state, processes, None)
    y = path.enter(state)
    for i in range(path.steps):
        x0 = path.evaluate(partial(_to, denoise, times[i + 1]), y, i).x0
        y = {name: _advance(y[name], x0[name], None, path.move(name, i)) for name in path.gaussian}
    return path.leave(y)


def _to(denoise: Callable[[State, Tensor, Tensor], Prediction], ends: Tensor, state: State, t: Tensor) -> Prediction:
    return denoise(state, t, ends.to(t).expand_as(t))


def heun(denoise: Denoise, state: State, times: Tensor, processes: Processes, noise: Noise | None = None) -> State:
    """Second order: a trial step, then x0-hat linear between both ends (Karras et al., EDM, 2022, Algorithm 1, in x0).

    Two evaluations a step, one in a last step that ends at the data.
    """
    path = Path(times, state, processes, noise)
    y = path.enter(state)
    for i in range(path.steps):
        x0 = path.evaluate(denoise, y, i).x0
        trial = path.redrawn(y, x0, i) | {
            name: _advance(y[name], x0[name], None, path.move(name, i)) for name in path.gaussian
        }
        if path.ends_at_data(i):
            y = trial
            continue
        ahead = path.evaluate(denoise, trial, i + 1).x0
        y = trial | {
            name: _advance(y[name], x0[name], _slope(ahead[name], x0[name], path.move(name, i)), path.move(name, i))
            for name in path.gaussian
        }
    return path.leave(y)


def multistep(denoise: Denoise, state: State, times: Tensor, processes: Processes, noise: Noise | None = None) -> State:
    """Second order at one evaluation a step: x0-hat linear through this step's and the last one's.

    The data-prediction multistep of DPM-Solver++(2M) (Lu et al., 2022, Algorithm 2), with x0-hat linear in s instead
    of in log(alpha / sigma), so that pure noise (s = 0) is an ordinary start. A step that ends at the data is first
    order.
    """
    path = Path(times, state, processes, noise)
    y = path.enter(state)
    before: State | None = None
    for i in range(path.steps):
        x0 = path.evaluate(denoise, y, i).x0
        moved = path.redrawn(y, x0, i)
        for name in path.gaussian:
            straight = before is None or path.move(name, i)[1] >= 1
            slope = None if straight or before is None else _slope(x0[name], before[name], path.move(name, i - 1))
            moved[name] = _advance(y[name], x0[name], slope, path.move(name, i))
        y, before = moved, x0
    return path.leave(y)


def dpm_solver(
    denoise: Denoise, state: State, times: Tensor, processes: Processes, noise: Noise | None = None
) -> State:
    """DPM-Solver++(2M): x0-hat linear in log(alpha / sigma) through this step's and the last one's (Lu et al., 2022).

    Their Algorithm 2. One evaluation a step; first order in the first step and in a last one that ends at the data.
    """
    path = Path(times, state, processes, noise)
    y = path.enter(state)
    before: State | None = None
    for i in range(path.steps):
        x0 = path.evaluate(denoise, y, i).x0
        moved = path.redrawn(y, x0, i)
        for name in path.gaussian:
            move, held = path.move(name, i), x0[name]
            if before is not None:
                held = _amid(held, before[name], move, path.move(name, i - 1))
            moved[name] = _advance(y[name], held, None, move)
        y, before = moved, x0
    return path.leave(y)


def ancestral(denoise: Denoise, state: State, times: Tensor, processes: Processes, noise: Noise | None = None) -> State:
    """Draws from q(x_s | x_t, x0-hat) (Ho et al., 2020, Algorithm 2; CoSyn's reverse step is the same for its chain).

    The variance is the learned one where the prediction has it, else beta-tilde; none in a step to the data. One
    evaluation a step.
    """
    path = Path(times, state, processes, noise)
    y = path.enter(state)
    for i in range(path.steps):
        found = path.evaluate(denoise, y, i)
        y = path.redrawn(y, found.x0, i) | {name: _reversed(path, name, y[name], found, i) for name in path.gaussian}
    return path.leave(y)


ddim = euler
"""Without noise (eta = 0) DDIM is the first-order step."""

SAMPLERS: Mapping[str, Sampler] = {
    "euler": euler,
    "heun": heun,
    "multistep": multistep,
    "ancestral": ancestral,
    "ddim": ddim,
    "dpm_solver": dpm_solver,
}


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


def _amid(late: Tensor, early: Tensor, move: Move, last: Move) -> Tensor:
    """x0-hat in the middle of a step in log(alpha / sigma), on the line through those at its and the last one's start.

    That at its start where a step stands still, comes from pure noise or ends at the data: such lengths say nothing.
    """
    if move[0] == move[1] or last[0] == last[1] or last[0] <= 0 or move[1] >= 1:
        return late
    length, before = (math.log(r * (1 - s) / (s * (1 - r))) for s, r in (move, last))
    return late + length / (2 * before) * (late - early)


def _reversed(path: Path, name: str, y: Tensor, found: Prediction, i: int) -> Tensor:
    """The step of schedule.Reverse in (s, y), where pure noise (s = 0) is an ordinary start."""
    s, r = path.move(name, i)
    if s == r:
        return y
    kept = (1 - r) / (1 - s)
    ratio = kept * s / r
    mean = kept * ratio * y + r * (1 - ratio**2) * found.x0[name]
    if r >= 1:
        return mean
    spread: float | Tensor = (1 - r) * math.sqrt(1 - ratio**2)
    if found.log_variance is not None and name in found.log_variance:
        spread = torch.exp(found.log_variance[name] / 2) / path.scale(name, i + 1)
    return mean + spread * path.noise.normal(name, i + 1)
