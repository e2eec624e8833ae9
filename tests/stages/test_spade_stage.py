"""SPADE's game: its losses against plain formulas, who learns from which, and how it paints."""

from typing import Any

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence

from nucleosynth.nets.patchgan import CriticSettings
from nucleosynth.nets.spade_generator import SpadeAutoencoder, SpadeGeneratorSettings, Styled
from nucleosynth.stages.judged import CRITIC
from nucleosynth.stages.spade import (
    LabelToImageSettings,
    Shown,
    SpadeStage,
    SpadeTraining,
    cost,
    divergence,
    paint,
)
from nucleosynth.training.checkpoint import Moment
from nucleosynth.training.device import fabric_for

NETWORK = SpadeGeneratorSettings(
    width=4, multipliers=(4, 2), doubled=(False, True), modulation=8, groups=4, style=6, encoder=(1, 2)
)
TRAINING = SpadeTraining(batch=2, ema=0.5)
CRITIC_SIZE = CriticSettings(width=4, layers=1, spectral=True)
LABELS = 5


@pytest.fixture(scope="module")
def fabric() -> Fabric:
    return fabric_for("cpu", "32-true")


@pytest.fixture
def stage(fabric: Fabric) -> SpadeStage:
    return made(fabric)


def made(fabric: Fabric, maps: Any = None, **changes: Any) -> SpadeStage:
    torch.manual_seed(1)
    training = TRAINING.model_copy(update=changes)
    settings = LabelToImageSettings(network=NETWORK, critic=CRITIC_SIZE, training=training)
    found = SpadeStage("image", settings, LABELS, maps)
    found.setup(fabric)
    return found


def arrays() -> tuple[Any, Any]:
    """Images and labels of two windows."""
    generator = np.random.default_rng(4)
    image = generator.uniform(-1, 1, (2, 3, 32, 32)).astype(np.float32)
    return image, generator.integers(0, 2, (2, LABELS, 32, 32)).astype(np.float32)


def shown(fabric: Fabric, stage: SpadeStage) -> tuple[Shown, Styled]:
    torch.manual_seed(2)
    batch = stage.received(fabric, arrays(), Moment())
    return batch, stage.fake(batch)


def test_a_divergence_is_the_integral() -> None:
    mean, log_variance = torch.randn(7, 4), torch.randn(7, 4)
    expected = kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(torch.zeros(7, 4), torch.ones(7, 4)))
    torch.testing.assert_close(divergence(mean, log_variance), expected.sum(1).mean())
    assert divergence(torch.zeros(3, 4), torch.zeros(3, 4)) == 0


def test_the_published_training() -> None:
    found = SpadeTraining()
    assert (found.generator_rate, found.critic_rate, found.betas) == (1e-4, 4e-4, (0.0, 0.9))
    assert (found.loss, found.feature_matching, found.divergence) == ("hinge", 10, 0.05)
    assert LabelToImageSettings().critic.spectral


def test_a_fake_is_the_label_in_the_style_of_its_image(stage: SpadeStage, fabric: Fabric) -> None:
    batch, fake = shown(fabric, stage)
    assert fake.image.shape == batch.image.shape
    assert fake.image.abs().max() < 1
    stage.generator.eval()
    kept = stage.generator(torch.cat([batch.label, batch.texture], 1), batch.image, batch.style)
    torch.testing.assert_close(stage.fake(batch).image, torch.tanh(kept.image))
    other = stage.fake(batch._replace(image=-batch.image)).image
    assert (other - torch.tanh(kept.image)).abs().max() > 1e-5


def test_noise_is_drawn_anew_each_step(stage: SpadeStage, fabric: Fabric) -> None:
    torch.manual_seed(2)
    first, second = (stage.received(fabric, arrays(), Moment()) for _ in range(2))
    assert (first.style.shape, first.texture.shape) == ((2, NETWORK.style), (2, 4, 32, 32))
    assert (first.style - second.style).abs().min() > 0
    assert (first.texture != second.texture).all()


def test_the_losses_are_the_formulas(stage: SpadeStage, fabric: Fabric) -> None:
    """Hinges, features and divergence, written out on what a critic without spectral norm's steps says."""
    batch, fake = shown(fabric, stage)
    critic = stage.critics[CRITIC].eval()
    with torch.no_grad():
        real, false = critic(torch.cat([batch.label, batch.image], 1)), critic(torch.cat([batch.label, fake.image], 1))
    judged = stage.critic_losses(batch, fake)
    hinges = [
        (1 - yes[-1]).clamp(min=0).mean() + (1 + no[-1]).clamp(min=0).mean()
        for yes, no in zip(real, false, strict=True)
    ]
    torch.testing.assert_close(judged.losses[CRITIC], sum(hinges) / 2)
    right = [(yes[-1] > 0).float().mean() + (no[-1] < 0).float().mean() for yes, no in zip(real, false, strict=True)]
    assert set(judged.right) == {CRITIC}
    torch.testing.assert_close(judged.right[CRITIC], sum(right) / 4)
    found = stage.generator_losses(batch, fake)
    apart = [
        (yes - no).abs().mean()
        for those, these in zip(real, false, strict=True)
        for yes, no in zip(those[:-1], these[:-1], strict=True)
    ]
    torch.testing.assert_close(found["patch"], -sum(no[-1].mean() for no in false) / 2)
    torch.testing.assert_close(found["feature"], 10 * sum(apart) / 2)
    torch.testing.assert_close(found["style"], 0.05 * divergence(fake.mean, fake.log_variance))
    assert set(found) == {"patch", "feature", "style"}


def test_the_critic_sees_the_label(stage: SpadeStage, fabric: Fabric) -> None:
    batch, fake = shown(fabric, stage)
    stage.critics[CRITIC].eval()
    first = stage.critic_losses(batch, fake).losses[CRITIC]
    assert stage.critic_losses(batch._replace(label=1 - batch.label), fake).losses[CRITIC] != first


class Shrunk(nn.Module):
    """Five maps of an image."""

    def forward(self, images: Tensor) -> list[Tensor]:
        return [images[..., :: 2**level] for level in range(5)]


def test_a_perceptual_loss_counts_where_its_maps_are_at_hand(fabric: Fabric) -> None:
    stage = made(fabric, Shrunk, perceptual=10.0)
    batch, fake = shown(fabric, stage)
    apart = [(a - b).abs().mean() for a, b in zip(Shrunk()(batch.image), Shrunk()(fake.image), strict=True)]
    expected = 10 * (apart[0] / 32 + apart[1] / 16 + apart[2] / 8 + apart[3] / 4 + apart[4])
    torch.testing.assert_close(stage.generator_losses(batch, fake)["perceptual"], expected)
    without = made(fabric, lambda: None, perceptual=10.0)
    assert "perceptual" not in without.generator_losses(batch, fake)


def test_generator_encoder_and_critic_all_learn(fabric: Fabric) -> None:
    """Not with hinges: inside both, what a new critic's last bias gets adds up to nothing."""
    stage = made(fabric, loss="vanilla")
    before = {
        key: {name: weight.detach().clone() for name, weight in stage.modules[key].named_parameters()}
        for key in ("generator", CRITIC)
    }
    losses = stage.step(fabric, arrays(), Moment())
    assert set(losses) == {"patch", "feature", "style", CRITIC, "critic_mean", "critic_won"}
    assert all(value.isfinite() for value in losses.values())
    for key, weights in before.items():
        for name, weight in stage.modules[key].named_parameters():
            assert (weight != weights[name]).any(), f"{key} {name}"


def test_one_step_with_two_optimisers_is_alike_each_time(fabric: Fabric) -> None:
    def stepped() -> dict[str, Tensor]:
        stage = made(fabric)
        torch.manual_seed(9)
        stage.step(fabric, arrays(), Moment())
        return stage.averaged_net.state_dict()

    first, second = stepped(), stepped()
    assert first.keys() == second.keys()
    for name, value in first.items():
        torch.testing.assert_close(value, second[name], rtol=0, atol=0)


def test_the_average_is_as_smooth_as_the_network(stage: SpadeStage, fabric: Fabric) -> None:
    """The spectral norm of averaged weights is taken along the network's own directions, which travel with it."""
    for step in range(3):
        stage.step(fabric, arrays(), Moment(step, 0, step / 10))
    for part, own in zip(stage.averaged_net.buffers(), stage.generator.buffers(), strict=True):
        torch.testing.assert_close(part, own, rtol=0, atol=0)


@pytest.mark.parametrize("size", [(32, 32), (12, 20)])
def test_painting_is_the_generator_s_tanh(fabric: Fabric, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    net, label, style = SpadeAutoencoder(NETWORK, LABELS + 4).eval(), torch.rand(2, LABELS, *size), torch.randn(2, 6)
    texture = torch.randn(2, 4, *size)
    found = paint(fabric, net, label, texture, style)
    with torch.no_grad():
        torch.testing.assert_close(found, torch.tanh(net.generator(torch.cat([label, texture], 1), style)))
    assert (paint(fabric, net, label, texture, -style) - found).abs().max() > 1e-3


def test_a_wide_area_of_one_class_is_flat_but_for_its_texture(fabric: Fabric) -> None:
    """Far from the border, where padding tells of it."""
    torch.manual_seed(0)
    net, label, style = SpadeAutoencoder(NETWORK, LABELS + 4).eval(), torch.ones(1, LABELS, 64, 64), torch.randn(1, 6)
    flat, rough = (
        paint(fabric, net, label, texture, style)[..., 24:40, 24:40].std((2, 3))
        for texture in (torch.zeros(1, 4, 64, 64), torch.randn(1, 4, 64, 64))
    )
    assert flat.max() < 1e-5
    assert rough.min() > 1e-3


def test_cost_counts_what_generation_uses() -> None:
    found = cost(LabelToImageSettings(network=NETWORK), LABELS, 32, "image")
    net = SpadeAutoencoder(NETWORK, LABELS + 4)
    assert found.parameters == sum(weight.numel() for weight in net.generator.parameters())
    assert (found.name, found.evaluations) == ("image", 1)


def test_the_published_critic() -> None:
    """Two scales of 2.8 M: the release's n_layers_D=4, num_D=2 on 6 + 3 channels."""
    with torch.device("meta"):
        critic = LabelToImageSettings().critic.build(9)
    one = 9 * 16 * 64 + 64 + 64 * 16 * 128 + 128 * 16 * 256 + 256 * 16 * 512 + 512 * 16 + 1
    assert sum(weight.numel() for weight in critic.parameters()) == 2 * one
