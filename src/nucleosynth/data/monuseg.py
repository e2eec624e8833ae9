"""MoNuSeg 2018: H&E tiles of nine organs, 1000^2 px at 40x, a patient each, nuclei outlined (Kumar et al., TMI 2020).

Layout: "MoNuSeg 2018 Training Data"/{Tissue Images/*.tif, Annotations/*.xml} and MoNuSegTestData/*.{tif,xml}; the two
folders may be called otherwise or nested otherwise, DATA may be either or what holds both, for the patient in a file's
name (TCGA-XX-YYYY) says its split. Images (LZW TIFF) saved again as *.png are read where there is no TIFF.

Splits: "train", the challenge's 30 (Kumar's 30: never train on one and test on the other); "train37", 7 more that the
training archive holds today, whose organs were not published; "test", 14. Organs are those of the papers.

The XML's traps are dealt with in data/aperio.py; where it states no resolution the published 40x is taken and counted
among the repairs. There are no classes. Departure: the challenge's own script leaves a pixel that two nuclei claim to
the earlier one, this reader to the later one, and counts it.
"""

from collections.abc import Iterator
from functools import partial

from nucleosynth.data import kumar
from nucleosynth.data.files import existing_folder, not_the
from nucleosynth.data.findings import Note, each_tile, strictly
from nucleosynth.sample import Sample

SPLITS = {
    "train": " ".join(kumar.SPLITS.values()),
    "train37": "BC-A217 F9-A8NY FG-A87N MH-A561 UZ-A9PJ UZ-A9PN XS-A8TJ",
    "test": "2Z-A9J9 44-2665 69-7764 A6-6782 AC-A2FO AO-A0J2 CU-A0YN EJ-A46H FG-A4MU GL-6846 HC-7209 HT-8564 IZ-8196 "
    "ZF-A9R5",
}
"""The patients of each split: XX-YYYY of TCGA-XX-YYYY."""
ORGANS_OF_TEST = {
    "kidney": "2Z-A9J9 GL-6846 IZ-8196",
    "lung": "44-2665 69-7764",
    "colon": "A6-6782",
    "breast": "AC-A2FO AO-A0J2",
    "bladder": "CU-A0YN ZF-A9R5",
    "prostate": "EJ-A46H HC-7209",
    "brain": "FG-A4MU HT-8564",
}
LICENCE = "CC BY-NC-SA 4.0"


def read(where: str, note: Note = strictly) -> Iterator[Sample]:
    """Tiles of a MoNuSeg folder, train, train37 and test, each in the order of patients; parts may be missing.

    Raises:
        UserError: no such folder; no tile in it; two files for one patient; and, through `note`, a broken file.
    """
    root = existing_folder(where, "the MoNuSeg folder, with *.tif and *.xml")
    tiles = kumar.listed_tiles(root, (".xml",), SPLITS, note)
    if not tiles:
        raise not_the(
            "the MoNuSeg folder",
            root,
            "TCGA-*.tif and for each a TCGA-*.xml, in any folders",
            "give the folder that holds the training and the test data",
        )
    organs = kumar.by_patient(kumar.ORGANS) | kumar.by_patient(ORGANS_OF_TEST)
    yield from each_tile(partial(kumar.load, "monuseg", LICENCE, organs), tiles, note)
