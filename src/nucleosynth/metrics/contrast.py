"""Do nuclei lie where the label says? Haematoxylin inside each nucleus against the ring around it.

Haematoxylin stains nuclei, so the difference is clearly positive where image and label agree and about 0 where they
have nothing to do with each other: the quickest check of synthetic pairs, and of a reader that shifts its masks.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nucleosynth.data.stain import RUIFROK_JOHNSTON, unit
from nucleosynth.errors import UserError
from nucleosynth.metrics.overlap import numbered
from nucleosynth.sample import Image, Instances

Floats = NDArray[np.float64]


def nuclear_contrast(image: Image, instances: Instances, *, ring_px: int = 3) -> Floats:
    """(n,) mean haematoxylin density inside each nucleus minus that of its ring, in the order of ascending ids.

    image (h w 3) uint8 RGB, instances (h w), ids may have gaps. The ring is the background within `ring_px` of the
    nucleus, centre to centre; it may belong to several nuclei and holds no pixel of any. NaN for a nucleus without a
    ring pixel; an empty array for a map without nuclei. Source: stain vectors of Ruifrok and Johnston 2001.

    Raises:
        UserError: image and map differ in size, the map is not one of instances, or `ring_px` is below 1.
    """
    if image.shape != (*instances.shape, 3) or ring_px < 1:
        raise UserError(
            "image, map and ring do not fit",
            expected=f"an RGB image {(*instances.shape, 3)}, a ring of at least 1 px",
            got=f"{image.shape}, {ring_px} px",
        )
    labels = numbered(instances)
    inside, ring = _sums(haematoxylin(image), labels, int(labels.max(initial=0)), ring_px)
    return _means(inside) - _means(ring)


def haematoxylin(image: Image) -> NDArray[np.float32]:
    """(h w) amount of haematoxylin: decadic optical density unmixed into haematoxylin and eosin.

    The vectors are those of Ruifrok and Johnston, Anal Quant Cytol Histol 2001; the glass counts as 255, black as 1.
    It may be negative where a colour is neither.
    """
    share = np.linalg.pinv(unit(RUIFROK_JOHNSTON))[:, 0]
    table = (-np.log10(np.maximum(np.arange(256), 1) / 255)[:, None] * share).astype(np.float32)
    amount: NDArray[np.float32] = table[image[..., 0], 0] + table[image[..., 1], 1] + table[image[..., 2], 2]
    return amount


def _means(sums: Floats) -> Floats:
    """Mean of each (sum, count) row; NaN where nothing was counted."""
    means = np.full(len(sums), np.nan)
    counted = sums[:, 1] > 0
    means[counted] = sums[counted, 0] / sums[counted, 1]
    return means


@njit(cache=True)
def _sums(density: NDArray[np.float32], labels: Instances, n: int, ring_px: int) -> tuple[Floats, Floats]:
    """(sum, pixels) of the density inside nuclei 1..n and in their rings."""
    inside, ring = np.zeros((n + 1, 2)), np.zeros((n + 1, 2))
    height, width = labels.shape
    last_seen = np.full(n + 1, -1, np.int64)  # the last background pixel that was counted for a nucleus
    for y in range(height):
        for x in range(width):
            if labels[y, x]:
                inside[labels[y, x], 0] += density[y, x]
                inside[labels[y, x], 1] += 1
                continue
            for v in range(max(y - ring_px, 0), min(y + ring_px + 1, height)):
                for u in range(max(x - ring_px, 0), min(x + ring_px + 1, width)):
                    k = labels[v, u]
                    near = (v - y) ** 2 + (u - x) ** 2 <= ring_px**2
                    if k and near and last_seen[k] != y * width + x:
                        last_seen[k] = y * width + x
                        ring[k, 0] += density[y, x]
                        ring[k, 1] += 1
    return inside[1:], ring[1:]
