"""The image tower of any CLIP that open_clip knows: what images have in common with captions (Radford et al., 2021).

`clip:FOLDER` (open_clip_config.json beside open_clip_model.safetensors or open_clip_pytorch_model.bin, as on the
Hugging Face hub), `clip:MODEL:FILE` (a name of open_clip, a file of weights with both towers), or `clip:OWNER/NAME`
(a model of the hub, from its cache). Nothing is downloaded. Features are the projected embedding, not normalised. A
tile is resized once, bicubic with averaging, to the model's side; mean and spread are the folder's, else CLIP's own.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import open_clip
from huggingface_hub import try_to_load_from_cache
from open_clip.constants import (
    HF_CONFIG_NAME,
    HF_SAFE_WEIGHTS_NAME,
    HF_WEIGHTS_NAME,
    OPENAI_DATASET_MEAN,
    OPENAI_DATASET_STD,
)

from nucleosynth.encoders.network import Network, Preparation, missing
from nucleosynth.encoders.weights import digest_of, fill, read_weights
from nucleosynth.errors import UserError, unknown_name

HUB = "hf-hub:"
FILES = (HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME)
TOWER = "visual."
NO_TEXT = {"context_length": 1, "vocab_size": 1, "width": 64, "heads": 1, "layers": 1}
"""A text tower as small as can be, since a model is made whole: only the image tower is kept."""


@dataclass(frozen=True)
class _Model:
    """What there is to load: the model's settings as open_clip keeps them, its preparation's, and its weights."""

    name: str
    settings: dict[str, Any]
    preparation: dict[str, Any]
    weights: Path


def load(where: str = "") -> Network:
    """The encoder of FOLDER, MODEL:FILE or OWNER/NAME.

    Raises:
        UserError: an unknown model, files that are not there, are broken, hold more than tensors, or do not fit.
    """
    model = _found(where)
    tower = _tower(model)
    weights = read_weights(model.weights)
    kept = {key.removeprefix(TOWER): value for key, value in weights.items() if key.startswith(TOWER)}
    fill(tower, kept, f"the image tower of {model.name}, after {TOWER!r}", str(model.weights))
    side = model.settings["vision_cfg"].get("image_size", 224)
    prepare = Preparation(
        side if isinstance(side, int) else side[0],
        tuple(model.preparation.get("mean", OPENAI_DATASET_MEAN)),
        tuple(model.preparation.get("std", OPENAI_DATASET_STD)),
        "bicubic",
    )
    return Network(f"clip:{model.name}", digest_of(tower.state_dict()), prepare, tower)


def _found(where: str) -> _Model:
    name = where.removeprefix(HUB)
    folder = Path(name).expanduser()
    if name and folder.is_dir():
        return _in_folder(folder)
    name, _, file = name.partition(":")
    if "/" in name and not file:
        return _cached(name)
    settings = open_clip.get_model_config(name) if name in open_clip.list_models() else None
    if settings is None:
        raise unknown_name("model of open_clip", name, open_clip.list_models(), "--encoder clip:MODEL:FILE")
    if not file:
        raise missing(
            f"clip:{name}",
            "a folder with its files, or its file after a second colon",
            "none was given",
            f"give the place of its weights: --encoder clip:{name}:FILE",
        )
    return _Model(name, settings, {}, Path(file).expanduser())


def _in_folder(folder: Path) -> _Model:
    config = folder / HF_CONFIG_NAME
    weights = next((folder / name for name in FILES if (folder / name).is_file()), None)
    if not config.is_file() or weights is None:
        raise missing(
            f"clip:{folder}",
            f"{HF_CONFIG_NAME} and one of {', '.join(FILES)}",
            "no such file" if weights is None else f"no {HF_CONFIG_NAME}",
            f"put them into {folder}",
        )
    return _Model(folder.resolve().name, *_read_config(config), weights)


def _cached(name: str) -> _Model:
    """A model of the hub whose files are in its cache."""
    places = [try_to_load_from_cache(name, file) for file in (HF_CONFIG_NAME, *FILES)]
    config, *weights = (Path(place) if isinstance(place, str) else None for place in places)
    found = next((path for path in weights if path), None)
    if config is None or found is None:
        raise missing(
            f"clip:{name}",
            f"{HF_CONFIG_NAME} and one of {', '.join(FILES)} in the hub's cache, or a folder of that name",
            "neither is there",
            f"run `hf download {name}`, or put the files into a folder: --encoder clip:FOLDER",
        )
    return _Model(name, *_read_config(config), found)


def _read_config(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    try:
        config = json.loads(path.read_text())
        settings, preparation = config["model_cfg"], config.get("preprocess_cfg", {})
        if not (settings["embed_dim"] and isinstance(settings["vision_cfg"], dict) and isinstance(preparation, dict)):
            raise TypeError("parts of another kind")
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise UserError(
            "not the settings of a CLIP",
            expected="JSON with model_cfg (embed_dim, vision_cfg) and preprocess_cfg, as open_clip writes it",
            got=f"{type(error).__name__}: {error}"[:200],
            where=str(path),
        ) from error
    return settings, preparation


def _tower(model: _Model) -> Any:
    """The image tower, its weights still random."""
    vision = {**model.settings["vision_cfg"], "timm_model_pretrained": False, "output_tokens": False}
    try:
        return open_clip.CLIP(
            model.settings["embed_dim"],
            open_clip.CLIPVisionCfg(**vision),
            open_clip.CLIPTextCfg(**NO_TEXT),
            quick_gelu=model.settings.get("quick_gelu", False),
        ).visual
    except (TypeError, ValueError, AttributeError, LookupError, RuntimeError, AssertionError, ArithmeticError) as error:
        raise UserError(
            "not a CLIP that open_clip can make",
            expected="vision_cfg with settings that it knows",
            got=str(error).splitlines()[0][:200] if str(error) else type(error).__name__,
            where=f"clip:{model.name}",
        ) from error
