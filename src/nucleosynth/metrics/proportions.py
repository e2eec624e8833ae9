"""How much of each image every class covers, and how far two populations of images lie apart in it (CoSyn's FSD)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucleosynth.errors import UserError
from nucleosynth.metrics.frechet import frechet_distance
from nucleosynth.metrics.overlap import overlap

Floats = NDArray[np.float64]


def fsd(true_proportions: NDArray[Any], synthetic_proportions: NDArray[Any]) -> float:
    """Frechet distance between per-image class proportions (n K), (m K) in per cent; in per cent squared, at least 0.

    Whether the background is one of the K is the caller's choice at `class_proportions(background=)`, alike on both
    sides, and belongs beside the number: CoSyn's K entries are the channels of its label map, background among them.
    An image without nuclei is an image like any other. Source: Min et al., CoSyn, ECCV 2024.

    Raises:
        UserError: fewer than two images on a side, values outside 0..100, or numbers of classes that differ.
    """
    for name, shares in (("true", true_proportions), ("synthetic", synthetic_proportions)):
        if shares.size and not (shares.min() >= 0 and shares.max() <= 100 * (1 + 1e-9)):
            raise UserError(
                "not proportions", expected="per cent, 0..100", got=f"{shares.min()}..{shares.max()}", where=name
            )
    return frechet_distance(true_proportions, synthetic_proportions)


def class_proportions(
    instances: NDArray[Any], classes: NDArray[Any], number_of_classes: int, *, background: bool
) -> Floats:
    """Per cent of the pixels of a map (h w) in each class; classes (n,) follow the ascending ids that occur.

    With background (C+1,): of all pixels, background first. Without (C,): of the pixels of nuclei of known type.
    Pixels of nuclei of unknown type (class 0) are left out of the whole, so that entries sum to 100. An image without
    nuclei of known type gives 100, 0, 0 ... with background, and zeros without. If no pixel is left, zeros.

    Raises:
        UserError: classes that do not fit the ids, or a class out of range.
    """
    areas = overlap(instances, instances).true_areas
    found = np.asarray(classes, np.int64)
    if len(found) != len(areas) or not 0 <= found.min(initial=0) <= found.max(initial=0) <= number_of_classes:
        raise UserError(
            "classes do not fit the nuclei",
            expected=f"{len(areas)} classes in 0..{number_of_classes}",
            got=f"{len(found)} classes in {found.min(initial=0)}..{found.max(initial=0)}",
        )
    pixels = np.zeros(number_of_classes + 1)
    np.add.at(pixels, found, areas)
    pixels[0] = instances.size - areas.sum()  # the unknown go, the background comes
    kept = pixels if background else pixels[1:]
    return kept * (100 / max(float(kept.sum()), 1.0))
