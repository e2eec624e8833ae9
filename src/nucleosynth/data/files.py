"""Where files lie: folders that must be there, files by name in natural order, images paired with labels.

A file is found by what a person would call it: its path below the folder, without suffix; or, in releases that come
differently nested, its name alone. Nothing outside the folder is ever read, whatever a link says.
"""

import re
from collections.abc import Callable, Iterable, Mapping
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


def stem(path: Path) -> str:
    """The name of a file without its suffix: how most releases name a tile."""
    return path.stem


def anywhere(root: Path, suffixes: Iterable[str], name_of: Callable[[Path], str] = stem) -> dict[str, Path]:
    """The file of each tile below a folder, in natural order of names; of several suffixes the earliest is taken.

    Folders of overlays (images with the outlines drawn in, as some releases add them) are passed over.

    Raises:
        UserError: two files of one suffix are of one tile; a link that leads out of the folder.
    """
    found: dict[str, Path] = {}
    for suffix in suffixes:
        of_kind: dict[str, Path] = {}
        for path in named_files(root, (suffix,)).values():
            if "overlay" in path.parent.name.lower():
                continue
            before = of_kind.setdefault(name_of(path), path)
            if before != path:
                raise UserError(
                    "two files of one tile",
                    expected=f"one {suffix} file for {name_of(path)!r}",
                    got=f"{before.relative_to(root)} and {path.relative_to(root)}",
                    where=str(root),
                    mend="give the folder that holds one copy of the data set alone",
                )
        found = of_kind | found
    return {name: found[name] for name in sorted(found, key=natural)}


def paired(images: Mapping[str, Path], labels: Mapping[str, Path], note: Note) -> dict[str, tuple[Path, Path]]:
    """Image and label of each tile, in the order of the images; a file without its partner is noted as missing it."""
    for name, path in images.items():
        if name not in labels:
            note(Finding("missing", str(path), "its label is not there", f"look for the label of {name}"))
    for name, path in labels.items():
        if name not in images:
            note(Finding("missing", str(path), "its image is not there", f"look for the image of {name}"))
    return {name: (path, labels[name]) for name, path in images.items() if name in labels}


def both(
    images: Path, image_suffixes: Iterable[str], labels: Path, label_suffixes: Iterable[str], note: Note
) -> dict[str, tuple[Path, Path]]:
    """Image and label of each tile in two folders; see `paired`. A folder that is not there is empty."""
    return paired(named_files(images, image_suffixes), named_files(labels, label_suffixes), note)
