"""Samplers against the exact denoiser of a Gaussian mixture: the right distribution, and the declared order."""

import math

import pytest
import torch
from mixture import MEANS, SHARES, SPREAD, Numbers, denoiser
from torch import Tensor

from nucleosynth.diffusion.flow import Flow
from nucleosynth.diffusion.prediction import Prediction, State, guided, history_guided
from nucleosynth.diffusion.samplers import SAMPLERS, evaluations, jump


class Cosine:
    """A variance-preserving process whose clock runs the other way: 0 is data, 1 is noise."""

    def alpha(self, t: Tensor) -> Tensor:
        return torch.cos(t * math.pi / 2)

    def sigma(self, t: Tensor) -> Tensor:
        return torch.sin(t * math.pi / 2)


def run(name: str, steps: int, process: Flow | Cosine, start: Tensor) -> Tensor:
    ends = (0.0, 1.0) if isinstance(process, Flow) else (1.0, 0.0)
    times = torch.linspace(*ends, steps + 1, dtype=torch.float64)[:, None]
    noise = Numbers(1, x=tuple(start.shape))
    return SAMPLERS[name](denoiser(process), {"x": start}, times, {"x": process}, noise)["x"]


@pytest.mark.parametrize("process", [Flow(), Cosine()])
@pytest.mark.parametrize("name", SAMPLERS)
def test_samples_have_the_mixture_s_distribution(name: str, process: Flow | Cosine) -> None:
    noise = torch.randn(20000, 1, 1, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = run(name, 64, process, noise).flatten()
    nearest = (found[:, None] - MEANS).abs().argmin(1)
    for k in range(3):
        assert abs(float((nearest == k).double().mean()) - float(SHARES[k])) < 0.02
        assert abs(float(found[nearest == k].mean()) - float(MEANS[k])) < 0.05
        assert abs(float(found[nearest == k].std()) - SPREAD) < 0.07


@pytest.mark.parametrize(("name", "order"), [("euler", 1), ("ddim", 1), ("heun", 2), ("multistep", 2)])
def test_declared_order(name: str, order: int) -> None:
    """Halving the step divides the error by 2^order (up to a time short of the data, where all are smooth)."""
    start = torch.linspace(-2.5, 2.5, 41, dtype=torch.float64).view(-1, 1, 1, 1)

    def end(sampler: str, steps: int) -> Tensor:
        times = torch.linspace(0, 0.8, steps + 1, dtype=torch.float64)[:, None]
        return SAMPLERS[sampler](denoiser(Flow()), {"x": start}, times, {"x": Flow()})["x"]

    truth = end("heun", 4096)
    coarse, fine = ((end(name, steps) - truth).abs().mean() for steps in (64, 128))
    assert math.log2(float(coarse / fine)) == pytest.approx(order, abs=0.2)


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_group_whose_clock_stands_still_is_kept(name: str) -> None:
    known, noise = torch.full((2, 1, 3, 3), 0.7), torch.randn(2, 1, 3, 3)
    times = torch.tensor([[1.0, 0.0], [1.0, 0.5], [1.0, 1.0]])
    state = {"image": known, "label": noise}
    numbers = Numbers(0, image=(2, 1, 3, 3), label=(2, 1, 3, 3))
    found = SAMPLERS[name](denoiser(Flow()), state, times, {"image": Flow(), "label": Flow()}, numbers)
    torch.testing.assert_close(found["image"], known)
    assert not torch.allclose(found["label"].float(), noise)


@pytest.mark.parametrize("name", SAMPLERS)
def test_evaluations_are_counted(name: str) -> None:
    calls = 0
    inner = denoiser(Flow())

    def counting(state: State, t: Tensor) -> Prediction:
        nonlocal calls
        calls += 1
        return inner(state, t)

    times = torch.linspace(0, 1, 8)[:, None]
    SAMPLERS[name](counting, {"x": torch.zeros(1, 1, 1, 1)}, times, {"x": Flow()}, Numbers(0, x=(1, 1, 1, 1)))
    assert calls == evaluations(name, 7)


def test_guidance_is_linear_between_both_passes() -> None:
    given = guided(lambda s, _: Prediction({"x": s["x"] + 2}), lambda s, _: Prediction({"x": s["x"]}), 1.5)
    found = given({"x": torch.ones(1, 1, 1, 1)}, torch.zeros(1, 1)).x0["x"]
    torch.testing.assert_close(found, torch.full((1, 1, 1, 1), 4.0))


def test_history_guides_away_from_the_last_prediction() -> None:
    x0 = {0.0: 1.0, 0.2: 3.0, 0.3: 4.0, 0.6: 9.0}

    def denoise(state: State, t: Tensor) -> Prediction:
        value = x0[round(float(t.min()), 3)]
        return Prediction({"x": torch.full((1, 1, 1, 1), value), "kept": state["kept"]})

    def path() -> list[float]:
        guide = history_guided(denoise, 2.0)
        states = {"x": torch.zeros(1, 1, 1, 1), "kept": torch.full((1, 1, 1, 1), 7.0)}
        found = [guide(states, torch.tensor([[1.0, t]])).x0 for t in x0]
        assert all(float(each["kept"]) == 7 for each in found)
        return [float(each["x"]) for each in found]

    # The prediction before is the denoiser's own, not the guided one.
    assert path() == pytest.approx([1, 3 + 2 * 2, 4 + 2 * 1, 9 + 2 * 5])
    assert path() == pytest.approx([1, 7, 6, 19]), "a new path remembers nothing"


def test_history_guidance_changes_no_exact_prediction() -> None:
    state = {"x": torch.full((1, 1, 1, 1), 5.0)}
    guide = history_guided(lambda s, _: Prediction(dict(s)), 2.0)
    for t in (0.0, 0.4, 0.9):
        torch.testing.assert_close(guide(state, torch.full((1, 1), t)).x0, state)


def flow_map(x: Tensor, t: float, end: float, mean: float = 1.5, spread: float = 0.3) -> Tensor:
    """Where the exact flow of one Gaussian takes x_t: its quantiles move with it."""

    def width(clock: float) -> float:
        return math.hypot(clock * spread, 1 - clock)

    return end * mean + width(end) / width(t) * (x - t * mean)


def heading(state: State, t: Tensor, ends: Tensor) -> Prediction:
    """The point that a straight line from x_t must head for to be where the exact flow is at the step's end."""
    now, end = float(t[0, 0]), float(ends[0, 0])
    share = (1 - end) / (1 - now)
    x = state["x"]
    return Prediction({"x": (flow_map(x, now, end) - share * x) / (1 - share)})


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_jumps_of_an_exact_flow_map_are_exact_however_few(steps: int) -> None:
    start = torch.linspace(-2, 2, 9, dtype=torch.float64).view(-1, 1, 1, 1)
    times = torch.linspace(0, 1, steps + 1, dtype=torch.float64)[:, None]
    found = jump(heading, {"x": start}, times, {"x": Flow()})["x"]
    torch.testing.assert_close(found, flow_map(start, 0.0, 1.0), rtol=1e-5, atol=1e-6)


def test_a_jump_is_euler_s_step_where_ends_are_ignored() -> None:
    plain, state = denoiser(Flow()), {"x": torch.randn(4, 1, 2, 2), "kept": torch.randn(4, 1, 2, 2)}
    times = torch.tensor([[0.0, 1.0], [0.3, 1.0], [0.9, 1.0]])
    processes = {"x": Flow(), "kept": Flow()}
    found = jump(lambda state, t, _: plain(state, t), state, times, processes)
    expected = SAMPLERS["euler"](plain, state, times, processes)
    for name in state:
        torch.testing.assert_close(found[name], expected[name], rtol=0, atol=0)
    torch.testing.assert_close(found["kept"], state["kept"], rtol=0, atol=0)


def test_a_jump_is_told_the_clocks_of_both_ends_once_a_step() -> None:
    told: list[tuple[list[float], list[float]]] = []

    def listening(state: State, t: Tensor, ends: Tensor) -> Prediction:
        assert t.shape == ends.shape == (3, 2)
        told.append((t[0].tolist(), ends[-1].tolist()))
        return Prediction(state)

    times = torch.tensor([[0.0, 1.0], [0.25, 1.0], [1.0, 1.0]])
    state = {"x": torch.zeros(3, 1, 1, 1), "y": torch.zeros(3, 1, 1, 1)}
    jump(listening, state, times, {"x": Flow(), "y": Flow()})
    assert told == [([0.0, 1.0], [0.25, 1.0]), ([0.25, 1.0], [1.0, 1.0])]


def test_guidance_outside_its_interval_costs_no_second_evaluation() -> None:
    """By the least clock of a state: that of the image where the label's is 1; both ends of the interval count."""
    free: list[float] = []

    def null(state: State, t: Tensor) -> Prediction:
        free.append(round(float(t.min()), 3))
        return Prediction({"x": state["x"]})

    guide = guided(lambda s, _: Prediction({"x": s["x"] + 2}), null, 1.5, (0.25, 0.75))
    found = {
        t: float(guide({"x": torch.ones(1, 1, 1, 1)}, torch.tensor([[t, 1.0]])).x0["x"])
        for t in (0.0, 0.2, 0.25, 0.5, 0.75, 0.8)
    }
    assert found == {0.0: 3, 0.2: 3, 0.25: 4, 0.5: 4, 0.75: 4, 0.8: 3}
    assert free == [0.25, 0.5, 0.75]
    guided(lambda s, _: Prediction(s), null, 1.0)({"x": torch.ones(1, 1, 1, 1)}, torch.ones(1, 1))
    assert len(free) == 3, "a scale of 1 is no guidance"
