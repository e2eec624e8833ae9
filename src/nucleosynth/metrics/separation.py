"""How well touching nuclei can be told apart from perfect maps: the three algorithms of CoSyn's table.

    connected_components   4-connected pieces of one class in the semantic label
    hover                  NuDiff's: HoVer-Net's post-processing of the foreground and the exact HV maps
    points                 CoSyn's: watershed of the distance map, the centroids as markers

No network is involved: the number is the ceiling of a generator that makes these maps without error.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucleosynth.conditions import structure
from nucleosynth.conditions.points import centroids
from nucleosynth.instances import hover, watershed
from nucleosynth.metrics.instance import mdice
from nucleosynth.metrics.overlap import check_classes, numbered
from nucleosynth.sample import Instances, Layout

ALGORITHMS = ("connected_components", "hover", "points")


def separation(instances: NDArray[Any], classes: NDArray[Any]) -> dict[str, float]:
    """Mean Dice (`instance.mdice`) of the nuclei that each algorithm gets back from the exact maps of one label, 0..1.

    instances (h w), ids may have gaps; classes (n,) follow the ascending ids, 0 = unknown type, a class like any other
    here. They matter to connected components alone, in which touching nuclei of two classes come apart. Sizes are the
    published ones, for 40x. An empty map gives NaN. Source: Min et al., CoSyn, ECCV 2024, with the best-overlapping
    prediction for each true nucleus (our reading of its mDice).

    Raises:
        UserError: not an instance map, or classes that do not fit it.
    """
    labels = numbered(instances)
    check_classes(classes, int(labels.max(initial=0)), structure.UNKNOWN - 1, "classes")
    if not labels.any():
        return dict.fromkeys(ALGORITHMS, float("nan"))
    found = {
        "connected_components": structure.pieces(structure.semantic(labels, classes).astype(np.int32))[0],
        "hover": hover.extract((labels > 0).astype(np.float32), np.moveaxis(structure.hv(labels), 0, -1)),
        "points": _from_points(labels),
    }
    return {name: mdice(labels, predicted) for name, predicted in found.items()}


def _from_points(labels: Instances) -> Instances:
    xy = centroids(labels)
    layout = Layout(xy, np.zeros(len(xy), np.uint8), (labels.shape[0], labels.shape[1]), ())
    return watershed.from_points(labels > 0, layout, structure.distance(labels))
