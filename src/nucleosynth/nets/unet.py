"""A U-Net on unshuffled pixels, steered by a vector and by a map that is added to its stem.

Pixel-unshuffle first, so that most of the work is done at a fraction of the tile's size; convolutions at high,
attention at low resolution.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from nucleosynth.config import Settings
from nucleosynth.nets.blocks import Conv2d, ResidualBlock, SelfAttention, matrices, zero


class UNetSettings(Settings):
    """Sizes of the network."""

    patch: int = 2
    """Pixel-unshuffle factor before the first convolution."""
    widths: tuple[int, ...] = (48, 96, 192)
    """Channels of each level; each level has half the size of the one before."""
    blocks: tuple[int, ...] = (1, 2, 3)
    """Residual blocks of each level on the way down; the way up has as many."""
    attention: tuple[bool, ...] = (False, False, True)
    """Whether a level attends after each of its blocks."""
    embedding: int = 256
    """Width of the vector that steers the blocks."""

    @property
    def stride(self) -> int:
        """Sides of what the network takes are multiples of this, px."""
        return self.patch << (len(self.widths) - 1)


class UNet(nn.Module):
    """(b c_in h w), stem (b width h/patch w/patch), vector (b embedding) -> (b c_out h w); sides: see `stride`."""

    def __init__(self, settings: UNetSettings, channels_in: int, channels_out: int) -> None:
        super().__init__()
        area, widths = settings.patch**2, settings.widths
        self.patch, self.stride = settings.patch, settings.stride
        self.stem = Conv2d(area * channels_in, widths[0])
        self.down, self.shrink = nn.ModuleList(), nn.ModuleList()
        self.up, self.grow = nn.ModuleList(), nn.ModuleList()
        for level, width in enumerate(widths):
            before = widths[max(level - 1, 0)]
            self.shrink.append(Conv2d(before, width, stride=2) if level else nn.Identity())
            count, attends = settings.blocks[level], settings.attention[level]
            self.down.append(_Level([width] * count, width, settings.embedding, attends))
            self.up.append(_Level([2 * width] * count, width, settings.embedding, attends))
            self.grow.append(Conv2d(width, before) if level else nn.Identity())
        self.norm = nn.GroupNorm(widths[0] // 16, widths[0])
        self.head = zero(Conv2d(widths[0], area * channels_out))

    def hidden(self) -> list[nn.Parameter]:
        """The matrices between stem and head."""
        return [weight for part in (self.down, self.shrink, self.up, self.grow) for weight in matrices(part)]

    def forward(self, x: Tensor, stem: Tensor, vector: Tensor) -> Tensor:
        """One evaluation."""
        steer = functional.silu(vector)
        hidden = self.stem(functional.pixel_unshuffle(x, self.patch)) + stem
        kept: list[list[Tensor]] = []
        for shrink, level in zip(self.shrink, self.down, strict=True):
            kept.append(level(shrink(hidden), steer, None))
            hidden = kept[-1][-1]
        for index in reversed(range(len(self.up))):
            hidden = self.up[index](hidden, steer, kept[index])[-1]
            if index:
                hidden = self.grow[index](functional.interpolate(hidden, scale_factor=2.0, mode="nearest"))
        return functional.pixel_shuffle(self.head(functional.silu(self.norm(hidden))), self.patch)


class _Level(nn.Module):
    """Residual blocks at one resolution, each with attention behind it where the level attends."""

    def __init__(self, widths_in: list[int], width: int, embedding: int, attends: bool) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(ResidualBlock(width_in, width, embedding) for width_in in widths_in)
        self.attention = nn.ModuleList(SelfAttention(width) if attends else nn.Identity() for _ in widths_in)

    def forward(self, x: Tensor, steer: Tensor, skips: list[Tensor] | None) -> list[Tensor]:
        """The map after each block; on the way up, each block also gets the map that the way down left there."""
        maps = []
        for index, (block, attention) in enumerate(zip(self.blocks, self.attention, strict=True)):
            joined = x if skips is None else torch.cat([x, skips[-1 - index]], dim=1)
            x = attention(block(joined, steer))
            maps.append(x)
        return maps
