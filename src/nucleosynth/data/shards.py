"""Shards and manifest: the files of a store, each written whole or not at all."""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from nucleosynth.data.files import json_table, text
from nucleosynth.data.images import broken
from nucleosynth.data.rows import SCHEMA_VERSION, Row, class_names_of, coded_bytes, schema, to_table
from nucleosynth.errors import UserError
from nucleosynth.run import write_whole

ROWS_PER_GROUP = 16
BYTES_PER_GROUP = 16 << 20
"""A row group, the part of a shard that is held in memory at once, ends at so many rows or coded bytes."""
MANIFEST = "_store.json"
SHARDS = "part-*.parquet"


def shard_name(shard: int) -> str:
    """File name of a shard; names sort by number."""
    return f"part-{shard:08d}.parquet"


def write_shard(
    path: Path, rows: Iterable[Row], class_names: tuple[str, ...], before_rename: Callable[[], None] = lambda: None
) -> int:
    """Write a shard under a temporary name, then rename it; the number of rows, and without any there is no shard.

    `before_rename` runs once the content is safe on disk. What `rows` raises is raised, and leaves nothing.
    """
    temporary, count = path.with_name(f"_{path.name}.tmp"), 0
    try:
        # PNGs do not shrink any further, and statistics of pictures serve nobody.
        with pq.ParquetWriter(temporary, schema(class_names), use_dictionary=False, write_statistics=False) as writer:
            for group in _groups(rows):
                writer.write_table(to_table(group, class_names))
                count += len(group)
        if count:
            before_rename()
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return count


def footer(path: Path) -> pq.FileMetaData:
    """What stands at the end of a shard: number of rows and schema.

    Raises:
        UserError: truncated, or no Parquet file.
    """
    try:
        return pq.read_metadata(path)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise broken(str(path), "a whole Parquet shard", str(error)) from error


def class_names(path: Path) -> tuple[str, ...]:
    """The class names of a shard.

    Raises:
        UserError: not a whole Parquet file, or of no store.
    """
    try:
        schema = footer(path).schema.to_arrow_schema()
    except (pa.ArrowException, ValueError) as error:  # names of columns that are no text
        raise broken(str(path), "a whole Parquet shard", str(error)) from error
    return class_names_of(schema, str(path))


def rows_of(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a shard, a few at a time.

    Raises:
        UserError: the shard is damaged.
    """
    try:
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                for batch in file.iter_batches(ROWS_PER_GROUP, row_groups=[group]):
                    yield from batch.to_pylist()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise broken(str(path), "a whole Parquet shard", str(error)) from error


def _groups(rows: Iterable[Row]) -> Iterator[list[Row]]:
    group: list[Row] = []
    size = 0
    for row in rows:
        group.append(row)
        size += coded_bytes(row)
        if len(group) == ROWS_PER_GROUP or size >= BYTES_PER_GROUP:
            yield group
            group, size = [], 0
    if group:
        yield group


def is_store(folder: Path) -> bool:
    """Whether a folder holds a store and nothing else: what may be overwritten when the user says so."""
    entries = list(folder.iterdir())
    shards = set(folder.glob(SHARDS))
    if not all(entry in shards or entry.name.startswith("_") for entry in entries):
        return False
    if (folder / MANIFEST).is_file():
        return True
    try:
        return bool(shards) and all(class_names(path) is not None for path in shards)
    except UserError:
        return False


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """What the manifest of a store says; None without one.

    Raises:
        UserError: it cannot be read.
    """
    path = folder / MANIFEST
    if not path.exists():
        return None
    return json_table(text(path, folder), str(path))


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write the manifest of a store, in place of the one that is there."""
    write_whole(folder / MANIFEST, json.dumps({**manifest, "schema": SCHEMA_VERSION}, indent=1))
