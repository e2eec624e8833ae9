"""The plain folder that data/folder.py reads: images/*.png, labels/*.png (16 bit), classes/*.npy, meta.json.

Everything that a Sample holds comes back: meta.json has an entry for each tile.
"""

from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from nucleosynth.data.folder import Meta, Tile, read_meta
from nucleosynth.data.images import encode_image, encode_map
from nucleosynth.data.new_folder import new_folder
from nucleosynth.data.rows import other_classes
from nucleosynth.errors import UserError
from nucleosynth.run import write_whole
from nucleosynth.sample import Sample

WRITTEN_BY = "nucleosynth"
_ENTRIES = {"images", "labels", "classes", "meta.json"}


def write(samples: Iterable[Sample], folder: Path | str, overwrite: bool = False) -> int:
    """Write samples as a plain folder, which appears when the last one is in it; the number of samples.

    A sample_id may contain "/": its tile then lies in a folder below images/, labels/ and classes/.

    Raises:
        UserError: the folder holds something that this function did not write, or `overwrite` is off; a sample_id that
            is no file name, or twice the same; samples of different classes, none, or of more than 65535 nuclei.
    """
    tiles: dict[str, dict[str, Any]] = {}
    names: tuple[str, ...] = ()
    with new_folder(Path(folder), _ours, overwrite) as temporary:
        for sample in samples:
            names = names or sample.class_names
            if sample.class_names != names:
                raise other_classes(names, sample.class_names, sample.sample_id)
            _check_name(sample.sample_id, tiles)
            _write_tile(temporary, sample)
            tiles[sample.sample_id] = _said(sample)
        if not tiles:
            raise UserError("nothing to write", expected="at least one sample", got="none", where=str(folder))
        meta = Meta(
            class_names=names, tiles={name: Tile(**said) for name, said in tiles.items()}, written_by=WRITTEN_BY
        )
        write_whole(temporary / "meta.json", meta.model_dump_json(indent=1, exclude_none=True))
    return len(tiles)


def _write_tile(folder: Path, sample: Sample) -> None:
    image, label, classes = (folder / kind / sample.sample_id for kind in ("images", "labels", "classes"))
    for path in (image, label, classes):
        path.parent.mkdir(parents=True, exist_ok=True)
    # Not with_suffix: a sample_id may contain a dot.
    Path(f"{image}.png").write_bytes(encode_image(sample.image))
    Path(f"{label}.png").write_bytes(encode_map(sample.instances, f"sample {sample.sample_id!r}"))
    np.save(f"{classes}.npy", sample.classes)


def _said(sample: Sample) -> dict[str, Any]:
    points = sample.points and [
        (float(x), float(y), int(kind)) for (x, y), kind in zip(sample.points.xy, sample.points.classes, strict=True)
    ]
    plain = {
        name: getattr(sample, name) for name in Tile.model_fields if name not in ("points", "quality", "provenance")
    }
    return {**plain, "points": points, "quality": dict(sample.quality), "provenance": dict(sample.provenance)}


def _check_name(name: str, taken: Iterable[str]) -> None:
    path = PurePosixPath(name)
    parts = name.split("/")
    if path.is_absolute() or "\\" in name or any(part in ("", ".", "..") or part.startswith(".") for part in parts):
        raise UserError("a sample_id that is no file name", expected="such as slide_1/tile_7", got=repr(name))
    if name in taken:
        raise UserError("two samples of one name", expected="every sample_id once", got=repr(name))


def _ours(folder: Path) -> bool:
    try:
        return {path.name for path in folder.iterdir()} <= _ENTRIES and read_meta(folder).written_by == WRITTEN_BY
    except UserError:
        return False
