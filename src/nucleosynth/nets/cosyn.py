"""CoSyn's joint network: one U-Net over image, distance map and label, told points, text and counts.

Each part of the state has a stem and a head of its own; in between there is one map. Without the distance map and the
points it is GCDP's. What the condition alone decides (point features, text tokens, pooled text, counts) is computed
once a sample (`encode`). Min et al., ECCV 2024; the U-Net is Imagen's (nets.imagen).
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from nucleosynth.diffusion.prediction import State
from nucleosynth.nets.attention import CrossAttention, Perceiver, Transformer
from nucleosynth.nets.blocks import ClockEmbedding, Conv2d, matrices, zero
from nucleosynth.nets.imagen import ImagenSettings, ImagenUNet
from nucleosynth.nets.points import EMBEDDED, PointEncoder, PointsSettings, embedded
from nucleosynth.nets.text import TextShape

CLOCK_TOKENS = 2
"""Tokens of the context that tell the clock."""
GAUSSIAN = {"image": 3, "distance": 1}
"""Channels of the groups that are no ids."""


class CoSynNetSettings(ImagenSettings):
    """Sizes of the network."""

    patch: int = 2
    """Pixel-unshuffle factor before the stems; 1 as published."""
    stem: int = 32
    """Channels of each stem; a quarter of it behind its first convolution."""
    kernels: tuple[int, ...] = (3,)
    """Sizes of the convolutions that join the stems, side by side, ascending; (3, 7, 15) as published."""
    latents: int = 8
    """Tokens that the text is brought to, beside 4 of its mean."""
    points: PointsSettings = PointsSettings(width=16, blocks=1, growth=8)
    """Of the point encoder."""

    @property
    def stride(self) -> int:
        """Sides of a tile are multiples of it."""
        return int(self.patch * 2**self.halvings)


class Given(NamedTuple):
    """A condition; None for a part that the network is built without.

    points: (b h w) int64, ids of a point map (nets.points). text: (b n width) tokens, or int64 ids (b n) of words;
    mask: (b n) bool, True where there is a word; told: (b,) bool, False where the text is dropped. amounts: (b a), the
    last one says whether they are to be followed.
    """

    points: Tensor | None = None
    text: Tensor | None = None
    mask: Tensor | None = None
    told: Tensor | None = None
    amounts: Tensor | None = None


class Features(NamedTuple):
    """What the network makes of a condition, once a sample.

    points: (b width h/patch w/patch), or None; tokens: (b m context), m = 0 without text; embedding: (b e), added to
    the clock's; b is 1 where there is no condition.
    """

    points: Tensor | None
    tokens: Tensor
    embedding: Tensor


class CoSynNet(nn.Module):
    """State {image (b 3 h w), distance (b 1 h w), label (b h w) ids} -> raw outputs by name; label's are (b K h w).

    h and w are multiples of `stride`. labels: K, background among them; steps: T; amounts: how many numbers tell the
    counts, 0 without; text: None without.
    """

    def __init__(
        self,
        settings: CoSynNetSettings,
        labels: int,
        *,
        steps: int = 1000,
        distance: bool = True,
        points: bool = True,
        text: TextShape | None = None,
        amounts: int = 0,
    ) -> None:
        super().__init__()
        width, area = settings.width, settings.patch**2
        self.patch, self.steps, self.labels = settings.patch, steps, labels
        self.groups = {name: channels for name, channels in GAUSSIAN.items() if distance or name != "distance"}
        outputs = self.groups | {"label": labels}
        self.unet = ImagenUNet(settings, joined=width if points else 0)
        self.stride = settings.stride
        self.table = nn.Embedding(labels, EMBEDDED)
        self.stems = nn.ModuleDict(
            {
                name: _stem(area * channels, settings.stem)
                for name, channels in {**self.groups, "label": EMBEDDED}.items()
            }
        )
        self.cross = _Cross(settings.stem, width, settings.kernels)
        self.clock = ClockEmbedding(1, self.unet.embedding)
        self.clock_tokens = nn.Linear(self.unet.embedding, CLOCK_TOKENS * settings.context)
        self.norm = nn.LayerNorm(settings.context)
        self.points = PointEncoder(settings.points, labels, width, settings.patch) if points else None
        self.text = _Text(settings, text, self.unet.embedding) if text else None
        self.amounts = (
            nn.Sequential(
                nn.Linear(amounts, self.unet.embedding),
                nn.SiLU(),
                nn.Linear(self.unet.embedding, self.unet.embedding),
            )
            if amounts
            else None
        )
        self.heads = nn.ModuleDict({name: zero(Conv2d(width, area * channels)) for name, channels in outputs.items()})

    def hidden(self) -> list[nn.Parameter]:
        """The matrices of the U-Net's convolutions and attention, and of the point encoder's convolutions, for Muon."""
        attention = [part for part in self.unet.modules() if isinstance(part, (Transformer, CrossAttention))]
        linear = {part for each in attention for part in each.modules() if isinstance(part, nn.Linear)}
        ordered = [
            part.get_parameter("weight")
            for part in self.unet.modules()
            if isinstance(part, nn.Linear) and part in linear
        ]
        return matrices(self.unet) + ordered + (matrices(self.points) if self.points is not None else [])

    def encode(self, given: Given, points: Tensor | None = None) -> Features:
        """Features of the condition, which no clock changes; points: those of its points, if they are known already."""
        weight = self.norm.weight
        tokens, embedding = weight.new_zeros(1, 0, len(weight)), weight.new_zeros(1, self.unet.embedding)
        if self.text is not None:
            tokens, pooled = self.text(given)
            tokens, embedding = self.norm(tokens), embedding + pooled
        if self.amounts is not None:
            embedding = embedding + self.amounts(given.amounts)
        if self.points is not None and points is None:
            points = self.points(given.points)
        return Features(points, tokens, embedding)

    def forward(self, state: State, t: Tensor, given: Given | Features) -> State:
        """Raw outputs at the clocks t (b,), whole numbers 1..steps, under a condition or its features."""
        features = given if isinstance(given, Features) else self.encode(given)
        embedding = self.clock(t[:, None] / self.steps)
        clock = self.clock_tokens(functional.silu(embedding)).unflatten(-1, (CLOCK_TOKENS, -1))
        context = torch.cat([self.norm(clock), features.tokens.expand(len(t), -1, -1)], dim=1)
        parts = state | {"label": embedded(self.table, state["label"])}
        x = self.cross(
            sum(stem(functional.pixel_unshuffle(parts[name], self.patch)) for name, stem in self.stems.items())
        )
        if features.points is not None:
            x = x + features.points
        x = self.unet(x, embedding + features.embedding, context, features.points)
        return {name: functional.pixel_shuffle(head(x).float(), self.patch) for name, head in self.heads.items()}


class _Cross(nn.Module):
    """Convolutions of several sizes side by side: half of the channels from the smallest, and so on."""

    def __init__(self, width_in: int, width: int, kernels: tuple[int, ...]) -> None:
        super().__init__()
        widths = [width // 2 ** (k + 1) for k in range(len(kernels) - 1)]
        widths.append(width - sum(widths))
        self.layers = nn.ModuleList(
            Conv2d(width_in, each, kernel) for each, kernel in zip(widths, kernels, strict=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([layer(x) for layer in self.layers], dim=1)


class _Text(nn.Module):
    """Words -> tokens (b m context) and a vector (b embedding).

    A word that is not there has a learned token of its place; a text that is not told has these alone, and a learned
    vector.
    """

    def __init__(self, settings: CoSynNetSettings, shape: TextShape, embedding: int) -> None:
        super().__init__()
        width = settings.context
        self.length, self.words = shape.length, shape.words
        self.project = nn.Linear(shape.width, width)
        self.null_tokens = nn.Parameter(torch.randn(shape.length, width))
        self.null_vector = nn.Parameter(torch.randn(embedding))
        self.perceiver = Perceiver(
            width, settings.heads, settings.head_channels, length=shape.length, latents=settings.latents, pooled=4
        )
        self.vector = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, embedding), nn.SiLU(), nn.Linear(embedding, embedding)
        )

    def forward(self, given: Given) -> tuple[Tensor, Tensor]:
        assert given.text is not None, "a network with text is told it, or told that it is dropped"
        assert given.mask is not None, "a text has its mask"
        assert given.told is not None, "a text says whether it is told"
        values = given.text if self.words is None else self.words(given.text)
        missing = self.length - values.shape[1]
        heard = functional.pad(given.mask & given.told[:, None], (0, missing))[..., None]
        tokens = torch.where(heard, functional.pad(self.project(values), (0, 0, 0, missing)), self.null_tokens)
        tokens = self.perceiver(tokens)
        vector = torch.where(given.told[:, None], self.vector(tokens.mean(dim=1)), self.null_vector)
        return tokens, vector


def _stem(channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(Conv2d(channels, width // 4), nn.SiLU(), Conv2d(width // 4, width))
