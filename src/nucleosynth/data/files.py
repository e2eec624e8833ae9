"""Where files lie: folders that must be there, files by name in natural order, images paired with labels.

A file is found by what a person would call it: its path below the folder, without suffix; or, in releases that come
differently nested, its name alone. Nothing outside the folder is ever read, whatever a link says.
"""

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any
from unicodedata import normalize

from nucleosynth.data.findings import Finding, Note, broken_tile, strictly
from nucleosynth.errors import UserError

SHOWN = 6
"""Names of a folder that a message shows."""


def existing_folder(where: str, holds: str) -> Path:
    """The folder as a path.

    Raises:
        UserError: it does not exist or is a file; `holds` says what was looked for.
    """
    folder = Path(where).expanduser()
    if not where or not folder.is_dir():
        got = "a file" if folder.is_file() else "nothing there" if where else "no path"
        raise UserError("no such folder", expected=holds, got=got, where=str(folder), mend="check the path")
    return folder


def not_the(what: str, root: Path, expected: str, mend: str) -> UserError:
    """The error for a folder that is not `what` it should be ("the Lizard folder"); it shows what is in it."""
    return UserError(f"not {what}", expected=expected, got=some_of(root), where=str(root), mend=mend)


def some_of(folder: Path) -> str:
    """The first names in a folder, for a message."""
    names = sorted((path.name for path in folder.iterdir()), key=natural)
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return (", ".join(names[:SHOWN]) or "an empty folder") + more


def natural(name: str) -> tuple[list[tuple[int, str]], str]:
    """Sort key that puts "tile_2" before "tile_10", and "tile_01" before "tile_1"."""
    return [_digits(part) if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name) if part], name


def _digits(part: str) -> tuple[int, str]:
    """Digits of any number, as what sorts like their value."""
    significant = part.lstrip("0")
    return len(significant), significant


def named_files(folder: Path, suffixes: Iterable[str], root: Path | None = None) -> dict[str, Path]:
    """Files below a folder by name (relative path without suffix, "a/tile_1"), in natural order.

    root: the folder that the user gave, out of which no link may lead; `folder` itself unless given.

    Raises:
        UserError: two files of one name, such as a.png and a.tif; a link that leads out of the root.
    """
    found: dict[str, Path] = {}
    for path in below(folder, suffixes, root or folder):
        # Zips made on a Mac spell accents in two letters; a label and its image may differ in that.
        name = normalize("NFC", path.relative_to(folder).as_posix()[: -len(path.suffix)])
        if name in found:
            raise UserError(
                "two files of one name",
                expected=f"one file for {name!r}",
                got=f"{found[name].name} and {path.name}",
                where=str(folder),
                mend="remove or rename one of them",
            )
        found[name] = path
    return found


def below(folder: Path, suffixes: Iterable[str], root: Path) -> list[Path]:
    """The files with these suffixes anywhere below a folder, in natural order; folders that are linked are entered.

    Raises:
        UserError: a link, of a folder or such a file, that leads out of the root.
    """
    found: list[Path] = []
    seen: set[Path] = set()
    for here, folders, names in os.walk(folder, followlinks=True):
        place = Path(here)
        if place.resolve() in seen:  # a link in a circle
            folders.clear()
            continue
        seen.add(place.resolve())
        for name in (*folders, *names):
            path = place / name
            if path.is_symlink() and not _hidden(Path(name)) and (name in folders or path.suffix.lower() in suffixes):
                check_inside(path, root)
        found += [place / name for name in names if Path(name).suffix.lower() in suffixes]
    kept = [path for path in found if not _hidden(path.relative_to(folder)) and path.is_file()]
    for path in kept[:1]:
        check_inside(path, root)  # a folder on the way to all of them
    return sorted(kept, key=lambda path: natural(path.relative_to(folder).as_posix()))


def _hidden(path: Path) -> bool:
    """What systems leave beside a person's files: .DS_Store, __MACOSX."""
    return any(part.startswith(".") or part == "__MACOSX" for part in path.parts)


def first_files(root: Path, folders: Iterable[str], suffixes: Iterable[str]) -> dict[str, Path]:
    """The files by name in the first of the folders below a root that holds any."""
    found = (named_files(root / folder, suffixes, root) for folder in folders)
    return next(filter(None, found), {})


def unnested(root: Path, holds: Iterable[str]) -> Path:
    """The folder itself, or the only one in it (and so on) where none of the folders that it should hold is there."""
    while not any((root / name).is_dir() for name in holds):
        inner = [path for path in root.iterdir() if path.is_dir() and not _hidden(path.relative_to(root))]
        if len(inner) != 1 or any(path.is_file() and not _hidden(path.relative_to(root)) for path in root.iterdir()):
            break
        root = inner[0]
    return root


def check_inside(path: Path, root: Path) -> None:
    """Refuse a path that a link leads out of the root, itself or on the way to it.

    Raises:
        UserError: such a path, or a link that leads nowhere.
    """
    if not path.resolve().is_relative_to(root.resolve()) or (path.is_symlink() and not path.exists()):
        raise UserError(
            "a link out of the folder",
            expected=f"files inside {root}",
            got=f"a link to {path.resolve()}",
            where=str(path),
            mend="copy the files into the folder, or give the folder that holds all of them",
        )


def json_table(words: str | bytes, where: str) -> dict[str, Any]:
    """A JSON object.

    Raises:
        UserError: no JSON, nested without end, or another kind of value.
    """
    try:
        table = json.loads(words)
    except (ValueError, RecursionError) as error:
        raise UserError(
            "not a JSON file", expected="JSON", got=str(error), where=where, mend="write it again"
        ) from error
    if not isinstance(table, dict):
        raise UserError(
            "not a table", expected="a JSON object", got=type(table).__name__, where=where, mend="write it again"
        )
    return table


def whole(path: Path, folder: Path) -> bytes:
    """The bytes of a file inside a folder.

    Raises:
        UserError: it is not there, is no file, or is a link that leads out of the folder.
    """
    check_inside(path, folder)
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(
            "a file that cannot be read",
            expected="a file",
            got=error.strerror or str(error),
            where=str(path),
            mend="copy the file again",
        ) from error


def text(path: Path, folder: Path) -> str:
    """The text of a file inside a folder, without a byte order mark.

    Raises:
        UserError: as `whole`, or not UTF-8.
    """
    try:
        return whole(path, folder).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(
            "not a text file", expected="UTF-8", got=str(error), where=str(path), mend="save it again as UTF-8"
        ) from error


def anywhere(
    root: Path, suffixes: Iterable[str], name_of: Callable[[Path], str | None] = lambda path: path.stem
) -> dict[str, Path]:
    """The file of each tile below a folder, in natural order of names; of several suffixes the earliest is taken.

    name_of: the tile of a file; None where it is of none. Folders of overlays (images with the outlines drawn in, as
    some releases add them) are passed over.

    Raises:
        UserError: two files of one suffix are of one tile; a link that leads out of the folder.
    """
    found: dict[str, Path] = {}
    for suffix in suffixes:
        of_kind: dict[str, Path] = {}
        for path in named_files(root, (suffix,)).values():
            name = None if "overlay" in path.parent.name.lower() else name_of(path)
            if name is not None and of_kind.setdefault(name, path) != path:
                raise UserError(
                    "two files of one tile",
                    expected=f"one {suffix} file for {name!r}",
                    got=f"{of_kind[name].relative_to(root)} and {path.relative_to(root)}",
                    where=str(root),
                    mend="give the folder that holds one copy of the data set alone",
                )
        found = of_kind | found
    return {name: found[name] for name in sorted(found, key=natural)}


def paired(images: Mapping[str, Path], labels: Mapping[str, Path], note: Note) -> dict[str, tuple[Path, Path]]:
    """Image and label of each tile, in the order of the images; a file without its partner is noted as missing it."""
    for name, path in images.items():
        if name not in labels:
            note(Finding("missing", str(path), "an image without its label", f"look for the label of {name}"))
    for name, path in labels.items():
        if name not in images:
            note(Finding("missing", str(path), "a label without its image", f"look for the image of {name}"))
    return {name: (path, labels[name]) for name, path in images.items() if name in labels}


def same_names(
    one: str, ones: Mapping[str, Path], other: str, others: Mapping[str, Path], note: Note = strictly
) -> list[str]:
    """The names that are in both of two sets of files which a person has paired; `one` and `other` say what they are.

    A file without its partner is a broken tile, which `note` may let pass.
    """
    for kind, files, lacking, there in ((one, ones, other, others), (other, others, one, ones)):
        for name, path in files.items():
            if name not in there:
                error = UserError(
                    f"{_a(kind)} without its {lacking}",
                    expected=f"{_a(lacking)} named {name!r}",
                    got=f"{len(there)} others" if there else "none at all",
                    where=str(path),
                    mend=f"add it, or remove {path.name}",
                )
                note(broken_tile(error))
    return [name for name in ones if name in others]


def _a(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def both(
    root: Path, images: str, image_suffixes: Iterable[str], labels: str, label_suffixes: Iterable[str], note: Note
) -> dict[str, tuple[Path, Path]]:
    """Image and label of each tile in two folders below a root; see `paired`. A folder that is not there is empty."""
    found = named_files(root / images, image_suffixes, root), named_files(root / labels, label_suffixes, root)
    return paired(*found, note)
