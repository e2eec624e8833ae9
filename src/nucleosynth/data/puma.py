"""PUMA: 206 H&E regions of melanoma, 1024^2 px at .23 um, ten classes of nuclei (Schuiveling et al., GigaScience 2025).

Layout: 01_training_dataset_tif_ROIs/training_set_{metastatic,primary}_roi_NNN.tif (RGBA; one may end in .tiff,
copies in .png) and 01_training_dataset_geojson_nuclei/<same>_nuclei.geojson, found by name below the folder; the rest
of the release (tissue, contexts) is not read. Nuclei stand in the file's order; classes are matched by name, since
colours vary. Where outlines overlap, the later one has the pixel. Vertices at x or y = 1024 lie on the border. Patients
were not published: a region is its own source.
"""

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from nucleosynth.data.files import anywhere, existing_folder, not_the, paired
from nucleosynth.data.findings import Note, each_tile, strictly, with_repairs
from nucleosynth.data.images import read_image
from nucleosynth.errors import unknown_name
from nucleosynth.instances.canvas import Canvas
from nucleosynth.instances.geojson import features
from nucleosynth.sample import Sample

CLASS_NAMES = (
    "tumor",
    "lymphocyte",
    "histiocyte",
    "stroma",
    "epithelium",
    "apoptosis",
    "endothelium",
    "melanophage",
    "plasma cell",
    "neutrophil",
)
MPP = 0.23
TISSUE = {"metastatic": "skin, metastatic melanoma", "primary": "skin, primary melanoma"}
RELEASE = "01_training_dataset_"
UNNAMED = "outlines without a class, of unknown type"
_NAME = re.compile(r"training_set_((metastatic|primary)_roi_\d+)(_nuclei)?", re.IGNORECASE)


def read(where: str, note: Note = strictly) -> Iterator[Sample]:
    """Regions of a PUMA folder, metastatic before primary, in natural order; what has no partner is told.

    Raises:
        UserError: no such folder; no region in it, or one twice; and, through `note`, a broken file or unknown class.
    """
    root = existing_folder(where, f"the PUMA folder, with {RELEASE}tif_ROIs and {RELEASE}geojson_nuclei")
    root = root.parent if root.name.startswith(RELEASE) else root
    images = anywhere(root, (".tif", ".tiff", ".png"), partial(_region, ending=""))
    labels = anywhere(root, (".geojson",), partial(_region, ending="_nuclei"))
    if not images and not labels:
        raise not_the(
            "the PUMA folder",
            root,
            "training_set_*_roi_*.tif and training_set_*_roi_*_nuclei.geojson",
            f"give the folder that holds {RELEASE}tif_ROIs and {RELEASE}geojson_nuclei",
        )
    tiles = [_Tile(name, *files) for name, files in paired(images, labels, note).items()]
    yield from each_tile(_load, tiles, note)


class _Tile(NamedTuple):
    name: str
    image: Path
    label: Path


def _region(path: Path, ending: str) -> str | None:
    """The region that a file of the release is of ("metastatic_roi_094"); None for other files."""
    match = _NAME.fullmatch(path.stem)
    return match[1].lower() if match and (match[3] or "").lower() == ending else None


def _load(tile: _Tile) -> Sample:
    image = read_image(tile.image)
    canvas = Canvas((image.shape[0], image.shape[1]))
    outlines, repairs = features(tile.label)
    canvas.repairs.update(repairs)
    for number, outline in enumerate(outlines, start=1):
        canvas.repairs[UNNAMED] += not outline.name
        where = f"{tile.label}, outline {number}"
        canvas.outline(outline.polygons, _class_of(outline.name, where), where)
    label = canvas.label()
    return Sample(
        sample_id=tile.name,
        image=image,
        instances=label.instances,
        classes=label.classes,
        class_names=CLASS_NAMES,
        source=f"puma/{tile.name}",
        mpp=MPP,
        tissue=TISSUE[tile.name.partition("_")[0]],
        licence="CC0-1.0",
        quality=with_repairs({}, label.repairs),
    )


def _class_of(name: str, where: str) -> int:
    """The class of "nuclei_plasma_cell": 9; 0 where none is named."""
    words = name.strip().lower().removeprefix("nuclei_").replace("_", " ")
    if words and words not in CLASS_NAMES:
        raise unknown_name("class", words, CLASS_NAMES, where)
    return CLASS_NAMES.index(words) + 1 if words else 0
