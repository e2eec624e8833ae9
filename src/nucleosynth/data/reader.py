"""DATA on the command line becomes Samples here.

A reader is one function in one file, `read(where, note) -> Iterator[Sample]`: lazy, in a stable order, a source (slide
or patient) never in two splits, `source` prefixed by the data set's name ("consep/train_1"). `where` is what stands
after the colon of `name:where`: a folder for data on disk, options for drawn tissue. What a reader repairs, leaves out
or misses it says (data/findings.py).
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from nucleosynth import catalog
from nucleosynth.data.findings import Finding, Note, keeping, repairs_of, strictly, told
from nucleosynth.data.schemes import merging
from nucleosynth.errors import UserError
from nucleosynth.progress import say
from nucleosynth.sample import Sample

KEPT = ("store", "folder", "geojson", "coco", "hovernet", "csv")
"""What may have been read before: repairs of then are not told again, and those of now come as findings."""


class Reader(Protocol):
    """The contract of every reader; tests/contracts/test_readers.py holds all of them to it."""

    def __call__(self, where: str, note: Note = strictly, /) -> Iterator[Sample]:
        """Yield Samples lazily in a stable order; raise UserError for missing data; a broken tile goes to `note`."""


def read(data: str, split: str | None = None, classes: str | None = None, note: Note | None = None) -> Iterator[Sample]:
    """Samples of DATA: `name:where` with a name from the catalog, or the path of a store.

    What was repaired, left out or missing is said at the end, in a line each, unless `note` takes it.

    Args:
        data: for example "consep:CoNSeP", "folder:my/tiles", "phantom:", or "runs/demo/pairs".
        split: keep only this official split, or these ("fold1,fold2"); None keeps all.
        classes: the class scheme to read them in: a name of the catalog, or a TOML file; None leaves them as they are.
        note: takes what concerns files; a broken tile ends the reading unless it says otherwise.

    Raises:
        UserError: an unknown data set or class scheme, a missing or broken file, a class without a place in the scheme,
            a source in two splits, or a split that no tile has.
    """
    reader, where = resolve(data)
    merge = merging(classes)
    found: list[Finding] = []
    samples = map(merge, _checked(reader(where, note or keeping(found)), data, split))
    return samples if note else _telling(samples, data, found)


def resolve(data: str) -> tuple[Reader, str]:
    """The reader of DATA and what it is to read; nothing is read yet.

    Raises:
        UserError: neither `name:where` with a known name nor an existing path.
    """
    name, colon, where = data.partition(":")
    if colon and not Path(data).exists():
        return catalog.load("data set", name), where
    store = Path(data).expanduser()
    if not store.exists():
        raise UserError(
            "no such data",
            expected="name:path (names: `nucleosynth list`) or the path of a store",
            got=repr(data),
            mend=f"write folder:{data} for a folder of your own tiles, or check the path",
        )
    return catalog.load("data set", "store"), str(store)


def split_by_source(samples: Iterable[Sample], test_share: float, seed: int) -> tuple[list[Sample], list[Sample]]:
    """Training and test tiles such that no source is in both; about `test_share` of the sources are test.

    Raises:
        UserError: fewer than two sources.
    """
    samples = list(samples)
    sources = sorted({sample.source for sample in samples})
    if len(sources) < 2:
        raise UserError(
            "cannot split",
            expected="tiles of at least two sources",
            got=f"{len(sources)} source(s)",
            mend="name the slide or patient of each tile (source), or give test data of their own",
        )
    order = np.random.default_rng(seed).permutation(len(sources))
    tests = {sources[i] for i in order[: min(max(round(test_share * len(sources)), 1), len(sources) - 1)]}
    return [s for s in samples if s.source not in tests], [s for s in samples if s.source in tests]


def _telling(samples: Iterable[Sample], data: str, found: Sequence[Finding]) -> Iterator[Sample]:
    """The samples; after the last one, what was found on the way."""
    repairs: Counter[str] = Counter()
    for sample in samples:
        repairs += repairs_of(sample)
        yield sample
    if data.partition(":")[0] not in KEPT and ":" in data:
        for words, count in repairs.items():
            say(f"{data}: {words}: {count}")
    for line in told(found):
        say(f"{data}: {line}")


def _checked(samples: Iterator[Sample], data: str, split: str | None) -> Iterator[Sample]:
    asked = [] if split is None else [word.strip() for word in split.split(",") if word.strip()]
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
                mend="put all tiles of a slide or patient into one split",
            )
        if split is None or sample.split in asked:
            kept += 1
            yield sample
    absent = [word for word in asked if word not in split_of.values()]
    if not kept or absent:
        there = ", ".join(sorted({each or "tiles of no split" for each in split_of.values()})) or "no tile at all"
        raise UserError(
            "no tile to read",
            expected=f"tiles of split {' and '.join(map(repr, absent or asked))}" if split else "tiles",
            got=there,
            where=data,
            mend="take a split that is there" if split else "see what `nucleosynth validate` says",
        )
