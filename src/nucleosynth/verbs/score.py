"""`nucleosynth score`: predicted against true nuclei, image by image and pooled."""

import math
from collections.abc import Iterable, Iterator
from json import dumps
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from nucleosynth.data.reader import read
from nucleosynth.errors import UserError
from nucleosynth.metrics import classification, instance
from nucleosynth.metrics.classification import Nuclei
from nucleosynth.progress import say
from nucleosynth.run import write_whole
from nucleosynth.sample import Classes, Instances
from nucleosynth.verbs.options import Prediction, Truth

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


def score(
    truth: Truth, prediction: Prediction, *, classes: str | None = None, json: Path | None = None
) -> dict[str, Any]:
    """Compare predicted with true nuclei: two data of the same tiles, matched by sample_id.

    Returns what is written as JSON. "images": sample_id, dice, dice2, aji, aji_plus, dq, sq, pq of each. "mean": their
    means over images, and f_d, accuracy and f_<class> of all nuclei together. "left_out": of how many images a score is
    not defined. "radius_px": within which centroids are paired, 3 um, or 12 px where the truth states no resolution.
    "labelled_as": how the truth was labelled. A score that is not defined (of an image without nuclei) is null and left
    out of means. Predictions without classes get f_d alone.

    Args:
        truth: the true nuclei: name:path, or the path of a store; names are in `nucleosynth list`.
        prediction: the predicted nuclei of the same tiles and classes.
        classes: read both in this class scheme: a name of `nucleosynth list`, or a TOML file.
        json: write the scores to this file.

    Raises:
        UserError: data that cannot be read; a tile that only one side has; sizes or class names that differ; truths of
            several resolutions, or points without masks.
    """
    labels = list(_pairs(truth, prediction, classes))
    by_image = [instance.scores(true.instances, found.instances) for true, found in labels]
    means = instance.mean(by_image)
    radius_px = _radius(labels, truth)
    labelled_as = sorted({true.labelled_as for true, _ in labels})
    result = {
        "mean": {name: mean.value for name, mean in means.items()} | _class_scores(labels, radius_px),
        "images": [{"sample_id": true.sample_id, **found} for (true, _), found in zip(labels, by_image, strict=True)],
        "left_out": {name: mean.left_out for name, mean in means.items()},
        "radius_px": radius_px,
        "labelled_as": labelled_as,
    }
    if json:
        write_whole(json, dumps(_nan_to_null(result), indent=1))
    _print(result)
    if "derived" in labelled_as:
        say("these truths are masks grown from points, not drawn ones: the scores are no judge of outlines")
    return result


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
        fields = (sample.instances, sample.classes, sample.class_names, sample.mpp, sample.labelled_as)
        labels[sample.sample_id] = _Label(sample.sample_id, *fields)
    return labels


def _radius(labels: Iterable[tuple[_Label, _Label]], truth: str) -> float:
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
    if mpp is None:
        say(f"the truth states no resolution: centroids are paired within {PUBLISHED_RADIUS_PX:g} px, as at 40x")
        return PUBLISHED_RADIUS_PX
    return classification.radius_at(mpp)


def _class_scores(labels: list[tuple[_Label, _Label]], radius_px: float) -> dict[str, float]:
    names = labels[0][0].class_names
    if all(found.class_names == names for _, found in labels):
        return classification.scores(((_nuclei(true), _nuclei(found)) for true, found in labels), names, radius_px)
    say("the predictions tell no classes apart: f_d alone is scored")
    untyped = ((_untyped(_nuclei(true)), _untyped(_nuclei(found))) for true, found in labels)
    return {"f_d": classification.scores(untyped, (), radius_px)["f_d"]}


def _nuclei(label: _Label) -> Nuclei:
    return classification.nuclei(label.instances, label.classes)


def _untyped(nuclei: Nuclei) -> Nuclei:
    return nuclei._replace(classes=np.zeros_like(nuclei.classes))


def _nan_to_null(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _nan_to_null(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_nan_to_null(part) for part in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _some(names: list[str]) -> str:
    return f" ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})" if names else ""


def _print(result: dict[str, Any]) -> None:
    table = Table(title=f"{len(result['images'])} images", title_justify="left", show_header=False, box=None)
    for name, value in result["mean"].items():
        left_out = result["left_out"].get(name, 0)
        table.add_row(
            name,
            "undefined" if math.isnan(value) else f"{value:.4f}",
            f"without {left_out} images that have no nuclei on either side" if left_out else "",
        )
    Console(highlight=False, markup=False).print(table)
