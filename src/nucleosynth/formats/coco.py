"""COCO's instance annotations, in and out: images/<name>.png and one annotations.json for all tiles.

A nucleus is an annotation with the number of its class as category (0 "unknown" where its type is; listed only if it
occurs), area and box in px, iscrowd 0. Its outline is a list of polygons, one for each part, that follow pixel edges:
pycocotools fills them to the same pixels. COCO's polygons have no holes, so a nucleus with a hole is written as
compressed run lengths; `write_rle` writes all of them so. All else stands in meta.json, as in every format.

Read is any COCO file of instances that formats/coco_document.py finds. Images keep the file's order, nuclei the order
of annotations, and polygons are filled by pixel centres; overlaps go to the later one. Crowds and boxes without an
outline are left out and counted; annotations of no image, and images that are not there, are told.
"""

import json
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from nucleosynth.data.findings import Note, each_tile, strictly
from nucleosynth.data.images import read_image
from nucleosynth.data.meta import Meta, read_meta
from nucleosynth.errors import UserError
from nucleosynth.formats.coco_document import ANNOTATIONS, UNKNOWN, Annotation, Tile, listed, place
from nucleosynth.formats.tile_files import class_of, named_classes, put_image, sample_of, write_folder
from nucleosynth.instances.canvas import Canvas
from nucleosynth.instances.polygons import Polygon, trace
from nucleosynth.instances.rle import decode, encode, runs_of, to_text
from nucleosynth.sample import Sample

CROWDS = "crowd regions, left out"
BOXES = "boxes without an outline, left out"


def read(where: str, note: Note = strictly) -> Iterator[Sample]:
    """Tiles of a folder with COCO annotations, or of one such file beside its images, in the order of their list.

    Raises:
        UserError: no such folder or file, no annotations, a file that is none of COCO's, an id that is taken twice, a
            file_name that leads out of the folder; and, through `note`, a category that is not listed, an outline that
            is none, a broken image, or one of another size than is stated.
    """
    root, file = place(where)
    tiles, words, lost = listed(root, file, read_meta(root).class_names, note)
    meta = read_meta(root, [*tiles, *lost])
    names = meta.class_names if meta.class_names is not None else named_classes(words, str(root))
    yield from each_tile(partial(_sample, meta, names, note), tiles.values(), note)


def write(samples: Iterable[Sample], folder: Path | str, overwrite: bool = False) -> int:
    """Write samples with polygons, run lengths for nuclei with holes; see formats/tile_files.py for what is raised."""
    return write_folder(samples, folder, overwrite, partial(_write, polygons=True), by_name=True)


def write_rle(samples: Iterable[Sample], folder: Path | str, overwrite: bool = False) -> int:
    """Write samples with compressed run lengths for every nucleus; raises as `write`."""
    return write_folder(samples, folder, overwrite, partial(_write, polygons=False), by_name=True)


def _write(folder: Path, samples: Iterator[Sample], polygons: bool) -> None:
    """Annotations are written as they come; what is short of them (images, categories) at the end."""
    images: list[dict[str, Any]] = []
    licences: dict[str, int] = {}
    names: tuple[str, ...] = ()
    unknown, count = False, 0
    with (folder / ANNOTATIONS).open("w", encoding="utf-8") as file:
        file.write('{"info": {"description": "nuclei, written by nucleosynth"},\n"annotations": [')
        for number, sample in enumerate(samples, start=1):
            put_image(folder, sample)
            (height, width), licence = sample.size, licences.setdefault(sample.licence, len(licences) + 1)
            image = {"id": number, "file_name": f"{sample.sample_id}.png", "height": height, "width": width}
            images.append({**image, "license": licence})
            for annotation in _annotations(sample, polygons):
                file.write(",\n" if count else "\n")
                count += 1
                file.write(json.dumps({"id": count, "image_id": number, **annotation}))
            names, unknown = sample.class_names, unknown or not sample.classes.all()
        categories = [*([UNKNOWN] if unknown else []), *names]
        numbered = [
            {"id": k, "name": name, "supercategory": "nucleus"}
            for k, name in enumerate(categories, start=0 if unknown else 1)
        ]
        lists = {
            "images": images,
            "categories": numbered,
            "licenses": [{"id": k, "name": name, "url": ""} for name, k in licences.items()],
        }
        file.write("],\n" + json.dumps(lists)[1:])


def _annotations(sample: Sample, polygons: bool) -> Iterator[dict[str, Any]]:
    outlines = trace(sample.instances) if polygons else [[]] * len(sample.classes)
    for (top, left, mask), traced, kind in zip(_masks(sample), outlines, sample.classes.tolist(), strict=True):
        segmentation: Any = [polygon[0].ravel().tolist() for polygon in traced]
        if not polygons or any(len(polygon) > 1 for polygon in traced):
            runs = encode(mask, sample.size, top, left)
            segmentation = {"size": list(sample.size), "counts": to_text(runs)}
        yield {
            "category_id": kind,
            "segmentation": segmentation,
            "area": int(np.count_nonzero(mask)),
            "bbox": [left, top, mask.shape[1], mask.shape[0]],
            "iscrowd": 0,
        }


def _masks(sample: Sample) -> Iterator[tuple[int, int, Any]]:
    for number, window in enumerate(ndimage.find_objects(sample.instances), start=1):
        yield window[0].start, window[1].start, sample.instances[window] == number


def _sample(meta: Meta, class_names: tuple[str, ...] | None, note: Note, tile: Tile) -> Sample:
    image = read_image(tile.image)
    size = image.shape[0], image.shape[1]
    stated = (tile.entry.height, tile.entry.width)
    if any(said not in (None, true) for said, true in zip(stated, size, strict=True)):
        raise UserError(
            "an image of another size than its annotations say",
            expected=f"height and width {stated}",
            got=str(size),
            where=str(tile.image),
            mend="annotate the image as it is, or resample it back",
        )
    canvas = Canvas(size)
    for annotation in tile.annotations:
        _draw(canvas, annotation, tile, class_names)
    said = meta.model_copy(update={"split": meta.split or tile.split or None})
    return sample_of(tile.name, image, canvas.label(), class_names, said, "coco", note)


def _draw(canvas: Canvas, annotation: Annotation, tile: Tile, class_names: tuple[str, ...] | None) -> None:
    where = f"{tile.file}, annotation {annotation.id} of {tile.entry.file_name}"
    if annotation.iscrowd:
        canvas.repairs[CROWDS] += 1
    elif not annotation.segmentation:
        canvas.repairs[BOXES] += 1
    elif isinstance(annotation.segmentation, dict):
        left, mask = decode(runs_of(annotation.segmentation, canvas.size, where), canvas.size, where)
        canvas.draw(mask, _class(annotation, tile, class_names, where), 0, left)
    else:
        canvas.outline(_polygons(annotation.segmentation, where), _class(annotation, tile, class_names, where), where)


def _class(annotation: Annotation, tile: Tile, class_names: tuple[str, ...] | None, where: str) -> int:
    if annotation.category_id is None and not tile.words:
        return class_of("", class_names, where)
    if annotation.category_id not in tile.words:
        raise UserError(
            "a category that is not listed",
            expected=f"one of {', '.join(map(str, tile.words)) or 'no category at all'}",
            got=str(annotation.category_id),
            where=where,
            mend="list it under categories",
        )
    return class_of(tile.words[annotation.category_id], class_names, where)


def _polygons(segmentation: Any, where: str) -> list[Polygon]:
    """Each flat list x, y, x, y ... as a polygon without holes."""
    try:
        flat = [np.asarray(ring, np.float64) for ring in segmentation]
    except (TypeError, ValueError, OverflowError):  # whole numbers beyond any float
        flat = [np.zeros((0, 0))]
    if any(ring.ndim != 1 or len(ring) % 2 for ring in flat):
        raise UserError(
            "a segmentation that is none",
            expected="lists x, y, x, y ... of numbers in px, or run lengths",
            got=str(segmentation)[:60],
            where=where,
            mend="export the annotations again",
        )
    return [[ring.reshape(-1, 2)] for ring in flat]
