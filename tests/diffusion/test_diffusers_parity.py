"""Parity, state by state, with the schedulers of diffusers, whose clocks are ours less one.

Their "trailing" grid is `spaced` where the steps divide T. Their tables are float32 and ours float64, so states agree
to float32's rounding, which eps-prediction at the noisy end magnifies by 1 / alpha_T = 157.
"""

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler, HeunDiscreteScheduler
from torch import Tensor

from nucleosynth.diffusion.prediction import (
    Denoise,
    Prediction,
    State,
    Target,
    clipped,
    dynamically_thresholded,
    learned_range,
    x0_of,
)
from nucleosynth.diffusion.samplers import SAMPLERS
from nucleosynth.diffusion.schedule import Chain, following, spaced

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
"""Some of their schedulers make NumPy arrays of tensors in a way that NumPy is to drop."""

CHAINS = {"linear": Chain.linear(), "squaredcos_cap_v2": Chain.cosine()}
THEIR_KIND = {"eps": "epsilon", "x0": "sample", "v": "v_prediction"}


def network(x: Tensor, clock: float) -> Tensor:
    """A smooth function of state and clock for what a network puts out."""
    return torch.tanh(1.3 * x.roll(1, -1) - 0.4 * x + clock / 1000) + 0.3 * x


def scheduler(of: Any, schedule: str = "linear", kind: Target = "eps", **more: Any) -> Any:
    return of(
        num_train_timesteps=1000, beta_start=1e-4, beta_end=0.02, beta_schedule=schedule,
        prediction_type=THEIR_KIND[kind], timestep_spacing="trailing", **more,
    )  # fmt: skip


def start() -> Tensor:
    return torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def theirs(stepper: Any, x: Tensor, output: Any = network, **more: Any) -> Iterator[Tensor]:
    """The states before each step and after the last one."""
    for t in stepper.timesteps:
        yield x
        x = stepper.step(output(x, float(t) + 1), t, x, **more).prev_sample
    yield x


class InTurn:
    """The noise that one generator gives, in the order of the steps."""

    def __init__(self, generator: torch.Generator) -> None:
        self._generator = generator

    def normal(self, name: str, step: int) -> Tensor:
        return torch.randn(2, 3, 4, 4, generator=self._generator, dtype=torch.float64)

    def uniform(self, name: str, step: int) -> Tensor:
        raise AssertionError("no group here is categorical")


def ours(
    name: str, chain: Chain, times: Tensor, kind: Target, learned: bool = False, change: Any = None
) -> list[Tensor]:
    """Likewise."""
    seen: list[Tensor] = []

    def denoise(state: State, t: Tensor) -> Prediction:
        x, clock = state["x"], t[:, 0].double()
        seen.append(x)
        alpha, sigma = (share.view(-1, 1, 1, 1) for share in (chain.alpha(clock), chain.sigma(clock)))
        x0 = x0_of(kind, network(x, float(clock[0])), x, alpha, sigma)
        raw = torch.tanh(x)
        variance = (
            {"x": learned_range(raw, chain, clock, following(times.double(), clock)).double()} if learned else None
        )
        return Prediction({"x": x0}, variance)

    wrapped: Denoise = denoise if change is None else change(denoise, ["x"])
    noise = InTurn(torch.Generator().manual_seed(7))
    end = SAMPLERS[name](wrapped, {"x": start()}, times[:, None], {"x": chain}, noise)["x"]
    return [*seen, end]


def assert_equal_paths(found: list[Tensor], expected: list[Tensor]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        scale = float(other.abs().max())
        torch.testing.assert_close(one, other, rtol=2e-3, atol=2e-4 * scale)


@pytest.mark.parametrize("schedule", CHAINS)
def test_schedules_are_theirs(schedule: str) -> None:
    expected = scheduler(DDPMScheduler, schedule).alphas_cumprod.double()
    torch.testing.assert_close(CHAINS[schedule].signal[1:], expected, rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("name", ["ddim", "ancestral"])
@pytest.mark.parametrize("n", [50, 8])
def test_even_clocks_are_their_trailing_ones(n: int, name: str) -> None:
    stepper = scheduler({"ddim": DDIMScheduler, "ancestral": DDPMScheduler}[name])
    stepper.set_timesteps(n)
    assert [int(t) - 1 for t in spaced(1000, n)[:-1]] == stepper.timesteps.tolist()


@pytest.mark.parametrize("kind", THEIR_KIND)
@pytest.mark.parametrize("schedule", CHAINS)
def test_ddim(kind: Target, schedule: str) -> None:
    stepper = scheduler(DDIMScheduler, schedule, kind, clip_sample=False, set_alpha_to_one=True)
    stepper.set_timesteps(25)
    found = ours("ddim", CHAINS[schedule], spaced(1000, 25), kind)
    assert_equal_paths(found, list(theirs(stepper, start())))


@pytest.mark.parametrize("steps", [25, 7, 1000])
@pytest.mark.parametrize("kind", ["eps", "v"])
def test_ancestral_with_beta_tilde(kind: Target, steps: int) -> None:
    """Their custom clocks stand for any number of steps; the whole chain of 1000 among them."""
    times = spaced(1000, steps)
    stepper = scheduler(DDPMScheduler, kind=kind, clip_sample=False, variance_type="fixed_small")
    stepper.set_timesteps(timesteps=[int(t) - 1 for t in times[:-1]])
    path = theirs(stepper, start(), generator=torch.Generator().manual_seed(7))
    assert_equal_paths(ours("ancestral", CHAINS["linear"], times, kind), list(path))


@pytest.mark.parametrize("steps", [25, 1000])
def test_ancestral_with_a_learned_range(steps: int) -> None:
    """All but the end: theirs draws noise on the way to the data too, unless that is a single clock; ADM's does not."""
    times = spaced(1000, steps)
    stepper = scheduler(DDPMScheduler, kind="v", clip_sample=False, variance_type="learned_range")
    stepper.set_timesteps(timesteps=[int(t) - 1 for t in times[:-1]])

    def output(x: Tensor, clock: float) -> Tensor:
        return torch.cat([network(x, clock), torch.tanh(x)], dim=1)

    path = list(theirs(stepper, start(), output, generator=torch.Generator().manual_seed(7)))
    found = ours("ancestral", CHAINS["linear"], times, "v", learned=True)
    assert_equal_paths(found[:-1], path[:-1])


@pytest.mark.parametrize("kind", THEIR_KIND)
@pytest.mark.parametrize("steps", [20, 7])
def test_dpm_solver(kind: Target, steps: int) -> None:
    """Their midpoint form of order 2 with a last sigma of 0: first order in the first and the last step."""
    times = spaced(1000, steps)
    stepper = scheduler(DPMSolverMultistepScheduler, kind=kind, algorithm_type="dpmsolver++", solver_type="midpoint")
    stepper.set_timesteps(timesteps=[int(t) - 1 for t in times[:-1]])
    assert_equal_paths(ours("dpm_solver", CHAINS["linear"], times, kind), list(theirs(stepper, start())))


def heun_ends(steps: int, last: int) -> tuple[Tensor, Tensor]:
    """The ends of ours and of theirs over 900 .. `last` in some steps, theirs in x, with v-prediction."""
    chain, times = CHAINS["linear"], torch.linspace(900, last, steps + 1)
    assert torch.equal(times, times.round())
    stepper = scheduler(HeunDiscreteScheduler, kind="v")
    stepper.set_timesteps(timesteps=[int(t) - 1 for t in times])
    first, *_ = stepper.sigmas
    x = start() * float((1 + first**2) ** 0.5)  # theirs is x / alpha
    for i, t in enumerate(stepper.timesteps[: 2 * steps]):
        clock = float(times[(i + 1) // 2])
        scaled = x / float((1 + stepper.sigmas[i] ** 2) ** 0.5)
        x = stepper.step(network(scaled, clock), t, x).prev_sample
    found = ours("heun", chain, times, "v")[-1]
    return found, x * float(chain.alpha(torch.tensor(float(last))))


def test_heun_differs_from_theirs_by_the_third_order() -> None:
    """Theirs is the trapezium of d(x / alpha) / d(sigma / alpha) (Karras et al.); ours takes x0-hat as linear in s.

    Both are of order 2: single steps differ by the third order of their length, whole paths by the second.
    """
    apart = [float((one - other).abs().max()) for one, other in (heun_ends(n, 100) for n in (25, 50, 100))]
    assert apart[2] < 0.01
    for coarse, fine in itertools.pairwise(apart):
        assert coarse / fine == pytest.approx(4, rel=0.35)


@pytest.mark.parametrize("what", ["clip", "threshold"])
def test_clipping_and_dynamic_thresholds_are_theirs(what: str) -> None:
    """With the noise taken anew from the changed x0, as ADM's DDIM does and theirs does if asked."""
    more = {"clip": {"clip_sample": True}, "threshold": {"thresholding": True, "sample_max_value": 1e9}}[what]
    stepper = scheduler(DDIMScheduler, **{"dynamic_thresholding_ratio": 0.95, "clip_sample": False, **more})
    stepper.set_timesteps(25)
    change = {"clip": clipped, "threshold": dynamically_thresholded}[what]
    expected = list(theirs(stepper, start(), use_clipped_model_output=True))
    assert_equal_paths(ours("ddim", CHAINS["linear"], spaced(1000, 25), "eps", change=change), expected)
