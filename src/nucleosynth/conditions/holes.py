"""Regions of a tile that are to be painted anew: what inpainting learns on, and what it is asked for."""

import math

import numpy as np
from numpy.typing import NDArray

Region = NDArray[np.bool_]


def rectangle(size: tuple[int, int], share: float, generator: np.random.Generator) -> Region:
    """(h w) bool, True in a rectangle somewhere, of about `share` (0..1) of the tile; its sides are 1:2 at most."""
    height, width = size
    aspect = math.exp(generator.uniform(-math.log(2), math.log(2)) / 2)
    high = min(max(round(height * math.sqrt(share) * aspect), math.ceil(height * share), 1), height)
    wide = min(max(round(height * width * share / high), 1), width)
    top, left = int(generator.integers(height - high + 1)), int(generator.integers(width - wide + 1))
    region = np.zeros(size, np.bool_)
    region[top : top + high, left : left + wide] = True
    return region


def any_hole(size: tuple[int, int], generator: np.random.Generator) -> Region:
    """A hole to learn on: a rectangle of 10 to 70 % of the tile, or for one in four all but such a rectangle."""
    region = rectangle(size, generator.uniform(0.1, 0.7), generator)
    return ~region if generator.random() < 0.25 else region
