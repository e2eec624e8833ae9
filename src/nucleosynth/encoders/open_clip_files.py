"""What there is of a CLIP that open_clip knows: its settings, its preparation and the file of its weights.

FOLDER (open_clip_config.json beside open_clip_model.safetensors or open_clip_pytorch_model.bin, as on the Hugging Face
hub), MODEL:FILE (a name of open_clip, a file of weights with both towers), OWNER/NAME (a model of the hub, from its
cache) or OWNER/NAME:download. Nothing else is downloaded, and nothing of what a file holds is run.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import open_clip
from open_clip.constants import (
    HF_CONFIG_NAME,
    HF_SAFE_WEIGHTS_NAME,
    HF_WEIGHTS_NAME,
    OPENAI_DATASET_MEAN,
    OPENAI_DATASET_STD,
)

from nucleosynth.encoders.hub import cached, fetched
from nucleosynth.encoders.network import Preparation
from nucleosynth.encoders.weights import DOWNLOAD
from nucleosynth.errors import UserError, unknown_name

HUB = "hf-hub:"
FILES = (HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME)


@dataclass(frozen=True)
class Model:
    """What there is to load: the model's settings as open_clip keeps them, its preparation's, and its weights."""

    name: str
    settings: dict[str, Any]
    preparation: dict[str, Any]
    weights: Path

    def prepare(self) -> Preparation:
        """How tiles come to it: mean and spread are the folder's, else CLIP's own; bicubic with averaging."""
        side = self.settings["vision_cfg"].get("image_size", 224)
        return Preparation(
            side if isinstance(side, int) else side[0],
            tuple(self.preparation.get("mean", OPENAI_DATASET_MEAN)),
            tuple(self.preparation.get("std", OPENAI_DATASET_STD)),
            "bicubic",
        )


@dataclass(frozen=True)
class Asked:
    """Who asks for files, for messages: the kind before the first colon, and what else could be taken."""

    kind: str
    otherwise: str

    def missing(self, name: str, expected: str, got: str, mend: str) -> UserError:
        """The error for files that are not where they are looked for."""
        return UserError(
            f"no weights for {self.kind}:{name}",
            expected=expected,
            got=f"{got}, and nothing is downloaded unasked",
            mend=f"{mend}; or take {self.otherwise}",
        )


def found(where: str, asked: Asked) -> Model:
    """The files of FOLDER, MODEL:FILE, OWNER/NAME or OWNER/NAME:download; those of weights are not looked into.

    Raises:
        UserError: an unknown model, files that are not there, settings that are none, or a failed download.
    """
    name = where.removeprefix(HUB)
    folder = Path(name).expanduser()
    if name and folder.is_dir():
        return _in_folder(folder, asked)
    name, _, file = name.partition(":")
    if "/" in name and file in ("", DOWNLOAD):
        if name.count("/") > 1 or name.startswith("/"):
            expected = "a folder with its files, or OWNER/NAME of the hub"
            raise asked.missing(name, expected, "no such folder", f"give a folder: {asked.kind}:FOLDER")
        return _of_hub(name, file == DOWNLOAD, asked)
    settings = open_clip.get_model_config(name) if name in open_clip.list_models() else None
    if settings is None:
        raise unknown_name("model of open_clip", name, open_clip.list_models(), f"{asked.kind}:MODEL:FILE")
    if not file:
        raise asked.missing(
            name,
            "a folder with its files, or its file after a second colon",
            "none was given",
            f"give the place of its weights: {asked.kind}:{name}:FILE",
        )
    return Model(name, settings, {}, Path(file).expanduser())


def not_made(model: Model, asked: Asked, got: str, expected: str) -> UserError:
    """The error for settings that no model can be made of."""
    return UserError(
        "not a CLIP that open_clip can make",
        expected=expected,
        got=got.splitlines()[0][:200] if got else "nothing",
        where=f"{asked.kind}:{model.name}",
    )


def _in_folder(folder: Path, asked: Asked) -> Model:
    config = folder / HF_CONFIG_NAME
    weights = next((folder / name for name in FILES if (folder / name).is_file()), None)
    if not config.is_file() or weights is None:
        raise asked.missing(
            str(folder),
            f"{HF_CONFIG_NAME} and one of {', '.join(FILES)}",
            "no such file" if weights is None else f"no {HF_CONFIG_NAME}",
            f"put them into {folder}",
        )
    return Model(folder.resolve().name, *_read_config(config), weights)


def _of_hub(name: str, download: bool, asked: Asked) -> Model:
    """A model of the hub whose files are in its cache, or fetched."""
    look = fetched if download else cached
    config = look(name, HF_CONFIG_NAME)
    weights = next((path for path in (look(name, file) for file in FILES) if path), None)
    if config is None or weights is None:
        raise asked.missing(
            name,
            f"{HF_CONFIG_NAME} and one of {', '.join(FILES)} in the hub's cache, or a folder of that name",
            "not all of them on the hub" if download else "neither is there",
            f"run `hf download {name}`, ask for it by {asked.kind}:{name}:{DOWNLOAD}, "
            f"or put the files into a folder: {asked.kind}:FOLDER",
        )
    return Model(name, *_read_config(config), weights)


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
