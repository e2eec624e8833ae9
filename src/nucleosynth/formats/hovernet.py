"""HoVer-Net's labels, in and out: images/<name>.png and labels/<name>.mat, or .npy.

.mat: inst_map and type_map (h w) int32, inst_type (n 1), inst_centroid (n 2: x, y of pixel centres), inst_uid (n 1).
Row k belongs to nucleus inst_uid[k]; where that is missing, as in CoNSeP, to the k-th id in ascending order. Without
inst_type, a nucleus is of the type of most of its pixels in type_map; without both it is a "nucleus". Type 0 is an
unknown one.

.npy: (h, w, 2) int32, ids and types. Read are also (h, w), ids alone, and the patches that HoVer-Net trains on, which
hold the image too: (h, w, 5) RGB, ids, types; (h, w, 4) without types. A nucleus whose pixels are of several types is
counted. Ids keep their order and gaps are closed. Types are numbers: meta.json or meta.toml names them, else they are
"class 1".."class C".

HoVer-Net's own output has labels in mat/ and pictures with outlines in overlay/: put the images into images/ beside
them.
"""

import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
from numpy.typing import NDArray

from nucleosynth.conditions.structure import label_map, pixel_sums
from nucleosynth.data.findings import Note, strictly
from nucleosynth.data.images import ids, read_npy
from nucleosynth.data.matlab import read_mat
from nucleosynth.errors import UserError
from nucleosynth.formats.tile_files import MOST_CLASSES, LabelFiles, read_tiles, write_tiles
from nucleosynth.instances.canvas import Label
from nucleosynth.instances.classes import majority
from nucleosynth.sample import Classes, Image, Instances, Sample

SEVERAL = "nuclei with pixels of several types, the most frequent taken"
TYPELESS = "nuclei without a type, in a file that gives none"
MOST_TYPES = 254
"""What `majority` tells apart."""
_CHANNELS = {2: (0, 1), 4: (3, None), 5: (3, 4)}
"""Where ids and types are in a .npy, by its number of channels."""


def read(where: str, note: Note = strictly) -> Iterator[Sample]:
    """Tiles of a folder with HoVer-Net's labels, in natural order.

    Raises:
        UserError: as `read_tiles` in formats/tile_files.py; ids that are no whole numbers, types out of range, or rows
            that do not fit the nuclei.
    """
    yield from read_tiles(where, FILES, note)


def write(samples: Iterable[Sample], folder: Path | str, overwrite: bool = False) -> int:
    """Write samples with MATLAB labels; see formats/tile_files.py for what is raised."""
    return write_tiles(samples, folder, overwrite, ".mat", _mat)


def write_npy(samples: Iterable[Sample], folder: Path | str, overwrite: bool = False) -> int:
    """Write samples with NumPy labels (h, w, 2); see formats/tile_files.py for what is raised.

    Raises:
        UserError: a nucleus of class 255, for one.
    """
    return write_tiles(samples, folder, overwrite, ".npy", _npy)


def _mat(sample: Sample) -> bytes:
    sums = pixel_sums(*label_map(sample.instances))[1:]
    data = io.BytesIO()
    label = {
        "inst_map": sample.instances,
        "type_map": _type_map(sample),
        "inst_type": sample.classes.astype(np.int32)[:, None],
        "inst_centroid": sums[:, 1:3] / sums[:, :1],
        "inst_uid": np.arange(1, len(sums) + 1, dtype=np.int32)[:, None],
    }
    scipy.io.savemat(data, label, do_compression=True)  # type: ignore[arg-type]  # a file is fine
    return data.getvalue()


def _npy(sample: Sample) -> bytes:
    _check_types(sample.classes, f"sample {sample.sample_id!r}")
    data = io.BytesIO()
    np.save(data, np.stack([sample.instances, _type_map(sample)], axis=2))
    return data.getvalue()


def _type_map(sample: Sample) -> Instances:
    return np.append(np.int32(0), sample.classes.astype(np.int32))[sample.instances]


def _label(path: Path, size: tuple[int, int], class_names: tuple[str, ...] | None) -> Label:
    instances, types, repairs = _from_npy(path) if path.suffix.lower() == ".npy" else _from_mat(path)
    if instances.shape != size:
        raise UserError(
            "label and image differ in size",
            expected=f"a map of {size}, as the image",
            got=str(instances.shape),
            where=str(path),
            mend="pair the label with the image that it was made of",
        )
    if types is None:
        known = class_names is None or len(class_names) == 1
        types = np.full(int(instances.max(initial=0)), known, np.uint8)
        repairs = {} if known or not len(types) else {TYPELESS: len(types)}
    highest = 1 if class_names is None else len(class_names)
    if types.max(initial=0) > highest:
        raise _type_error(f"0 (unknown) or 1..{highest}", f"type {types.max()}", str(path))
    return Label(instances, types.astype(np.uint8), repairs)


def _from_mat(path: Path) -> tuple[Instances, NDArray[Any] | None, dict[str, int]]:
    """Instances without gaps; the type of each, None where the file has none; what was mended."""
    mat = read_mat(path, ("inst_map",), ("type_map", "inst_type", "inst_uid"))
    found = ids(mat["inst_map"], str(path), integral_floats=True)
    present = np.unique(found[found > 0])
    instances = _closed(found, present)
    if "inst_type" not in mat:
        if "type_map" not in mat:
            return instances, None, {}
        return instances, *_of_pixels(instances, mat["type_map"], path)
    types = ids(mat["inst_type"].ravel(), str(path), integral_floats=True)
    rows = ids(mat["inst_uid"].ravel(), str(path), integral_floats=True) if "inst_uid" in mat else present
    if len(types) != len(rows) or not np.array_equal(np.sort(rows), present):
        raise UserError(
            "rows that do not fit the nuclei",
            expected=f"a row of inst_type (and of inst_uid) for each of {len(present)} nuclei of inst_map",
            got=f"{len(types)} types for {len(rows)} ids",
            where=str(path),
            mend="write the label again",
        )
    return instances, types[np.argsort(rows)], {}


def _from_npy(path: Path) -> tuple[Instances, NDArray[Any] | None, dict[str, int]]:
    """As `_from_mat`."""
    pixels, types = _maps(path)
    found = ids(pixels, str(path), integral_floats=True)
    instances = _closed(found, np.unique(found[found > 0]))
    return (instances, None, {}) if types is None else (instances, *_of_pixels(instances, types, path))


def _maps(path: Path) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Ids and types of pixels in a .npy; None where it has no types."""
    array = read_npy(path)
    array = array[..., None] if array.ndim == 2 else array
    channels = array.shape[2] if array.ndim == 3 else 0
    if channels not in (1, *_CHANNELS) or array.dtype.kind not in "iuf":
        raise UserError(
            "not a HoVer-Net label",
            expected="numbers (h, w), (h, w, 2: ids, types), (h, w, 4: RGB, ids) or (h, w, 5: RGB, ids, types)",
            got=f"{array.dtype} {array.shape}",
            where=str(path),
            mend="write the label again in one of these forms",
        )
    of_ids, of_types = _CHANNELS.get(channels, (0, None))
    return array[..., of_ids], None if of_types is None else array[..., of_types]


def _closed(found: Instances, present: Instances) -> Instances:
    """The ids that are present as 1..n, in their order; they may be large."""
    return np.where(found > 0, np.searchsorted(present, found) + 1, 0).astype(np.int32)


def _of_pixels(instances: Instances, pixels: NDArray[Any], path: Path) -> tuple[Classes, dict[str, int]]:
    """The type of most pixels of each nucleus; how many have several."""
    pixels = ids(pixels, str(path), integral_floats=True)
    if pixels.shape != instances.shape:
        raise UserError(
            "maps of different sizes",
            expected=f"types {instances.shape}, as ids",
            got=str(pixels.shape),
            where=str(path),
            mend="write the label again",
        )
    _check_types(pixels, str(path))
    of_one_pixel = np.zeros(int(instances.max(initial=0)) + 1, np.int32)
    of_one_pixel[instances] = pixels
    differs = (of_one_pixel[instances] != pixels) & (instances > 0)
    several = len(np.unique(instances[differs]))
    return majority(instances, pixels), {SEVERAL: several} if several else {}


def _image(path: Path) -> Image:
    """The image that a training patch holds."""
    array = read_npy(path) if path.suffix.lower() == ".npy" else np.zeros(0)
    if array.ndim != 3 or array.shape[2] not in (4, 5):
        raise UserError(
            "a label without its image",
            expected="an image of the same name in images/, or one in the file: (h, w, 5: RGB, ids, types)",
            got="none; pictures in overlay/ are not the images",
            where=str(path),
            mend="put the images that HoVer-Net was run on into images/ beside the folder of the labels",
        )
    image = ids(array[..., :3], str(path), integral_floats=True)
    if image.max(initial=0) > 255:
        raise UserError(
            "not an RGB image",
            expected="values 0..255",
            got=str(image.max()),
            where=str(path),
            mend="write the patch again, with an image of 8 bits",
        )
    return np.ascontiguousarray(image.astype(np.uint8))


def _words(path: Path) -> Sequence[str]:
    """Names for all types up to the largest that occurs, be it in a single pixel."""
    if path.suffix.lower() == ".npy":
        types = _maps(path)[1]
    else:
        mat = read_mat(path, (), ("inst_type",)) or read_mat(path, (), ("type_map",))
        types = next(iter(mat.values()), None)
    highest = 0 if types is None else int(ids(types, str(path), integral_floats=True).max(initial=0))
    if highest > MOST_CLASSES:
        raise _type_error(f"0 (unknown) or 1..{MOST_CLASSES}", f"type {highest}", str(path))
    return [f"class {k}" for k in range(1, highest + 1)]


def _check_types(types: NDArray[Any], where: str) -> None:
    if types.max(initial=0) > MOST_TYPES:
        raise _type_error(f"0 (unknown) or 1..{MOST_TYPES}", f"type {types.max()}", where)


def _type_error(expected: str, got: str, where: str) -> UserError:
    mend = "name all classes in meta.toml, or correct the label"
    return UserError("a type out of range", expected=expected, got=got, where=where, mend=mend)


FILES = LabelFiles("hovernet", (".mat", ".npy"), _label, _words, ("mat",), ("overlay",), _image)
