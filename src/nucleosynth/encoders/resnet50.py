"""ResNet-50 trained on ImageNet: the 2048 features after its last pooling, which NuDiff clusters windows by.

He et al., "Deep residual learning for image recognition", CVPR 2016. Nothing is downloaded: the weights are looked for
where torchvision keeps them, or given as a file, safetensors or a state dict (.pth); of a .pth nothing but tensors is
loaded, so that it can run no code. A tile is resized to 224 px, averaging where it shrinks.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import ResNet50_Weights, resnet50

from nucleosynth.encoders.weights import digest_of, fill, read_weights
from nucleosynth.errors import UserError
from nucleosynth.training.device import fabric_for

SIDE = 224
BATCH = 32
MEAN = (0.485, 0.456, 0.406)
SPREAD = (0.229, 0.224, 0.225)
"""Of ImageNet's RGB, in [0, 1]: what the weights were trained with."""
URLS = (ResNet50_Weights.IMAGENET1K_V1.url, ResNet50_Weights.IMAGENET1K_V2.url)
"""Where torchvision's weights come from: those of the paper's recipe, which are preferred, and a later training."""
MEND = f"take the file of {URLS[0]}, or save network.state_dict()"


class ResNet50:
    """The network without its last layer, and the digest of the weights that it was given."""

    name = "resnet50"
    width = 2048

    def __init__(self, weights: Mapping[str, Tensor], where: str, device: str = "auto") -> None:
        """weights: those of torchvision's resnet50, by its names; the classifier's ("fc.") may be missing."""
        network = resnet50(weights=None)
        network.fc = nn.Identity()
        kept = {key: value for key, value in weights.items() if not key.startswith("fc.")}
        fill(network, kept, "torchvision's resnet50", where, MEND)
        self.digest = digest_of(network.state_dict())
        self._device = fabric_for(device, "32-true").device
        self._network = network.eval().to(self._device)

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """RGB tiles (n h w 3), 0..255, to features (n, 2048)."""
        parts = [self._features(images[start : start + BATCH]) for start in range(0, len(images), BATCH)]
        return np.concatenate(parts) if parts else np.empty((0, self.width), np.float32)

    @torch.inference_mode()
    def _features(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        tiles = torch.from_numpy(np.ascontiguousarray(images)).to(self._device).movedim(-1, 1).float() / 255
        tiles = functional.interpolate(tiles, (SIDE, SIDE), mode="bilinear", antialias=True)
        mean, spread = (tiles.new_tensor(values)[:, None, None] for values in (MEAN, SPREAD))
        features: NDArray[np.float32] = self._network((tiles - mean) / spread).cpu().numpy()
        return features


def load(where: str = "") -> ResNet50:
    """The encoder with the weights of a file, or with torchvision's where torch hub keeps them.

    Raises:
        UserError: no such file, one that is broken, holds more than tensors, or does not fit the network.
    """
    path = Path(where) if where else _cached()
    return ResNet50(read_weights(path, MEND), str(path))


def _cached() -> Path:
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    paths: list[Path] = [folder / url.rpartition("/")[2] for url in URLS]
    for path in paths:
        if path.is_file():
            return path
    raise UserError(
        "no weights for resnet50",
        expected=" or ".join(str(path) for path in paths),
        got="neither is there, and nothing is downloaded unasked",
        mend=f"put the file of {URLS[0]} there, or give its place: --encoder resnet50:FILE; or take --encoder texture",
    )
