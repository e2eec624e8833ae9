"""The same tile twice: within a split it counts double, across splits or data sets it carries answers into the test.

Two tiles are the same where their thumbnails are: 24 x 24 means of R, G and B, in any of the square's eight symmetries.
So a tile is found again mirrored, turned by quarters, at half the resolution and after JPEG (Lizard holds CoNSeP's
tiles at 20x), while its neighbour on the slide is not. Tiles that show nothing (glass) have no thumbnail to go by and
are the same only pixel for pixel. Not found: a crop of a tile, one that is turned by any other angle, and one whose
colours were changed much (SHADE).

Thumbnails are first compared through 8 x 8 means: what those leave out can add no more to a correlation than the
product of its lengths (Cauchy and Schwarz), so no pair is lost, and few are left to be compared in full.
"""

from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from nucleosynth.sample import Image, Symmetry, transform_array

SIDE = 24
ALIKE = 0.97
"""Least correlation of two thumbnails of one tile, each without its mean colour."""
SHADE = 12.0
"""Largest mean difference in grey levels of two thumbnails of one tile."""
FLAT = 4.0
"""Deviation of a thumbnail, in grey levels, below which it shows nothing."""
COARSE = 8
"""Side of the thumbnails that are compared first; divides SIDE."""
BLOCK = 2048
"""Thumbnails that are compared at once, coarsely (each with each) or in full (pairs)."""
ROUNDING = 1e-4

Groups = NDArray[np.intp]
"""(n,) For each thumbnail the number of its group, below n."""


class Fingerprint(NamedTuple):
    """What a tile is known by: a digest of its pixels, its thumbnail (SIDE^2 3), and whether that shows anything."""

    digest: str
    thumbnail: NDArray[np.float32]
    shows: bool


class _Pairs(NamedTuple):
    """Thumbnails that may be the same: one[k], and other[k] in this symmetry."""

    one: NDArray[np.intp]
    other: NDArray[np.intp]
    symmetry: Symmetry


def fingerprint(image: Image) -> Fingerprint:
    """The fingerprint of a tile (h w 3)."""
    small = cv2.resize(image.astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_AREA).reshape(-1, 3)
    varied = float((small - small.mean(axis=0)).std()) >= FLAT
    return Fingerprint(sha256(image.tobytes()).hexdigest(), small.astype(np.float32), varied)


def duplicates(prints: Sequence[Fingerprint]) -> list[tuple[int, ...]]:
    """Groups of two and more fingerprints of the same tile, as indices in ascending order."""
    digests = np.array([each.digest for each in prints], np.str_)
    _, first, kinds = np.unique(digests, return_index=True, return_inverse=True)
    telling = np.array([kind for kind, k in enumerate(first) if prints[k].shows], np.intp)
    alike = np.arange(len(first))
    if len(telling) > 1:
        alike[telling] = telling[_grouped(np.stack([prints[first[kind]].thumbnail for kind in telling]))]
    groups: dict[int, list[int]] = {}
    for k, group in enumerate(alike[kinds].tolist()):
        groups.setdefault(group, []).append(k)
    return [tuple(group) for group in groups.values() if len(group) > 1]


def _grouped(thumbnails: NDArray[np.float32]) -> Groups:
    """The groups of thumbnails (n SIDE^2 3) that are of one tile."""
    patterns = thumbnails - thumbnails.mean(axis=1, keepdims=True)
    patterns /= np.linalg.norm(patterns, axis=(1, 2), keepdims=True)
    groups = np.arange(len(thumbnails))
    for one, other, symmetry in _candidates(patterns):
        turned = _places(SIDE, symmetry)
        while len(one):
            a, b, one, other = one[:BLOCK], other[:BLOCK], one[BLOCK:], other[BLOCK:]
            same = np.einsum("nsc,nsc->n", patterns[a], patterns[b][:, turned]) >= ALIKE
            same[same] = np.abs(thumbnails[a[same]] - thumbnails[b[same]][:, turned]).mean(axis=(1, 2)) <= SHADE
            groups = _joined(groups, a[same], b[same])
            apart = groups[one] != groups[other]  # what is in one group already need not be compared
            one, other = one[apart], other[apart]
    return groups


def _candidates(patterns: NDArray[np.float32]) -> Iterator[_Pairs]:
    """All pairs of patterns (n SIDE^2 3) of length 1 whose correlation, in a symmetry, may be ALIKE, and few others."""
    means = patterns.reshape(-1, COARSE, SIDE // COARSE, COARSE, SIDE // COARSE, 3).mean(axis=(2, 4))
    coarse = means.reshape(len(patterns), -1, 3) * (SIDE // COARSE)  # a projection: its length is at most 1
    rest = np.sqrt(np.maximum(1 - (coarse**2).sum(axis=(1, 2)), 0))[:, None]
    straight = np.concatenate([coarse.reshape(len(patterns), -1), rest], axis=1)
    for symmetry in range(8):
        flat = coarse[:, _places(COARSE, symmetry)].reshape(len(patterns), -1)
        turned = np.concatenate([flat, rest], axis=1)
        for top in range(0, len(patterns), BLOCK):
            for left in range(top, len(patterns), BLOCK):
                bound = straight[top : top + BLOCK] @ turned[left : left + BLOCK].T
                one, other = np.nonzero(bound >= ALIKE - ROUNDING)
                before = one + top < other + left  # the inverse of a symmetry is one, so half of the pairs are all
                yield _Pairs(one[before] + top, other[before] + left, symmetry)


def _places(side: int, symmetry: Symmetry) -> NDArray[np.intp]:
    """(side^2,) Which place of a square comes to each place by a symmetry."""
    return transform_array(np.arange(side**2).reshape(side, side), symmetry).ravel()


def _joined(groups: Groups, one: NDArray[np.intp], other: NDArray[np.intp]) -> Groups:
    """The groups, those of one[k] and other[k] joined."""
    links = coo_array((np.ones(len(one), bool), (groups[one], groups[other])), shape=(len(groups), len(groups)))
    return np.asarray(connected_components(links, directed=False)[1][groups], np.intp)
