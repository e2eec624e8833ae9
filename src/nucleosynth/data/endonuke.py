"""EndoNuke: 1780 IHC tiles of endometrium, 100 um wide, nuclei as points (Naumov et al., Data, 2022).

Layout: dataset/{files_lists,images,labels,metadata} and master_ymls/unique.yaml. Labels are labels/*/<person>/<id>.txt,
lines of "x y class" (0 stroma, 1 epithelium, 2 other). Several people labelled some tiles; unique.yaml chooses one
label a tile. Without it the first one in natural order is taken, and those passed over counted. Forty tiles have no
label. Tiles have 200^2 px at .5 um or 400^2 at .25 um; for any size, mpp is 100 um by the side. Patients cannot be told
from the names: the tile is the source.

The points are the labels. Masks are grown from them, by marker watershed as published: each point is a marker, the
lightest of three grey classes (multi-Otsu) is background, the gradient (Sobel) is the landscape; nuclei outside
18..667 px, for a tile of 256^2, are outliers, and become discs of the average, 163 px. Two departures: one watershed of
the whole tile instead of a window for each nucleus, and a disc takes no pixel of a neighbour.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_multiotsu

from nucleosynth.data.endonuke_lists import Tile, tiles
from nucleosynth.data.files import existing_folder, not_the, text
from nucleosynth.data.findings import Note, each_tile, strictly, with_repairs
from nucleosynth.data.images import read_image
from nucleosynth.errors import UserError
from nucleosynth.instances.watershed import watershed
from nucleosynth.sample import Classes, Image, Instances, Layout, Sample

CLASS_NAMES = ("stroma", "epithelium", "other")
SIDE_UM = 100.0
SIDE_PX = 256
"""The side of a tile for which the published sizes hold."""
SIZES_PX = (18, 667)
AVERAGE_PX = 163

CLIPPED = "points on the tile's border, moved into it"
NO_POINT = "labels without a point, their tiles taken to hold no nucleus"
SHARED = "points on the pixel of another one, whose nucleus they share"
OUTLIERS = "nuclei that the watershed makes too small or too large, drawn as discs"
PASSED_OVER = "labels by other annotators, passed over"


def read(where: str, note: Note = strictly) -> Iterator[Sample]:
    """The labelled tiles of EndoNuke in natural order of ids; `where` holds dataset and master_ymls, or is dataset.

    Raises:
        UserError: no such folder; no tile in it; lists that are broken, do not pair, or lead out of the folder; and,
            through `note`, a broken image or a label with a bad line.
    """
    root = existing_folder(where, "the EndoNuke folder, with dataset and master_ymls")
    dataset = _dataset(root)
    yield from each_tile(_load, tiles(dataset, dataset.parent / "master_ymls" / "unique.yaml", note), note)


def _dataset(root: Path) -> Path:
    for folder in (root / "dataset", root / "data" / "dataset", root):
        if (folder / "images").is_dir() and (folder / "labels").is_dir():
            return folder.resolve()
    raise not_the(
        "the EndoNuke folder",
        root,
        "dataset/images, dataset/labels and master_ymls/unique.yaml",
        "give the folder that holds dataset and master_ymls",
    )


def _load(tile: Tile) -> Sample:
    image = read_image(tile.image)
    height, width = image.shape[:2]
    if height != width:
        raise UserError(
            "not an EndoNuke tile",
            expected="a square",
            got=f"{height} x {width} px",
            where=str(tile.image),
            mend="unpack the images again",
        )
    repairs: Counter[str] = Counter({PASSED_OVER: tile.passed_over})
    points = _points(tile.label, width, repairs)
    instances, classes = nuclei_of(image, points, repairs)
    return Sample(
        sample_id=tile.name,
        image=image,
        instances=instances,
        classes=classes,
        class_names=CLASS_NAMES,
        source=f"endonuke/{tile.name}",
        mpp=points.mpp,
        tissue="endometrium",
        stain="IHC",
        licence="CC BY 4.0",
        labelled_as="derived",
        points=points,
        quality=with_repairs({"derived_mask": "marker watershed, multi-Otsu"}, repairs),
    )


def _points(path: Path, side: int, repairs: Counter[str]) -> Layout:
    """The points of a label file, for a tile of `side` px; those on its border are moved into it."""
    rows = [
        _point(line.split(), side, f"{path}, line {number}")
        for number, line in enumerate(text(path, path.parent).splitlines(), start=1)
        if line.strip()
    ]
    repairs[NO_POINT] += not rows
    table = np.array(rows, np.float32).reshape(-1, 3)
    xy, kinds = table[:, :2], table[:, 2].astype(np.uint8)
    out = ((xy < -0.5) | (xy >= side - 0.5)).any(axis=1)
    repairs[CLIPPED] += int(out.sum())
    xy[out] = xy[out].clip(0, side - 1)
    return Layout(xy, kinds + np.uint8(1), (side, side), CLASS_NAMES, SIDE_UM / side)


def _point(words: list[str], side: int, where: str) -> tuple[float, float, float]:
    """One line as x, y and class 0..2; a point may lie a pixel outside the tile's centres, that is on its border."""
    try:
        x, y, kind = map(float, words)
    except ValueError:
        x, y, kind = np.nan, np.nan, np.nan
    if not (-1 <= x <= side and -1 <= y <= side and kind in range(len(CLASS_NAMES))):
        raise UserError(
            "not a point in the tile",
            expected=f"x y class, x and y in 0..{side}, class in 0..{len(CLASS_NAMES) - 1}",
            got=repr(" ".join(words)),
            where=where,
            mend="unpack the labels again, or correct that line",
        )
    return x, y, kind


def nuclei_of(image: Image, points: Layout, repairs: Counter[str]) -> tuple[Instances, Classes]:
    """Nuclei grown from points, ids in the order of the points, and their classes; `repairs` counts as it goes.

    Of several points on one pixel the first makes the nucleus, so nuclei and shared points add up to the points.
    """
    column, row = np.floor(points.xy + 0.5).astype(np.int64).T
    _, first = np.unique(row * points.size[1] + column, return_index=True)
    first.sort()
    repairs[SHARED] += len(row) - len(first)
    markers = np.zeros(points.size, np.int32)
    markers[row[first], column[first]] = np.arange(1, len(first) + 1)
    grown = _grown(image, markers)
    return _without_outliers(grown, markers, repairs), points.classes[first]


def _grown(image: Image, markers: Instances) -> Instances:
    """The watershed of a tile from markers 1..n and its light background."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    background = int(markers.max(initial=0)) + 1
    seeds = np.where((markers == 0) & _light(grey), np.int32(background), markers)
    gradient = np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))
    grown = watershed(gradient, seeds, np.ones(seeds.shape, bool))
    return np.where(grown == background, np.int32(0), grown)


def _light(grey: NDArray[Any]) -> NDArray[np.bool_]:
    """The lightest of three classes of grey; of fewer than three greys, none."""
    if len(np.unique(grey)) < 3:
        return np.zeros(grey.shape, bool)
    return np.asarray(grey > threshold_multiotsu(grey, classes=3)[1], np.bool_)  # type: ignore[no-untyped-call]


def _without_outliers(grown: Instances, markers: Instances, repairs: Counter[str]) -> Instances:
    """The nuclei, those of impossible size replaced by discs around their points, clipped to what no other one has."""
    scale = grown.shape[0] * grown.shape[1] / SIDE_PX**2
    sizes = np.bincount(grown.ravel(), minlength=int(markers.max(initial=0)) + 1)
    outlier = (sizes < SIZES_PX[0] * scale) | (sizes > SIZES_PX[1] * scale)
    outlier[0] = False
    if not outlier.any():
        return grown
    repairs[OUTLIERS] += int(outlier.sum())
    kept = np.where(outlier[grown], np.int32(0), grown)
    centres = np.where(outlier[markers], markers, np.int32(0))
    distance, (row, column) = ndimage.distance_transform_edt(centres == 0, return_indices=True)
    disc = (kept == 0) & (distance <= np.sqrt(AVERAGE_PX * scale / np.pi))
    return np.where(disc, centres[row, column], kept)
