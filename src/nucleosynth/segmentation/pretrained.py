"""What a judge's training starts from: released weights, an encoder trained on ImageNet, another judge.

A file is known by its names. HoVer-Net's own (the whole network, or the authors' pre-activation ResNet50 encoder) and
those of another judge go where they name. torchvision's ResNets are post-activation networks, of which only a part has
a place in a pre-activation one:

- convolutions go to their counterparts. The stem's keeps its kernel at stride 1; ImageNet's standardisation of colours
  is folded into it and into the running mean after it, exactly.
- BatchNorms between two convolutions of a unit have the same place in both and are taken over.
- the BatchNorm that ends a unit (and that of a shortcut) comes before the sum there and after it here. Its scale is
  folded into the convolution before it, so that each unit adds as much as it was trained to; its shift is dropped, for
  the next BatchNorm takes means away.
- BatchNorms of sums ("preact", "blk_bna") normalise what a post-activation network never has: they start fresh, and
  find their statistics in the first steps, also while the encoder is frozen.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models import ResNet34_Weights, ResNet50_Weights

from nucleosynth.encoders.weights import DOWNLOAD, digest_of, download, fill, place_of, read_weights
from nucleosynth.errors import UserError

NONE, IMAGENET = "none", "imagenet"
URLS = {
    "bottleneck": tuple(each.url for each in (ResNet50_Weights.IMAGENET1K_V1, ResNet50_Weights.IMAGENET1K_V2)),
    "basic": (ResNet34_Weights.IMAGENET1K_V1.url,),
}
"""Where torchvision's weights come from, by the units of the network; the first that is there is taken."""
MEAN, SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's RGB, in [0, 1]: what torchvision's weights were trained with."""
ENCODER = ("conv0.", "d0.", "d1.", "d2.", "d3.")
TYPES = "decoder.tp.u0.conv."
"""The last layer of the released type decoder: one output for the background and each class."""
TYPE_DECODERS = {"decoder.tp.": TYPES, "decoders.2.": "decoders.2.head.0."}
"""The type decoders of the published and of the compact network, and their last layers."""
JUDGE = "module.network."
"""What stands before the names in a judge's checkpoint."""
EPSILON = 1e-5
"""Of torchvision's BatchNorms."""
SHOWN = 5


def start(network: nn.Module, spec: str, units: str) -> dict[str, Any]:
    """Fill a network from what `spec` names: a file, or "imagenet" for torchvision's of the kind of `units`.

    A type decoder that either side lacks, or its last layer where there are other types, starts fresh or is left.
    Returns what the run's record says: `file`, `digest` of its tensors, `kind`, how many tensors were `loaded`, and the
    names that were `left` in the file and that stayed `fresh` in the network (counters of batches apart).

    Raises:
        UserError: no such file, a broken one, or one whose names or shapes do not fit the network.
    """
    taken, facts = choose(network, spec, units)
    fill(network, {**network.state_dict(), **taken}, "the judge's network", facts["file"])
    return facts


def choose(network: nn.Module, spec: str, units: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What `start` would fill a network with, and what it would return; the network may be one of shapes alone.

    Raises:
        UserError: as `start`.
    """
    name, _, asked = spec.partition(":")
    path = _imagenet(units, asked) if name == IMAGENET else Path(spec).expanduser()
    found = read_weights(path, "give --weights a file, or none")
    kind, weights = _named_as_here(found, units, path)
    state = network.state_dict()
    optional = _other_types(state, weights) if kind in ("released", "judge") else ()
    taken = {key: value for key, value in weights.items() if key in state and not key.startswith(optional)}
    fresh = _fresh(state, taken)
    wanted = {"encoder": ENCODER, "released": ("",), "judge": ("",), "torchvision": ENCODER}[kind]
    lacking = [
        key for key in fresh if key.startswith(wanted) and not key.startswith(optional) and _must_be_there(kind, key)
    ]
    unknown = sorted(key for key in weights if key not in state and not key.startswith(optional))
    if lacking or (kind in ("released", "judge") and unknown):
        raise _do_not_fit(lacking, unknown, path)
    for key, value in taken.items():
        if value.shape != state[key].shape:
            raise _other_shape(key, state[key], value, path)
    facts = {
        "file": str(path),
        "digest": digest_of(found),
        "kind": kind,
        "loaded": len(taken),
        "left": sorted(set(weights) - set(taken)),
        "fresh": fresh,
    }
    return taken, facts


def released(path: Path) -> tuple[dict[str, Tensor], int, bool]:
    """The tensors of a released HoVer-Net, how many classes it tells apart (0: none), and whether its mode is original.

    Raises:
        UserError: no such file, a broken one, or not a HoVer-Net's.
    """
    weights = _without_constants(read_weights(path))
    kernel = weights.get("decoder.np.u3.conva.weight")
    if kernel is None or kernel.ndim != 4:
        raise UserError(
            "not the weights of a HoVer-Net",
            expected="tensors named as in the released code (decoder.np.u3.conva.weight, ...)",
            got=", ".join(sorted(weights)[:SHOWN]),
            where=str(path),
            mend="give a released checkpoint, or the folder of a run of `nucleosynth segment fit`",
        )
    types = weights.get(TYPES + "weight")
    return weights, 0 if types is None else len(types) - 1, kernel.shape[-1] == 5


def _named_as_here(found: Mapping[str, Tensor], units: str, path: Path) -> tuple[str, dict[str, Tensor]]:
    """The kind of a file, and its tensors by the names of our networks."""
    if any(key.startswith(JUDGE) for key in found):
        return "judge", {key.removeprefix(JUDGE): value for key, value in found.items() if key.startswith(JUDGE)}
    if any(key.startswith("decoder.") for key in found):
        return "released", _without_constants(found)
    if "layer1.0.conv1.weight" in found:
        try:
            return "torchvision", dict(_from_torchvision(found, units, path))
        except KeyError as error:
            raise _do_not_fit([str(error.args[0])], sorted(found), path) from error
    if any(key.startswith("d0.") for key in found):
        return "encoder", dict(found)
    raise _do_not_fit(["d0.units.0.conv1.weight"], sorted(found), path)


def _from_torchvision(found: Mapping[str, Tensor], units: str, path: Path) -> Iterator[tuple[str, Tensor]]:
    """The tensors of a torchvision ResNet that have a place in the encoder, as the module says."""
    last = 3 if units == "bottleneck" else 2
    if ("layer1.0.conv3.weight" in found) != (last == 3):
        raise _do_not_fit([f"layer1.0.conv{last}.weight"], sorted(found), path)
    spread = torch.tensor(SPREAD)[:, None, None]
    stem = found["conv1.weight"] / spread
    yield "conv0./.weight", stem
    for name, value in _norm(found, "bn1"):
        folded = value + (stem.sum(dim=(2, 3)) * torch.tensor(MEAN)).sum(dim=1) if name == "running_mean" else value
        yield f"conv0.bn.{name}", folded
    for key in found:
        stage, _, rest = key.partition(".")
        if not stage.startswith("layer") or not key.endswith("conv1.weight"):
            continue
        depth, unit = int(stage.removeprefix("layer")) - 1, rest.partition(".")[0]
        there, here = f"{stage}.{unit}", f"d{depth}.units.{unit}"
        for k in range(1, last):
            yield f"{here}.conv{k}.weight", found[f"{there}.conv{k}.weight"]
            yield from ((f"{here}.conv{k}/bn.{name}", value) for name, value in _norm(found, f"{there}.bn{k}"))
        scaled = found[f"{there}.conv{last}.weight"] * _scale(found, f"{there}.bn{last}")
        yield f"{here}.conv{last}.weight", scaled
        if f"{there}.downsample.0.weight" in found:
            scaled = found[f"{there}.downsample.0.weight"] * _scale(found, f"{there}.downsample.1")
            yield f"d{depth}.shortcut.weight", scaled


def _norm(found: Mapping[str, Tensor], there: str) -> Iterator[tuple[str, Tensor]]:
    for name in ("weight", "bias", "running_mean", "running_var"):
        yield name, found[f"{there}.{name}"]


def _scale(found: Mapping[str, Tensor], there: str) -> Tensor:
    """What a BatchNorm multiplies by, shaped for the convolution before it."""
    return (found[f"{there}.weight"] / (found[f"{there}.running_var"] + EPSILON).sqrt())[:, None, None, None]


def _without_constants(found: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The released upsampling keeps a matrix of ones among its weights."""
    return {key: value for key, value in found.items() if key != "upsample2x.unpool_mat"}


def _other_types(state: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> tuple[str, ...]:
    """What names begin with that belong to types which only one side has."""
    other = []
    for decoder, last in TYPE_DECODERS.items():
        here, there = (any(key.startswith(decoder) for key in names) for names in (state, weights))
        if here != there:
            other.append(decoder)
        elif here and state[last + "weight"].shape != weights.get(last + "weight", state[last + "weight"]).shape:
            other.append(last)
    return tuple(other)


def _fresh(state: Mapping[str, Tensor], taken: Mapping[str, Tensor]) -> list[str]:
    return sorted(key for key in state if key not in taken and not key.endswith("num_batches_tracked"))


def _must_be_there(kind: str, key: str) -> bool:
    """An encoder's file may lack BatchNorms of sums; all else that it is for must be in it."""
    return kind in ("released", "judge") or not ("preact/bn" in key or "blk_bna" in key)


def _imagenet(units: str, asked: str) -> Path:
    """torchvision's file, where torch hub keeps it; fetched if "download" is asked for."""
    if units not in URLS or asked not in ("", DOWNLOAD):
        raise UserError(
            "no ImageNet weights for this network",
            expected="a network with residual units of ResNet50 or ResNet34, and imagenet or imagenet:download",
            got=f"network {units}, {IMAGENET}{asked and ':'}{asked}",
            where="--weights",
            mend="take preset resnet50 or resnet34, or --weights none",
        )
    if asked:
        # torchvision's files end in the first digits of their hash: resnet50-0676ba61.pth
        return download(URLS[units][0], Path(URLS[units][0]).stem.rpartition("-")[2])
    paths = [place_of(url) for url in URLS[units]]
    for path in paths:
        if path.is_file():
            return path
    raise UserError(
        "no ImageNet weights",
        expected=" or ".join(map(str, paths)),
        got="no such file, and nothing is downloaded unasked",
        where="--weights",
        mend=f"put the file of {URLS[units][0]} there, give its place, or ask for it: --weights imagenet:download",
    )


def _do_not_fit(lacking: list[str], unknown: list[str], path: Path) -> UserError:
    def some(names: list[str]) -> str:
        return ", ".join(names[:SHOWN]) + (f", ... ({len(names)})" if len(names) > SHOWN else "")

    return UserError(
        "the weights do not fit the network",
        expected=f"also {some(lacking)}" if lacking else "no other names than the network's",
        got=some(unknown) or "none of these",
        where=str(path),
        mend="take the preset and mode that the weights belong to (see `nucleosynth segment fit --help`)",
    )


def _other_shape(key: str, here: Tensor, there: Tensor, path: Path) -> UserError:
    return UserError(
        "the weights do not fit the network",
        expected=f"{key} of shape {tuple(here.shape)}",
        got=f"{tuple(there.shape)}",
        where=str(path),
        mend="take the preset and mode that the weights belong to (see `nucleosynth segment fit --help`)",
    )
