"""The variational bound against numeric integration, and what of the hybrid loss teaches what."""

import math

import pytest
import torch
from torch import Tensor

from nucleosynth.diffusion.flow import Flow
from nucleosynth.diffusion.losses import hybrid, p2_weight, squared_error, variational_bound
from nucleosynth.diffusion.prediction import Target, learned_range, target_of, x0_of
from nucleosynth.diffusion.schedule import Chain

CHAIN = Chain.linear()


def normal(x: Tensor, mean: float, variance: float) -> Tensor:
    return torch.exp(-((x - mean) ** 2) / (2 * variance)) / math.sqrt(2 * math.pi * variance)


@pytest.mark.parametrize("t", [2, 3, 400, 1000])
@pytest.mark.parametrize("raw", [-1.0, 0.3, 1.0])
def test_the_bound_is_the_integrated_kl(t: int, raw: float) -> None:
    """In bits, by quadrature over x_{t-1}; q by Bayes from q(x_t | x_{t-1}) q(x_{t-1} | x0)."""
    x0, x_t, x0_hat = 0.4, 0.1, 0.7
    abar_t, abar_s = (float(CHAIN.signal[clock]) for clock in (t, t - 1))
    a, beta = abar_t / abar_s, 1 - abar_t / abar_s
    least = (1 - abar_s) / (1 - abar_t) * beta
    variance = least ** ((1 - raw) / 2) * beta ** ((1 + raw) / 2)
    mean = math.sqrt(a) * (1 - abar_s) / (1 - abar_t) * x_t + math.sqrt(abar_s) * beta / (1 - abar_t) * x0_hat
    middle = math.sqrt(a) * (1 - abar_s) / (1 - abar_t) * x_t + math.sqrt(abar_s) * beta / (1 - abar_t) * x0
    x = middle + math.sqrt(least) * torch.linspace(-12, 12, 200001, dtype=torch.float64)
    q = normal(x_t - math.sqrt(a) * x, 0, beta) * normal(x, math.sqrt(abar_s) * x0, 1 - abar_s)
    q = q / torch.trapezoid(q, x)
    p = normal(x, mean, variance)
    expected = float(torch.trapezoid(q * (q / p).log(), x)) / math.log(2)
    numbers = (torch.full((1, 1, 1, 1), value, dtype=torch.float64) for value in (x0, x_t, x0_hat))
    clock = torch.tensor([float(t)], dtype=torch.float64)
    log_variance = learned_range(torch.full((1, 1, 1, 1), raw), CHAIN, clock, clock - 1)
    found = variational_bound(*numbers, log_variance.double(), clock, CHAIN)
    assert float(found) == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_the_last_term_is_a_probability_over_the_grey_levels() -> None:
    """Over all 256 levels the probabilities sum to 1, and each is the normal's over its level."""
    levels = torch.linspace(-1, 1, 256, dtype=torch.float64).view(-1, 1, 1, 1)
    mean, log_variance = torch.full_like(levels, 0.35), torch.full_like(levels, math.log(0.02**2))
    found = 2 ** -variational_bound(levels, levels, mean, log_variance, torch.ones(256, dtype=torch.float64), CHAIN)
    assert float(found.sum()) == pytest.approx(1, abs=1e-6)
    x = torch.linspace(float(levels[170]) - 1 / 255, float(levels[170]) + 1 / 255, 10001, dtype=torch.float64)
    assert float(found[170]) == pytest.approx(float(torch.trapezoid(normal(x, 0.35, 0.02**2), x)), rel=1e-6)
    outer = 2 ** -variational_bound(*[torch.ones(1, 1, 1, 1)] * 3, torch.zeros(1, 1, 1, 1), torch.ones(1), CHAIN)
    assert float(outer) == pytest.approx(0.5, abs=0.005), "the last level reaches to infinity"


def batch() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Output (b 2c h w), x0, noise, t."""
    generator = torch.Generator().manual_seed(0)
    x0 = torch.rand(4, 3, 4, 4, generator=generator) * 2 - 1
    noise, output = torch.randn(x0.shape, generator=generator), torch.randn(4, 6, 4, 4, generator=generator)
    return output.requires_grad_(), x0, noise, torch.tensor([1.0, 2.0, 300.0, 1000.0])


@pytest.mark.parametrize("kind", ["eps", "v"])
@pytest.mark.parametrize("steps", [1000, 400])
def test_the_hybrid_teaches_the_mean_by_its_error_and_the_variance_by_the_bound(kind: Target, steps: int) -> None:
    chain = Chain.linear(steps)
    output, x0, noise, t = batch()
    t = t.clamp(max=steps)
    found = hybrid(kind, output, x0, noise, t, chain)
    mean, raw = output.detach().chunk(2, dim=1)
    mean.requires_grad_(), raw.requires_grad_()
    alpha, sigma = chain.alpha(t).view(-1, 1, 1, 1), chain.sigma(t).view(-1, 1, 1, 1)
    x_t = alpha * x0 + sigma * noise
    error = ((mean - target_of(kind, x0, noise, alpha, sigma)) ** 2).mean((1, 2, 3))
    x0_hat = x0_of(kind, mean.detach(), x_t, alpha, sigma)
    bound = variational_bound(x0, x_t, x0_hat, learned_range(raw, chain, t, t - 1), t, chain) * steps / 1000
    torch.testing.assert_close(found, error + bound)
    torch.testing.assert_close(squared_error(kind, mean, x0, noise, t, chain), error)
    found.sum().backward(), error.sum().backward(), bound.sum().backward()
    assert output.grad is not None
    assert mean.grad is not None
    assert raw.grad is not None
    torch.testing.assert_close(output.grad, torch.cat([mean.grad, raw.grad], dim=1))
    assert output.grad.isfinite().all()
    assert all(float(part.abs().sum()) > 0 for part in output.grad.chunk(2, dim=1))


def test_the_bound_of_a_network_that_knows_everything_is_0() -> None:
    _, x0, noise, t = batch()
    t = t.clamp(min=2)
    log_variance = learned_range(torch.full_like(x0, -1.0), CHAIN, t, t - 1)
    found = variational_bound(x0, CHAIN.noised(x0, noise, t), x0, log_variance, t, CHAIN)
    torch.testing.assert_close(found, torch.zeros(4), atol=1e-5, rtol=0)


def test_p2_weighs_by_the_noise() -> None:
    t = torch.tensor([0.0, 1.0, 500.0, 1000.0], dtype=torch.float64)
    expected = (1 + CHAIN.log_snr(t).exp()) ** -0.5
    torch.testing.assert_close(p2_weight(CHAIN, t), expected)
    torch.testing.assert_close(p2_weight(CHAIN, t, gamma=1), expected**2)
    assert float(p2_weight(Flow(), torch.tensor(0.5))) == pytest.approx(0.5**0.5)
