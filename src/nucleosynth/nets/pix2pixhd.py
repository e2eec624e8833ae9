"""pix2pixHD's generators: a global one, and a local enhancer around it at twice the resolution.

Wang et al., "High-resolution image synthesis and semantic manipulation with conditional GANs", CVPR 2018. Two options
make them DAFF-GAN's (Cheng et al.): criss-cross attention before the residual blocks, and a long skip around both.
Noise beside the condition, so that a condition has many images, is ours: of several octaves, since instance norm takes
away whatever is the same everywhere. So is group norm in its place: where a condition says nothing over wide areas, a
network with instance norm learns to carry what it knows past it in bright spots (StyleGAN2's authors call them
droplets; Karras et al., CVPR 2020), and small tiles show little else.
"""

from collections.abc import Callable
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.functional import relu

from nucleosynth.config import Settings
from nucleosynth.nets.criss_cross import CrissCross
from nucleosynth.nets.patchgan import halved

SPREAD = 0.02
"""Standard deviation of weights at the start."""
OCTAVE = 4
"""Each channel of noise is that many times as coarse as the one before."""
OCTAVES = 4
GROUP = 8
"""Channels that group norm takes together."""
Norm = Callable[[Tensor], Tensor]


class Pix2PixHDSettings(Settings):
    """Size of a generator."""

    width: int = Field(64, ge=2)
    """Channels at the global generator's full resolution; each halving doubles them."""
    downs: int = Field(4, ge=1)
    """Halvings of the global generator."""
    blocks: int = Field(9, ge=1)
    """Residual blocks of the global generator."""
    local_width: int = Field(32, ge=0)
    """Channels of the local enhancer at full resolution: half of `width`; 0 = the global generator alone."""
    local_blocks: int = Field(3, ge=1)
    """Residual blocks of the local enhancer."""
    attention: int = Field(0, ge=0)
    """How often criss-cross attention is applied before the residual blocks; DAFF-GAN: 2."""
    long_skip: bool = False
    """Whether what comes before the attention is added after the last residual block; DAFF-GAN: yes."""
    upsampling: Literal["transposed", "nearest"] = "transposed"
    """Doubling by a transposed convolution, as published, or by repeating pixels before one, which leaves no grid."""
    noise: int = Field(0, ge=0)
    """Channels of noise beside the condition."""
    norm: Literal["instance", "group"] = "instance"
    """What is taken together: each channel alone, as published, or 8 of them (see above)."""

    @model_validator(mode="after")
    def _enhances(self) -> Self:
        """What the local enhancer halves is added to the global generator's features."""
        if self.local_width not in (0, self.width / 2):
            raise ValueError(f"local_width of half of width, {self.width / 2:g}, or 0 (it is {self.local_width})")
        return self

    @property
    def stride(self) -> int:
        """Sides are multiples of this, px: reflection at the narrowest map needs 2 px a side."""
        return 2 << (self.downs + (self.local_width > 0))

    @property
    def normed(self) -> Norm:
        """(b c h w) with mean 0 and deviation 1 in whatever is taken together."""
        return functional.instance_norm if self.norm == "instance" else _group_norm


class GlobalGenerator(nn.Module):
    """A condition (b inputs h w), and noise (b z h w), 0 unless given -> (b outputs h w), without bounds.

    outputs: 0 = no last layer, so that `width` features come out. Sides are multiples of 2^(downs + 1).
    """

    def __init__(self, settings: Pix2PixHDSettings, inputs: int, outputs: int) -> None:
        super().__init__()
        self.noise, self.normed = settings.noise, settings.normed
        widths = [settings.width * 2**k for k in range(settings.downs + 1)]
        self.first = _convolution(inputs + settings.noise, widths[0], 7)
        self.downs = nn.ModuleList(_halving(wide // 2, wide) for wide in widths[1:])
        self.middle = Middle(widths[-1], settings.blocks, settings)
        self.ups = nn.ModuleList(_doubling(wide, wide // 2, settings.upsampling) for wide in reversed(widths[1:]))
        self.last = _convolution(widths[0], outputs, 7) if outputs else nn.Identity()

    def forward(self, condition: Tensor, noise: Tensor | None = None) -> Tensor:
        """See the class."""
        x = relu(self.normed(self.first(beside(condition, noise, self.noise))))
        for down in self.downs:
            x = relu(self.normed(down(x)))
        x = self.middle(x)
        for up in self.ups:
            x = relu(self.normed(up(x)))
        return self.last(x)  # type: ignore[no-any-return]


class LocalEnhancer(nn.Module):
    """As the global generator, which sees the condition at half the resolution here and gives its features alone.

    Sides are multiples of the settings' stride.
    """

    def __init__(self, settings: Pix2PixHDSettings, inputs: int, outputs: int) -> None:
        super().__init__()
        width, self.noise, self.normed = settings.local_width, settings.noise, settings.normed
        self.coarse = GlobalGenerator(settings, inputs, 0)
        self.first, self.down = _convolution(inputs + settings.noise, width, 7), _halving(width, 2 * width)
        self.middle = Middle(2 * width, settings.local_blocks, settings)
        self.up, self.last = _doubling(2 * width, width, settings.upsampling), _convolution(width, outputs, 7)

    def forward(self, condition: Tensor, noise: Tensor | None = None) -> Tensor:
        """See the class."""
        return self.enhanced(self.features(condition, noise), condition, noise)

    def features(self, condition: Tensor, noise: Tensor | None = None) -> Tensor:
        """What the global generator sees in the halved condition: (b width h/2 w/2)."""
        return self.coarse(halved(condition), None if noise is None else noise[..., ::2, ::2])  # type: ignore[no-any-return]

    def enhanced(self, features: Tensor, condition: Tensor, noise: Tensor | None = None) -> Tensor:
        """The rest, given those features."""
        x = relu(self.normed(self.first(beside(condition, noise, self.noise))))
        x = self.middle(relu(self.normed(self.down(x))) + features)
        return self.last(relu(self.normed(self.up(x))))  # type: ignore[no-any-return]


class Middle(nn.Module):
    """Criss-cross attention, residual blocks, and the long skip around both, where there are any; (b c h w)."""

    def __init__(self, width: int, blocks: int, settings: Pix2PixHDSettings) -> None:
        super().__init__()
        self.attention = CrissCross(width, settings.attention) if settings.attention else nn.Identity()
        self.blocks = nn.Sequential(*(_Block(width, settings.normed) for _ in range(blocks)))
        self.long_skip = settings.long_skip

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        found: Tensor = self.blocks(self.attention(x))
        return found + x if self.long_skip else found


class _Block(nn.Module):
    """x + norm(conv(relu(norm(conv(x)))))."""

    def __init__(self, width: int, normed: Norm) -> None:
        super().__init__()
        self.normed = normed
        self.first, self.second = _convolution(width, width, 3), _convolution(width, width, 3)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.normed(self.second(relu(self.normed(self.first(x)))))


def generator(settings: Pix2PixHDSettings, inputs: int, outputs: int) -> GlobalGenerator | LocalEnhancer:
    """The generator of some settings: with its local enhancer, unless they have none."""
    return (LocalEnhancer if settings.local_width else GlobalGenerator)(settings, inputs, outputs)


def head(settings: Pix2PixHDSettings, outputs: int) -> nn.Module:
    """A last layer for a global generator that has none: (b width h w) -> (b outputs h w)."""
    return _convolution(settings.width, outputs, 7)


def beside(condition: Tensor, noise: Tensor | None, channels: int) -> Tensor:
    """The condition with that many channels of noise (b z h w) beside it, 0 where there is none.

    White noise becomes octaves: channel k is made of cells of 4^(k mod 4) px with smooth ways between them.
    """
    if not channels:
        return condition
    if noise is None:
        noise = condition.new_zeros(len(condition), channels, *condition.shape[2:])
    return torch.cat(
        [condition, *(_coarsened(noise[:, k : k + 1], OCTAVE ** (k % OCTAVES)) for k in range(channels))], 1
    )


def _coarsened(noise: Tensor, cell: int) -> Tensor:
    """One number in each cell of that side, and smooth ways between the cells' middles."""
    if cell == 1:
        return noise
    return functional.interpolate(noise[..., ::cell, ::cell], noise.shape[2:], mode="bilinear")


def _group_norm(x: Tensor) -> Tensor:
    return functional.group_norm(x, max(1, x.shape[1] // GROUP))


def _convolution(channels_in: int, channels_out: int, kernel: int) -> nn.Module:
    """It keeps its size; borders are reflected."""
    layer = nn.Conv2d(channels_in, channels_out, kernel, padding=kernel // 2, padding_mode="reflect")
    return _started(layer)


def _halving(channels_in: int, channels_out: int) -> nn.Module:
    return _started(nn.Conv2d(channels_in, channels_out, 3, stride=2, padding=1))


def _doubling(channels_in: int, channels_out: int, upsampling: str) -> nn.Module:
    if upsampling == "nearest":
        return nn.Sequential(nn.Upsample(scale_factor=2), _convolution(channels_in, channels_out, 3))
    return _started(nn.ConvTranspose2d(channels_in, channels_out, 3, stride=2, padding=1, output_padding=1))


def _started(layer: nn.Conv2d | nn.ConvTranspose2d) -> nn.Module:
    """Weights N(0, .02), no bias."""
    nn.init.normal_(layer.weight, 0, SPREAD)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
