"""Training crops, drawn fairly from tiles of any size that are coded once.

Every pixel of every tile is as likely as any other; crop i of a batch is a pure function of the generator it is given.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from nucleosynth.conditions import counts as counting
from nucleosynth.conditions.coding import LabelCoding
from nucleosynth.conditions.points import from_instances, gaussian_splats
from nucleosynth.data.tiles import pad_to
from nucleosynth.sample import Classes, Instances, Layout, Sample, transform_array


@dataclass(frozen=True)
class CodedBatch:
    """Crops as a network takes them, float32 (b c h w).

    image: RGB in [-1, 1]; label: the coding's channels; typed: (b 1 h w), 0 in nuclei of unknown type, else 1; points:
    splats of the centroids (all nuclei, then each class of the coding); amounts: (b c), how many there are of each
    (conditions.counts.amounts).
    """

    image: NDArray[np.float32]
    label: NDArray[np.float32]
    typed: NDArray[np.float32]
    points: NDArray[np.float32]
    amounts: NDArray[np.float32]


@dataclass(frozen=True)
class _Tile:
    image: NDArray[np.uint8]
    label: NDArray[np.float16]
    instances: Instances
    classes: Classes
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
        self._tiles = [self._code(pad_to(sample, size)) for sample in samples]
        self._share = _areas([tile.instances.shape for tile in self._tiles])

    def batch(self, generator: np.random.Generator, count: int) -> CodedBatch:
        """That many crops, each under one of the square's eight symmetries."""
        parts = zip(*(self._crop(generator) for _ in range(count)), strict=True)
        return CodedBatch(*(np.stack(part) for part in parts))

    def counts(self, generator: np.random.Generator, crops: int, number_of_classes: int) -> counting.Counts:
        """(crops, C + 1) nuclei of each class, then of unknown type, in that many crops."""
        kinds = (self._kinds(*self._window(generator)) for _ in range(crops))
        return np.stack([counting.from_classes(kind, number_of_classes) for kind in kinds])

    def _window(self, generator: np.random.Generator) -> tuple[_Tile, int, int]:
        tile = self._tiles[generator.choice(len(self._tiles), p=self._share)]
        return tile, *_place(tile.instances.shape, self.size, generator)

    def _kinds(self, tile: _Tile, top: int, left: int) -> Classes:
        """Classes of the nuclei that a window shows."""
        shown = np.unique(tile.instances[top : top + self.size, left : left + self.size])
        return np.asarray(tile.classes[shown[shown > 0] - 1])

    def _crop(self, generator: np.random.Generator) -> tuple[NDArray[np.float32], ...]:
        tile, top, left = self._window(generator)
        symmetry = int(generator.integers(8))
        window = np.s_[top : top + self.size, left : left + self.size]
        image = transform_array(tile.image[window], symmetry).transpose(2, 0, 1).astype(np.float32) / 127.5 - 1
        label = self.coding.transform(tile.label[:, *window].astype(np.float32), symmetry)
        unknown = np.concatenate([[False], tile.classes == 0])[transform_array(tile.instances[window], symmetry)]
        layout = tile.points.crop(top, left, self.size, self.size).transform(symmetry)
        counts = counting.from_classes(self._kinds(tile, top, left), max(self.coding.classes, default=0))
        amounts = counting.amounts(counts, self.coding.channel_classes)
        points = point_channels(layout, self.coding, self.splat_px)
        return image, label, (~unknown[None]).astype(np.float32), points, amounts

    def _code(self, sample: Sample) -> _Tile:
        label = self.coding.encode(sample.instances, sample.classes).astype(np.float16)
        return _Tile(sample.image, label, sample.instances, sample.classes, from_instances(sample))


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
    """Splats of a layout for the classes of a coding: (1 + class channels, h, w); other classes are of unknown type."""
    slots = np.zeros(256, np.uint8)
    if coding.class_channels:
        slots[np.array(coding.classes)] = np.arange(1, len(coding.classes) + 1)
    names = tuple(layout.class_names[c - 1] for c in coding.classes) if coding.class_channels else ()
    return gaussian_splats(replace(layout, classes=slots[layout.classes], class_names=names), splat_px)
