"""What a COCO file of instances lists: images, annotations and categories, checked before any tile is read.

Read is the file that is named, or of a folder annotations.json, the only other *.json, those of annotations/, whose
names then are the splits ("instances_train2017.json": train), or, as Roboflow has it, <split>/_annotations.coco.json. A
file_name is a path below images/, below a folder named as the annotations are (train2017/), or below the folder itself;
in Roboflow's layout it lies beside the annotations. It may be a link, but never one that leads out of the folder.

Where no file lists a category, the ids that occur are classes in ascending order: those that meta.toml names, if it
names as many, else "class 1".."class C". That is told, and so is a name that two categories have.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple

from pydantic import BaseModel, Field, ValidationError

from nucleosynth.data.classes import numbered_names
from nucleosynth.data.files import existing_folder, natural, whole
from nucleosynth.data.findings import Finding, Note
from nucleosynth.data.meta import META
from nucleosynth.errors import UserError
from nucleosynth.formats.tile_files import nothing_found

ANNOTATIONS = "annotations.json"
ROBOFLOW = "_annotations.coco.json"
UNKNOWN = "unknown"
LONGEST_SHOWN = 80
"""Letters of a name that a message shows."""
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
    """The tiles of a folder by name, in the order of its lists; the names of all categories but the unknown type.

    lost: the names of tiles whose image is not there.
    """

    tiles: Mapping[str, Tile]
    words: Sequence[str]
    lost: Sequence[str]


def place(where: str) -> tuple[Path, Path | None]:
    """The folder that is read, and the file of it where DATA is one.

    Raises:
        UserError: neither is there.
    """
    file = Path(where).expanduser()
    if where and _is_json(file):
        return file.parent.parent if file.parent.name == "annotations" else file.parent, file
    return existing_folder(where, f"a folder with images/ and {ANNOTATIONS}, or such a file"), None


def listed(root: Path, file: Path | None, class_names: Sequence[str] | None, note: Note) -> Listed:
    """What one annotation file, or those of a folder, list; class_names: what meta.toml names.

    Raises:
        UserError: no annotations, a file that is none of COCO's, an id or a tile that is there twice, a file_name that
            leads out of the folder, classes that are neither listed nor named.
    """
    files = [file] if file else _files(root, note)
    documents = {file: _document(file, root) for file in files}
    words = _words(documents, class_names, note)
    tiles: dict[str, Tile] = {}
    lost: list[str] = []
    for file, document in documents.items():
        split = _split(file) if len(files) > 1 else ""
        for tile in _tiles(root, file, document, words[file], split, note, lost):
            if tile.name in tiles:
                raise _twice("image", tile.name, f"{file} and {tiles[tile.name].file}")
            tiles[tile.name] = tile
    return Listed(tiles, [word for listed in words.values() for word in listed.values() if word], lost)


def _files(root: Path, note: Note) -> list[Path]:
    """The annotation files of a folder; instances_*.json alone where there are such, as COCO itself has others too."""
    if (root / ANNOTATIONS).exists():
        return [root / ANNOTATIONS]
    found = [path for path in _json_files(root) if path.name != META]
    if len(found) != 1:
        found = _json_files(root / "annotations")
        found = found or sorted(root.glob(f"*/{ROBOFLOW}"), key=lambda path: natural(path.parent.name))
    if not found:
        expected = f"{ANNOTATIONS}, one other *.json, annotations/*.json, or */{ROBOFLOW}"
        raise nothing_found(root, "COCO annotations", expected)
    of_instances = [path for path in found if path.name.startswith("instances")] or found
    for path in found:
        if path not in of_instances:
            note(Finding("left out", str(path), "annotations of something else than instances"))
    return of_instances


def _json_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if _is_json(path))


def _is_json(path: Path) -> bool:
    return path.suffix.lower() == ".json" and _is_file(path)


def _is_file(path: Path) -> bool:
    """Whether there is such a file; of a name that no file can have, there is none."""
    try:
        return path.is_file()
    except OSError:
        return False


def _split(file: Path) -> str:
    """ "train" for instances_train2017.json, and for train/_annotations.coco.json."""
    if file.name == ROBOFLOW:
        return file.parent.name
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


def _words(
    documents: Mapping[Path, _Document], class_names: Sequence[str] | None, note: Note
) -> dict[Path, dict[Id, str]]:
    """The name of each category of each file, in ascending order of ids; "" for the unknown type."""
    if not any(document.categories for document in documents.values()):
        return dict.fromkeys(documents, _unlisted(documents, class_names, note))
    words: dict[Path, dict[Id, str]] = {}
    for file, document in documents.items():
        ordered = sorted(document.categories, key=lambda category: _ascending(category.id))
        words[file] = {kind.id: "" if (kind.id, kind.name) == (0, UNKNOWN) else kind.name for kind in ordered}
        for word, times in Counter(words[file].values()).items():
            if times > 1:
                note(Finding("note", str(file), f"{times} categories are named {word!r}, read as one class"))
    return words


def _unlisted(documents: Mapping[Path, _Document], class_names: Sequence[str] | None, note: Note) -> dict[Id, str]:
    """A name for each category id that occurs in files that list none.

    Raises:
        UserError: meta.toml names more or fewer of them.
    """
    found = {annotation.category_id for document in documents.values() for annotation in document.annotations}
    ids = sorted((number for number in found if number is not None), key=_ascending)
    names = tuple(class_names) if class_names is not None else numbered_names(len(ids))
    where, said = ", ".join(map(str, documents)), _shown(", ".join(map(str, ids)))
    if ids and len(names) != len(ids):
        raise UserError(
            "categories that are not listed",
            expected=f"a list of categories, or {len(ids)} class_names in meta.toml",
            got=f"category ids {said}; class_names {', '.join(names)}",
            where=where,
            mend="list the categories in the file",
        )
    words = dict(zip(ids, names, strict=False))
    if words:
        note(Finding("note", where, f"no category is listed: ids {said} are read as {_shown(', '.join(names))}"))
    return words


def _ascending(number: Id) -> tuple[bool, Id]:
    return isinstance(number, str), number


def _tiles(
    root: Path, file: Path, document: _Document, words: dict[Id, str], split: str, note: Note, lost: list[str]
) -> Iterator[Tile]:
    """The tiles of a file; the names of those whose image is not there are added to `lost`."""
    of_image: dict[Id, list[Annotation]] = {entry.id: [] for entry in document.images}
    ids = Counter(annotation.id for annotation in document.annotations if annotation.id is not None)
    strays = 0
    for annotation in document.annotations:
        if annotation.image_id in of_image:
            of_image[annotation.image_id].append(annotation)
        else:
            strays += 1
    if strays:
        told = f"{strays} annotations of images that are not listed, left out"
        note(Finding("suspicious", str(file), told, "list these images, or remove the annotations"))
    if twice := sum(times > 1 for times in ids.values()):
        told = f"{twice} annotation ids that occur more than once, all read"
        note(Finding("suspicious", str(file), told, "check that no annotation was copied twice"))
    for entry in document.images:
        image = _image_path(root, file, entry.file_name)
        if image is None:
            note(Finding("missing", str(file), f"an image is not there: {_shown(entry.file_name)}", "look for it"))
            lost.append(PurePosixPath(entry.file_name.replace("\\", "/")).with_suffix("").as_posix())
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
    out = absolute or ".." in path.parts or not path.name
    part = _PREFIX.sub("", file.stem)
    folders = [root / "images", root / "images" / part, root / part, root]
    if file.name == ROBOFLOW and file.parent != root:
        folders = [file.parent]
    found = None if out else next((folder / path for folder in folders if _is_file(folder / path)), None)
    if out or (found and not found.resolve().is_relative_to(root.resolve())):
        raise UserError(
            "a file_name that leads out of the folder",
            expected="a path below the folder, such as images/tile_7.png",
            got=repr(file_name),
            where=str(file),
            mend="copy the images into the folder, and name them relative to it",
        )
    return found


def _shown(name: str) -> str:
    """A name that may hold anything, for a message."""
    shown = name if name.isprintable() else ascii(name)
    return shown if len(shown) <= LONGEST_SHOWN else f"{shown[:LONGEST_SHOWN]}..."


def _twice(kind: str, name: str, where: str) -> UserError:
    return UserError(
        f"an {kind} twice" if kind[0] in "aeiou" else f"a {kind} twice",
        expected=f"every {kind} once",
        got=name,
        where=where,
        mend="give each an id and a file name of its own",
    )
