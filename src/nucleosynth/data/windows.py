"""Tiles cut into windows at one resolution: what `nucleosynth tiles` writes, and what a subset chooses from.

A window is named after its tile and its upper left corner, in px of the resampled tile. Its nuclei get ids of their
own; `Window.ids` says which nuclei of the tile they are, since overlapping windows show some of them more than once.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nucleosynth.data.findings import without_repairs
from nucleosynth.data.tiles import grid, pad_to, resample, size_at
from nucleosynth.errors import UserError
from nucleosynth.sample import Sample

MIRRORED = "mirrored_px"
"""The key of `Sample.quality` that says how many rows and columns of a window's tile are mirror images."""


@dataclass(frozen=True)
class Cutting:
    """How tiles are cut: windows of `size`^2 px at every `stride` px, of tiles brought to `mpp` (None = left as is).

    source_mpp: the resolution of tiles that state none; mirror: smaller tiles are padded by their mirror image.

    Raises:
        UserError: a number that is not above 0.
    """

    size: int
    stride: int
    mpp: float | None = None
    source_mpp: float | None = None
    mirror: bool = False

    def __post_init__(self) -> None:
        for name in ("size", "stride", "mpp", "source_mpp"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                option = "--" + name.replace("_", "-")
                raise UserError(f"{option} is no length", expected="a number above 0", got=str(value), where=option)


class Window(NamedTuple):
    """A window: nucleus k of `sample` is nucleus `ids[k - 1]` of the tile; whole[k - 1]: all of it is in the window."""

    sample: Sample
    ids: NDArray[np.intp]
    whole: NDArray[np.bool_]


class Extent(NamedTuple):
    """What there is to cut: numbers of tiles, of windows, of nuclei labelled by masks, of points of tiles that are
    labelled by points alone, and of tiles that stated no resolution."""

    tiles: int
    windows: int
    nuclei: int
    points: int
    without_mpp: int


def points_alone(sample: Sample) -> int:
    """The number of points of a tile that has no masks, 0 for any other."""
    return len(sample.points.xy) if sample.labelled_as == "points" and sample.points else 0


def measure(samples: Iterable[Sample], cutting: Cutting) -> Extent:
    """Look at all tiles, one at a time, before any of them is cut.

    Raises:
        UserError: a tile of unknown resolution where one is asked for, or one that is smaller than a window.
    """
    tiles = windows = nuclei = points = without_mpp = 0
    for sample in samples:
        tiles += 1
        windows += len(_origins(_size(sample, cutting), cutting, sample.sample_id))
        nuclei += len(sample.classes)
        points += points_alone(sample)
        without_mpp += sample.mpp is None
    return Extent(tiles, windows, nuclei, points, without_mpp)


def prepared(sample: Sample, cutting: Cutting) -> Sample:
    """The tile as it is cut: at its resolution, and mirrored where it is smaller than a window.

    Raises:
        UserError: its resolution is unknown where one is asked for, or it has more nuclei than new pixels.
    """
    if sample.mpp is None and cutting.source_mpp is not None:
        points = sample.points and replace(sample.points, mpp=cutting.source_mpp)
        sample = replace(sample, mpp=cutting.source_mpp, points=points)
    if cutting.mpp is not None:
        sample = resample(sample, cutting.mpp)
    if not cutting.mirror or min(sample.size) >= cutting.size:
        return sample
    padded = pad_to(sample, cutting.size)
    added = [new - old for new, old in zip(padded.size, sample.size, strict=True)]
    quality: dict[str, Any] = {**sample.quality, MIRRORED: {"below": added[0], "right": added[1]}}
    return replace(padded, quality=quality)


def windows(tile: Sample, cutting: Cutting) -> Iterator[Window]:
    """The windows of a prepared tile, row by row, the last row and column aligned to its border.

    What was repaired was counted over the whole tile, so no window has it.

    Raises:
        UserError: the tile is smaller than a window.
    """
    sizes = np.bincount(tile.instances.ravel(), minlength=len(tile.classes) + 1)
    side = cutting.size
    for top, left in _origins(tile.size, cutting, tile.sample_id):
        window = tile.instances[top : top + side, left : left + side]
        shown = np.bincount(window.ravel(), minlength=len(sizes))
        ids = np.flatnonzero(shown[1:]) + 1
        name, quality = f"{tile.sample_id}_y{top}_x{left}", without_repairs(tile.quality)
        sample = replace(tile.crop(top, left, side, side), sample_id=name, quality=quality)
        yield Window(sample, ids, shown[ids] == sizes[ids])


def _size(sample: Sample, cutting: Cutting) -> tuple[int, int]:
    """(h w) of the tile once it is prepared."""
    mpp, size = sample.mpp or cutting.source_mpp, sample.size
    if cutting.mpp is not None and mpp is None:
        raise UserError(
            "unknown resolution",
            expected=f"micrometres per pixel of every tile, to bring it to {cutting.mpp:g}",
            got="a tile that states none",
            where=f"sample {sample.sample_id!r}",
            mend="say what it is with --source-mpp (about 0.25 at 40x, 0.5 at 20x), or leave --mpp out",
        )
    if cutting.mpp is not None and mpp is not None:
        size = size_at(size, mpp, cutting.mpp)
    return (max(size[0], cutting.size), max(size[1], cutting.size)) if cutting.mirror else size


def _origins(size: tuple[int, int], cutting: Cutting, name: str) -> list[tuple[int, int]]:
    if min(size) < cutting.size:
        at = f" at {cutting.mpp:g} um per px" if cutting.mpp is not None else ""
        raise UserError(
            "a tile is smaller than the window",
            expected=f"at least {cutting.size} x {cutting.size} px{at}",
            got=f"{size[1]} x {size[0]} px",
            where=f"sample {name!r}",
            mend=f"take --size {min(size)} or less, or pad such tiles with `nucleosynth tiles --mirror`",
        )
    return grid(size, cutting.size, cutting.stride)
