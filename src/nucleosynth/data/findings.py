"""What a reader meets on its way and must not keep to itself.

Two ways, by what is concerned. What was done to one tile travels with it: `Sample.quality["repairs"]` counts it in
plain words ({"px claimed by two nuclei, left to the later one": 31}), into every store. What concerns files (a part of
the release that is not there, a tile that is left out, a tile that cannot be read) is a Finding, handed to `note`.

A `note` decides what a broken tile means: `strictly` raises its error and so ends the reading; a list's `append` keeps
it and reads on, as `nucleosynth validate` does.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

from nucleosynth.errors import UserError
from nucleosynth.sample import Sample

Kind = Literal["broken", "missing", "suspicious", "left out", "repaired", "note"]
"""A tile that cannot be read; a part that is not there; what may spoil a study; a tile that is left out on purpose;
what was mended while reading; what is only good to know."""
PROBLEMS: tuple[Kind, ...] = ("broken", "missing", "suspicious")
"""The kinds that a person has to act on; the others are told."""

REPAIRS = "repairs"
"""The key of `Sample.quality` under which a reader counts what it did: {words: how many}."""

T = TypeVar("T")


@dataclass(frozen=True)
class Finding:
    """One thing met while reading: `where` names the file or sample, `mend` says what to do ("" where nothing is)."""

    kind: Kind
    where: str
    what: str
    mend: str = ""
    error: UserError | None = None
    """Of a broken tile: what reading it raised."""
    count: int | None = None
    """How many things of a tile `what` names, where it names several."""

    @property
    def text(self) -> str:
        """`what`, with its count."""
        return self.what if self.count is None else f"{self.what}: {self.count}"


Note = Callable[[Finding], None]


def strictly(finding: Finding) -> None:
    """The `note` of a reader that is not given one: a broken tile ends the reading, the rest is not heard.

    Raises:
        UserError: the finding's own error.
    """
    if finding.error is not None:
        raise finding.error


def keeping(found: list[Finding]) -> Note:
    """A `note` that keeps what it hears in a list, and lets a broken tile end the reading."""

    def note(finding: Finding) -> None:
        strictly(finding)
        found.append(finding)

    return note


def alike(findings: Sequence[Finding]) -> Iterator[tuple[Finding, int]]:
    """Findings that say the same of different files: the first one, with the sum of their counts, and their number."""
    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        groups.setdefault((finding.kind, finding.what), []).append(finding)
    for group in groups.values():
        counts = [finding.count for finding in group if finding.count is not None]
        yield replace(group[0], count=sum(counts) if counts else None), len(group)


def told(findings: Sequence[Finding]) -> list[str]:
    """Findings as lines for a person, one for all that say the same."""
    return [
        f"{first.kind}: {first.text}: {first.where}" + (f" and {number - 1} more" if number > 1 else "")
        for first, number in alike(findings)
    ]


def each_tile(load: Callable[[T], Sample | None], tiles: Iterable[T], note: Note) -> Iterator[Sample]:
    """The Samples of some tiles, loaded as they are asked for; one that cannot be read is noted as broken.

    `load` gives None for a tile that it leaves out, after saying so.
    """
    for tile in tiles:
        try:
            sample = load(tile)
        except UserError as error:
            note(broken_tile(error))
        else:
            if sample is not None:
                yield sample


def broken_tile(error: UserError) -> Finding:
    """The finding for a tile that cannot be read."""
    what = f"{error.what}: expected {error.expected}, got {error.got}"
    return Finding("broken", error.where, what, error.mend, error)


def with_repairs(quality: Mapping[str, Any], repairs: Mapping[str, int]) -> dict[str, Any]:
    """The quality of a sample with these repairs added to those that it counts already; zeros are left out."""
    together = _counted(quality.get(REPAIRS)) + Counter(repairs)
    return without_repairs(quality) | ({REPAIRS: dict(together)} if together else {})


def without_repairs(quality: Mapping[str, Any]) -> dict[str, Any]:
    """The quality of a part of a sample, whose repairs were counted over the whole."""
    return {name: value for name, value in quality.items() if name != REPAIRS}


def repairs_of(sample: Sample) -> Counter[str]:
    """What the reader of a sample counted: {words: how many}."""
    return _counted(sample.quality.get(REPAIRS))


def _counted(repairs: Any) -> Counter[str]:
    found = repairs if isinstance(repairs, Mapping) else {}
    return Counter({str(words): count for words, count in found.items() if isinstance(count, int)})
