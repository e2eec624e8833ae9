"""Hits, misses and false alarms class by class, all from the one table of the whole maps.

A map restricted to one class keeps its nuclei whole, and a nucleus has at most one partner of IoU > 1/2: so the hits of
a class are the hits of the whole maps whose two sides are of that class, and no table for each class is needed.

True nuclei of unknown type (class 0) are nuclei: in the scores without classes they count as any other. In those with
classes nobody knows what a prediction there should be called, so they are what Kirillov et al. (Panoptic segmentation,
CVPR 2019, section 4.2) call void: no class misses them, and a predicted nucleus is no false alarm if more than half of
it lies on them. (One that hits a nucleus of unknown type always does.) Unlike there, the IoU with a nucleus of known
type is left as it is: what lies beneath a prediction that is too large is a nucleus, not nothing.
A predicted nucleus of unknown type is in no class: it is no false alarm, and what it covers is missed.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucleosynth.metrics.instance import Detections, is_hit
from nucleosynth.metrics.overlap import Overlap, check_classes


def detections_by_class(
    table: Overlap, true_classes: NDArray[Any], predicted_classes: NDArray[Any], number_of_classes: int
) -> tuple[Detections, ...]:
    """Detections of classes 1..C; classes (n,), (m,) follow the ascending ids of the maps, 0 = unknown type.

    Raises:
        UserError: classes that do not fit the table, or a class out of range.
    """
    check_classes(true_classes, len(table.true_ids), number_of_classes, "true nuclei")
    check_classes(predicted_classes, len(table.predicted_ids), number_of_classes, "predicted nuclei")
    hit = is_hit(table) & (true_classes[table.true_index] == predicted_classes[table.predicted_index])
    of_class, iou = true_classes[table.true_index[hit]], table.iou[hit]
    kept = predicted_classes[~_on_unknown(table, true_classes)]
    tp, true, predicted = (
        np.bincount(classes.astype(np.int64), minlength=number_of_classes + 1)
        for classes in (of_class, true_classes, kept)
    )
    shared = np.bincount(of_class.astype(np.int64), iou, number_of_classes + 1)
    return tuple(
        Detections(int(tp[c]), int(predicted[c] - tp[c]), int(true[c] - tp[c]), float(shared[c]))
        for c in range(1, number_of_classes + 1)
    )


def _on_unknown(table: Overlap, true_classes: NDArray[Any]) -> NDArray[np.bool_]:
    """(m,) which predicted nuclei lie for more than half on true nuclei of unknown type."""
    unknown = true_classes[table.true_index] == 0
    covered = np.bincount(table.predicted_index[unknown], table.intersection[unknown], len(table.predicted_ids))
    on_unknown: NDArray[np.bool_] = 2 * covered > table.predicted_areas
    return on_unknown
