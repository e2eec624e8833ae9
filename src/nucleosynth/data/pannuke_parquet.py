"""PanNuke as its mirror on Hugging Face keeps it: Parquet files, a row for each tile, the fold in the file's name.

    data/fold1-00000-of-00001.parquet ...    in any folder; several files to a fold follow each other by number

Columns: image {bytes, path} (PNG), instances list of {bytes, path} (1-bit PNG of the whole tile, one for each nucleus),
categories (the class of each, from 0), tissue. What the numbers of categories and tissue stand for is read from the
features in the schema's metadata; without them they follow the published order. Rows are read a few at a time; what is
held is a page of the file, often a hundred rows.

data/pannuke.py reads these files; what it knows of the release stands there.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from nucleosynth.data.files import natural
from nucleosynth.data.findings import Note, broken_tile
from nucleosynth.data.images import broken, decode, rgb
from nucleosynth.data.shards import footer
from nucleosynth.errors import UserError, unknown_name
from nucleosynth.instances.canvas import Canvas, Label
from nucleosynth.sample import Image

TISSUES = (
    "Adrenal_gland",
    "Bile-duct",
    "Bladder",
    "Breast",
    "Cervix",
    "Colon",
    "Esophagus",
    "HeadNeck",
    "Kidney",
    "Liver",
    "Lung",
    "Ovarian",
    "Pancreatic",
    "Prostate",
    "Skin",
    "Stomach",
    "Testis",
    "Thyroid",
    "Uterus",
)
"""In the order of their numbers."""
COLUMNS = ("image", "instances", "categories", "tissue")
ROWS_AT_ONCE = 8
BUFFER_BYTES = 1 << 20
_PART = re.compile(r"-(\d+)-of-(\d+)$")


@dataclass(frozen=True)
class Table:
    """A Parquet file: how many rows it has, and what the numbers in its columns stand for."""

    path: Path
    first: int
    """The place of its first row in the fold."""
    count: int
    categories: Sequence[str]
    tissues: Sequence[str]


class Row(NamedTuple):
    """A tile that is not decoded yet."""

    table: Table
    number: int
    """Of the row in its file, from 0."""
    cells: dict[str, Any]

    @property
    def in_fold(self) -> int:
        """Of the row in its fold, from 0."""
        return self.table.first + self.number

    @property
    def where(self) -> str:
        return f"{self.table.path}, row {self.number}"


def open_tables(paths: Sequence[Path], class_names: tuple[str, ...]) -> list[Table]:
    """The files of one fold in their order; nothing but their footers is read.

    Raises:
        UserError: a file that is no whole Parquet file or lacks a column; a file of several that is not there, without
            which no tile of the fold has its number.
    """
    paths = sorted(paths, key=lambda path: natural(path.name))
    parts = [match for path in paths if (match := _PART.search(path.stem))]
    whole = [(number, len(paths)) for number in range(len(paths))]
    twice = len({path.name for path in paths}) < len(paths)
    if twice or (parts and [(int(part[1]), int(part[2])) for part in parts] != whole):
        raise UserError(
            "the files of a fold do not follow each other",
            expected=f"{parts[0][2]} files, numbered from 0" if parts else "files of different names",
            got=", ".join(map(str, paths)),
            where=str(paths[0].parent),
            mend="download what is missing, or remove what is there twice",
        )
    tables: list[Table] = []
    for path in paths:
        tables.append(_open(path, sum(table.count for table in tables), class_names))
    return tables


def rows(tables: Sequence[Table], note: Note) -> Iterator[Row]:
    """The rows of some files, a few at a time; a file that is damaged inside is noted as broken."""
    for table in tables:
        number = 0
        try:
            with pq.ParquetFile(table.path, buffer_size=BUFFER_BYTES, pre_buffer=False) as file:
                for batch in file.iter_batches(batch_size=ROWS_AT_ONCE, columns=COLUMNS):
                    for cells in batch.to_pylist():
                        yield Row(table, number, cells)
                        number += 1
        except (pa.ArrowException, OSError, ValueError) as error:
            note(broken_tile(broken(f"{table.path}, from row {number} on", "a whole Parquet file", str(error))))


def tile(row: Row, class_names: tuple[str, ...]) -> tuple[Image, Label, str]:
    """The image, the nuclei in their order and the tissue of a row.

    Raises:
        UserError: a broken PNG, a mask of another size, or categories that do not fit the instances.
    """
    masks, categories = row.cells["instances"], row.cells["categories"]
    if not isinstance(masks, list) or not isinstance(categories, list) or len(masks) != len(categories):
        lengths = [len(cell) if isinstance(cell, list) else "no list" for cell in (masks, categories)]
        raise broken(row.where, "a category for each instance", "{} instances, {} categories".format(*lengths))
    image = rgb(decode(_png(row.cells["image"], row.where), row.where), row.where)
    canvas = Canvas((image.shape[0], image.shape[1]))
    for number, (cell, category) in enumerate(zip(masks, categories, strict=True)):
        where = f"{row.where}, instance {number}"
        kind = _class_of(_word(category, row.table.categories, where), class_names, where)
        mask = decode(_png(cell, where), where)
        if mask.shape != canvas.size or mask.dtype != np.uint8:
            raise broken(where, f"a grey mask of the image's size {canvas.size}", f"{mask.dtype} {mask.shape}")
        left, top, width, height = cv2.boundingRect(mask)
        canvas.draw(mask[top : top + height, left : left + width] > 0, kind, top, left)
    return image, canvas.label(), _word(row.cells["tissue"], row.table.tissues, row.where)


def _open(path: Path, first: int, class_names: tuple[str, ...]) -> Table:
    about = footer(path)
    schema = about.schema.to_arrow_schema()
    if not set(COLUMNS) <= set(schema.names):
        raise UserError(
            "a Parquet file of another form",
            expected=f"columns {', '.join(COLUMNS)}",
            got=", ".join(schema.names),
            where=str(path),
            mend="give the folder of PanNuke's files alone",
        )
    try:
        features = json.loads((schema.metadata or {}).get(b"huggingface", "{}"))["info"]["features"]
    except (ValueError, KeyError, TypeError):
        features = {}
    categories, tissues = _names(features, "categories") or class_names, _names(features, "tissue") or TISSUES
    return Table(path, first, about.num_rows, categories, tissues)


def _names(features: Any, column: str) -> list[str]:
    """The names that a column's feature gives to its numbers; a list's feature stands in a list, or under "feature"."""
    feature = features.get(column) if isinstance(features, dict) else None
    while isinstance(feature, list) and feature:
        feature = feature[0]
    while isinstance(feature, dict) and "feature" in feature:
        feature = feature["feature"]
    names = feature.get("names") if isinstance(feature, dict) else None
    return [str(name) for name in names] if isinstance(names, list) else []


def _word(cell: Any, names: Sequence[str], where: str) -> str:
    if isinstance(cell, str):
        return cell
    if not isinstance(cell, int) or not 0 <= cell < len(names):
        raise broken(where, f"one of {', '.join(names)}, or its number from 0", repr(cell))
    return names[cell]


def _class_of(word: str, class_names: tuple[str, ...], where: str) -> int:
    """The number of a class; "Dead cells" and "Connective/Soft tissue" are known by their first word."""
    known = [name.lower() for name in class_names]
    for name in (word.lower(), re.split(r"\W", word.lower())[0]):
        if name in known:
            return known.index(name) + 1
    raise unknown_name("class", word, class_names, where)


def _png(cell: Any, where: str) -> bytes:
    data = cell.get("bytes") if isinstance(cell, dict) else cell
    if not isinstance(data, bytes):
        raise broken(where, "the bytes of a PNG", "only its path" if isinstance(cell, dict) else repr(cell))
    return data
