"""A stage's whole state in one safetensors file: modules, moving averages, optimisers, step, time spent.

safetensors holds tensors and text alone, so nothing that is loaded can run code. Everything that is no tensor (the
optimisers' groups, step numbers) is JSON in the file's metadata. Names: "module.<name>.<parameter>",
"optimiser.<name>.<index>.<state>".
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from nucleosynth.errors import UserError

FORM = "nucleosynth checkpoint 1"


@dataclass(frozen=True)
class Moment:
    """Where training stands: steps done, seconds spent, and the share of the budget that is used (0..1)."""

    step: int = 0
    seconds: float = 0.0
    progress: float = 0.0


def save(
    path: Path,
    owner: str,
    modules: Mapping[str, nn.Module],
    optimisers: Mapping[str, Optimizer],
    moment: Moment,
    beside: Mapping[str, str] | None = None,
) -> None:
    """Write the checkpoint under a temporary name, then rename.

    owner: names the method and stage; beside: what the weights are of no use without, by name (`beside`).
    """
    tensors = {
        f"module.{name}.{key}": value for name, module in modules.items() for key, value in module.state_dict().items()
    }
    rest: dict[str, Any] = {"moment": [moment.step, moment.seconds, moment.progress], "optimisers": {}}
    for name, optimiser in optimisers.items():
        state = optimiser.state_dict()
        scalars: dict[str, Any] = {}
        for index, entries in state["state"].items():
            for key, value in entries.items():
                if isinstance(value, Tensor):
                    tensors[f"optimiser.{name}.{index}.{key}"] = value
                else:
                    scalars[f"{index}.{key}"] = value
        rest["optimisers"][name] = {"groups": state["param_groups"], "scalars": scalars}
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"_{path.name}.tmp")
    try:
        whole = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
        save_file(
            whole,
            temporary,
            {"form": FORM, "owner": owner, "rest": json.dumps(rest), "beside": json.dumps(dict(beside or {}))},
        )
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def load(
    path: Path, owner: str, modules: Mapping[str, nn.Module], optimisers: Mapping[str, Optimizer] | None = None
) -> Moment:
    """Fill modules (and optimisers, if given) from a checkpoint; return where training stood.

    Raises:
        UserError: no such file, not a checkpoint, of another owner, or of networks of other shapes.
    """
    tensors, meta = _read(path)
    if meta.get("owner") != owner:
        raise UserError(
            "a checkpoint of another method",
            expected=owner,
            got=meta.get("owner", "no owner"),
            where=str(path),
            mend="give the run folder that this method was trained in",
        )
    for name, module in modules.items():
        head = f"module.{name}."
        part = {key.removeprefix(head): value for key, value in tensors.items() if key.startswith(head)}
        try:
            module.load_state_dict(part)
        except RuntimeError as error:
            raise UserError(
                "the checkpoint does not fit the network",
                expected="weights of the run's own settings",
                got=str(error).splitlines()[-1].strip(),
                where=str(path),
            ) from error
    rest = json.loads(meta["rest"])
    for name, optimiser in (optimisers or {}).items():
        optimiser.load_state_dict(_optimiser_state(name, tensors, rest["optimisers"][name]))
    return Moment(*rest["moment"])


def beside(path: Path) -> dict[str, str]:
    """What a checkpoint was saved with beside its weights, such as the text encoder that it was trained with.

    Raises:
        UserError: as `load`.
    """
    _, meta = _read(path)
    return dict(json.loads(meta.get("beside", "{}")))


def fingerprint(path: Path) -> str:
    """The first 16 hex digits of the SHA-256 of a checkpoint's tensors, by name: two files of equal weights agree."""
    digest = sha256()
    tensors, _ = _read(path)
    for key in sorted(tensors):
        if key.startswith("module."):
            digest.update(key.encode())
            digest.update(tensors[key].contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def _optimiser_state(name: str, tensors: Mapping[str, Tensor], rest: Mapping[str, Any]) -> dict[str, Any]:
    head = f"optimiser.{name}."
    state: dict[int, dict[str, Any]] = {}
    entries = {key.removeprefix(head): value for key, value in tensors.items() if key.startswith(head)}
    for key, value in {**entries, **rest["scalars"]}.items():
        index, _, field = key.partition(".")
        state.setdefault(int(index), {})[field] = value
    return {"state": state, "param_groups": rest["groups"]}


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    if not path.is_file():
        raise UserError(
            "no checkpoint",
            expected="a trained stage",
            got="no such file",
            where=str(path),
            mend="train first with `nucleosynth fit`, or go on with --resume",
        )
    try:
        with safe_open(path, "pt") as file:
            meta = file.metadata() or {}
            if meta.get("form") != FORM:
                raise UserError(
                    "not a checkpoint of this program", expected=FORM, got=meta.get("form", "no form"), where=str(path)
                )
            return {key: file.get_tensor(key) for key in file.keys()}, meta  # noqa: SIM118
    except SafetensorError as error:
        raise UserError(
            "a broken checkpoint", expected="a whole safetensors file", got=str(error), where=str(path)
        ) from error
