"""Light through stained tissue: Beer-Lambert mixing of haematoxylin and eosin, and its inverse.

The optical density of a pixel is a sum over stains, OD = -log10(RGB / white) = sum_s amount_s * vector_s, each vector
(OD in R, G, B) of length one (Ruifrok and Johnston, Anal Quant Cytol Histol 2001). Two laboratories' published pairs
span what H&E looks like; a slide of our own lies between them, slightly off their arc.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]

RUIFROK_JOHNSTON = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11]])
"""(stain rgb) haematoxylin and eosin of Ruifrok and Johnston 2001."""
MACENKO = np.array([[0.5626, 0.7201, 0.4062], [0.2159, 0.8012, 0.5581]])
"""(stain rgb) the reference pair of torchstain, which implements Macenko et al., ISBI 2009."""


def unit(vectors: Floats) -> Floats:
    """Rows scaled to length one."""
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))


@dataclass(frozen=True, eq=False)
class Stain:
    """How one slide is stained: vectors (2 3) haematoxylin and eosin, unit rows; strength (2,) > 0, what an amount of 1
    becomes on this slide; white (3,) RGB of the empty glass, 0..255."""

    vectors: Floats
    strength: Floats
    white: Floats

    @property
    def absorbance(self) -> Floats:
        """(stain rgb) optical density per amount of 1."""
        return np.asarray(self.vectors * self.strength[:, None])

    def mix(self, amounts: Floats) -> Floats:
        """Amounts of haematoxylin and eosin (... 2), >= 0, to RGB (... 3) in (0, white], of the amounts' precision."""
        density = amounts @ self.absorbance.astype(amounts.dtype)
        return np.asarray(self.white.astype(amounts.dtype) * np.exp(-math.log(10) * density))

    def separate(self, rgb: NDArray[Any]) -> Floats:
        """RGB (... 3), 0..255, to the amounts (... 2) that explain it best (least squares); black counts as RGB 1."""
        density = -np.log10(np.maximum(rgb, 1) / self.white)
        return np.asarray(density @ np.linalg.pinv(self.absorbance))


REFERENCE = Stain(unit(RUIFROK_JOHNSTON + MACENKO), np.ones(2), np.full(3, 244.0))
"""Midway between the published pairs, strength one."""


def draw_stain(rng: np.random.Generator) -> Stain:
    """A slide's own stain: between the published vectors with about 2 degrees of jitter, strength within a third."""
    between = rng.uniform(0, [[0.5], [0.8]])
    vectors = (1 - between) * unit(RUIFROK_JOHNSTON) + between * unit(MACENKO) + rng.normal(0, 0.02, (2, 3))
    strength = np.exp(rng.uniform(-0.32, 0.22, 2))
    return Stain(unit(np.maximum(vectors, 0.02)), strength, rng.uniform(239, 247) + rng.uniform(-2, 2, 3))
