"""Captions that count: what a tile shows, and of which type it has few, several, many or hundreds of nuclei.

The sentence is CGPN-GAN's (Zhang et al., Medical Image Analysis 2025): "Breast tumor image of neoplastic tissue,
hundreds of neoplastic, many dead". What is few and what is many was learned from the training images of that tissue:
a `PathologyCaptions` is fitted once, holds nothing but numbers, and gives the same image the same sentence for ever.

Departures from the released code, so that no sentence says what nobody has seen: it calls a tissue without neoplastic
nuclei "normal" or "benign" by turns, ours carries the name that the data give it and no more; "tumor" is said where a
nucleus is labelled so; percentiles are of the images that show the type, each tissue its own, for any table of classes;
types of which none makes up enough are "mixed tissue". A tile's own caption goes first.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from nucleosynth.conditions.captions import NAMELESS, NUCLEUS
from nucleosynth.config import Settings
from nucleosynth.errors import UserError
from nucleosynth.sample import Classes, Condition, Sample

Census = Mapping[str, int]
"""Nuclei of each type that occurs, in the order of the classes; those of unknown type as NUCLEUS."""
Spread = tuple[float, float]
"""Up to so many nuclei are few, from so many on they are many."""

FEW, MANY = 30, 70
"""Percentiles."""
HUNDREDS = 75
"""From so many nuclei on the sentence says "hundreds of", as published."""
ALL = ""
"""In the place of a tissue, or of a type: all of them together."""
NEOPLASTIC = frozenset({"neoplastic", "tumor", "tumour", "malignant"})
"""Words of a class whose nuclei are a tumor's own."""
BESIDE = frozenset({"non", "infiltrating", "associated", "adjacent", "stroma", "stromal"})
"""Words of a class whose nuclei are not, though it may speak of one."""


class PathologyCaptions(Settings):
    """What is few and what is many, of each tissue and type; made by `fit`, kept as JSON."""

    spreads: Mapping[str, Mapping[str, Spread]]
    """{tissue: {type: spread}}, with ALL for what training did not show."""

    @classmethod
    def fit(cls, samples: Iterable[Sample]) -> Self:
        """Learn the spreads from images as large as those that will be told; read one by one.

        Raises:
            UserError: no image shows a nucleus.
        """
        return cls.of_counts((sample.tissue, census_of(sample)) for sample in samples)

    @classmethod
    def of_counts(cls, images: Iterable[tuple[str, Census]]) -> Self:
        """The same from the tissue and the nuclei of each image.

        Raises:
            UserError: as `fit`.
        """
        seen: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
        for tissue, nuclei in images:
            for name, count in nuclei.items():
                for place in {tissue, ALL}:
                    for kind in {name, ALL}:
                        seen[place][kind].append(count)
        if not seen:
            raise UserError(
                "no nuclei to count", expected="images with nuclei", got="none", mend="give labelled tiles with nuclei"
            )
        return cls(
            spreads={
                tissue: {kind: _spread(counts) for kind, counts in sorted(kinds.items())}
                for tissue, kinds in sorted(seen.items())
            }
        )

    def of_sample(self, sample: Sample) -> str:
        """A tile's own caption, or the sentence for its nuclei (its points, where points are all that is labelled)."""
        return sample.caption or self.sentence(sample.tissue, census_of(sample))

    def of_condition(self, condition: Condition, tissue: str) -> str | None:
        """The caption of a condition: its own, else the sentence for its points, label or counts, the first it gives.

        tissue: what it is where the condition does not say. None where it has no caption and says nothing of nuclei.
        """
        if condition.caption:
            return condition.caption
        names, tissue = condition.class_names, condition.tissue or tissue
        if condition.points is not None:
            return self.sentence(tissue, census(condition.points.classes, condition.points.class_names))
        if condition.classes is not None:
            return self.sentence(tissue, census(condition.classes, names))
        if condition.counts is not None:
            return self.sentence(tissue, _counted(names, condition.counts.tolist()))
        return None

    def sentence(self, tissue: str, nuclei: Census) -> str:
        """The three clauses: which tissue, what it is made of, how many of each type, the most frequent first."""
        known = {name: count for name, count in nuclei.items() if name != NUCLEUS}
        place = "" if tissue in NAMELESS else tissue
        if any(map(is_neoplastic, known)) and "tumor" not in place.lower():
            place = f"{place} tumor".strip()
        first = f"{place} image of {_main(known, bool(nuclei))}".strip()
        ordered = sorted(nuclei.items(), key=lambda pair: -pair[1])
        amounts = [f"{self.amount(tissue, name, count)} {_called(name, known)}" for name, count in ordered]
        return ", ".join([first[:1].upper() + first[1:], *amounts])

    def amount(self, tissue: str, name: str, count: int) -> str:
        """ "hundreds of", "many", "several" or "few"; where few and many are one number, it is few."""
        if count >= HUNDREDS:
            return "hundreds of"
        few, many = self._spread_of(tissue, name)
        return "few" if count <= few else "many" if count >= many else "several"

    def _spread_of(self, tissue: str, name: str) -> Spread:
        """Of that tissue and type; else of the type in all tissues; else of all types."""
        for kinds in (self.spreads.get(tissue, {}), self.spreads[ALL]):
            if name in kinds:
                return kinds[name]
        return self.spreads[ALL][ALL]


def census(classes: NDArray[Any] | Classes, class_names: tuple[str, ...]) -> dict[str, int]:
    """Nuclei of each type that occurs among classes (n,), in the order of the classes, NUCLEUS last.

    Example:
        >>> census(np.array([2, 0, 2, 1]), ("round", "long"))
        {'round': 1, 'long': 2, 'nucleus': 1}
    """
    unknown, *counts = np.bincount(np.asarray(classes, np.int64), minlength=len(class_names) + 1).tolist()
    return _counted(class_names, [*counts, unknown])


def census_of(sample: Sample) -> dict[str, int]:
    """The same of a tile: of its points, where points are all that is labelled."""
    pointed = sample.points if sample.labelled_as == "points" else None
    return census(pointed.classes if pointed else sample.classes, sample.class_names)


def is_neoplastic(name: str) -> bool:
    """Whether the nuclei of a class are a tumor's own; a class of "this/that" only if both are.

    Example:
        >>> [is_neoplastic(each) for each in ("neoplastic", "non-neoplastic", "dysplastic/malignant epithelial")]
        [True, False, False]
    """
    either = [set(re.findall(r"[a-z]+", part)) for part in re.split(r"/| or ", name.lower())]
    return all(words & NEOPLASTIC and not words & BESIDE for words in either)


def _counted(class_names: tuple[str, ...], counts: Sequence[int]) -> dict[str, int]:
    """Counts (C,), or (C + 1,) with those of unknown type last, by name."""
    found: Counter[str] = Counter()
    for name, count in zip((*class_names, NUCLEUS), counts, strict=False):
        found[name] += count
    return {name: count for name, count in found.items() if count}


def _main(known: Census, nuclei: bool) -> str:
    """What an image is made of, by the shares of the known types; nuclei: whether there are any at all."""
    if not known:
        return "tissue" if nuclei else "background"
    total = sum(known.values())
    names = sorted(known, key=lambda name: -known[name])
    if known[names[0]] >= 0.5 * total:
        return f"{names[0]} tissue"
    often = [name for name in names if known[name] > 0.3 * total]
    if len(often) == 3 and total > 15:
        return f"{often[0]}, {often[1]} and {often[2]} tissue"
    if len(often) >= 2 and total > 10:
        return f"{often[0]} and {often[1]} tissue"
    return "mixed tissue"


def _called(name: str, known: Census) -> str:
    if name != NUCLEUS:
        return name
    return "nuclei of unknown type" if known else "nuclei"


def _spread(counts: list[int]) -> Spread:
    few, many = np.percentile(counts, [FEW, MANY]).tolist()
    return few, many
