"""The best one-to-one pairing over a sparse list of candidate pairs, solved piece by piece.

Nuclei meet few others, so the graph of candidates falls apart into small pieces. Each is solved exactly by the
Hungarian algorithm; no matrix of all true by all predicted nuclei is ever built, however large the image.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

SMALL = 32
"""Up to so many candidates a piece is solved in place; above, SciPy's solver is quicker than ours."""

Places = NDArray[np.int64]


def one_to_one(left: NDArray[Any], right: NDArray[Any], weight: NDArray[Any]) -> Places:
    """Places, ascending, of the pairs that are kept: no nucleus twice, the sum of their weights as large as can be.

    left, right (k,): nucleus numbers from 0, no pair twice; weight (k,) > 0. Where several pairings are equally
    good, one of them.

    Example:
        >>> one_to_one(np.array([0, 0, 1]), np.array([0, 1, 0]), np.array([0.5, 0.4, 0.4]))
        array([1, 2])
    """
    if not len(left):
        return np.empty(0, np.int64)
    left, right = left.astype(np.int64, copy=False), right.astype(np.int64, copy=False)
    n, m = int(left.max()) + 1, int(right.max()) + 1
    order, starts = _by_piece(left, right, n, m)
    kept = _keep_small(order, starts, left, right, np.asarray(weight, np.float64), n, m)
    for piece in np.flatnonzero(np.diff(starts) > SMALL):
        pairs = order[starts[piece] : starts[piece + 1]]
        kept[pairs] = _best(left[pairs], right[pairs], weight[pairs])
    return np.flatnonzero(kept)


def _best(left: Places, right: Places, weight: NDArray[Any]) -> NDArray[np.bool_]:
    """Which pairs of one piece are kept, by its dense matrix."""
    (row, rows), (column, columns) = (
        (place, len(present)) for present, place in (np.unique(side, return_inverse=True) for side in (left, right))
    )
    gain = np.zeros((rows, columns))
    gain[row, column] = weight
    chosen = np.zeros(gain.shape, np.bool_)
    chosen[linear_sum_assignment(gain, maximize=True)] = True
    kept: NDArray[np.bool_] = chosen[row, column]
    return kept


@njit(cache=True)
def _by_piece(left: Places, right: Places, n: int, m: int) -> tuple[Places, Places]:
    """The places of the pairs, piece after piece, and where each piece starts (one more at the end)."""
    parent = np.arange(n + m)
    for pair in range(left.size):
        a, b = left[pair], n + right[pair]
        while parent[a] != a:
            parent[a] = parent[parent[a]]
            a = parent[a]
        while parent[b] != b:
            parent[b] = parent[parent[b]]
            b = parent[b]
        parent[max(a, b)] = min(a, b)
    root = np.empty(left.size, np.int64)
    size = np.zeros(n + 1, np.int64)  # the least of a piece is a left one
    for pair in range(left.size):
        a = left[pair]
        while parent[a] != a:
            a = parent[a]
        root[pair] = a
        size[a + 1] += 1
    place = np.cumsum(size)
    starts = np.append(place[:-1][size[1:] > 0], left.size)
    order = np.empty(left.size, np.int64)
    for pair in range(left.size):
        order[place[root[pair]]] = pair
        place[root[pair]] += 1
    return order, starts


@njit(cache=True)
def _keep_small(
    order: Places, starts: Places, left: Places, right: Places, weight: NDArray[np.float64], n: int, m: int
) -> NDArray[np.bool_]:
    """Which pairs of the small pieces are kept; none of the others."""
    kept = np.zeros(left.size, np.bool_)
    row_of, column_of = np.full(n, -1), np.full(m, -1)
    for piece in range(starts.size - 1):
        pairs = order[starts[piece] : starts[piece + 1]]
        if pairs.size == 1:
            kept[pairs[0]] = True
        if not 1 < pairs.size <= SMALL:
            continue
        rows = columns = 0
        for pair in pairs:
            if row_of[left[pair]] < 0:
                row_of[left[pair]] = rows
                rows += 1
            if column_of[right[pair]] < 0:
                column_of[right[pair]] = columns
                columns += 1
        cost = np.zeros((min(rows, columns), max(rows, columns)))
        for pair in pairs:
            i, j = row_of[left[pair]], column_of[right[pair]]
            if rows <= columns:
                cost[i, j] = -weight[pair]
            else:
                cost[j, i] = -weight[pair]
        row_at = _hungarian(cost)
        for pair in pairs:
            i, j = row_of[left[pair]], column_of[right[pair]]
            kept[pair] = row_at[j] == i if rows <= columns else row_at[i] == j
    return kept


@njit(cache=True)
def _hungarian(cost: NDArray[np.float64]) -> Places:
    """Row that each column takes, -1 for none, at the least sum of cost (rows columns), rows <= columns.

    Kuhn and Munkres with potentials (Jonker and Volgenant, Computing 1987): rows are added one after the other, each by
    the cheapest path of exchanges. Column 0 of the tables is where a path begins.
    """
    rows, columns = cost.shape
    row_price, price = np.zeros(rows), np.zeros(columns + 1)
    row_at, before = np.full(columns + 1, -1), np.zeros(columns + 1, np.int64)
    for row in range(rows):
        row_at[0] = row
        here = 0
        cheapest, done = np.full(columns + 1, np.inf), np.zeros(columns + 1, np.bool_)
        while row_at[here] >= 0:
            done[here] = True
            i, step, following = row_at[here], np.inf, 0
            for j in range(1, columns + 1):
                if not done[j]:
                    reduced = cost[i, j - 1] - row_price[i] - price[j]
                    if reduced < cheapest[j]:
                        cheapest[j], before[j] = reduced, here
                    if cheapest[j] < step:
                        step, following = cheapest[j], j
            for j in range(columns + 1):
                if done[j]:
                    row_price[row_at[j]] += step
                    price[j] -= step
                else:
                    cheapest[j] -= step
            here = following
        while here:
            row_at[here] = row_at[before[here]]
            here = before[here]
    return row_at[1:]
