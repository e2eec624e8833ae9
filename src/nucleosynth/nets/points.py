"""The point encoder of CoSyn: a map of single pixels, one a nucleus, to dense features.

Embedded slots go through residual-in-residual dense blocks (Wang et al., ESRGAN, ECCV workshops 2018), at the full size
of the map and without a clock: computed once a sample.

The ids of a point map: 0 no point, 1..K-1 the slot of a nucleus, `unknown` a nucleus of unknown type, and `absent` at
every pixel of a map that is not given, which is how an empty layout and no layout are told apart.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from nucleosynth.config import Settings
from nucleosynth.nets.blocks import Conv2d

RESIDUAL = 0.2
"""Share of each dense block's result that is added."""
LEAK = 0.2
CONVOLUTIONS = 5
EMBEDDED = 3
"""Channels of an embedded id."""


class PointsSettings(Settings):
    """Sizes of the point encoder."""

    width: int = 64
    """Channels."""
    blocks: int = 3
    """Residual-in-residual dense blocks of three dense blocks each."""
    growth: int = 32
    """Channels that each convolution of a dense block adds."""


class PointEncoder(nn.Module):
    """Ids of a point map (b h w) int64 -> features (b c h/patch w/patch); labels: K, background among them."""

    def __init__(self, settings: PointsSettings, labels: int, channels_out: int, patch: int = 1) -> None:
        super().__init__()
        width = settings.width
        self.patch = patch
        self.unknown, self.absent = labels, labels + 1
        self.embedding = nn.Embedding(labels + 2, EMBEDDED)
        self.first = Conv2d(EMBEDDED * patch**2, width)
        dense = (_DenseBlock(width, settings.growth) for _ in range(3 * settings.blocks))
        self.trunk = nn.ModuleList(_Residual(*blocks) for blocks in zip(*3 * [dense], strict=True))
        self.after = Conv2d(width, width)
        self.wide = Conv2d(width, width)
        self.last = Conv2d(width, channels_out)

    def forward(self, ids: Tensor) -> Tensor:
        """Features of a map."""
        first = self.first(functional.pixel_unshuffle(embedded(self.embedding, ids), self.patch))
        hidden = first
        for block in self.trunk:
            hidden = block(hidden)
        hidden = self.wide(first + self.after(hidden))
        return self.last(_leaky(hidden))  # type: ignore[no-any-return]


def embedded(table: nn.Embedding, ids: Tensor) -> Tensor:
    """Ids (b h w) -> (b c h w)."""
    return table(ids).permute(0, 3, 1, 2)  # type: ignore[no-any-return]


class _Residual(nn.Module):
    """Three dense blocks around which the input is added once more."""

    def __init__(self, *blocks: nn.Module) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> Tensor:
        return x + RESIDUAL * self.blocks(x)  # type: ignore[no-any-return]


class _DenseBlock(nn.Module):
    """Convolutions, each of which sees the results of all before it."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        last = CONVOLUTIONS - 1
        self.layers = nn.ModuleList(
            Conv2d(width + k * growth, width if k == last else growth) for k in range(CONVOLUTIONS)
        )

    def forward(self, x: Tensor) -> Tensor:
        found = [x]
        for layer in self.layers[:-1]:
            found.append(_leaky(layer(torch.cat(found, dim=1))))
        return x + RESIDUAL * self.layers[-1](torch.cat(found, dim=1))  # type: ignore[no-any-return]


def _leaky(x: Tensor) -> Tensor:
    return functional.leaky_relu(x, LEAK)
