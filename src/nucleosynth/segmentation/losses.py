"""What the judge is trained on: cross-entropy and Dice for nuclei and types, squared or Huber errors for the field.

Graham et al., HoVer-Net, Medical Image Analysis 2019. The released PyTorch code weighs all terms 1 (the paper doubles
the field's). Departures: pixels of unknown type are in neither type term; the slope of the horizontal map is taken
along x and of the vertical one along y, and beyond the border an error goes on as it is (the released code crosses the
axes and puts zeros there: `crossed_gradients`); offsets are compared inside nuclei alone, as they mean nothing outside.
"""

from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from nucleosynth.conditions.structure import UNKNOWN
from nucleosynth.config import Settings


class LossWeights(Settings):
    """Weights of the judge's losses."""

    nuclei_cross_entropy: float = Field(1.0, ge=0)
    """Nucleus or background, pixel by pixel."""
    nuclei_dice: float = Field(1.0, ge=0)
    """Overlap of nuclei and of background."""
    field: float = Field(1.0, ge=0)
    """Offsets or HV distances."""
    field_gradient: float = Field(1.0, ge=0)
    """Slopes of the HV distances inside nuclei; offsets have no such term."""
    type_cross_entropy: float = Field(1.0, ge=0)
    """Type or background, pixel by pixel."""
    type_dice: float = Field(1.0, ge=0)
    """Overlap of each type and of background."""
    crossed_gradients: bool = False
    """Take the HV slopes as the released code does: along the crossed axes, with zeros beyond the border."""


def losses(outputs: Mapping[str, Tensor], batch: Mapping[str, Tensor], weights: LossWeights) -> dict[str, Tensor]:
    """The weighted losses by name; their sum is what is minimised.

    outputs: as HoVerNet gives them; batch: `nuclei` (b h w) 0 or 1, `type` (b h w) 0..c or UNKNOWN, and either
    `offsets` or `hover` (b 2 h w), in the network's units.
    """
    named = {
        "nuclei_cross_entropy": functional.cross_entropy(outputs["nuclei"], batch["nuclei"]),
        "nuclei_dice": dice(outputs["nuclei"], batch["nuclei"]),
    }
    inside = batch["nuclei"][:, None].float()
    if "offsets" in batch:
        named["field"] = offset_error(outputs["field"], batch["offsets"], inside)
    else:
        named["field"] = functional.mse_loss(outputs["field"], batch["hover"])
        named["field_gradient"] = gradient_error(outputs["field"], batch["hover"], inside, weights.crossed_gradients)
    if "type" in outputs:
        named["type_cross_entropy"] = masked_cross_entropy(outputs["type"], batch["type"])
        named["type_dice"] = dice(outputs["type"], batch["type"])
    return {name: getattr(weights, name) * loss for name, loss in named.items()}


def masked_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Mean cross-entropy of logits (b c h w) over the pixels whose target (b h w) is not UNKNOWN; 0 where all are."""
    total = functional.cross_entropy(logits, target, ignore_index=UNKNOWN, reduction="sum")
    return total / (target != UNKNOWN).sum().clamp(min=1)


def dice(logits: Tensor, target: Tensor, smooth: float = 1e-3) -> Tensor:
    """Sum over channels of 1 - Dice of softmax(logits) (b c h w) and target (b h w), pooled over the batch.

    UNKNOWN pixels count nowhere. A class that the batch lacks costs up to 1, as in the released code.
    """
    known = (target != UNKNOWN)[:, None]
    true = functional.one_hot(target.where(known[:, 0], 0), logits.shape[1]).movedim(-1, 1) * known
    probability = logits.softmax(dim=1) * known
    over = (0, 2, 3)
    shared, both = (probability * true).sum(over), probability.sum(over) + true.sum(over)
    return (1 - (2 * shared + smooth) / (both + smooth)).sum()


def offset_error(predicted: Tensor, true: Tensor, inside: Tensor) -> Tensor:
    """Mean Huber error of offsets (b 2 h w) over the pixels where `inside` (b 1 h w) is 1; 0 where none is."""
    error = functional.smooth_l1_loss(predicted, true, reduction="none") * inside
    return error.sum() / (2 * inside.sum()).clamp(min=1)


def gradient_error(predicted: Tensor, true: Tensor, inside: Tensor, crossed: bool = False) -> Tensor:
    """Mean squared error of the slopes of both HV maps (b 2 h w) where `inside` (b 1 h w) is 1; 0 where none is.

    The slope of channel 0 (x) is taken along x and of channel 1 along y, and the error goes on beyond the border. If
    `crossed`, as the released code has it: the other way round, and zeros beyond the border.
    """
    reach = torch.arange(-2, 3, dtype=predicted.dtype, device=predicted.device)
    square = reach[None] ** 2 + reach[:, None] ** 2
    along_x = reach[None] / square.clamp(min=1)  # the released 5x5 Sobel kernel
    kernels = torch.stack([along_x.T, along_x] if crossed else [along_x, along_x.T])[:, None]
    error = functional.pad(predicted - true, (2, 2, 2, 2), mode="constant" if crossed else "replicate")
    slope = functional.conv2d(error, kernels, groups=2)
    return (slope**2 * inside).sum() / (2 * inside.sum()).clamp(min=1)
