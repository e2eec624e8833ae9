"""Files of a model as the Hugging Face hub has them: config.json beside weights and a tokenizer.

They lie in a folder of the user's, or in the hub's cache under OWNER/NAME; nothing is fetched unless ":download" stands
behind the name. Of what they hold nothing is run: settings are JSON, weights are tensors alone (encoders/weights.py),
a tokenizer is tables.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from huggingface_hub import hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import HfHubHTTPError, RemoteEntryNotFoundError

from nucleosynth.encoders.weights import DOWNLOAD
from nucleosynth.errors import UserError

CONFIG = "config.json"
WEIGHTS = (("model.safetensors",), ("pytorch_model.bin",))
Choice = Sequence[tuple[str, ...]]
"""Files of which one group has to be there, the first that is."""


@dataclass(frozen=True)
class Model:
    """A model whose files are all there: its name in records, their folder, its settings and its weights' file."""

    name: str
    folder: Path
    config: dict[str, Any]
    weights: Path


def found(kind: str, where: str, tokenizer: Choice) -> Model:
    """The model of FOLDER, OWNER/NAME or OWNER/NAME:download; kind: the encoder's name in the catalog.

    Raises:
        UserError: files that are not there, a download that failed, or a config that is not one.
    """
    place = _place(kind, where)
    config, weights = (_first(choice, place.look) for choice in ([(CONFIG,)], WEIGHTS))
    if config is None or weights is None or _first(tokenizer, place.look) is None:
        needed = ", ".join([CONFIG, *(" or ".join(map(" and ".join, choice)) for choice in (WEIGHTS, tokenizer))])
        raise UserError(
            f"no files for {kind}:{place.called}",
            expected=f"{needed}; in a folder, or in the hub's cache",
            got=place.otherwise,
            mend=f"{place.mend}; or take the embedded default: words",
        )
    return Model(f"{kind}:{place.called}", config.parent, _read(config), weights)


class _Place(NamedTuple):
    """Where files are looked for: what the model is called, one file's path, and what to say if some are not there."""

    called: str
    look: Callable[[str], Path | None]
    otherwise: str
    mend: str


def _place(kind: str, where: str) -> _Place:
    before, _, word = where.rpartition(":")
    name = before if word == DOWNLOAD else where
    folder = Path(name).expanduser()
    if name and folder.is_dir():
        return _Place(folder.resolve().name, partial(_inside, folder), "not all of them", f"put them into {folder}")
    if name.count("/") != 1:
        got = f"{name!r}, no such folder" if name else "no name"
        return _Place(name or "OWNER/NAME", lambda _: None, got, f"give {kind}:FOLDER or {kind}:OWNER/NAME")
    if word == DOWNLOAD:
        return _Place(name, partial(fetched, name), "not all of them on the hub", f"give a folder: {kind}:FOLDER")
    mend = f"run `hf download {name}`, ask for it by {kind}:{name}:{DOWNLOAD}, or give a folder: {kind}:FOLDER"
    return _Place(name, partial(cached, name), "not all of them, and nothing is downloaded unasked", mend)


def _first(choice: Choice, look: Callable[[str], Path | None]) -> Path | None:
    """The first file of the first group that is there as a whole."""
    for group in choice:
        paths = [look(file) for file in group]
        if all(paths):
            return paths[0]
    return None


def _inside(folder: Path, file: str) -> Path | None:
    return folder / file if (folder / file).is_file() else None


def cached(name: str, file: str) -> Path | None:
    """A file of OWNER/NAME in the hub's cache; None where it is not there."""
    path = try_to_load_from_cache(name, file)
    return Path(path) if isinstance(path, str) else None


def fetched(name: str, file: str) -> Path | None:
    """A file from the cache, else from the hub; None where the hub has none of that name."""
    try:
        return cached(name, file) or Path(hf_hub_download(name, file))
    except RemoteEntryNotFoundError:
        return None
    except (HfHubHTTPError, OSError, RuntimeError, ValueError) as error:
        raise UserError(
            "the download failed",
            expected=f"{file} of {name} on the Hugging Face hub",
            got=(str(error).splitlines() or [type(error).__name__])[0][:200],
            mend="check the name and the connection, or fetch the files elsewhere and give their folder",
        ) from error


def _read(path: Path) -> dict[str, Any]:
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise not_settings(path, str(error)) from error
    if not isinstance(table, dict):
        raise not_settings(path, f"a {type(table).__name__}")
    return table


def not_settings(where: object, got: str) -> UserError:
    """The error for a config.json that is none, or that no network can be made of."""
    return UserError(
        "not the settings of such a model",
        expected=f"{CONFIG} as transformers writes it",
        got=got.splitlines()[0][:200] if got else "nothing",
        where=str(where),
    )
