"""A Sample as a row of the store, and back.

image and instances are {bytes, path} with an 8-bit RGB and a 16-bit grey PNG; classes[k - 1] is the class of nucleus k;
points are null or x, y, class each; quality and provenance are JSON. Class names and the version of this schema stand
in the Parquet schema's metadata, next to the features that make Hugging Face `datasets` decode both PNGs.
"""

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa

from nucleosynth.data.images import broken, decode, encode_image, encode_map, ids, rgb
from nucleosynth.errors import UserError
from nucleosynth.sample import Layout, Sample

SCHEMA_VERSION = 1
_OURS = b"nucleosynth"
_TEXTS = ("tissue", "stain", "caption", "source", "split", "licence", "labelled_as", "class_scheme")
_ADDED = {"class_scheme": ""}
"""Columns that stores of the first release lack, and what they then hold."""
_NULLABLE = ("points", "mpp")
_FILE = pa.struct({"bytes": pa.binary(), "path": pa.string()})
_POINT = pa.struct({"x": pa.float32(), "y": pa.float32(), "class": pa.uint8()})
_COLUMNS = {
    "sample_id": pa.string(),
    "image": _FILE,
    "instances": _FILE,
    "classes": pa.list_(pa.uint8()),
    "points": pa.list_(_POINT),
    "mpp": pa.float64(),
    **{name: pa.string() for name in (*_TEXTS, "provenance", "quality")},
}


def schema(class_names: tuple[str, ...]) -> pa.Schema:
    """The Parquet schema of a store with these classes."""
    ours = {"schema": SCHEMA_VERSION, "class_names": class_names}
    features = {name: _feature(kind) for name, kind in _COLUMNS.items()}
    metadata = {_OURS: json.dumps(ours), b"huggingface": json.dumps({"info": {"features": features}})}
    return pa.schema(_COLUMNS, metadata=metadata)


def class_names_of(found: pa.Schema, where: str) -> tuple[str, ...]:
    """The class names that a shard's schema holds.

    Raises:
        UserError: the schema is of no store, or of a later version of one.
    """
    ours = json.loads((found.metadata or {}).get(_OURS, "{}"))
    if ours.get("schema") != SCHEMA_VERSION or not set(_COLUMNS) - set(_ADDED) <= set(found.names):
        later = ours.get("schema", 0) > SCHEMA_VERSION
        raise UserError(
            "a store of a later version" if later else "a Parquet file that is no store",
            expected=f"shards written by nucleosynth, schema {SCHEMA_VERSION}",
            got=f"schema {ours['schema']}" if later else f"columns {', '.join(found.names[:6])}",
            where=where,
            mend="update nucleosynth" if later else "give a folder made by `nucleosynth convert` or `generate`",
        )
    return tuple(ours["class_names"])


def to_table(samples: Sequence[Sample]) -> pa.Table:
    """Samples of the same class names as a table.

    Raises:
        UserError: class names differ, or a tile has more than 65535 nuclei.
    """
    names = samples[0].class_names
    for sample in samples:
        for found in (sample.class_names, sample.points.class_names if sample.points else names):
            if found != names:
                raise other_classes(names, found, sample.sample_id)
    # OpenCV codes PNGs without Python's lock, so every core has its share.
    with ThreadPoolExecutor() as pool:
        rows = list(pool.map(_row, samples))
    return pa.Table.from_pylist(rows, schema=schema(names))


def other_classes(names: tuple[str, ...], found: tuple[str, ...], sample_id: str) -> UserError:
    """The error for samples whose classes are not those of their store."""
    return UserError(
        "samples of different classes",
        expected=f"classes {', '.join(names)}",
        got=", ".join(found),
        where=f"sample {sample_id!r}",
        mend="write data of different classes into different stores",
    )


def to_sample(row: Mapping[str, Any], class_names: tuple[str, ...], where: str) -> Sample:
    """The Sample of a row.

    Raises:
        UserError: a PNG that is broken, or fields that contradict each other; `where` names the shard.
    """
    where = f"{where}, sample {row['sample_id']!r}"
    lacking = [name for name in _COLUMNS if name not in _NULLABLE and row.get(name) is None and name not in _ADDED]
    if lacking or row["image"]["bytes"] is None or row["instances"]["bytes"] is None:
        raise broken(where, "a whole row of a store", f"no {lacking[0] if lacking else 'bytes of image or instances'}")
    instances = ids(decode(row["instances"]["bytes"], where), where)
    points = row["points"]
    return Sample(
        sample_id=row["sample_id"],
        image=rgb(decode(row["image"]["bytes"], where), where),
        instances=instances,
        classes=np.array(row["classes"], np.uint8),
        class_names=class_names,
        mpp=row["mpp"],
        points=None if points is None else _layout(points, instances.shape, class_names, row["mpp"]),
        provenance=_table(row["provenance"], where),
        quality=_table(row["quality"], where),
        **{name: row.get(name, _ADDED.get(name)) for name in _TEXTS},
    )


def _row(sample: Sample) -> dict[str, Any]:
    name, points = sample.sample_id, sample.points
    return {
        "sample_id": name,
        "image": {"bytes": encode_image(sample.image), "path": f"{name}.png"},
        "instances": {
            "bytes": encode_map(sample.instances, f"sample {name!r}"),
            "path": f"{name}_instances.png",
        },
        "classes": sample.classes.tolist(),
        "points": None
        if points is None
        else [{"x": x, "y": y, "class": kind} for (x, y), kind in zip(points.xy, points.classes, strict=True)],
        "mpp": sample.mpp,
        **{text: getattr(sample, text) for text in _TEXTS},
        "provenance": json.dumps(dict(sample.provenance), sort_keys=True),
        "quality": json.dumps(dict(sample.quality), sort_keys=True),
    }


def _table(text: str, where: str) -> dict[str, Any]:
    try:
        table = json.loads(text)
    except ValueError as error:
        raise broken(where, "JSON", str(error)) from error
    if not isinstance(table, dict):
        raise broken(where, "a JSON object", type(table).__name__)
    return table


def _layout(
    points: Sequence[Mapping[str, Any]], size: tuple[int, ...], class_names: tuple[str, ...], mpp: float | None
) -> Layout:
    xy = np.array([(point["x"], point["y"]) for point in points], np.float32).reshape(-1, 2)
    classes = np.array([point["class"] for point in points], np.uint8)
    return Layout(xy, classes, (size[0], size[1]), class_names, mpp)


def _feature(kind: pa.DataType) -> Any:
    """What `datasets` calls a column of this type."""
    if kind == _FILE:
        return {"_type": "Image"}
    if pa.types.is_list(kind):
        return [_feature(kind.value_type)]
    if pa.types.is_struct(kind):
        return {field.name: _feature(field.type) for field in kind}
    return {"_type": "Value", "dtype": {pa.float32(): "float32", pa.float64(): "float64"}.get(kind, str(kind))}
