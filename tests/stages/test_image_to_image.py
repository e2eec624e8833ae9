"""pix2pixHD's training: what learns in which phase, what the critic is shown, and which losses are asked for."""

from typing import Any

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from nucleosynth import config
from nucleosynth.nets.patchgan import halved
from nucleosynth.nets.pix2pixhd import GlobalGenerator
from nucleosynth.stages.image_to_image import Batch, ImageToImageSettings, ImageToImageStage, Phased, cost, paint
from nucleosynth.training.checkpoint import Moment
from nucleosynth.training.device import fabric_for

SMALL = {
    "network": {"width": 8, "downs": 2, "blocks": 1, "local_width": 4, "local_blocks": 1, "noise": 2},
    "critic": {"width": 8, "layers": 2, "scales": 2},
    "training": {"batch": 3, "generator_rate": 0.01, "critic_rate": 0.01},
}
MOMENTS = {"global": 0.2, "local": 0.55, "both": 0.7}


@pytest.fixture(scope="module")
def fabric() -> Fabric:
    return fabric_for("cpu", "32-true")


def staged(fabric: Fabric, changes: dict[str, Any] | None = None, **parts: Any) -> ImageToImageStage:
    torch.manual_seed(0)
    settings = config.resolve(config.resolve(ImageToImageSettings(), SMALL, "test"), changes or {}, "test")
    stage = ImageToImageStage("image", settings, 4, 3, **parts)
    stage.setup(fabric)
    return stage


def batch(side: int = 32) -> Batch:
    generator = np.random.default_rng(0)
    condition = generator.integers(0, 2, (3, 4, side, side)).astype(np.float32)
    return np.tanh(generator.standard_normal((3, 3, side, side), np.float32)), condition


def moved(stage: ImageToImageStage, phase: str, fabric: Fabric, steps: int = 1) -> set[str]:
    """Which parts of the generator a step of that phase changes."""
    before = {key: value.clone() for key, value in stage.generator.state_dict().items()}
    for _ in range(steps):
        stage.step(fabric, batch(), Moment(0, 0.0, MOMENTS[phase]))
    after = stage.generator.state_dict()
    changed = {key for key in before if key.endswith("weight") and not torch.equal(before[key], after[key])}
    return {"sketch" if key.startswith("sketch") else "coarse" if ".coarse." in key else "local" for key in changed}


def test_phases_are_shares_of_the_budget() -> None:
    training = ImageToImageSettings().training
    assert [training.phase(x) for x in (0, 0.49, 0.5, 0.59, 0.61, 1)] == [
        "global",
        "global",
        "local",
        "local",
        "both",
        "both",
    ]


def test_what_a_phase_leaves_alone_does_not_move(fabric: Fabric) -> None:
    """In this order: what has momentum from the phase before must stand still too."""
    stage = staged(fabric)
    assert moved(stage, "global", fabric, 2) == {"coarse", "sketch"}
    assert moved(stage, "local", fabric, 2) == {"local"}
    assert moved(stage, "both", fabric) == {"coarse", "local"}


def test_every_weight_learns_in_its_phase(fabric: Fabric) -> None:
    stage = staged(fabric)
    before = {key: value.clone() for key, value in stage.generator.named_parameters()}
    for phase in MOMENTS:
        moved(stage, phase, fabric)
    for key, value in stage.generator.named_parameters():
        assert key.endswith("bias") or not torch.equal(before[key], value), key


def test_the_critic_sees_both_sides_at_the_phase_s_resolution(fabric: Fabric) -> None:
    stage, seen = staged(fabric), []
    stage.critics["critic"].register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    images, conditions = batch()
    stage.step(fabric, (images, conditions), Moment(0, 0.0, MOMENTS["global"]))
    assert {tuple(each.shape[1:]) for each in seen} == {(7, 16, 16)}
    seen.clear()
    stage.step(fabric, (images, conditions), Moment(0, 0.0, MOMENTS["both"]))
    both, fake, real = seen
    np.testing.assert_array_equal(both[:3, :4].detach().numpy(), conditions)
    np.testing.assert_array_equal(both[3:, :4].detach().numpy(), conditions)
    np.testing.assert_array_equal(both[:3, 4:].detach().numpy(), images)
    torch.testing.assert_close(both[3:], fake.detach())
    np.testing.assert_array_equal(real[:, 4:].detach().numpy(), images)
    assert not both.requires_grad  # what is made is no part of the critic's graph


def test_without_an_enhancer_there_is_one_phase(fabric: Fabric) -> None:
    stage = staged(fabric, {"network.local_width": 0})
    assert stage.generator.sketch is None
    assert isinstance(stage.generator.net, GlobalGenerator)
    assert stage.received(fabric, batch(), Moment()).output.shape[2:] == (32, 32)
    assert moved(stage, "global", fabric) == {"local"}  # none of it is called coarse


def losses_of(stage: ImageToImageStage, fabric: Fabric) -> dict[str, float]:
    torch.manual_seed(3)
    found = stage.step(fabric, batch(), Moment(0, 0.0, 0.9))
    return {key: float(value.detach()) for key, value in found.items()}


def test_losses_are_those_that_are_asked_for_at_their_weights(fabric: Fabric) -> None:
    plain = losses_of(staged(fabric), fabric)
    assert set(plain) == {"patch", "feature", "critic", "critic_mean", "critic_won"}
    heavier = losses_of(staged(fabric, {"training.feature_matching": 20.0, "training.adversarial": 3.0}), fabric)
    assert heavier["feature"] == pytest.approx(2 * plain["feature"])
    assert heavier["patch"] == pytest.approx(3 * plain["patch"])
    assert "feature" not in losses_of(staged(fabric, {"training.feature_matching": 0.0}), fabric)
    far = {"training.diversity": 0.5, "training.difference": 3.0}
    assert losses_of(staged(fabric, far), fabric)["diversity"] > 0
    assert "diversity" not in losses_of(staged(fabric, {"training.diversity": 0.5, "network.noise": 0}), fabric)


class Maps(nn.Module):
    """Five maps of an image."""

    def forward(self, x: Tensor) -> list[Tensor]:
        return [x * k for k in range(1, 6)]


def test_the_perceptual_loss_where_its_network_is_at_hand(fabric: Fabric) -> None:
    asked = {"training.perceptual": 2.0}
    assert losses_of(staged(fabric, asked, maps=Maps), fabric)["perceptual"] > 0
    assert "perceptual" not in losses_of(staged(fabric, asked, maps=lambda: None), fabric)


def test_numbers_may_be_shown_and_erred_in_other_ways(fabric: Fabric) -> None:
    seen: list[Tensor] = []

    def errors(raw: Tensor, output: Tensor) -> dict[str, Tensor]:
        seen.append(raw)
        return {"label": (raw - output).abs().mean()}

    stage = staged(fabric, shown=torch.sigmoid, errors=errors)
    made = stage.fake(stage.received(fabric, batch(), Moment(0, 0.0, 0.9)))
    torch.testing.assert_close(made.shown, made.raw.sigmoid())
    assert losses_of(stage, fabric)["label"] > 0
    assert seen[0].requires_grad


def test_painting_is_in_bounds_and_noise_decides_it(fabric: Fabric) -> None:
    stage = staged(fabric)
    condition = torch.from_numpy(batch()[1])
    noise, other = torch.randn(2, 3, 2, 32, 32).unbind()
    first, again, second = (paint(fabric, stage.averaged_net, condition, each) for each in (noise, noise, other))
    assert first.shape == (3, 3, 32, 32)
    assert first.abs().max() <= 1
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    assert (first - second).abs().mean() > 0


def test_while_the_global_generator_is_alone_it_is_what_is_shown(fabric: Fabric) -> None:
    """In a checkpoint that was saved then, too."""
    stage, condition, noise = staged(fabric), torch.from_numpy(batch()[1]), torch.randn(3, 2, 32, 32)
    stage.step(fabric, batch(), Moment(0, 0.0, MOMENTS["global"]))
    net = stage.averaged_net
    small = torch.tanh(net(halved(condition), noise[..., ::2, ::2], "global").detach())
    found = paint(fabric, net, condition, noise)
    torch.testing.assert_close(found, small.repeat_interleave(2, 2).repeat_interleave(2, 3))
    loaded = staged(fabric).averaged_net
    loaded.load_state_dict(net.state_dict())
    torch.testing.assert_close(paint(fabric, loaded, condition, noise), found)
    stage.step(fabric, batch(), Moment(1, 0.0, MOMENTS["both"]))
    found = paint(fabric, net, condition, noise)
    torch.testing.assert_close(found, torch.tanh(net.net(condition, noise).detach()))


def test_cost_counts_what_generates(fabric: Fabric) -> None:
    stage = staged(fabric)
    found = cost(stage.settings, 4, 3, 32, "image")
    assert found.parameters == sum(weight.numel() for weight in stage.generator.net.parameters())
    assert found.evaluations == 1


def test_noise_teaches_to_differ(fabric: Fabric) -> None:
    """With mode seeking, two images of one condition lie farther apart after a few steps than without it."""
    apart = []
    for weight in (0.0, 20.0):
        stage = staged(fabric, {"network.local_width": 0, "training.diversity": weight, "training.difference": 1.0})
        for step in range(25):
            torch.manual_seed(step)
            stage.step(fabric, batch(16), Moment(step, 0.0, 0.1))
        net: Phased = stage.generator
        torch.manual_seed(0)
        condition, (noise, other) = torch.from_numpy(batch(16)[1]), torch.randn(2, 3, 2, 16, 16).unbind()
        apart.append(float((paint(fabric, net, condition, noise) - paint(fabric, net, condition, other)).abs().mean()))
    assert apart[1] > 1.5 * apart[0]
