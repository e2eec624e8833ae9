"""A network in an ONNX file: `onnx:FILE`, with how tiles come to it in FILE.json (the extra `onnx`).

The network takes one input (n, 3, h, w) of float32 and its first output is (n, d). What an ONNX file cannot say stands
beside it, in network.onnx.json: {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "side": 224}, mean and
std of RGB in [0, 1] (0 and 1 leave it as it is, 0 and 1/255 make 0..255 of it); side may be left out where the file
fixes it. The whole tile is resized, bilinear with averaging. What was exported for batches of one size gets such.
"""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nucleosynth.encoders.network import BATCH, Preparation, finite, missing
from nucleosynth.errors import UserError

SUFFIX = ".json"


class Onnx:
    """The network of a file."""

    classes = 0

    def __init__(self, path: Path) -> None:
        """path: the file, its settings beside it.

        Raises:
            UserError: broken files, or a network of other inputs or outputs.
        """
        self._path = path
        self.name = f"onnx:{path.stem}"
        self.digest = sha256(path.read_bytes()).hexdigest()[:16]
        self._session = _session(path)
        inputs = self._session.get_inputs()
        self._input, shape = inputs[0].name, inputs[0].shape
        if len(inputs) != 1 or len(shape) != 4 or shape[1] not in (3, None) or inputs[0].type != "tensor(float)":
            raise _unfit(path, ", ".join(f"{each.type} {each.shape}" for each in inputs))
        self._batch = shape[0] if isinstance(shape[0], int) else None
        self._prepare = _preparation(path, shape[2:])
        tried = self._run(np.full((1, 64, 64, 3), 128, np.uint8))
        self.width = tried.shape[1]

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """RGB tiles (n h w 3), 0..255, to features (n, width).

        Raises:
            UserError: a feature is not finite.
        """
        step = self._batch or BATCH
        parts = [self._run(images[start : start + step]) for start in range(0, len(images), step)]
        return np.concatenate(parts) if parts else np.empty((0, self.width), np.float32)

    def _run(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        tiles = torch.tensor(images).movedim(-1, 1)
        given = self._prepare(tiles).numpy()
        if self._batch:
            given = np.concatenate([given, np.repeat(given[-1:], self._batch - len(given), axis=0)])
        try:
            found = np.asarray(self._session.run(None, {self._input: given})[0])
        except _broken() as error:
            raise _unfit(self._path, str(error).splitlines()[0]) from error
        if found.ndim != 2 or len(found) != len(given) or found.dtype != np.float32:
            raise _unfit(self._path, f"an output {found.dtype} {found.shape} for {given.shape}")
        return finite(found[: len(images)], self.name)


def load(where: str = "") -> Onnx:
    """The encoder of FILE.

    Raises:
        UserError: onnxruntime or a file is not there, a file is broken, or the network has other inputs or outputs.
    """
    path = Path(where).expanduser()
    for needed in (path, Path(f"{path}{SUFFIX}")):
        if not needed.is_file():
            raise missing(
                f"onnx:{where or 'FILE'}",
                f"a network in FILE, and how tiles come to it in FILE{SUFFIX}",
                f"no such file: {needed}" if where else "none was given",
                'write {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "side": 224} into FILE.json',
            )
    return Onnx(path)


def _session(path: Path) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise UserError(
            "onnxruntime is not installed",
            expected="the extra `onnx`",
            got=str(error),
            mend="pip install 'nucleosynth[onnx]'",
        ) from error
    on = [each for each in ("CUDAExecutionProvider",) if each in onnxruntime.get_available_providers()]
    try:
        return onnxruntime.InferenceSession(str(path), providers=[*on, "CPUExecutionProvider"])
    except _broken() as error:
        raise UserError(
            "not a network that onnxruntime can run",
            expected="an ONNX file",
            got=str(error).splitlines()[0][:200],
            where=str(path),
        ) from error


def _broken() -> tuple[type[Exception], ...]:
    """What onnxruntime raises at a file or an input that it cannot use."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    names = ("Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "NoSuchFile", "NotImplemented")
    return (*(getattr(state, name) for name in (*names, "RuntimeException")), RuntimeError, ValueError)


def _preparation(path: Path, fixed: list[Any]) -> Preparation:
    """What FILE.json says, with the side that the network fixes, if it does."""
    beside = Path(f"{path}{SUFFIX}")
    sides = {side for side in fixed if isinstance(side, int)}
    try:
        said = json.loads(beside.read_text())
        mean, spread = (tuple(float(value) for value in said[key]) for key in ("mean", "std"))
        asked = {int(said["side"])} if "side" in said else set()
        if len(mean) != 3 or len(spread) != 3 or not all(spread) or set(said) - {"mean", "std", "side"}:
            raise ValueError("three numbers each, std not 0, and no other key")
        if len(sides | asked) != 1 or min(sides | asked) < 1:
            raise ValueError(f"side {sorted(asked)} where the network has {fixed}")
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise UserError(
            "how tiles come to the network is not said",
            expected='{"mean": [r, g, b], "std": [r, g, b], "side": px}',
            got=f"{type(error).__name__}: {error}"[:200],
            where=str(beside),
        ) from error
    return Preparation((sides | asked).pop(), mean, spread)


def _unfit(path: Path, got: str) -> UserError:
    return UserError(
        "not a network of features",
        expected="one input, float32 (n, 3, h, w), and a first output, float32 (n, d)",
        got=got[:200],
        where=str(path),
    )
