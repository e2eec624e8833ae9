"""A judge's scores on the test tiles: image by image, and of all nuclei together."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nucleosynth.metrics import classification, instance
from nucleosynth.metrics.classification import Confusion, confusion, nuclei, radius_at
from nucleosynth.report.results import Metric
from nucleosynth.sample import Sample

BY_IMAGE = "mean over test images"
POOLED = f"all test nuclei together, centroids within {classification.RADIUS_UM:g} \N{MICRO SIGN}m"
_MEANINGS = {
    "pq": ("PQ", "panoptic quality: DQ times SQ"),
    "dq": ("DQ", "detection quality: the F1 score of nuclei found with more than half overlap"),
    "sq": ("SQ", "segmentation quality: mean overlap (IoU) of the nuclei found"),
    "aji": ("AJI", "aggregated Jaccard index: overlap of nuclei, misses and false alarms counted"),
    "dice": ("Dice", "overlap of nuclear and other pixels, single nuclei not told apart"),
}


@dataclass(frozen=True)
class Scores:
    """images: sample_id and scores of each; values: by metric; left_out: images where a metric is undefined."""

    images: tuple[dict[str, Any], ...]
    values: dict[str, float | None]
    left_out: dict[str, int]


def metrics(nuclei_of: Mapping[str, int]) -> tuple[Metric, ...]:
    """What judges are scored by; the first one is the primary outcome, fixed before anything is trained.

    nuclei_of: how many nuclei of each class the test tiles show.
    """
    segmented = [
        Metric(name=name, label=label, aggregation=BY_IMAGE, meaning=meaning)
        for name, (label, meaning) in _MEANINGS.items()
    ]
    typed = [
        ("f_d", "F detection", "nuclei found, whatever their class"),
        ("accuracy", "Accuracy", "class of those found"),
    ]
    typed += [
        (f"f_{name}", f"F {name}", f"{name} nuclei found and recognised, {count} in the test tiles")
        for name, count in nuclei_of.items()
    ]
    return tuple(
        segmented
        + [Metric(name=name, label=label, aggregation=POOLED, meaning=meaning) for name, label, meaning in typed]
    )


def scored(tests: Sequence[Sample], predictions: Iterable[Sample]) -> Scores:
    """The scores of predicted tiles, which follow the order of the test tiles."""
    names = tests[0].class_names
    images, total = [], Confusion.empty(len(names))
    for true, found in zip(tests, predictions, strict=True):
        assert (found.sample_id, found.class_names) == (true.sample_id, names), "predictions follow the test tiles"
        images.append(instance.scores(true.instances, found.instances))
        total += confusion(
            nuclei(true.instances, true.classes),
            nuclei(found.instances, found.classes),
            len(names),
            radius_at(_mpp(true)),
        )
    means = instance.mean(images)
    by_class = {f"f_{name}": total.f_class(c) for c, name in enumerate(names, start=1)}
    pooled = {"f_d": total.f_d, "accuracy": total.accuracy, **by_class}
    return Scores(
        images=tuple(
            {"sample_id": true.sample_id, **defined(image)} for true, image in zip(tests, images, strict=True)
        ),
        values=defined({name: mean.value for name, mean in means.items()} | pooled),
        left_out={name: mean.left_out for name, mean in means.items() if mean.left_out},
    )


def defined(values: dict[str, float]) -> dict[str, float | None]:
    """The same with None for NaN."""
    return {name: None if math.isnan(value) else float(value) for name, value in values.items()}


def _mpp(sample: Sample) -> float:
    assert sample.mpp is not None, "tiles without mpp were refused"
    return sample.mpp
