"""CoNSeP: 41 H&E tiles of colorectal adenocarcinoma, 1000^2 px at 40x, 16 patients (Graham et al., HoVer-Net, 2019).

Layout: {Train,Test}/Images/*.png and {Train,Test}/Labels/*.mat with inst_map, type_map (h w), inst_type (n 1) and
inst_centroid (n 2, x y). Row k of inst_type belongs to the k-th id in ascending order, as the published files have it;
ids may have gaps and maps may be stored as floats. The seven raw classes are kept: papers merge them in ways that
differ, so a merge is never silent. Which patient a tile is of was not published: the tile is the source.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
from numpy.typing import NDArray

from nucleosynth.data.images import broken, ids, named_files, read_image
from nucleosynth.data.reader import existing_folder
from nucleosynth.errors import UserError
from nucleosynth.sample import Sample, without_gaps

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


def read(where: str) -> Iterator[Sample]:
    """Tiles of a CoNSeP folder, Train before Test, train_2 before train_10; one of the two folders may be absent.

    Raises:
        UserError: no such folder; neither Train nor Test in it; an image without its label or the reverse; a broken
            file; a label that contradicts itself.
    """
    root = existing_folder(where, "the CoNSeP folder, with Train and Test")
    pairs = [(split, name, *files) for split in SPLITS for name, files in _paired(root / SPLITS[split]).items()]
    if not pairs:
        raise UserError(
            "not the CoNSeP folder",
            expected="Train/Images/*.png, Train/Labels/*.mat and the same in Test",
            got=", ".join(sorted(path.name for path in root.iterdir())) or "an empty folder",
            where=str(root),
            mend="give the folder that holds Train and Test",
        )
    for split, name, image, label in pairs:
        yield _tile(split, name, image, label)


def _paired(folder: Path) -> dict[str, tuple[Path, Path]]:
    images, labels = named_files(folder / "Images", (".png",)), named_files(folder / "Labels", (".mat",))
    for name in [*images, *labels]:
        if name not in images or name not in labels:
            there, lacking = (images, "Labels/*.mat") if name in images else (labels, "Images/*.png")
            raise UserError(
                "an image without its label" if name in images else "a label without its image",
                expected=str(folder / lacking.replace("*", name)),
                got="nothing there",
                where=str(there[name]),
                mend="unpack the data set again",
            )
    return {name: (images[name], labels[name]) for name in images}


def _tile(split: str, name: str, image: Path, label: Path) -> Sample:
    mat = _read_mat(label)
    instances = ids(mat["inst_map"], str(label), integral_floats=True)
    kinds = ids(mat["inst_type"].ravel(), str(label), integral_floats=True)
    present = np.unique(instances[instances > 0])
    if len(kinds) != len(present) or not np.isin(kinds, np.arange(1, len(CLASS_NAMES) + 1)).all():
        raise UserError(
            "classes do not fit the nuclei",
            expected=f"inst_type of {len(present)} nuclei, each 1..{len(CLASS_NAMES)}",
            got=f"{len(kinds)} rows, classes {sorted(set(kinds.tolist()))}",
            where=str(label),
            mend="unpack the data set again",
        )
    by_id = np.zeros(int(present.max(initial=0)), np.uint8)
    by_id[present - 1] = kinds
    instances, classes = without_gaps(instances, by_id)
    return Sample(
        sample_id=name,
        image=read_image(image),
        instances=instances,
        classes=classes,
        class_names=CLASS_NAMES,
        source=f"consep/{name}",
        mpp=MPP,
        tissue="colon",
        split=split,
        licence="cite Graham et al., HoVer-Net, 2019",
    )


def _read_mat(path: Path) -> dict[str, NDArray[Any]]:
    wanted = ("inst_map", "inst_type")
    try:
        mat: dict[str, NDArray[Any]] = scipy.io.loadmat(path, variable_names=wanted)
        flaw = ", ".join(name for name in wanted if name not in mat) + " missing"
    except Exception as error:  # SciPy raises errors of many kinds, bare ones among them, for a truncated file
        mat, flaw = {}, str(error)
    if not all(name in mat for name in wanted):
        raise broken(str(path), "a MATLAB file with inst_map and inst_type", flaw)
    return mat
