"""The flow's process, its clocks and its loss."""

import pytest
import torch

from nucleosynth.diffusion.flow import CLAMP, draw_clocks, noised, shifted, velocity_weight
from nucleosynth.diffusion.losses import weighted_error

MIX = {
    "equal": 0.4,
    "first_known": 0.15,
    "second_known": 0.15,
    "first_absent": 0.05,
    "second_absent": 0.05,
    "independent": 0.2,
}


def test_ends_of_the_process() -> None:
    x0, noise = {"a": torch.randn(3, 2, 4, 4)}, {"a": torch.randn(3, 2, 4, 4)}
    torch.testing.assert_close(noised(x0, noise, torch.zeros(3, 1))["a"], noise["a"])
    torch.testing.assert_close(noised(x0, noise, torch.ones(3, 1))["a"], x0["a"])
    middle = noised(x0, noise, torch.full((3, 1), 0.25))["a"]
    torch.testing.assert_close(middle, 0.25 * x0["a"] + 0.75 * noise["a"])


def test_each_group_has_its_own_clock() -> None:
    x0 = {"image": torch.ones(2, 1, 1, 1), "label": torch.ones(2, 1, 1, 1)}
    noise = {name: torch.zeros_like(part) for name, part in x0.items()}
    found = noised(x0, noise, torch.tensor([[0.1, 0.9], [0.3, 0.7]]))
    torch.testing.assert_close(found["image"].flatten(), torch.tensor([0.1, 0.3]))
    torch.testing.assert_close(found["label"].flatten(), torch.tensor([0.9, 0.7]))


def test_clocks_are_mixed_as_asked() -> None:
    torch.manual_seed(0)
    t = draw_clocks(20000, MIX, mean=-0.5, spread=1.0, shift=1.0)
    first, second = t.unbind(1)
    shares = {
        "equal": (first == second), "first_known": first == 1, "second_known": second == 1,
        "first_absent": first == 0, "second_absent": second == 0,
    }  # fmt: skip
    for name, chosen in shares.items():
        assert float(chosen.float().mean()) == pytest.approx(MIX[name], abs=0.015)
    inside = first[(first > 0) & (first < 1)]
    assert float(torch.logit(inside).mean()) == pytest.approx(-0.5, abs=0.03)
    assert float(torch.logit(inside).std()) == pytest.approx(1.0, abs=0.03)


def test_shift_keeps_the_ends_and_slows_the_start() -> None:
    t = torch.tensor([0.0, 0.5, 1.0])
    torch.testing.assert_close(shifted(t, 3.0), torch.tensor([0.0, 0.25, 1.0]))
    torch.testing.assert_close(shifted(t, 1.0), t)


def test_a_side_at_either_end_carries_no_loss() -> None:
    weight = velocity_weight(torch.tensor([0.0, 0.5, 0.9999, 1.0]))
    torch.testing.assert_close(weight, torch.tensor([0.0, 4.0, 1 / CLAMP**2, 0.0]))


def test_the_loss_is_the_mean_over_the_samples_that_carry_it() -> None:
    x0 = {"image": torch.zeros(3, 1, 2, 2)}
    x0_hat = {"image": torch.tensor([1.0, 2.0, 5.0]).view(3, 1, 1, 1).expand(3, 1, 2, 2)}
    channel = {"image": torch.ones(1, 1, 1, 1)}
    found = weighted_error(x0_hat, x0, {"image": torch.tensor([1.0, 2.0, 0.0])}, channel)
    assert float(found["image"]) == pytest.approx((1 * 1 + 2 * 4) / 2)
    masked = weighted_error(x0_hat, x0, {"image": torch.ones(3)}, {"image": torch.zeros(1, 1, 1, 1)})
    assert float(masked["image"]) == 0
