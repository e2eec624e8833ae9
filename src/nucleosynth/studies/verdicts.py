"""Predictions against the truth: nuclei that were found, that were missed, and that are not there."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from nucleosynth.metrics.overlap import overlap
from nucleosynth.pictures import enlarged, enlarged_label
from nucleosynth.report.results import VERDICTS
from nucleosynth.sample import Classes, Image, Sample
from nucleosynth.studies.painting import factor_for, middle, rimmed, tinted

TEST_PX = 384
"""Least side of a picture of a test tile."""
FOUND, MISSED, FALSE = 1, 2, 3
COLOURS = np.array([(0, 0, 0), *(colour for _, colour in VERDICTS)], np.uint8)
_TINT = 0.3


def verdict(true: Sample, predicted: Sample) -> tuple[Image, str]:
    """The middle of a tile in the colours of `VERDICTS`, and how many there are of each, in words.

    Predicted nuclei are outlined as found (more than half of the union with a true one is shared, over the whole tile)
    or as false alarms, true ones that none found as missed; what is wrong is tinted as well.
    """
    truth, found = (_told(*pair) for pair in zip((true, predicted), _verdicts(true, predicted), strict=True))
    factor = factor_for(truth.size, TEST_PX)
    picture = enlarged(truth.image, factor)
    layers = ((found, FOUND), (found, FALSE), (truth, MISSED))
    for sample, kind in layers:
        label = enlarged_label(_of_kind(sample, kind), factor)
        if kind != FOUND:
            picture = tinted(picture, label > 0, COLOURS[kind], _TINT)
        picture = rimmed(picture, label, sample.classes, COLOURS)
    counts = (int((sample.classes == kind).sum()) for sample, kind in sorted(layers, key=lambda layer: layer[1]))
    return picture, ", ".join(_words(count, name) for count, (name, _) in zip(counts, VERDICTS, strict=True))


def _verdicts(true: Sample, predicted: Sample) -> tuple[Classes, Classes]:
    """The verdict on each true and on each predicted nucleus of the whole tile."""
    table = overlap(true.instances, predicted.instances)
    hits = table.iou > 0.5
    of_true = np.full(len(true.classes), MISSED, np.uint8)
    of_predicted = np.full(len(predicted.classes), FALSE, np.uint8)
    of_true[table.true_index[hits]] = of_predicted[table.predicted_index[hits]] = FOUND
    return of_true, of_predicted


def _told(sample: Sample, verdicts: Classes) -> Sample:
    return middle(replace(sample, classes=verdicts, class_names=tuple(name for name, _ in VERDICTS), points=None))


def _of_kind(sample: Sample, kind: int) -> NDArray[np.int32]:
    return np.where(np.append(False, sample.classes == kind)[sample.instances], sample.instances, 0)


def _words(count: int, name: str) -> str:
    return f"{count} {name.removesuffix('s') if count == 1 else name}"
