"""A small CLIP of the data's own: what CGPN-GAN reads captions with where no weights can be fetched.

Trained on windows of the training tiles and their captions, contrastively; a tile's own caption goes first. It is no
method, for it makes no tiles: `nucleosynth fit clip` trains it in a run of its own (then "own:RUN"), and a method that
wants one of its own trains it as its stage "clip" (`train_clip`). What few and many nuclei are is learned from windows
as large as those that are told.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import ClassVar, Literal

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from nucleosynth.conditions import captions as cosyn
from nucleosynth.conditions.pathology_captions import PathologyCaptions
from nucleosynth.config import Settings
from nucleosynth.data.crops import Crops, network_image
from nucleosynth.data.windows import Cutting, prepared, windows
from nucleosynth.encoders import own_clip
from nucleosynth.encoders.clip_pair import FrozenPair
from nucleosynth.encoders.own_clip import STAGE, STRIDE, OwnClipNet, OwnClipSettings, preparation
from nucleosynth.encoders.words import Words
from nucleosynth.methods.tiles import TileSettings
from nucleosynth.run import Budget, Run
from nucleosynth.sample import Sample
from nucleosynth.seeds import generator_of, seed_of
from nucleosynth.stages.contrast import ContrastSettings, ContrastStage, Pairs
from nucleosynth.training.loop import train

Tell = Callable[[Sample, np.random.Generator], str]
"""The caption of a window; the generator is for sentences whose words are shuffled in training."""
CLIP_KEY = 2
"""Beside (seed, step): which windows a step of this stage sees, where another stage shares the run."""


class ClipParts(Settings):
    """What a small CLIP is decided by, whatever run it is trained in."""

    network: OwnClipSettings = OwnClipSettings()
    """Its two towers."""
    training: ContrastSettings = ContrastSettings(
        optimiser="adamw", learning_rate=1e-3, weight_decay=0.05, warmup=50, decay=0.5, ema=0.99
    )
    """How they are trained."""


class ClipSettings(ClipParts, TileSettings):
    """Everything that a run of `fit clip` is decided by."""

    captions: Literal["cgpn", "cosyn"] = "cgpn"
    """The sentence of tiles without a caption of their own: CGPN-GAN's, which counts, or CoSyn's."""

    @property
    def stride(self) -> int:
        """The image tower's."""
        return STRIDE


class OwnClip:
    """What `nucleosynth fit clip` trains."""

    name: ClassVar[str] = "clip"
    presets: ClassVar[Mapping[str, ClipSettings]] = {
        "tiny": ClipSettings(),
        "base": ClipSettings(
            tile=256,
            mpp=0.25,
            network=OwnClipSettings(channels=256, width=256),
            training=ContrastSettings(
                batch=256, optimiser="adamw", learning_rate=1e-3, weight_decay=0.05, warmup=500, decay=0.5, ema=0.999
            ),
        ),
    }

    @classmethod
    def fit(cls, samples: Sequence[Sample], settings: ClipSettings, run: Run, fabric: Fabric) -> FrozenPair:
        """Train on windows of tiles within the run's budget; goes on from its checkpoint where the run says so."""
        tiles = settings.resampled(samples)
        counted = PathologyCaptions.fit(every_window(tiles, settings.tile)) if settings.captions == "cgpn" else None
        run.write_facts({"captions": counted.model_dump() if counted else None})
        return train_clip(tiles, teller(counted), settings, settings.tile, run, fabric, run.record.budget)

    @classmethod
    def tell(cls, run: Run) -> Tell:
        """The captions that a run was trained on, for other windows of its size."""
        facts = run.read_facts()["captions"]
        return teller(PathologyCaptions.model_validate(facts) if facts else None)


def teller(counted: PathologyCaptions | None) -> Tell:
    """CGPN-GAN's sentences where something was counted, else CoSyn's, shuffled."""
    return (lambda window, _: counted.of_sample(window)) if counted else cosyn.of_sample


def train_clip(
    tiles: Sequence[Sample],
    tell: Tell,
    settings: ClipParts,
    side: int,
    run: Run,
    fabric: Fabric,
    budget: Budget,
) -> FrozenPair:
    """The small CLIP of windows of side^2 px, as the stage "clip" of a run; trained, or gone on with if it resumes.

    tiles: at the resolution to train at; budget: of this stage.
    """
    seed = run.record.seed
    torch.manual_seed(seed_of(seed, CLIP_KEY))
    stage = ContrastStage(STAGE, OwnClipNet(settings.network), settings.training, _Prepared(side))
    batch = partial(_batch, Crops(tiles, side), tell, Words(), seed, settings.training.batch)
    train(stage, batch, budget=budget, run=run, fabric=fabric, beside=own_clip.beside(settings.network, side))
    return own_clip.of_run(run).to(fabric.device)


def every_window(tiles: Sequence[Sample], side: int) -> Iterator[Sample]:
    """Windows of side^2 px, next to each other, of tiles that are at hand; smaller tiles are mirrored."""
    cutting = Cutting(side, side, mirror=True)
    return (window.sample for tile in tiles for window in windows(prepared(tile, cutting), cutting))


class _Prepared(nn.Module):
    """Images (b 3 h w) in [-1, 1] as the image tower takes them."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self._prepare = preparation(side)

    def forward(self, images: Tensor) -> Tensor:
        return self._prepare((images + 1) * 127.5)


def _batch(crops: Crops, tell: Tell, reader: Words, seed: int, count: int, step: int) -> Pairs:
    """The windows of a step with their captions, by (seed, step)."""
    generator = generator_of(seed, step, CLIP_KEY)
    drawn = [crops.draw(generator) for _ in range(count)]
    said = [tell(window, generator) for window in drawn]
    numbers = {caption: k for k, caption in enumerate(dict.fromkeys(said))}
    images = np.stack([network_image(window.image) for window in drawn])
    return Pairs(torch.from_numpy(images), reader(said).values, torch.tensor([numbers[caption] for caption in said]))
