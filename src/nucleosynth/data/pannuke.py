"""PanNuke: 7901 H&E tiles of 19 tissues, 256^2 px at 40x, 5 classes, 3 folds (Gamper et al., 2019 and 2020).

    Fold N/images/foldN/images.npy   (n h w 3)  0..255, often float64
    Fold N/images/foldN/types.npy    (n)        the tissue
    Fold N/masks/foldN/masks.npy     (n h w 6)  ids in a channel for each class, then background; often float64

Folders may be spelt "Fold 1", "fold1", "fold_1", lie deeper, or hold the three files side by side; DATA may be one
fold's folder. The mirror on Hugging Face has the same tiles as Parquet files: data/pannuke_parquet.py. What is not
there (a fold, its masks, its tissues) is told, and the rest read.

Ids repeat across channels: a nucleus is an id in a channel. Nuclei are taken in the order of (id, channel), so that ids
that are unique over all channels keep their order; where two claim a pixel, the later one has it. The background
channel is no clean complement of the others, and is not read. Which patient a tile is of was not published: the tile is
the source.

A tile is named after its fold and its row, from 0: "fold1_0000". A meta.json or meta.toml beside the folds
(data/meta.py) goes before all this:
  - class_names, in the order of the channels, say that the tiles are not the release's own: there are then
    len(class_names) + 1 channels, and no resolution, split or licence is assumed;
  - written_by says that the rows of all folds, in order, are `tiles` in its order: each has its key as its name;
  - otherwise `tiles` has entries for some of the tiles, by the names above.
"""

import os
import re
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from nucleosynth.data import pannuke_parquet
from nucleosynth.data.arrays import Rows, open_rows
from nucleosynth.data.files import below, check_inside, existing_folder, natural, some_of
from nucleosynth.data.findings import Finding, Note, broken_tile, each_tile, strictly, with_repairs
from nucleosynth.data.images import ids, pixels
from nucleosynth.data.meta import Meta, read_meta, said_of
from nucleosynth.data.schemes import PANNUKE
from nucleosynth.errors import UserError
from nucleosynth.instances.canvas import Canvas, Label
from nucleosynth.sample import Image, Instances, Sample

CLASS_NAMES = PANNUKE.class_names
"""In the order of the channels."""
FOLDS = (1, 2, 3)
MPP = 0.25
LICENCE = "CC BY-NC-SA 4.0"
ARRAYS = ("images", "masks", "types")
_FOLD = re.compile(r"fold[ _-]*(\d+)", re.IGNORECASE)

Paths = dict[int, list[Path]]
"""The files of each fold."""


def read(where: str, note: Note = strictly) -> Iterator[Sample]:
    """Tiles of a PanNuke folder, arrays or Parquet files, fold by fold in the order of their rows.

    Raises:
        UserError: no such folder; nothing of PanNuke in it, or both arrays and Parquet files; meta.json does not fit;
            and, through `note`, a fold whose files are broken or do not fit each other, or such a tile.
    """
    root = Path(os.path.abspath(existing_folder(where, "the PanNuke folder, with Fold 1, Fold 2 and Fold 3")))
    arrays = _by_fold((path for path in below(root, (".npy",), root) if path.stem in ARRAYS), root, note)
    tables = _by_fold(below(root, (".parquet",), root), root, note)
    if bool(arrays) == bool(tables):
        raise _one_of_two(root, arrays, tables)
    found = arrays or tables
    meta = read_meta(_beside_folds(chain(*found.values()), root))
    absent = [f"fold{fold}" for fold in FOLDS if fold not in found]
    if absent and not meta.class_names and not _FOLD.fullmatch(root.name):
        note(Finding("note", str(root), f"{' and '.join(absent)} not there"))
    yield from _of_arrays(arrays, meta, note) if arrays else _of_tables(tables, meta, note)


def tissue_name(word: str) -> str:
    """A tissue of PanNuke in plain words.

    Example:
        >>> tissue_name("Adrenal_gland"), tissue_name("Bile-duct"), tissue_name("HeadNeck")
        ('adrenal gland', 'bile duct', 'head and neck')
    """
    name = " ".join(re.split(r"[\s_-]+", word.strip().lower()))
    return "head and neck" if re.fullmatch(r"head\W*(and )?neck", name) else name or "unknown"


def draw(masks: Instances) -> Label:
    """The nuclei of a tile out of its channels (classes h w), ids as they are stored, in the order of (id, channel)."""
    canvas, nuclei = Canvas((masks.shape[1], masks.shape[2])), []
    for channel in np.flatnonzero(masks.any(axis=(1, 2))).tolist():
        plane = masks[channel]
        inside = plane > 0
        present, numbers = np.unique(plane[inside], return_inverse=True)
        numbered = np.zeros(plane.shape, np.int32)
        numbered[inside] = numbers + 1
        windows = ndimage.find_objects(numbered)
        nuclei += [(number, channel, window) for number, window in zip(present.tolist(), windows, strict=True)]
    for number, channel, (rows, columns) in sorted(nuclei, key=lambda nucleus: nucleus[:2]):
        canvas.draw(masks[channel, rows, columns] == number, channel + 1, rows.start, columns.start)
    return canvas.label()


class _Fold(NamedTuple):
    number: int
    images: Rows
    masks: Rows
    tissues: tuple[str, ...] | None


class _Tile(NamedTuple):
    fold: _Fold
    row: int
    name: str


def _of_arrays(found: Paths, meta: Meta, note: Note) -> Iterator[Sample]:
    if not any(_whole(paths) for paths in found.values()):
        raise UserError(
            "no whole fold",
            expected="images.npy and masks.npy of at least one fold",
            got=", ".join(path.name for paths in found.values() for path in paths),
            where=str(next(iter(found.values()))[0].parent),
            mend="give the folder that holds images and masks",
        )
    folds = []
    for number, paths in found.items():
        try:
            fold = _open(number, paths, meta.class_names or CLASS_NAMES, note)
        except UserError as error:
            note(broken_tile(error))
        else:
            folds += [fold] if fold else []
    names = _names({fold.number: len(fold.images) for fold in folds}, meta)
    tiles = [_Tile(fold, row, name) for fold in folds for row, name in enumerate(names[fold.number])]
    yield from each_tile(partial(_load, meta), tiles, note)


def _open(number: int, paths: list[Path], class_names: tuple[str, ...], note: Note) -> _Fold | None:
    """The arrays of a fold, their forms held against each other; None if images or masks are not there."""
    files = {path.stem: path for path in paths}
    if len(files) < len(paths):
        raise UserError(
            f"fold{number} is there twice",
            expected="one images.npy, one masks.npy and one types.npy",
            got=" and ".join(map(str, paths)),
            where=str(paths[0].parent),
            mend="give the folder that holds one of them, or remove the other",
        )
    for part in (part for part in ARRAYS if part not in files):
        effect = "its tissues are unknown" if part == "types" else "it is not read"
        note(Finding("missing", f"fold{number} of {paths[0]}", f"{part}.npy is not there, {effect}", "add the file"))
    if not _whole(paths):
        return None
    images = open_rows(files["images"], (None, None, None, 3), "iuf")
    masks = open_rows(files["masks"], (*images.shape[:3], len(class_names) + 1), "iuf")
    types = open_rows(files["types"], images.shape[:1], "US") if "types" in files else None
    return _Fold(number, images, masks, tuple(map(tissue_name, types.texts())) if types is not None else None)


def _whole(paths: list[Path]) -> bool:
    return {"images", "masks"} <= {path.stem for path in paths}


def _load(meta: Meta, tile: _Tile) -> Sample:
    fold, row, name = tile
    image = pixels(fold.images[row], f"{fold.images.path}, row {row} ({name})")
    dtype = np.float64 if fold.masks.dtype.kind == "f" else fold.masks.dtype
    channels = np.ascontiguousarray(np.moveaxis(fold.masks[row], -1, 0)[:-1], dtype)
    masks = ids(channels, f"{fold.masks.path}, row {row} ({name})", integral_floats=True)
    return _sample(name, fold.number, image, draw(masks), fold.tissues[row] if fold.tissues else "unknown", meta)


def _of_tables(found: Paths, meta: Meta, note: Note) -> Iterator[Sample]:
    class_names = meta.class_names or CLASS_NAMES
    folds = {}
    for number, paths in found.items():
        try:
            folds[number] = pannuke_parquet.open_tables(paths, class_names)
        except UserError as error:
            note(broken_tile(error))
    names = _names({number: sum(table.count for table in tables) for number, tables in folds.items()}, meta)
    for number, tables in folds.items():

        def load(row: pannuke_parquet.Row, number: int = number) -> Sample:
            image, label, tissue = pannuke_parquet.tile(row, class_names)
            return _sample(names[number][row.in_fold], number, image, label, tissue_name(tissue), meta)

        yield from each_tile(load, pannuke_parquet.rows(tables, note), note)


def _sample(name: str, fold: int, image: Image, label: Label, tissue: str, meta: Meta) -> Sample:
    class_names, size = meta.class_names or CLASS_NAMES, (image.shape[0], image.shape[1])
    published = {} if meta.class_names else {"mpp": MPP, "split": f"fold{fold}", "licence": LICENCE}
    said = {"tissue": tissue, **published, **said_of(meta, name, size, class_names, f"pannuke/{name}")}
    said["quality"] = with_repairs(said.get("quality", {}), label.repairs)
    return Sample(name, image, label.instances, label.classes, class_names, **said)


def _names(lengths: dict[int, int], meta: Meta) -> dict[int, list[str]]:
    """The names of the tiles of each fold, as the module says.

    Raises:
        UserError: meta.json was written for another number of tiles, or has an entry for none.
    """
    names = {fold: [f"fold{fold}_{row:04d}" for row in range(length)] for fold, length in lengths.items()}
    rows = sum(lengths.values())
    known = meta.tiles if meta.written_by else set(chain(*names.values()))
    unfit = [name for name in meta.tiles if name not in known]
    if lengths and (unfit or (meta.written_by and len(meta.tiles) != rows)):
        raise UserError(
            "the tiles of meta.json or meta.toml are not those of the folds",
            expected=f"{rows} tiles, named such as {next(chain(*names.values()), 'fold1_0000')}",
            got=f"{unfit[0]!r}" if unfit else f"{len(meta.tiles)} tiles",
            mend="give the whole folder as it was written, or correct the names",
        )
    if not meta.written_by:
        return names
    written = iter(meta.tiles)
    return {fold: list(islice(written, length)) for fold, length in lengths.items()}


def _by_fold(paths: Iterable[Path], root: Path, note: Note) -> Paths:
    """Files by the number of their fold, which is in the name of the file, or else of the nearest folder.

    Raises:
        UserError: a link that leads out of the folder.
    """
    found: Paths = {}
    files = [path for path in paths if path.is_file() or path.is_symlink()]
    for path in sorted(files, key=lambda path: natural(path.relative_to(root).as_posix())):
        check_inside(path, root)
        folders = [_FOLD.fullmatch(part) for part in reversed((root.name, *path.relative_to(root).parts[:-1]))]
        match = next(filter(None, [_FOLD.search(path.stem), *folders]), None)
        if match:
            found.setdefault(int(match[1]), []).append(path)
        else:
            note(Finding("left out", str(path), "no fold in the name of the file or of its folders"))
    return dict(sorted(found.items()))


def _beside_folds(paths: Iterable[Path], root: Path) -> Path:
    """The folder that holds the folders of the folds, where meta.json lies; it may be above `root` or below."""
    places = set()
    for path in paths:
        parts = path.relative_to(root.parent).parts[:-1]
        depth = next((depth for depth, part in enumerate(parts) if _FOLD.fullmatch(part)), len(parts))
        places.add(root.parent.joinpath(*parts[:depth]))
    return Path(os.path.commonpath(places))


def _one_of_two(root: Path, arrays: Paths, tables: Paths) -> UserError:
    """The error for a folder that holds both arrays and Parquet files, or neither."""
    both = [str(next(iter(found.values()))[0].relative_to(root)) for found in (arrays, tables) if found]
    return UserError(
        "PanNuke as arrays and as Parquet files" if both else "not the PanNuke folder",
        expected="Fold 1/images/fold1/images.npy and so on, or data/fold1-00000-of-00001.parquet and so on",
        got=" and ".join(both) or some_of(root),
        where=str(root),
        mend="give the folder that holds the one or the other",
    )
