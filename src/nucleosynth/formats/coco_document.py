"""What a COCO file of instances lists: images, annotations and categories, checked before any tile is read.

Read are annotations.json, the only other *.json, or those of annotations/, whose names then are the splits
("instances_train2017.json": train). A file_name is a path below images/, below a folder named as the annotations are
(train2017/), or below the folder itself; it may be a link, but never one that leads out of the folder.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple

from pydantic import BaseModel, Field, ValidationError

from nucleosynth.data.files import whole
from nucleosynth.data.findings import Finding, Note
from nucleosynth.data.meta import META
from nucleosynth.errors import UserError
from nucleosynth.formats.tile_files import nothing_found

ANNOTATIONS = "annotations.json"
UNKNOWN = "unknown"
_PREFIX = re.compile(r"^(instances|annotations)_")
Id = int | str


class _Image(BaseModel):
    id: Id
    file_name: str
    height: int | None = None
    width: int | None = None


class _Category(BaseModel):
    id: Id
    name: str


class Annotation(BaseModel):
    """A nucleus, as it is listed."""

    id: Id | None = None
    image_id: Id
    category_id: Id | None = None
    segmentation: Any = None
    iscrowd: int = 0


class _Document(BaseModel):
    images: list[_Image]
    annotations: list[Annotation] = Field(default_factory=list)
    categories: list[_Category] = Field(default_factory=list)


@dataclass(frozen=True)
class Tile:
    """A tile to read: its annotations in their order, and the file that has them."""

    name: str
    image: Path
    entry: _Image
    annotations: Sequence[Annotation]
    words: dict[Id, str]
    split: str
    file: Path


class Listed(NamedTuple):
    """The tiles of a folder by name, in the order of its lists; the names of all categories but the unknown type."""

    tiles: Mapping[str, Tile]
    words: Sequence[str]


def listed(root: Path, note: Note) -> Listed:
    """What the annotation files of a folder list.

    Raises:
        UserError: no annotations, a file that is none of COCO's, an id or a tile that is there twice, a file_name that
            leads out of the folder.
    """
    files = _files(root, note)
    documents = {file: _document(file, root) for file in files}
    tiles: dict[str, Tile] = {}
    for file, document in documents.items():
        split = _split(file) if len(files) > 1 else ""
        for tile in _tiles(root, file, document, split, note):
            if tile.name in tiles:
                raise _twice("image", tile.name, f"{file} and {tiles[tile.name].file}")
            tiles[tile.name] = tile
    return Listed(tiles, [word for document in documents.values() for word in _words(document).values() if word])


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
    return _PREFIX.sub("", file.stem).rstrip("0123456789") or file.stem


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


def _words(document: _Document) -> dict[Id, str]:
    """The name of each category, in ascending order of ids; "" for the unknown type."""
    ordered = sorted(document.categories, key=lambda category: (isinstance(category.id, str), category.id))
    return {category.id: "" if (category.id, category.name) == (0, UNKNOWN) else category.name for category in ordered}


def _tiles(root: Path, file: Path, document: _Document, split: str, note: Note) -> Iterator[Tile]:
    words = _words(document)
    of_image: dict[Id, list[Annotation]] = {entry.id: [] for entry in document.images}
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
        yield Tile(name, image, entry, of_image[entry.id], words, split, file)


def _image_path(root: Path, file: Path, file_name: str) -> Path | None:
    """Where an image lies; None where it is in none of the folders.

    Raises:
        UserError: it leads out of the folder.
    """
    path = PurePosixPath(file_name.replace("\\", "/"))
    absolute = path.is_absolute() or PureWindowsPath(file_name).is_absolute()
    out = absolute or ".." in path.parts or not path.name or "\0" in file_name
    part = _PREFIX.sub("", file.stem)
    places = [] if out else [folder / path for folder in (root / "images", root / "images" / part, root / part, root)]
    found = next((place for place in places if place.is_file()), None)
    if out or (found and not found.resolve().is_relative_to(root.resolve())):
        raise UserError(
            "a file_name that leads out of the folder",
            expected="a path below the folder, such as images/tile_7.png",
            got=repr(file_name),
            where=str(file),
            mend="copy the images into the folder, and name them relative to it",
        )
    return found


def _twice(kind: str, name: str, where: str) -> UserError:
    return UserError(
        f"an {kind} twice" if kind[0] in "aeiou" else f"a {kind} twice",
        expected=f"every {kind} once",
        got=name,
        where=where,
        mend="give each an id and a file name of its own",
    )
