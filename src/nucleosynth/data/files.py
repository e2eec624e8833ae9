"""Where files lie: folders that must be there, files by name in natural order, images paired with labels.

A file is found by what a person would call it: its path below the folder, without suffix. Nothing outside the folder is
ever read, whatever a link says.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from nucleosynth.data.findings import Finding, Note
from nucleosynth.errors import UserError


def existing_folder(where: str, holds: str) -> Path:
    """The folder as a path.

    Raises:
        UserError: it does not exist or is a file; `holds` says what was looked for.
    """
    folder = Path(where)
    if not folder.is_dir():
        got = "a file" if folder.is_file() else "nothing there" if where else "no path"
        raise UserError("no such folder", expected=holds, got=got, where=str(folder), mend="check the path")
    return folder


def natural(name: str) -> list[tuple[int, str]]:
    """Sort key that puts "tile_2" before "tile_10"."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name) if part]


def named_files(folder: Path, suffixes: Iterable[str]) -> dict[str, Path]:
    """Files below a folder by name (relative path without suffix, "a/tile_1"), in natural order.

    Raises:
        UserError: two files of one name, such as a.png and a.tif; a link that leads out of the folder.
    """
    found: dict[str, Path] = {}
    paths = [
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in suffixes and not path.name.startswith(".") and (path.is_file() or path.is_symlink())
    ]
    for path in sorted(paths, key=lambda path: (natural(path.relative_to(folder).as_posix()), path.name)):
        name = path.relative_to(folder).as_posix()[: -len(path.suffix)]
        if name in found:
            raise UserError(
                "two files of one name",
                expected=f"one file for {name!r}",
                got=f"{found[name].name} and {path.name}",
                where=str(folder),
                mend="remove or rename one of them",
            )
        check_inside(path, folder)
        found[name] = path
    return found


def check_inside(path: Path, folder: Path) -> None:
    """Refuse a link that leads out of the folder.

    Raises:
        UserError: such a link, or one that leads nowhere.
    """
    if path.is_symlink() and not (path.exists() and path.resolve().is_relative_to(folder.resolve())):
        raise UserError(
            "a link out of the folder",
            expected=f"files inside {folder}",
            got=f"a link to {path.readlink()}",
            where=str(path),
            mend="copy the file into the folder",
        )


def whole(path: Path, folder: Path) -> bytes:
    """The bytes of a file inside a folder.

    Raises:
        UserError: it is not there, is no file, or is a link that leads out of the folder.
    """
    check_inside(path, folder)
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError("a file that cannot be read", expected="a file", got=str(error), where=str(path)) from error


def both(
    images: Path, image_suffixes: Iterable[str], labels: Path, label_suffixes: Iterable[str], note: Note
) -> dict[str, tuple[Path, Path]]:
    """Image and label by name, in natural order of names; a file without its partner is noted as missing it.

    A folder that is not there is empty.
    """
    found, named = named_files(images, image_suffixes), named_files(labels, label_suffixes)
    for name in [*found, *(name for name in named if name not in found)]:
        if name not in named:
            note(Finding("missing", str(found[name]), "its label is not there", f"look for {name} in {labels.name}"))
        elif name not in found:
            note(Finding("missing", str(named[name]), "its image is not there", f"look for {name} in {images.name}"))
    return {name: (path, named[name]) for name, path in found.items() if name in named}
