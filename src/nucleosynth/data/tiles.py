"""Tiles of the size and resolution that a network wants: resampling, windows, padding.

Resolution is never guessed: a sample without mpp is refused where it matters.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage import measure

from nucleosynth.errors import UserError
from nucleosynth.sample import Classes, Image, Instances, Layout, Sample, without_gaps


def resample(sample: Sample, mpp: float) -> Sample:
    """The tile at another resolution (micrometres per pixel); sides are rounded to whole pixels.

    The image is averaged over area when it shrinks and interpolated bicubically when it grows; labels take the id at
    the new pixel's centre, and no nucleus is lost (see `resize_label`); points move with the pixels.

    Raises:
        UserError: the sample's own mpp is unknown, `mpp` is not positive, or there are more nuclei than new pixels.
    """
    if sample.mpp is None or not mpp > 0:
        raise UserError(
            "unknown resolution",
            expected="micrometres per pixel, of the tile and wanted",
            got=f"{sample.mpp} and {mpp}",
            where=f"sample {sample.sample_id!r}",
            mend="state mpp (meta.toml of a folder; about 0.25 at 40x), or write tiles anew by `tiles --source-mpp`",
        )
    if sample.mpp == mpp:
        return sample
    size = size_at(sample.size, sample.mpp, mpp)
    instances, classes = resize_label(sample.instances, sample.classes, size, f"sample {sample.sample_id!r}")
    return replace(
        sample,
        image=resize_image(sample.image, size),
        instances=instances,
        classes=classes,
        points=resize_points(sample.points, size, mpp) if sample.points else None,
        mpp=mpp,
    )


def size_at(size: tuple[int, int], mpp: float, wanted: float) -> tuple[int, int]:
    """(h w) of a tile of `size` at `mpp`, once it is resampled to `wanted` micrometres per pixel."""
    height, width = (max(round(side * mpp / wanted), 1) for side in size)
    return height, width


def resize_image(image: Image, size: tuple[int, int]) -> Image:
    """The image at another size (h w): averaged over area when it shrinks, bicubic when it grows."""
    interpolation = cv2.INTER_AREA if size[0] < image.shape[0] else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, size[::-1], interpolation=interpolation), np.uint8)


def resize_label(
    instances: Instances, classes: Classes, size: tuple[int, int], where: str = ""
) -> tuple[Instances, Classes]:
    """Instances and classes at another size (h w): the id at each new pixel's centre, then renumbered without gaps.

    A nucleus that no centre meets gets one pixel: of those that it covers the one that holds most of it, from the
    background first, else from a neighbour that keeps another; if all are given away already, the nearest such pixel.

    Raises:
        UserError: there are more nuclei than new pixels; `where` names the tile.
    """
    # The centre of new pixel j lies in old pixel floor((j + 1/2) old / new).
    rows, columns = (
        (2 * np.arange(new) + 1) * old // (2 * new) for old, new in zip(instances.shape, size, strict=True)
    )
    label = np.ascontiguousarray(instances[rows[:, None], columns])
    before = np.bincount(instances.ravel())
    lost = (before > 0) & (np.bincount(label.ravel(), minlength=len(before)) == 0)
    lost[0] = False
    if lost.any():
        _bring_back(label, instances, lost, where)
    return without_gaps(label, classes)


def _bring_back(label: Instances, instances: Instances, lost: NDArray[np.bool_], where: str) -> None:
    """Give each lost nucleus of `instances` (by id) one pixel of `label`, in place."""
    pixels = np.bincount(label.ravel(), minlength=len(lost))
    nuclei = np.count_nonzero(pixels[1:]) + np.count_nonzero(lost)
    if nuclei > label.size:
        raise UserError(
            "more nuclei than pixels",
            expected=f"at most {label.size} nuclei in {label.shape[0]} x {label.shape[1]} px",
            got=str(nuclei),
            where=where,
            mend="keep a finer resolution (a smaller mpp)",
        )
    flat = label.reshape(-1)

    def give(place: int, nucleus: int) -> None:
        # The nucleus still counts 0 pixels, so that nobody takes this one from it.
        pixels[flat[place]] -= 1
        flat[place], lost[nucleus] = nucleus, False

    for place, nucleus in _covered(label, instances, lost):
        if lost[nucleus] and (flat[place] == 0 or pixels[flat[place]] > 1):
            give(place, nucleus)
    for nucleus in np.flatnonzero(lost).tolist():
        free = np.flatnonzero((flat == 0) | (pixels[flat] > 1))
        give(int(free[_nearest(free, label.shape, _centre(instances == nucleus, label.shape))]), nucleus)


def _covered(label: Instances, instances: Instances, lost: NDArray[np.bool_]) -> Iterable[tuple[int, int]]:
    """New pixels (flat) and the lost nuclei whose old pixels have their centres there, in the order in which to give.

    Background goes before nuclei, then what holds most of a nucleus.
    """
    y, x = np.nonzero(lost[instances])
    new = [(2 * at + 1) * to // (2 * old) for at, to, old in zip((y, x), label.shape, instances.shape, strict=True)]
    pairs = instances[y, x] * np.int64(label.size) + np.ravel_multi_index((new[0], new[1]), label.shape)
    found, areas = np.unique(pairs, return_counts=True)
    nuclei, places = np.divmod(found, label.size)
    order = np.lexsort((places, nuclei, -areas, label.reshape(-1)[places] > 0))
    return zip(places[order].tolist(), nuclei[order].tolist(), strict=True)


def _centre(mask: NDArray[np.bool_], size: tuple[int, ...]) -> tuple[float, float]:
    """The centre of mass (y x) of a mask, in px of the same tile at another size."""
    y, x = (
        (at.mean() + 0.5) * new / old - 0.5 for at, new, old in zip(np.nonzero(mask), size, mask.shape, strict=True)
    )
    return float(y), float(x)


def _nearest(places: NDArray[np.intp], size: tuple[int, ...], centre: tuple[float, float]) -> int:
    """Which of some flat places lies nearest to (y x); the first of several."""
    y, x = np.divmod(places, size[1])
    return int(np.argmin((y - centre[0]) ** 2 + (x - centre[1]) ** 2))


def resize_points(points: Layout, size: tuple[int, int], mpp: float | None) -> Layout:
    """Points of a tile of another size (h w); the tile's corner, half a pixel before the first centre, stays."""
    factor = np.array([size[1] / points.size[1], size[0] / points.size[0]])
    xy = ((points.xy + 0.5) * factor - 0.5).clip(-0.5, np.array([size[1], size[0]]) - 0.5)
    return replace(points, xy=xy.astype(np.float32), size=size, mpp=mpp)


def grid(size: tuple[int, int], tile: int, stride: int) -> list[tuple[int, int]]:
    """Origins (top, left) of tile^2 windows at every `stride` px, the last row and column aligned to the border.

    Raises:
        UserError: the window is larger than `size` (h w), or a length is not positive.

    Example:
        >>> grid((1000, 1000), 256, 128)[:2], len(grid((1000, 1000), 256, 128))
        ([(0, 0), (0, 128)], 49)
    """
    if not 0 < tile <= min(size) or stride < 1:
        raise UserError(
            "windows do not fit",
            expected=f"a tile of 1..{min(size)} px and a stride of at least 1",
            got=f"tile {tile}, stride {stride}",
            mend="pad the image to the size of a window, or take a smaller one",
        )
    tops, lefts = ([*range(0, side - tile, stride), side - tile] for side in size)
    return [(top, left) for top in tops for left in lefts]


def pad_to(sample: Sample, tile: int) -> Sample:
    """At least tile^2: the right and lower border are mirrored (without repeating the edge), as often as needed.

    A nucleus that touches the mirror grows across it; the mirror image of any other is a nucleus of its own, of the
    same class. Points are mirrored as well.
    """
    while sample.size[1] < tile:
        sample = _mirror(sample, min(tile - sample.size[1], max(sample.size[1] - 1, 1)))
    if sample.size[0] < tile:
        # Symmetry 7 is the transposition, its own inverse: mirroring down is mirroring right between two of them.
        sample = pad_to(sample.transform(_TRANSPOSE), tile).transform(_TRANSPOSE)
    return sample


_TRANSPOSE = 7


def _mirror(sample: Sample, extra: int) -> Sample:
    height, width = sample.size
    extend = ((0, 0), (0, extra))
    mode: Literal["reflect", "edge"] = "reflect" if width > 1 else "edge"
    instances, classes = _own_ids(np.pad(sample.instances, extend, mode=mode), sample.classes, width)
    points = sample.points
    if points is not None:
        mirrored = points.xy * np.array([-1, 1], np.float32) + np.array([2 * (width - 1), 0], np.float32)
        kept = (mirrored[:, 0] > width - 0.5) & (mirrored[:, 0] <= width + extra - 0.5)
        points = replace(
            points,
            xy=np.concatenate([points.xy, mirrored[kept]]),
            classes=np.concatenate([points.classes, points.classes[kept]]),
            size=(height, width + extra),
        )
    image = np.pad(sample.image, (*extend, (0, 0)), mode=mode)
    return replace(sample, image=image, instances=instances, classes=classes, points=points)


def _own_ids(instances: Instances, classes: Classes, width: int) -> tuple[Instances, Classes]:
    """New ids for what lies right of `width` without touching its original."""
    parts = measure.label(instances, background=0, connectivity=2)  # type: ignore[no-untyped-call]
    apart = ~np.isin(parts, parts[:, :width]) & (parts > 0)
    first, where = np.unique(parts[apart], return_index=True)
    originals = instances[apart][where]
    instances = instances.copy()
    instances[apart] = len(classes) + 1 + np.searchsorted(first, parts[apart])
    return instances, np.concatenate([classes, classes[originals - 1]])
