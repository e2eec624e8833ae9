"""Torchvision's classifiers, with ImageNet's weights or those of any file: what comes before their last layer.

`torchvision:ARCHITECTURE[:FILE]`, with `resnet50` for torchvision:resnet50, whose 2048 features NuDiff clusters windows
by (He et al., "Deep residual learning for image recognition", CVPR 2016). The weights are looked for where torchvision
keeps them, or given as a file, safetensors or a state dict (.pth); they are downloaded only where the word "download"
stands in its place. A tile is resized to the side that torchvision crops for these weights. The last layer may be
missing in the file, or have other classes.
"""

from pathlib import Path
from typing import Any, Literal

import torchvision.models
from torch import Tensor, nn
from torchvision.models import WeightsEnum, get_model, get_model_weights, list_models
from torchvision.transforms import InterpolationMode

from nucleosynth.encoders.network import Network, Preparation, missing
from nucleosynth.encoders.weights import DOWNLOAD, digest_of, download, fill, place_of, read_weights
from nucleosynth.errors import UserError, unknown_name

OPTIONS: dict[str, dict[str, Any]] = {
    "inception_v3": {"transform_input": True, "init_weights": False},
    "googlenet": {"transform_input": True, "init_weights": False},
}
"""These two change the normalisation of what they are given, which torchvision turns on with its own weights alone."""


def load(where: str = "") -> Network:
    """The encoder of ARCHITECTURE[:FILE]; without a file the weights of torch hub's cache, "download" fetches them.

    Raises:
        UserError: an unknown architecture, a download that failed, weights that are not there, are broken, hold more
            than tensors, or do not fit the network.
    """
    architecture, _, file = where.partition(":")
    return _loaded(architecture, file, f"torchvision:{architecture}")


def load_resnet50(where: str = "") -> Network:
    """ResNet-50 with the weights of a file, or with torchvision's where torch hub keeps them.

    Raises:
        UserError: as `load`.
    """
    return _loaded("resnet50", where, "resnet50")


def _loaded(architecture: str, file: str, name: str) -> Network:
    known = list_models(module=torchvision.models)
    if architecture not in known:
        raise unknown_name("architecture of torchvision", architecture, known, "--encoder torchvision:ARCHITECTURE")
    published = list(get_model_weights(architecture))
    path = _place(file, [entry.url for entry in published], name)
    mend = f"take the file of {published[0].url}, or save network.state_dict()"
    weights = read_weights(path, mend)
    network = get_model(architecture, weights=None, **OPTIONS.get(architecture, {}))
    place, head = _head_for(network, weights, name)
    fill(network, weights, f"torchvision's {architecture}", str(path), mend)
    network.set_submodule(place, nn.Identity())
    prepare = _prepared_for(next((entry for entry in published if entry.url.endswith(path.name)), published[0]))
    return Network(name, digest_of(network.state_dict()), prepare, network, head)


def _head_for(network: nn.Module, weights: dict[str, Tensor], name: str) -> tuple[str, nn.Linear | None]:
    """Where the last layer is, which is made to have as many classes as the weights, or taken out if they have none."""
    linear = [(place, module) for place, module in network.named_modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise UserError(f"{name} has no last layer", expected="one that ends in a linear layer", got="none of its kind")
    place, head = linear[-1]
    found = weights.get(f"{place}.weight")
    if found is None:
        network.set_submodule(place, nn.Identity())
        return place, None
    if len(found) != head.out_features:
        head = nn.Linear(head.in_features, len(found), bias=head.bias is not None)
        network.set_submodule(place, head)
    return place, head


def _prepared_for(entry: WeightsEnum) -> Preparation:
    crop = entry.transforms()
    mode: Literal["bilinear", "bicubic"] = "bicubic" if crop.interpolation is InterpolationMode.BICUBIC else "bilinear"
    return Preparation(crop.crop_size[0], tuple(crop.mean), tuple(crop.std), mode)


def _place(file: str, urls: list[str], name: str) -> Path:
    """The file, the first one downloaded, or the first of these that is in torch hub's cache."""
    if file == DOWNLOAD:
        # torchvision's files end in the first digits of their hash: resnet50-0676ba61.pth
        return download(urls[0], Path(urls[0]).stem.rpartition("-")[2])
    if file:
        return Path(file).expanduser()
    paths = [place_of(url) for url in urls]
    for path in paths:
        if path.is_file():
            return path
    raise missing(
        name,
        " or ".join(str(path) for path in paths),
        "none is there",
        f"take --encoder {name}:{DOWNLOAD}, put the file of {urls[0]} there, or give its place: --encoder {name}:FILE",
    )
