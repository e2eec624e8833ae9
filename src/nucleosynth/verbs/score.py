"""`nucleosynth score`: predicted against true nuclei, image by image and over the data set."""

import csv as tables
import io
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from json import dumps
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nucleosynth.data.reader import read
from nucleosynth.errors import UserError, unknown_name
from nucleosynth.metrics.aggregation import AGGREGATIONS, Judged, class_table, judge
from nucleosynth.metrics.classification import RADIUS_UM, Confusion, confusion, nuclei, radius_at
from nucleosynth.metrics.instance import scores_of
from nucleosynth.metrics.overlap import check_names
from nucleosynth.progress import say
from nucleosynth.run import write_whole
from nucleosynth.sample import Classes, Instances
from nucleosynth.verbs.options import Prediction, Truth
from nucleosynth.verbs.score_tables import show

PUBLISHED_RADIUS_PX = 12.0
"""The radius of HoVer-Net's released code, which knows no resolution."""
WITHOUT_CLASSES = ("nucleus",)
"""The class names of predictions that tell no classes apart: they are scored for what they are."""


class _Label(NamedTuple):
    sample_id: str
    instances: Instances
    classes: Classes
    class_names: tuple[str, ...]
    mpp: float | None
    labelled_as: str
    tissue: str


def score(
    truth: Truth,
    prediction: Prediction,
    *,
    classes: str | None = None,
    aggregation: Sequence[str] = (),
    radius_um: float | None = None,
    radius_px: float | None = None,
    gated: bool = False,
    phantom: bool = False,
    json: Path | None = None,
    csv: Path | None = None,
) -> dict[str, Any]:
    """Compare predicted with true nuclei: two data of the same tiles, matched by sample_id.

    Returns what is written as JSON. "aggregations": for each that was asked for its scores, by class, by tissue, and of
    how many images or classes one is not defined. "centroids": f_d, accuracy and f_<class> of all nuclei together, with
    the radius and the way of pairing. "classes": all there is to say of each class. "confusion": true class by
    predicted class. "images": sample_id, tissue, counts and scores of each. "labelled_as": how the truth was labelled.
    A score that is not defined (of an image without nuclei) is null and left out of means. Predictions without classes
    get the scores that need none.

    Args:
        truth: the true nuclei: name:path, or the path of a store; names are in `nucleosynth list`.
        prediction: the predicted nuclei of the same tiles and classes.
        classes: read both in this class scheme: a name of `nucleosynth list`, or a TOML file.
        aggregation: from images to the data set: mean (over images), pannuke (bPQ and mPQ, by tissue), conic (mPQ+ and
            R2) or micro (all nuclei together); once for each; mean by default.
        radius_um: centroids are paired within it, in um; 3 by default, or 12 px where the truth has no resolution.
        radius_px: the same in px.
        gated: pair within the radius only; by default all centroids are paired, then the radius asked, as released.
        phantom: an image without nuclei gets one of no class at (0, 0), as released; without --gated only.
        json: write the scores to this file.
        csv: write a row for each image to this file.

    Raises:
        UserError: data that cannot be read; a tile that only one side has; sizes or class names that differ; truths of
            several resolutions, or points without masks; an unknown aggregation, a radius that is none, a class whose
            score would be called as another one, or a phantom with the gated pairing.
    """
    asked = list(dict.fromkeys(aggregation or ("mean",)))
    _check(asked, radius_um, radius_px)
    if gated and phantom:
        raise UserError("two ways of pairing", expected="--gated or --phantom", got="both")
    labels = list(_pairs(truth, prediction, classes))
    names = _class_names(labels, asked)
    check_names(names, ("d",))
    radius = _radius(labels, truth, radius_um, radius_px)
    images = [_judged(true, found, len(names)) for true, found in labels]
    pairs = [_paired(true, found, len(names), radius, gated, phantom) for true, found in labels]
    total = sum(pairs, Confusion.empty(len(names)))
    result: dict[str, Any] = {
        "aggregations": {name: asdict(AGGREGATIONS[name](images, names)) for name in asked},
        "centroids": {
            "aggregation": "all nuclei together",
            "pairing": "gated" if gated else "released",
            "phantom": phantom,
            "radius_px": radius,
            "scores": total.scores(names),
        },
        "classes": class_table(images, total, names),
        "confusion": total.matrix(names),
        "images": [_row(true, image, names) for (true, _), image in zip(labels, images, strict=True)],
        "labelled_as": sorted({true.labelled_as for true, _ in labels}),
    }
    if json:
        write_whole(json, dumps(_nan_to_null(result), indent=1))
    if csv:
        write_whole(csv, _table(result["images"]))
    show(result)
    if "derived" in result["labelled_as"]:
        say("these truths are masks grown from points, not drawn ones: the scores are no judge of outlines")
    return result


def _check(asked: Sequence[str], radius_um: float | None, radius_px: float | None) -> None:
    for name in asked:
        if name not in AGGREGATIONS:
            raise unknown_name("aggregation", name, AGGREGATIONS)
    if radius_um is not None and radius_px is not None:
        raise UserError("two radii", expected="--radius-um or --radius-px", got=f"{radius_um} um and {radius_px} px")
    for unit, radius in (("um", radius_um), ("px", radius_px)):
        if radius is not None and not 0 < radius < math.inf:
            raise UserError(
                "bad radius", expected=f"a radius above 0 {unit}", got=str(radius), mend="3 um as published"
            )


def _pairs(truth: str, prediction: str, classes: str | None) -> Iterator[tuple[_Label, _Label]]:
    truths, predicted = _by_name(truth, classes), _by_name(prediction, classes)
    missing = [name for name in truths if name not in predicted]
    extra = [name for name in predicted if name not in truths]
    if missing or extra:
        raise UserError(
            "tiles that only one side has",
            expected=f"the same sample_ids in {truth} and {prediction}",
            got=f"{len(missing)} without prediction{_some(missing)}, {len(extra)} without truth{_some(extra)}",
            mend="name predicted tiles as the true ones; `nucleosynth convert --split` cuts out a split",
        )
    for name, true in truths.items():
        found = predicted[name]
        if true.labelled_as == "points" or found.instances.shape != true.instances.shape:
            raise UserError(
                "labels that cannot be compared",
                expected=f"masks of {true.instances.shape}",
                got="points" if true.labelled_as == "points" else str(found.instances.shape),
                where=f"sample {name!r} of {truth if true.labelled_as == 'points' else prediction}",
                mend="score masks at the resolution of the truth",
            )
        if found.class_names not in (true.class_names, WITHOUT_CLASSES):
            raise UserError(
                "other classes",
                expected=", ".join(true.class_names),
                got=", ".join(found.class_names),
                where=f"sample {name!r} of {prediction}",
                mend="name the classes as in the truth (class_names in meta.toml of a folder)",
            )
        yield true, found


def _by_name(data: str, classes: str | None) -> dict[str, _Label]:
    """The labels by sample_id, without their images."""
    labels: dict[str, _Label] = {}
    for sample in read(data, None, classes):
        if sample.sample_id in labels:
            raise UserError("two tiles of one name", expected="every sample_id once", got=sample.sample_id, where=data)
        fields = (sample.instances, sample.classes, sample.class_names, sample.mpp)
        labels[sample.sample_id] = _Label(sample.sample_id, *fields, sample.labelled_as, sample.tissue)
    return labels


def _class_names(labels: Sequence[tuple[_Label, _Label]], asked: Sequence[str]) -> tuple[str, ...]:
    """The classes that are scored: none if the predictions tell none apart."""
    names = labels[0][0].class_names
    if all(found.class_names == names for _, found in labels):
        return names
    if "conic" in asked:
        raise UserError(
            "predictions without classes",
            expected=f"one of {', '.join(names)} for each nucleus, as CoNIC's scores are of classes",
            got=", ".join(WITHOUT_CLASSES),
            mend="leave --aggregation conic out",
        )
    say("the predictions tell no classes apart: only what needs none is scored")
    return ()


def _radius(
    labels: Iterable[tuple[_Label, _Label]], truth: str, radius_um: float | None, radius_px: float | None
) -> float:
    """Within which centroids are paired, in px."""
    resolutions = {true.mpp for true, _ in labels}
    if len(resolutions) > 1:
        raise UserError(
            "tiles of several resolutions",
            expected="one mpp",
            got=", ".join(sorted(map(str, resolutions))),
            where=truth,
            mend="score the tiles of each resolution by themselves",
        )
    mpp = resolutions.pop()
    if radius_px is not None:
        return radius_px
    if mpp is not None:
        return radius_at(mpp, RADIUS_UM if radius_um is None else radius_um)
    if radius_um is not None:
        raise UserError(
            "no resolution",
            expected="tiles that state mpp, for a radius in um",
            got="none",
            where=truth,
            mend="give --radius-px",
        )
    say(f"the truth states no resolution: centroids are paired within {PUBLISHED_RADIUS_PX:g} px, as at 40x")
    return PUBLISHED_RADIUS_PX


def _judged(true: _Label, found: _Label, number_of_classes: int) -> Judged:
    true_classes, found_classes = _scored(true, number_of_classes), _scored(found, number_of_classes)
    return judge(true.instances, found.instances, true_classes, found_classes, number_of_classes, true.tissue)


def _paired(
    true: _Label, found: _Label, number_of_classes: int, radius_px: float, gated: bool, phantom: bool
) -> Confusion:
    left, right = (nuclei(label.instances, _scored(label, number_of_classes)) for label in (true, found))
    return confusion(left, right, number_of_classes, radius_px, gated=gated, phantom=phantom)


def _scored(label: _Label, number_of_classes: int) -> Classes:
    """The classes, all unknown where none are scored."""
    return label.classes if number_of_classes else np.zeros_like(label.classes)


def _row(true: _Label, image: Judged, names: Sequence[str]) -> dict[str, Any]:
    by_class = {f"pq_{name}": found.pq for name, found in zip(names, image.by_class, strict=True)}
    counts = {"true": len(image.table.true_ids), "predicted": len(image.table.predicted_ids)}
    return {"sample_id": true.sample_id, "tissue": true.tissue, **counts, **scores_of(image.table), **by_class}


def _table(rows: Sequence[dict[str, Any]]) -> str:
    """A row for each image as CSV; empty where a score is not defined."""
    text = io.StringIO()
    writer = tables.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: "" if value != value else value for name, value in row.items()} for row in rows)
    return text.getvalue()


def _nan_to_null(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _nan_to_null(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_nan_to_null(part) for part in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _some(names: list[str]) -> str:
    return f" ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})" if names else ""
