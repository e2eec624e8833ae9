"""Images and labels that lie anywhere below a folder: releases come differently nested, names do not change.

A folder of overlays (images with the outlines drawn in, as some releases add them) holds no images and is passed over.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from nucleosynth.data.findings import Finding, Note
from nucleosynth.data.images import named_files, natural
from nucleosynth.errors import UserError


def stem(path: Path) -> str:
    """The name of a file without its suffix: how most releases name a tile."""
    return path.stem


def anywhere(root: Path, suffixes: Iterable[str], name_of: Callable[[Path], str] = stem) -> dict[str, Path]:
    """The file of each tile below a folder, in natural order of names; of several suffixes the earliest is taken.

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
