"""CGPN-GAN's settings and presets, and what a sentence costs."""

from pathlib import Path
from typing import Any

import open_clip
import torch
from pydantic import Field
from torch import nn

from nucleosynth.encoders import clip_pair
from nucleosynth.encoders.clip_pair import ClipPair
from nucleosynth.encoders.open_clip_files import found
from nucleosynth.encoders.open_clip_pair import ASKED
from nucleosynth.encoders.own_clip import SETTINGS, STAGE, OwnClipNet, OwnClipSettings
from nucleosynth.encoders.words import LENGTH
from nucleosynth.methods.clip import ClipParts
from nucleosynth.methods.game_painter import GamePainterSettings
from nucleosynth.nets.cgpn import NARROW, PAPER
from nucleosynth.nets.count import StageCost
from nucleosynth.nets.patchgan import CriticSettings
from nucleosynth.run import Run
from nucleosynth.stages.cgpn import CGPNParts, CGPNTraining
from nucleosynth.stages.contrast import ContrastSettings
from nucleosynth.training import checkpoint

OWN, QUILTNET = "own", "quiltnet"
QUILTNET_MODEL = "ViT-B-32"
"""What open_clip calls it."""


class CGPNGANSettings(CGPNParts, GamePainterSettings):
    """Everything that a run of CGPN-GAN is decided by."""

    clip: str = OWN
    """The CLIP: own = a small one, trained first; or quiltnet, open_clip:FOLDER, own:RUN (encoders.clip_pair)."""
    clip_share: float = Field(0.2, gt=0, lt=1)
    """Share of the budget that trains the own CLIP."""
    own: ClipParts = ClipParts()
    """The own CLIP."""

    @property
    def stride(self) -> int:
        """The generator's, of which the own CLIP's is a divisor."""
        return self.network.stride

    def check_files(self) -> None:
        """Refuse a CLIP or a VGG19 whose files are not there, are broken, or do not fit.

        Raises:
            UserError: see above.
        """
        super().check_files()
        self.given()

    def given(self) -> ClipPair | None:
        """The CLIP, if it is not trained in the run.

        Raises:
            UserError: its files are not there, are broken, or do not fit.
        """
        return None if self.clip == OWN else clip_pair.load(self.clip)


PUBLISHED = {"tile": 256, "mpp": 0.25, "clip": QUILTNET, "training": CGPNTraining(ema=0.999)}
PRESETS = {
    "tiny": CGPNGANSettings(
        critic=CriticSettings(width=32, layers=2, spectral=True),
        training=CGPNTraining(
            batch=8,
            generator_rate=5e-4,
            critic_rate=5e-4,
            decay=0.4,
            feature_matching=10.0,
            diversity=1.0,
            hidden=64,
            joint=32,
        ),
    ),
    "base": CGPNGANSettings(
        tile=256,
        mpp=0.25,
        own=ClipParts(
            network=OwnClipSettings(channels=256, width=256),
            training=ContrastSettings(
                batch=256, optimiser="adamw", learning_rate=1e-3, weight_decay=0.05, warmup=500, decay=0.5, ema=0.999
            ),
        ),
        network=NARROW,
        training=CGPNTraining(feature_matching=10.0, diversity=1.0, ema=0.999),
    ),
    "paper": CGPNGANSettings.model_validate(PUBLISHED | {"network": PAPER}),
    "narrow": CGPNGANSettings.model_validate(PUBLISHED | {"network": NARROW}),
}


def sentence_cost(settings: CGPNGANSettings, name: str) -> tuple[StageCost, int]:
    """What one sentence costs in CLIP's text tower, counted on shapes, and how many numbers tell it.

    Raises:
        UserError: files of a given CLIP that are not there; quiltnet is counted without.
    """
    kind, _, where = settings.clip.partition(":")
    if kind == OWN:
        return _own_cost(_own_sizes(where) if where else settings.own.network, name)
    return _open_clip_cost(
        open_clip.get_model_config(QUILTNET_MODEL) if kind == QUILTNET else found(where, ASKED).settings, name
    )


def _own_sizes(where: str) -> OwnClipSettings:
    said = checkpoint.beside(Run.open(Path(where).expanduser()).checkpoint(STAGE))
    return OwnClipSettings.model_validate_json(said[SETTINGS])


def _own_cost(sizes: OwnClipSettings, name: str) -> tuple[StageCost, int]:
    with torch.device("meta"):
        net, ids = OwnClipNet(sizes), torch.zeros(1, LENGTH, dtype=torch.int64)
    tower = nn.ModuleList([net.words, net.text_head])
    return StageCost.of(name, tower, lambda: net.read(ids), evaluations=1), sizes.width


def _open_clip_cost(settings: dict[str, Any], name: str) -> tuple[StageCost, int]:
    with torch.device("meta"):
        net: Any = open_clip.CLIP(
            settings["embed_dim"],
            open_clip.CLIPVisionCfg(**settings["vision_cfg"]),
            open_clip.CLIPTextCfg(**settings["text_cfg"]),
        ).eval()
        ids = torch.zeros(1, net.context_length, dtype=torch.int64)
    tower = nn.ParameterList(part for key, part in net.named_parameters() if not key.startswith(("visual.", "logit")))
    return StageCost.of(name, tower, lambda: net.encode_text(ids), evaluations=1), settings["embed_dim"]
