"""CGPN-GAN's networks: a generator told a map and a sentence, and a critic that looks through CLIP's eyes.

Zhang et al., "CLIP-guided generative network for pathology nuclei image augmentation", Medical Image Analysis 2025. The
sentence enters as in GALIP (Tao et al., CVPR 2023), by scales and shifts of whole channels; the map as in SPADE (Park
et al., CVPR 2019), by scales and shifts of pixels. Published sizes: `PAPER`. The release has about 41 M parameters;
those that any gradient reaches are the 32.4 M that are here. A shortcut that keeps its width is no layer.

Symbols of the paper: M-block = Mapping, G-block = Spoken, P-block = Painted, DFBLK = Told, NetD = ClipCritic.look,
NetC = ClipCritic.compare.
"""

from collections.abc import Sequence

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from nucleosynth.config import Settings
from nucleosynth.nets.blocks import Conv2d
from nucleosynth.nets.spade import Modulator

SLOPE = 0.2
GRID = 7
"""Side of the map that noise begins as, whatever the image's."""
NARROWEST = 16
"""The width over that of the last block."""


class CGPNSettings(Settings):
    """Size of the generator."""

    width: int = Field(512, ge=NARROWEST, multiple_of=NARROWEST)
    """Channels of the coarse blocks; the last one has a sixteenth."""
    coarse: int = Field(3, ge=1)
    """Blocks of that width, each at twice the size of the one before."""
    modulation: int = Field(128, ge=1)
    """Hidden channels between the map and a norm; at the published 128 this is 70 % of the work."""
    noise: int = Field(100, ge=1)
    """Numbers that tell two images of one map and sentence apart."""
    seed: int = Field(64, ge=2, multiple_of=2)
    """Channels of the noise's map."""
    mapping: int = Field(4, ge=0)
    """Blocks that mix noise and sentence before the map is seen."""

    @property
    def stride(self) -> int:
        """Sides of an image are multiples of this, px."""
        return 4 << self.coarse


PAPER = CGPNSettings()
NARROW = CGPNSettings(modulation=32)
"""The published network but for its modulation: less than half the work."""
TINY = CGPNSettings(width=128, coarse=1, modulation=24, noise=32, seed=32, mapping=1)
"""For tiles of 64^2 on two cores."""


class CGPN(nn.Module):
    """A map (b c h w), sentences (b d), noise (b z) -> (b 3 h w), not bounded; h, w: multiples of the stride."""

    def __init__(self, settings: CGPNSettings, labels: int, text: int) -> None:
        super().__init__()
        self.settings, width, told = settings, settings.width, (labels, settings.modulation)
        self.begin = nn.Linear(settings.noise, settings.seed * GRID**2)
        self.mapping = nn.ModuleList(Mapping(settings.seed, text) for _ in range(settings.mapping))
        self.widen = Conv2d(settings.seed, width, 5)
        half, quarter, eighth, last = (width // 2**k for k in (1, 2, 3, 4))
        self.blocks = nn.ModuleList(
            [
                *(Painted(width, width, *told) for _ in range(settings.coarse)),
                Painted(width, half, *told),
                Painted(half, quarter, *told),
                Spoken(quarter, quarter, text),
                Painted(quarter, eighth, *told),
                Spoken(eighth, last, text),
            ]
        )
        self.halvings = (*range(settings.coarse + 2, 2, -1), 2, 1, 1, 0, 0)
        self.out = Conv2d(last, 3)

    def forward(self, labels: Tensor, text: Tensor, noise: Tensor) -> Tensor:
        """Each block at its own size, nearest neighbours between them."""
        sizes = [labels[..., :: 2**k, :: 2**k] for k in range(max(self.halvings) + 1)]
        x = self.begin(noise).view(len(noise), -1, GRID, GRID)
        for block in self.mapping:
            x = block(x, text)
        x = self.widen(x)
        for block, halvings in zip(self.blocks, self.halvings, strict=True):
            seen = sizes[halvings]
            x = functional.interpolate(x, seen.shape[2:])
            x = block(x, seen if isinstance(block, Painted) else text)
        return self.out(functional.leaky_relu(x, SLOPE))  # type: ignore[no-any-return]


class Spoken(nn.Module):
    """(b c h w) told a sentence, twice, each time before a convolution, beside a shortcut."""

    def __init__(self, width_in: int, width: int, text: int) -> None:
        super().__init__()
        self.told1, self.conv1 = Told(width_in, text), Conv2d(width_in, width)
        self.told2, self.conv2 = Told(width, text), Conv2d(width, width)
        self.skip = Conv2d(width_in, width, 1) if width_in != width else nn.Identity()

    def forward(self, x: Tensor, text: Tensor) -> Tensor:
        """(b c h w), (b d) -> (b width h w)."""
        hidden = self.conv1(self.told1(x, text))
        return self.conv2(self.told2(hidden, text)) + self.skip(x)  # type: ignore[no-any-return]


class Mapping(nn.Module):
    """(b c h w) through half the channels and back, told a sentence behind each convolution, beside the identity."""

    def __init__(self, width: int, text: int) -> None:
        super().__init__()
        self.conv1, self.told1 = Conv2d(width, width // 2), Told(width // 2, text)
        self.conv2, self.told2 = Conv2d(width // 2, width), Told(width, text)

    def forward(self, x: Tensor, text: Tensor) -> Tensor:
        """(b c h w), (b d) -> (b c h w)."""
        hidden = self.told1(self.conv1(x), text)
        return x + self.told2(self.conv2(hidden), text)  # type: ignore[no-any-return]


class Told(nn.Module):
    """Twice: every channel scaled and shifted as the sentence says, then leaky ReLU. Begins without a say."""

    def __init__(self, width: int, text: int) -> None:
        super().__init__()
        self.affines = nn.ModuleList(Affine(width, text) for _ in range(2))

    def forward(self, x: Tensor, text: Tensor) -> Tensor:
        """(b c h w), (b d) -> (b c h w)."""
        for affine in self.affines:
            x = functional.leaky_relu(affine(x, text), SLOPE)
        return x


class Affine(nn.Module):
    """gamma(text) x + beta(text), each two layers from the sentence; at first 1 and 0."""

    def __init__(self, width: int, text: int) -> None:
        super().__init__()
        self.gamma, self.beta = (
            nn.Sequential(nn.Linear(text, width), nn.ReLU(), nn.Linear(width, width)) for _ in range(2)
        )
        for layers, start in ((self.gamma, 1.0), (self.beta, 0.0)):
            nn.init.zeros_(layers[-1].weight)  # type: ignore[arg-type]
            nn.init.constant_(layers[-1].bias, start)  # type: ignore[arg-type]

    def forward(self, x: Tensor, text: Tensor) -> Tensor:
        """(b c h w), (b d) -> (b c h w)."""
        gamma, beta = self.gamma(text)[..., None, None], self.beta(text)[..., None, None]
        return torch.addcmul(beta, x, gamma)


class Painted(nn.Module):
    """(b c h w) told a map of its size at each of its norms, before each convolution, beside a shortcut.

    The two norms of what comes in share the hidden layer that looks at the map, where the release has two.
    """

    def __init__(self, width_in: int, width: int, labels: int, hidden: int) -> None:
        super().__init__()
        other = width_in != width
        self.norm1, self.conv1 = MapNorm(width_in, labels, hidden, 2 if other else 1), Conv2d(width_in, width)
        self.norm2, self.conv2 = MapNorm(width, labels, hidden), Conv2d(width, width)
        self.skip = Conv2d(width_in, width, 1, bias=False) if other else None

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        """(b c_in h w), (b c h w) -> (b width h w)."""
        first, *others = self.norm1(x, labels)
        (second,) = self.norm2(self.conv1(functional.leaky_relu(first, SLOPE)), labels)
        beside = x if self.skip is None else self.skip(*others)
        return self.conv2(functional.leaky_relu(second, SLOPE)) + beside  # type: ignore[no-any-return]


class MapNorm(nn.Module):
    """SPADE: each channel of each sample at mean 0 and spread 1, then scaled and shifted pixel by pixel, some times."""

    def __init__(self, width: int, labels: int, hidden: int, times: int = 1) -> None:
        super().__init__()
        self.times, self.modulate = times, Modulator(labels, hidden, times * width)

    def forward(self, x: Tensor, labels: Tensor) -> list[Tensor]:
        """(b width h w), (b c h w) -> (b width h w), each time modulated by itself."""
        scales, shifts = (part.chunk(self.times, dim=1) for part in self.modulate(labels))
        plain = normalised(x)
        return [torch.addcmul(shift, plain, scale) for scale, shift in zip(scales, shifts, strict=True)]


def normalised(x: Tensor) -> Tensor:
    """Each channel (h w) of each sample at mean 0 and spread 1; a single pixel has no spread and becomes 0."""
    return functional.instance_norm(x) if x.shape[2] * x.shape[3] > 1 else torch.zeros_like(x)


class ClipCritic(nn.Module):
    """Does an image go with a sentence? Read from the maps (b c g g) of some blocks of CLIP's frozen image tower.

    maps: how many; width: their c; grid: their g; text: numbers of a sentence; hidden, joint: channels of the critic.
    """

    def __init__(self, maps: int, width: int, grid: int, text: int, *, hidden: int = 512, joint: int = 128) -> None:
        super().__init__()
        self.mixes = nn.ModuleList(Mix(width, width, joins=True) for _ in range(maps - 1))
        self.last = Mix(width, hidden)
        near = (grid + 1) // 2
        self.joint = nn.Sequential(
            nn.Conv2d(hidden + text, joint, near, bias=False),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(joint, 1, grid + 1 - near, bias=False),
        )

    def look(self, maps: Sequence[Tensor]) -> Tensor:
        """What is seen, (b hidden g g)."""
        first, *others = maps
        for mix, other in zip(self.mixes, others, strict=True):
            first = mix(first, other)
        return self.last(first)  # type: ignore[no-any-return]

    def compare(self, seen: Tensor, text: Tensor) -> Tensor:
        """A logit for each pair of what is seen and a sentence (b d): (b 1)."""
        beside = text[..., None, None].expand(-1, -1, *seen.shape[2:])
        return self.joint(torch.cat([seen, beside], dim=1)).flatten(1)  # type: ignore[no-any-return]

    def forward(self, maps: Sequence[Tensor], *texts: Tensor) -> list[Tensor]:
        """Logits (b 1) beside each of some sentences (b d): above 0 for a real image and its own."""
        seen = self.look(maps)
        return [self.compare(seen, text) for text in texts]


class Mix(nn.Module):
    """x + gamma convolved(x) [+ beta other]; gamma and beta begin at 0, as released."""

    def __init__(self, width_in: int, width: int, joins: bool = False) -> None:
        super().__init__()
        self.convolved = nn.Sequential(
            Conv2d(width_in, width, bias=False),
            nn.LeakyReLU(SLOPE),
            Conv2d(width, width, bias=False),
            nn.LeakyReLU(SLOPE),
        )
        self.skip = Conv2d(width_in, width, 1) if width_in != width else nn.Identity()
        self.gamma = nn.Parameter(torch.zeros(1))
        self.beta = nn.Parameter(torch.zeros(1)) if joins else None

    def forward(self, x: Tensor, other: Tensor | None = None) -> Tensor:
        """(b c g g), the next map where it joins one -> (b width g g)."""
        found: Tensor = self.skip(x) + self.gamma * self.convolved(x)
        return found if self.beta is None or other is None else found + self.beta * other


class Reader(nn.Module):
    """Which class stands at each pixel, read from an image (b 3 h w): logits (b classes h w) from 31 px around."""

    def __init__(self, classes: int, width: int = 32) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Conv2d(width if k else 3, width, 3, padding=2**k, dilation=2**k) for k in range(4)
        )
        self.out = nn.Conv2d(width, classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        """See the class."""
        for layer in self.layers:
            image = functional.leaky_relu(normalised(layer(image)), SLOPE)
        return self.out(image)  # type: ignore[no-any-return]
