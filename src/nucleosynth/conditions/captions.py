"""Captions: what a tile shows, in one sentence, made from its tissue, its stain and the types of its nuclei.

The sentence is CoSyn's (Min, Oh, Jeong, ECCV 2024): "high quality histopathology colon tissue image including nuclei
types of a, b, and c", or "... with no nucleus". A stain other than H&E is named ("IHC stained endometrial"), a tissue
that is not known is left out. In training the types are shuffled, so that their order says nothing; when pairs are made
they stand in the order of the classes. A tile's own caption goes first.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucleosynth.sample import Classes, Condition, Layout, Sample

NUCLEUS = "nucleus"
"""The name of the class that data without classes have; it tells no type."""
ADJECTIVES = {"endometrium": "endometrial"}
"""Tissues that the paper calls by their adjective."""
NAMELESS = frozenset({"", "unknown", "mixed"})
USUAL_STAIN = "H&E"


def caption(
    tissue: str | None, stain: str | None, names: Sequence[str], generator: np.random.Generator | None = None
) -> str:
    """The sentence for a tissue, a stain and the types that occur.

    names: each type once; (NUCLEUS,) where there are nuclei of no known type; none where there is no nucleus.
    generator: shuffles the names; without one they stay in order.

    Example:
        >>> caption("colon", "H&E", ["epithelial", "lymphocyte", "plasma"])
        'high quality histopathology colon tissue image including nuclei types of epithelial, lymphocyte, and plasma'
        >>> caption("endometrium", "IHC", [])
        'high quality histopathology IHC stained endometrial tissue image with no nucleus'
    """
    stained = "" if (stain or "") in NAMELESS | {USUAL_STAIN} else f"{stain} stained "
    words = "" if (tissue or "") in NAMELESS else f"{ADJECTIVES.get(tissue or '', tissue)} "
    order = generator.permutation(len(names)) if generator else range(len(names))
    return f"high quality histopathology {stained}{words}tissue image {_nuclei([names[k] for k in order])}"


def names_of(classes: Classes, class_names: Sequence[str]) -> tuple[str, ...]:
    """The types of nuclei (n,), each once, in the order of classes; (NUCLEUS,) where no type is known, () at n = 0."""
    known = tuple(class_names[kind - 1] for kind in np.unique(classes) if kind)
    return known or (NUCLEUS,) * bool(len(classes))


def of_sample(sample: Sample, generator: np.random.Generator | None = None) -> str:
    """A tile's own caption, or the sentence for its nuclei (its points, where points are all that is labelled)."""
    if sample.caption:
        return sample.caption
    pointed = sample.points if sample.labelled_as == "points" else None
    classes = pointed.classes if pointed else sample.classes
    return caption(sample.tissue, sample.stain, names_of(classes, sample.class_names), generator)


def of_layout(
    layout: Layout, tissue: str | None, stain: str | None, generator: np.random.Generator | None = None
) -> str:
    """The sentence for points."""
    return caption(tissue, stain, names_of(layout.classes, layout.class_names), generator)


def of_counts(
    counts: NDArray[Any],
    class_names: Sequence[str],
    tissue: str | None,
    stain: str | None,
    generator: np.random.Generator | None = None,
) -> str:
    """The sentence for nuclei of each class (C,), or (C + 1,) with those of unknown type last."""
    known = [name for name, count in zip(class_names, counts, strict=False) if count > 0]
    return caption(tissue, stain, known or [NUCLEUS] * bool(counts.any()), generator)


def of_condition(condition: Condition, tissue: str, stain: str) -> str | None:
    """The caption of a condition: its own, else the sentence for its points, label or counts, the first that it gives.

    tissue, stain: what they are where the condition does not say. None where it has no caption and says nothing of
    nuclei: no sentence is then true of it.
    """
    tissue, stain = condition.tissue or tissue, condition.stain or stain
    if condition.caption:
        return condition.caption
    if condition.points is not None:
        return of_layout(condition.points, tissue, stain)
    if condition.classes is not None:
        return caption(tissue, stain, names_of(condition.classes, condition.class_names))
    if condition.counts is not None:
        return of_counts(condition.counts, condition.class_names, tissue, stain)
    return None


def _nuclei(names: Sequence[str]) -> str:
    if not names:
        return "with no nucleus"
    if list(names) == [NUCLEUS]:
        return "including nuclei"
    *others, last = names
    if len(others) < 2:
        return f"including nuclei types of {' and '.join(names)}"
    return f"including nuclei types of {', '.join(others)}, and {last}"
