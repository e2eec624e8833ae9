"""Lizard: 238 H&E images of colon at 20x, half a million nuclei of six classes (Graham et al., ICCV workshops 2021).

Layout: Lizard_Images1/*.png and Lizard_Images2/*.png, Lizard_Labels/Labels/*.mat and Lizard_Labels/info.csv (Filename,
Source, Split 1..3), nested as they may be. A .mat holds inst_map (h w), id (n 1) and class (n 1). The class of a
nucleus is that of the row with its id, never that of its position. Rows without a pixel are left out, pixels without a
row become nuclei of unknown type, and both are counted; a table that has no row for any nucleus is refused. Images
without labels, as the challenge's test images are, are told.

The splits fold1..fold3 are the paper's. Patients were not published, but Source names the slide of the dpath_ tiles
("<slide>-lv1-<place>"): the slide is their source, every other tile is its own. A slide with tiles in two folds is
told; these stay sources of their own, for the folds are official. That the consep_ and pannuke_ tiles are CoNSeP's and
PanNuke's is told too. A tile that info.csv does not list is left out: it could be of any fold.
"""

from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nucleosynth.data.files import anywhere, below, existing_folder, not_the, paired
from nucleosynth.data.findings import Finding, Note, each_tile, strictly, with_repairs
from nucleosynth.data.images import ids, read_image
from nucleosynth.data.matlab import read_mat
from nucleosynth.data.schemes import LIZARD
from nucleosynth.data.tables import read_table
from nucleosynth.errors import UserError
from nucleosynth.instances.canvas import Label
from nucleosynth.sample import Sample, renumbered

CLASS_NAMES = LIZARD.class_names
MPP = 0.5
NO_PIXEL = "listed nuclei without a pixel, left out"
NO_ROW = "nuclei that the table does not list, their type unknown"
OTHERS = {"consep": "CoNSeP", "pannuke": "PanNuke"}
"""The data sets that some tiles are of too, by how the names of those tiles begin."""
INFO = "info.csv"
_SLIDE_ENDS = "-lv1-"


class _Row(NamedTuple):
    """What info.csv says of a tile; `slide` is "" where its Source names none."""

    split: str
    slide: str


class _Tile(NamedTuple):
    name: str
    image: Path
    label: Path
    split: str
    source: str


def read(where: str, note: Note = strictly) -> Iterator[Sample]:
    """Tiles of a Lizard folder, in natural order of names; parts may be missing.

    Raises:
        UserError: no such folder; no tile in it; an info.csv that contradicts itself; and, through `note`, a broken
            file or a label that contradicts itself.
    """
    root = existing_folder(where, "the Lizard folder, with Lizard_Images1, Lizard_Images2 and Lizard_Labels")
    images, labels = anywhere(root, (".png",)), anywhere(root, (".mat",))
    files = paired(images, labels, note)
    if not files:
        raise not_the(
            "the Lizard folder",
            root,
            "Lizard_Images1/*.png, Lizard_Images2/*.png and Lizard_Labels/Labels/*.mat",
            "give the folder that holds images and labels",
        )
    rows = _rows(root, files, images.keys() | labels.keys(), note)
    source_of = _sources(rows, note, str(root))
    tiles = [_Tile(name, *files[name], row.split, f"lizard/{source_of[name]}") for name, row in rows.items()]
    for origin, count in Counter(tile.name.partition("_")[0] for tile in tiles).items():
        if origin in OTHERS:
            told = f"tiles of {OTHERS[origin]}: {count}, {origin}_*"
            mend = f"do not test on {OTHERS[origin]} what was trained on these, nor the reverse"
            note(Finding("note", str(root), told, mend))
    yield from each_tile(_load, tiles, note)


def _rows(root: Path, names: Iterable[str], there: Container[str], note: Note) -> dict[str, _Row]:
    """What info.csv says of the tiles `names`; without it, no split and no slide. `there`: image or label is there."""
    tables = [path for path in below(root, (".csv",), root) if path.name == INFO]
    if not tables:
        note(Finding("missing", str(root), f"{INFO} is not there, so no fold is known", f"copy {INFO} to the labels"))
        return {name: _Row("", "") for name in names}
    if len(tables) > 1:
        got = " and ".join(str(path.relative_to(root)) for path in tables)
        raise UserError("two files say the same", expected=f"one {INFO}", got=got, where=str(root), mend="remove one")
    rows = _read_info(tables[0], root)
    for name in names:
        if name not in rows:
            told = "no row for a tile, left out, for its fold is not known"
            note(Finding("missing", f"{tables[0]}, {name}", told, f"copy {INFO} again"))
    for name in rows:
        if name not in there:
            told = "a row for a tile that is not there"
            note(Finding("missing", f"{tables[0]}, {name}", told, "look for its image and label"))
    return {name: rows[name] for name in names if name in rows}


def _read_info(path: Path, root: Path) -> dict[str, _Row]:
    rows: dict[str, _Row] = {}
    for where, row in read_table(path, root, ("Filename", "Source", "Split")).rows:
        name, split = row["Filename"].strip().removesuffix(".png"), row["Split"].strip()
        if not name or name in rows or split not in ("1", "2", "3"):
            raise UserError(
                "a bad row",
                expected="one row for each tile, Split 1, 2 or 3",
                got=f"{name!r} of split {split!r}" + (" again" if name in rows else ""),
                where=where,
                mend=f"copy {INFO} again",
            )
        slide, mark, _ = row["Source"].partition(_SLIDE_ENDS)
        rows[name] = _Row(f"fold{split}", slide.strip() if mark else "")
    return rows


def _sources(rows: Mapping[str, _Row], note: Note, where: str) -> dict[str, str]:
    """The slide of each tile, or its name where no slide is known or its slide lies in two folds (which is noted)."""
    of_slide: dict[str, list[str]] = defaultdict(list)
    for name, row in rows.items():
        of_slide[row.slide or name].append(name)
    source_of: dict[str, str] = {}
    for slide, names in of_slide.items():
        apart = len({rows[name].split for name in names}) > 1
        if apart:
            told = f"tiles of one slide in two folds: {', '.join(names)}"
            note(Finding("note", where, told, "use no more than one of these folds, or leave the tiles out"))
        source_of |= {name: name if apart else slide for name in names}
    return source_of


def _load(tile: _Tile) -> Sample:
    label = _label(tile.label)
    return Sample(
        sample_id=tile.name,
        image=read_image(tile.image),
        instances=label.instances,
        classes=label.classes,
        class_names=CLASS_NAMES,
        source=tile.source,
        mpp=MPP,
        tissue="colon",
        split=tile.split,
        licence="CC BY-NC-SA 4.0",
        quality=with_repairs({}, label.repairs),
    )


def _label(path: Path) -> Label:
    mat = read_mat(path, ("inst_map", "id", "class"))
    whole = partial(ids, where=str(path), integral_floats=True)
    instances, listed, kinds = whole(mat["inst_map"]), whole(mat["id"].ravel()), whole(mat["class"].ravel())
    instances, present = renumbered(instances)
    kind_of = dict(zip(listed.tolist(), kinds.tolist(), strict=False))
    known = np.isin(present, listed)
    if (
        not len(listed) == len(kinds) == len(kind_of)
        or not np.isin(kinds, np.arange(1, len(CLASS_NAMES) + 1)).all()
        or (not known.any() and len(present) + len(listed) > 0)
    ):
        raise UserError(
            "classes do not fit the nuclei",
            expected=f"rows of id and class, each id once, classes 1..{len(CLASS_NAMES)}, for {len(present)} nuclei",
            got=f"{len(listed)} ids, {len(kinds)} classes {sorted(set(kinds.tolist()))}; {known.sum()} nuclei in a row",
            where=str(path),
            mend="unpack the data set again",
        )
    repairs = {NO_PIXEL: len(listed) - int(known.sum()), NO_ROW: int((~known).sum())}
    classes = np.array([kind_of.get(number, 0) for number in present.tolist()], np.uint8)
    return Label(instances, classes, repairs)
