"""What is known of the tiles of a plain folder beside pixels and labels: meta.toml (the user's) or meta.json (ours).

meta.toml holds class_names, mpp, tissue, stain, licence, source, split, and a table [tiles."<name>"] for a tile that
differs. Where one tells nothing, nothing is made up: a tile is then its own source, at no known resolution.
"""

from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from nucleosynth import config
from nucleosynth.config import Settings
from nucleosynth.data.files import check_inside, json_table, text
from nucleosynth.errors import UserError, unknown_name
from nucleosynth.sample import Image, LabelledAs, Layout, Sample

META = "meta.json"


class Tile(Settings):
    """What may be said of one tile, or of all; what is None is not said."""

    mpp: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Micrometres per pixel."""
    tissue: str | None = None
    stain: str | None = None
    licence: str | None = None
    source: str | None = None
    """The slide or patient."""
    split: str | None = None
    class_scheme: str | None = None
    """What was merged into the classes, as `--classes` writes it."""
    caption: str | None = None
    labelled_as: LabelledAs | None = None
    points: tuple[tuple[float, float, Annotated[int, Field(ge=0, le=255)]], ...] | None = None
    """x, y in px and class of each nucleus labelled by a point."""
    quality: dict[str, Any] | None = None
    provenance: dict[str, Any] | None = None


class Meta(Tile):
    """What meta.toml or meta.json may hold."""

    class_names: tuple[str, ...] | None = None
    tiles: dict[str, Tile] = Field(default_factory=dict)
    """By name; a tile's own entry goes before the folder's."""
    written_by: str | None = None
    """Set in folders that `convert` made, the only ones that it may overwrite."""
    holds: tuple[str, ...] = ()
    """What `convert` wrote beside this file; a folder that holds more is not overwritten."""


def said_of(meta: Meta, name: str, size: tuple[int, int], class_names: tuple[str, ...], source: str) -> dict[str, Any]:
    """The keywords of a Sample that a Meta gives for a tile: its own entry before the folder's; `source` where none is
    named. Points come as a Layout of `size` (h w)."""
    said: dict[str, Any] = {"source": source}
    said |= meta.model_dump(include=set(Tile.model_fields), exclude_none=True)
    said |= meta.tiles.get(name, Tile()).model_dump(exclude_none=True)
    if "points" in said:
        table = np.asarray(said["points"], np.float64).reshape(-1, 3)
        xy, kinds = table[:, :2].astype(np.float32), table[:, 2].astype(np.uint8)
        said["points"] = Layout(xy, kinds, size, class_names, said.get("mpp"))
    return said


def own_source(dataset: str, name: str, image: Image) -> str:
    """The source of a tile that names none: the tile itself, known by its name and its pixels, wherever it lies."""
    return f"{dataset}/{name}@{sha256(image.tobytes()).hexdigest()[:8]}"


def in_order(names: Iterable[str], meta: Meta) -> list[str]:
    """The names of tiles as they were written, where `convert` wrote them, else as they are given (natural order)."""
    there = list(names)
    known = set(there)
    written = [name for name in meta.tiles if name in known]
    return written if meta.written_by and len(written) == len(there) else there


def tile_of(sample: Sample) -> Tile:
    """What meta.json says of a sample, so that `said_of` gives it back."""
    points = sample.points and [
        (float(x), float(y), int(kind)) for (x, y), kind in zip(sample.points.xy, sample.points.classes, strict=True)
    ]
    plain = {
        name: getattr(sample, name) for name in Tile.model_fields if name not in ("points", "quality", "provenance")
    }
    return Tile(**plain, points=points, quality=dict(sample.quality), provenance=dict(sample.provenance))


def read_meta(root: Path, names: Iterable[str] | None = None) -> Meta:
    """What meta.toml or meta.json of a folder says; an empty Meta without them. `names`: the tiles that are there.

    Raises:
        UserError: both are there, a syntax error, an unknown key or a bad value, or an entry for no tile.
    """
    toml, written = root / "meta.toml", root / META
    for path in (toml, written):
        check_inside(path, root)
    if toml.exists() and written.exists():
        raise UserError(
            "two files say the same", expected="meta.toml or meta.json", got="both", where=str(root), mend="remove one"
        )
    if toml.exists():
        meta = config.resolve(Meta(), config.read_toml(toml), str(toml))
    else:
        table = json_table(text(written, root), str(written)) if written.exists() else {}
        meta = config.resolve(Meta(), table, str(written))
    known = set(meta.tiles if names is None else names)
    for name in meta.tiles:
        if name not in known:
            raise unknown_name("tile", name, known, str(root))
    return meta
