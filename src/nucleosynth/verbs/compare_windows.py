"""The windows that `nucleosynth compare` looks at: cut alike on both sides, drawn by the seed, seen batch by batch."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucleosynth.data.tiles import size_at
from nucleosynth.data.windows import Cutting, measure, prepared, windows
from nucleosynth.encoders import encoder as encoders
from nucleosynth.encoders.encoder import Encoder
from nucleosynth.errors import UserError
from nucleosynth.metrics.distribution import MEASURES
from nucleosynth.metrics.proportions import class_proportions
from nucleosynth.metrics.shapes import Label, Measured, measured
from nucleosynth.progress import count_of, progress, say
from nucleosynth.sample import Sample
from nucleosynth.seeds import generator_of

OF_NUCLEI = ("shapes", "counts")
"""Measures of the labels' nuclei; each class has numbers of its own."""
OF_LABELS = ("fsd", *OF_NUCLEI)
LARGEST_PX = 256
AT_ONCE = 32
"""Windows that the encoder is given at once."""
UNITS = 6
"""Sources, or else tiles, that a side must have for them to be drawn as a whole."""
Tiles = Callable[[], Iterator[Sample]]


@dataclass(frozen=True)
class Seen:
    """What is known of the windows of one side: rows by what they are of, nuclei (of shapes and counts alone), and what
    is drawn together: of what kind, and the groups (n,), None for single windows."""

    windows: int
    rows: dict[str, NDArray[Any]]
    nuclei: list[Measured]
    class_names: tuple[str, ...]
    drawn: str
    groups: NDArray[Any] | None


def cutting_for(
    sides: tuple[Tiles, Tiles], names: tuple[str, str], size: int | None, mpp: float | None, source_mpp: float | None
) -> Cutting:
    """Windows that both sides can be cut into: of `size` at `mpp`, else the largest and the coarsest that both allow.

    Raises:
        UserError: tiles of unknown resolution beside known ones, or a number that is not above 0.
    """
    tiles = [(sample.size, sample.mpp or source_mpp) for side in sides for sample in side()]
    known = [each for _, each in tiles if each is not None]
    if known and len(known) < len(tiles):
        raise UserError(
            "tiles of unknown resolution beside known ones",
            expected="micrometres per pixel of every tile, or of none",
            got=f"{len(tiles) - len(known)} of {len(tiles)} tiles state none",
            where=" and ".join(names),
            mend="say what it is with --source-mpp (about 0.25 at 40x, 0.5 at 20x)",
        )
    wanted = mpp or (max(known) if known else None)
    if wanted is not None and known:
        tiles = [(size_at(extent, each or wanted, wanted), wanted) for extent, each in tiles]
    if size is None:
        size = min(LARGEST_PX, *(min(extent) for extent, _ in tiles))
    return Cutting(size, size, wanted, source_mpp)


def chosen_windows(
    tiles: Tiles, cutting: Cutting, n: int | None, keys: tuple[int, int], metrics: Sequence[str], data: str
) -> NDArray[np.intp]:
    """The numbers of the windows to look at, ascending: n of them, drawn by `keys`, or all.

    Raises:
        UserError: fewer than a metric needs, or a tile that is smaller than a window.
    """
    total = measure(tiles(), cutting).windows
    least = max(MEASURES[name].least if name in MEASURES else 2 for name in metrics)
    if min(total, n or total) < least:
        raise UserError(
            "too few windows",
            expected=f"at least {least} for {', '.join(metrics)}",
            got=f"{count_of(min(total, n or total), 'window')} of {cutting.size} px",
            where=data,
            mend="give more tiles, a smaller --size, or other --metrics",
        )
    if n is not None and n > total:
        say(f"{data}: there are {total} windows, and all are taken")
    return np.sort(generator_of(*keys).permutation(total)[:n])


def look(
    tiles: Tiles, cutting: Cutting, encode: Encoder, chosen: NDArray[np.intp], metrics: Sequence[str], data: str
) -> Seen:
    """The chosen windows, encoded batch by batch; no more of them than a batch are in memory.

    Raises:
        UserError: several schemes of classes, or points without masks, where metrics are of labels.
    """
    kinds = {MEASURES[name].of for name in metrics if name in MEASURES}
    of_labels = [name for name in metrics if name in OF_LABELS]
    features: list[NDArray[np.float32]] = []
    proportions, nuclei = [], []
    sources, names, class_names = [], [], set()
    wanted = _wanted(tiles, cutting, chosen)
    with progress(f"encode {data}", len(chosen)) as report:
        while some := list(islice(wanted, AT_ONCE)):
            if kinds - {"proportions"}:
                features.append(encode(np.stack([window.image for _, window in some])))
            if of_labels:
                _check_masks([window for _, window in some], of_labels, data)
            if "proportions" in kinds:
                proportions += [_proportions(window) for _, window in some]
            if set(of_labels) & set(OF_NUCLEI):
                nuclei += [_measured(window) for _, window in some]
            sources += [window.source for _, window in some]
            names += [name for name, _ in some]
            class_names |= {window.class_names for _, window in some}
            report(len(names))
    rows: dict[str, NDArray[Any]] = {}
    if features:
        rows["features"] = np.concatenate(features)
    if "probabilities" in kinds:
        rows["probabilities"] = encoders.classifier(encode).classify(rows["features"])
    if of_labels and len(class_names) > 1:
        raise other_classes(class_names, of_labels, data)
    if proportions:
        rows["proportions"], rows["foreground"] = (np.array(part) for part in zip(*proportions, strict=True))
    return Seen(len(names), rows, nuclei, class_names.pop(), *_units(sources, names))


def other_classes(found: set[tuple[str, ...]], metrics: Sequence[str], where: str) -> UserError:
    """The error for labels whose classes cannot be compared."""
    return UserError(
        "other classes",
        expected=f"the same class names on all tiles, for {', '.join(metrics)}",
        got="; ".join(sorted(", ".join(names) for names in found)),
        where=where,
        mend=f"read both in one scheme with --classes, or leave {', '.join(metrics)} out of --metrics",
    )


def _wanted(tiles: Tiles, cutting: Cutting, chosen: NDArray[np.intp]) -> Iterator[tuple[str, Sample]]:
    """The chosen windows, each with the name of its tile."""
    keep, k = set(chosen.tolist()), 0
    for sample in tiles():
        for window in windows(prepared(sample, cutting), cutting):
            if k in keep:
                yield sample.sample_id, window.sample
            k += 1


def _check_masks(some: list[Sample], metrics: Sequence[str], data: str) -> None:
    if any(window.labelled_as == "points" for window in some):
        raise UserError(
            "no masks to measure",
            expected=f"nuclei with masks, for {', '.join(metrics)}",
            got="points alone",
            where=data,
            mend=f"leave {', '.join(metrics)} out of --metrics",
        )


def _measured(window: Sample) -> Measured:
    """A window of unknown resolution, of which nothing but counts is asked, counts as one of 1 um a pixel."""
    return measured(Label(window.instances, window.classes, window.mpp or 1.0), len(window.class_names))


def _proportions(window: Sample) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Per cent in each class, with the background and without."""
    given = (window.instances, window.classes, len(window.class_names))
    return class_proportions(*given, background=True), class_proportions(*given, background=False)


def _units(sources: list[str], tiles: list[str]) -> tuple[str, NDArray[Any] | None]:
    """What is drawn as a whole: the largest unit of which there are enough."""
    for name, units in (("sources", sources), ("tiles", tiles)):
        if len(set(units)) >= UNITS:
            return name, np.unique(units, return_inverse=True)[1]
    return "windows", None
