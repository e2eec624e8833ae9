"""Any architecture of timm with the weights of a file: `timm:ARCHITECTURE:FILE`, safetensors or a state dict (.pth).

Features are what comes before the classifier, which the file may lack or have for other classes (Wightman, PyTorch
Image Models, 2019). A tile is resized to the side, by the interpolation and with the mean and spread that timm states
for the architecture, tag and all: other weights may want another tag ("vit_base_patch16_224.augreg_in1k").
"""

from pathlib import Path
from typing import Any, Literal

import timm
from timm.data.config import resolve_data_config
from torch import Tensor, nn

from nucleosynth.encoders.network import Network, Preparation, missing
from nucleosynth.encoders.weights import digest_of, fill, read_weights
from nucleosynth.errors import UserError, unknown_name


def load(where: str = "") -> Network:
    """The encoder of ARCHITECTURE:FILE.

    Raises:
        UserError: an unknown architecture, no file, one that is broken, holds more than tensors, or does not fit.
    """
    architecture, _, file = where.partition(":")
    name = f"timm:{architecture}"
    if not timm.is_model(architecture):
        raise unknown_name("architecture of timm", architecture, timm.list_models(), "--encoder timm:ARCHITECTURE:FILE")
    mend = f"save the model's state_dict() and give its place: --encoder {name}:FILE"
    if not file:
        raise missing(name, "a .safetensors or .pth file after a second colon", "none was given", mend)
    path = Path(file).expanduser()
    weights = read_weights(path, mend)
    network, head = _network(architecture, weights)
    fill(network, weights, f"timm's {architecture}", str(path), mend)
    if head is not None:
        network.reset_classifier(0)
    return Network(name, digest_of(network.state_dict()), _preparation(network), network, head)


def _network(architecture: str, weights: dict[str, Tensor]) -> tuple[Any, nn.Linear | None]:
    """The network with as many classes as the weights have, and its last layer; without one where they have none."""
    network: Any = timm.create_model(architecture, pretrained=False)
    place = network.pretrained_cfg.get("classifier")
    found = weights.get(f"{place}.weight") if isinstance(place, str) else None
    if found is None or found.ndim != 2:
        return timm.create_model(architecture, pretrained=False, num_classes=0), None
    network = timm.create_model(architecture, pretrained=False, num_classes=len(found))
    head = network.get_classifier()
    return network, head if isinstance(head, nn.Linear) else None


def _preparation(network: Any) -> Preparation:
    wanted = resolve_data_config({}, model=network)  # type: ignore[no-untyped-call]
    channels, side, width = wanted["input_size"]
    if channels != 3 or side != width:
        raise UserError(
            "not a network of RGB tiles", expected="3 channels, a square", got=str(wanted["input_size"]), where="timm"
        )
    mode: Literal["bilinear", "bicubic"] = "bicubic" if wanted["interpolation"] == "bicubic" else "bilinear"
    return Preparation(side, tuple(wanted["mean"]), tuple(wanted["std"]), mode)
