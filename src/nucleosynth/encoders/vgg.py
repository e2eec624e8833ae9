"""VGG19 of torchvision (Simonyan and Zisserman, ICLR 2015): the feature maps of perceptual losses.

`imagenet` (torchvision's file in torch hub's cache), `imagenet:download`, or a FILE of its weights. Nothing is
downloaded unasked. Images are prepared as ImageNet's were; pix2pixHD's release gave it [-1, 1] as it is.
"""

from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision.models import VGG19_Weights
from torchvision.models.vgg import cfgs, make_layers

from nucleosynth.encoders.weights import DOWNLOAD, digest_of, download, fill, place_of, read_weights
from nucleosynth.errors import UserError
from nucleosynth.progress import say

IMAGENET = "imagenet"
URL = VGG19_Weights.IMAGENET1K_V1.url
MEAN, SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's RGB in [0, 1]."""
CUTS = (0, 2, 7, 12, 21, 30)
"""Layers after which maps are taken: relu1_1, relu2_1, relu3_1, relu4_1, relu5_1."""
OFF = "off"


class VGG19(nn.Module):
    """Images (b 3 h w) in [-1, 1], sides of at least 16 px -> its five maps, shallow first. Frozen."""

    mean: Tensor
    spread: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.features = make_layers(cfgs["E"], batch_norm=False)[: CUTS[-1]]
        for part in self.features:
            if isinstance(part, nn.ReLU):
                part.inplace = False
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("spread", torch.tensor(SPREAD).view(3, 1, 1), persistent=False)
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> list[Tensor]:
        """See the class."""
        x, maps = ((images + 1) / 2 - self.mean) / self.spread, []
        for start, end in pairwise(CUTS):
            x = self.features[start:end](x)
            maps.append(x)
        return maps


def load(where: str = IMAGENET) -> VGG19 | None:
    """The network of `imagenet`, `imagenet:download` or a FILE; none, and said so, where ImageNet's is not at hand.

    Raises:
        UserError: a FILE that is not there, is broken, or does not fit.
    """
    path = place(where)
    if path is None:
        say(
            f"perceptual loss: off, for VGG19's weights are not at {place_of(URL)}; put them there, or give their file "
            f"or {IMAGENET}:{DOWNLOAD} as training.perceptual_weights"
        )
        return None
    network = VGG19()
    fill(network, _used(path), "VGG19's features", str(path))
    return network


def place(where: str) -> Path | None:
    """Where the weights are, fetched if that is asked for; none where ImageNet's are not at hand.

    Raises:
        UserError: a FILE that is not there, or a download that failed.
    """
    name, _, asked = where.partition(":")
    if name != IMAGENET:
        path = Path(where).expanduser()
        if not path.is_file():
            raise UserError(
                "no weights of VGG19",
                expected=f"{IMAGENET}, {IMAGENET}:{DOWNLOAD}, or a file",
                got="no such file",
                where=str(path),
                mend="correct training.perceptual_weights, or set training.perceptual=0",
            )
        return path
    if asked == DOWNLOAD:
        # torchvision's files end in the first digits of their hash: vgg19-dcbb9e9d.pth
        return download(URL, Path(URL).stem.rpartition("-")[2])
    return place_of(URL) if place_of(URL).is_file() else None


def told(weight: float, where: str) -> str:
    """What a run's facts say: the file that a perceptual loss of that weight uses, or "off"."""
    path = place(where) if weight else None
    return OFF if path is None else path.name


def digest(weight: float, where: str) -> str:
    """Of the weights that a perceptual loss of that weight uses, whichever file they come from; "" where it is off.

    Raises:
        UserError: a file that is not there, or is broken.
    """
    path = place(where) if weight else None
    return "" if path is None else digest_of(_used(path))


def _used(path: Path) -> dict[str, Tensor]:
    """Of a file's weights those that the maps are made of."""
    with torch.device("meta"):
        names = VGG19().state_dict().keys()
    found = read_weights(path, "give the file of torchvision's VGG19")
    return {key: value for key, value in found.items() if key in names}
