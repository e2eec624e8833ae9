"""One table of nuclei for spreadsheets and databases, in and out: images/<name>.png and one nuclei.csv for all tiles.

    tile,id,class,x_px,y_px,area_px,area_um2,polygon
    slide_1/tile_7,1,lymphocyte,10.0,20.0,64,4.0,"POLYGON ((6 16, 14 16, 14 24, 6 24, 6 16))"

x_px, y_px is the mean of the nucleus's pixels. All coordinates are corner coordinates (instances/polygons.py), so a
pixel's centre is at half numbers; polygon is WKT, POLYGON or MULTIPOLYGON along pixel edges. class is empty where the
type is unknown, area_um2 where the resolution is. A name is written as it is, also where a spreadsheet would take it
for a formula (one that begins with = + - @): the table is data, and must come back the same.

Read are commas, semicolons or tabs (which leave room for a decimal comma), with or without a byte order mark. Needed
are tile and class, and either polygon or x_px and y_px: rows without a polygon are points, so the tile is labelled as
points and its instance map is empty. Columns may have the names that QuPath's measurements and others give them
(`ALIASES`); positions in µm need the resolution, mpp in meta.toml. A tile is named as its image, with or without the
suffix. Nuclei go by id, or by row where there is none; every image is a tile, also one without rows; rows of a tile
without an image are told. Where all classes are numbers, they are "class 1".."class C", 0 unknown; else their words in
natural order, "unknown" being no class.
"""

import csv
import math
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from nucleosynth.conditions.structure import label_map, pixel_sums
from nucleosynth.data.files import existing_folder, natural
from nucleosynth.data.findings import Finding, Note, each_tile, strictly
from nucleosynth.data.images import IMAGE_SUFFIXES, read_image
from nucleosynth.data.meta import Meta, Tile, in_order, read_meta
from nucleosynth.data.tables import Table, is_number, read_table
from nucleosynth.errors import UserError, unknown_name
from nucleosynth.formats.tile_files import (
    IMAGES,
    MOST_CLASSES,
    class_of,
    first_files,
    named_classes,
    nothing_found,
    put_image,
    sample_of,
    write_folder,
)
from nucleosynth.instances.canvas import Canvas
from nucleosynth.instances.polygons import trace
from nucleosynth.instances.wkt import polygons_of, wkt_of
from nucleosynth.sample import Sample

TABLE = "nuclei.csv"
COLUMNS = ("tile", "id", "class", "x_px", "y_px", "area_px", "area_um2", "polygon")
SUFFIXES = (".csv", ".tsv")
ALIASES = {
    "tile": ("image", "file", "filename", "name"),
    "id": (),
    "class": ("classification", "type"),
    "polygon": (),
    "x_px": ("x", "centroid x px", "centroid_x"),
    "y_px": ("y", "centroid y px", "centroid_y"),
    "x_um": ("centroid x µm", "centroid x um"),
    "y_um": ("centroid y µm", "centroid y um"),
}
"""Other names of columns, in any case; what stands first goes before the rest."""
SHOWN = 60
"""Letters of a field that a message shows."""
NO_IMAGE = "rows of a tile whose image is not there, left out"
UNKNOWN = "unknown"
AGREE_PX = 1e-6
"""What a point's coordinates in the table and in meta.json may differ by: the table's are rounded."""
_Position = tuple[float | None, float | None]
_Point = tuple[float, float, int]


@dataclass(frozen=True)
class _Row:
    """A nucleus; `where` names file and line, x and y are in px, or in um."""

    where: str
    tile: str
    number: int
    word: str
    x: str
    y: str
    um: bool
    polygon: str


@dataclass(frozen=True)
class _Table:
    """What is read of a folder: rows of each tile in the order of their nuclei; `points`: no row has a polygon."""

    rows: Mapping[str, Sequence[_Row]]
    class_names: tuple[str, ...] | None
    points: bool
    numbers: bool


def read(where: str, note: Note = strictly) -> Iterator[Sample]:
    """Tiles of a folder with a table of nuclei, in natural order.

    Raises:
        UserError: no such folder, no table in it, a column is missing, no row of any image, an id twice; and, through
            `note`, what is no number, no polygon or no class. The message names file and line.
    """
    root = existing_folder(where, f"a folder with images/ and {TABLE}")
    file, images = _file(root), first_files(root, IMAGES, IMAGE_SUFFIXES)
    rows = [replace(row, tile=_tile(row.tile, images)) for row in _rows(file)]
    lost = _lost(rows, images, file, note)
    meta = read_meta(root, [*images, *lost])
    table = _table(rows, images, meta, file)

    def sample(name: str) -> Sample:
        return _sample(name, images[name], table, meta, note)

    yield from each_tile(sample, in_order(images, meta), note)


def write(samples: Iterable[Sample], folder: Path | str, overwrite: bool = False) -> int:
    """Write samples with a table of their nuclei; see formats/tile_files.py for what is raised."""
    return write_folder(samples, folder, overwrite, _write, by_name=True)


def _write(folder: Path, samples: Iterator[Sample]) -> None:
    with (folder / TABLE).open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        for sample in samples:
            put_image(folder, sample)
            words = ("", *sample.class_names)
            for number, (kind, measures) in enumerate(_nuclei(sample), start=1):
                table.writerow([sample.sample_id, number, words[kind], *measures])


def _nuclei(sample: Sample) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """Class, and x, y, area in px and um2, polygon of each nucleus; of each point, where there are but points."""
    if sample.labelled_as == "points" and sample.points and not len(sample.classes):
        corners: list[list[float]] = (sample.points.xy.astype(float) + 0.5).tolist()
        for (x, y), kind in zip(corners, sample.points.classes.tolist(), strict=True):
            yield kind, (x, y, "", "", "")
        return
    sums = pixel_sums(*label_map(sample.instances))[1:]
    middles, areas = (sums[:, 1:3] / sums[:, :1] + 0.5).tolist(), sums[:, 0].tolist()
    nuclei = zip(sample.classes.tolist(), middles, areas, trace(sample.instances), strict=True)
    for kind, (x, y), area, polygons in nuclei:
        um2 = "" if sample.mpp is None else round(area * sample.mpp**2, 6)
        yield kind, (round(x, 3), round(y, 3), area, um2, wkt_of(polygons))


def _file(root: Path) -> Path:
    found = sorted(path for path in root.iterdir() if path.suffix.lower() in SUFFIXES)
    named = [path for path in found if path.name.lower() == TABLE]
    found = named or found
    if len(found) != 1:
        raise nothing_found(root, "table of nuclei", f"{TABLE}, or one other *.csv")
    return found[0]


def _rows(file: Path) -> list[_Row]:
    table = read_table(file, file.parent, ("tile", "class"), ALIASES)
    um = not {"x_px", "y_px"} <= set(table.columns) and {"x_um", "y_um"} <= set(table.columns)
    if not um and "polygon" not in table.columns and not {"x_px", "y_px"} <= set(table.columns):
        raise UserError(
            "not a table of nuclei",
            expected="columns tile, class, and polygon or x_px and y_px",
            got=", ".join(table.columns),
            where=str(file),
            mend="add the columns; `nucleosynth list` has the layouts that are read",
        )
    return [_row(table, number, um) for number in range(len(table.rows))]


def _row(table: Table, number: int, um: bool) -> _Row:
    where, row = table.rows[number]
    text = row.get("id", str(number + 1)).strip()
    if not is_number(text) or int(text) == 0:
        raise _bad("an id from 1", repr(text[:SHOWN]), where)
    x, y = (table.with_point(row.get(name, "").strip()) for name in (("x_um", "y_um") if um else ("x_px", "y_px")))
    polygon = row.get("polygon", "").strip()
    return _Row(where, row["tile"].replace("\\", "/"), int(text), row["class"], x, y, um, polygon)


def _tile(name: str, images: Container[str]) -> str:
    """The name of a tile as its image has it; a name with the image's suffix is known too."""
    bare, _, suffix = name.strip().rpartition(".")
    stem = bare if f".{suffix.lower()}" in IMAGE_SUFFIXES else name.strip()
    return name if name in images else stem


def _lost(rows: Sequence[_Row], images: Iterable[str], file: Path, note: Note) -> list[str]:
    """The tiles whose image is not there; each is told.

    Raises:
        UserError: there is no image of any.
    """
    there = set(images)
    lost = Counter(row.tile for row in rows if row.tile not in there)
    if rows and lost.total() == len(rows):
        raise unknown_name("tile", rows[0].tile, there, rows[0].where)
    for name, count in lost.items():
        note(Finding("missing", f"{file}, {name}", NO_IMAGE, "look for its image", count=count))
    return list(lost)


def _table(rows: Sequence[_Row], images: Iterable[str], meta: Meta, file: Path) -> _Table:
    of_tile: dict[str, dict[int, _Row]] = {name: {} for name in images}
    for row in rows:
        if row.tile not in of_tile:
            continue  # told before
        if row.number in of_tile[row.tile]:
            raise _bad("every id of a tile once", f"id {row.number} of {row.tile} again", row.where)
        of_tile[row.tile][row.number] = row
    words = {row.word for row in rows} - {"", UNKNOWN}
    numbers = meta.class_names is None and bool(words) and all(map(_is_digits, words))
    highest = max(min(int(word), MOST_CLASSES) if is_number(word) else MOST_CLASSES for word in words) if numbers else 0
    found = [f"class {k}" for k in range(1, highest + 1)] if numbers else sorted(words, key=natural)
    names = meta.class_names if meta.class_names is not None else named_classes(found, str(file))
    ordered = {name: [by_id[number] for number in sorted(by_id)] for name, by_id in of_tile.items()}
    return _Table(ordered, names, bool(rows) and not any(row.polygon for row in rows), numbers)


def _sample(name: str, path: Path, table: _Table, meta: Meta, note: Note) -> Sample:
    image = read_image(path)
    canvas, rows = Canvas((image.shape[0], image.shape[1])), table.rows[name]
    kinds = [_class(row, table) for row in rows]
    positions = [(_coordinate(row.x, row), _coordinate(row.y, row)) for row in rows]
    lacking = [row for row in rows if not row.polygon]
    if lacking and len(lacking) < len(rows):
        raise _bad("a polygon for every nucleus of a tile, or for none", "none here", lacking[0].where)
    tile = meta.tiles.get(name, Tile())
    labelled = tile.labelled_as or meta.labelled_as or ("points" if table.points else "masks")
    if lacking or (not rows and labelled == "points"):
        scale = _scale(rows, tile.mpp or meta.mpp)
        found = _points(rows, kinds, positions, scale, canvas.size)
        tile = tile.model_copy(update={"points": _agreeing(found, tile, path), "labelled_as": "points"})
        meta = meta.model_copy(update={"tiles": {name: tile}})
    else:
        for row, kind in zip(rows, kinds, strict=True):
            canvas.outline(polygons_of(row.polygon, row.where), kind, row.where)
    return sample_of(name, image, canvas.label(), table.class_names, meta, "csv", note)


def _points(
    rows: Sequence[_Row], kinds: Sequence[int], positions: Sequence[_Position], scale: float, size: tuple[int, int]
) -> tuple[_Point, ...]:
    """The points of a tile as meta.json has them: pixel centres at whole numbers; scale: what a px is of their unit."""
    points = []
    for row, kind, (x, y) in zip(rows, kinds, positions, strict=True):
        if x is None or y is None or not (0 <= x / scale <= size[1] and 0 <= y / scale <= size[0]):
            unit, wide, high = "um" if row.um else "px", size[1] * scale, size[0] * scale
            raise _bad(
                f"x_{unit} in 0..{wide:g} and y_{unit} in 0..{high:g}",
                f"{row.x[:SHOWN]!r}, {row.y[:SHOWN]!r}",
                row.where,
            )
        points.append((x / scale - 0.5, y / scale - 0.5, kind))
    return tuple(points)


def _scale(rows: Sequence[_Row], mpp: float | None) -> float:
    """What a pixel is of the unit that positions are given in.

    Raises:
        UserError: they are in um, and the resolution is not known.
    """
    if not rows or not rows[0].um:
        return 1.0
    if mpp is None:
        raise UserError(
            "positions in µm, at a resolution that is not known",
            expected="mpp (µm per pixel) in meta.toml, or positions in px: columns x_px and y_px",
            got="neither",
            where=rows[0].where,
            mend="write the resolution of the images into meta.toml, such as mpp = 0.25",
        )
    return mpp


def _agreeing(found: tuple[_Point, ...], tile: Tile, path: Path) -> tuple[_Point, ...]:
    """The points as meta.json has them, to the last bit, where it has them; those of the table else."""
    if tile.points is None:
        return found
    told, read = (np.array(points, float).reshape(-1, 3) for points in (tile.points, found))
    if told.shape != read.shape or np.abs(told - read).max(initial=0) > AGREE_PX:
        raise UserError(
            "points that meta.json has otherwise",
            expected=f"the {len(told)} points of meta.json",
            got=f"{len(read)} rows in the table",
            where=str(path),
            mend="take the points of that tile out of meta.json, if the table is right",
        )
    return tile.points


def _class(row: _Row, table: _Table) -> int:
    names = table.class_names or ()
    if row.word == UNKNOWN and UNKNOWN not in names:
        return 0
    if _is_digits(row.word) and (table.numbers or row.word not in names):
        if not is_number(row.word) or int(row.word) > len(names):
            raise _bad(f"a class of 0 (unknown) or 1..{len(names)}", row.word[:SHOWN], row.where)
        return int(row.word)
    return class_of(row.word, table.class_names, row.where)


def _coordinate(text: str, row: _Row) -> float | None:
    """A number, or None where there is none.

    Raises:
        UserError: a text that is no finite number.
    """
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise _bad("finite numbers, with a decimal point", repr(text[:SHOWN]), row.where)
    return number


def _is_digits(text: str) -> bool:
    """Whether a class is a number, be it of any length."""
    return text.isascii() and text.isdigit()


def _bad(expected: str, got: str, where: str) -> UserError:
    return UserError("a bad row", expected=expected, got=got, where=where, mend="correct the table")
