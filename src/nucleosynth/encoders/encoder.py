"""An encoder turns tiles into features: NumPy in, NumPy out, whatever network is inside.

Named on the command line as in the catalog, with what it is made of after colons: "texture", "resnet50:weights.pth",
"timm:convnext_tiny:weights.safetensors", "clip:ViT-B-32:weights.safetensors", "onnx:network.onnx". The word "download"
in the place of a file fetches published weights: "inception:download", "torchvision:resnet50:download".
"""

from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from nucleosynth import catalog
from nucleosynth.errors import UserError


class Encoder(Protocol):
    """The contract of every encoder; tests/encoders holds all of them to it.

    name: what records call it, with its version; digest: of its weights; width: how many features a tile has; classes:
    how many it can tell apart, 0 if it gives features alone.
    """

    name: str
    digest: str
    width: int
    classes: int

    def __call__(self, images: NDArray[np.uint8], /) -> NDArray[np.float32]:
        """RGB tiles (n h w 3), 0..255, to features (n, width); each tile's depend on that tile alone."""


class Classifier(Encoder, Protocol):
    """An encoder that knows classes."""

    def classify(self, features: NDArray[np.float32], /) -> NDArray[np.float32]:
        """Features (n, width) that it gave, to probabilities of its classes (n, classes)."""

    def probabilities(self, images: NDArray[np.uint8], /) -> NDArray[np.float32]:
        """RGB tiles (n h w 3), 0..255, to probabilities of its classes (n, classes)."""


def load(spec: str) -> Encoder:
    """The encoder of that name, from the file after the colon if there is one.

    Raises:
        UserError: an unknown name, or weights that are not there or do not fit.
    """
    name, _, where = spec.partition(":")
    encoder: Encoder = catalog.load("encoder", name)(where)
    return encoder


def classifier(encoder: Encoder) -> Classifier:
    """The encoder, which must know classes.

    Raises:
        UserError: it knows none.
    """
    if not encoder.classes:
        raise UserError(
            f"{encoder.name} knows no classes",
            expected="an encoder with a last layer of classes, which the Inception Score is of",
            got="features alone",
            mend="take --encoder inception, or timm or torchvision with a file that has its last layer",
        )
    return cast(Classifier, encoder)
