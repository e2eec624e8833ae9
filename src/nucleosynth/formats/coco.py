"""COCO's instance annotations, in and out: images/<name>.png and one annotations.json for all tiles.

A nucleus is an annotation with the number of its class as category (0 "unknown" where its type is; listed only if it
occurs), area and box in px, iscrowd 0. Its outline is a list of polygons, one for each part, that follow pixel edges:
pycocotools fills them to the same pixels. COCO's polygons have no holes, so a nucleus with a hole is written as
compressed run lengths; `write_rle` writes all of them so. All else stands in meta.json, as in every format.

Read is any COCO file of instances: annotations.json, the only other *.json, or those of annotations/, whose names then
are the splits ("instances_train2017.json": train). Images keep the file's order, nuclei the order of annotations, and
polygons are filled by pixel centres; overlaps go to the later one. Crowds and boxes without an outline are left out and
counted; annotations of no image, and images that are not there, are told.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
from pydantic import BaseModel, Field, ValidationError
from scipy import ndimage

from nucleosynth.data.files import existing_folder, whole
from nucleosynth.data.findings import Finding, Note, each_tile, strictly
from nucleosynth.data.images import read_image
from nucleosynth.data.meta import META, Meta, read_meta
from nucleosynth.errors import UserError
from nucleosynth.formats.tile_files import (
    class_of,
    named_classes,
    nothing_found,
    put_image,
    sample_of,
    write_folder,
)
from nucleosynth.instances.canvas import Canvas
from nucleosynth.instances.geojson import LARGEST
from nucleosynth.instances.polygons import Polygon, trace
from nucleosynth.instances.rle import decode, encode, runs_of, to_text
from nucleosynth.sample import Sample

ANNOTATIONS = "annotations.json"
UNKNOWN = "unknown"
CROWDS = "crowd regions, left out"
BOXES = "boxes without an outline, left out"
_Id = int | str


class _Image(BaseModel):
    id: _Id
    file_name: str
    height: int | None = None
    width: int | None = None


class _Category(BaseModel):
    id: _Id
    name: str


class _Annotation(BaseModel):
    id: _Id | None = None
    image_id: _Id
    category_id: _Id | None = None
    segmentation: Any = None
    iscrowd: int = 0


class _Document(BaseModel):
    images: list[_Image]
    annotations: list[_Annotation] = Field(default_factory=list)
    categories: list[_Category] = Field(default_factory=list)


@dataclass(frozen=True)
class _Tile:
    """A tile to read: its annotations in their order, and the file that has them."""

    name: str
    image: Path
    entry: _Image
    annotations: Sequence[_Annotation]
    words: dict[_Id, str]
    split: str
    file: Path


def read(where: str, note: Note = strictly) -> Iterator[Sample]:
    """Tiles of a folder with COCO annotations, in the order of their list.

    Raises:
        UserError: no such folder, no annotations, a file that is none of COCO's, an id that is taken twice, a file_name
            that leads out of the folder; and, through `note`, a category that is not listed, an outline that is none,
            a broken image, or one of another size than is stated.
    """
    root = existing_folder(where, f"a folder with images/ and {ANNOTATIONS}")
    files = _files(root, note)
    documents = {file: _document(file, root) for file in files}
    tiles: dict[str, _Tile] = {}
    for file, document in documents.items():
        split = _split(file) if len(files) > 1 else ""
        for tile in _tiles(root, file, document, split, note):
            if tile.name in tiles:
                raise _twice("image", tile.name, f"{file} and {tiles[tile.name].file}")
            tiles[tile.name] = tile
    meta = read_meta(root, tiles)
    listed = (word for document in documents.values() for word in _words(document).values() if word)
    names = meta.class_names if meta.class_names is not None else named_classes(listed, str(root))
    yield from each_tile(partial(_sample, meta, names, root), tiles.values(), note)


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
                json.dump({"id": count, "image_id": number, **annotation}, file)
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


def _files(root: Path, note: Note) -> list[Path]:
    """The annotation files of a folder; instances_*.json alone where there are such, as COCO itself has others too."""
    if (root / ANNOTATIONS).exists():
        return [root / ANNOTATIONS]
    found = sorted(path for path in root.glob("*.json") if path.name != META)
    found = found if len(found) == 1 else sorted((root / "annotations").glob("*.json"))
    if not found:
        raise nothing_found(root, "COCO annotations", f"{ANNOTATIONS}, one other *.json, or annotations/*.json")
    of_instances = [path for path in found if path.name.startswith("instances")] or found
    for path in found:
        if path not in of_instances:
            note(Finding("left out", str(path), "annotations of something else than instances"))
    return of_instances


def _split(file: Path) -> str:
    """ "train" for instances_train2017.json."""
    return re.sub(r"^(instances|annotations)_|\d+$", "", file.stem) or file.stem


def _document(file: Path, root: Path) -> _Document:
    try:
        document = _Document.model_validate_json(whole(file, root).removeprefix(b"\xef\xbb\xbf"))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        got = f"{'.'.join(map(str, first['loc']))}: {first['msg']}".removeprefix(": ")
        raise UserError(
            "not a COCO file",
            expected="a JSON object with lists of images, annotations and categories",
            got=got,
            where=str(file),
            mend="export the annotations again",
        ) from error
    for kind, entries in (("image", document.images), ("category", document.categories)):
        number, times = Counter(entry.id for entry in entries).most_common(1)[0] if entries else (0, 1)
        if times > 1:
            raise _twice(f"{kind} id", str(number), str(file))
    return document


def _words(document: _Document) -> dict[_Id, str]:
    """The name of each category, in ascending order of ids; "" for the unknown type."""
    ordered = sorted(document.categories, key=lambda category: (isinstance(category.id, str), category.id))
    return {category.id: "" if (category.id, category.name) == (0, UNKNOWN) else category.name for category in ordered}


def _tiles(root: Path, file: Path, document: _Document, split: str, note: Note) -> Iterator[_Tile]:
    words = _words(document)
    of_image: dict[_Id, list[_Annotation]] = {entry.id: [] for entry in document.images}
    ids = Counter(annotation.id for annotation in document.annotations if annotation.id is not None)
    strays = 0
    for annotation in document.annotations:
        if annotation.image_id in of_image:
            of_image[annotation.image_id].append(annotation)
        else:
            strays += 1
    if strays:
        note(Finding("suspicious", str(file), f"{strays} annotations of images that are not listed, left out"))
    if twice := sum(times > 1 for times in ids.values()):
        note(Finding("suspicious", str(file), f"{twice} annotation ids that occur more than once, all read"))
    for entry in document.images:
        image = _image_path(root, file, entry.file_name)
        if image is None:
            note(Finding("missing", str(file), f"an image is not there: {entry.file_name}", "look for it"))
            continue
        images = root / "images"
        name = image.relative_to(images if image.is_relative_to(images) else root).with_suffix("").as_posix()
        yield _Tile(name, image, entry, of_image[entry.id], words, split, file)


def _image_path(root: Path, file: Path, file_name: str) -> Path | None:
    """Where an image lies: in images/, in a folder named as the annotations are (train2017/), or in the folder itself.

    Raises:
        UserError: it leads out of the folder.
    """
    path = PurePosixPath(file_name.replace("\\", "/"))
    absolute = path.is_absolute() or PureWindowsPath(file_name).is_absolute()
    out = absolute or ".." in path.parts or not path.name or "\0" in file_name
    part = re.sub(r"^(instances|annotations)_", "", file.stem)
    for folder in (root / "images", root / "images" / part, root / part, root):
        found = folder / path
        if not out and found.is_file():
            out = not found.resolve().is_relative_to(folder.resolve())
            if not out:
                return found
    if out:
        raise UserError(
            "a file_name that leads out of the folder",
            expected="a path below the folder, such as images/tile_7.png",
            got=repr(file_name),
            where=str(file),
            mend="copy the images into the folder, and name them relative to it",
        )
    return None


def _sample(meta: Meta, class_names: tuple[str, ...] | None, root: Path, tile: _Tile) -> Sample:
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
    return sample_of(tile.name, image, canvas.label(), class_names, said, f"coco/{root.resolve().name}/{tile.name}")


def _draw(canvas: Canvas, annotation: _Annotation, tile: _Tile, class_names: tuple[str, ...] | None) -> None:
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


def _class(annotation: _Annotation, tile: _Tile, class_names: tuple[str, ...] | None, where: str) -> int:
    if tile.words and annotation.category_id not in tile.words:
        raise UserError(
            "a category that is not listed",
            expected=f"one of {', '.join(map(str, tile.words))}",
            got=str(annotation.category_id),
            where=where,
            mend="list it under categories",
        )
    word = tile.words[annotation.category_id] if tile.words and annotation.category_id is not None else ""
    return class_of(word, class_names, where)


def _polygons(segmentation: Any, where: str) -> list[Polygon]:
    """Each flat list x, y, x, y ... as a polygon without holes."""
    try:
        flat = [np.asarray(ring, np.float64) for ring in segmentation]
    except (TypeError, ValueError):
        flat = [np.zeros((0, 0))]
    if any(ring.ndim != 1 or len(ring) % 2 or not (np.abs(ring) <= LARGEST).all() for ring in flat):
        raise UserError(
            "a segmentation that is none",
            expected="lists x, y, x, y ... of finite numbers in px, or run lengths",
            got=str(segmentation)[:60],
            where=where,
            mend="export the annotations again",
        )
    return [[ring.reshape(-1, 2)] for ring in flat]


def _twice(kind: str, name: str, where: str) -> UserError:
    return UserError(
        f"an {kind} twice" if kind[0] in "aeiou" else f"a {kind} twice",
        expected=f"every {kind} once",
        got=name,
        where=where,
        mend="give each an id and a file name of its own",
    )
