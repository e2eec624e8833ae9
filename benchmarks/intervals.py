"""How often an interval of 95 % holds what it is of: the score's mean over new samples of as many images.

    python benchmarks/intervals.py [REPLICATES [MEASURE ...]]

Populations are known: Gaussian features, their softmax as probabilities, Dirichlet proportions. For each score and
distance of the populations (0: the same one): the share of intervals that hold the mean of all replicates, and how wide
they are beside 2 x 1.96 standard deviations of the score over the replicates. With 100 replicates a share of .95 is
known to .02, and a width to 7 %.
"""

import os

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

import sys
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from nucleosynth.metrics.distribution import MEASURES, compared
from nucleosynth.seeds import generator_of

IMAGES, FEATURES, REPLICATES = 60, 8, 100
SHIFTS = (0.4, 0.0)
"""Of every feature, in standard deviations."""
Rows = NDArray[np.float64]


def drawn(of: str, shift: float, seed: int) -> tuple[Rows, Rows]:
    """Two samples of known populations, rows of one kind (`Measure.of`)."""
    rng = generator_of(seed)
    if of == "proportions":
        more = np.where(np.arange(FEATURES) == 0, 1 + 4 * shift, 1)
        return 100 * rng.dirichlet(np.ones(FEATURES), IMAGES), 100 * rng.dirichlet(more, IMAGES)
    real, synthetic = rng.normal(size=(2, IMAGES, FEATURES))
    # All features moved alike leave a softmax as it is: half of them are, for probabilities.
    moved = synthetic + shift * (np.arange(FEATURES) < (FEATURES // 2 if of == "probabilities" else FEATURES))
    return (_softmax(2 * real), _softmax(2 * moved)) if of == "probabilities" else (real, moved)


def coverages(name: str, shift: float, replicates: int) -> dict[str, tuple[float, float]]:
    """Of each score of a measure: the share of intervals that hold its mean, and their relative width."""
    found = [compared(*drawn(MEASURES[name].of, shift, k), (name,), halvings=0, seed=k) for k in range(replicates)]
    result = {}
    for score in found[0]:
        value, low, high = (np.array([getattr(each[score], key) for each in found]) for key in ("value", "low", "high"))
        held = (low <= value.mean()) & (value.mean() <= high)
        result[score] = float(held.mean()), float((high - low).mean() / (2 * 1.96 * value.std(ddof=1)))
    return result


def _softmax(logits: Rows) -> Rows:
    raised = np.exp(logits)
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def main(replicates: int = REPLICATES, *names: str) -> None:
    """Print a row for each score of the named measures, of all unless any is named."""
    said = " ".join(["python benchmarks/intervals.py", str(replicates), *names])
    print(f"{said}   # {datetime.now(UTC).date()}, {IMAGES} images a side, {FEATURES} features, 100 halves")
    print(f"{'held, width':<14}" + "".join(f"{f'shift {shift:g}':>16}" for shift in SHIFTS), flush=True)
    for name in names or MEASURES:
        found = [coverages(name, shift, replicates) for shift in SHIFTS]
        for score in found[0]:
            cells = (f"{share:.2f}  {width:.2f}" for share, width in (each[score] for each in found))
            print(f"{score:<14}" + "".join(f"{cell:>16}" for cell in cells), flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]), *sys.argv[2:])
