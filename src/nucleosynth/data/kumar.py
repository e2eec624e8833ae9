"""Kumar: 30 H&E tiles of seven organs, 1000^2 px at 40x, nuclei outlined (Kumar et al., IEEE TMI 2017).

Layout: *.tif and for each an ImageScope *.xml, or a *.mat with inst_map (h w), as HoVer-Net's copy has them; in any
folders, for they come as "Tissue Images" and Annotations or as {train,test_same,test_diff}/{Images,Labels}. Images
saved again as *.png are read where there is no TIFF. Where a tile has both labels the XML is read, the outlines as they
were drawn. Files belong together by the patient in their names (TCGA-XX-YYYY); a patient has one tile.

Splits are those of the paper: "train" (16), "test_same" (8, of the organs of train) and "test_other" (6, of others).
Organs are the paper's too: it calls liver what TCGA's site codes (18, 21, 38, 49, 50) say is of lung collections. The
30 tiles are MoNuSeg's training tiles: never train on one and test on the other. There are no classes. The XML says the
resolution; where it does not, and for a .mat, the published 40x is taken and counted among the repairs. A map's ids may
have gaps and be stored as floats.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nucleosynth.data.aperio import read_outlines
from nucleosynth.data.files import anywhere, existing_folder, not_the, paired
from nucleosynth.data.findings import Finding, Note, each_tile, strictly, with_repairs
from nucleosynth.data.images import ids, read_image
from nucleosynth.data.matlab import read_mat
from nucleosynth.instances.canvas import Label
from nucleosynth.sample import Sample, renumbered

CLASS_NAMES = ("nucleus",)
MPP = 0.25
NO_MPP = f"resolution not stated, {MPP} um/px taken as published"
IMAGES = (".tif", ".tiff", ".png")
SPLITS = {
    "train": "18-5592 21-5784 38-6178 50-5931 A7-A13E AR-A1AK AR-A1AS B0-5711 E2-A14V G9-6348 G9-6356 G9-6362 G9-6363 "
    "HE-7128 HE-7129 HE-7130",
    "test_same": "21-5786 49-4488 A7-A13F B0-5698 B0-5710 CH-5767 E2-A1B5 G9-6336",
    "test_other": "AY-A8YK DK-A2I6 G2-A2EK KB-A93J NH-A8F7 RD-A8N9",
}
"""The patients of each split: XX-YYYY of TCGA-XX-YYYY."""
ORGANS = {
    "breast": "A7-A13E A7-A13F AR-A1AK AR-A1AS E2-A14V E2-A1B5",
    "kidney": "B0-5698 B0-5710 B0-5711 HE-7128 HE-7129 HE-7130",
    "liver": "18-5592 21-5784 21-5786 38-6178 49-4488 50-5931",
    "prostate": "CH-5767 G9-6336 G9-6348 G9-6356 G9-6362 G9-6363",
    "bladder": "DK-A2I6 G2-A2EK",
    "colon": "AY-A8YK NH-A8F7",
    "stomach": "KB-A93J RD-A8N9",
}
LICENCE = "cite Kumar et al., IEEE TMI, 2017"


class Tile(NamedTuple):
    """The files of a patient's tile."""

    patient: str
    split: str
    image: Path
    label: Path


def read(where: str, note: Note = strictly) -> Iterator[Sample]:
    """Tiles of a Kumar folder, split by split, in the order of patients; parts may be missing.

    Raises:
        UserError: no such folder; no tile in it; two files for one patient; and, through `note`, a broken file.
    """
    root = existing_folder(where, "the Kumar folder, with *.tif and *.xml or *.mat")
    tiles = listed_tiles(root, (".xml", ".mat"), SPLITS, note)
    if not tiles:
        raise not_the(
            "the Kumar folder",
            root,
            "TCGA-*.tif and for each a TCGA-*.xml or TCGA-*.mat, in any folders",
            "give the folder that holds images and labels",
        )
    yield from each_tile(partial(load, "kumar", LICENCE, by_patient(ORGANS)), tiles, note)


def by_patient(groups: Mapping[str, str]) -> dict[str, str]:
    """The group of each patient, of groups that list theirs."""
    return {patient: group for group, patients in groups.items() for patient in patients.split()}


def listed_tiles(root: Path, labels: Iterable[str], splits: Mapping[str, str], note: Note) -> list[Tile]:
    """The tiles below a folder of the patients in some splits; a tile of another patient is noted as left out.

    Of `labels`, suffixes, the earliest that a patient has is taken.

    Raises:
        UserError: two files for one patient.
    """
    images, drawn = anywhere(root, IMAGES, _patient), anywhere(root, labels, _patient)
    split_of = by_patient(splits)
    for name, path in (drawn | images).items():
        if name not in split_of:
            note(Finding("left out", str(path), "it is on none of the published lists"))
    images, drawn = ({name: files[name] for name in files if name in split_of} for files in (images, drawn))
    found = paired(images, drawn, note)
    for split, patients in splits.items():
        absent = [name for name in patients.split() if name not in images and name not in drawn]
        if absent:
            told = f"tiles of {split} that are not there ({', '.join(absent[:3])}{', ...' if len(absent) > 3 else ''})"
            note(Finding("note", str(root), told, count=len(absent)))
    return [Tile(name, split, *found[name]) for split in splits for name in found if split_of[name] == split]


def load(dataset: str, licence: str, organs: Mapping[str, str], tile: Tile) -> Sample:
    """The Sample of a tile; `organs` by patient, unknown where there is none.

    Raises:
        UserError: a broken file, or a label that does not fit its image.
    """
    image = read_image(tile.image)
    if tile.label.suffix.lower() == ".mat":
        label, mpp = _read_map(tile.label), None
    else:
        label, mpp = read_outlines(tile.label, image.shape[:2])
    repairs = label.repairs | {NO_MPP: int(mpp is None)}
    return Sample(
        sample_id=tile.image.stem,
        image=image,
        instances=label.instances,
        classes=label.classes,
        class_names=CLASS_NAMES,
        source=f"{dataset}/TCGA-{tile.patient}",
        mpp=mpp or MPP,
        tissue=organs.get(tile.patient, "unknown"),
        split=tile.split,
        licence=licence,
        quality=with_repairs({}, repairs),
    )


def _patient(path: Path) -> str:
    found = re.search(r"TCGA-([A-Z0-9]{2}-[A-Z0-9]{4})(?![A-Z0-9])", path.stem)
    return found[1] if found else path.stem


def _read_map(path: Path) -> Label:
    instances = ids(read_mat(path, ("inst_map",))["inst_map"], str(path), integral_floats=True)
    instances, present = renumbered(instances)
    return Label(instances, np.ones(len(present), np.uint8), {})
