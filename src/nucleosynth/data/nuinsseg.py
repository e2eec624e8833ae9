"""NuInsSeg: 665 H&E tiles of 31 human and mouse organs, 512^2 px (Mahbod et al., Scientific Data, 2024).

Layout: <species organ>/{tissue images/*.png, label masks modify/*.tif, ...}. Only `label masks modify` is read, 16-bit
ids without classes: in `label masks` ids are summed where nuclei overlap. Images may carry alpha. Some tiles have a
mask of vague areas, in folders whose names vary; quality["vague_px"] is its number of pixels. Resolution was not
published, nor which animal or patient a tile is of: tiles of one organ may share it, so the organ is the source.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nucleosynth.data.files import both, existing_folder, named_files, natural, not_the, whole
from nucleosynth.data.findings import Note, each_tile, strictly
from nucleosynth.data.images import IMAGE_SUFFIXES, decode, ids, read_image, read_map
from nucleosynth.errors import UserError
from nucleosynth.sample import Sample, renumbered

CLASS_NAMES = ("nucleus",)
IMAGES, LABELS = "tissue images", "label masks modify"


def read(where: str, note: Note = strictly) -> Iterator[Sample]:
    """Tiles of a NuInsSeg folder, organ by organ in natural order; `where` is the release, one above it, or one organ.

    Raises:
        UserError: no such folder; no organ in it; and, through `note`, a broken file or a mask of another size.
    """
    root = existing_folder(where, f"the NuInsSeg folder, with <organ>/{IMAGES} and <organ>/{LABELS}")
    organs = _organs(root)
    tiles = [
        _Tile(organ, name, *files, vague.get(name))
        for organ, vague in zip(organs, map(_vague, organs), strict=True)
        for name, files in _files(root, organ, note).items()
    ]
    yield from each_tile(_load, tiles, note)


class _Tile(NamedTuple):
    organ: Path
    name: str
    image: Path
    label: Path
    vague: Path | None


def _files(root: Path, organ: Path, note: Note) -> dict[str, tuple[Path, Path]]:
    place = organ.relative_to(root)
    return both(root, f"{place}/{IMAGES}", (".png",), f"{place}/{LABELS}", (".tif", ".tiff"), note)


def _organs(root: Path) -> list[Path]:
    """The folders of organs: the folder itself, those in it, or those one further down."""
    for pattern in ("", "*/", "*/*/"):
        found = {path.parent for part in (IMAGES, LABELS) for path in root.glob(pattern + part)}
        if found:
            return sorted(found, key=lambda path: natural(path.name))
    raise not_the(
        "the NuInsSeg folder",
        root,
        f"<species organ>/{IMAGES}/*.png and <species organ>/{LABELS}/*.tif",
        "give the folder that holds those of the organs",
    )


def _vague(organ: Path) -> dict[str, Path]:
    """Masks of vague areas by tile: files in a folder named so, or in a folder of masks below it."""
    found: dict[str, Path] = {}
    for folder in sorted(path for path in organ.iterdir() if path.is_dir() and "vague" in path.name.lower()):
        for path in named_files(folder, IMAGE_SUFFIXES).values():
            if path.parent == folder or "mask" in path.parent.name.lower():
                found.setdefault(path.stem, path)
    return found


def _load(tile: _Tile) -> Sample:
    instances, present = renumbered(ids(read_map(tile.label), str(tile.label)))
    tissue = " ".join(tile.organ.name.lower().replace("_", " ").split())
    return Sample(
        sample_id=f"{tile.organ.name}/{tile.name}",
        image=read_image(tile.image),
        instances=instances,
        classes=np.ones(len(present), np.uint8),
        class_names=CLASS_NAMES,
        source=f"nuinsseg/{tissue}",
        tissue=tissue,
        licence="CC BY 4.0",
        quality={"vague_px": _vague_px(tile.vague, instances.shape)} if tile.vague else {},
    )


def _vague_px(path: Path, size: tuple[int, ...]) -> int:
    mask = decode(whole(path, path.parent), str(path))
    if mask.shape[:2] != size:
        raise UserError(
            "a mask of vague areas of another size",
            expected=f"{size}, as the label",
            got=str(mask.shape),
            where=str(path),
            mend="unpack the data set again",
        )
    return int(np.count_nonzero(mask if mask.ndim == 2 else mask[:, :, :3].any(axis=2)))
