"""Samplers on chains of whole clocks: the mixture's exact way, declared orders, states of several kinds of group."""

import math

import pytest
import torch
from mixture import Numbers, cumulative, denoiser, quantile
from torch import Tensor

from nucleosynth.diffusion.categorical import Categorical
from nucleosynth.diffusion.prediction import Prediction, State, learned_range
from nucleosynth.diffusion.samplers import SAMPLERS
from nucleosynth.diffusion.schedule import Chain, following, spaced

CHAINS = {"linear": Chain.linear(), "cosine": Chain.cosine(), "log_snr_cosine": Chain.log_snr_cosine()}


def shares(chain: Chain, clock: float) -> tuple[float, float]:
    t = torch.tensor(clock, dtype=torch.float64)
    return float(chain.alpha(t)), float(chain.sigma(t))


def carried(x: Tensor, chain: Chain, start: float, end: float) -> Tensor:
    """Where the probability flow takes x: in one dimension it keeps ranks, so it is the map of quantile to quantile."""
    return quantile(cumulative(x, *shares(chain, start)), *shares(chain, end))


def sampled(name: str, chain: Chain, times: Tensor, x: Tensor) -> Tensor:
    noise = Numbers(1, x=tuple(x.shape))
    return SAMPLERS[name](denoiser(chain), {"x": x}, times[:, None], {"x": chain}, noise)["x"]


def misfit(x: Tensor) -> float:
    """Kolmogorov and Smirnov's distance of numbers from the mixture."""
    expected = cumulative(x.flatten().sort().values, 1.0, 0.0)
    ranks = torch.arange(len(expected) + 1, dtype=torch.float64) / len(expected)
    return float(torch.maximum((expected - ranks[1:]).abs().max(), (expected - ranks[:-1]).abs().max()))


@pytest.mark.parametrize("chain", CHAINS)
@pytest.mark.parametrize(
    ("name", "steps", "error"),
    [
        ("ddim", 50, 0.045),
        ("ddim", 400, 0.006),
        ("heun", 25, 0.02),
        ("multistep", 50, 0.007),
        ("dpm_solver", 50, 0.007),
    ],
)
def test_paths_without_noise_follow_the_exact_flow(name: str, steps: int, error: float, chain: str) -> None:
    x = torch.special.ndtri((torch.arange(500, dtype=torch.float64) + 0.5) / 500).view(-1, 1, 1, 1)
    found = sampled(name, CHAINS[chain], spaced(1000, steps), x)
    assert float((found - carried(x, CHAINS[chain], 1000, 0)).abs().mean()) < error


@pytest.mark.parametrize("chain", CHAINS)
@pytest.mark.parametrize(
    ("name", "steps", "error"),
    [("ancestral", 1000, 0.036), ("ancestral", 50, 0.05), ("ddim", 50, 0.04), ("dpm_solver", 20, 0.045)],
)
def test_the_end_is_the_mixture(name: str, steps: int, error: float, chain: str) -> None:
    """Of 3000 numbers; those of the mixture itself are farther from it than .036 once in a thousand times."""
    x = torch.randn(3000, 1, 1, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert misfit(sampled(name, CHAINS[chain], spaced(1000, steps), x)) < error


@pytest.mark.parametrize("chain", [Chain.linear(4096), Chain.log_snr_cosine(4096)], ids=["linear", "log_snr_cosine"])
@pytest.mark.parametrize(("name", "order"), [("ddim", 1), ("dpm_solver", 2), ("heun", 2), ("multistep", 2)])
def test_declared_order(name: str, order: int, chain: Chain) -> None:
    """Halving the step divides the distance from the exact flow by 2^order (up to a clock short of the data)."""
    x = torch.linspace(-2.5, 2.5, 41, dtype=torch.float64).view(-1, 1, 1, 1)
    truth = carried(x, chain, 3584, 1024)
    coarse, fine = (
        float((sampled(name, chain, torch.linspace(3584, 1024, n + 1), x) - truth).abs().mean()) for n in (64, 128)
    )
    assert math.log2(coarse / fine) == pytest.approx(order, abs=0.05)


def test_a_path_may_start_amid_the_chain() -> None:
    """SDEdit's: from data with part of the noise, the end is the mixture again."""
    chain = CHAINS["linear"]
    x = quantile((torch.arange(500, dtype=torch.float64) + 0.5) / 500, *shares(chain, 550)).view(-1, 1, 1, 1)
    found = sampled("dpm_solver", chain, spaced(1000, 30, start=550), x)
    assert float((found - carried(x, chain, 550, 0)).abs().mean()) < 0.007


def drawn_once(log_variance: State | None) -> Tensor:
    """One ancestral step 500 -> 480 from 0 towards a clean state of 0: noise alone, of 20000 numbers."""
    chain, x = CHAINS["linear"], torch.zeros(1, 1, 100, 200, dtype=torch.float64)
    times = torch.tensor([[500.0], [480.0]])
    numbers = Numbers(2, x=tuple(x.shape))
    return SAMPLERS["ancestral"](
        lambda state, _: Prediction(state, log_variance), {"x": x}, times, {"x": chain}, numbers
    )["x"]


def test_the_noise_of_a_step_has_the_learned_variance_else_beta_tilde() -> None:
    signal = CHAINS["linear"].signal
    beta_tilde = float((1 - signal[480]) / (1 - signal[500]) * (1 - signal[500] / signal[480]))
    plain = drawn_once(None)
    assert float(plain.std()) == pytest.approx(beta_tilde**0.5, rel=0.02)
    learned = drawn_once({"x": torch.full((1, 1, 100, 200), 2.0, dtype=torch.float64)})
    torch.testing.assert_close(learned, plain * math.e / beta_tilde**0.5)
    torch.testing.assert_close(drawn_once({"another": torch.ones(1)}), plain)


def test_a_step_to_the_data_adds_no_noise_even_where_a_variance_is_learned() -> None:
    chain, x = CHAINS["linear"], torch.ones(1, 1, 2, 2)
    times = torch.tensor([[20.0], [0.0]])
    prediction = Prediction({"x": 3 * x}, {"x": learned_range(x, chain, times[0], following(times[:, 0], times[0]))})
    found = SAMPLERS["ancestral"](lambda *_: prediction, {"x": x}, times, {"x": chain})["x"]
    torch.testing.assert_close(found, 3 * x)


# A pair of image (2 channels), label and distance: the label's id says where the mean of both others lies.
SHARES = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
IMAGE = torch.tensor([[-1.0, 0.5], [1.0, 1.0], [0.5, -1.5]], dtype=torch.float64)
DISTANCE = torch.tensor([[-1.0], [0.2], [1.2]], dtype=torch.float64)
SPREAD = 0.3
CHAIN = CHAINS["log_snr_cosine"]
PROCESSES = {"image": CHAIN, "label": Categorical(CHAIN.signal, 3), "distance": CHAIN}


def exact_pair(state: State, t: Tensor) -> Prediction:
    """p(x0 | x_t) of every group from all of them, each at its own clock, by Bayes over the label."""
    log_p = SHARES.log().expand(len(t), 3).clone()
    means, clocks = {"image": IMAGE, "distance": DISTANCE}, dict(zip(state, t[0].tolist(), strict=True))
    variances = {}
    for name, mean in means.items():
        alpha, sigma = shares(CHAIN, clocks[name])
        variances[name] = alpha**2 * SPREAD**2 + sigma**2
        log_p -= ((state[name].flatten(1)[:, None] - alpha * mean) ** 2).sum(-1) / (2 * variances[name])
    kept = float(CHAIN.signal[int(clocks["label"])])
    log_p += (kept * torch.eye(3, dtype=torch.float64) + (1 - kept) / 3).log()[state["label"].flatten()]
    log_p = log_p.log_softmax(1)
    x0: State = {"label": log_p[:, :, None, None]}
    for name, mean in means.items():
        alpha, _ = shares(CHAIN, clocks[name])
        gain = alpha * SPREAD**2 / variances[name]
        expected = (1 - gain * alpha) * log_p.exp() @ mean
        x0[name] = expected[:, :, None, None] + gain * state[name]
    return Prediction(x0)


def start(n: int) -> tuple[State, Numbers]:
    numbers = Numbers(5, image=(n, 2, 1, 1), label=(n, 1, 1), distance=(n, 1, 1, 1))
    label = (numbers.uniform("label", 0) * 3).long()
    return {"image": numbers.normal("image", 0), "label": label, "distance": numbers.normal("distance", 0)}, numbers


@pytest.mark.parametrize(
    ("name", "steps", "slack"),
    [
        ("ancestral", 1000, 0.03),
        ("ancestral", 50, 0.05),
        ("ddim", 50, 0.05),
        ("dpm_solver", 50, 0.05),
        ("heun", 50, 0.05),
    ],
)
def test_three_groups_of_two_kinds_end_in_their_joint_distribution(name: str, steps: int, slack: float) -> None:
    state, numbers = start(2000)
    found = SAMPLERS[name](exact_pair, state, spaced(1000, steps)[:, None].expand(-1, 3), PROCESSES, numbers)
    assert list(found) == list(state)
    label = found["label"].flatten()
    assert label.dtype == torch.int64
    torch.testing.assert_close(label.bincount(minlength=3) / len(label), SHARES.float(), atol=slack, rtol=0)
    for made, means in ((found["image"], IMAGE), (found["distance"], DISTANCE)):
        apart = made.flatten(1) - means[label]
        for k in range(3):
            torch.testing.assert_close(apart[label == k].mean(0), 0 * means[k], atol=0.05, rtol=0)
            torch.testing.assert_close(apart[label == k].std(0), 0 * means[k] + SPREAD, atol=0.05, rtol=0)


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_known_label_stays_and_decides_the_rest(name: str) -> None:
    state, numbers = start(500)
    times = spaced(1000, 40)[:, None].repeat(1, 3)
    times[:, 1] = 0
    known = state["label"].clone()
    found = SAMPLERS[name](exact_pair, state, times, PROCESSES, numbers)
    assert torch.equal(found["label"], known)
    assert float(torch.cdist(found["image"].flatten(1), IMAGE).argmin(1).eq(known.flatten()).double().mean()) > 0.97


def sure_of_2(state: State, t: Tensor) -> Prediction:
    """A denoiser that sees id 2 everywhere, whatever there is."""
    p = torch.tensor([0.1, 0.1, 0.8]).view(1, 3, 1, 1).expand(len(t), 3, *state["label"].shape[1:])
    return Prediction({"label": p.log()})


@pytest.mark.parametrize("clock", [0.0, 300.0])
@pytest.mark.parametrize("name", SAMPLERS)
def test_a_label_whose_clock_stands_still_is_kept_whatever_the_denoiser_says(name: str, clock: float) -> None:
    label = torch.zeros(2, 3, 3, dtype=torch.int64)
    times = torch.full((4, 1), clock)
    found = SAMPLERS[name](sure_of_2, {"label": label}, times, PROCESSES, Numbers(0, label=(2, 3, 3)))
    assert torch.equal(found["label"], label)


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_step_of_a_label_is_a_draw_from_its_posterior(name: str) -> None:
    """Beside a Gaussian group, which makes Heun's step ask the denoiser twice."""
    label, times = torch.zeros(1, 100, 100, dtype=torch.int64), torch.tensor([[500.0, 500.0], [300.0, 300.0]])
    state, numbers = (
        {"image": torch.zeros(1, 2, 1, 1), "label": label},
        Numbers(0, image=(1, 2, 1, 1), label=(1, 100, 100)),
    )
    found = SAMPLERS[name](lambda s, t: Prediction({**s, **sure_of_2(s, t).x0}), state, times, PROCESSES, numbers)
    log_x0 = sure_of_2(state, times[:1]).x0["label"]
    expected = PROCESSES["label"].posterior(label, log_x0, times[:1, 1], times[1:, 1])[0, :, 0, 0].exp()
    assert expected.max() < 0.8
    torch.testing.assert_close(found["label"].flatten().bincount(minlength=3) / 1e4, expected, atol=0.02, rtol=0)


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_last_label_is_the_likeliest_and_no_draw(name: str) -> None:
    label = torch.zeros(2, 30, 30, dtype=torch.int64)
    found = SAMPLERS[name](sure_of_2, {"label": label}, torch.tensor([[500.0], [0.0]]), PROCESSES)
    assert torch.equal(found["label"], torch.full_like(label, 2))


@pytest.mark.parametrize("name", ["ddim", "multistep", "dpm_solver", "heun"])
def test_a_clock_may_pause_on_its_way(name: str) -> None:
    """While it waits for another group's; a step after a pause is a first one."""
    chain, x = CHAINS["linear"], start(3)[0]["image"]
    halves = [torch.linspace(1000, 520, 5), torch.linspace(520, 40, 5)]
    apart = sampled(name, chain, halves[1], sampled(name, chain, halves[0], x))
    torch.testing.assert_close(sampled(name, chain, torch.cat(halves), x), apart)


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_same_noise_gives_the_same_state(name: str) -> None:
    times = spaced(1000, 5)[:, None].expand(-1, 3)
    state, numbers = start(4)
    once, again = (SAMPLERS[name](exact_pair, state, times, PROCESSES, numbers) for _ in range(2))
    for key in state:
        assert torch.equal(once[key], again[key])


@pytest.mark.parametrize("name", ["ancestral", "ddim"])
def test_every_step_but_the_last_draws_noise_of_its_own(name: str) -> None:
    """Step 0 is left to the start; what is drawn once a step is drawn for groups that move by chance alone."""
    state, numbers = start(2)
    asked: list[tuple[str, str, int]] = []

    class Heard:
        def normal(self, name: str, step: int) -> Tensor:
            asked.append(("normal", name, step))
            return numbers.normal(name, step)

        def uniform(self, name: str, step: int) -> Tensor:
            asked.append(("uniform", name, step))
            return numbers.uniform(name, step)

    SAMPLERS[name](exact_pair, state, spaced(1000, 4)[:, None].expand(-1, 3), PROCESSES, Heard())
    kinds = [("uniform", "label")] + [("normal", "image"), ("normal", "distance")] * (name == "ancestral")
    assert sorted(asked) == sorted((*kind, step) for kind in kinds for step in (1, 2, 3))


def test_groups_that_draw_need_noise() -> None:
    state, _ = start(1)
    with pytest.raises(AssertionError, match="need noise"):
        SAMPLERS["ddim"](exact_pair, state, spaced(1000, 5)[:, None].expand(-1, 3), PROCESSES)
