"""A label map as runs: the stretches of equal id in its rows, background left out.

A tile of 1000^2 px with 600 nuclei has 15 thousand runs, so what is asked of whole nuclei or pieces (which pixels hang
together, their areas and sums) is asked of these, and only what is asked of pixels is painted back onto a map.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nucleosynth.sample import Instances

Runs = NDArray[np.int32]
"""(m 4): row, first column, column after the last, id; in raster order."""


def large_pieces(mask: NDArray[Any], min_area: int) -> Instances:
    """The 4-connected pieces of a mask (h w) with at least `min_area` px, numbered from 1 in raster order."""
    runs = runs_of(mask)
    parts, count = joined(runs)
    kept = areas(runs, parts, count) >= min_area
    kept[0] = False
    return painted(runs, np.where(kept, np.cumsum(kept), 0).astype(np.int32)[parts], *mask.shape)


@njit(cache=True)
def runs_of(labels: NDArray[Any]) -> Runs:
    """The runs of a map (h w) of integers or bools, 0 background."""
    height, width = labels.shape
    runs = np.empty((_starts(labels), 4), np.int32)
    count = 0
    for y in range(height):
        row = labels[y]
        x = 0
        while x < width:
            k = row[x]
            if k == 0:
                x += 1
                continue
            start = x
            while x < width and row[x] == k:
                x += 1
            runs[count, 0], runs[count, 1], runs[count, 2], runs[count, 3] = y, start, x, k
            count += 1
    return runs


@njit(cache=True)
def joined(runs: Runs) -> tuple[Instances, int]:
    """The 4-connected piece of each run (m,), numbered 1..n in raster order of their first pixels, and n.

    Union-find between the runs of neighbouring rows; the root of a piece is its first run.
    """
    parent = np.arange(len(runs)).astype(np.int32)
    above = 0
    for here in range(len(runs)):
        y, start, end, k = runs[here]
        while runs[above, 0] < y - 1 or (runs[above, 0] == y - 1 and runs[above, 2] <= start):
            above += 1
        other = above
        while runs[other, 0] == y - 1 and runs[other, 1] < end:
            if runs[other, 3] == k:
                one, two = _root(parent, other), _root(parent, here)
                parent[max(one, two)] = min(one, two)
            other += 1
    count = 0
    for run in range(len(runs)):  # parents come before their children, so one pass numbers them all
        if parent[run] == run:
            count += 1
            parent[run] = count
        else:
            parent[run] = parent[parent[run]]
    return parent, count


@njit(cache=True)
def painted(runs: Runs, values: Instances, height: int, width: int) -> Instances:
    """The map (h w) that has the value (m,) of each run on its pixels, 0 elsewhere."""
    result = np.zeros((height, width), np.int32)
    for run in range(len(runs)):
        result[runs[run, 0], runs[run, 1] : runs[run, 2]] = values[run]
    return result


@njit(cache=True)
def areas(runs: Runs, owners: Instances, highest: int) -> NDArray[np.int64]:
    """Pixels (highest + 1,) of each owner, `owners` (m,) naming that of each run."""
    sums = np.zeros(highest + 1, np.int64)
    for run in range(len(runs)):
        sums[owners[run]] += runs[run, 2] - runs[run, 1]
    return sums


@njit(cache=True)
def _starts(labels: NDArray[Any]) -> int:
    """How many runs there are."""
    count = 0
    for y in range(labels.shape[0]):
        row = labels[y]
        if labels.shape[1] and row[0] != 0:
            count += 1
        for x in range(1, labels.shape[1]):
            count += row[x] != 0 and row[x] != row[x - 1]
    return count


@njit(cache=True)
def _root(parent: Instances, run: int) -> int:
    while parent[run] != run:
        parent[run] = parent[parent[run]]
        run = parent[run]
    return run
