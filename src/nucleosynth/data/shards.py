"""Shards and manifest: the files of a store, each written whole or not at all."""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from nucleosynth.data.images import broken
from nucleosynth.data.rows import SCHEMA_VERSION, class_names_of, to_table
from nucleosynth.errors import UserError
from nucleosynth.run import write_whole
from nucleosynth.sample import Sample

ROWS_PER_GROUP = 16
MANIFEST = "_store.json"
SHARDS = "part-*.parquet"


def shard_name(shard: int) -> str:
    """File name of a shard; names sort by number."""
    return f"part-{shard:08d}.parquet"


def write_shard(path: Path, samples: Sequence[Sample], before_rename: Callable[[], None] = lambda: None) -> None:
    """Write a shard under a temporary name, then rename it; `before_rename` runs once its content is safe on disk."""
    temporary = path.with_name(f"_{path.name}.tmp")
    try:
        # PNGs do not shrink any further, and statistics of pictures serve nobody.
        pq.write_table(
            to_table(samples), temporary, row_group_size=ROWS_PER_GROUP, use_dictionary=False, write_statistics=False
        )
        before_rename()
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def footer(path: Path) -> pq.FileMetaData:
    """What stands at the end of a shard: number of rows and schema.

    Raises:
        UserError: truncated, or no Parquet file.
    """
    try:
        return pq.read_metadata(path)
    except (pa.ArrowException, OSError) as error:
        raise broken(str(path), "a whole Parquet shard", str(error)) from error


def class_names(path: Path) -> tuple[str, ...]:
    """The class names of a shard.

    Raises:
        UserError: not a whole Parquet file, or of no store.
    """
    return class_names_of(footer(path).schema.to_arrow_schema(), str(path))


def rows_of(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a shard, a few at a time.

    Raises:
        UserError: the shard is damaged.
    """
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=ROWS_PER_GROUP):
                yield from batch.to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise broken(str(path), "a whole Parquet shard", str(error)) from error


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
    try:
        manifest = json.loads(path.read_text())
    except (ValueError, OSError) as error:
        raise broken(str(path), "the manifest of a store", str(error)) from error
    return dict(manifest)


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write the manifest of a store, in place of the one that is there."""
    write_whole(folder / MANIFEST, json.dumps({**manifest, "schema": SCHEMA_VERSION}, indent=1))
