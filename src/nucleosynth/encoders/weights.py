"""Files of weights: tensors by name, from safetensors or from what torch.save wrote, and nothing that could run code.

A file is read whole before any network sees it, and known by its tensors, not by its name: the same weights have the
same digest whichever kind of file they came from. Nothing is downloaded but by `download`, which is called where a
user asked for it.
"""

import pickle
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from http.client import HTTPException
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from nucleosynth.errors import UserError

BROKEN = (
    *(SafetensorError, pickle.UnpicklingError, struct.error, EOFError, RuntimeError),
    *(ValueError, LookupError, TypeError, AttributeError, AssertionError),
)
"""What the two parsers raise at a file that is not whole."""
WRAPPERS = ("state_dict", "desc", "model", "model_state_dict")
"""Names under which training programs keep the tensors beside other things; "desc" is HoVer-Net's."""
DOWNLOAD = "download"
"""In the place of a file: fetch the published weights, if torch hub's cache does not have them."""
PREFIX = "module."
"""What torch's parallel wrappers put before every name."""


def read_weights(path: Path, mend: str = "") -> dict[str, Tensor]:
    """The tensors of a file (.safetensors, else what torch.save wrote: .pth, .pt, .tar, .bin) by name, on the CPU.

    A dictionary that keeps them under one of `WRAPPERS` is opened, and "module." before every name is taken away. Of
    pickled files nothing but tensors and plain containers is loaded. mend: what the errors advise.

    Raises:
        UserError: no such file, a broken one, or one that holds anything but tensors by name.
    """
    if not path.is_file():
        raise UserError(
            "no weights", expected="a .safetensors or .pth file", got="no such file", where=str(path), mend=mend
        )
    try:
        found = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except BROKEN as error:
        raise _no_weights(path, str(error).splitlines()[0] if str(error) else type(error).__name__, mend) from error
    for name in WRAPPERS:
        if isinstance(found, dict) and isinstance(found.get(name), Mapping):
            found = found[name]
    if not (isinstance(found, Mapping) and found and all(_is_weight(key, found[key]) for key in found)):
        raise _no_weights(path, _described(found), mend)
    prefixed = all(key.startswith(PREFIX) for key in found)
    return {key.removeprefix(PREFIX) if prefixed else key: value for key, value in found.items()}


def place_of(url: str) -> Path:
    """Where torch hub's cache keeps the file of a URL, which need not be there."""
    return Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]


def download(url: str, hash_prefix: str) -> Path:
    """The file of a URL in torch hub's cache, fetched if it is not there; of what is fetched the SHA-256 is checked.

    hash_prefix: how it begins, in hex digits. A file that is there already is taken as it is. What breaks off leaves
    nothing behind.

    Raises:
        UserError: no connection, a file whose hash differs, or a folder that cannot be written.
    """
    path = place_of(url)
    if not path.is_file():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(path), hash_prefix, progress=False)
        except (OSError, RuntimeError, ValueError, HTTPException) as error:
            raise UserError(
                "the download failed",
                expected=f"{url}, with a SHA-256 that begins with {hash_prefix}",
                got=(str(error).splitlines() or [type(error).__name__])[0][:200],
                where=str(path),
                mend=f"fetch it elsewhere and put it there, or give its place instead of {DOWNLOAD!r}",
            ) from error
    return path


def fill(network: nn.Module, weights: Mapping[str, Tensor], what: str, where: str, mend: str = "") -> None:
    """Put weights into a network, which must have exactly these names and shapes.

    Raises:
        UserError: a name too many or too few, a shape that differs, or a weight that is not finite; `what` says whose
            weights were expected.
    """
    with fitting(what, where, mend):
        network.load_state_dict(dict(weights))
    for key, value in weights.items():
        if value.is_floating_point() and not value.isfinite().all():
            raise UserError(
                "weights that are not finite", expected="finite numbers", got=f"NaN or infinity in {key}", where=where
            )


@contextmanager
def fitting(what: str, where: str, mend: str = "") -> Iterator[None]:
    """Whatever loads a state dict in here says as a user's error that names and shapes do not fit.

    Raises:
        UserError: instead of torch's RuntimeError.
    """
    try:
        yield
    except RuntimeError as error:
        said = [line.strip() for line in str(error).splitlines()[1:] if line.strip()] or [str(error)]
        raise UserError(
            "the weights do not fit the network",
            expected=f"the tensors of {what}, by their names",
            got=said[0][:200],
            where=where,
            mend=mend,
        ) from error


def digest_of(tensors: Mapping[str, Tensor]) -> str:
    """The first 16 hex digits of the SHA-256 of tensors by name, whichever file and device they came from.

    Counters of seen batches (num_batches_tracked), which change no output, are left out.
    """
    digest = sha256()
    for key in sorted(tensors):
        if not key.endswith("num_batches_tracked"):
            digest.update(key.encode())
            digest.update(tensors[key].detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def _is_weight(key: Any, value: Any) -> bool:
    return isinstance(key, str) and isinstance(value, Tensor)


def _described(found: Any) -> str:
    if not isinstance(found, Mapping) or not found:
        return f"a {type(found).__name__}" + ("" if isinstance(found, Mapping) else ", no names") + " without tensors"
    key = next(key for key in found if not _is_weight(key, found[key]))
    return f"{key!r} is of type {type(found[key]).__name__}"


def _no_weights(path: Path, got: str, mend: str) -> UserError:
    return UserError(
        "not a file of weights",
        expected="tensors by name: safetensors, or a state dict that torch.save wrote; anything else could run code",
        got=got[:200],
        where=str(path),
        mend=mend or "save network.state_dict() with torch.save or safetensors",
    )
