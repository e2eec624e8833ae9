"""Every loss against numbers worked out by hand."""

import math

import pytest
import torch
from torch import Tensor, nn

from nucleosynth.adversarial import losses
from nucleosynth.adversarial.losses import OBJECTIVES, Kind
from nucleosynth.adversarial.watch import still

REAL = [torch.tensor([[2.0, 0.25]]), torch.tensor([[-1.0]])]
FAKE = [torch.tensor([[0.5, -3.0]]), torch.tensor([[1.5]])]


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


@pytest.mark.parametrize(
    ("kind", "critic", "generator", "right"),
    [
        # scale 1: real (1 + .5625) / 2, fake (.25 + 9) / 2; scale 2: real 4, fake 2.25
        ("least_squares", (0.78125 + 4.625 + 4 + 2.25) / 2, ((0.25 + 16) / 2 + 0.25) / 2, (0.5 + 0.5 + 0 + 0) / 4),
        # scale 1: real (0 + .75) / 2, fake (1.5 + 0) / 2; scale 2: real 2, fake 2.5
        ("hinge", (0.375 + 0.75 + 2 + 2.5) / 2, (1.25 - 1.5) / 2, (1 + 0.5 + 0 + 0) / 4),
        (
            "vanilla",
            ((softplus(-2) + softplus(-0.25) + softplus(0.5) + softplus(-3)) / 2 + softplus(1) + softplus(1.5)) / 2,
            ((softplus(-0.5) + softplus(3)) / 2 + softplus(-1.5)) / 2,
            (1 + 0.5 + 0 + 0) / 4,
        ),
    ],
)
def test_a_game_s_losses(kind: Kind, critic: float, generator: float, right: float) -> None:
    objective = OBJECTIVES[kind]
    assert objective.critic(REAL, FAKE).item() == pytest.approx(critic)
    assert objective.generator(FAKE).item() == pytest.approx(generator)
    assert objective.told_apart(REAL, FAKE).item() == pytest.approx(right)


@pytest.mark.parametrize("kind", list(OBJECTIVES))
def test_both_sides_pull_apart(kind: Kind) -> None:
    objective = OBJECTIVES[kind]
    real, fake = torch.zeros(1, 1, requires_grad=True), torch.zeros(1, 1, requires_grad=True)
    objective.critic([real - 0.1], [fake + 0.1]).backward()
    assert real.grad is not None
    assert fake.grad is not None
    assert real.grad.item() < 0 < fake.grad.item()
    wanted = torch.zeros(1, 1, requires_grad=True)
    objective.generator([wanted]).backward()
    assert wanted.grad is not None
    assert wanted.grad.item() < 0


def test_scales_of_other_number_are_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        OBJECTIVES["hinge"].critic(REAL, FAKE[:1])


def test_feature_matching_leaves_the_logits_out_and_reality_alone() -> None:
    real = [[torch.tensor([1.0, 3.0], requires_grad=True), torch.tensor([2.0]), torch.tensor([9.0])], [torch.ones(1)]]
    fake = [[torch.tensor([0.0, 1.0], requires_grad=True), torch.tensor([5.0]), torch.tensor([0.0])], [torch.zeros(1)]]
    with pytest.raises(RuntimeError, match="non-empty"):
        losses.feature_matching(real, fake)  # a scale without features
    loss = losses.feature_matching(real[:1] * 2, fake[:1] * 2)
    assert loss.item() == pytest.approx(1.5 + 3)
    loss.backward()
    assert real[0][0].grad is None
    assert fake[0][0].grad is not None


def test_perceptual_weighs_the_maps() -> None:
    def maps(x: Tensor) -> list[Tensor]:
        return [x * 2, x.square()]

    real, fake = torch.full((1, 3, 2, 2), 0.5), torch.zeros(1, 3, 2, 2, requires_grad=True)
    loss = losses.perceptual(maps, real, fake, (0.25, 1.0))
    assert loss.item() == pytest.approx(0.25 * 1 + 0.25)
    loss.backward()
    assert fake.grad is not None
    with pytest.raises(ValueError, match="longer"):
        losses.perceptual(maps, real, fake, (0.25,))


def test_gradient_penalty_of_a_critic_whose_slope_is_known() -> None:
    slope = torch.tensor(1.5, requires_grad=True)

    def critic(maps: Tensor, text: Tensor) -> Tensor:
        return slope * (3 * maps.flatten(1).sum(1) + 4 * text.sum(1))

    # of each sample: slope * sqrt(2 * 9 + 1 * 16)
    loss = losses.gradient_penalty(critic, torch.randn(5, 1, 2), torch.randn(5, 1))
    assert loss.item() == pytest.approx(2 * 1.5**6 * 34**3, rel=1e-5)
    loss.backward()
    assert slope.grad is not None
    assert slope.grad.item() == pytest.approx(2 * 6 * 1.5**5 * 34**3, rel=1e-5)


def test_gradient_penalty_runs_in_full_precision() -> None:
    seen = []
    layer = nn.Linear(4, 1)

    def critic(x: Tensor) -> Tensor:
        seen.append(layer(x).dtype)
        return layer(x).tanh()

    with torch.autocast("cpu", torch.bfloat16):
        loss = losses.gradient_penalty(critic, torch.ones(2, 4, dtype=torch.bfloat16))
        loss.backward()
    assert seen == [torch.float32]
    assert layer.weight.grad is not None
    assert layer.weight.grad.abs().sum() > 0


def test_gradient_penalty_of_a_flat_critic_is_nothing_and_finite() -> None:
    weight = torch.zeros(3, requires_grad=True)
    loss = losses.gradient_penalty(lambda x: x @ weight, torch.randn(2, 3))
    loss.backward()
    assert loss.item() == 0
    assert weight.grad is not None
    assert weight.grad.isfinite().all()


def test_mismatched_text_is_another_s() -> None:
    text = torch.tensor([[1.0, 2.0], [3.0, 4.0], [3.0, 4.0]])
    other, differs = losses.mismatched(text)
    assert other.tolist() == [[3, 4], [1, 2], [3, 4]]
    assert differs.tolist() == [True, True, False]
    assert losses.mismatched(text[:1])[1].tolist() == [False]


def test_a_text_critic_loses_on_wrong_texts() -> None:
    hinge = OBJECTIVES["hinge"]
    real, fake = [torch.tensor([[0.0], [0.0]])], [torch.tensor([[1.0], [2.0]])]
    wrong = [torch.tensor([[3.0], [100.0]])]
    found = losses.matching_critic(hinge, real, fake, wrong, torch.tensor([True, False]))
    assert found.item() == pytest.approx(1 + 2.5 / 2 + 4 / 2)
    none = losses.matching_critic(hinge, real, fake, wrong, torch.tensor([False, False]))
    assert none.item() == pytest.approx(1 + 2.5) == hinge.critic(real, fake).item()


def test_mask_consistency_is_cross_entropy_where_known() -> None:
    logits = torch.zeros(1, 4, 1, 2)
    logits[0, 1, 0, 0] = 100
    wanted, known = torch.tensor([[[1, 2]]]), torch.tensor([[[True, False]]])
    assert losses.mask_consistency(logits, wanted).item() == pytest.approx(math.log(4) / 2)
    assert losses.mask_consistency(logits, wanted, known).item() == pytest.approx(0)
    assert losses.mask_consistency(logits, wanted, ~known).item() == pytest.approx(math.log(4))
    assert losses.mask_consistency(logits, wanted, known & ~known).item() == 0


def test_outputs_are_asked_to_differ_with_their_noise_up_to_a_bound() -> None:
    noise, other = torch.zeros(3, 1), torch.tensor([[2.0], [2.0], [4.0]])
    first, second = torch.zeros(3, 4), torch.tensor([[0.1], [1.0], [0.0]]).expand(3, 4)
    found = losses.likeness_of_outputs(first, second, noise, other, most=0.2)
    assert found.item() == pytest.approx(((0.2 - 0.05) + 0 + 0.2) / 3)
    moving = (second.clone()).requires_grad_()
    losses.likeness_of_outputs(first, moving, noise, other, most=0.2).backward()
    assert moving.grad is not None
    assert (moving.grad[0] < 0).all()  # farther apart is better
    assert (moving.grad[1] == 0).all()  # far enough


def test_still_networks_do_not_learn_and_frozen_ones_stay_frozen() -> None:
    critic, frozen = nn.Linear(2, 1), nn.Linear(2, 1).requires_grad_(False)
    image = torch.ones(1, 2, requires_grad=True)
    with still([critic, frozen]):
        loss = critic(image).sum() + frozen(image).sum()
    loss.backward()
    assert critic.weight.grad is None
    assert image.grad is not None
    assert critic.weight.requires_grad
    assert not frozen.weight.requires_grad
