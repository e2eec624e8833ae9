"""COCO's run lengths: a mask as the lengths of its runs, column by column, the first of them background.

The compressed form is text: each length beyond the third is written as the difference from the one two before it, in
groups of five bits, least significant first; a sixth bit tells that more follow, and 48 is added to make a letter.
Both are a format of the COCO data set (Lin et al., Microsoft COCO, ECCV 2014); the tests hold them to pycocotools.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nucleosynth.errors import UserError

Counts = NDArray[np.int64]
"""(m,) lengths of runs in px, background first; they add up to h * w."""
_LETTERS = 48
"""The first letter."""
_GROUPS = 12
"""Groups of five bits that a length may have at most."""
_MOST_LETTERS = 13
"""What 64 bits are written with at most."""


def encode(mask: NDArray[np.bool_], size: tuple[int, int], top: int = 0, left: int = 0) -> Counts:
    """The runs, in an image of `size` (h w), of a mask whose upper left pixel stands at (top, left).

    Example:
        >>> encode(np.array([[True, False], [True, True]]), (2, 2)).tolist()
        [0, 2, 1, 1]
    """
    height, width = size
    padded = np.zeros((mask.shape[1], mask.shape[0] + 2), np.int8)
    padded[:, 1:-1] = mask.T
    edges = np.diff(padded, axis=1)
    starts, ends = (np.stack(np.nonzero(edges == step)) for step in (1, -1))
    first, last = ((left + found[0]) * height + top + found[1] for found in (starts, ends))
    # A run that reaches the lower edge goes on at the top of the next column.
    goes_on = first[1:] == last[:-1]
    first, last = first[np.r_[True, ~goes_on][: len(first)]], last[np.r_[~goes_on, True][: len(last)]]
    bounds = np.stack([first, last], axis=1).ravel()
    counts = np.diff(np.r_[0, bounds, height * width])
    return np.asarray(counts[:-1] if len(counts) > 1 and counts[-1] == 0 else counts, np.int64)


def decode(counts: Counts, size: tuple[int, int], where: str) -> tuple[int, NDArray[np.bool_]]:
    """The mask (h, columns) of some runs, and its first column: only the columns that hold any of it.

    Raises:
        UserError: a negative length, or lengths that do not add up to the image of `size` (h w).
    """
    height, width = size
    if counts.min(initial=0) < 0 or counts.max(initial=0) > height * width or counts.sum() != height * width:
        raise _broken_runs(f"{height * width} px in runs, none below 0", f"{counts.sum()} px", where)
    bounds = np.cumsum(counts)[: len(counts) // 2 * 2].reshape(-1, 2)
    bounds = bounds[bounds[:, 1] > bounds[:, 0]]
    if not len(bounds):
        return 0, np.zeros((height, 0), bool)
    left, right = int(bounds[0, 0]) // height, -(-int(bounds[-1, 1]) // height)
    flat = np.zeros((right - left) * height, bool)
    for start, end in (bounds - left * height).tolist():
        flat[start:end] = True
    return left, flat.reshape(right - left, height).T


def to_text(counts: Counts) -> str:
    """The compressed form of some runs."""
    return bytes(_compressed(counts)).decode("ascii")


def from_text(text: str, where: str) -> Counts:
    """The runs that a compressed form holds.

    Raises:
        UserError: letters that do not occur in one, or a form that is cut off.
    """
    letters = np.frombuffer(text.encode("utf-8"), np.uint8)
    if ((letters < _LETTERS) | (letters >= _LETTERS + 64)).any():
        raise _broken_runs("letters from '0' to 'o'", repr(text[:20]), where)
    counts, whole = _expanded(letters)
    if not whole:
        raise _broken_runs("whole numbers of at most 60 bits", "one that does not end", where)
    return counts


def runs_of(found: Any, size: tuple[int, int], where: str) -> Counts:
    """The runs of a COCO segmentation {counts, size}, whose counts are numbers or text.

    Raises:
        UserError: counts that are neither, or another size than the image's (h w).
    """
    counts, stated = found.get("counts"), found.get("size")
    if not isinstance(stated, list) or tuple(stated) != size:
        raise _broken_runs(f"the size of the image, {list(size)}", str(stated), where)
    if isinstance(counts, str):
        return from_text(counts, where)
    try:
        runs = np.asarray(counts if counts else np.zeros(0, np.int64))
    except ValueError as error:  # rows of different lengths
        raise _broken_runs("a list of whole numbers, or text", str(error), where) from error
    if runs.ndim != 1 or runs.dtype.kind != "i":
        raise _broken_runs("a list of whole numbers, or text", f"{runs.dtype} {runs.shape}", where)
    return runs


def _broken_runs(expected: str, got: str, where: str) -> UserError:
    """The error for run lengths that are none."""
    return UserError("broken run lengths", expected=expected, got=got, where=where, mend="export the annotations again")


@njit(cache=True)
def _compressed(counts: Counts) -> NDArray[np.uint8]:
    letters = np.empty(len(counts) * _MOST_LETTERS, np.uint8)
    length = 0
    for k in range(len(counts)):
        value = counts[k] - counts[k - 2] if k > 2 else counts[k]
        more = True
        while more:
            group = value & 31
            value >>= 5
            more = value != (-1 if group & 16 else 0)
            letters[length] = group + 32 * more + _LETTERS
            length += 1
    return letters[:length]


@njit(cache=True)
def _expanded(letters: NDArray[np.uint8]) -> tuple[Counts, bool]:
    """The runs; whether the last of them is whole."""
    counts = np.empty(len(letters), np.int64)
    length, value, groups = 0, np.int64(0), 0
    for letter in letters:
        group = np.int64(letter) - _LETTERS
        value |= (group & 31) << (5 * groups)
        groups += 1
        if group & 32:
            if groups == _GROUPS:
                return counts[:length], False
            continue
        if group & 16:
            value |= np.int64(-1) << (5 * groups)
        counts[length] = value + counts[length - 2] if length > 2 else value
        length, value, groups = length + 1, np.int64(0), 0
    return counts[:length], groups == 0
