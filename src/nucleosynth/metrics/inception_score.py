"""Inception Score: are images of one class each, and of many classes together? It never looks at a real image.

"IS" is of Inception-v3's 1008 outputs; of any other classifier it is "IS-<encoder>". ImageNet's classes are no tissue:
the number is there because papers report it, and says little of histology (Barratt and Sharma, arXiv:1801.01973).
"""

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucleosynth.errors import UserError
from nucleosynth.seeds import generator_of


def inception_score(probabilities: NDArray[Any], *, splits: int = 10, seed: int | None = None) -> dict[str, float]:
    """`is`, exp of the mean KL divergence of p(class | image) from p(class), mean over splits; `is_spread`.

    probabilities (n K), each row summing to 1. The images are cut into `splits` runs of the given order, as released
    (run i begins at i n // splits), after a shuffle where a seed is given: tiles in the order of their slides would
    make a run of each slide. From 1, without any difference between images, to K. The fewer images there are in a run,
    the less the score. Source: Salimans et al., Improved techniques for training GANs, NeurIPS 2016.

    Raises:
        UserError: fewer images than splits, no split, or rows that are no probabilities.
    """
    if probabilities.ndim != 2 or not 1 <= splits <= len(probabilities):
        raise UserError(
            "not enough to score",
            expected=f"probabilities (images, classes), {max(splits, 1)} images or more, 1 split or more",
            got=f"{probabilities.shape} and {splits} splits",
        )
    rows = probabilities.astype(np.float64)
    if not (np.isfinite(rows).all() and rows.min() >= 0 and np.allclose(rows.sum(axis=1), 1, atol=1e-3)):
        raise UserError("not probabilities", expected="rows that sum to 1", got="other numbers")
    if seed is not None:
        rows = rows[generator_of(seed).permutation(len(rows))]
    edges = [i * len(rows) // splits for i in range(splits + 1)]
    scores = [_score(rows[start:end]) for start, end in pairwise(edges)]
    return {"is": float(np.mean(scores)), "is_spread": float(np.std(scores))}


def _score(rows: NDArray[np.float64]) -> float:
    marginal = np.broadcast_to(rows.mean(axis=0), rows.shape)
    seen = rows > 0  # 0 log 0 = 0
    return float(np.exp((rows[seen] * np.log(rows[seen] / marginal[seen])).sum() / len(rows)))
