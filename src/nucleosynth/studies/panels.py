"""Galleries of what a method makes: the papers' panels, many samples of one layout, one mask through each method.

Layouts are those of held-out windows (see held_out.py), at a method's own size and resolution.
"""

from collections.abc import Mapping, Sequence
from itertools import repeat
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nucleosynth.methods.method import Method
from nucleosynth.metrics.diversity import diversity
from nucleosynth.pictures import class_colours
from nucleosynth.report.results import Gallery, Picture, Row
from nucleosynth.sample import Condition, Image, Sample
from nucleosynth.studies.figures import some
from nucleosynth.studies.held_out import condition_of, full, gives, windows
from nucleosynth.studies.layers import LAYERS, panel, shown_image, shown_mask, shown_points
from nucleosynth.studies.painting import save

PANELS, LAYOUTS, SAMPLES = 4, 3, 6
"""Rows of panels; layouts that samples are made for, and how many for each."""
COMPARED = 32
"""Windows at most that are compared with each other."""


class Followed(NamedTuple):
    """A held-out window, the condition that was taken from it, and what a method made for that."""

    window: Sample
    condition: Condition
    made: list[Sample]


def of_maker(
    label: str,
    method: Method | None,
    made: Sequence[Sample],
    held_out: Sequence[Sample],
    folder: Path,
    place: str,
    seed: int,
) -> tuple[tuple[Gallery, ...], float | None]:
    """All galleries of one maker, and its diversity (None where it takes no points).

    made: its pairs; without a method, or points that it takes, the panels show these, else what it makes for points.
    """
    held = _windows(method, held_out, seed) if method else []
    followed = _followed(method, held, seed) if method else []
    if not followed:
        return (panels(label, made, None, folder, place, seed),), None
    pairs, references = [each.made[0] for each in followed], [each.window for each in followed]
    galleries = (
        panels(label, pairs, references, folder, place, seed),
        _layouts(label, followed, folder, place),
    )
    return galleries, _diversity(followed, held, seed)


def panels(
    label: str, made: Sequence[Sample], references: Sequence[Sample] | None, folder: Path, place: str, seed: int
) -> Gallery:
    """Some of the samples layer by layer, drawn by the seed; beside each the real tile whose layout it was given."""
    rows = []
    for row, k in enumerate(some(range(len(made)), PANELS, seed)):
        name, reference = f"{place}_panel_{row}", references[k] if references else None
        pictures = _layers(made[k], folder, name)
        if reference:
            words = f"{reference.sample_id}: {_nuclei(len(reference.classes))}"
            pictures += (_save(folder, f"{name}_real", shown_image(reference), words, reference),)
        rows.append(Row(label=made[k].sample_id, pictures=pictures, words=made[k].caption))
    return Gallery(
        name="panels",
        title=f"{label}: layer by layer",
        words="Made tiles, drawn by the seed. Semantic and points in the colours of the classes; each instance in a "
        "colour of its own; distance to the centre of each nucleus, dark at the centre."
        + (" The real tile is the held-out one whose points were given." if references else ""),
        columns=(*LAYERS, "real reference") if references else LAYERS,
        rows=tuple(rows),
    )


def one_mask(
    methods: Mapping[str, Method], tiles: Sequence[Sample], folder: Path, place: str, seed: int
) -> Gallery | None:
    """One held-out label through every method that takes one, by the names given; None if none does.

    The window is as large as the smallest tile of these methods, at the finest of their resolutions.
    """
    takers = {name: method for name, method in methods.items() if gives(method, "instances")}
    if not takers:
        return None
    mpp = min((method.mpp for method in takers.values() if method.mpp), default=None)
    side = min(int(min(method.size) * (method.mpp or mpp or 1) / (mpp or 1)) for method in takers.values())
    chosen = full(windows(tiles, side, mpp, seed), 1, seed)
    if not chosen:
        return None
    (window,) = chosen
    name = f"{place}_mask"
    pictures = [
        _save(folder, f"{name}_given", shown_mask(window), _nuclei(len(window.classes)), window),
        _save(folder, f"{name}_real", shown_image(window), window.sample_id, window),
    ]
    for k, (maker, method) in enumerate(takers.items()):
        (made,) = method.generate(iter([condition_of(window, "instances", method)]), seed, count=1, batch=1)
        pictures.append(_save(folder, f"{name}_{k}", shown_image(made), maker, made))
    return Gallery(
        name="one mask",
        title="One mask through each method",
        words="The label of a held-out window, drawn by the seed among those with at least the median number of "
        "nuclei, and the image that each method makes for it.",
        columns=("mask", "real image", *takers),
        rows=(Row(label=window.sample_id, pictures=tuple(pictures)),),
    )


def _windows(method: Method, tiles: Sequence[Sample], seed: int) -> list[Sample]:
    return windows(tiles, min(method.size), method.mpp, seed)


def _diversity(followed: Sequence[Followed], held: Sequence[Sample], seed: int) -> float | None:
    real = [window.image for window in some(held, COMPARED, seed)]
    return diversity([[sample.image for sample in each.made] for each in followed], real)


def _followed(method: Method, held: Sequence[Sample], seed: int) -> list[Followed]:
    """What a method makes for the points of some windows; nothing if it takes none."""
    if not gives(method, "points"):
        return []
    chosen = full(held, LAYOUTS, seed)
    conditions = [condition_of(window, "points", method) for window in chosen]
    asked = [condition for each in conditions for condition in repeat(each, SAMPLES)]
    made = list(method.generate(iter(asked), seed, count=len(asked), batch=SAMPLES))
    parts = (made[k : k + SAMPLES] for k in range(0, len(made), SAMPLES))
    return [Followed(*each) for each in zip(chosen, conditions, parts, strict=True)]


def _layouts(label: str, followed: Sequence[Followed], folder: Path, place: str) -> Gallery:
    rows = []
    for k, (window, condition, made) in enumerate(followed):
        name = f"{place}_layout_{k}"
        assert condition.points is not None, "points are what is followed"
        given = shown_points(condition.points)
        pictures = [
            _save(folder, f"{name}_points", given, _nuclei(len(condition.points.xy)), window),
            _save(folder, f"{name}_real", shown_image(window), "", window),
        ]
        pictures += [
            _save(folder, f"{name}_{n}", shown_image(sample), _nuclei(len(sample.classes)), sample)
            for n, sample in enumerate(made)
        ]
        rows.append(Row(label=window.sample_id, pictures=tuple(pictures)))
    return Gallery(
        name="one layout",
        title=f"{label}: one point map, many samples",
        words="The points of a held-out window were given again and again; only the noise differs. Windows are drawn "
        "by the seed among those with at least the median number of nuclei.",
        columns=("points", "real", *(f"sample {n}" for n in range(1, SAMPLES + 1))),
        rows=tuple(rows),
    )


def _layers(sample: Sample, folder: Path, name: str) -> tuple[Picture, ...]:
    nuclei = _nuclei(len(sample.classes))
    words = ("", _kinds(sample), nuclei, "", "")
    return tuple(
        _save(folder, f"{name}_{layer}", picture, text, sample)
        for layer, picture, text in zip(LAYERS, panel(sample), words, strict=True)
    )


def _save(folder: Path, name: str, picture: Image, words: str, of: Sample) -> Picture:
    return save(folder, name, picture, words, class_colours(len(of.class_names)))


def _kinds(sample: Sample) -> str:
    """How many nuclei of each class that occurs: "3 inflammatory, 1 of unknown type"."""
    counts = np.bincount(sample.classes, minlength=len(sample.class_names) + 1).tolist()
    named = zip((*sample.class_names, "of unknown type"), (*counts[1:], counts[0]), strict=True)
    return ", ".join(f"{count} {name}" for name, count in named if count)


def _nuclei(count: int) -> str:
    return f"{count} nucle{'us' if count == 1 else 'i'}"
