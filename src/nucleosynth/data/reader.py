"""DATA on the command line becomes Samples here.

A reader is one function in one file, `read(where) -> Iterator[Sample]`: lazy, in a stable order, a source (slide or
patient) never in two splits, `source` prefixed by the data set's name ("consep/train_1"). `where` is what stands after
the colon of `name:where`: a folder for data on disk, options for drawn tissue.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

import numpy as np

from nucleosynth import catalog
from nucleosynth.errors import UserError
from nucleosynth.sample import Sample


class Reader(Protocol):
    """The contract of every reader; tests/contracts/test_readers.py holds all of them to it."""

    def __call__(self, where: str) -> Iterator[Sample]:
        """Yield Samples lazily in a stable order; raise UserError for a missing or broken file, naming it."""


def read(data: str, split: str | None = None) -> Iterator[Sample]:
    """Samples of DATA: `name:where` with a name from the catalog, or the path of a store.

    Args:
        data: for example "consep:CoNSeP", "folder:my/tiles", "phantom:", or "runs/demo/pairs".
        split: keep only this official split; None keeps all. Data without splits are kept whole.

    Raises:
        UserError: an unknown data set, a missing or broken file, a source in two splits, or a split that no tile has.
    """
    reader, where = resolve(data)
    return _checked(reader(where), data, split)


def resolve(data: str) -> tuple[Reader, str]:
    """The reader of DATA and what it is to read; nothing is read yet.

    Raises:
        UserError: neither `name:where` with a known name nor an existing path.
    """
    name, colon, where = data.partition(":")
    if colon and not Path(data).exists():
        return catalog.load("data set", name), where
    if not Path(data).exists():
        raise UserError(
            "no such data",
            expected="name:path (names: `nucleosynth list`) or the path of a store",
            got=repr(data),
            mend=f"write folder:{data} for a folder of your own tiles, or check the path",
        )
    return catalog.load("data set", "store"), data


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


def split_by_source(samples: Iterable[Sample], test_share: float, seed: int) -> tuple[list[Sample], list[Sample]]:
    """Training and test tiles such that no source is in both; about `test_share` of the sources are test.

    Raises:
        UserError: fewer than two sources.
    """
    samples = list(samples)
    sources = sorted({sample.source for sample in samples})
    if len(sources) < 2:
        raise UserError("cannot split", expected="tiles of at least two sources", got=f"{len(sources)} source(s)")
    order = np.random.default_rng(seed).permutation(len(sources))
    tests = {sources[i] for i in order[: min(max(round(test_share * len(sources)), 1), len(sources) - 1)]}
    return [s for s in samples if s.source not in tests], [s for s in samples if s.source in tests]


def _checked(samples: Iterator[Sample], data: str, split: str | None) -> Iterator[Sample]:
    split_of: dict[str, str] = {}
    kept = 0
    for sample in samples:
        before = split_of.setdefault(sample.source, sample.split)
        if before != sample.split:
            raise UserError(
                "a source in two splits",
                expected=f"{sample.source} in {before!r} alone",
                got=repr(sample.split),
                where=data,
            )
        if split is None or sample.split in ("", split):
            kept += 1
            yield sample
    if not kept:
        there = ", ".join(sorted(set(split_of.values()))) or "no tile at all"
        raise UserError(
            "no tile to read", expected=f"tiles of split {split!r}" if split else "tiles", got=there, where=data
        )
