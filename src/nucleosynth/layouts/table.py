"""Layouts as a table: one Parquet file, a row for each nucleus, that pandas and DuckDB read as it is.

    layout                  the name of the layout; its rows need not follow each other
    x_um, y_um              micrometres from the left and the upper EDGE of the tile
    class                   its name; none where the type is not known
    height_um, width_um     the extent of the tile
    source, licence         of the real tiles that the layout rests on, joined by "; "
    operations              what was done to them: a JSON list of records, each with a "name"

A layout without a nucleus is one row without x_um, y_um and class. All class names stand in the schema's metadata
("class_names", a JSON list); without it they are those that occur, sorted. Source, licence and operations may be left
out. Also read: the table of PUMA's layouts (roi, x, y, class), px of regions of 1024^2 at .23 um.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from nucleosynth.data import puma
from nucleosynth.data.classes import MOST_CLASSES
from nucleosynth.data.images import broken
from nucleosynth.errors import UserError
from nucleosynth.layouts.pattern import Pattern
from nucleosynth.run import write_whole

SUFFIX = ".parquet"
STATED = ("height_um", "width_um", "source", "licence", "operations")
"""The columns that say the same in all rows of a layout; those from `source` on may be missing."""
_TEXT, _NUMBER = pa.string(), pa.float64()
_FIELDS = [("layout", _TEXT), ("x_um", _NUMBER), ("y_um", _NUMBER), ("class", _TEXT)]
_FIELDS += [(name, _NUMBER if name.endswith("_um") else _TEXT) for name in STATED]
_NAMES = b"class_names"
_PUMA = {"roi": "layout", "x": "x_um", "y": "y_um", "class": "class"}
PUMA_SIDE_PX = 1024


def is_table(data: str) -> bool:
    """Whether DATA is a file that could be a table of layouts, and not a data set or a store."""
    return data.endswith(SUFFIX) and Path(data).is_file()


def write(path: Path, patterns: Sequence[Pattern]) -> None:
    """Write layouts as a table, whole or not at all; names must differ.

    Raises:
        UserError: no layout, two of one name, or of different classes.
    """
    _check_names(patterns, path)
    columns: dict[str, list[Any]] = {name: [] for name, _ in _FIELDS}
    for pattern in patterns:
        height, width = pattern.size_um
        operations = json.dumps(list(pattern.operations))
        rows = max(len(pattern.classes), 1)
        stated = (pattern.name, height, width, pattern.source, pattern.licence, operations)
        for name, value in zip(("layout", *STATED), stated, strict=True):
            columns[name] += [value] * rows
        names = (None, *pattern.class_names)
        columns["x_um"] += pattern.xy_um[:, 0].tolist() or [None]
        columns["y_um"] += pattern.xy_um[:, 1].tolist() or [None]
        columns["class"] += [names[kind] for kind in pattern.classes] or [None]
    schema = pa.schema(_FIELDS, metadata={_NAMES: json.dumps(patterns[0].class_names)})
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns, schema=schema), sink, compression="zstd")
    write_whole(path, sink.getvalue().to_pybytes())


def read(path: Path) -> list[Pattern]:
    """The layouts of a table, in the order of their first rows.

    Raises:
        UserError: no such file, or no table of layouts: a column that is missing or of another type, a place or extent
            that is none, a point outside, a layout that contradicts itself, or operations that are no list of records.
    """
    table = _known(_opened(path), path)
    columns = {name: _column(table, name, kind, path) for name, kind in _FIELDS if name in table.column_names}
    names = _class_names(table, columns["class"], path)
    first, of = _grouped(columns["layout"], path)
    found = []
    for k, row in enumerate(first):
        rows = np.flatnonzero(of == k)
        stated = {name: columns[name][row] if name in columns else "" for name in STATED}
        for name in STATED:
            if name in columns and any(columns[name][each] != stated[name] for each in rows):
                raise _bad(path, int(row), f"one {name} in all rows of a layout", "several")
        found.append(_pattern(columns, rows, stated, names, path))
    return found


def _pattern(
    columns: Mapping[str, list[Any]],
    rows: NDArray[np.intp],
    stated: Mapping[str, Any],
    names: Sequence[str],
    path: Path,
) -> Pattern:
    """The layout of some rows."""
    row, name = int(rows[0]), columns["layout"][rows[0]]
    if stated["height_um"] is None or stated["width_um"] is None:
        raise _bad(path, row, "height_um and width_um", "none")
    xy = np.array([[columns["x_um"][each], columns["y_um"][each]] for each in rows], np.float64).reshape(-1, 2)
    kinds = np.array([names.index(each) + 1 if each else 0 for each in (columns["class"][r] for r in rows)], np.uint8)
    if len(rows) == 1 and np.isnan(xy).all() and not kinds.any():
        xy, kinds = xy[:0], kinds[:0]
    if not np.isfinite(xy).all():
        wrong = int(rows[np.argmin(np.isfinite(xy).all(axis=1))])
        raise _bad(path, wrong, "x_um and y_um", f"{columns['x_um'][wrong]}, {columns['y_um'][wrong]}")
    size_um = (float(stated["height_um"]), float(stated["width_um"]))
    texts = (stated["source"] or "", stated["licence"] or "")
    try:
        return Pattern(xy, kinds, size_um, tuple(names), name, *texts, _operations(stated["operations"], row, path))
    except UserError as error:
        where = f"{path}, {error.where}"
        raise UserError(error.what, expected=error.expected, got=error.got, where=where, mend=error.mend) from None


def _opened(path: Path) -> pa.Table:
    if not path.is_file():
        raise UserError(
            "no such file",
            expected="a table of layouts, as `nucleosynth layouts sample` writes it",
            got="a folder" if path.is_dir() else "nothing there",
            where=str(path),
            mend="check the path",
        )
    try:
        return pq.ParquetFile(path).read()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise broken(str(path), "a whole Parquet file", str(error)) from error


def _known(table: pa.Table, path: Path) -> pa.Table:
    """The table in our columns."""
    if set(_PUMA) <= set(table.column_names) and "x_um" not in table.column_names:
        return _of_puma(table, path)
    lacking = [name for name, _ in _FIELDS[:6] if name not in table.column_names]
    if lacking:
        raise UserError(
            "not a table of layouts",
            expected=", ".join(name for name, _ in _FIELDS),
            got=", ".join(map(str, table.column_names)),
            where=str(path),
            mend=f"add the column {lacking[0]}",
        )
    return table


def _of_puma(table: pa.Table, path: Path) -> pa.Table:
    """PUMA's table in our columns; a vertex at 1024 px lies on the border, where x_um is the side."""
    side = PUMA_SIDE_PX * puma.MPP
    rois = [f"{roi}" for roi in _column(table, "roi", _TEXT, path)]
    xs, ys = (
        [None if at is None else (at + 0.5) * puma.MPP if at <= PUMA_SIDE_PX - 0.5 else at * puma.MPP for at in column]
        for column in (_column(table, name, _NUMBER, path) for name in "xy")
    )
    kinds = [
        each and each.strip().lower().removeprefix("nuclei_").replace("_", " ")
        for each in _column(table, "class", _TEXT, path)
    ]
    extent = {name: [side] * len(rois) for name in ("height_um", "width_um")}
    story = {"source": [f"puma/{roi}" for roi in rois], "licence": ["CC0-1.0"] * len(rois)}
    columns = {"layout": rois, "x_um": xs, "y_um": ys, "class": kinds, **extent, **story}
    return pa.table(columns).replace_schema_metadata({_NAMES: json.dumps(puma.CLASS_NAMES)})


def _column(table: pa.Table, name: str, kind: pa.DataType, path: Path) -> list[Any]:
    try:
        found: list[Any] = table.column(name).cast(kind).to_pylist()
    except (pa.ArrowException, KeyError) as error:  # a name that is there twice is a KeyError
        wanted = f"a column {name} of {'text' if kind == _TEXT else 'numbers'}"
        raise broken(str(path), wanted, str(error)) from error
    return found


def _class_names(table: pa.Table, kinds: Sequence[str | None], path: Path) -> list[str]:
    there = {kind for kind in kinds if kind}
    try:
        names = json.loads((table.schema.metadata or {}).get(_NAMES, json.dumps(sorted(there))))
    except ValueError as error:
        raise broken(str(path), "class_names as a JSON list", str(error)) from error
    texts = isinstance(names, list) and all(isinstance(name, str) for name in names)
    if not texts or not there <= set(names) or len(set(names)) < len(names) or len(names) > MOST_CLASSES:
        raise UserError(
            "classes that do not fit the names",
            expected=f"up to {MOST_CLASSES} names that differ, of all classes that occur",
            got=f"{', '.join(sorted(there))}; names {names}",
            where=str(path),
            mend="correct the names in the schema's metadata, or leave them out",
        )
    return list(names)


def _grouped(names: Sequence[str | None], path: Path) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The first row of each layout, and of each row its layout (rows,)."""
    if not names:
        raise UserError(
            "no layout in the table",
            expected="a row for each nucleus",
            got="no row",
            where=str(path),
            mend="take a table that holds some, or make one by `nucleosynth layouts fit`",
        )
    if not all(names):
        raise _bad(path, [bool(name) for name in names].index(False), "the name of a layout", "none")
    order = {name: k for k, name in enumerate(dict.fromkeys(names))}
    of = np.array([order[name] for name in names], np.intp)
    return np.unique(of, return_index=True)[1], of


def _operations(text: str | None, row: int, path: Path) -> tuple[Mapping[str, Any], ...]:
    try:
        found = json.loads(text or "[]")
    except ValueError:
        found = None
    if not isinstance(found, list) or not all(isinstance(each, dict) and "name" in each for each in found):
        raise _bad(path, row, 'operations as a JSON list such as [{"name": "flip"}]', repr(text))
    return tuple(found)


def _bad(path: Path, row: int, expected: str, got: str) -> UserError:
    where = f"{path}, row {row + 1}"
    return UserError("a bad row of a layout", expected=expected, got=got, where=where, mend="correct the table")


def _check_names(patterns: Iterable[Pattern], path: Path) -> None:
    names = [pattern.name for pattern in patterns]
    kinds = {pattern.class_names for pattern in patterns}
    if not names or not all(names) or len(set(names)) < len(names) or len(kinds) > 1:
        raise UserError(
            "layouts that make no table",
            expected="one at least, of names that differ and of one list of classes",
            got=f"{len(names)} layouts, {len(set(names))} names, {len(kinds)} lists of classes",
            where=str(path),
            mend="give each layout a name of its own, and write those of other classes to another table",
        )
