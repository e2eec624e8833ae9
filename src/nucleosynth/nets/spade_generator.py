"""SPADE's generator and the encoder of its style (Park et al., "Semantic image synthesis with spatially-adaptive
normalization", CVPR 2019).

The label at the coarsest size is convolved into the first map; residual blocks then double it up to the image, and
every norm is modulated by the label at its own size (nets.spade.Modulator). The convolutions of the blocks are divided
by their spectral norm. With 6 label channels it has the published 92.15 M parameters and 274.5 GFLOP at 256^2, and
0.6 M more for the style.

Departures from the release. The first map is as large as the label asks (the release: 8x8, whatever it is to become),
so tiles of any size can be painted. The style z enters beside the label in every modulation (as the noise of OASIS,
Sushko et al., ICLR 2021): the release's layer from z to 8x8 holds for one size, and a shift of whole channels would not
survive a norm of single channels. The norm is GroupNorm (the release: batch norm over all devices), so that no sample
depends on its neighbours; it keeps how large channels are to each other, which InstanceNorm forgets (light blobs come
of that: Karras et al., CVPR 2020). The encoder's norm is one over all channels (the release: InstanceNorm), which keeps
the stain that z is to carry, and the encoder ends in a mean over pixels.
"""

import math
from itertools import pairwise
from typing import NamedTuple, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from nucleosynth.config import Settings
from nucleosynth.errors import UserError
from nucleosynth.nets.adm import Modulation
from nucleosynth.nets.blocks import Conv2d
from nucleosynth.nets.spade import Modulator

SLOPE = 0.2
"""Of LeakyReLU below 0."""


class SpadeGeneratorSettings(Settings):
    """Sizes of the network; as published unless stated."""

    width: int = Field(64, ge=1)
    """Channels that all other numbers of channels are multiples of."""
    multipliers: tuple[int, ...] = (16, 16, 16, 8, 4, 2, 1)
    """Channels that come out of each block, over `width`."""
    doubled: tuple[bool, ...] = (False, True, False, True, True, True, True)
    """Whether the map is doubled before each block."""
    modulation: int = Field(128, ge=1)
    """Channels between a label and the gamma and beta that it becomes."""
    groups: int = Field(32, ge=1)
    """Groups of a norm (as many as divide its channels; a large power of two makes it InstanceNorm)."""
    style: int = Field(256, ge=1)
    """Numbers in z."""
    encoder: tuple[int, ...] = (1, 2, 4, 8, 8, 8)
    """Channels of each halving of the encoder that z is learnt with, over `width`; none = z is always noise."""

    @property
    def stride(self) -> int:
        """Sides of what the network takes are multiples of this, px: one pixel of the first map."""
        return 1 << sum(self.doubled)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        """Each block says whether it doubles."""
        if not self.multipliers or len(self.doubled) != len(self.multipliers):
            raise ValueError(f"an entry of doubled for each of the {len(self.multipliers)} blocks, at least one")
        return self


PAPER = SpadeGeneratorSettings()
BASE = SpadeGeneratorSettings(width=32, modulation=64, style=64)
TINY = SpadeGeneratorSettings(
    width=16,
    multipliers=(8, 8, 4, 2),
    doubled=(False, True, True, True),
    modulation=16,
    groups=8,
    style=16,
    encoder=(1, 2, 4, 8),
)


class SpadeGenerator(nn.Module):
    """A label (b inputs h w) and a style (b z) -> (b outputs h w), raw: the last layer is a convolution.

    outputs: any number; 3 for an image in RGB.
    """

    def __init__(self, settings: SpadeGeneratorSettings, inputs: int, outputs: int = 3) -> None:
        super().__init__()
        self.settings, self.inputs = settings, inputs
        widths = [settings.width * multiplier for multiplier in settings.multipliers]
        self.start = Conv2d(inputs, widths[0])
        self.blocks = nn.ModuleList(SpadeBlock(settings, inputs, *pair) for pair in pairwise([widths[0], *widths]))
        self.head = Conv2d(widths[-1], outputs)

    def forward(self, label: Tensor, z: Tensor) -> Tensor:
        """One image for each label and style.

        Raises:
            UserError: a label of another number of channels, or of sides that are no multiples of the stride.
        """
        self._check(label)
        stride = self.settings.stride
        hidden = self.start(label[..., ::stride, ::stride])
        for doubles, block in zip(self.settings.doubled, self.blocks, strict=True):
            if doubles:
                hidden, stride = functional.interpolate(hidden, scale_factor=2.0, mode="nearest"), stride // 2
            hidden = block(hidden, label[..., ::stride, ::stride], z)
        return self.head(functional.leaky_relu(hidden, SLOPE))  # type: ignore[no-any-return]

    def _check(self, label: Tensor) -> None:
        channels, *sides = label.shape[1:]
        stride = self.settings.stride
        if channels != self.inputs or any(side % stride for side in sides):
            raise UserError(
                "a label that the network was not built for",
                expected=f"{self.inputs} channels, sides that are multiples of {stride} px",
                got=f"{channels} channels, {' x '.join(map(str, sides))} px",
                mend="give labels as the network was trained on (conditions.edges), padded to whole strides",
            )


class Styled(NamedTuple):
    """What an image was painted anew as (b c h w; raw), and mean and log variance of the style it was given (b z)."""

    image: Tensor
    mean: Tensor
    log_variance: Tensor


class SpadeAutoencoder(nn.Module):
    """A generator in training: each label is painted in a style drawn from what the encoder says of its own image.

    Where the settings have no encoder, the style is noise alone (mean and log variance are 0).
    """

    def __init__(self, settings: SpadeGeneratorSettings, inputs: int, outputs: int = 3) -> None:
        super().__init__()
        self.generator = SpadeGenerator(settings, inputs, outputs)
        self.encoder = StyleEncoder(settings, outputs) if settings.encoder else None

    def forward(self, label: Tensor, image: Tensor, noise: Tensor) -> Styled:
        """label (b inputs h w), its image (b outputs h w), noise (b z) from N(0, 1)."""
        zero = torch.zeros_like(noise)
        mean, log_variance = self.encoder(image) if self.encoder is not None else (zero, zero)
        z = mean + (0.5 * log_variance).exp() * noise
        return Styled(self.generator(label, z), mean, log_variance)


class SpadeBlock(nn.Module):
    """Twice a modulated norm, LeakyReLU and a convolution of spectral norm 1, on a skip.

    The skip is learnt, behind a modulated norm of its own, where the number of channels changes.
    """

    def __init__(self, settings: SpadeGeneratorSettings, inputs: int, width_in: int, width: int) -> None:
        super().__init__()
        middle = min(width_in, width)
        self.norm1, self.norm2 = StyledNorm(settings, inputs, width_in), StyledNorm(settings, inputs, middle)
        self.conv1, self.conv2 = spectral_norm(Conv2d(width_in, middle)), spectral_norm(Conv2d(middle, width))
        self.skip_norm = StyledNorm(settings, inputs, width_in) if width_in != width else None
        self.skip = spectral_norm(Conv2d(width_in, width, 1, bias=False)) if width_in != width else None

    def forward(self, x: Tensor, label: Tensor, z: Tensor) -> Tensor:
        """x (b c h w), the label at that size, z (b z) -> (b width h w)."""
        hidden = self.conv1(functional.leaky_relu(self.norm1(x, label, z), SLOPE))
        hidden = self.conv2(functional.leaky_relu(self.norm2(hidden, label, z), SLOPE))
        if self.skip is not None and self.skip_norm is not None:
            x = self.skip(self.skip_norm(x, label, z))
        return x + hidden  # type: ignore[no-any-return]


class StyledNorm(nn.Module):
    """norm(x) (1 + gamma) + beta, both from label and style: SPADE, Eq. 1."""

    def __init__(self, settings: SpadeGeneratorSettings, inputs: int, width: int) -> None:
        super().__init__()
        self.groups = math.gcd(settings.groups, width)
        self.modulator = StyledModulator(inputs, settings.modulation, width, settings.style)

    def forward(self, x: Tensor, label: Tensor, z: Tensor) -> Tensor:
        """(b c h w) -> (b c h w)."""
        by = self.modulator(label, z)
        return torch.addcmul(by.shift, functional.group_norm(x, self.groups), by.scale)


class StyledModulator(Modulator):
    """A modulator whose hidden layer the style shifts."""

    def __init__(self, channels: int, hidden: int, width: int, style: int) -> None:
        super().__init__(channels, hidden, width)
        self.style = nn.Linear(style, hidden, bias=False)

    def forward(self, condition: Tensor, z: Tensor) -> Modulation:  # type: ignore[override]
        """A map (b c h w) and a style (b z) -> (b width h w), twice."""
        hidden = functional.relu(self.seen(condition) + self.style(z)[..., None, None])
        gamma, beta = self.out(hidden).chunk(2, dim=1)
        return Modulation(1 + gamma, beta)


class StyleEncoder(nn.Module):
    """An image (b c h w) of any size -> mean and log variance of its style, (b z) each."""

    def __init__(self, settings: SpadeGeneratorSettings, inputs: int) -> None:
        super().__init__()
        widths = [inputs, *(settings.width * multiplier for multiplier in settings.encoder)]
        self.halvings = nn.ModuleList(spectral_norm(Conv2d(a, b, stride=2)) for a, b in pairwise(widths))
        self.out = nn.Linear(widths[-1], 2 * settings.style)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """(b c h w) -> (b z), (b z)."""
        for halve in self.halvings:
            image = functional.leaky_relu(functional.group_norm(halve(image), 1), SLOPE)
        mean, log_variance = self.out(image.mean(dim=(2, 3))).chunk(2, dim=1)
        return mean, log_variance
