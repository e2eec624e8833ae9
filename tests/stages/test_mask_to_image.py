"""Painting an image for a map: what is learned, what is dropped, what is computed once, where it starts from."""

from typing import Any

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor, nn

from made_runs import FixedNoise
from nucleosynth import config
from nucleosynth.errors import UserError
from nucleosynth.nets.adm import PAPER, ADMSettings
from nucleosynth.nets.blocks import matrices
from nucleosynth.stages.denoising import PUBLISHED, Denoising
from nucleosynth.stages.mask_to_image import (
    MaskToImageSettings,
    MaskToImageStage,
    PaintingSampling,
    PaintingTraining,
    build,
    cost,
    flagged,
    paint,
)
from nucleosynth.training.checkpoint import Moment
from nucleosynth.training.device import fabric_for

NETWORK = ADMSettings(
    width=16, multipliers=(1, 2), attention=(False, False), head_channels=16, groups=8, patch=2, modulation=8, blocks=1
)
SETTINGS = MaskToImageSettings(network=NETWORK, sampling=PaintingSampling(steps=6, guidance=1.5))


@pytest.fixture(scope="module")
def fabric() -> Fabric:
    return fabric_for("cpu", "32-true")


def lively(settings: MaskToImageSettings = SETTINGS) -> Any:
    torch.manual_seed(2)
    net = build(settings, 2)
    for weight in matrices(net):
        nn.init.normal_(weight, std=0.1)
    return net.eval()


def with_sampling(**changes: Any) -> MaskToImageSettings:
    return SETTINGS.model_copy(update={"sampling": SETTINGS.sampling.model_copy(update=changes)})


def test_a_dropped_condition_is_not_an_empty_one() -> None:
    condition = torch.rand(2, 2, 4, 4)
    found = flagged(condition, torch.tensor([True, False]))
    assert not found[0, :2].any()
    assert (found[0, 2] == 1).all()
    torch.testing.assert_close(found[1, :2], condition[1])
    assert not found[1, 2].any()
    assert not torch.equal(
        flagged(0 * condition, torch.tensor([False, False])), flagged(condition, torch.tensor([True] * 2))
    )


def batch_of(colours: NDArray[np.float32], side: int = 16) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Images whose left or right half is dark, as their maps say."""
    condition = np.zeros((len(colours), 2, side, side), np.float32)
    for entry, left in zip(condition, colours > 0, strict=True):
        entry[0, :, : side // 2] = left
        entry[0, :, side // 2 :] = not left
    return np.repeat(0.8 - 1.6 * condition[:, :1], 3, axis=1).astype(np.float32), condition


def trained(fabric: Fabric, denoising: Denoising, steps: int) -> tuple[MaskToImageStage, list[float]]:
    """A stage that was shown which half is dark, and its losses."""
    torch.manual_seed(0)
    training = PaintingTraining(batch=16, learning_rate=5e-3, warmup=5, ema=0.9)
    settings = SETTINGS.model_copy(update={"training": training, "denoising": denoising})
    stage, generator, losses = MaskToImageStage("image", settings, 2), np.random.default_rng(0), []
    stage.setup(fabric)
    for step in range(steps):
        torch.manual_seed(step)
        losses.append(stage.step(fabric, batch_of(generator.choice([-1, 1], 16)), Moment(step, 0.0, step / steps)))
    return stage, [float(loss["image"].detach()) for loss in losses]


def test_it_learns_to_follow_its_map(fabric: Fabric) -> None:
    stage, _ = trained(fabric, Denoising(), 60)
    image, condition = (torch.from_numpy(part) for part in batch_of(np.array([1.0, -1.0])))
    found = paint(fabric, stage.averaged_net.eval(), condition, FixedNoise((0, 1)), stage.settings)
    assert (found - image).abs().mean() < 0.35
    assert (found - image.flip(0)).abs().mean() > 1.0


def test_the_published_loss_falls(fabric: Fabric) -> None:
    _, losses = trained(fabric, PUBLISHED, 30)
    assert np.mean(losses[-5:]) < 0.6 * np.mean(losses[:5])


def test_the_second_phase_drops_conditions_and_slows_down(fabric: Fabric) -> None:
    training = PaintingTraining(second_phase=0.5, second_rate=0.2, drop=1.0, warmup=0, decay=0, learning_rate=1e-3)
    stage = MaskToImageStage("image", SETTINGS.model_copy(update={"training": training}), 2)
    stage.setup(fabric)
    seen: list[Tensor] = []
    stage.net.register_forward_pre_hook(lambda _, given: seen.append(given[2]))
    for progress in (0.49, 0.5):
        stage.step(fabric, batch_of(np.ones(4)), Moment(9, 0.0, progress))
        rates = {group["lr"] for part in stage.optimisers.values() for group in part.param_groups}
        assert rates == {1e-3 if progress < 0.5 else 0.2 * 1e-3}
    assert not seen[0][:, 2].any()
    assert seen[0][:, 0].any()
    assert (seen[1][:, 2] == 1).all()
    assert not seen[1][:, :2].any()


def test_the_average_follows_and_every_parameter_moves(fabric: Fabric) -> None:
    stage = MaskToImageStage("image", SETTINGS, 2)
    stage.setup(fabric)
    before = [parameter.clone() for parameter in stage.net.parameters()]
    for step in range(3):  # what stands before a convolution at zero has no gradient in the first step
        stage.step(fabric, batch_of(np.ones(4)), Moment(step, 0.0, 0.0))
    assert all(not torch.equal(a, b) for a, b in zip(before, stage.net.parameters(), strict=True))
    assert not torch.equal(stage.averaged_net.unet.stem.weight, before[0])


@pytest.mark.parametrize(("guidance", "sampler"), [(1.0, "ddim"), (1.5, "ddim"), (1.5, "heun"), (1.5, "ancestral")])
def test_it_evaluates_as_often_as_its_cost_says(fabric: Fabric, guidance: float, sampler: str) -> None:
    settings, net = with_sampling(guidance=guidance, sampler=sampler), lively()
    encoded, evaluated = [], []
    net.modulators[0].register_forward_hook(lambda *_: encoded.append(1))
    net.unet.register_forward_pre_hook(lambda _, given: evaluated.append(len(given[0])))
    paint(fabric, net, torch.rand(2, 2, 16, 16), FixedNoise((0, 1)), settings)
    assert sum(evaluated) == 2 * cost(settings, 2, 16, "image").evaluations
    assert len(encoded) == (1 if guidance == 1 else 2)


def test_guidance_is_the_way_from_none_to_the_condition(fabric: Fabric) -> None:
    """One step to the data is x0-hat itself; small enough not to be clipped, it is linear in the scale."""
    net, condition, noise = lively(), torch.rand(2, 2, 16, 16), FixedNoise((0, 1))
    nn.init.normal_(net.unet.head.weight, std=0.002)
    plain, guided, far = (
        paint(fabric, net, condition, noise, with_sampling(steps=1, guidance=scale)) for scale in (1.0, 1.5, 3.0)
    )
    assert plain.abs().max() < 1
    assert not torch.allclose(plain, guided, atol=1e-3)
    torch.testing.assert_close(far - plain, 4 * (guided - plain), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("sampler", ["dpm_solver", "ancestral"])
def test_a_sample_does_not_see_its_neighbours(fabric: Fabric, sampler: str) -> None:
    settings, condition = with_sampling(sampler=sampler), torch.rand(3, 2, 16, 16)
    settings = settings.model_copy(update={"denoising": PUBLISHED})
    net = lively(settings)
    together = paint(fabric, net, condition, FixedNoise((0, 1, 2)), settings)
    apart = paint(fabric, net, condition[1:2], FixedNoise((1,)), settings)
    torch.testing.assert_close(together[1:2], apart, rtol=1e-3, atol=1e-3)
    assert together.abs().max() <= 1
    assert not torch.allclose(together[0], together[1], atol=0.1)


@pytest.mark.parametrize("share", [0.01, 0.3])
def test_a_start_gets_its_share_of_the_noise(fabric: Fabric, share: float) -> None:
    """A new network says that there is no noise: what it was begun from stays, noise and all."""
    settings = with_sampling(steps=10, sampler="ddim").model_copy(update={"denoising": PUBLISHED})
    noise, start = FixedNoise((0,)), torch.rand(1, 3, 16, 16) - 0.5
    found = paint(fabric, build(settings, 2), torch.rand(1, 2, 16, 16), noise, settings, start=start, share=share)
    first = torch.tensor(1000 * share)
    ratio = PUBLISHED.chain.sigma(first) / PUBLISHED.chain.alpha(first)
    torch.testing.assert_close(found, (start + ratio * noise.normal("image", 0)).clamp(-1, 1), rtol=0, atol=0.002)


def test_a_start_takes_its_share_of_the_steps(fabric: Fabric) -> None:
    settings = with_sampling(steps=10, guidance=1.0, spacing="even")
    net, start = lively(), torch.rand(1, 3, 16, 16)
    seen: list[float] = []
    net.unet.register_forward_pre_hook(lambda _, given: seen.append(float(given[1][0])))
    for share in (0.01, 0.5, 1.0):
        paint(fabric, net, torch.rand(1, 2, 16, 16), FixedNoise((0,)), settings, start=start, share=share)
    assert seen[:6] == [10, 500, 400, 300, 200, 100]
    assert len(seen) == 1 + 5 + 10
    assert [cost(settings, 2, 16, "image", share).evaluations for share in (0.01, 0.5, 1.0)] == [1, 5, 10]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sampling.steps": 2000}, "1 to 1000 sampling steps"),
        ({"sampling.steps": 0}, "1 to 1000 sampling steps"),
        ({"training.drop": 0.0}, "never dropped"),
        ({"training.second_phase": 1.0}, "never dropped"),
    ],
)
def test_what_could_not_be_sampled_is_refused_before_training(changes: dict[str, float], words: str) -> None:
    with pytest.raises(UserError, match=words):
        config.resolve(SETTINGS, changes, "test")
    assert config.resolve(SETTINGS, {"training.drop": 0.0, "sampling.guidance": 1.0}, "test")


def test_the_published_cost() -> None:
    found = cost(MaskToImageSettings(network=PAPER, denoising=PUBLISHED), 151, 256, "image")
    assert found.parameters == pytest.approx(660.6e6, rel=0.001)
    assert found.gflop_per_evaluation == pytest.approx(3634, rel=0.001)
    assert found.gflop_once + found.gflop_cached == pytest.approx(found.gflop_per_evaluation)
    assert found.gflop_cached == pytest.approx(2240, rel=0.001)
