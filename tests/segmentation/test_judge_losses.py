"""The judge's losses, against values worked out by hand."""

import math

import pytest
import torch
from torch.testing import assert_close

from nucleosynth.conditions.structure import UNKNOWN
from nucleosynth.segmentation.losses import (
    LossWeights,
    dice,
    gradient_error,
    losses,
    masked_cross_entropy,
    offset_error,
)

SIZE = (2, 16, 16)


def a_batch(field: str) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    torch.manual_seed(0)
    outputs = {
        name: torch.randn(2, channels, 16, 16, requires_grad=True)
        for name, channels in (("nuclei", 2), ("field", 2), ("type", 4))
    }
    nuclei = torch.randint(0, 2, SIZE)
    types = nuclei * torch.randint(1, 4, SIZE)
    return outputs, {"nuclei": nuclei, "type": types, field: torch.randn(2, 2, 16, 16)}


def test_pixels_of_unknown_type_have_no_type_gradient() -> None:
    outputs, batch = a_batch("offsets")
    unknown = torch.rand(SIZE) < 0.3
    batch["type"][unknown] = UNKNOWN
    sum(losses(outputs, batch, LossWeights()).values()).backward()
    gradient = outputs["type"].grad
    assert gradient is not None
    assert not gradient.movedim(1, -1)[unknown].any()
    assert gradient.movedim(1, -1)[~unknown].all()


def test_dice_is_that_of_the_known_pixels_alone() -> None:
    torch.manual_seed(0)
    logits, target = torch.randn(1, 3, 8, 8), torch.randint(0, 3, (1, 8, 8))
    masked = target.clone()
    masked[:, 5:] = UNKNOWN
    assert_close(dice(logits, masked), dice(logits[:, :, :5], target[:, :5]))


def test_a_batch_of_unknown_types_alone_costs_no_cross_entropy() -> None:
    assert masked_cross_entropy(torch.randn(1, 3, 4, 4), torch.full((1, 4, 4), UNKNOWN)) == 0


def test_undecided_logits_cost_log_2_and_a_half_overlap() -> None:
    target = torch.tensor([[[0, 1], [1, 0]]])
    logits = torch.zeros(1, 2, 2, 2)
    assert_close(masked_cross_entropy(logits, target), torch.tensor(math.log(2)))
    assert_close(dice(logits, target), torch.tensor(1.0), atol=1e-3, rtol=0)  # two channels of Dice 1/2
    assert dice(100 * torch.stack([target == 0, target == 1], 1).float(), target) < 1e-3


def test_offsets_count_inside_nuclei_alone() -> None:
    outputs, batch = a_batch("offsets")
    inside = batch["nuclei"][:, None].float()
    offset_error(outputs["field"], batch["offsets"], inside).backward()
    gradient = outputs["field"].grad
    assert gradient is not None
    assert_close((gradient != 0).any(dim=1), batch["nuclei"].bool())
    true = torch.zeros(1, 2, 4, 4)
    assert_close(offset_error(true + 3, true, torch.ones(1, 1, 4, 4)), torch.tensor(2.5))  # Huber: 3 - 1/2
    assert offset_error(true + 3, true, torch.zeros(1, 1, 4, 4)) == 0


@pytest.mark.parametrize("crossed", [False, True])
def test_slopes_are_taken_along_their_own_axes(crossed: bool) -> None:
    ramp = torch.arange(16.0).expand(1, 2, 16, 16).clone()
    ramp[:, 1] = ramp[:, 1].mT.clone()  # channel 0 rises along x, channel 1 along y
    inside = torch.zeros(1, 1, 16, 16)
    inside[..., 2:-2, 2:-2] = 1
    error = gradient_error(ramp, torch.zeros_like(ramp), inside, crossed)
    slope = sum(x * x / (x * x + y * y) for x in range(-2, 3) for y in range(-2, 3) if (x, y) != (0, 0))
    assert_close(error, torch.tensor(0.0 if crossed else slope**2))


def test_a_constant_error_has_no_slope_even_at_the_border() -> None:
    true = torch.randn(1, 2, 8, 8)
    assert_close(gradient_error(true + 1, true, torch.ones(1, 1, 8, 8)), torch.tensor(0.0))


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_crossed_slopes_cost_what_the_released_code_charges(share: float) -> None:
    """Its formula: slopes of both maps by a 5x5 kernel, zeros beyond the border, the mask counted twice."""
    torch.manual_seed(0)
    true, predicted = torch.randn(2, 2, 9, 7), torch.randn(2, 2, 9, 7)
    inside = (torch.rand(2, 1, 9, 7) < share).float()
    error = torch.nn.functional.pad(predicted - true, (2, 2, 2, 2))
    slopes = torch.zeros_like(true)
    for down in range(-2, 3):
        for right in range(-2, 3):
            moved = error[..., 2 + down : 11 + down, 2 + right : 9 + right] / max(down**2 + right**2, 1)
            slopes += moved * torch.tensor([down, right])[:, None, None]  # x down, y to the right: crossed
    expected = (inside * slopes**2).sum() / (2 * inside.sum() + 1e-8)
    assert_close(gradient_error(predicted, true, inside, crossed=True), expected)


def test_hv_maps_have_a_gradient_term_and_weights_scale() -> None:
    outputs, batch = a_batch("hover")
    once, twice = (losses(outputs, batch, LossWeights(field=weight)) for weight in (1, 2))
    assert {"field", "field_gradient"} < once.keys()
    assert_close(twice["field"], 2 * once["field"])
    assert_close(twice["field_gradient"], once["field_gradient"])
