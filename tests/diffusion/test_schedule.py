"""Chains against their published formulas, and paths over them."""

import math

import pytest
import torch
from torch import Tensor

from nucleosynth.diffusion.flow import Flow
from nucleosynth.diffusion.schedule import Chain, Process, Reverse, following, spaced, spaced_by_noise
from nucleosynth.errors import UserError

CHAINS = {"linear": Chain.linear, "cosine": Chain.cosine, "log_snr_cosine": Chain.log_snr_cosine}


@pytest.mark.parametrize("name", CHAINS)
def test_shares_belong_together(name: str) -> None:
    chain = CHAINS[name]()
    t = torch.arange(chain.steps + 1, dtype=torch.float64)
    assert chain.steps == 1000
    assert chain.alpha(t[:1]) == 1
    assert chain.sigma(t[:1]) == 0
    torch.testing.assert_close(chain.alpha(t) ** 2 + chain.sigma(t) ** 2, torch.ones_like(t))
    torch.testing.assert_close(chain.log_snr(t[1:]), 2 * torch.log(chain.alpha(t[1:]) / chain.sigma(t[1:])))
    assert (chain.log_snr(t).diff() < 0).all()


def test_linear_is_adm_s() -> None:
    """beta_t = 1e-4 + (t - 1) (.02 - 1e-4) / 999, and half as many steps of twice the size reach the same noise."""
    signal = Chain.linear().signal
    for t in (1, 2, 500, 1000):
        assert float(1 - signal[t] / signal[t - 1]) == pytest.approx(1e-4 + (t - 1) * 0.0199 / 999, rel=1e-9)
    assert float(Chain.linear(500).signal[-1]) == pytest.approx(float(signal[-1]), rel=0.2)


def test_cosine_is_nichol_and_dhariwal_s() -> None:
    signal = Chain.cosine().signal

    def f(t: int) -> float:
        return math.cos((t / 1000 + 0.008) / 1.008 * math.pi / 2) ** 2

    for t in (1, 250, 900):
        assert float(signal[t]) == pytest.approx(f(t) / f(0), rel=1e-9)
    assert float(signal[1000] / signal[999]) == pytest.approx(0.001), "the last beta is .999"


def test_log_snr_cosine_is_cosyn_s() -> None:
    chain = Chain.log_snr_cosine()
    for i in (1, 500, 1000):
        u = 0.999 * i / 1000
        expected = -math.log(math.cos((u + 0.008) / 1.008 * math.pi / 2) ** -2 - 1)
        assert float(chain.log_snr(torch.tensor(float(i), dtype=torch.float64))) == pytest.approx(expected, rel=1e-9)


def test_answers_have_the_clocks_shape_and_type() -> None:
    chain = Chain.linear(100)
    t = torch.tensor([[1.0, 100.0], [0.0, 50.0], [2.0, 3.0]])
    for found in (chain.alpha(t), chain.sigma(t), chain.alpha(t.long())):
        assert found.shape == (3, 2)
        assert found.dtype == torch.float32
    assert chain.alpha(t.double()).dtype == torch.float64
    torch.testing.assert_close(chain.alpha(t)[2, 1], chain.signal[3].sqrt().float())


def test_noise_is_added_at_each_sample_s_clock() -> None:
    chain = Chain.linear(100)
    x0, noise, t = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4), torch.tensor([0.0, 60.0])
    found = chain.noised(x0, noise, t)
    torch.testing.assert_close(found[0], x0[0])
    kept = float(chain.signal[60])
    torch.testing.assert_close(found[1], kept**0.5 * x0[1] + (1 - kept) ** 0.5 * noise[1])


def test_training_clocks_are_all_as_likely_and_never_0() -> None:
    torch.manual_seed(0)
    counts = torch.bincount(Chain.linear(50).draw_clocks(50000).long(), minlength=51)
    assert counts[0] == 0
    assert counts[1:].min() > 800
    assert counts[1:].max() < 1200


@pytest.mark.parametrize("signal", [[1.0], [1.0, 0.5, 0.5], [0.9, 0.5], [1.0, 0.5, 0.0], [1.0, math.nan]])
def test_a_signal_that_is_no_chain_s_is_refused(signal: list[float]) -> None:
    with pytest.raises(UserError, match="falls from 1"):
        Chain(torch.tensor(signal, dtype=torch.float64))


def test_too_few_linear_steps_are_refused() -> None:
    with pytest.raises(UserError, match="take more steps"):
        Chain.linear(10)


@pytest.mark.parametrize(("steps", "n", "start"), [(1000, 50, None), (1000, 999, None), (10, 7, None), (1000, 55, 550)])
def test_paths_are_whole_even_and_without_repeats(steps: int, n: int, start: int | None) -> None:
    clocks = spaced(steps, n, start)
    first = start or steps
    assert clocks.shape == (n + 1,)
    assert (clocks[0], clocks[-1]) == (first, 0)
    assert torch.equal(clocks, clocks.round())
    lengths = -clocks.diff()
    assert lengths.min() >= max(1, math.floor(first / n))
    assert lengths.max() <= math.ceil(first / n)


def test_clocks_are_rounded_to_the_nearest_the_later_in_doubt() -> None:
    assert spaced(10, 4).tolist() == [10, 8, 5, 3, 0]
    assert spaced(10, 3, start=8).tolist() == [8, 5, 3, 0]


@pytest.mark.parametrize(("n", "start"), [(0, None), (11, None), (6, 5), (5, 11), (1, 0)])
def test_paths_that_the_chain_does_not_have_are_refused(n: int, start: int | None) -> None:
    with pytest.raises(UserError, match="a path that the chain does not have"):
        spaced(10, n, start)


@pytest.mark.parametrize("chain", [Chain.linear(), Chain.cosine(), Chain.log_snr_cosine(), Chain.cosine(50)])
@pytest.mark.parametrize(("n", "share"), [(1, 1.0), (2, 1.0), (16, 1.0), (50, 1.0), (7, 0.3), (1, 0.02)])
def test_clocks_spaced_by_noise_fall_once_each_from_start_to_data(chain: Chain, n: int, share: float) -> None:
    start = round(share * chain.steps)
    clocks = spaced_by_noise(chain, n, start)
    assert (len(clocks), int(clocks[0]), int(clocks[-1])) == (n + 1, start, 0)
    assert (clocks.diff() < 0).all()
    torch.testing.assert_close(clocks, clocks.round())


def test_every_clock_is_every_clock() -> None:
    assert spaced_by_noise(Chain.cosine(30), 30).tolist() == list(range(30, -1, -1))


@pytest.mark.parametrize("chain", [Chain.linear(), Chain.cosine(), Chain.log_snr_cosine()])
def test_steps_are_even_in_the_ratio_of_data_and_noise(chain: Chain) -> None:
    clocks = spaced_by_noise(chain, 12)
    steps = (chain.log_snr(clocks[1:-1].double()) / 2).diff()
    wide = (chain.log_snr(torch.tensor([10.0]).double())[0] / 2 + 5) / 11
    torch.testing.assert_close(steps, torch.full_like(steps, float(wide)), rtol=0.1, atol=0)
    assert clocks[-2] == 10


def test_a_path_that_the_chain_does_not_have_is_refused_by_noise_too() -> None:
    with pytest.raises(UserError, match="a path that the chain does not have"):
        spaced_by_noise(Chain.cosine(), 20, 10)


def test_the_next_clock_of_a_path() -> None:
    times = spaced(1000, 7)
    t = times[[0, 3, 6, 3]]
    assert torch.equal(following(times, t), times[[1, 4, 7, 4]])
    assert torch.equal(following(times, t.view(2, 2)), times[[1, 4, 7, 4]].view(2, 2))


@pytest.mark.parametrize(
    ("process", "t", "s"), [(Chain.linear(), 400, 399), (Chain.cosine(), 900, 300), (Flow(), 0.2, 0.7)]
)
def test_reverse_steps_condition_the_joint_gaussian(process: Process, t: float, s: float) -> None:
    """x_t = a x_s + sqrt(beta) e and x_s = alpha_s x0 + sigma_s e'; then the textbook Gaussian conditional of x_s."""
    late, early = (torch.tensor(clock, dtype=torch.float64) for clock in (t, s))
    alpha, sigma = float(process.alpha(early)), float(process.sigma(early))
    a = float(process.alpha(late)) / alpha
    beta = float(process.sigma(late)) ** 2 - a**2 * sigma**2
    step = Reverse.of(process, late, early)
    gain = a * sigma**2 / (a**2 * sigma**2 + beta)
    assert float(step.beta) == pytest.approx(beta)
    assert float(step.kept) == pytest.approx(gain)
    assert float(step.taken) == pytest.approx(alpha - gain * a * alpha)
    assert float(step.variance) == pytest.approx(sigma**2 - gain * a * sigma**2)


def test_reverse_steps_are_cosyn_s() -> None:
    """c = -expm1(logSNR_t - logSNR_s); mean = alpha_s (x_t (1 - c) / alpha_t + c x0), variance sigma_s^2 c."""
    chain = Chain.log_snr_cosine()
    t, s = torch.tensor([700.0, 20.0], dtype=torch.float64), torch.tensor([650.0, 19.0], dtype=torch.float64)
    c = -torch.expm1(chain.log_snr(t) - chain.log_snr(s))
    step = Reverse.of(chain, t, s)
    torch.testing.assert_close(step.kept, chain.alpha(s) * (1 - c) / chain.alpha(t))
    torch.testing.assert_close(step.taken, chain.alpha(s) * c)
    torch.testing.assert_close(step.variance, chain.sigma(s) ** 2 * c)


def test_float32_clocks_lose_nothing_that_matters() -> None:
    chain = Chain.linear()
    t = torch.arange(2, 1001)
    fine, coarse = (Reverse.of(chain, clock, clock - 1) for clock in (t.double(), t.float()))
    for one, other in ((fine.variance, coarse.variance), (fine.beta, coarse.beta), (fine.taken, coarse.taken)):
        assert float((other.double() / one - 1).abs().max()) < 1e-3


def test_a_step_to_the_data_is_the_data() -> None:
    t = torch.tensor([1.0, 50.0])
    step = Reverse.of(Chain.linear(100), t, torch.zeros_like(t))
    parts: tuple[tuple[Tensor, float], ...] = ((step.kept, 0.0), (step.taken, 1.0), (step.variance, 0.0))
    for found, expected in parts:
        torch.testing.assert_close(found, torch.full_like(t, expected))
