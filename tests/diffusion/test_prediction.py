"""What an output says of the clean state; learned variances; guidance in one batch; thresholds."""

import pytest
import torch
from torch import Tensor

from nucleosynth.diffusion.flow import Flow
from nucleosynth.diffusion.prediction import (
    Denoise,
    Prediction,
    State,
    Target,
    clipped,
    dynamically_thresholded,
    guided,
    guided_pair,
    learned_range,
    target_of,
    x0_of,
)
from nucleosynth.diffusion.schedule import Chain, Process, spaced

CHAIN = Chain.linear()


@pytest.mark.parametrize("process", [CHAIN, Flow()])
@pytest.mark.parametrize("kind", ["eps", "x0", "v"])
def test_the_right_output_gives_the_data_back(kind: Target, process: Process) -> None:
    t = torch.tensor([1.0, 300.0, 999.0], dtype=torch.float64) / (1 if process is CHAIN else 1000)
    alpha, sigma = (share.view(-1, 1, 1, 1) for share in (process.alpha(t), process.sigma(t)))
    x0, noise = torch.randn(2, 3, 2, 4, 4, dtype=torch.float64)
    x = alpha * x0 + sigma * noise
    torch.testing.assert_close(x0_of(kind, target_of(kind, x0, noise, alpha, sigma), x, alpha, sigma), x0)


def test_targets_by_hand() -> None:
    x0, noise, alpha, sigma = torch.tensor(2.0), torch.tensor(5.0), torch.tensor(0.6), torch.tensor(0.8)
    found = [float(target_of(kind, x0, noise, alpha, sigma)) for kind in ("eps", "x0", "v")]  # type: ignore[arg-type]
    assert found == pytest.approx([5, 2, 0.6 * 5 - 0.8 * 2])


@pytest.mark.parametrize(("t", "s"), [(500, 499), (1000, 980), (40, 20), (2, 1)])
def test_learned_variances_lie_between_beta_tilde_and_beta(t: int, s: int) -> None:
    abar_t, abar_s = (float(CHAIN.signal[clock]) for clock in (t, s))
    beta = 1 - abar_t / abar_s
    least = (1 - abar_s) / (1 - abar_t) * beta
    raw = torch.tensor([-1.0, 1.0, 0.5]).view(1, 3, 1, 1)
    found = learned_range(raw, CHAIN, torch.tensor([float(t)]), torch.tensor([float(s)])).exp().flatten()
    expected = torch.tensor([least, beta, least**0.25 * beta**0.75])
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=0)


@pytest.mark.parametrize("length", [1, 20])
def test_a_step_to_the_data_borrows_the_one_before(length: int) -> None:
    """As published: the clipped posterior variance of the (respaced) chain."""
    raw = torch.full((1, 1, 1, 1), -1.0)
    times = torch.tensor([2.0, 1.0, 0.0])[:, None] * length
    before, last = (learned_range(raw, CHAIN, *pair) for pair in ((times[0], times[1]), (times[1], times[2])))
    torch.testing.assert_close(last, before)


def test_the_longest_step_to_the_data_is_finite() -> None:
    found = learned_range(torch.zeros(1, 1, 1, 1), CHAIN, torch.tensor([1000.0]), torch.tensor([0.0]))
    assert found.isfinite().all()


def test_each_sample_has_its_own_step() -> None:
    times = spaced(1000, 50)
    raw = torch.randn(3, 2, 4, 4)
    t, s = times[[0, 20, 49]], times[[1, 21, 50]]
    found = learned_range(raw, CHAIN, t, s)
    for i in range(3):
        torch.testing.assert_close(found[i : i + 1], learned_range(raw[i : i + 1], CHAIN, t[i : i + 1], s[i : i + 1]))


def of_condition(condition: Tensor, state: State, t: Tensor) -> Prediction:
    """A denoiser with a condition (b,): three groups, one of them categorical, one variance."""
    shift = condition.view(-1, 1, 1, 1) + t[:, :1].view(-1, 1, 1, 1) / 1000
    logits = torch.stack([state["label"] * (k + 1.0) for k in range(3)], dim=1) * shift
    x0 = {
        "image": state["image"] * shift,
        "label": logits.log_softmax(1),
        "distance": state["distance"] + shift**2,
    }
    return Prediction(x0, {"image": state["image"] + shift})


def mixed_state() -> State:
    generator = torch.Generator().manual_seed(0)
    return {
        "image": torch.randn(2, 3, 4, 4, generator=generator),
        "label": torch.randint(3, (2, 4, 4), generator=generator),
        "distance": torch.randn(2, 1, 4, 4, generator=generator),
    }


def test_a_guided_pair_is_two_passes() -> None:
    state, t = mixed_state(), torch.tensor([[500.0], [20.0]]).expand(2, 3)
    given, null = torch.tensor([1.0, 2.0]), torch.tensor([0.3, 0.3])
    calls = 0

    def both(doubled: State, clocks: Tensor) -> Prediction:
        nonlocal calls
        calls += 1
        return of_condition(torch.cat([given, null]), doubled, clocks)

    found = guided_pair(both, 2.0)(state, t)
    apart = guided(lambda s, t: of_condition(given, s, t), lambda s, t: of_condition(null, s, t), 2.0)(state, t)
    assert calls == 1
    for name in ("image", "distance"):
        torch.testing.assert_close(found.x0[name], apart.x0[name])
    torch.testing.assert_close(found.x0["label"], apart.x0["label"].log_softmax(1))
    torch.testing.assert_close(found.x0["label"].exp().sum(1), torch.ones(2, 4, 4))
    assert found.log_variance is not None
    variance = of_condition(given, state, t).log_variance
    assert variance is not None
    torch.testing.assert_close(found.log_variance["image"], variance["image"])
    assert list(found.x0) == list(state)


def test_guiding_x0_is_guiding_the_noise() -> None:
    """eps = eps_null + s (eps_given - eps_null), as the papers have it."""
    alpha, sigma = torch.tensor(0.6), torch.tensor(0.8)
    x, given, null = torch.randn(3, 2, 1, 2, 2)
    eps = null + 1.5 * (given - null)

    def both(doubled: State, _: Tensor) -> Prediction:
        return Prediction({"x": x0_of("eps", torch.cat([given, null]), doubled["x"], alpha, sigma)})

    found = guided_pair(both, 1.5)({"x": x}, torch.zeros(2, 1)).x0["x"]
    torch.testing.assert_close(found, x0_of("eps", eps, x, alpha, sigma))


def saying(**x0: Tensor) -> Denoise:
    return lambda *_: Prediction(dict(x0), {"kept": torch.ones(1)})


def test_clipping_holds_only_the_named_groups() -> None:
    x0 = torch.tensor([-3.0, -0.5, 0.5, 3.0]).view(1, 1, 1, 4)
    found = clipped(saying(a=x0, b=x0), ["a"])({}, torch.zeros(1, 2))
    torch.testing.assert_close(found.x0["a"].flatten(), torch.tensor([-1.0, -0.5, 0.5, 1.0]))
    torch.testing.assert_close(found.x0["b"], x0)
    assert found.log_variance is not None


def test_dynamic_thresholds_by_hand() -> None:
    """The quantile .95 of |x0| = 0, .1 .. 2 is the last but one, 1.9; a quiet sample is clamped at 1."""
    loud = torch.linspace(0, 2, 21) * torch.tensor([1.0, -1.0] * 10 + [1.0])
    quiet = loud / 4
    quiet[3] = 1.5
    x0 = torch.stack([loud, quiet]).view(2, 1, 3, 7)
    found = dynamically_thresholded(saying(a=x0, b=x0), ["a"])({}, torch.zeros(2, 2)).x0
    torch.testing.assert_close(found["a"][0].flatten(), loud.clamp(-1.9, 1.9) / 1.9)
    torch.testing.assert_close(found["a"][1].flatten(), quiet.clamp(-1, 1))
    torch.testing.assert_close(found["b"], x0)


def test_dynamic_thresholds_are_of_each_group_apart() -> None:
    a, b = torch.full((1, 1, 2, 2), 4.0), torch.full((1, 1, 2, 2), 0.5)
    found = dynamically_thresholded(saying(a=a, b=b), ["a", "b"])({}, torch.zeros(1, 2)).x0
    torch.testing.assert_close(found["a"], torch.ones_like(a))
    torch.testing.assert_close(found["b"], b)
