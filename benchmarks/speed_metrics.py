"""How long the metrics take, beside a reference that compares nuclei one mask at a time, as the released code does.

    python benchmarks/speed_metrics.py

One thread; the median of several runs on drawn tiles, after a first run that compiles. The reference makes one mask of
the whole image for each nucleus and builds its table of pairs anew for each of Dice2, AJI, AJI+ and PQ; its scores
are checked against ours before anything is printed.
"""

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from nucleosynth.metrics import classification, contrast, copies, instance, proportions

Map = NDArray[np.int32]


def draw(size: int, nuclei: int, seed: int = 0) -> tuple[Map, Map]:
    """Ellipses of 8 to 16 px half-axes as true nuclei; nine in ten of them, moved and resized, as predicted ones."""
    rng = np.random.default_rng(seed)
    true, predicted = np.zeros((2, size, size), np.int32)
    for k in range(1, nuclei + 1):
        centre, axes, angle = rng.integers(0, size, 2), rng.integers(8, 17, 2), int(rng.integers(180))
        cv2.ellipse(true, centre.tolist(), axes.tolist(), angle, 0, 360, k, -1)
        if rng.random() < 0.9:
            moved, resized = centre + rng.integers(-3, 4, 2), axes + rng.integers(-3, 4, 2)
            cv2.ellipse(predicted, moved.tolist(), resized.tolist(), angle, 0, 360, k, -1)
    return true, predicted


def reference_scores(true: Map, predicted: Map) -> dict[str, float]:
    """The seven scores from whole-image masks."""
    shared, both = reference_pairs(true, predicted)
    dice2 = 2 * shared.sum() / both[shared > 0].sum()
    shared, both = reference_pairs(true, predicted)
    iou = shared / (both - shared)
    rows = np.flatnonzero(iou.any(axis=1))
    aji = reference_jaccard(true, predicted, shared, both, rows, iou.argmax(axis=1)[rows])
    shared, both = reference_pairs(true, predicted)
    rows, columns = linear_sum_assignment(-(shared / (both - shared)))
    touching = shared[rows, columns] > 0
    aji_plus = reference_jaccard(true, predicted, shared, both, rows[touching], columns[touching])
    shared, both = reference_pairs(true, predicted)
    hits = (shared / (both - shared))[shared / (both - shared) > 0.5]
    dq, sq = 2 * len(hits) / sum(shared.shape), hits.mean()
    dice = 2 * ((true > 0) & (predicted > 0)).sum() / ((true > 0).sum() + (predicted > 0).sum())
    values = (dice, dice2, aji, aji_plus, dq, sq, dq * sq)
    return dict(zip(instance.NAMES, map(float, values), strict=True))


def reference_pairs(true: Map, predicted: Map) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Intersection and sum of areas of each true nucleus with each predicted one (1 where they do not touch)."""
    true_ids, predicted_ids = np.unique(true)[1:], np.unique(predicted)[1:]
    masks = [(predicted == k).astype(np.uint8) for k in predicted_ids]
    shared, both = np.zeros((2, len(true_ids), len(predicted_ids)))
    both += 1
    for i, k in enumerate(true_ids):
        mask = (true == k).astype(np.uint8)
        for j in np.searchsorted(predicted_ids, np.unique(predicted[(mask > 0) & (predicted > 0)])):
            shared[i, j], both[i, j] = (mask * masks[j]).sum(), (mask + masks[j]).sum()
    return shared, both


def reference_jaccard(true: Map, predicted: Map, shared: Any, both: Any, rows: Any, columns: Any) -> float:
    """The aggregated Jaccard index of given pairs."""
    alone = np.delete(np.unique(true)[1:], rows)
    unused = np.delete(np.unique(predicted)[1:], columns)
    rest = sum((true == k).sum() for k in alone) + sum((predicted == k).sum() for k in unused)
    return float(shared[rows, columns].sum() / ((both - shared)[rows, columns].sum() + rest))


def milliseconds(call: Callable[[], Any], repeats: int) -> float:
    """The median time of a call, after one that warms up."""
    call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return 1000 * median(times)


def main() -> None:
    cv2.setNumThreads(1)
    print(f"{'what':<52}{'ours ms':>10}{'reference ms':>15}{'ratio':>8}")
    for size, count in ((256, 40), (1000, 600)):
        true, predicted = draw(size, count)
        ours, reference = instance.scores(true, predicted), reference_scores(true, predicted)
        np.testing.assert_allclose(list(ours.values()), list(reference.values()), rtol=1e-9)
        fast = milliseconds(lambda t=true, p=predicted: instance.scores(t, p), 30)  # type: ignore[misc]
        slow = milliseconds(lambda t=true, p=predicted: reference_scores(t, p), 1)  # type: ignore[misc]
        what = f"seven instance scores, {size}^2, {count} nuclei"
        print(f"{what:<52}{fast:>10.2f}{slow:>15.1f}{slow / fast:>7.0f}x")
    true, predicted = draw(1000, 600)
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (1000, 1000, 3)).astype(np.uint8)
    classes = rng.integers(1, 5, len(np.unique(true)) - 1)
    xy, other = classification.centroids(true), classification.centroids(predicted)
    alone: dict[str, Callable[[], Any]] = {
        "centroids": lambda: classification.centroids(true),
        "pairs, as released": lambda: classification.pair(xy, other, 12),
        "pairs, gated": lambda: classification.pair(xy, other, 12, gated=True),
        "class proportions": lambda: proportions.class_proportions(true, classes, 4, background=True),
        "nuclear contrast": lambda: contrast.nuclear_contrast(image, true),
        "a 256^2 tile against one 1000^2 training image": lambda: copies.nearest([image[:256, :256]], [image]),
    }
    for what, call in alone.items():
        print(f"{what:<52}{milliseconds(call, 10):>10.2f}")


if __name__ == "__main__":
    main()
