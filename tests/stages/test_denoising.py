"""What the stages of Gaussian diffusion share: what an output costs and stands for, and what is not known."""

from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from nucleosynth.diffusion.schedule import spaced_by_noise
from nucleosynth.stages.cosyn import DiffusionSettings
from nucleosynth.stages.denoising import PUBLISHED, Denoising, Gaussian, PathSettings


def shares(process: Gaussian, t: Tensor) -> tuple[Tensor, Tensor]:
    return process.chain.alpha(t).view(-1, 1, 1, 1), process.chain.sigma(t).view(-1, 1, 1, 1)


@pytest.mark.parametrize("target", ["eps", "x0", "v"])
@pytest.mark.parametrize("kind", [Denoising, DiffusionSettings])
def test_the_right_output_is_the_clean_state_and_costs_nothing(kind: Any, target: Any) -> None:
    process = kind(target=target)
    x0, noise, t = torch.randn(4, 3, 8, 8), torch.randn(4, 3, 8, 8), torch.tensor([1.0, 300, 700, 990])
    alpha, sigma = shares(process, t)
    right = {"eps": noise, "x0": x0, "v": alpha * noise - sigma * x0}[target]
    torch.testing.assert_close(process.x0(right, alpha * x0 + sigma * noise, t), x0, rtol=1e-3, atol=1e-3)
    assert process.error(right, x0, noise, t).max() < 1e-10
    assert process.error(right + 1, x0, noise, t).min() > 0.9


@pytest.mark.parametrize("kind", [Denoising, DiffusionSettings])
def test_the_error_of_x0_is_that_of_v_up_to_its_limit(kind: Any) -> None:
    x0, noise, t = torch.randn(3, 3, 8, 8), torch.randn(3, 3, 8, 8), torch.tensor([400.0, 600, 900])
    off = torch.randn_like(x0)
    free, held = (kind(weight_limit=limit) for limit in (1e9, 1.05))
    alpha, sigma = shares(free, t)
    # An error of x0 is one of v times -1/sigma: v = (alpha x_t - x0) / sigma.
    v = alpha * noise - sigma * x0 - off / sigma
    expected = kind(target="v").error(v, x0, noise, t)
    torch.testing.assert_close(free.error(x0 + off, x0, noise, t), expected, rtol=1e-4, atol=1e-5)
    assert held.error(x0 + off, x0, noise, t)[0] == pytest.approx(float(1.05 * off[0].square().mean()), rel=1e-5)


def test_a_learned_variance_has_channels_of_its_own() -> None:
    x, t = torch.randn(2, 3, 8, 8), torch.tensor([500.0, 500.0])
    assert (PUBLISHED.outputs(3), Denoising().outputs(3)) == (6, 3)
    low, high = (torch.cat([x, torch.full_like(x, raw)], dim=1) for raw in (-1.0, 1.0))
    (x0, least), (same, most) = (PUBLISHED.prediction(raw, x, t, t - 1) for raw in (low, high))
    torch.testing.assert_close(x0, same)
    assert least is not None
    assert most is not None
    assert (least < most).all()
    assert Denoising().prediction(x, x, t, t - 1)[1] is None
    with pytest.raises(ValidationError, match="variance is learned"):
        Denoising(learned_variance=True, target="x0")


@pytest.mark.parametrize("process", [Denoising(), Denoising(target="v"), Denoising(target="eps"), PUBLISHED])
def test_what_is_unknown_neither_costs_nor_teaches(process: Denoising) -> None:
    x0, noise, t = torch.randn(2, 3, 8, 8), torch.randn(2, 3, 8, 8), torch.tensor([300.0, 700])
    known = torch.ones_like(x0)
    known[:, 1, :4] = 0
    raw = torch.randn(2, process.outputs(3), 8, 8, requires_grad=True)
    found = process.error(raw, x0, noise, t, known)
    found.sum().backward()
    assert raw.grad is not None
    for part in raw.grad.split(3, dim=1):
        assert not part[known == 0].any()
        assert part[known == 1].abs().min() > 0
    torch.testing.assert_close(process.error(raw, x0 + 5 * (1 - known), noise, t, known), found)
    torch.testing.assert_close(process.error(raw, x0, noise, t, torch.ones_like(x0)), process.error(raw, x0, noise, t))


def test_a_path_is_even_in_noise_but_for_ancestral_steps() -> None:
    process = Denoising(steps=100)
    assert process.times(PathSettings(steps=4)).tolist() == spaced_by_noise(process.chain, 4).tolist()
    even = [100.0, 75.0, 50.0, 25.0, 0.0]
    assert process.times(PathSettings(steps=4, spacing="even")).tolist() == even
    assert process.times(PathSettings(steps=4, sampler="ancestral")).tolist() == even
    assert process.times(PathSettings(steps=4, spacing="even"), 0.5).tolist() == [50, 25, 0]
