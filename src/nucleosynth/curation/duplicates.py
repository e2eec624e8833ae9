"""The same tile twice: within a split it counts double, across splits or data sets it carries answers into the test.

Two tiles are the same where their thumbnails are: 24 x 24 means of R, G and B. So a tile is found again at half the
resolution and after JPEG (Lizard holds CoNSeP's tiles at 20x), while its neighbour on the slide is not. Tiles that show
nothing (glass) have no thumbnail to go by and are the same only pixel for pixel.
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from nucleosynth.sample import Image

SIDE = 24
ALIKE = 0.97
"""Least correlation of two thumbnails of one tile, each without its mean colour."""
SHADE = 12.0
"""Largest mean difference in grey levels of two thumbnails of one tile."""
FLAT = 4.0
"""Deviation of a thumbnail, in grey levels, below which it shows nothing."""
BLOCK = 2048
"""Thumbnails that are compared at once."""


class Fingerprint(NamedTuple):
    """What a tile is known by: a digest of its pixels, its thumbnail (SIDE^2 3), and whether that shows anything."""

    digest: str
    thumbnail: NDArray[np.float32]
    shows: bool


def fingerprint(image: Image) -> Fingerprint:
    """The fingerprint of a tile (h w 3)."""
    small = cv2.resize(image.astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_AREA).reshape(-1, 3)
    varied = float((small - small.mean(axis=0)).std()) >= FLAT
    return Fingerprint(sha256(image.tobytes()).hexdigest(), small.astype(np.float32), varied)


def duplicates(prints: Sequence[Fingerprint]) -> list[tuple[int, ...]]:
    """Groups of two and more fingerprints of the same tile, as indices in ascending order."""
    parent = list(range(len(prints)))

    def root(k: int) -> int:
        while parent[k] != k:
            parent[k] = parent[parent[k]]
            k = parent[k]
        return k

    for one, other in _pairs(prints):
        parent[max(root(one), root(other))] = min(root(one), root(other))
    groups: dict[int, list[int]] = {}
    for k in range(len(prints)):
        groups.setdefault(root(k), []).append(k)
    return [tuple(group) for group in groups.values() if len(group) > 1]


def _pairs(prints: Sequence[Fingerprint]) -> list[tuple[int, int]]:
    first: dict[str, int] = {}
    pairs = [(first.setdefault(each.digest, k), k) for k, each in enumerate(prints)]
    pairs = [(one, other) for one, other in pairs if one != other]
    telling = np.array([k for k, each in enumerate(prints) if each.shows], np.int64)
    if len(telling) < 2:
        return pairs
    thumbnails = np.stack([prints[k].thumbnail for k in telling])
    patterns = (thumbnails - thumbnails.mean(axis=1, keepdims=True)).reshape(len(telling), -1)
    patterns /= np.linalg.norm(patterns, axis=1, keepdims=True)
    for start in range(0, len(telling), BLOCK):
        alike = patterns[start : start + BLOCK] @ patterns.T
        for one, other in np.argwhere(alike >= ALIKE):
            one += start
            if one < other and np.abs(thumbnails[one] - thumbnails[other]).mean() <= SHADE:
                pairs.append((int(telling[one]), int(telling[other])))
    return pairs
