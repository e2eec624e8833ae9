"""The uniform categorical process against enumeration of every path of a small chain, and chains run to the data."""

import itertools
import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from nucleosynth.diffusion.categorical import Categorical, Form, drawn
from nucleosynth.diffusion.schedule import Chain, spaced

K, STEPS = 3, 5
SMALL = Categorical(Chain.linear(STEPS, 1e-3, 4e-3).signal, K)
FORMS: dict[Form, Categorical] = {"exact": SMALL, "plugin": replace(SMALL, form="plugin")}
P0 = torch.tensor([0.6, 0.3, 0.1], dtype=torch.float64)


def clocks(*values: float) -> Tensor:
    return torch.tensor(values)


def path_probabilities() -> Tensor:
    """(K,) * 6: the probability of every x_0 .. x_5, from the betas alone."""
    found = torch.zeros((K,) * (STEPS + 1), dtype=torch.float64)
    betas = 1 - SMALL.signal[1:] / SMALL.signal[:-1]
    for path in itertools.product(range(K), repeat=STEPS + 1):
        p = float(P0[path[0]])
        for beta, before, after in zip(betas.tolist(), path, path[1:], strict=False):
            p *= (1 - beta) * (before == after) + beta / K
        found[path] = p
    return found


def marginal(*steps: int) -> Tensor:
    """Of x at these clocks, rising."""
    return path_probabilities().sum([i for i in range(STEPS + 1) if i not in steps])


def log_x0_given(t: int) -> Tensor:
    """log p(x_0 | x_t = j) for the pixels j = 0 .. K - 1 of one row: (1 K 1 K)."""
    joint = marginal(0, t)
    return (joint / joint.sum(0)).log().view(1, K, 1, K)


ROW = torch.arange(K).view(1, 1, K)


def test_the_chain_says_what_the_betas_say() -> None:
    assert float(path_probabilities().sum()) == pytest.approx(1)
    kept = float(SMALL.signal[STEPS])
    expected = P0[:, None] * (kept * torch.eye(K, dtype=torch.float64) + (1 - kept) / K)
    torch.testing.assert_close(marginal(0, STEPS), expected)


@pytest.mark.parametrize(("t", "s"), [(t, s) for t in range(1, STEPS + 1) for s in range(t)])
def test_the_exact_posterior_is_the_enumerated_one(t: int, s: int) -> None:
    found = SMALL.posterior(ROW, log_x0_given(t), clocks(t), clocks(s)).exp()
    joint = marginal(s, t) if s else marginal(0, t)
    torch.testing.assert_close(found[0, :, 0], joint / joint.sum(0), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("t", "s"), [(2, 1), (5, 4), (5, 2)])
@pytest.mark.parametrize("form", ["exact", "plugin"])
def test_both_forms_agree_with_bayes_where_x0_is_certain(t: int, s: int, form: Form) -> None:
    """q(x_s | x_t, x_0 = i) = q(x_t | x_s) q(x_s | x_0) / q(x_t | x_0), from the enumeration."""
    for i in range(K):
        certain = torch.where(torch.arange(K) == i, 0.0, -math.inf).view(1, K, 1, 1).expand(1, K, 1, K)
        found = FORMS[form].posterior(ROW, certain, clocks(t), clocks(s)).exp()
        joint = marginal(0, s, t)[i]
        torch.testing.assert_close(found[0, :, 0].double(), joint / joint.sum(0), rtol=1e-5, atol=1e-7)


def test_the_plug_in_is_its_formula() -> None:
    """Proportional to q(x_t | x_s) (abar_s p(x0 = j) + (1 - abar_s) / K)."""
    t, s = 5, 2
    a, kept = float(SMALL.signal[t] / SMALL.signal[s]), float(SMALL.signal[s])
    ahead = a * torch.eye(K, dtype=torch.float64) + (1 - a) / K
    weight = ahead * (kept * log_x0_given(t)[0, :, 0].exp() + (1 - kept) / K)
    found = FORMS["plugin"].posterior(ROW, log_x0_given(t), clocks(t), clocks(s)).exp()
    torch.testing.assert_close(found[0, :, 0].double(), weight / weight.sum(0), rtol=1e-5, atol=1e-7)


def doubts(chain: Chain, t: int, s: int) -> tuple[Tensor, Tensor]:
    """Both forms for x_t = 0 and p(x0) between 0 and one other id of 7, from one to the other: (n 7) each."""
    shown = torch.logspace(-6, -1e-3, 200)
    p = torch.zeros(200, 7)
    p[:, 0], p[:, 1] = shown, 1 - shown
    found = [
        Categorical(chain.signal, 7, form)
        .posterior(torch.zeros(200, 1, 1, dtype=torch.int64), p.log()[..., None, None], clocks(t), clocks(s))
        .exp()[..., 0, 0]
        for form in FORMS
    ]
    return found[0], found[1]


def test_the_forms_differ_where_few_steps_are_left() -> None:
    """What two ids may have been, amid CoSyn's chain hardly matters; near the data, and at 50 steps, it does."""
    chain = Chain.log_snr_cosine()

    def difference(steps: list[tuple[int, int]]) -> float:
        return max(float((one - other).abs().max()) for one, other in (doubts(chain, t, s) for t, s in steps))

    assert difference([(t, t - 1) for t in range(300, 1001, 50)]) < 0.006
    assert difference([(2, 1)]) == pytest.approx(0.188, abs=0.002)
    assert difference([(40, 20)]) == pytest.approx(0.624, abs=0.002)
    assert difference([(1, 0), (20, 0)]) == 0, "at the data both take p(x0)"


def test_the_plug_in_formula_is_worst_in_the_step_to_the_data() -> None:
    """There it differs from p(x0) by .99 in a chain of 1000 steps and by .97 in one of 50: it is not used there."""
    signal = Chain.log_snr_cosine().signal
    shown = torch.logspace(-6, 0, 200, dtype=torch.float64)
    for t, expected in ((1, 0.99), (20, 0.97)):
        a = float(signal[t])
        same, other = (a + (1 - a) / 7) * shown, (1 - a) / 7 * (1 - shown)
        assert float((same / (same + other) - shown).abs().max()) == pytest.approx(expected, abs=0.003)


def test_noise_keeps_and_replaces_at_each_sample_s_clock() -> None:
    process = Categorical(Chain.linear(10, 1e-3, 3e-3).signal, 4)
    generator = torch.Generator().manual_seed(0)
    x0 = torch.randint(4, (2, 300, 300), generator=generator)
    uniform, replacement = torch.rand(x0.shape, generator=generator), torch.randint(4, x0.shape, generator=generator)
    found = process.noised(x0, clocks(0, 6), uniform, replacement)
    assert torch.equal(found[0], x0[0])
    kept = float(process.signal[6])
    same = float((found[1] == x0[1]).float().mean())
    assert same == pytest.approx(kept + (1 - kept) / 4, abs=0.006)
    moved = torch.bincount(found[1][x0[1] == 2], minlength=4) / (x0[1] == 2).sum()
    torch.testing.assert_close(moved[[0, 1, 3]], torch.full((3,), (1 - kept) / 4), atol=0.01, rtol=0)


def test_draws_have_their_probabilities_and_never_the_impossible() -> None:
    p = torch.tensor([0.0, 0.2, 0.0, 0.7, 0.1, 0.0])
    uniform = torch.linspace(0, 1, 100001)[:-1].view(1, 1, -1)
    found = drawn(p.log().view(1, 6, 1, 1).expand(1, 6, 1, 100000), uniform)
    torch.testing.assert_close(torch.bincount(found.flatten(), minlength=6) / 100000, p, atol=1e-4, rtol=0)
    assert torch.equal(found.unique(), torch.tensor([1, 3, 4]))


def chained(form: Form, steps: int) -> Tensor:
    """The marginal at 0 of a whole chain run backwards with the exact p(x0 | x_t), from uniform at T: (K,)."""
    chain = Chain.log_snr_cosine()
    process, times = Categorical(chain.signal, K, form), spaced(1000, steps)
    p_t = torch.full((K,), 1 / K)
    for t, s in itertools.pairwise(times):
        kept = float(chain.signal[int(t)])
        joint = P0[:, None] * (kept * torch.eye(K) + (1 - kept) / K)
        log_x0 = (joint / joint.sum(0)).float().log()
        back = process.posterior(ROW, log_x0.view(1, K, 1, K), t.view(1), s.view(1)).exp()[0, :, 0]
        p_t = back @ p_t
    return p_t.double()


@pytest.mark.parametrize("steps", [1000, 50, 5, 1])
def test_exact_steps_end_in_the_data_s_distribution_at_any_number(steps: int) -> None:
    torch.testing.assert_close(chained("exact", steps), P0, atol=1e-4, rtol=0)


def test_plug_in_steps_do_not() -> None:
    """At no number of steps does the published form end in the data's distribution, however right the network."""
    for steps in (1000, 50):
        assert float((chained("plugin", steps) - P0).abs().max()) == pytest.approx(0.126, abs=0.005)


def test_the_loss_is_the_kl_by_hand() -> None:
    """Of one pixel a sample, at clocks 1, 3 and 5; T, bits and classes as stated."""
    generator = torch.Generator().manual_seed(1)
    log_x0 = torch.randn(3, K, 1, 1, generator=generator).log_softmax(1)
    x0, x_t, t = torch.tensor([0, 1, 2]).view(3, 1, 1), torch.tensor([0, 2, 1]).view(3, 1, 1), clocks(1, 3, 5)
    found = SMALL.loss(x0, x_t, log_x0, t)
    scale = STEPS / (math.log(2) * K)
    assert float(found[0]) == pytest.approx(-scale * float(log_x0[0, 0]), rel=1e-5)
    for b, clock in ((1, 3), (2, 5)):
        paths = marginal(0, clock - 1, clock)
        q = paths[x0[b].item(), :, x_t[b].item()]
        q = q / q.sum()
        every = paths[:, :, x_t[b].item()] / paths[:, :, x_t[b].item()].sum(1, keepdim=True)
        p = (log_x0[b, :, 0].exp().double() * every).sum(0)
        assert float(found[b]) == pytest.approx(scale * float((q * (q / p).log()).sum()), rel=1e-4)


@pytest.mark.parametrize("form", ["exact", "plugin"])
def test_the_loss_is_of_the_form_that_samples(form: Form) -> None:
    generator = torch.Generator().manual_seed(2)
    log_x0 = torch.randn(1, K, 1, K, generator=generator).log_softmax(1)
    x0, t = torch.tensor([[[1, 1, 1]]]), clocks(4)
    truth, model = marginal(0, 3, 4)[1], FORMS[form].posterior(ROW, log_x0, t, t - 1)[0, :, 0].double()
    truth = truth / truth.sum(0)
    expected = (truth * (truth.log() - model)).sum(0).mean() * STEPS / (math.log(2) * K)
    assert float(FORMS[form].loss(x0, ROW, log_x0, t)) == pytest.approx(float(expected), rel=1e-4)


@pytest.mark.parametrize("form", ["exact", "plugin"])
def test_the_loss_of_a_certain_and_right_network_is_0(form: Form) -> None:
    x0 = torch.randint(K, (5, 4, 4), generator=torch.Generator().manual_seed(0))
    certain = torch.full((5, K, 4, 4), -30.0).scatter(1, x0[:, None], 0.0).log_softmax(1)
    found = FORMS[form].loss(x0, x0.roll(1, 2), certain, clocks(1, 2, 3, 4, 5))
    torch.testing.assert_close(found, torch.zeros(5), atol=1e-4, rtol=0)


def test_masked_pixels_and_samples_carry_nothing() -> None:
    generator = torch.Generator().manual_seed(0)
    x0, x_t = (torch.randint(K, (3, 2, 2), generator=generator) for _ in range(2))
    log_x0 = torch.randn(3, K, 2, 2, generator=generator).log_softmax(1).requires_grad_()
    t, mask = clocks(3, 3, 1), torch.tensor([[1, 1, 1, 1], [0, 1, 0, 0], [0, 0, 0, 0]]).bool().view(3, 2, 2)
    found = SMALL.loss(x0, x_t, log_x0, t, mask)
    torch.testing.assert_close(found[0], SMALL.loss(x0, x_t, log_x0, t)[0])
    one = SMALL.loss(x0[1:2, :1, 1:], x_t[1:2, :1, 1:], log_x0[1:2, :, :1, 1:], clocks(3))
    torch.testing.assert_close(found[1:2], one)
    assert found[2] == 0
    found.sum().backward()
    assert log_x0.grad is not None
    assert log_x0.grad.isfinite().all()
    assert (log_x0.grad[2] == 0).all()


@pytest.mark.parametrize("form", ["exact", "plugin"])
def test_gradients_are_finite_where_the_network_is_very_sure_and_wrong(form: Form) -> None:
    x0 = torch.zeros(4, 2, 2, dtype=torch.int64)
    logits = torch.full((4, K, 2, 2), -200.0).index_fill(1, torch.tensor(1), 200.0).requires_grad_()
    FORMS[form].loss(x0, x0, logits.log_softmax(1), clocks(1, 2, 3, 5)).sum().backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_what_is_left_to_know_at_the_end_is_a_constant() -> None:
    kept = float(SMALL.signal[-1])
    q = torch.full((K,), (1 - kept) / K, dtype=torch.float64)
    q[0] += kept
    assert SMALL.prior == pytest.approx(float((q * (q * K).log2()).sum()) / K)
    assert 0 <= Categorical(Chain.log_snr_cosine().signal, 7).prior < 1e-9
