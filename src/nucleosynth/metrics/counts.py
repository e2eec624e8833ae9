"""How many nuclei of each class there are in an image, and how far two sets of images differ in it."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucleosynth.errors import UserError
from nucleosynth.metrics.overlap import check_classes, check_names
from nucleosynth.metrics.resampling import Side

Counts = NDArray[np.int64]


def class_counts(images: Iterable[NDArray[Any]], number_of_classes: int) -> Counts:
    """(images C) nuclei of classes 1..C in each image; classes (n,) of each; those of unknown type (0) are left out.

    Raises:
        UserError: a class out of range.
    """
    rows: list[Counts] = []
    for classes in images:
        check_classes(classes, len(classes), number_of_classes, f"image {len(rows)}")
        rows.append(np.bincount(np.asarray(classes, np.int64), minlength=number_of_classes + 1)[1:])
    return np.array(rows, np.int64).reshape(len(rows), number_of_classes)


def count_distances(
    real: Counts,
    synthetic: Counts,
    class_names: Sequence[str],
    *,
    groups: NDArray[Any] | None = None,
    halvings: int = 10,
    seed: int = 0,
) -> dict[str, float]:
    """Total variation, 0..1, between the counts (n C), (m C) of two sets of images: `mix`, `all` and each class.

    `mix`: between the shares of the classes among all nuclei. `all`, "<class>": between how often an image shows 0,
    1, 2..3, 4..7, 8..15 ... nuclei (of that class): single counts would be too rare to compare. Beside each,
    "....floor": the mean between two halves of the real images, over seeded random halvings; rather too large, as
    halves are smaller than the whole. NaN: mix without a nucleus on a side, all of them without an image, floors below
    two images. groups (n,): real images that are not independent (a slide's), which come into the same half. An empty
    image is an image with 0. Source: Levin and Peres, Markov Chains and Mixing Times, 2017, 4.1.

    Raises:
        UserError: numbers of classes that differ, groups that do not fit, or a class name that is there twice, ends in
            ".floor", or is "mix" or "all".
    """
    check_names(class_names, ("mix", "all"))
    for name, counts in (("real", real), ("synthetic", synthetic)):
        if counts.ndim != 2 or counts.shape[1] != len(class_names):
            raise UserError(
                "counts of other classes",
                expected=f"(images, {len(class_names)})",
                got=str(counts.shape),
                where=name,
            )
    rng = np.random.default_rng(seed)
    side = Side(real, groups)
    halves = [[real[half] for half in side.halves(rng)] for _ in range(halvings)]
    result = _distances(real, synthetic, class_names)
    floors = [_distances(one, other, class_names) for one, other in halves]
    return result | {
        f"{name}.floor": float(np.mean([floor[name] for floor in floors])) if floors else float("nan")
        for name in result
    }


def total_variation(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Half the sum of |p - q| of two sets of frequencies (k,), each brought to the sum 1; NaN where one has none."""
    if not one.sum() or not other.sum():
        return float("nan")
    return float(np.abs(one / one.sum() - other / other.sum()).sum() / 2)


def _distances(real: Counts, synthetic: Counts, class_names: Sequence[str]) -> dict[str, float]:
    columns = {"all": (real.sum(axis=1), synthetic.sum(axis=1))}
    columns |= {name: (real[:, c], synthetic[:, c]) for c, name in enumerate(class_names)}
    by_image = {name: total_variation(_often(one), _often(other)) for name, (one, other) in columns.items()}
    return {"mix": total_variation(real.sum(axis=0), synthetic.sum(axis=0))} | by_image


def _often(counts: Counts) -> Counts:
    """(64,) how many images have 0, 1, 2..3, 4..7 ... nuclei: the number of binary digits of the count."""
    return np.bincount(np.frexp(counts.astype(np.float64))[1], minlength=64)
