"""Which label EndoNuke has for which tile: by master_ymls/unique.yaml, or by the names of the labels.

unique.yaml is a table of two lists, images_lists and labels_lists: paths of list files, from the yaml's own folder. A
list file has a path a line, from its own folder; line k of both kinds is one tile, of one id. Paths may be written the
Windows way, and must stay inside the data folder.
"""

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from nucleosynth.data.files import named_files, natural, text
from nucleosynth.data.findings import Finding, Note
from nucleosynth.data.images import IMAGE_SUFFIXES
from nucleosynth.errors import UserError


class Tile(NamedTuple):
    """A tile's image and the label chosen for it; `passed_over` labels of other annotators are not read."""

    name: str
    image: Path
    label: Path
    passed_over: int = 0


def tiles(dataset: Path, master: Path, note: Note) -> list[Tile]:
    """The labelled tiles of `dataset` (with images/ and labels/), natural order of ids; what has no label is told.

    Raises:
        UserError: a yaml or list file that is broken or not there, lists that do not pair, or a path out of the folder.
    """
    images = {path.stem: path for path in named_files(dataset / "images", IMAGE_SUFFIXES, dataset.parent).values()}
    labels: dict[str, list[Path]] = {}
    for path in named_files(dataset / "labels", (".txt",), dataset.parent).values():
        labels.setdefault(path.stem, []).append(path)
    if master.is_file():
        found = list(_listed(master, dataset.parent, note))
        unlisted = len((images.keys() & labels.keys()) - {tile.name for tile in found})
        if unlisted:
            note(Finding("left out", str(master), f"{unlisted} labelled tiles that it does not list"))
    else:
        note(Finding("missing", str(master), "it chooses one label a tile", "unpack master_ymls beside dataset"))
        found = [Tile(name, images[name], paths[0], len(paths) - 1) for name, paths in labels.items() if name in images]
    _tell_missing(dataset, images, labels, found, note)
    whole = [tile for tile in found if tile.image.is_file() and tile.label.is_file()]
    return sorted(whole, key=lambda tile: natural(tile.name))


def _tell_missing(
    dataset: Path, images: dict[str, Path], labels: dict[str, list[Path]], found: Sequence[Tile], note: Note
) -> None:
    """Tell of tiles without a label, all at once, and of labels without their image."""
    bare = images.keys() - labels.keys()
    if bare:
        note(Finding("note", str(dataset / "labels"), f"the labels of {len(bare)} tiles are not there"))
    for tile in found:
        # A tile without any label is told above.
        if not tile.label.is_file() and tile.name not in bare:
            note(Finding("missing", str(tile.label), "a label that is listed is not there", "unpack labels again"))
        if not tile.image.is_file():
            note(Finding("missing", str(tile.image), "an image that is listed is not there", "unpack images again"))
    listed = {tile.name for tile in found}
    for name, paths in labels.items():
        if name not in images and name not in listed:
            note(Finding("missing", str(paths[0]), "its image is not there", f"look for {name} in images"))


def _listed(master: Path, folder: Path, note: Note) -> Iterator[Tile]:
    """The pairs of the master file, each tile once."""
    table = _table(master, folder)
    images, labels = (
        [path for name in table[key] for path in _lines(_inside(name, master.parent, folder, str(master)), folder)]
        for key in ("images_lists", "labels_lists")
    )
    pairs = zip_longest((path.stem for path in images), (path.stem for path in labels), fillvalue="nothing")
    odd = next((pair for pair in pairs if pair[0] != pair[1]), None)
    if odd is not None:
        raise UserError(
            "lists that do not pair",
            expected="as many images as labels, those of a line of one id",
            got=f"image {odd[0]} and label {odd[1]}",
            where=str(master),
            mend="unpack files_lists and master_ymls again",
        )
    seen: set[str] = set()
    for image, label in zip(images, labels, strict=True):
        if image.stem in seen:
            note(Finding("suspicious", str(label), "a tile listed twice, its first label taken", "list it once"))
        else:
            yield Tile(image.stem, image, label)
        seen.add(image.stem)


def _table(master: Path, folder: Path) -> dict[str, list[str]]:
    try:
        table: Any = yaml.safe_load(text(master, folder))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise _no_table(str(error).splitlines()[0] if str(error) else "no YAML", master) from error
    for key in ("images_lists", "labels_lists"):
        names = table.get(key) if isinstance(table, dict) else None
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise _no_table(f"no list of texts {key!r}", master)
    return dict(table)


def _no_table(got: str, master: Path) -> UserError:
    return UserError(
        "not a list of EndoNuke's tiles",
        expected="YAML with images_lists and labels_lists, each a list of paths",
        got=got,
        where=str(master),
        mend="unpack master_ymls again",
    )


def _lines(path: Path, folder: Path) -> Iterator[Path]:
    """The paths in a list file."""
    if not path.is_file():
        raise UserError(
            "no such list of files",
            expected="a text file with a path a line",
            got="nothing there",
            where=str(path),
            mend="unpack files_lists beside images and labels",
        )
    for number, line in enumerate(text(path, folder).splitlines(), start=1):
        if line.strip():
            yield _inside(line.strip(), path.parent, folder, f"{path}, line {number}")


def _inside(name: str, start: Path, folder: Path, where: str) -> Path:
    """The path that a file names, which must lie inside the data folder."""
    try:
        path = (start / name.replace("\\", "/")).resolve()
    except (ValueError, OSError, RuntimeError) as error:  # a zero byte, a name too long, links in a circle
        raise _outside(name, folder, where) from error
    if not path.is_relative_to(folder.resolve()):
        raise _outside(name, folder, where)
    return path


def _outside(name: str, folder: Path, where: str) -> UserError:
    return UserError(
        "a path out of the data folder",
        expected=f"a file inside {folder}",
        got=repr(name),
        where=where,
        mend="correct the list: paths are taken from the folder of the file that names them",
    )
