"""Small CLIPs with random weights, of twelve blocks as QuiltNet's: SPECS[name](folder) is what to load."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip
import torch
from safetensors.torch import save_file

from drawn import drawn_sample
from made_runs import record_of
from nucleosynth.encoders.own_clip import OwnClipNet, beside
from nucleosynth.methods.clip import OwnClip
from nucleosynth.run import Run
from nucleosynth.training import checkpoint
from nucleosynth.training.checkpoint import Moment
from nucleosynth.training.ema import averaged

SETTINGS: dict[str, Any] = {
    "embed_dim": 12,
    "vision_cfg": {"image_size": 32, "layers": 12, "width": 24, "head_width": 12, "patch_size": 8},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 3},
}
MEAN, SPREAD = [0.4, 0.5, 0.6], [0.2, 0.3, 0.4]


def model(settings: dict[str, Any] = SETTINGS) -> Any:
    """Both towers, with weights so large that each block changes what it is given."""
    torch.manual_seed(0)
    vision, text = open_clip.CLIPVisionCfg(**settings["vision_cfg"]), open_clip.CLIPTextCfg(**settings["text_cfg"])
    made = open_clip.CLIP(settings["embed_dim"], vision, text).eval()
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if parameter.ndim > 1 and "embedding" not in name:
                parameter.normal_(std=0.3)
        made.token_embedding.weight.normal_()
    return made


def folder(place: Path, settings: dict[str, Any] = SETTINGS) -> Path:
    """A folder as the hub has QuiltNet."""
    place.mkdir(exist_ok=True)
    preparation = {"mean": MEAN, "std": SPREAD}
    (place / "open_clip_config.json").write_text(json.dumps({"model_cfg": settings, "preprocess_cfg": preparation}))
    save_file(model(settings).state_dict(), place / "open_clip_model.safetensors")
    return place


def own(place: Path) -> Path:
    """A run of `fit clip`, as training leaves it."""
    settings = OwnClip.presets["tiny"]
    run = Run.create(place, record_of("clip", settings, [drawn_sample()]))
    torch.manual_seed(0)
    net = OwnClipNet(settings.network)
    modules = {"net": net, "average": averaged(net, 0.9)}
    checkpoint.save(run.checkpoint("clip"), "clip/clip", modules, {}, Moment(1), beside(settings.network, 32))
    return place


SPECS: dict[str, Callable[[Path], str]] = {
    "own": lambda place: f"own:{own(place / 'run')}",
    "open_clip": lambda place: f"open_clip:{folder(place / 'small')}",
    "quiltnet": lambda place: f"quiltnet:{folder(place / 'small')}",
}
