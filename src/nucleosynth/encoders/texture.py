"""A fixed descriptor of H&E tiles, without weights: the embedded default where a pretrained network is not at hand.

The amounts of haematoxylin and eosin (data/stain.py, reference stain) tell glass, stroma and crowds of nuclei apart;
the energy of their differences over octaves and the autocorrelation of haematoxylin tell how fine and how regular the
tissue is; a coarse grid tells where it lies. Each feature is brought to mean 0 and spread 1, about, by fixed constants,
so that no data set moves another's features. A change of anything here is a new name: "texture-2".
"""

from collections.abc import Sequence
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from nucleosynth.data.stain import REFERENCE
from nucleosynth.errors import UserError

SIDE = 256
"""px: tiles of other sizes are resized first."""
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
OCTAVES = 5
LAGS = (1, 2, 4, 8, 16)
"""Of the autocorrelation, in px of the tile at half its size."""
GRID = 3
Number = TypeVar("Number", np.uint8, np.float32)
Floats = NDArray[np.floating[Any]]
Amount = NDArray[np.float32]
"""(h w) of haematoxylin or of eosin."""


class Texture:
    """The descriptor as an encoder."""

    name = "texture-1"
    digest = "embedded, no weights"
    classes = 0
    width = 2 * (2 + len(QUANTILES)) + 1 + 2 * OCTAVES + len(LAGS) + 2 * GRID**2

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """RGB tiles (n h w 3), 0..255, to features (n, 48)."""
        features = np.empty((len(images), self.width), np.float32)
        for row, image in zip(features, images, strict=True):
            row[:] = (describe(image) - MEAN) / SPREAD
        return features


def load(where: str = "") -> Texture:
    """The encoder.

    Raises:
        UserError: a file of weights is given; there are none.
    """
    if where:
        raise UserError("texture has no weights", expected="--encoder texture", got=f"texture:{where}")
    return Texture()


def describe(image: NDArray[np.uint8]) -> Floats:
    """The features (48,) of an RGB tile (h w 3), in their own units."""
    if image.shape[:2] != (SIDE, SIDE):
        shrinks = image.shape[0] > SIDE
        image = _resized(image, SIDE, cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    amounts = cv2.transform(cv2.LUT(image, _DENSITY), _UNMIXING)
    stains = [np.asarray(amount, np.float32) for amount in cv2.split(amounts)]
    half = [_resized(amount, SIDE // 2) for amount in stains]
    energies, layout = [_energies(amount) for amount in stains], [_layout(amount) for amount in half]
    return np.concatenate([_spread(half), *energies, _autocorrelation(half[0]), *layout])


# A table from grey level to optical density, and the inverse of the stains' mixing.
_LEVELS = np.maximum(np.arange(256), 1)[None, :, None]
_DENSITY = -np.log10(_LEVELS / REFERENCE.white).astype(np.float32)
_UNMIXING = np.linalg.pinv(REFERENCE.absorbance).T.astype(np.float32)


def _resized(array: NDArray[Number], side: int, interpolation: int = cv2.INTER_AREA) -> NDArray[Number]:
    return np.asarray(cv2.resize(array, (side, side), interpolation=interpolation), array.dtype)


def _spread(stains: Sequence[Amount]) -> Floats:
    """Mean, standard deviation and quantiles of each stain, and the correlation of both."""
    found, centred = [], []
    for amount in stains:
        sample = np.sort(amount[::2, ::2], axis=None)
        found += [amount.mean(), amount.std(), *sample[[int(share * len(sample)) for share in QUANTILES]]]
        centred.append(amount - amount.mean())
    together = (centred[0] * centred[1]).mean() / (stains[0].std() * stains[1].std() + 1e-6)
    return np.array([*found, together])


def _energies(amount: Amount) -> Floats:
    """Logarithm of the root mean square difference of neighbouring pixels, by octave."""
    found = []
    for _ in range(OCTAVES):
        down = cv2.norm(amount[1:], amount[:-1], cv2.NORM_L2SQR)
        across = cv2.norm(amount[:, 1:], amount[:, :-1], cv2.NORM_L2SQR)
        found.append(np.log(np.sqrt((down + across) / amount.size) + 1e-2))
        amount = np.asarray(cv2.pyrDown(amount), np.float32)
    return np.array(found)


def _autocorrelation(amount: Amount) -> Floats:
    """Mean of both directions, at each lag."""
    amount = amount - amount.mean()
    down = np.array([(amount[lag:] * amount[:-lag]).mean() for lag in LAGS])
    across = np.array([(amount[:, lag:] * amount[:, :-lag]).mean() for lag in LAGS])
    return np.asarray((down + across) / 2 / (amount.var() + 1e-6))


def _layout(amount: Amount) -> Floats:
    """A coarse grid less its mean: where in the tile the stain is."""
    coarse = _resized(amount, GRID)
    return np.asarray((coarse - coarse.mean()).ravel())


_CONSTANTS = (
    ((0.17, 0.17, 0, 0.05, 0.1, 0.25, 0.5), (0.1, 0.08, 0.03, 0.05, 0.1, 0.15, 0.25)),
    ((0.13, 0.07, 0.03, 0.08, 0.13, 0.18, 0.27), (0.08, 0.04, 0.05, 0.06, 0.08, 0.1, 0.13)),
    ((0.3,), (0.25,)),
    ((-2.3,) * OCTAVES, (0.4,) * OCTAVES),
    ((-3.1,) * OCTAVES, (0.4,) * OCTAVES),
    ((0.8, 0.55, 0.3, 0.15, 0.05), (0.1, 0.15, 0.12, 0.1, 0.07)),
    ((0.0,) * GRID**2, (0.12,) * GRID**2),
    ((0.0,) * GRID**2, (0.08,) * GRID**2),
)
"""Mean and spread of each block of features, rounded from drawn tissue and from H&E of two releases. The grids' spread
is twice what it is there, so that their many features do not outweigh the others."""
MEAN, SPREAD = (np.concatenate([block[k] for block in _CONSTANTS]) for k in range(2))
