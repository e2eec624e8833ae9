"""The efficient U-Net of Imagen (Saharia et al., NeurIPS 2022, Appendix F), on which GCDP and CoSyn stand.

Each level shrinks first and works then, so that little is done at the full size; skips are scaled by 1 / sqrt(2). The
first block of an attending level looks at the context (text, clock), a transformer ends it; all other blocks are gated
by what they see of the whole map.
"""

import math
from itertools import pairwise
from typing import Self

import torch
from pydantic import model_validator
from torch import Tensor, nn
from torch.nn import functional

from nucleosynth.config import Settings
from nucleosynth.nets.attention import CrossAttention, Transformer, map_of, tokens_of
from nucleosynth.nets.blocks import Conv2d

GROUPS = 8
"""Of all group norms."""
SKIP = 1 / math.sqrt(2)


class ImagenSettings(Settings):
    """Sizes of the U-Net."""

    width: int = 48
    """Channels at the full size; a quarter of the width of the clock's embedding."""
    multipliers: tuple[int, ...] = (1, 2, 4)
    """Channels of each level in units of `width`; each level has half the size of the one before."""
    blocks: tuple[int, ...] = (0, 1, 1)
    """Residual blocks behind the first one of each level, on the way down and again on the way up."""
    attention: tuple[bool, ...] = (False, False, True)
    """Whether a level attends, to itself and to the context."""
    heads: int = 4
    """Heads of every attention."""
    head_channels: int = 32
    """Channels of a head."""
    feed_forward: float = 2.0
    """Width of the transformers' feed-forward parts in units of the level's channels."""
    context: int = 64
    """Channels of a context's token."""
    shrink_first: bool = False
    """Whether the first level has half the full size too, as published."""

    @model_validator(mode="after")
    def _fit(self) -> Self:
        """Every level has its number of blocks, and channels that the norms can group."""
        if not len(self.multipliers) == len(self.blocks) == len(self.attention) > 0:
            raise ValueError(
                f"as many multipliers, blocks and attention as levels (multipliers are {self.multipliers})"
            )
        if self.width % GROUPS:
            raise ValueError(f"a width that is a multiple of {GROUPS} (width is {self.width})")
        return self

    @property
    def halvings(self) -> int:
        """How often the network halves what it is given."""
        return len(self.multipliers) - 1 + self.shrink_first


class ImagenUNet(nn.Module):
    """(b width h w), embedding (b 4 width), context (b m c), and what is joined at the end (b joined h w)
    -> (b width h w); h and w can be halved as often as the settings say."""

    def __init__(self, settings: ImagenSettings, joined: int = 0) -> None:
        super().__init__()
        self.embedding = 4 * settings.width
        widths = [settings.width, *(settings.width * factor for factor in settings.multipliers)]
        halved = [settings.shrink_first, *[True] * (len(widths) - 2)]
        self.first = Block(widths[0], widths[0], self.embedding)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for level, (before, width) in enumerate(pairwise(widths)):
            sizes = settings.blocks[level], settings.attention[level]
            here = _Shrink(before, width) if halved[level] else Conv2d(before, width, 1)
            back = _Grow(width, before) if halved[level] else Conv2d(width, before, 1)
            self.down.append(_Level(here, width, width, *sizes, settings))
            self.up.append(_Level(back, 2 * width, width, *sizes, settings))
        self.middle = nn.ModuleList(Block(widths[-1], widths[-1], self.embedding, settings) for _ in range(2))
        self.transformer = _transformer(widths[-1], settings)
        self.last = Block(widths[0] + joined, widths[0], self.embedding)

    def forward(self, x: Tensor, embedding: Tensor, context: Tensor, joined: Tensor | None = None) -> Tensor:
        """One evaluation."""
        embedding = functional.silu(embedding)
        x = self.first(x, embedding, context)
        skips: list[Tensor] = []
        for level in self.down:
            x = level(x, embedding, context, kept=skips)
        x = self.middle[0](x, embedding, context)
        x = self.middle[1](self.transformer(x, context), embedding, context)
        for level in reversed(self.up):
            x = level(x, embedding, context, skips=skips)
        return self.last(x if joined is None else torch.cat([x, joined], dim=1), embedding, context)  # type: ignore[no-any-return]


class Block(nn.Module):
    """Twice norm, SiLU, conv; the clock scales and shifts the second norm, the gate or the context comes between.

    attends: settings of the attention to the context in place of the gate.
    """

    def __init__(self, width_in: int, width: int, embedding: int, attends: ImagenSettings | None = None) -> None:
        super().__init__()
        self.norm1, self.conv1 = nn.GroupNorm(GROUPS, width_in), Conv2d(width_in, width)
        self.modulation = nn.Linear(embedding, 2 * width)
        self.norm2, self.conv2 = nn.GroupNorm(GROUPS, width), Conv2d(width, width)
        self.skip = Conv2d(width_in, width, 1) if width_in != width else nn.Identity()
        self.gate = None if attends else _Gate(width)
        self.attention = (
            CrossAttention(width, attends.context, attends.heads, attends.head_channels) if attends else None
        )

    def forward(self, x: Tensor, embedding: Tensor, context: Tensor) -> Tensor:
        """x (b c h w), embedding (b e) after its SiLU, context (b m d) -> (b width h w)."""
        hidden = self.conv1(functional.silu(self.norm1(x)))
        if self.attention is not None:
            tokens = tokens_of(hidden)
            hidden = map_of(tokens + self.attention(tokens, context), hidden)
        scale, shift = self.modulation(embedding)[..., None, None].chunk(2, dim=1)
        hidden = self.conv2(functional.silu(torch.addcmul(shift, self.norm2(hidden), 1 + scale)))
        if self.gate is not None:
            hidden = hidden * self.gate(hidden)
        return hidden + self.skip(x)  # type: ignore[no-any-return]


class _Gate(nn.Module):
    """A factor 0..1 for each channel from a weighted mean over the map (Cao et al., GCNet, 2019)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        hidden = max(width // 2, 3)
        self.weight = nn.Linear(width, 1, bias=False)
        self.layers = nn.Sequential(nn.Linear(width, hidden), nn.SiLU(), nn.Linear(hidden, width), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        tokens = tokens_of(x)
        weight = self.weight(tokens).softmax(dim=1)
        return self.layers((weight.transpose(1, 2).to(tokens.dtype) @ tokens).squeeze(1))[..., None, None]  # type: ignore[no-any-return]


class _Level(nn.Module):
    """The blocks at one resolution, and a transformer behind them where the level attends.

    move: the way here from the level above, or back to it.
    """

    def __init__(
        self, move: nn.Module, width_in: int, width: int, blocks: int, attends: bool, settings: ImagenSettings
    ) -> None:
        super().__init__()
        self.move = move
        embedding = 4 * settings.width
        self.blocks = nn.ModuleList([Block(width_in, width, embedding, settings if attends else None)])
        self.blocks.extend(Block(width_in, width, embedding) for _ in range(blocks))
        self.transformer = _transformer(width, settings) if attends else None

    def forward(
        self,
        x: Tensor,
        embedding: Tensor,
        context: Tensor,
        kept: list[Tensor] | None = None,
        skips: list[Tensor] | None = None,
    ) -> Tensor:
        """Down: here first; what the way up is to see is added to `kept`. Up: each block takes the last of `skips`."""
        if kept is not None:
            x = self.move(x)
        for index, block in enumerate(self.blocks):
            x = block(x if skips is None else torch.cat([x, SKIP * skips.pop()], dim=1), embedding, context)
            if kept is not None and index:
                kept.append(x)
        x = x if self.transformer is None else self.transformer(x, context)
        if kept is None:
            return self.move(x)  # type: ignore[no-any-return]
        kept.append(x)
        return x


class _Shrink(Conv2d):
    """Half the size: four pixels become one."""

    def __init__(self, width_in: int, width: int) -> None:
        super().__init__(4 * width_in, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(functional.pixel_unshuffle(x, 2))


class _Grow(Conv2d):
    """Twice the size: one pixel becomes four."""

    def __init__(self, width_in: int, width: int) -> None:
        super().__init__(width_in, 4 * width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return functional.pixel_shuffle(functional.silu(super().forward(x)), 2)


def _transformer(width: int, settings: ImagenSettings) -> Transformer:
    return Transformer(width, settings.context, settings.heads, settings.head_channels, settings.feed_forward)
