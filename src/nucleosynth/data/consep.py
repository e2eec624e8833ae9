"""CoNSeP: 41 H&E tiles of colorectal adenocarcinoma, 1000^2 px at 40x, 16 patients (Graham et al., HoVer-Net, 2019).

Layout: {Train,Test}/Images/*.png and {Train,Test}/Labels/*.mat with inst_map, type_map (h w), inst_type (n 1) and
inst_centroid (n 2, x y). Row k of inst_type belongs to the k-th id in ascending order, as the published files have it;
ids may have gaps and maps may be stored as floats. What is not there (Test, a label) is told, and the rest read. The
seven raw classes are kept: papers merge them in ways that differ, so a merge is asked for by name (`--classes`).
Which patient a tile is of was not published: the tile is the source.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nucleosynth.data.files import both, existing_folder, not_the
from nucleosynth.data.findings import Finding, Note, each_tile, strictly
from nucleosynth.data.images import ids, read_image
from nucleosynth.data.matlab import read_mat
from nucleosynth.errors import UserError
from nucleosynth.sample import Sample, renumbered

CLASS_NAMES = (
    "other",
    "inflammatory",
    "healthy epithelial",
    "malignant epithelial",
    "fibroblast",
    "muscle",
    "endothelial",
)
MPP = 0.25
SPLITS = {"train": "Train", "test": "Test"}


def read(where: str, note: Note = strictly) -> Iterator[Sample]:
    """Tiles of a CoNSeP folder, Train before Test, train_2 before train_10; parts may be missing.

    Raises:
        UserError: no such folder; neither Train nor Test in it; and, through `note`, a broken file or a label that
            contradicts itself.
    """
    root = existing_folder(where, "the CoNSeP folder, with Train and Test")
    tiles = [
        _Tile(split, name, *files)
        for split, folder in SPLITS.items()
        for name, files in both(root, f"{folder}/Images", (".png",), f"{folder}/Labels", (".mat",), note).items()
    ]
    if not tiles:
        raise not_the(
            "the CoNSeP folder",
            root,
            "Train/Images/*.png, Train/Labels/*.mat and the same in Test",
            "give the folder that holds Train and Test",
        )
    for folder in SPLITS.values():
        if not (root / folder).is_dir():
            note(Finding("note", str(root / folder), "a part of the release that is not there"))
    yield from each_tile(_load, tiles, note)


class _Tile(NamedTuple):
    split: str
    name: str
    image: Path
    label: Path


def _load(tile: _Tile) -> Sample:
    label = tile.label
    mat = read_mat(label, ("inst_map", "inst_type"))
    instances, present = renumbered(ids(mat["inst_map"], str(label), integral_floats=True))
    kinds = ids(mat["inst_type"].ravel(), str(label), integral_floats=True)
    if len(kinds) != len(present) or not np.isin(kinds, np.arange(1, len(CLASS_NAMES) + 1)).all():
        raise UserError(
            "classes do not fit the nuclei",
            expected=f"inst_type of {len(present)} nuclei, each 1..{len(CLASS_NAMES)}",
            got=f"{len(kinds)} rows, classes {sorted(set(kinds.tolist()))}",
            where=str(label),
            mend="unpack the data set again",
        )
    return Sample(
        sample_id=tile.name,
        image=read_image(tile.image),
        instances=instances,
        classes=kinds.astype(np.uint8),
        class_names=CLASS_NAMES,
        source=f"consep/{tile.name}",
        mpp=MPP,
        tissue="colon",
        split=tile.split,
        licence="cite Graham et al., HoVer-Net, 2019",
    )
