"""The embedded default of pairs: a small CLIP that `nucleosynth fit clip` trains on the data's own tiles and captions.

It has seen a few tiles and knows their words alone: a stand-in that runs offline and is trained in minutes, no judge of
pathology. Images come to it as to any pair (encoders.clip_pair); its image tower is a small convolutional network whose
three blocks give the maps, its text tower the transformer over hashed words (encoders.words).
"""

import math
from pathlib import Path

import torch
from pydantic import Field
from torch import Tensor, nn

from nucleosynth.config import Settings
from nucleosynth.encoders.clip_pair import FrozenPair, Seen
from nucleosynth.encoders.network import Preparation
from nucleosynth.encoders.weights import digest_of
from nucleosynth.encoders.words import WIDTH, Words
from nucleosynth.errors import UserError
from nucleosynth.run import Run
from nucleosynth.training import checkpoint
from nucleosynth.training.ema import averaged

STAGE = "clip"
"""Its name among the stages of a run: `fit clip` has this one alone, another method may have it first."""
SETTINGS, SIDE = "own clip", "its side"
"""What its checkpoint says beside the weights."""
STRIDE = 8
"""Px of the image to a px of the maps."""
BLOCKS, GROUPS = 3, 8
COLDEST = math.log(100)
"""The logarithm of the largest scale of the logits, as CLIP's own."""


class OwnClipSettings(Settings):
    """Sizes of the network."""

    channels: int = Field(96, ge=16, multiple_of=16)
    """Of the image tower."""
    width: int = Field(128, ge=8)
    """Numbers of a vector."""


class OwnClipNet(nn.Module):
    """Both towers: prepared images (b 3 h w) and word ids (b n) to vectors (b width) each, and the scale of logits."""

    def __init__(self, settings: OwnClipSettings) -> None:
        super().__init__()
        channels = settings.channels
        self.stem = nn.Sequential(
            nn.Conv2d(3, channels // 2, 3, 2, 1),
            *(nn.GroupNorm(GROUPS, channels // 2), nn.GELU(), nn.Conv2d(channels // 2, channels, 3, 2, 1)),
            *(nn.GroupNorm(GROUPS, channels), nn.GELU(), nn.Conv2d(channels, channels, 3, 2, 1)),
        )
        self.blocks = nn.ModuleList(_Block(channels) for _ in range(BLOCKS))
        self.image_head = nn.Sequential(nn.LayerNorm(channels), nn.Linear(channels, settings.width))
        self.words = Words().module()
        self.text_head = nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, settings.width))
        self.scale = nn.Parameter(torch.tensor(math.log(10.0)))

    def forward(self, images: Tensor, ids: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Vectors of images and of captions, not normalised, and what their cosines are multiplied by."""
        return self.look(images)[0], self.read(ids), self.scale.clamp(max=COLDEST).exp()

    def look(self, images: Tensor) -> Seen:
        """A vector for each image, and the outputs of the blocks; sides are multiples of `STRIDE`."""
        x, maps = self.stem(images), []
        for block in self.blocks:
            x = block(x)
            maps.append(x)
        return Seen(self.image_head(x.mean(dim=(2, 3))), tuple(maps))

    def read(self, ids: Tensor) -> Tensor:
        """A vector for each caption, from the mean of its words in their context."""
        words = (ids > 0).sum(dim=1, keepdim=True).clamp_min(1)
        return self.text_head(self.words(ids).sum(dim=1) / words)  # type: ignore[no-any-return]


class _Block(nn.Module):
    """Two convolutions beside the identity, (b c h w) -> same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        layers = ((nn.GroupNorm(GROUPS, channels), nn.GELU(), nn.Conv2d(channels, channels, 3, 1, 1)) for _ in "12")
        self.layers = nn.Sequential(*(layer for part in layers for layer in part))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)  # type: ignore[no-any-return]


def preparation(side: int) -> Preparation:
    """How images come to it: from [0, 1] to [-2, 2]."""
    return Preparation(side, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25), "bicubic")


def beside(settings: OwnClipSettings, side: int) -> dict[str, str]:
    """What the checkpoint says of it, so that it can be loaded from any run."""
    return {SETTINGS: settings.model_dump_json(), SIDE: str(side)}


def load(where: str = "") -> FrozenPair:
    """The pair of a run folder that has a stage "clip".

    Raises:
        UserError: none is given, it is no run, or has no such stage.
    """
    if not where:
        raise UserError(
            "no small CLIP is given",
            expected="own:RUN",
            got="own",
            mend="train one first: nucleosynth fit clip --data DATA --run RUN",
        )
    return of_run(Run.open(Path(where).expanduser()))


def of_run(run: Run) -> FrozenPair:
    """The pair of a run: its moving average.

    Raises:
        UserError: as `load`.
    """
    path = run.checkpoint(STAGE)
    said = checkpoint.beside(path)
    if SETTINGS not in said:
        raise UserError(
            "not a small CLIP",
            expected="a checkpoint of `nucleosynth fit clip`",
            got="another's",
            where=str(path),
            mend="give the run of a small CLIP, or train one: nucleosynth fit clip --data DATA --run RUN",
        )
    with torch.random.fork_rng(devices=[]):
        average = averaged(OwnClipNet(OwnClipSettings.model_validate_json(said[SETTINGS])), 0.0)
    checkpoint.load(path, f"{run.record.method}/{STAGE}", {"average": average})
    return pair_of(average.module, int(said[SIDE]), run.folder.resolve().name)  # type: ignore[arg-type]


def pair_of(net: OwnClipNet, side: int, name: str) -> FrozenPair:
    """The pair of a network; name: of its run."""
    reader = Words()

    def encode(caption: str, device: torch.device) -> Tensor:
        return net.read(reader([caption]).values.to(device))[0]

    return FrozenPair(f"own:{name}", digest_of(net.state_dict()), net, preparation(side), encode, net.look)
