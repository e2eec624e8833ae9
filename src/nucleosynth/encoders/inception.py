"""Inception-v3 as FID and Inception Score are published: torch-fidelity's port of the TensorFlow network of 2015.

Szegedy et al., "Rethinking the Inception architecture", CVPR 2016; Heusel et al., NeurIPS 2017. Features are the 2048
of the last pooling; classes are its 1008 outputs without their biases, as every implementation takes them since the
first. Tiles are resized to 299 px as TensorFlow 1 did, without averaging, by torch-fidelity's own code. Numbers are
called FID, KID and IS with the published file alone: any other weights make "FD-inception(DIGEST)".
"""

from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nucleosynth.encoders.network import Network, missing
from nucleosynth.encoders.weights import DOWNLOAD, digest_of, download, fitting, place_of, read_weights

FILE = "weights-inception-2015-12-05-6726825d.pth"
URL = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{FILE}"
PUBLISHED = "6726825d"
"""How the SHA-256 of the published file begins, as its name says."""
MEND = f"take --encoder inception:{DOWNLOAD}, put the file of {URL} there, or give its place: --encoder inception:FILE"


def load(where: str = "") -> Network:
    """The encoder with the weights of a file, or with the published ones where torch hub keeps them.

    "download" in the place of the file fetches them there first.

    Raises:
        UserError: no such file, a download that failed, a file that is broken, holds more than tensors, or does not fit
            the network.
    """
    path = Path(where).expanduser() if where not in ("", DOWNLOAD) else place_of(URL)
    if where == DOWNLOAD:
        download(URL, PUBLISHED)
    if not where and not path.is_file():
        raise missing("inception", str(path), "it is not there", MEND)
    weights = read_weights(path, MEND)
    network = _network(weights, str(path))
    digest = digest_of(weights)
    published = sha256(path.read_bytes()).hexdigest().startswith(PUBLISHED)
    name = "inception" if published else f"inception({digest})"
    return Network(name, digest, lambda tiles: tiles, _Pooled(network), _Unbiased(network.fc.weight))


def _network(weights: dict[str, Tensor], where: str) -> Any:
    """torch-fidelity's network. It loads a file in a way that could run code: it is given the tensors, saved anew."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    saved = BytesIO()
    torch.save(weights, saved)
    saved.seek(0)
    with fitting("torch-fidelity's Inception-v3", where, MEND):
        return FeatureExtractorInceptionV3("inception", ["2048"], saved)


class _Pooled(nn.Module):
    """The network's only output of a tuple of one."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, tiles: Tensor) -> Tensor:
        features: Tensor = self.network(tiles)[0]
        return features


class _Unbiased(nn.Module):
    """The last layer without its biases."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", weight.detach().clone())

    def forward(self, features: Tensor) -> Tensor:
        return features @ self.get_buffer("weight").T
