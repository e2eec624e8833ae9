"""Which tiles a study trains and tests on: folds by source, and labelled fractions of each fold's training tiles.

A source (slide, patient) is never on both sides. The official split is one fold; several official splits can each be
the test in turn ("official"); otherwise k folds are made of whole sources, with about as many nuclei in each.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from nucleosynth.data.reader import read, resolve, split_by_source
from nucleosynth.data.splits import TRAIN
from nucleosynth.errors import UserError
from nucleosynth.run import file_name
from nucleosynth.sample import Sample
from nucleosynth.seeds import generator_of
from nucleosynth.studies.fairness import check_apart, check_usable
from nucleosynth.studies.subset import nested

TEST, OFFICIAL = "test", "official"
TEST_SHARE = 0.25
"""Of the sources, where the data have no splits."""


@dataclass(frozen=True)
class Source:
    """What a study reads, as its options name it."""

    data: str
    test_data: str | None = None
    split: str | None = None
    folds: str | None = None
    classes: str | None = None


@dataclass(frozen=True)
class Fold:
    """All tiles that may be trained on, and those that judges are scored on."""

    name: str
    available: Sequence[Sample]
    tests: Sequence[Sample]


@dataclass(frozen=True)
class Part:
    """A fold at a labelled fraction: `training` are those of `available` that are used."""

    fold: str
    fraction: float
    available: Sequence[Sample]
    training: Sequence[Sample]
    tests: Sequence[Sample]

    @property
    def slug(self) -> str:
        """The name of its folder."""
        return f"{file_name(self.fold)}-{self.fraction!r}"


def parts(folds: Sequence[Fold], fractions: Sequence[float], seed: int) -> tuple[Part, ...]:
    """Every fold at every fraction, fraction by fraction; larger fractions contain the smaller ones.

    Raises:
        UserError: no fraction, one outside 0 (excluded) to 1, or twice; tiles that no judge can use, or of other
            classes; a source on both sides.
    """
    if not fractions or len(set(fractions)) < len(fractions):
        got = ", ".join(map(str, fractions)) or "none"
        raise UserError("no clear fractions", expected="one or more, each once", got=got, where="--fraction")
    for fold in folds:
        check_usable(fold.available, "training tiles")
        check_usable(fold.tests, "test tiles")
        check_apart(fold.available, fold.tests)
    subsets = [nested(fold.available, fractions, seed) for fold in folds]
    return tuple(
        Part(fold.name, fraction, fold.available, subset[fraction], fold.tests)
        for fraction in fractions
        for fold, subset in zip(folds, subsets, strict=True)
    )


def folds(source: Source, seed: int) -> tuple[tuple[Fold, ...], str]:
    """The folds, and how they were made, in words.

    Raises:
        UserError: data that cannot be read; no tile on a side; folds asked for that cannot be made.
    """
    for each in (source.data, source.test_data or source.data):
        resolve(each)
    whole = list(read(source.data, None, source.classes))
    if source.folds is not None:
        _check_alone(source)
        found, how = _folds(whole, source.folds, seed)
    else:
        training, tests, how = _one(whole, source, seed)
        found = (Fold(tests[0].split or TEST if tests else TEST, training, tests),)
    for fold in found:
        for name, tiles in (("training", fold.available), ("test", fold.tests)):
            if not tiles:
                raise UserError(
                    f"no {name} tile",
                    expected=f"tiles of split {source.split or TEST!r} and others",
                    got=f"no tile for {name}",
                    where=source.test_data or source.data,
                    mend="name the split with --split, give --test-data, or make --folds",
                )
    return found, how


def _one(whole: list[Sample], source: Source, seed: int) -> tuple[list[Sample], list[Sample], str]:
    """Training tiles, test tiles, and how they were told apart.

    With test data of their own, the training tiles are the split "train" of the data, or all where there is none.
    """
    wanted = source.split or TEST
    if source.test_data is not None:
        tests = list(read(source.test_data, None, source.classes))
        training = [tile for tile in whole if tile.split == TRAIN] or whole
        if source.split is not None or any(tile.split == TEST for tile in tests):
            tests = [tile for tile in tests if tile.split in ("", wanted)]
        return training, tests, "test tiles from other data"
    if not any(tile.split for tile in whole):
        training, tests = split_by_source(whole, TEST_SHARE, seed)
        return (
            training,
            tests,
            (f"the data have no official split: {TEST_SHARE:.0%} of the sources were set aside by seed {seed}"),
        )
    tests = [tile for tile in whole if tile.split == wanted]
    others = [tile for tile in whole if tile.split != wanted]
    training = [tile for tile in others if tile.split == TRAIN] or others
    return training, tests, f"official split: judges are scored on {wanted!r}"


def _folds(whole: Sequence[Sample], wanted: str, seed: int) -> tuple[tuple[Fold, ...], str]:
    if wanted == OFFICIAL:
        names = sorted({tile.split for tile in whole})
        if len(names) < 2 or not all(names):
            raise UserError(
                "no official folds",
                expected="every tile in one of two or more splits",
                got=", ".join(repr(name) for name in names) or "no tile",
                where="--folds official",
                mend="give a number of folds: sources are dealt out to them",
            )
        return tuple(_without(whole, {name}, name, by="split") for name in names), (
            f"{len(names)} official folds, each the test in turn: {', '.join(names)}"
        )
    groups = list(_dealt(whole, _number(wanted), seed))
    return tuple(
        _without(whole, group, f"fold {k} of {len(groups)}", by="source") for k, group in enumerate(groups, start=1)
    ), f"{len(groups)} folds of whole sources, each the test in turn; official splits are not regarded"


def _dealt(whole: Sequence[Sample], count: int, seed: int) -> Iterator[set[str]]:
    """The sources of each fold: the largest first, each to the fold that has fewest nuclei; ties by the seed."""
    sources = sorted({tile.source for tile in whole})
    if len(sources) < count:
        raise UserError(
            "too few sources", expected=f"at least {count}, one a fold", got=str(len(sources)), where="--folds"
        )
    nuclei = dict.fromkeys(sources, 0)
    for tile in whole:
        nuclei[tile.source] += len(tile.classes)
    shuffled = [sources[k] for k in generator_of(seed).permutation(len(sources))]
    held: list[set[str]] = [set() for _ in range(count)]
    for source in sorted(shuffled, key=lambda source: -nuclei[source]):
        # of folds with equally many nuclei the one with fewest sources, so that none stays empty
        min(held, key=lambda group: (sum(nuclei[each] for each in group), len(group))).add(source)
    return iter(held)


def _without(whole: Sequence[Sample], held_out: set[str], name: str, by: str) -> Fold:
    tests = [tile for tile in whole if getattr(tile, by) in held_out]
    return Fold(name, [tile for tile in whole if getattr(tile, by) not in held_out], tests)


def _number(wanted: str) -> int:
    if not wanted.isdecimal() or int(wanted) < 2:
        raise UserError("no folds", expected=f"a number from 2, or {OFFICIAL}", got=wanted, where="--folds")
    return int(wanted)


def _check_alone(source: Source) -> None:
    for option, value in (("--test-data", source.test_data), ("--split", source.split)):
        if value is not None:
            raise UserError(
                "folds and a test split", expected="--folds or a test split", got=f"--folds and {option}", where=option
            )
