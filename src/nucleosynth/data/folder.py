"""The user's own tiles, in a plain folder.

    images/<name>.png|tif|jpg      8-bit RGB; <name> may contain folders ("slide_1/tile_7")
    labels/<name>.png|tif|npy      instance map: 0 background, every nucleus one positive whole number; gaps are fine;
                                   or masks/, and <name>_mask and the like
    classes/<name>.npy             the class of each nucleus, ids in ascending order; or instead
    classes.csv                    name,id,class: a number, a class name, or "unknown"
    meta.toml                      optional; meta.json of the same keys is what `convert --to folder` writes

Classes are 1..C, 0 = unknown type. Without classes, every nucleus is a "nucleus". meta.toml holds class_names (else the
words of classes.csv in alphabetical order, or "class 1".."class C"), mpp, tissue, stain, licence, source, split, and a
table [tiles."<name>"] for a tile that differs. A tile is its own source ("folder/<name>@<digest of its pixels>") unless
a source is named: name the slide or patient wherever several tiles come from one, for splits never cut a source.

Names, classes and settings are checked before the first tile is yielded; pixels as they are read.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from nucleosynth.data.classes import MOST_CLASSES, numbered_names
from nucleosynth.data.files import existing_folder, first_files, named_files, not_the, same_names, unnested
from nucleosynth.data.findings import Note, broken_tile, each_tile, strictly
from nucleosynth.data.images import IMAGE_SUFFIXES, LABEL_SUFFIXES, ids, read_image, read_map, read_npy
from nucleosynth.data.meta import Meta, in_order, own_source, read_meta, said_of
from nucleosynth.data.tables import is_number, read_table
from nucleosynth.errors import UserError, unknown_name
from nucleosynth.sample import Classes, Instances, Sample, renumbered

UNKNOWN = "unknown"
IMAGES, LABELS = ("images", "Images", "image"), ("labels", "Labels", "label", "masks", "Masks", "mask")
"""Names that these folders have; the first one that is there is read."""


def read(where: str, note: Note = strictly) -> Iterator[Sample]:
    """Tiles of a plain folder, laid out as the module says, in natural order.

    Raises:
        UserError: no such folder; an image without its label or classes, or the reverse; a broken file; sizes that
            differ; ids or classes out of range; an unknown key. The message names the file.
    """
    root = unnested(existing_folder(where, "a folder with images/ and labels/"), (*IMAGES, *LABELS))
    images = first_files(root, IMAGES, IMAGE_SUFFIXES)
    labels = {_of_image(name, images): path for name, path in first_files(root, LABELS, LABEL_SUFFIXES).items()}
    if not images and not labels:
        raise not_the(
            "a folder of tiles",
            root,
            "images/*.png|tif|jpg and labels/*.png|tif|npy",
            "give the folder that holds images/ and labels/, or the name of another layout (`nucleosynth list`)",
        )
    names = same_names("image", images, "label", labels, note)
    meta = read_meta(root, [*images, *labels])
    classes = _read_classes(root, images, meta.class_names, note)
    whole = [name for name in names if classes.ordered is None or name in classes.ordered]
    yield from each_tile(partial(_sample, root, images, labels, classes, meta), in_order(whole, meta), note)


def _of_image(name: str, images: Mapping[str, Path]) -> str:
    """The image that a label is of: of its name, or of its name without "_mask" and the like."""
    base = re.sub(r"[_-](instances?|labels?|masks?)$", "", name)
    return base if name not in images and base in images else name


def _sample(
    root: Path, images: Mapping[str, Path], labels: Mapping[str, Path], classes: "FolderClasses", meta: Meta, name: str
) -> Sample:
    image, label = read_image(images[name]), labels[name]
    instances, present = renumbered(ids(read_map(label), str(label), integral_floats=True))
    of_nuclei = _of_nuclei(classes, name, present.tolist(), root)
    size = instances.shape[0], instances.shape[1]
    said = said_of(meta, name, size, classes.names, own_source("folder", name, image))
    return Sample(name, image, instances, of_nuclei, classes.names, **said)


@dataclass(frozen=True)
class FolderClasses:
    """The classes of a folder: of the nuclei in ascending order of id, or by id; {} where a tile has none."""

    names: tuple[str, ...]
    ordered: Mapping[str, Classes] | None = None
    by_id: Mapping[str, Mapping[int, int]] | None = None


def _read_classes(
    root: Path, images: Mapping[str, Path], class_names: tuple[str, ...] | None, note: Note
) -> FolderClasses:
    arrays, table = named_files(root / "classes", (".npy",), root), root / "classes.csv"
    if arrays and table.exists():
        raise UserError(
            "two files say the same", expected="classes/ or classes.csv", got="both", where=str(root), mend="remove one"
        )
    if table.exists():
        return _read_csv(table, images, class_names)
    if not arrays:
        return FolderClasses(class_names[:1] if class_names else ("nucleus",))
    ordered: dict[str, Instances] = {}
    for name in same_names("image", images, "list of classes", arrays, note):
        try:
            ordered[name] = ids(read_npy(arrays[name]).ravel(), str(arrays[name]))
        except UserError as error:
            note(broken_tile(error))
    largest = max((int(classes.max(initial=0)) for classes in ordered.values()), default=0)
    names = class_names or _numbered(largest, str(root / "classes"))
    for name, classes in ordered.items():
        _in_range(int(classes.max(initial=0)), names, str(arrays[name]))
    return FolderClasses(names, ordered={name: classes.astype(np.uint8) for name, classes in ordered.items()})


def _read_csv(path: Path, images: Mapping[str, Path], class_names: tuple[str, ...] | None) -> FolderClasses:
    rows = [
        (where, row["name"].replace("\\", "/"), row["id"], row["class"])
        for where, row in read_table(path, path.parent, ("name", "id", "class"), {"name": ("tile", "image")}).rows
    ]
    words = {word for _, _, _, word in rows if not is_number(word) and word not in ("", UNKNOWN)}
    largest = max((int(word) for _, _, _, word in rows if is_number(word)), default=0)
    names = class_names or tuple(sorted(words)) or _numbered(largest, str(path))
    by_id: dict[str, dict[int, int]] = {name: {} for name in images}
    for where, name, number, word in rows:
        if name not in images:
            raise unknown_name("tile", name, images, where)
        if not is_number(number) or int(number) in by_id[name]:
            raise UserError(
                "a bad row",
                expected="one row for each nucleus id",
                got=repr(number),
                where=where,
                mend="correct the id, or remove the row",
            )
        by_id[name][int(number)] = _class_of(word, names, where)
    return FolderClasses(names, by_id=by_id)


def _class_of(word: str, names: tuple[str, ...], where: str) -> int:
    if word in ("", UNKNOWN):
        return 0
    if is_number(word):
        return _in_range(int(word), names, where)
    if word not in names:
        raise unknown_name("class", word, names, where)
    return names.index(word) + 1


def _of_nuclei(classes: FolderClasses, name: str, present: list[int], root: Path) -> Classes:
    if classes.ordered is not None:
        found = classes.ordered[name]
        if len(found) != len(present):
            raise UserError(
                "classes do not fit the nuclei",
                expected=f"{len(present)} classes, one for each nucleus of labels/{name}",
                got=str(len(found)),
                where=str(root / "classes" / f"{name}.npy"),
                mend="list the classes in ascending order of id",
            )
        return found
    if classes.by_id is not None:
        table = classes.by_id[name]
        odd = sorted(set(present) ^ set(table))
        if odd:
            raise UserError(
                "classes do not fit the nuclei",
                expected=f"one row for each nucleus of labels/{name}",
                got=f"id {odd[0]} {'has no row' if odd[0] in present else 'is in no pixel'}",
                where=str(root / "classes.csv"),
                mend="add the row, or remove it",
            )
        return np.array([table[number] for number in present], np.uint8)
    return np.ones(len(present), np.uint8)


def _numbered(largest: int, where: str) -> tuple[str, ...]:
    if largest > MOST_CLASSES:
        raise UserError(
            "a class out of range",
            expected=f"0 (unknown) or 1..{MOST_CLASSES}",
            got=f"class {largest}",
            where=where,
            mend="number the classes from 1",
        )
    return numbered_names(largest) or ("nucleus",)


def _in_range(number: int, names: tuple[str, ...], where: str) -> int:
    if number > min(len(names), MOST_CLASSES):
        raise UserError(
            "a class out of range",
            expected=f"0 (unknown) or 1..{len(names)} ({', '.join(names)})",
            got=f"class {number}",
            where=where,
            mend="name all classes in meta.toml, or correct the label",
        )
    return number
