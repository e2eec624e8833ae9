"""How different images of one layout are: does a method make many tiles, or one?"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from nucleosynth.sample import Image


def diversity(made: Sequence[Sequence[Image]], real: Sequence[Image]) -> float | None:
    """Mean difference of two images that were made for one layout, over that of two different real windows.

    made: for each layout its images; real: windows; all uint8 RGB of one size. A difference is the root mean square
    over pixels and channels, its mean is over pairs, all layouts together. 0: the layout decides everything; 1: images
    of one layout differ as much as different tissue. None without two images of a layout, or two real windows that
    differ.
    """
    own = [rms for images in made for rms in _differences(images)]
    between = _differences(real)
    return float(np.mean(own) / np.mean(between)) if own and any(between) else None


def _differences(images: Sequence[Image]) -> list[float]:
    values = [image.astype(np.float32) for image in images]
    return [float(np.sqrt(np.mean((a - b) ** 2))) for a, b in combinations(values, 2)]
