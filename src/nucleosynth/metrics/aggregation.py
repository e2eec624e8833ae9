"""From images to one number for a data set: the four ways in use, each named in its result.

    mean      the mean over images                                       HoVer-Net's tables
    pannuke   bPQ and mPQ: over classes, then images, then tissues       Gamper et al., arXiv:2003.10778
    conic     mPQ+ and R2: counts pooled over images, then over classes  Graham et al., CoNIC, arXiv:2111.14485
    micro     all nuclei of all images and classes in one table

They differ by far more than methods do (an image without true nuclei is 0, left out or nothing, by the way of it), so
that a PQ means nothing without the name. How nuclei of unknown type are taken stands in `by_class`.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucleosynth.errors import UserError
from nucleosynth.metrics import instance
from nucleosynth.metrics.by_class import detections_by_class
from nucleosynth.metrics.classification import Confusion
from nucleosynth.metrics.instance import Detections, detections
from nucleosynth.metrics.overlap import Overlap, joined, overlap

NAN = float("nan")


@dataclass(frozen=True, eq=False)
class Judged:
    """One predicted image beside its truth: all that is read of it. by_class: one entry for each class 1..C."""

    table: Overlap
    by_class: tuple[Detections, ...] = ()
    tissue: str = "unknown"


@dataclass(frozen=True)
class Aggregate:
    """Scores of a data set. by_class, by_tissue: their tables, empty where the aggregation has none.

    left_out: of how many images (mean, pannuke) or classes (conic) a score is not defined; they are not in it.
    """

    name: str
    scores: dict[str, float]
    by_class: dict[str, dict[str, float]] = field(default_factory=dict)
    by_tissue: dict[str, dict[str, float]] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)


def judge(
    true: NDArray[Any],
    predicted: NDArray[Any],
    true_classes: NDArray[Any],
    predicted_classes: NDArray[Any],
    number_of_classes: int,
    tissue: str = "unknown",
) -> Judged:
    """Read one pair of instance maps (h w), ids may have gaps; classes (n,), (m,) follow the ascending ids.

    Without classes (C = 0) all of them are 0, and what needs classes is left out.

    Raises:
        UserError: maps of different shapes or not of integers, or classes that do not fit them.
    """
    table = overlap(true, predicted)
    return Judged(table, detections_by_class(table, true_classes, predicted_classes, number_of_classes), tissue)


def mean(images: Sequence[Judged], class_names: Sequence[str] = ()) -> Aggregate:
    """Means over images of `dice` .. `pq`; by class of `pq`. An image with no nucleus (of the class) is left out.

    One that has none on one side alone is 0. NaN where no image is left. Source: Graham et al. 2019.

    Raises:
        UserError: images with another number of classes.
    """
    _check(images, class_names)
    means = instance.mean([instance.scores_of(image.table) for image in images])
    pq = np.array([[found.pq for found in image.by_class] for image in images]).reshape(len(images), len(class_names))
    return Aggregate(
        "mean",
        {name: one.value for name, one in means.items()} or dict.fromkeys(instance.NAMES, NAN),
        _means_by_class(pq, class_names),
        left_out={name: one.left_out for name, one in means.items()},
    )


def pannuke(images: Sequence[Judged], class_names: Sequence[str] = ()) -> Aggregate:
    """`bpq` and `mpq` as PanNuke's published code has them; `pq` by class; both by tissue.

    bPQ of an image: PQ without classes. mPQ: mean of the PQ of those classes that its truth shows. Either is NaN, and
    left out, where the truth shows none, whatever is predicted there: false alarms on empty images cost nothing. Their
    means over the images of each tissue, then the mean over tissues. By class: the mean over images that show it.
    NaN where nothing is left; without class names there is no mpq. Source: Gamper et al., PanNuke Dataset Extension,
    arXiv:2003.10778, 2020, and its published evaluation.

    Raises:
        UserError: images with another number of classes.
    """
    _check(images, class_names)
    bpq = np.array([_where_true(detections(image.table)) for image in images], np.float64)
    by_class = np.array([[_where_true(found) for found in image.by_class] for image in images]).reshape(
        len(images), len(class_names)
    )
    values = {"bpq": bpq} | ({"mpq": np.array([_nanmean(row) for row in by_class])} if class_names else {})
    tissues = np.array([image.tissue for image in images], np.str_)
    by_tissue = {
        str(tissue): {name: _nanmean(value[tissues == tissue]) for name, value in values.items()}
        for tissue in np.unique(tissues)
    }
    return Aggregate(
        "pannuke",
        {name: _nanmean([row[name] for row in by_tissue.values()]) for name in values},
        _means_by_class(by_class, class_names),
        {tissue: row | {"images": int((tissues == tissue).sum())} for tissue, row in by_tissue.items()},
        {name: _undefined(value) for name, value in values.items()},
    )


def conic(images: Sequence[Judged], class_names: Sequence[str]) -> Aggregate:
    """`mpq_plus` and `r2` of the CoNIC challenge, and `pq`, `dq`, `sq`, `r2`, true and predicted counts by class.

    mPQ+: hits, misses, false alarms and IoU of each class are summed over all images, its PQ read from the sums, and
    the mean taken over classes. R2 = 1 - sum (predicted - true)^2 / sum (true - mean of true)^2 of the counts of a
    class in the images, and the mean over classes; at most 1, below 0 where the mean count would have told more. Counts
    are of whole images (the challenge's, of the central 224^2 px), without predictions on nuclei of unknown type.
    A class without a nucleus on either side has no PQ (0 in the published code). One whose true count is the same in
    all images, or in a single one, has no R2: there is nothing to explain (scikit-learn says 1 if all are met, else 0).
    Either is NaN and left out of the mean. Source: Graham et al., CoNIC, arXiv:2111.14485, 2021.

    Raises:
        UserError: no class names, or images with another number of classes.
    """
    if not class_names:
        raise UserError("CoNIC's scores are of classes", expected="class names", got="none", mend="take another")
    _check(images, class_names)
    total, explained = _pooled(images, len(class_names)), _r2_by_class(images, len(class_names))
    return Aggregate(
        "conic",
        {"mpq_plus": _nanmean([found.pq for found in total]), "r2": _nanmean(explained)},
        {
            name: {**_qualities(found), "r2": r2, "true": found.tp + found.fn, "predicted": found.tp + found.fp}
            for name, found, r2 in zip(class_names, total, explained, strict=True)
        },
        left_out={
            "mpq_plus": _undefined([found.pq for found in total]),
            "r2": _undefined(explained),
        },
    )


def micro(images: Sequence[Judged], class_names: Sequence[str] = ()) -> Aggregate:
    """`dice` .. `pq` of all images as if they were one; `typed_dq`, `typed_sq`, `typed_pq` of all classes together.

    Typed: a hit needs the right class as well; a nucleus of the wrong one is a miss and a false alarm. NaN without any
    nucleus on either side; empty images add nothing. By class: `pq`, `dq`, `sq` from the sums over images.
    Source: Kirillov et al., CVPR 2019, eq. 1, over all segments at once.

    Raises:
        UserError: images with another number of classes.
    """
    _check(images, class_names)
    total = _pooled(images, len(class_names))
    typed = {f"typed_{name}": value for name, value in _qualities(sum(total, Detections())).items()}
    return Aggregate(
        "micro",
        instance.scores_of(joined([image.table for image in images])) | (typed if class_names else {}),
        {name: _qualities(found) for name, found in zip(class_names, total, strict=True)},
    )


AGGREGATIONS: dict[str, Callable[[Sequence[Judged], Sequence[str]], Aggregate]] = {
    "mean": mean,
    "pannuke": pannuke,
    "conic": conic,
    "micro": micro,
}


def class_table(
    images: Sequence[Judged], confusion: Confusion, class_names: Sequence[str]
) -> dict[str, dict[str, float]]:
    """What there is to say of each class.

    `pq_pannuke`: mean over images that show it; `pq`, `dq`, `sq`: pooled over images; `f`, `precision`, `recall`: by
    paired centroids, pooled; `true`, `predicted`: how many nuclei. NaN where a score is not defined.

    Raises:
        UserError: images with another number of classes.
    """
    by_image, pooled = pannuke(images, class_names).by_class, micro(images, class_names).by_class
    return {
        name: {
            "pq_pannuke": by_image[name]["pq"],
            **pooled[name],
            "f": confusion.f_class(c),
            "precision": confusion.precision(c),
            "recall": confusion.recall(c),
            "true": confusion.true_count(c),
            "predicted": confusion.predicted_count(c),
        }
        for c, name in enumerate(class_names, start=1)
    }


def r2(true: NDArray[Any], predicted: NDArray[Any]) -> float:
    """1 - sum (predicted - true)^2 / sum (true - mean of true)^2 of counts (n,); NaN where all true ones are equal."""
    spread = ((true - true.mean()) ** 2).sum() if len(true) else 0
    return float(1 - ((predicted - true) ** 2).sum() / spread) if spread else NAN


def _where_true(found: Detections) -> float:
    """PQ, or NaN where the truth has no nucleus."""
    return found.pq if found.tp + found.fn else NAN


def _qualities(found: Detections) -> dict[str, float]:
    return {"pq": found.pq, "dq": found.dq, "sq": found.sq}


def _pooled(images: Sequence[Judged], number_of_classes: int) -> list[Detections]:
    return [sum((image.by_class[c] for image in images), Detections()) for c in range(number_of_classes)]


def _r2_by_class(images: Sequence[Judged], number_of_classes: int) -> list[float]:
    found = [[image.by_class[c] for image in images] for c in range(number_of_classes)]
    return [
        r2(np.array([one.tp + one.fn for one in column]), np.array([one.tp + one.fp for one in column]))
        for column in found
    ]


def _means_by_class(pq: NDArray[np.float64], class_names: Sequence[str]) -> dict[str, dict[str, float]]:
    """pq (images classes), NaN left out; and how many images are in the mean."""
    return {
        name: {"pq": _nanmean(column), "images": int((~np.isnan(column)).sum())}
        for name, column in zip(class_names, pq.T, strict=True)
    }


def _nanmean(values: Iterable[float]) -> float:
    defined = np.array([value for value in values if not np.isnan(value)])
    return float(defined.mean()) if len(defined) else NAN


def _undefined(values: Iterable[float]) -> int:
    return int(np.isnan(list(values)).sum())


def _check(images: Sequence[Judged], class_names: Sequence[str]) -> None:
    found = {len(image.by_class) for image in images} - {len(class_names)}
    if found:
        raise UserError(
            "images with other classes",
            expected=f"{len(class_names)} classes, as names",
            got=f"{min(found)} classes",
            mend="judge every image with the same classes",
        )
