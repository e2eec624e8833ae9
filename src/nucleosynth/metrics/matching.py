"""The best one-to-one pairing over a sparse list of candidate pairs, solved piece by piece.

Nuclei meet few others, so the graph of candidates falls apart into small pieces. Each is solved exactly by the
Hungarian algorithm; no matrix of all true by all predicted nuclei is ever built, however large the image.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components


def one_to_one(left: NDArray[Any], right: NDArray[Any], weight: NDArray[Any]) -> NDArray[np.int64]:
    """Places, ascending, of the pairs that are kept: no nucleus twice, the sum of their weights as large as can be.

    left, right (k,): nucleus numbers from 0, no pair twice; weight (k,) > 0. Where several pairings are equally
    good, one of them.

    Example:
        >>> one_to_one(np.array([0, 0, 1]), np.array([0, 1, 0]), np.array([0.5, 0.4, 0.4]))
        array([1, 2])
    """
    if not len(left):
        return np.empty(0, np.int64)
    piece, row, column = _pieces(left, right)
    order = np.argsort(piece, kind="stable")
    starts = np.flatnonzero(np.diff(piece[order], prepend=-1))
    kept = np.zeros(len(left), np.bool_)
    for pairs in np.split(order, starts[1:]):
        kept[pairs] = _best(row[pairs], column[pairs], weight[pairs]) if len(pairs) > 1 else True
    return np.flatnonzero(kept)


def _pieces(left: NDArray[Any], right: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """The connected piece of each pair, and the numbers of its two nuclei within that piece, each side from 0."""
    n, m = int(left.max()) + 1, int(right.max()) + 1
    graph = coo_array((np.ones(len(left), np.bool_), (left, n + right)), shape=(n + m, n + m))
    count, piece = connected_components(graph, directed=False)
    return piece[left], _place(piece[:n], count)[left], _place(piece[n:], count)[right]


def _place(piece: NDArray[Any], count: int) -> NDArray[np.int64]:
    """The place of each nucleus among those of its piece."""
    sizes = np.bincount(piece, minlength=count)
    place = np.empty(len(piece), np.int64)
    place[np.argsort(piece, kind="stable")] = np.arange(len(piece)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return place


def _best(row: NDArray[Any], column: NDArray[Any], weight: NDArray[Any]) -> NDArray[np.bool_]:
    """Which pairs of one piece are kept, by its dense matrix."""
    gain = np.zeros((row.max() + 1, column.max() + 1))
    gain[row, column] = weight
    chosen = np.zeros(gain.shape, np.bool_)
    chosen[linear_sum_assignment(gain, maximize=True)] = True
    kept: NDArray[np.bool_] = chosen[row, column]
    return kept
