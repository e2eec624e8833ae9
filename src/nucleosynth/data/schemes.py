"""Class schemes: which classes of a data set are one class, as named data. No merge happens unless one is asked for.

A scheme names its classes in order, and for each the classes of the data that become it; "*" stands for all that are
left. A nucleus of unknown type stays one, unless there is but one class and it is "*". Users write their own in TOML
and give the file's path where a name is asked:

    what = "round and long"                # optional
    unknown = ["debris"]                   # optional: counted as nuclei, their type forgotten
    [classes]
    round = ["inflammatory", "epithelial"]
    long = ["fibroblast", "muscle"]

What was merged travels with the samples as a text (`Sample.class_scheme`), into stores, runs and reports.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field, field_validator

from nucleosynth import catalog, config
from nucleosynth.config import Settings
from nucleosynth.data.classes import recoded
from nucleosynth.errors import UserError
from nucleosynth.sample import Sample

REST = "*"
AFTER = " | after "
"""Between the text of a scheme and that of the one before it."""
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Scheme:
    """A named way to merge classes: `classes` {new name: old names}, `unknown` those whose type is forgotten."""

    name: str
    classes: Mapping[str, tuple[str, ...]]
    unknown: tuple[str, ...] = ()

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes in order: class k is the k-th."""
        return tuple(self.classes)

    @property
    def text(self) -> str:
        """The whole scheme as one line: "consep4: other = other; epithelial = healthy epithelial + ..."."""
        merges = [f"{name} = {' + '.join(olds)}" for name, olds in self.classes.items()]
        forgotten = [f"{UNKNOWN} = {' + '.join(self.unknown)}"] if self.unknown else []
        return f"{self.name}: {'; '.join(merges + forgotten)}"

    def apply(self, sample: Sample) -> Sample:
        """The sample in this scheme's classes; one that is in them already stays as it is.

        Of a sample that another scheme has merged, only its merged classes are known: a class that merely has the name
        of one of this scheme's is then no reason to take it for that, and the text of the other scheme is kept.

        Raises:
            UserError: a class of the sample has no place in the scheme.
        """
        if sample.class_scheme.partition(AFTER)[0] == self.text:
            return sample
        unknown = self._rest() if len(self.classes) == 1 else 0
        number = np.array([unknown, *(self._of(name, sample) for name in sample.class_names)], np.uint8)
        text = self.text + (AFTER + sample.class_scheme if sample.class_scheme else "")
        return replace(recoded(sample, number, self.class_names), class_scheme=text)

    def _of(self, name: str, sample: Sample) -> int:
        for number, olds in enumerate(self.classes.values(), start=1):
            if name in olds:
                return number
        if name in self.unknown:
            return 0
        if name in self.classes and not sample.class_scheme:
            return self.class_names.index(name) + 1
        if not self._rest():
            merged = f", merged by {sample.class_scheme}" if sample.class_scheme else ""
            near = get_close_matches(name.lower(), {old.lower() for olds in self.classes.values() for old in olds}, n=1)
            raise UserError(
                f"class {name!r} has no place in the scheme {self.name!r}",
                expected=" and ".join(old for olds in self.classes.values() for old in olds),
                got=", ".join(sample.class_names) + merged,
                where=f"sample {sample.sample_id!r}",
                mend=(f"is it {near[0]!r}? " if near else "")
                + f'name it in a class of the scheme ({self.class_names[0]} = ["{name}", ...]), in unknown = [...], '
                + 'or give one class "*", which takes all that is left',
            )
        return self._rest()

    def _rest(self) -> int:
        """The class of all that is not named; 0 where the scheme has none."""
        return next((number for number, olds in enumerate(self.classes.values(), start=1) if REST in olds), 0)


class SchemeFile(Settings):
    """What a user's TOML file may hold."""

    what: str = ""
    unknown: tuple[str, ...] = ()
    classes: dict[str, tuple[str, ...]] = Field(default_factory=dict)

    @field_validator("classes", mode="before")
    @classmethod
    def _lists(cls, table: Any) -> Any:
        """One class may be written without brackets."""
        if not isinstance(table, dict):
            return table
        return {name: [olds] if isinstance(olds, str) else olds for name, olds in table.items()}


def scheme(name: str) -> Scheme:
    """The scheme of that name, or of a TOML file.

    Raises:
        UserError: an unknown name; a file that is not TOML, has no classes, or names a class twice.
    """
    if not name.endswith(".toml"):
        found: Scheme = catalog.load("class scheme", name)
        return found
    path = Path(name)
    table = config.resolve(SchemeFile(), config.read_toml(path), name)
    olds = [old for each in table.classes.values() for old in each] + list(table.unknown)
    twice = sorted({old for old in olds if olds.count(old) > 1})
    if not table.classes or twice or len(table.classes) > 255:
        raise UserError(
            "not a class scheme",
            expected="a table [classes] with 1..255 lines such as round = ['epithelial'], each class of the data once",
            got=f"{', '.join(twice)} twice" if twice else f"{len(table.classes)} classes",
            where=name,
            mend='for example: [classes] round = ["inflammatory", "epithelial"] and, below it, long = ["fibroblast"]',
        )
    return Scheme(path.stem, table.classes, table.unknown)


def merging(name: str | None) -> Callable[[Sample], Sample]:
    """What brings samples into the scheme of that name or file; nothing happens where there is none.

    Raises:
        UserError: as `scheme`; and, of a sample, as `Scheme.apply`.
    """
    return scheme(name).apply if name else lambda sample: sample


def _as_they_are(*names: str) -> dict[str, tuple[str, ...]]:
    return {name: (name,) for name in names}


CONSEP4 = Scheme(
    "consep4",
    {
        "other": ("other",),
        "inflammatory": ("inflammatory",),
        "epithelial": ("healthy epithelial", "malignant epithelial"),
        "spindle": ("fibroblast", "muscle", "endothelial"),
    },
)
"""Graham et al., HoVer-Net, 2019: what CoNSeP is scored in."""
CONSEP_DAFF = Scheme(
    "consep-daff",
    {
        "epithelial": ("healthy epithelial", "malignant epithelial"),
        "inflammatory": ("inflammatory",),
        "spindle": ("fibroblast", "endothelial"),
        "muscle": ("muscle",),
    },
    ("other",),
)
"""Cheng et al., DAFF-GAN, as its text reads; it has no place for "other", whose type is forgotten here."""
PUMA3 = Scheme(
    "puma3",
    {
        "tumor": ("tumor",),
        "TIL": ("lymphocyte", "plasma cell"),
        "other": ("histiocyte", "stroma", "epithelium", "apoptosis", "endothelium", "melanophage", "neutrophil"),
    },
)
"""The PUMA challenge's first track: tumour, tumour-infiltrating lymphocytes, other."""
PANNUKE = Scheme("pannuke", _as_they_are("neoplastic", "inflammatory", "connective", "dead", "epithelial"))
"""PanNuke's five, in the order of its channels."""
LIZARD = Scheme("lizard", _as_they_are("neutrophil", "epithelial", "lymphocyte", "plasma", "eosinophil", "connective"))
"""Lizard's six, in the order of its numbers."""
BINARY = Scheme("binary", {"nucleus": (REST,)})
"""Every nucleus is a nucleus, those of unknown type too."""
