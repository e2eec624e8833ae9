"""The colours of real and synthetic tiles, tissue by tissue: in numbers, and side by side."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nucleosynth.data.stain import RUIFROK_JOHNSTON, unit
from nucleosynth.data.tiles import size_at
from nucleosynth.data.windows import Cutting, prepared
from nucleosynth.data.windows import windows as cut
from nucleosynth.pictures import class_colours, enlarged
from nucleosynth.report.results import Colour, Gallery, Picture, Row
from nucleosynth.sample import Image, Sample
from nucleosynth.studies.figures import some
from nucleosynth.studies.held_out import full
from nucleosynth.studies.painting import beside, factor_for, save

REAL, ALL, NOT_STATED = "real", "all tissues", "tissue not stated"
GLASS = 0.05
"""Mean optical density of the three channels below which a pixel is glass, not tissue: about RGB 227."""
WINDOWS, TILES = 3, 16
"""Windows that are shown of a kind, and tiles at most that they are cut from."""
SIDE_PX, COARSE_MPP = 128, 0.5
"""Largest window, and its resolution; a coarser one where a tile has no better."""
_VAGUE = frozenset({"", "unknown", "mixed"})

Tissues = dict[str, dict[str, list[Sample]]]
"""By tissue the tiles of each kind: "real" and makers."""


def colours(real: Sequence[Sample], made: Mapping[str, Sequence[Sample]]) -> tuple[Colour, ...]:
    """The mean colour of each tissue, real and by each maker; of sets without a pixel of tissue there is none.

    Means over the pixels of tissue (see `GLASS`) of all tiles together: RGB, 0..255, and decadic optical density
    against 255, unmixed into haematoxylin and eosin (Ruifrok and Johnston 2001); black counts as RGB 1.
    """
    measured = (
        _colour(tissue, of, tiles)
        for tissue, kinds in by_tissue(real, made).items()
        for of, tiles in kinds.items()
        if tiles
    )
    return tuple(colour for colour in measured if colour)


def organs(
    real: Sequence[Sample], made: Mapping[str, Sequence[Sample]], folder: Path, place: str, seed: int
) -> Gallery:
    """Windows of each tissue, real and by each maker, of one size and resolution, drawn by the seed."""
    cutting = _cutting([tile for part in (real, *made.values()) for tile in part])
    rows = []
    for row, (tissue, kinds) in enumerate(by_tissue(real, made).items()):
        pictures = tuple(
            _strip(tiles, cutting, folder, f"{place}_organ_{row}_{column}", seed)
            for column, tiles in enumerate(kinds.values())
        )
        rows.append(Row(label=tissue, pictures=pictures))
    return Gallery(
        name="organs",
        title="Colours, tissue by tissue",
        words=f"Windows of {cutting.size * (cutting.mpp or 1):.0f} um, drawn by the seed among those with at least "
        "the median number of nuclei. Tiles of a tissue that is not stated stand beside real ones of all tissues.",
        columns=(REAL, *made),
        rows=tuple(rows),
    )


def by_tissue(real: Sequence[Sample], made: Mapping[str, Sequence[Sample]]) -> Tissues:
    """The tiles of each tissue that real ones have, in the order of its name; the others stand beside all real ones."""
    rows: Tissues = {
        tissue: {REAL: _of(real, tissue), **{name: _of(tiles, tissue) for name, tiles in made.items()}}
        for tissue in sorted({tissue_of(tile) for tile in real})
    }
    others = {name: [tile for tile in tiles if tissue_of(tile) not in rows] for name, tiles in made.items()}
    return rows | ({ALL: {REAL: list(real), **others}} if any(others.values()) else {})


def tissue_of(sample: Sample) -> str:
    """The tissue of a tile, `NOT_STATED` where there is no word for it, or one that is none."""
    return NOT_STATED if sample.tissue in _VAGUE else sample.tissue


def _of(tiles: Sequence[Sample], tissue: str) -> list[Sample]:
    return [tile for tile in tiles if tissue_of(tile) == tissue]


def _colour(tissue: str, of: str, tiles: Sequence[Sample]) -> Colour | None:
    sums, pixels = np.zeros((2, 3)), 0
    for tile in tiles:
        own, count = _sums(tile.image)
        sums, pixels = sums + own, pixels + count
    if not pixels:
        return None
    (red, green, blue), density = sums / pixels
    haematoxylin, eosin = density @ np.linalg.pinv(unit(RUIFROK_JOHNSTON))
    return Colour(
        tissue=tissue,
        of=of,
        tiles=len(tiles),
        rgb=(float(red), float(green), float(blue)),
        haematoxylin=float(haematoxylin),
        eosin=float(eosin),
    )


def _sums(image: Image) -> tuple[NDArray[np.float64], int]:
    """Sums over the pixels of tissue of RGB and of optical density (2 3), and how many there are."""
    density = _DENSITY[image]
    tissue = density.mean(axis=2) >= GLASS
    return np.stack([image[tissue].sum(axis=0), density[tissue].sum(axis=0)]), int(tissue.sum())


_DENSITY = -np.log10(np.maximum(np.arange(256), 1) / 255)


def _cutting(tiles: Sequence[Sample]) -> Cutting:
    """Windows that every tile holds, at a resolution that none has to be made finer for."""
    mpp = max(COARSE_MPP, *(tile.mpp or COARSE_MPP for tile in tiles))
    sides = (side for tile in tiles for side in size_at(tile.size, tile.mpp or mpp, mpp))
    side = min(SIDE_PX, *sides)
    return Cutting(side, side, mpp, source_mpp=mpp)


def _strip(tiles: Sequence[Sample], cutting: Cutting, folder: Path, name: str, seed: int) -> Picture:
    """Some windows in a row; an empty strip where there is no tile."""
    windows = [window.sample for tile in some(tiles, TILES, seed) for window in cut(prepared(tile, cutting), cutting)]
    factor = factor_for((cutting.size, cutting.size), SIDE_PX)
    shown = [enlarged(window.image, factor) for window in full(windows, WINDOWS, seed, 0)]
    none = np.full((cutting.size * factor, cutting.size * factor, 3), 255, np.uint8)
    blank = [none] * (WINDOWS - len(shown))
    words = f"{len(tiles)} tile{'' if len(tiles) == 1 else 's'}" if tiles else "none"
    return save(folder, name, beside(*shown, *blank), words, class_colours(0))
