"""The study's pictures of tiles: windows as pairs of image and label, test tiles, and what judges saw in them.

What is shown is drawn by the seed or by a stated rule, never chosen by eye.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from nucleosynth.pictures import class_colours, enlarged
from nucleosynth.report.results import Picture
from nucleosynth.sample import Image, Sample
from nucleosynth.seeds import generator_of
from nucleosynth.studies import verdicts
from nucleosynth.studies.painting import beside, factor_for, labelled, middle, save

Item = TypeVar("Item")
PAIRS, TESTS = 12, 3
"""How many are shown."""
PAIR_PX = 192
"""Least side of either half of a pair."""


def write_pairs(folder: Path, name: str, samples: Sequence[Sample], seed: int) -> tuple[Picture, ...]:
    """Draw some of the samples by the seed and write each as a picture: the image, and beside it with outlines."""
    return tuple(
        save(folder, f"{name}_{k:02d}", pair(sample), sample.sample_id, class_colours(len(sample.class_names)))
        for k, sample in enumerate(some(samples, PAIRS, seed))
    )


def write_truths(folder: Path, name: str, tests: Sequence[Sample]) -> tuple[Picture, ...]:
    """The shown test tiles with their true nuclei in class colours."""
    return tuple(
        save(
            folder,
            f"{name}_{k:02d}",
            labelled(middle(sample), verdicts.TEST_PX),
            sample.sample_id,
            class_colours(len(sample.class_names)),
        )
        for k, sample in enumerate(tests[n] for n in shown(tests))
    )


def write_predictions(
    folder: Path, name: str, tests: Sequence[Sample], predictions: Sequence[Sample]
) -> tuple[Picture, ...]:
    """The same tiles with what a judge found, missed and made up."""
    return tuple(
        save(folder, f"{name}_{k:02d}", *verdicts.verdict(tests[n], predictions[n]), verdicts.COLOURS)
        for k, n in enumerate(shown(tests))
    )


def shown(tests: Sequence[Sample]) -> list[int]:
    """Which test tiles are shown: those with most nuclei, the first on ties."""
    return sorted(np.argsort([-len(sample.classes) for sample in tests], kind="stable")[:TESTS].tolist())


def some(items: Sequence[Item], count: int, *keys: int) -> list[Item]:
    """`count` of them at most, drawn by the keys, in order."""
    return [items[n] for n in np.sort(generator_of(*keys).permutation(len(items))[:count])]


def pair(sample: Sample) -> Image:
    """The middle of the image and, beside it, the same with nuclei outlined in class colours."""
    part = middle(sample)
    return beside(enlarged(part.image, factor_for(part.size, PAIR_PX)), labelled(part, PAIR_PX))
