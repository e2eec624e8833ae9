"""What a network over a joint state is told beside the state, and what it makes of it once a sample.

Maps are added to the stem, all else to the embedding of the clocks. Every part may be left out of a condition; each has
a number beside it that says whether it is given.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from nucleosynth.nets.blocks import Conv2d
from nucleosynth.nets.text import TextShape


class Given(NamedTuple):
    """A condition.

    maps: (b c h w); amounts: (b a) that hold for the whole tile; known: (b g h w), 1 where a pixel of a group of the
    state is known and stays as it is; text: tokens (b n width), or ids (b n) of words, mask: (b n) bool; reference:
    (b 3 h w), an image of the wanted stain and style; told: (b 2), whether text and reference are given.
    """

    maps: Tensor
    amounts: Tensor
    known: Tensor
    text: Tensor
    mask: Tensor
    reference: Tensor
    told: Tensor


class Features(NamedTuple):
    """What a network makes of a condition, once a sample; known: as given."""

    stem: Tensor
    embedding: Tensor
    known: Tensor


class ConditionShape(NamedTuple):
    """What data and settings decide: channels of the maps, numbers, groups of the state, and the text."""

    maps: int
    amounts: int
    groups: int
    text: TextShape


class ConditionEncoder(nn.Module):
    """Given -> Features; width: channels of the stem, at 1 / patch of the tile's size."""

    def __init__(self, shape: ConditionShape, patch: int, width: int, embedding: int) -> None:
        super().__init__()
        self.patch = patch
        self.maps = Conv2d(patch**2 * (shape.maps + shape.groups), width, bias=False)
        self.amounts = _two_layers(shape.amounts, embedding)
        self.words = shape.text.words
        self.text = _two_layers(shape.text.width + 1, embedding)
        self.reference = ReferenceEncoder(embedding)

    def forward(self, given: Given) -> Features:
        """Features of the condition, which no clock changes."""
        texted, referred = given.told.unbind(1)
        maps = functional.pixel_unshuffle(torch.cat([given.maps, given.known], dim=1), self.patch)
        told = self.amounts(given.amounts) + self.text(self._caption(given, texted))
        return Features(self.maps(maps), told + referred[:, None] * self.reference(given.reference), given.known)

    def _caption(self, given: Given, texted: Tensor) -> Tensor:
        """(b width + 1): the mean of a caption's tokens and a 1; zeros without one."""
        tokens = given.text if self.words is None else self.words(given.text)
        kept = (given.mask * texted[:, None].bool())[..., None]
        mean = (tokens * kept).sum(1) / kept.sum(1).clamp(min=1)
        return torch.cat([mean, texted[:, None]], dim=1)


class ReferenceEncoder(nn.Module):
    """An image (b 3 h w) -> (b embedding): mean and spread of features of its texture, which say nothing of places."""

    def __init__(self, embedding: int, width: int = 32, patch: int = 2) -> None:
        super().__init__()
        self.patch = patch
        self.layers = nn.Sequential(
            Conv2d(3 * patch**2, width), nn.SiLU(), Conv2d(width, width, stride=2), nn.SiLU(), Conv2d(width, width)
        )
        self.out = _two_layers(2 * width, embedding)

    def forward(self, image: Tensor) -> Tensor:
        """Sides are multiples of `patch`."""
        features = self.layers(functional.pixel_unshuffle(image, self.patch)).float()
        spread, mean = torch.std_mean(features, dim=(2, 3))
        return self.out(torch.cat([mean, spread], dim=1))  # type: ignore[no-any-return]


def _two_layers(width: int, embedding: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, embedding), nn.SiLU(), nn.Linear(embedding, embedding))
