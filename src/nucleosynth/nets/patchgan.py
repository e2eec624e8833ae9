"""Critics of patches at several scales: pix2pixHD's, SPADE's and CGPN-GAN's are settings of one.

Isola et al., "Image-to-image translation with conditional adversarial networks", CVPR 2017; several scales: Wang et
al., CVPR 2018 (pix2pixHD); spectral norm: Miyato et al., ICLR 2018.
"""

from itertools import pairwise
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from nucleosynth.config import Settings

WIDEST = 512
"""Channels are doubled up to here."""
SPREAD = 0.02
"""Standard deviation of weights at the start."""


class PatchGAN(nn.Module):
    """(b inputs h w) -> the features of each layer, the logits (b 1 h' w') last; 3 layers see patches of 70 px.

    layers: convolutions 4x4 with stride 2, each doubling the channels; one of stride 1 and the logits come after them.
    (SPADE counts the one of stride 1 too: its 4 are 3 here.) norm and spectral: of all but the first and the last.
    Any size from 16 px on.
    """

    def __init__(
        self,
        inputs: int,
        width: int = 64,
        layers: int = 3,
        norm: Literal["instance", "none"] = "instance",
        spectral: bool = False,
    ) -> None:
        super().__init__()
        widths = [min(width * 2**k, WIDEST) for k in range(layers + 1)]
        self.first, self.norm = _convolution(inputs, widths[0], stride=2), norm
        self.hidden = nn.ModuleList(
            _convolution(narrow, wide, stride=2 if k < layers - 1 else 1, bias=norm == "none", spectral=spectral)
            for k, (narrow, wide) in enumerate(pairwise(widths))
        )
        self.logits = _convolution(widths[-1], 1)

    def forward(self, x: Tensor) -> list[Tensor]:
        """See the class."""
        features = [functional.leaky_relu(self.first(x), 0.2)]
        for layer in self.hidden:
            hidden = layer(features[-1])
            normed = functional.instance_norm(hidden) if self.norm == "instance" else hidden
            features.append(functional.leaky_relu(normed, 0.2))
        return [*features, self.logits(features[-1])]


class MultiScale(nn.Module):
    """The same critic at several scales, each half as fine: (b inputs h w) -> a list over scales of PatchGAN's lists.

    Weights are the scales' own. Sides are at least 16 px at the last scale.
    """

    def __init__(
        self,
        inputs: int,
        scales: int = 2,
        width: int = 64,
        layers: int = 3,
        norm: Literal["instance", "none"] = "instance",
        spectral: bool = False,
    ) -> None:
        super().__init__()
        self.scales = nn.ModuleList(PatchGAN(inputs, width, layers, norm, spectral) for _ in range(scales))

    def forward(self, x: Tensor) -> list[list[Tensor]]:
        """See the class."""
        found = []
        for index, critic in enumerate(self.scales):
            found.append(critic(x if index == 0 else (x := halved(x))))
        return found


class CriticSettings(Settings):
    """Size of a critic of patches."""

    width: int = Field(64, ge=1)
    """Channels of the first layer; each further one doubles them, up to 512."""
    layers: int = Field(3, ge=1)
    """Halvings; 3 see patches of 70 px, 2 of 34, 1 of 16."""
    scales: int = Field(2, ge=1)
    """Scales that it looks at, each half as fine."""
    norm: Literal["instance", "none"] = "instance"
    """Norm of the hidden layers."""
    spectral: bool = False
    """Whether the hidden layers have spectral norm."""

    def build(self, inputs: int) -> MultiScale:
        """The critic of that many channels, untrained."""
        return MultiScale(inputs, self.scales, self.width, self.layers, self.norm, self.spectral)


def halved(x: Tensor) -> Tensor:
    """(b c h w) -> (b c ceil(h/2) ceil(w/2)): means of 3x3, as pix2pixHD halves what it shows a critic."""
    return functional.avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False)


def logits(features: list[list[Tensor]]) -> list[Tensor]:
    """Of each scale's features the last: the verdicts."""
    return [each[-1] for each in features]


def _convolution(
    channels_in: int, channels_out: int, stride: int = 1, bias: bool = True, spectral: bool = False
) -> nn.Module:
    layer = nn.Conv2d(channels_in, channels_out, 4, stride, 2, bias=bias)
    with torch.no_grad():
        layer.weight.normal_(0, SPREAD)
        if layer.bias is not None:
            layer.bias.zero_()
    return spectral_norm(layer) if spectral else layer
