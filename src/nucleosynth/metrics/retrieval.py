"""How well captions find their images, and images their captions: recall among the first few."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from nucleosynth.errors import UserError

RANKS = (1, 5, 10)


def retrieval(similarity: NDArray[Any], right: NDArray[np.bool_], ranks: Sequence[int] = RANKS) -> dict[str, float]:
    """Share of queries that have a right answer among their first k, `recall@k`, and where the first one stands.

    similarity (n m): of n queries to m answers; right (n m): which answers are right, more than one where captions
    repeat. `median_rank`: of the first right answer, from 1; one that is as near as a wrong one comes after it.
    `chance@k`: what an order without knowledge would give. Queries without a right answer are left out; NaN where none
    is left.

    Raises:
        UserError: shapes that differ, or a similarity that is not finite.

    Source: Karpathy and Fei-Fei, Deep visual-semantic alignments, CVPR 2015 (recall@k and median rank).
    """
    similarity, right = np.asarray(similarity, np.float64), np.asarray(right, bool)
    if similarity.ndim != 2 or similarity.shape != right.shape or not np.isfinite(similarity).all():
        raise UserError(
            "no similarities of queries to answers",
            expected="two tables (n m), of finite numbers and of which answers are right",
            got=f"{similarity.shape} and {right.shape}",
        )
    asked = right.any(axis=1)
    similarity, right = similarity[asked], right[asked]
    if not asked.any():
        return {**{f"{name}@{k}": float("nan") for k in ranks for name in ("recall", "chance")}, "median_rank": np.nan}
    best = np.where(right, similarity, -np.inf).max(axis=1, keepdims=True)
    first = 1 + ((similarity >= best) & ~right).sum(axis=1)
    found = {f"recall@{k}": float((first <= k).mean()) for k in ranks}
    found |= {f"chance@{k}": float(_by_chance(right.sum(axis=1), right.shape[1], k).mean()) for k in ranks}
    return found | {"median_rank": float(np.median(first))}


def _by_chance(right: NDArray[np.int64], answers: int, k: int) -> NDArray[np.float64]:
    """The probability of at least one right answer among k, drawn without return: 1 - C(m - r, k) / C(m, k)."""
    k = min(k, answers)
    wrong = answers - right
    none = np.exp(_log_choose(np.maximum(wrong, k), k) - _log_choose(np.array(answers), k))
    return np.where(wrong < k, 1.0, 1 - none)


def _log_choose(n: NDArray[Any], k: int) -> NDArray[np.float64]:
    return np.asarray(gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1), np.float64)
