"""A judge's scores on the test tiles: image by image, and of all nuclei together."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nucleosynth.metrics import aggregation, classification, instance
from nucleosynth.metrics.aggregation import Judged, judge
from nucleosynth.metrics.classification import Confusion, confusion, nuclei, radius_at
from nucleosynth.report.results import Metric
from nucleosynth.sample import Sample

BY_IMAGE = "mean over test images"
POOLED = f"all test nuclei together, centroids within {classification.RADIUS_UM:g} \N{MICRO SIGN}m"
PANNUKE = "as PanNuke: over classes, images, tissues"
CONIC = "as CoNIC: pooled over images, mean over classes"
OF_CLASS = "pooled over test images"
_MEANINGS = {
    "pq": ("PQ", "panoptic quality: DQ times SQ"),
    "dq": ("DQ", "detection quality: the F1 score of nuclei found with more than half overlap"),
    "sq": ("SQ", "segmentation quality: mean overlap (IoU) of the nuclei found"),
    "aji": ("AJI", "aggregated Jaccard index: overlap of nuclei, misses and false alarms counted"),
    "dice": ("Dice", "overlap of nuclear and other pixels, single nuclei not told apart"),
}


@dataclass(frozen=True)
class Scores:
    """images: sample_id and scores of each; values: by metric; left_out: images where a metric is undefined; confusion
    (C+1, C+1): rows true classes, the first one false alarms; columns predicted ones, the first one missed."""

    images: tuple[dict[str, Any], ...]
    values: dict[str, float | None]
    left_out: dict[str, int]
    confusion: tuple[tuple[int, ...], ...]


def metrics(nuclei_of: Mapping[str, int]) -> tuple[Metric, ...]:
    """What judges are scored by; the first one is the primary outcome, fixed before anything is trained.

    nuclei_of: how many nuclei of each class the test tiles show.
    """
    segmented = [
        Metric(name=name, label=label, aggregation=BY_IMAGE, meaning=meaning)
        for name, (label, meaning) in _MEANINGS.items()
    ]
    typed = [
        ("f_d", "F_d", POOLED, "F1 score of nuclei found by their centres, whatever their class"),
        ("accuracy", "Acc", POOLED, "class of those found"),
        ("bpq", "bPQ", PANNUKE, "panoptic quality, classes not told apart"),
        ("mpq", "mPQ", PANNUKE, "panoptic quality of each class, averaged"),
        ("mpq_plus", "mPQ+", CONIC, "panoptic quality of each class from all nuclei together, averaged"),
    ]
    whole = [
        Metric(name=name, label=label, aggregation=how, meaning=meaning)
        for name, label, how, meaning in typed
        if len(nuclei_of) > 1 or name in ("f_d", "bpq")
    ]
    return (*segmented, *whole, *(metric for name, count in nuclei_of.items() for metric in _of_class(name, count)))


def scored(tests: Sequence[Sample], predictions: Iterable[Sample]) -> Scores:
    """The scores of predicted tiles, which follow the order of the test tiles."""
    names = tests[0].class_names
    judged, total = [], Confusion.empty(len(names))
    for true, found in zip(tests, predictions, strict=True):
        assert (found.sample_id, found.class_names) == (true.sample_id, names), "predictions follow the test tiles"
        judged.append(judge(*_maps(true, found), len(names), true.tissue))
        total += confusion(
            nuclei(true.instances, true.classes),
            nuclei(found.instances, found.classes),
            len(names),
            radius_at(_mpp(true)),
        )
    images = [instance.scores_of(each.table) for each in judged]
    means = instance.mean(images)
    return Scores(
        images=tuple(
            {"sample_id": true.sample_id, **defined(image)} for true, image in zip(tests, images, strict=True)
        ),
        values=defined({name: mean.value for name, mean in means.items()} | _pooled(judged, total, names)),
        left_out={name: mean.left_out for name, mean in means.items() if mean.left_out},
        confusion=_matrix(total, len(names)),
    )


def defined(values: dict[str, float]) -> dict[str, float | None]:
    """The same with None for NaN."""
    return {name: None if math.isnan(value) else float(value) for name, value in values.items()}


def _pooled(judged: Sequence[Judged], total: Confusion, names: tuple[str, ...]) -> dict[str, float]:
    by_class = aggregation.micro(judged, names).by_class
    return {
        **total.scores(names),
        **aggregation.pannuke(judged, names).scores,
        **({"mpq_plus": aggregation.conic(judged, names).scores["mpq_plus"]} if names else {}),
        **{f"pq_{name}": by_class[name]["pq"] for name in names},
    }


def _of_class(name: str, count: int) -> tuple[Metric, Metric]:
    return (
        Metric(
            name=f"f_{name}",
            label=f"F {name}",
            aggregation=POOLED,
            meaning=f"{name} nuclei found and recognised, {count} in the test tiles",
            class_name=name,
        ),
        Metric(
            name=f"pq_{name}",
            label=f"PQ {name}",
            aggregation=OF_CLASS,
            meaning=f"panoptic quality of {name} nuclei, {count} in the test tiles",
            class_name=name,
        ),
    )


def _matrix(total: Confusion, classes: int) -> tuple[tuple[int, ...], ...]:
    """True nuclei of unknown type are in no row; predicted ones always have a type."""
    known = slice(1, classes + 1)
    rows = np.zeros((classes + 1, classes + 1), np.int64)
    rows[0, 1:], rows[1:, 0], rows[1:, 1:] = total.false_alarms[known], total.missed[known], total.paired[known, known]
    return tuple(tuple(map(int, row)) for row in rows)


def _maps(true: Sample, found: Sample) -> tuple[Any, Any, Any, Any]:
    return true.instances, found.instances, true.classes, found.classes


def _mpp(sample: Sample) -> float:
    assert sample.mpp is not None, "tiles without mpp were refused"
    return sample.mpp
