"""Training crops, drawn fairly from tiles of any size that are coded once.

Every pixel of every tile is as likely as any other; crop i of a batch is a pure function of the generator it is given.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nucleosynth.conditions import captions
from nucleosynth.conditions import counts as counting
from nucleosynth.conditions import proportions as proportional
from nucleosynth.conditions.coding import LabelCoding
from nucleosynth.conditions.holes import any_hole
from nucleosynth.conditions.points import from_instances, gaussian_splats
from nucleosynth.conditions.proportions import Proportions, from_label
from nucleosynth.data.tiles import pad_to
from nucleosynth.sample import Classes, Instances, Layout, Sample, transform_array


@dataclass(frozen=True)
class CodedBatch:
    """Crops as a network takes them, float32 (b c h w).

    image: RGB in [-1, 1]; label: the coding's channels; typed: (b 1 h w), 0 in nuclei of unknown type, else 1; points:
    splats of the centroids (all nuclei, then each class of the coding); counts, proportions: (b c), amounts of each
    (conditions.counts, conditions.proportions); tissue: (b c), 1 for the crop's own among all tissues; reference:
    another window of the same source, as image; hole: (b 1 h w), 1 in a region to be painted anew; captions: a
    sentence each.
    """

    image: NDArray[np.float32]
    label: NDArray[np.float32]
    typed: NDArray[np.float32]
    points: NDArray[np.float32]
    counts: NDArray[np.float32]
    proportions: NDArray[np.float32]
    tissue: NDArray[np.float32]
    reference: NDArray[np.float32]
    hole: NDArray[np.float32]
    captions: tuple[str, ...]


class Amounts(NamedTuple):
    """What a crop holds: nuclei of each class, then of unknown type (C + 1,), and the share of its area of each."""

    counts: counting.Counts
    proportions: Proportions


@dataclass(frozen=True)
class _Tile:
    sample: Sample
    label: NDArray[np.float16]
    points: Layout


@dataclass(frozen=True)
class Colours:
    """Mean and spread of each RGB channel, of values in [-1, 1]."""

    mean: tuple[float, ...]
    spread: tuple[float, ...]


class Crops:
    """Windows of some tiles, drawn as Samples: whatever is computed from a window belongs to it exactly."""

    def __init__(self, samples: Sequence[Sample], size: int) -> None:
        """samples: at the resolution to draw at; size: side of the windows in px; smaller tiles are mirrored."""
        self.size = size
        self._tiles = [pad_to(sample, size) for sample in samples]
        self._share = _areas([sample.size for sample in self._tiles])

    def draw(self, generator: np.random.Generator) -> Sample:
        """A window in which every pixel is as likely as any other, under one of the square's eight symmetries."""
        tile = self._tiles[generator.choice(len(self._tiles), p=self._share)]
        top, left = _place(tile.size, self.size, generator)
        return tile.crop(top, left, self.size, self.size).transform(int(generator.integers(8)))


class CodedTiles:
    """Tiles at one resolution, coded once and kept in memory (label channels in half precision)."""

    def __init__(self, samples: Sequence[Sample], coding: LabelCoding, size: int, splat_px: float) -> None:
        """samples: at the resolution to train at; size: side of the crops in px; smaller tiles are mirrored."""
        self.coding, self.size, self.splat_px = coding, size, splat_px
        self.tissues = tissues_of(samples)
        self._tiles = [self._code(pad_to(sample, size)) for sample in samples]
        self._share = _areas([tile.sample.size for tile in self._tiles])
        self._of_source: dict[str, list[int]] = {}
        for index, tile in enumerate(self._tiles):
            self._of_source.setdefault(tile.sample.source, []).append(index)

    def batch(self, generator: np.random.Generator, count: int) -> CodedBatch:
        """That many crops, each under one of the square's eight symmetries."""
        *arrays, sentences = zip(*(self._crop(generator) for _ in range(count)), strict=True)
        return CodedBatch(*map(np.stack, arrays), captions=sentences)  # type: ignore[misc,arg-type]

    def amounts(self, generator: np.random.Generator, number_of_classes: int) -> tuple[Amounts, str]:
        """What a crop holds, and its tissue."""
        tile, top, left = self._window(generator)
        return self._amounts(self._label(tile, top, left), number_of_classes), tile.sample.tissue

    def _window(self, generator: np.random.Generator) -> tuple[_Tile, int, int]:
        tile = self._tiles[generator.choice(len(self._tiles), p=self._share)]
        return tile, *_place(tile.sample.size, self.size, generator)

    def _label(self, tile: _Tile, top: int, left: int) -> tuple[Instances, Classes]:
        """The nuclei of a window, ids as in the tile, and the tile's classes, 0 for nuclei outside."""
        return tile.sample.instances[top : top + self.size, left : left + self.size], tile.sample.classes

    def _amounts(self, label: tuple[Instances, Classes], number_of_classes: int) -> Amounts:
        instances, classes = label
        shown = np.unique(instances)
        kinds = np.asarray(classes[shown[shown > 0] - 1])
        return Amounts(
            counting.from_classes(kinds, number_of_classes), from_label(instances, classes, number_of_classes)
        )

    def _crop(self, generator: np.random.Generator) -> tuple[Any, ...]:
        tile, top, left = self._window(generator)
        sample, symmetry = tile.sample, int(generator.integers(8))
        window = np.s_[top : top + self.size, left : left + self.size]
        instances, classes = self._label(tile, top, left)
        label = self.coding.transform(tile.label[:, *window].astype(np.float32), symmetry)
        unknown = np.concatenate([[False], classes == 0])[transform_array(instances, symmetry)]
        layout = tile.points.crop(top, left, self.size, self.size).transform(symmetry)
        held = self._amounts((instances, classes), max(self.coding.classes, default=0))
        told_apart = self.coding.told_apart
        return (
            network_image(transform_array(sample.image[window], symmetry)),
            label,
            (~unknown[None]).astype(np.float32),
            point_channels(layout, self.coding, self.splat_px),
            counting.amounts(held.counts, told_apart),
            proportional.amounts(held.proportions, told_apart),
            np.array([sample.tissue == name for name in self.tissues], np.float32),
            self._reference(sample.source, generator),
            any_hole((self.size, self.size), generator)[None].astype(np.float32),
            self._caption(sample, classes[np.unique(instances[instances > 0]) - 1], generator),
        )

    def _reference(self, source: str, generator: np.random.Generator) -> NDArray[np.float32]:
        image = self._tiles[generator.choice(self._of_source[source])].sample.image
        top, left = _place(image.shape[:2], self.size, generator)
        return network_image(image[top : top + self.size, left : left + self.size])

    def _caption(self, sample: Sample, kinds: Classes, generator: np.random.Generator) -> str:
        """The tile's own caption, or the sentence for the nuclei of a window."""
        names = captions.names_of(kinds, sample.class_names)
        return sample.caption or captions.caption(sample.tissue, sample.stain, names, generator)

    def _code(self, sample: Sample) -> _Tile:
        label = self.coding.encode(sample.instances, sample.classes).astype(np.float16)
        return _Tile(sample, label, from_instances(sample))


def tissues_of(samples: Sequence[Sample]) -> tuple[str, ...]:
    """The tissues that are told apart: all that occur; none where there is one."""
    found = sorted({sample.tissue for sample in samples})
    return tuple(found) if len(found) > 1 else ()


def network_image(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(h w 3) uint8 -> (3 h w) in [-1, 1]."""
    return image.transpose(2, 0, 1).astype(np.float32) / np.float32(127.5) - 1


def _areas(sizes: Sequence[tuple[int, ...]]) -> NDArray[np.float64]:
    """The share of each tile (h w) in the area of all."""
    areas = np.prod(np.array(sizes, np.float64), axis=1)
    return np.asarray(areas / areas.sum())


def _place(size: tuple[int, ...], side: int, generator: np.random.Generator) -> tuple[int, int]:
    """Top and left of a window of side^2 px in a tile of `size` (h w)."""
    top, left = (int(generator.integers(0, extent - side + 1)) for extent in size)
    return top, left


def colours_of(samples: Sequence[Sample]) -> Colours:
    """The colours of some tiles."""
    pixels = np.concatenate([sample.image.reshape(-1, 3)[::7] for sample in samples]) / 127.5 - 1
    return Colours(tuple(pixels.mean(axis=0).tolist()), tuple(np.maximum(pixels.std(axis=0), 0.05).tolist()))


def point_channels(layout: Layout, coding: LabelCoding, splat_px: float) -> NDArray[np.float32]:
    """Splats of a layout: (1 + classes that a coding tells apart, h, w); other classes are of unknown type."""
    slots = np.zeros(256, np.uint8)
    slots[list(coding.told_apart)] = np.arange(1, len(coding.told_apart) + 1)
    names = tuple(layout.class_names[c - 1] for c in coding.told_apart)
    return gaussian_splats(replace(layout, classes=slots[layout.classes], class_names=names), splat_px)
