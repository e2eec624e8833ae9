"""A Sample as a row of the store, and back.

image and instances are {bytes, path} with an 8-bit RGB and a 16-bit grey PNG; classes[k - 1] is the class of nucleus k;
points are null or x, y, class each; quality and provenance are JSON. Class names and the version of this schema stand
in the Parquet schema's metadata, next to the features that make Hugging Face `datasets` decode both PNGs.

A tile of more than 65535 nuclei has its instances as a 32-bit TIFF (path NAME_instances.tif) in the same column. This
package reads it as it is; `datasets` hands it to Pillow, which knows no 32-bit unsigned TIFF: read the bytes there.
"""

import io
import json
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa
import tifffile

from nucleosynth.data.files import json_table
from nucleosynth.data.images import PNG_LARGEST_ID, broken, decode, encode_image, encode_map, ids, rgb
from nucleosynth.errors import UserError
from nucleosynth.sample import Layout, Sample

Row = dict[str, Any]
"""A value for each column of the store."""

SCHEMA_VERSION = 1
AHEAD = 32
AHEAD_BYTES = 64 << 20
"""Samples that are coded at once: so many, or so many bytes of pixels and ids, but always one."""
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
    ours = json_table((found.metadata or {}).get(_OURS, b"{}"), where)
    version, names = ours.get("schema"), ours.get("class_names")
    whole = set(_COLUMNS) - set(_ADDED) <= set(found.names) and isinstance(names, list)
    if version != SCHEMA_VERSION or not whole:
        later = isinstance(version, int) and version > SCHEMA_VERSION
        raise UserError(
            "a store of a later version" if later else "a Parquet file that is no store",
            expected=f"shards written by nucleosynth, schema {SCHEMA_VERSION}",
            got=f"schema {version}" if later else f"columns {', '.join(found.names[:6])}",
            where=where,
            mend="update nucleosynth" if later else "give a folder made by `nucleosynth convert` or `generate`",
        )
    return tuple(map(str, names or ()))


def to_rows(samples: Iterable[Sample], class_names: tuple[str, ...]) -> Iterator[Row]:
    """Samples as rows, in order, as they come: a few are coded ahead on all cores, and no more are held.

    Raises:
        UserError: a sample of other classes.
    """
    coming: deque[tuple[int, Future[Row]]] = deque()
    # OpenCV codes PNGs without Python's lock, so every core has its share.
    with ThreadPoolExecutor() as pool:
        for sample in samples:
            for found in (sample.class_names, sample.points.class_names if sample.points else class_names):
                if found != class_names:
                    raise other_classes(class_names, found, sample.sample_id)
            size = sample.image.nbytes + sample.instances.nbytes
            while coming and (len(coming) == AHEAD or size + sum(each for each, _ in coming) > AHEAD_BYTES):
                yield coming.popleft()[1].result()
            coming.append((size, pool.submit(_row, sample)))
        while coming:
            yield coming.popleft()[1].result()


def to_table(rows: Sequence[Row], class_names: tuple[str, ...]) -> pa.Table:
    """Rows as a table of a store with these classes."""
    return pa.Table.from_pylist(rows, schema=schema(class_names))


def coded_bytes(row: Row) -> int:
    """Bytes of the image and the instances of a row, as they are coded."""
    return len(row["image"]["bytes"]) + len(row["instances"]["bytes"])


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
    files = {name: row[name].get("bytes") for name in ("image", "instances") if isinstance(row.get(name), dict)}
    if lacking or len(files) < 2 or None in files.values():
        raise broken(where, "a whole row of a store", f"no {lacking[0] if lacking else 'bytes of image or instances'}")
    instances = ids(decode(files["instances"], where), where)
    points = row["points"]
    return Sample(
        sample_id=row["sample_id"],
        image=rgb(decode(files["image"], where), where),
        instances=instances,
        classes=np.array(row["classes"], np.uint8),
        class_names=class_names,
        mpp=row["mpp"],
        points=None if points is None else _layout(points, instances.shape, class_names, row["mpp"]),
        provenance=json_table(row["provenance"], where),
        quality=json_table(row["quality"], where),
        **{name: row.get(name, _ADDED.get(name)) for name in _TEXTS},
    )


def _row(sample: Sample) -> Row:
    name, points = sample.sample_id, sample.points
    return {
        "sample_id": name,
        "image": {"bytes": encode_image(sample.image), "path": f"{name}.png"},
        "instances": _label(sample),
        "classes": sample.classes.tolist(),
        "points": None
        if points is None
        else [{"x": x, "y": y, "class": kind} for (x, y), kind in zip(points.xy, points.classes, strict=True)],
        "mpp": sample.mpp,
        **{text: getattr(sample, text) for text in _TEXTS},
        "provenance": json.dumps(dict(sample.provenance), sort_keys=True),
        "quality": json.dumps(dict(sample.quality), sort_keys=True),
    }


def _label(sample: Sample) -> dict[str, Any]:
    name = f"{sample.sample_id}_instances"
    if len(sample.classes) <= PNG_LARGEST_ID:
        return {"bytes": encode_map(sample.instances, f"sample {sample.sample_id!r}"), "path": f"{name}.png"}
    data = io.BytesIO()
    tifffile.imwrite(data, sample.instances.astype(np.uint32), compression="zlib", photometric="minisblack")
    return {"bytes": data.getvalue(), "path": f"{name}.tif"}


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
