"""The store: a folder of Parquet shards that Hugging Face `datasets`, DuckDB, pandas and Ray read as they are.

    part-00000000.parquet ...   rows in order, shards in order of name; data/rows.py says what a row holds
    _store.json                 the manifest: what it was made from, count, rows a shard, classes, finished or not

A shard is written under a temporary name and renamed, so each is whole or absent. `write` makes a store at once, of
what there is; `open_for_writing` makes one that may be cut short and continued. Files that begin with "_" are not data.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

from nucleosynth.data.files import check_inside
from nucleosynth.data.findings import Note, broken_tile, each_tile, strictly
from nucleosynth.data.new_folder import check_free, cut_short, new_folder
from nucleosynth.data.rows import Row, to_rows, to_sample
from nucleosynth.data.shards import (
    MANIFEST,
    SHARDS,
    class_names,
    footer,
    is_store,
    read_manifest,
    rows_of,
    shard_name,
    write_manifest,
    write_shard,
)
from nucleosynth.errors import UserError
from nucleosynth.sample import Sample

ROWS_PER_SHARD = 64


def read(where: str, note: Note = strictly) -> Iterator[Sample]:
    """Samples of a store, in order, decoded as they are asked for. The manifest may be missing, a shard may not.

    Raises:
        UserError: no folder of shards; a file that is no store's or is truncated; an unfinished store; shards missing.
    """
    folder = Path(where)
    paths = _check_whole(folder)
    names = class_names(paths[0])
    for path in paths:
        if class_names(path) != names:
            raise UserError(
                "shards of different stores",
                expected=f"classes {', '.join(names)}",
                got=", ".join(class_names(path)),
                where=str(path),
                mend="keep each store in a folder of its own",
            )
    for path in paths:
        try:
            yield from each_tile(partial(to_sample, class_names=names, where=str(path)), rows_of(path), note)
        except UserError as error:  # the shard itself
            note(broken_tile(error))


def write(samples: Iterable[Sample], folder: Path | str, overwrite: bool = False) -> int:
    """Write samples as a finished store, which appears when the last one is in it; the number of samples.

    Raises:
        UserError: the folder holds a store and `overwrite` is off, or holds other things; no samples, or samples of
            different classes; and whatever `samples` raises. The folder is then as it was.
    """
    count = shard = 0
    with new_folder(Path(folder), is_store, overwrite) as temporary:
        names, samples = _with_classes(samples)
        rows = to_rows(samples, names)
        while written := write_shard(temporary / shard_name(shard), islice(rows, ROWS_PER_SHARD), names):
            count, shard = count + written, shard + 1
        if not count:
            raise UserError("nothing to write", expected="at least one sample", got="none", where=str(folder))
        plan = {"count": count, "rows_per_shard": ROWS_PER_SHARD}
        write_manifest(temporary, {**plan, "identity": {}, "class_names": names, "finished": True})
    return count


@contextmanager
def open_for_writing(
    folder: Path | str,
    identity: Mapping[str, Any],
    count: int,
    rows_per_shard: int = ROWS_PER_SHARD,
    overwrite: bool = False,
) -> Iterator["StoreWriter"]:
    """A store of `count` samples that is made shard by shard; an unfinished one of the same identity is continued.

    identity: what decides the samples (method, checkpoint, seed, conditions), JSON-able. Nothing is touched, and
    nothing overwritten, before the first shard is written. A full disk or a stop leaves the whole shards, to go on.

    Raises:
        UserError: the folder holds a finished store or one of another identity (the message says what differs) and
            `overwrite` is off; or it holds other things.
        MachineError: disk or memory full. Interrupted: stopped by the user.

    Example:
        with open_for_writing(out, identity, count=500) as store:
            for shard in store.missing():
                store.write(shard, make(store.rows(shard)))
    """
    writer = StoreWriter(Path(folder), identity, count, rows_per_shard, overwrite)
    with cut_short(writer.state):
        yield writer
        writer.finish()


class StoreWriter:
    """A store in the making; see `open_for_writing`."""

    def __init__(
        self, folder: Path, identity: Mapping[str, Any], count: int, rows_per_shard: int, overwrite: bool
    ) -> None:
        assert count > 0 < rows_per_shard, "a store has rows"
        self.folder, self.count, self.rows_per_shard = folder, count, rows_per_shard
        plan = {"identity": dict(identity), "count": count, "rows_per_shard": rows_per_shard}
        self._plan: dict[str, Any] = json.loads(json.dumps(plan))
        self._begun = not overwrite and self._is_mine_to_continue(read_manifest(folder))
        if not self._begun:
            check_free(folder, is_store, overwrite)
        self._class_names: tuple[str, ...] = ()

    def missing(self) -> list[int]:
        """Numbers of the shards that are not there yet, or not whole."""
        shards = range(-(-self.count // self.rows_per_shard))
        return [shard for shard in shards if not (self._begun and self._whole(shard))]

    def rows(self, shard: int) -> range:
        """Numbers k of the samples of a shard."""
        start = shard * self.rows_per_shard
        return range(start, min(start + self.rows_per_shard, self.count))

    def write(self, shard: int, samples: Iterable[Sample]) -> None:
        """Write a shard: one sample for each of `rows(shard)`.

        Raises:
            UserError: samples of different classes.
        """
        names, samples = _with_classes(samples)
        self._class_names = self._class_names or names
        rows = _exactly(len(self.rows(shard)), to_rows(samples, self._class_names))
        self.folder.mkdir(parents=True, exist_ok=True)
        write_shard(self.folder / shard_name(shard), rows, self._class_names, self._begin)

    def finish(self) -> None:
        """Mark the store as finished if no shard is missing."""
        if not self.missing():
            names = class_names(self.folder / shard_name(0))
            write_manifest(self.folder, {**self._plan, "class_names": names, "finished": True})

    def state(self) -> str:
        """What is whole and how to go on, for a person."""
        missing = self.missing()
        whole = self.count - sum(len(self.rows(shard)) for shard in missing)
        return f"{whole} of {self.count} samples are whole in {self.folder}; run the same command again to go on"

    def _begin(self) -> None:
        """Make the folder this store's; what it replaces is first marked as unfinished, so that no mixture can pass."""
        if self._begun:
            return
        for manifest in ({"identity": "being replaced"}, self._plan):
            write_manifest(self.folder, {**manifest, "class_names": None, "finished": False})
            for path in self.folder.glob(SHARDS):
                path.unlink()
        self._begun = True

    def _is_mine_to_continue(self, before: Mapping[str, Any] | None) -> bool:
        if before is None:
            return False
        if before.get("finished"):
            got, different = "a finished store", "a new folder, or --overwrite"
        else:
            different, got = _first_difference(self._plan, before)
        if not got:
            for path in self.folder.glob(f"_{SHARDS}.tmp"):
                path.unlink()
            return True
        raise UserError(
            "the output folder holds a store already",
            expected=different,
            got=got,
            where=str(self.folder),
            mend="give another folder, or --overwrite to replace this one",
        )

    def _whole(self, shard: int) -> bool:
        path = self.folder / shard_name(shard)
        try:
            return path.exists() and footer(path).num_rows == len(self.rows(shard))
        except UserError:
            return False


def _check_whole(folder: Path) -> list[Path]:
    """The shards of a store that may be read."""
    if folder.is_file():
        raise UserError(
            "a store is a folder",
            expected="the folder of the shards",
            got="a file",
            where=str(folder),
            mend=f"give {folder.parent}" if folder.suffix == ".parquet" else "check the path",
        )
    paths = sorted(folder.glob("[!_.]*.parquet"))
    for path in (*paths, folder / MANIFEST):
        check_inside(path, folder)
    manifest = read_manifest(folder) or {"finished": True}
    if not manifest.get("finished"):
        raise UserError(
            "an unfinished store",
            expected=f"a finished store of {manifest.get('count')} samples",
            got=f"{len(paths)} shards",
            where=str(folder),
            mend=f"run the command that makes it again; or remove {MANIFEST} to use the shards that are whole",
        )
    if not paths:
        raise UserError(
            "no store there",
            expected="a folder of Parquet shards, as `nucleosynth convert` and `generate` write",
            got="no *.parquet in it" if folder.is_dir() else "no such folder",
            where=str(folder),
            mend="check the path; write folder:PATH for a folder of your own tiles",
        )
    count = sum(footer(path).num_rows for path in paths)
    if count != manifest.get("count", count):
        raise UserError(
            "shards are missing",
            expected=f"{manifest['count']} samples",
            got=str(count),
            where=str(folder),
            mend="copy the folder again, or make the store again",
        )
    return paths


def _with_classes(samples: Iterable[Sample]) -> tuple[tuple[str, ...], Iterator[Sample]]:
    """The class names of the first sample, if there is one, and all samples."""
    remaining = iter(samples)
    first = list(islice(remaining, 1))
    return (first[0].class_names if first else ()), chain(first, remaining)


def _exactly(number: int, rows: Iterable[Row]) -> Iterator[Row]:
    count = 0
    for row in rows:
        count += 1
        yield row
    assert count == number, f"the shard has {number} rows, not {count}"


def _first_difference(plan: Mapping[str, Any], before: Mapping[str, Any]) -> tuple[str, str]:
    """The first field in which two plans differ, as (wanted, there); empty texts if they agree."""
    wanted = {**plan["identity"], "count": plan["count"], "rows_per_shard": plan["rows_per_shard"]}
    identity = before.get("identity")
    there = {
        **(identity if isinstance(identity, dict) else {}),
        **{key: before.get(key) for key in ("count", "rows_per_shard")},
    }
    for key in {**wanted, **there}:
        if wanted.get(key) != there.get(key):
            return f"{key} {wanted.get(key)!r}", f"{key} {there.get(key)!r}"
    return "", ""
