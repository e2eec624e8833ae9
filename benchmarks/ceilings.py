"""What each coding of nuclei loses on perfect maps: real labels -> coding -> nuclei, scored against the labels.

    python benchmarks/ceilings.py consep:CoNSeP train

No network is involved: a generator or judge that regresses a coding without error reaches these scores and no better.
Half resolution takes every second pixel.
"""

import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from nucleosynth.conditions import points, structure
from nucleosynth.conditions.slots import Slots
from nucleosynth.conditions.structure_coding import StructureCoding
from nucleosynth.data.reader import read
from nucleosynth.instances import hover, offsets, watershed
from nucleosynth.metrics.instance import scores
from nucleosynth.sample import Condition, Instances, without_gaps

Coding = Callable[[Instances, float], Instances]


def by_offsets(instances: Instances, scale: float) -> Instances:
    """Exact centroid offsets."""
    return offsets.extract(instances > 0, structure.offsets(instances), scale=scale)


def by_noisy_offsets(instances: Instances, scale: float) -> Instances:
    """Centroid offsets with Gaussian noise of 1 px on either component, drawn with seed 0."""
    noise = np.random.default_rng(0).normal(size=(2, *instances.shape))
    return offsets.extract(instances > 0, structure.offsets(instances) + noise, scale=scale)


def by_hover(instances: Instances, scale: float) -> Instances:  # noqa: ARG001 - published sizes, whatever the scale
    """HoVer-Net's maps and steps as published."""
    return hover.extract((instances > 0).astype(np.float32), np.moveaxis(structure.hv(instances), 0, -1))


def by_structure(instances: Instances, scale: float, **options: Any) -> Instances:
    """NuDiff's structure: HoVer's sizes scaled to the resolution, or offsets that are cut at their reach."""
    coding = StructureCoding(Slots(()), mpp=0.5 / scale, **options)
    return coding.decode(coding.encode(instances, np.zeros(instances.max(), np.uint8)))[0]


def by_distance(instances: Instances, scale: float) -> Instances:  # noqa: ARG001 - has no sizes
    """CoSyn's normalised distance, markers from its minima."""
    return watershed.from_distance(instances > 0, structure.distance(instances))


def by_points(instances: Instances, scale: float) -> Instances:  # noqa: ARG001 - has no sizes
    """CoSyn's normalised distance, the points as markers."""
    classes = np.zeros(instances.max(), np.uint8)
    size = (instances.shape[0], instances.shape[1])
    layout = points.from_instances(Condition(size, instances=instances, classes=classes))
    return watershed.from_points(instances > 0, layout, structure.distance(instances))


CODINGS: dict[str, Coding] = {
    "offsets": by_offsets,
    "offsets, 1 px noise": by_noisy_offsets,
    "HoVer as published": by_hover,
    "structure, hv": by_structure,
    "structure, hv read 8 ways": partial(by_structure, hypotheses=8),
    "structure, offsets": partial(by_structure, coding="offsets"),
    "distance, own minima": by_distance,
    "distance and points": by_points,
}


def resolutions(instances: Instances, scale: float) -> Iterator[tuple[str, Instances, float]]:
    """The map itself and every second pixel of it, with pixels per 0.5 um."""
    yield "full", instances, scale
    halved = np.ascontiguousarray(instances[::2, ::2])
    yield "half", without_gaps(halved, np.zeros(instances.max(), np.uint8))[0], scale / 2


def main(data: str, split: str | None = None) -> None:
    """Print mean and least AJI, mean PQ and the number of nuclei over the true one, per coding and resolution."""
    found: dict[tuple[str, str], list[tuple[float, float, float]]] = {}
    for sample in read(data, split):
        for resolution, instances, scale in resolutions(sample.instances, 0.5 / (sample.mpp or 0.25)):
            for coding, round_trip in CODINGS.items():
                predicted = round_trip(instances, scale)
                values = scores(instances, predicted)
                share = predicted.max() / max(instances.max(), 1)
                found.setdefault((resolution, coding), []).append((values["aji"], values["pq"], share))
    print(f"{'':6}{'coding':26}{'AJI':>8}{'least':>8}{'PQ':>8}{'nuclei':>8}")
    for (resolution, coding), rows in found.items():
        aji, pq, share = np.array(rows).T
        print(f"{resolution:6}{coding:26}{aji.mean():8.4f}{aji.min():8.4f}{pq.mean():8.4f}{share.mean():8.3f}")
    print(f"{len(rows)} tiles")


if __name__ == "__main__":
    main(*sys.argv[1:])
