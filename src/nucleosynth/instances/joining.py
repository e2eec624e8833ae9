"""A label of which part is known, completed by nuclei that were made for the rest."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucleosynth.sample import Classes, Instances, without_gaps


def completed(
    known: NDArray[np.bool_], given: tuple[Instances, Classes], made: tuple[Instances, Classes], smallest: int = 1
) -> tuple[Instances, Classes]:
    """Given nuclei where `known` (h w) is True, made ones elsewhere, ids 1..n in that order.

    given, made: an instance map (h w) with its classes (n,). A made nucleus most of whose known pixels belong to one
    given nucleus is that one's other part, and is of its class. New nuclei of less than `smallest` px are left out.
    """
    (old, old_classes), (new, new_classes) = given, made
    owner = _owners(new[known], old[known], len(new_classes), len(old_classes))
    ids = np.concatenate([[0], np.where(owner, owner, len(old_classes) + np.arange(1, len(new_classes) + 1))])
    joined = np.where(known, old, ids[new])
    areas = np.bincount(joined.ravel(), minlength=len(old_classes) + len(new_classes) + 1)
    specks = areas < smallest
    specks[: len(old_classes) + 1] = False
    joined[specks[joined]] = 0
    return without_gaps(joined.astype(np.int32), np.concatenate([old_classes, new_classes]).astype(np.uint8))


def _owners(made: NDArray[Any], given: NDArray[Any], many: int, old: int) -> NDArray[np.int64]:
    """(many,) the given nucleus that holds most pixels of each made one, 0 = background or none; of equal pixels."""
    table = np.bincount(made.astype(np.int64) * (old + 1) + given, minlength=(many + 1) * (old + 1))
    return np.asarray(table.reshape(many + 1, old + 1)[1:].argmax(axis=1), np.int64)
