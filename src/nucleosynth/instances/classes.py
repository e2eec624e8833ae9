"""The class of each nucleus from what its pixels say."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nucleosynth.conditions.runs import Runs, runs_of
from nucleosynth.conditions.structure import UNKNOWN, label_map
from nucleosynth.errors import UserError
from nucleosynth.sample import Classes


def majority(instances: NDArray[Any], pixels: NDArray[Any], background: bool = True) -> Classes:
    """Class of each nucleus 1..n of `instances` (h w): uint8 (n,), 0 where no pixel names a class.

    pixels: a class map (h w) of integers, where the class of most pixels wins, the smallest on ties; or probabilities
    (c h w) of floats, where the largest mean over the nucleus wins. Channel 0 is the background, unless
    `background=False` says that there is none and channel 0 is class 1. A nucleus is a nucleus: where background or
    `UNKNOWN` would win, the best class takes its place (HoVer-Net's rule).

    Raises:
        UserError: not an instance map, or pixels of another size or kind.

    Example:
        >>> majority(np.array([[1, 1, 1, 2]]), np.array([[0, 0, 3, 0]]))
        array([3, 0], dtype=uint8)
    """
    labels, highest = label_map(instances)
    if pixels.shape[-2:] != labels.shape or (pixels.ndim, pixels.dtype.kind) not in {(2, "u"), (2, "i"), (3, "f")}:
        raise UserError(
            "no classes of pixels",
            expected=f"integers {labels.shape} or floats (c, {labels.shape[0]}, {labels.shape[1]})",
            got=f"{pixels.dtype} {pixels.shape}",
        )
    runs = runs_of(labels)
    votes: NDArray[Any]
    if pixels.ndim == 2:
        _check_classes(pixels if pixels.dtype == np.uint8 else pixels[labels > 0])
        votes = _counts(runs, pixels.astype(np.uint8, copy=False), highest)
    else:
        single = pixels if pixels.dtype in (np.float32, np.float64) else pixels.astype(np.float64)
        votes = _sums(runs, single[1:] if background else single, highest)
    return np.asarray(np.argmax(votes, axis=1)[1:], np.uint8)


def _check_classes(pixels: NDArray[np.integer[Any]]) -> None:
    low, high = pixels.min(initial=0), pixels.max(initial=0)
    if low < 0 or high > UNKNOWN:
        raise UserError("a class out of range", expected=f"0..{UNKNOWN}", got=f"{low}..{high}")


@njit(cache=True)
def _counts(runs: Runs, pixels: NDArray[np.uint8], highest: int) -> NDArray[np.int64]:
    """Pixels of each class in each nucleus (highest + 1, 1 + c), 0 for the background; `UNKNOWN` is left out."""
    width = 1
    for y, start, end, _ in runs:
        for x in range(start, end):
            if pixels[y, x] != UNKNOWN:
                width = max(width, pixels[y, x] + 1)
    votes = np.zeros((highest + 1, width), np.int64)
    for y, start, end, k in runs:
        for x in range(start, end):
            if 0 < pixels[y, x] < width:
                votes[k, pixels[y, x]] += 1
    return votes


@njit(cache=True)
def _sums(runs: Runs, named: NDArray[np.floating[Any]], highest: int) -> NDArray[np.float64]:
    """Sum of each class's probability over each nucleus (highest + 1, 1 + c), 0 for the background."""
    votes = np.zeros((highest + 1, 1 + len(named)))
    for y, start, end, k in runs:
        for c in range(len(named)):
            for x in range(start, end):
                votes[k, c + 1] += named[c, y, x]
    return votes
