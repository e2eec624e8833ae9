"""The study's pictures: windows as pairs of image and label, and predictions against the truth.

What is shown is drawn by the seed or by a stated rule, never chosen by eye.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nucleosynth.metrics.overlap import overlap
from nucleosynth.pictures import class_colours, enlarged, outlined, outlines, write_png
from nucleosynth.report.results import VERDICTS, Picture
from nucleosynth.sample import Classes, Image, Instances, Sample
from nucleosynth.seeds import generator_of

FOLDER = "pictures"
PAIRS, TESTS = 12, 3
"""How many are shown."""
PAIR_PX, TEST_PX = 192, 384
"""Least side of a picture of either kind: tiles are enlarged by a whole factor."""
WINDOW_PX = 192
"""Largest part of a test tile that is shown."""
_GAP = 3


def write_pairs(folder: Path, name: str, samples: Sequence[Sample], seed: int) -> tuple[Picture, ...]:
    """Draw some of the samples by the seed and write each as a picture: the image, and beside it with outlines."""
    order = np.sort(generator_of(seed).permutation(len(samples))[:PAIRS])
    return tuple(
        _write(folder, f"{name}_{k:02d}.png", pair(samples[n]), samples[n].sample_id) for k, n in enumerate(order)
    )


def write_truths(folder: Path, tests: Sequence[Sample]) -> tuple[Picture, ...]:
    """The shown test tiles with their true nuclei in class colours."""
    return tuple(
        _write(folder, f"test_{k:02d}.png", labelled(part), sample.sample_id)
        for k, (sample, part) in enumerate((tests[n], middle(tests[n])) for n in shown(tests))
    )


def write_predictions(
    folder: Path, name: str, tests: Sequence[Sample], predictions: Sequence[Sample]
) -> tuple[Picture, ...]:
    """The same tiles with what a judge found, missed and made up."""
    return tuple(
        _write(folder, f"{name}_{k:02d}.png", *verdict(tests[n], predictions[n])) for k, n in enumerate(shown(tests))
    )


def shown(tests: Sequence[Sample]) -> list[int]:
    """Which test tiles are shown: those with most nuclei, the first on ties."""
    return sorted(np.argsort([-len(sample.classes) for sample in tests], kind="stable")[:TESTS].tolist())


def middle(sample: Sample) -> Sample:
    """The middle of a tile, `WINDOW_PX` wide at most."""
    height, width = (min(side, WINDOW_PX) for side in sample.size)
    return sample.crop((sample.size[0] - height) // 2, (sample.size[1] - width) // 2, height, width)


def pair(sample: Sample) -> Image:
    """The image and, beside it, the same with nuclei outlined in class colours."""
    factor = _factor(sample, PAIR_PX)
    plain = enlarged(sample.image, factor)
    gap = np.full((len(plain), _GAP, 3), 255, np.uint8)
    return np.concatenate([plain, gap, labelled(sample, PAIR_PX)], axis=1)


def labelled(sample: Sample, least_px: int = TEST_PX) -> Image:
    """The image with nuclei outlined in class colours."""
    colours = class_colours(len(sample.class_names))
    factor = _factor(sample, least_px)
    return _drawn(enlarged(sample.image, factor), _grown(sample.instances, factor), sample.classes, colours)


def verdict(true: Sample, predicted: Sample) -> tuple[Image, str]:
    """The middle of a tile in the colours of `VERDICTS`: predicted nuclei that are found (more than half overlap with a
    true one) or false alarms, true ones that are missed; and how many of each."""
    table = overlap(true.instances, predicted.instances)
    hits = table.iou > 0.5
    of_true, of_predicted = np.full(len(true.classes), 2, np.uint8), np.full(len(predicted.classes), 3, np.uint8)
    of_true[table.true_index[hits]] = of_predicted[table.predicted_index[hits]] = 1
    names = tuple(name for name, _ in VERDICTS)
    truth, found = (
        middle(replace(sample, classes=classes, class_names=names))
        for sample, classes in ((true, of_true), (predicted, of_predicted))
    )
    colours = np.array([(0, 0, 0), *(colour for _, colour in VERDICTS)], np.uint8)
    factor = _factor(truth, TEST_PX)
    missed = np.where(np.append(False, truth.classes == 2)[truth.instances], truth.instances, 0)
    picture = enlarged(truth.image, factor)
    for instances, classes in ((found.instances, found.classes), (missed, truth.classes)):
        picture = _drawn(picture, _grown(instances, factor), classes, colours)
    counts = [(found.classes == 1).sum(), (truth.classes == 2).sum(), (found.classes == 3).sum()]
    return picture, ", ".join(f"{count} {name}" for count, name in zip(counts, names, strict=True))


def _drawn(picture: Image, instances: Instances, classes: Classes, colours: NDArray[np.uint8]) -> Image:
    """Outlines of two px, so that they are still seen where a page makes the picture smaller."""
    inner = np.where(outlines(instances), 0, instances)
    for part in (instances, inner):
        picture = outlined(picture, part, classes, colours)
    return picture


def _grown(instances: Instances, factor: int) -> Instances:
    return np.repeat(np.repeat(instances, factor, axis=0), factor, axis=1)


def _factor(sample: Sample, least_px: int) -> int:
    return max(-(-least_px // max(sample.size)), 1)


def _write(folder: Path, name: str, picture: Image, words: str) -> Picture:
    write_png(folder / FOLDER / name, picture)
    return Picture(file=f"{FOLDER}/{name}", words=words)
