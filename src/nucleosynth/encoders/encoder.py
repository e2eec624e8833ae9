"""An encoder turns tiles into features: NumPy in, NumPy out, whatever network is inside.

Named on the command line as in the catalog, with a file after a colon where it takes one ("resnet50:weights.pth").
"""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from nucleosynth import catalog


class Encoder(Protocol):
    """The contract of every encoder; tests/encoders holds all of them to it.

    name: what records call it, with its version; digest: of its weights; width: how many features a tile has.
    """

    name: str
    digest: str
    width: int

    def __call__(self, images: NDArray[np.uint8], /) -> NDArray[np.float32]:
        """RGB tiles (n h w 3), 0..255, to features (n, width); each tile's depend on that tile alone."""


def load(spec: str) -> Encoder:
    """The encoder of that name, from the file after the colon if there is one.

    Raises:
        UserError: an unknown name, or weights that are not there or do not fit.
    """
    name, _, where = spec.partition(":")
    encoder: Encoder = catalog.load("encoder", name)(where)
    return encoder
