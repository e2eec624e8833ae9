"""ADM's U-Net (Dhariwal and Nichol, "Diffusion models beat GANs on image synthesis", NeurIPS 2021).

Residual blocks with the clock as scale and shift of their second norm, residual halving and doubling, attention at
the coarse levels; every residual branch, and the head, starts at zero. NuDiff, SDM and DiffMix all stand on it.
`nets.spade` puts a condition into its middle and decoder. Ours: pixels may be unshuffled before the stem (`patch`).
"""

import math
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple, Self

import torch
from pydantic import model_validator
from torch import Tensor, nn
from torch.nn import functional

from nucleosynth.config import Settings
from nucleosynth.nets.blocks import Conv2d, SelfAttention, matrices, zero

LONGEST_PERIOD = 10_000
"""Of the sinusoids that code a clock, in steps."""


class ADMSettings(Settings):
    """Sizes of the network; as published unless stated."""

    width: int = 256
    """Channels of the first level."""
    multipliers: tuple[int, ...] = (1, 1, 2, 2, 4, 4)
    """Channels of each level over `width`; each level has half the size of the one before."""
    blocks: int = 2
    """Residual blocks of each level on the way down; the way up has one more."""
    attention: tuple[bool, ...] = (False, False, False, True, True, True)
    """Whether a level attends after each of its blocks."""
    head_channels: int = 64
    """Channels of an attention head."""
    groups: int = 32
    """Groups of a norm (as many as divide its channels)."""
    patch: int = 1
    """Pixel-unshuffle factor before the first convolution."""
    modulation: int = 128
    """Channels between a condition and the gamma and beta that it becomes (nets.spade)."""

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each level."""
        return tuple(self.width * multiplier for multiplier in self.multipliers)

    @property
    def stride(self) -> int:
        """Sides of what the network takes are multiples of this, px."""
        return self.patch << (len(self.multipliers) - 1)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        """Each level says whether it attends, in whole heads; the middle always does."""
        if len(self.attention) != len(self.multipliers):
            raise ValueError(f"an entry of attention for each of the {len(self.multipliers)} levels")
        attending = [*(width for width, on in zip(self.widths, self.attention, strict=True) if on), self.widths[-1]]
        if any(width % self.head_channels for width in attending):
            raise ValueError(f"widths {attending} of the levels that attend in whole heads of {self.head_channels}")
        return self


PAPER = ADMSettings()
BASE = ADMSettings(
    width=128, multipliers=(1, 2, 3, 4), attention=(False, False, True, True), head_channels=64, patch=2, modulation=96
)
TINY = ADMSettings(
    width=32,
    multipliers=(1, 2, 4, 4),
    blocks=1,
    attention=(False, False, True, True),
    head_channels=32,
    groups=8,
    patch=2,
    modulation=16,
)


class Modulation(NamedTuple):
    """What a condition does to one norm, (b c h w) each: scale = 1 + gamma, shift = beta.

    In a larger batch the last one holds for all samples that are left: the empty condition need not be kept for each.
    """

    scale: Tensor
    shift: Tensor


class ADM(nn.Module):
    """(b c_in h w), clocks (b,) -> (b c_out h w); h and w are multiples of `settings.stride`.

    spade: the norms of the middle and the decoder have no affine of their own; `forward` is given theirs.
    """

    def __init__(self, settings: ADMSettings, channels_in: int, channels_out: int, spade: bool = False) -> None:
        super().__init__()
        self.settings = settings
        area, widths, embedding = settings.patch**2, settings.widths, 4 * settings.width
        self.clock = nn.Sequential(
            nn.Linear(settings.width, embedding), nn.SiLU(), nn.Linear(embedding, embedding), nn.SiLU()
        )
        self.stem = Conv2d(area * channels_in, widths[0])
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        skips, width_in = [widths[0]], widths[0]

        def block(width_in: int, width: int, attends: bool, resize: Resize = "keep", affine: bool = True) -> _Step:
            return _Step(settings, width_in, width, attends, resize, affine)

        for level, (width, attends) in enumerate(zip(widths, settings.attention, strict=True)):
            if level:
                self.down.append(block(width_in, width_in, False, "halve"))
                skips.append(width_in)
            for _ in range(settings.blocks):
                self.down.append(block(width_in, width, attends))
                skips.append(width)
                width_in = width
        self.middle = nn.ModuleList(block(width_in, width_in, first, affine=not spade) for first in (True, False))
        for level, (width, attends) in reversed(list(enumerate(zip(widths, settings.attention, strict=True)))):
            for _ in range(settings.blocks + 1):
                self.up.append(block(width_in + skips.pop(), width, attends, affine=not spade))
                width_in = width
            if level:
                self.up.append(block(width, width, False, "double", affine=not spade))
        self.norm = _norm(settings.groups, widths[0], True)
        self.head = zero(Conv2d(widths[0], area * channels_out))

    def hidden(self) -> list[nn.Parameter]:
        """The matrices between stem and head, for Muon."""
        return [weight for part in (self.down, self.middle, self.up) for weight in matrices(part)]

    def modulated(self) -> Iterator[tuple[int, int]]:
        """(channels, how often its size is half the stem's) of each norm of middle and decoder, in forward's order."""
        level = len(self.settings.multipliers) - 1
        for step in (*self.middle, *self.up):
            yield step.block.width_in, level
            level -= step.block.resize == "double"
            yield step.block.width, level

    def forward(self, x: Tensor, t: Tensor, modulations: Sequence[Modulation] = ()) -> Tensor:
        """One evaluation at whole clocks t (1..T; the network codes t - 1, as published).

        modulations: of the norms of middle and decoder (`modulated`), if it was built with `spade`.
        """
        clock = self.clock(_waves(t - 1, self.settings.width))
        hidden = self.stem(functional.pixel_unshuffle(x, self.settings.patch))
        kept = [hidden]
        for step in self.down:
            hidden = step(hidden, clock)
            kept.append(hidden)
        given = [modulations[at : at + 2] for at in range(0, len(modulations), 2)] or [()] * self._decoding()
        for step, pair in zip((*self.middle, *self.up), given, strict=True):
            if step.joins(hidden):
                hidden = torch.cat([hidden, kept.pop()], dim=1)
            hidden = step(hidden, clock, pair)
        return functional.pixel_shuffle(self.head(functional.silu(self.norm(hidden))), self.settings.patch)

    def _decoding(self) -> int:
        return len(self.middle) + len(self.up)


Resize = Literal["keep", "halve", "double"]


class _Step(nn.Module):
    """A residual block, and attention behind it where its level attends."""

    def __init__(
        self, settings: ADMSettings, width_in: int, width: int, attends: bool, resize: Resize, affine: bool
    ) -> None:
        super().__init__()
        self.block = ADMBlock(settings, width_in, width, resize, affine)
        self.attention = ADMAttention(settings, width) if attends else nn.Identity()

    def joins(self, x: Tensor) -> bool:
        """Whether this block also takes what the way down kept."""
        return x.shape[1] != self.block.width_in

    def forward(self, x: Tensor, clock: Tensor, modulations: Sequence[Modulation] = ()) -> Tensor:
        """(b c h w) -> (b width h' w')."""
        return self.attention(self.block(x, clock, modulations))  # type: ignore[no-any-return]


class ADMBlock(nn.Module):
    """Twice norm, SiLU, convolution, on a skip; resized between the first SiLU and its convolution."""

    def __init__(
        self, settings: ADMSettings, width_in: int, width: int, resize: Resize = "keep", affine: bool = True
    ) -> None:
        super().__init__()
        self.width_in, self.width, self.resize = width_in, width, resize
        self.norm1 = _norm(settings.groups, width_in, affine)
        self.conv1 = Conv2d(width_in, width)
        self.clock = nn.Linear(4 * settings.width, 2 * width)
        self.norm2 = _norm(settings.groups, width, affine)
        self.conv2 = zero(Conv2d(width, width))
        self.skip = Conv2d(width_in, width, 1) if width_in != width else nn.Identity()

    def forward(self, x: Tensor, clock: Tensor, modulations: Sequence[Modulation] = ()) -> Tensor:
        """x (b c h w), clock (b embedding), modulations of both norms or of none -> (b width h' w')."""
        first, second = modulations or (None, None)
        hidden = _resized(functional.silu(_modulated(self.norm1(x), first)), self.resize)
        hidden = _modulated(self.norm2(self.conv1(hidden)), second)
        scale, shift = self.clock(clock)[..., None, None].chunk(2, dim=1)
        hidden = self.conv2(functional.silu(torch.addcmul(shift, hidden, 1 + scale)))
        return hidden + self.skip(_resized(x, self.resize))  # type: ignore[no-any-return]


class ADMAttention(SelfAttention):
    """Self-attention behind ADM's norm."""

    def __init__(self, settings: ADMSettings, width: int) -> None:
        super().__init__(width, settings.head_channels)
        self.norm = _norm(settings.groups, width, True)


def _norm(groups: int, width: int, affine: bool) -> nn.GroupNorm:
    return nn.GroupNorm(math.gcd(groups, width), width, affine=affine)


def _modulated(x: Tensor, by: Modulation | None) -> Tensor:
    if by is None:
        return x
    own = len(by.scale) - 1
    if len(x) == own + 1:
        return torch.addcmul(by.shift, x, by.scale)
    parts = (slice(None, own), slice(own, None))
    return torch.cat([torch.addcmul(by.shift[part], x[part], by.scale[part]) for part in parts])


def _resized(x: Tensor, resize: Resize) -> Tensor:
    if resize == "keep":
        return x
    if resize == "halve":
        return functional.avg_pool2d(x, 2)
    return functional.interpolate(x, scale_factor=2.0, mode="nearest")


def _waves(t: Tensor, width: int) -> Tensor:
    """Cosines and sines of clocks (b,) -> (b width), periods from 2 pi to `LONGEST_PERIOD` times that."""
    half = width // 2
    frequencies = torch.exp(-math.log(LONGEST_PERIOD) / half * torch.arange(half, device=t.device))
    phase = t.float()[:, None] * frequencies
    return torch.cat([phase.cos(), phase.sin()], dim=1)
