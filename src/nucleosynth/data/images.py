"""Image files to arrays and back: a file is decoded whole, or refused by name.

OpenCV 4 returns the upper part of a truncated PNG or JPEG as if it were the whole (5 refuses it); here a PNG's chunks
and a JPEG's end mark are checked before either decodes it. PNG and JPEG go through OpenCV (orientation tags are not
applied: labels are drawn on the stored pixels), TIFF through tifffile, or OpenCV where the compression needs a codec
that tifffile lacks.
"""

import io
import math
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray

from nucleosynth.errors import UserError
from nucleosynth.sample import Image, Instances

IMAGE_SUFFIXES = (".png", ".tif", ".tiff", ".jpg", ".jpeg")
LABEL_SUFFIXES = (".png", ".tif", ".tiff", ".npy")
PNG_LARGEST_ID = 65535
LARGEST_PX = 1 << 28
"""Pixels of one image (16384^2): a small file can claim more than the memory holds."""
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def read_image(path: Path) -> Image:
    """The RGB image of a file; an alpha channel is dropped.

    Raises:
        UserError: truncated, not an image, not 8 bit, or without colour.
    """
    return rgb(decode(_bytes(path), str(path)), str(path))


def read_map(path: Path) -> NDArray[Any]:
    """The (h w) array of a label file (PNG, TIFF, NPY), in the type that it is stored in.

    Raises:
        UserError: truncated, not an array, or not two-dimensional (a colour picture is no instance map).
    """
    array = read_npy(path) if path.suffix.lower() == ".npy" else decode(_bytes(path), str(path))
    if array.ndim != 2 or array.dtype.kind not in "biuf":
        raise UserError(
            "not an instance map",
            expected="one number a pixel (h, w): 0 background, nuclei from 1",
            got=f"{array.dtype} {array.shape}",
            where=str(path),
            mend="save ids as a 16-bit grey PNG (no palette, no colours), a TIFF, or a NumPy array",
        )
    return array


def read_npy(path: Path) -> NDArray[Any]:
    """A NumPy array; nothing that is loaded can run code.

    Raises:
        UserError: not a NumPy file, truncated, or an array of Python objects.
    """
    try:
        # Mapped: a header that claims more than the file holds is refused before memory is asked for.
        mapped: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # NumPy's parser of headers raises errors of many kinds for damaged ones
        raise broken(str(path), "a NumPy array (.npy) of numbers", str(error)) from error
    return np.array(mapped)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise broken(str(path), "a file that can be read", error.strerror or str(error)) from error


def decode(data: bytes, where: str) -> NDArray[Any]:
    """An image file's content: (h w) or (h w c), RGB order; `where` names it in errors.

    Raises:
        UserError: truncated or not an image.
    """
    if data[:2] in (b"II", b"MM"):
        return _decode_tiff(data, where)
    if data.startswith(_PNG_SIGNATURE):
        flaw = _png_flaw(data)
    elif data.startswith(b"\xff\xd8"):
        # Coded data stuff every 0xff, so that both marks are what they seem; the last scan must be followed by the end.
        flaw = "" if data.rfind(b"\xff\xd9") > data.rfind(b"\xff\xda") else "it ends before the JPEG's end mark"
    else:
        flaw = "an empty file" if not data else f"it begins with {data[:4]!r}"
    if not flaw:
        _check_px(_claimed_size(data), where)
    array = None if flaw else _opencv(data)
    if array is None:
        raise broken(where, "a whole PNG, TIFF or JPEG", flaw or "OpenCV cannot decode it")
    return array


def rgb(array: NDArray[Any], where: str) -> Image:
    """An RGB image out of a decoded file, alpha dropped.

    Raises:
        UserError: not 8 bit, or without colour.
    """
    if array.ndim != 3 or array.shape[2] not in (3, 4) or array.dtype != np.uint8:
        raise UserError(
            "not an RGB image",
            expected="8-bit RGB or RGBA (h, w, 3 or 4)",
            got=f"{array.dtype} {array.shape}",
            where=where,
            mend="save the tile as 8-bit RGB",
        )
    return np.ascontiguousarray(array[:, :, :3])


def pixels(array: NDArray[Any], where: str) -> Image:
    """Whole numbers 0..255 of any type (h w 3) as an RGB image.

    Raises:
        UserError: other values.
    """
    low, high = array.min(initial=0), array.max(initial=0)
    if not (low >= 0 and high <= 255 and (array.dtype.kind != "f" or (array == np.floor(array)).all())):
        raise UserError(
            "not the pixels of an image",
            expected="whole numbers 0..255",
            got=f"{array.dtype} values from {low} to {high}",
            where=where,
            mend="save the images as uint8",
        )
    return np.ascontiguousarray(array, np.uint8)


def ids(array: NDArray[Any], where: str, integral_floats: bool = False) -> Instances:
    """A label map as int32 ids, gaps kept; with `integral_floats`, whole numbers stored as floats are accepted.

    Raises:
        UserError: fractions (or any float, unless accepted), negative ids, or ids beyond int32.
    """
    if array.dtype.kind not in "biuf":
        raise broken(where, "an array of numbers", f"{array.dtype}")
    low, high = (array.min(initial=0), array.max(initial=0)) if array.dtype.kind != "b" else (0, 1)
    whole = array.dtype.kind != "f" or (integral_floats and bool((array == np.floor(array)).all()))
    if not whole or low < 0 or high > np.iinfo(np.int32).max:
        raise UserError(
            "not instance ids",
            expected="whole numbers, stored as integers: 0 background, nuclei from 1",
            got=f"{array.dtype} values from {low} to {high}",
            where=where,
            mend="save the map as uint16 or int32; every nucleus has one positive id",
        )
    return array.astype(np.int32)


def encode_image(image: Image) -> bytes:
    """PNG of an RGB image."""
    return _encode(image[:, :, ::-1])


def encode_map(instances: Instances, where: str) -> bytes:
    """16-bit grey PNG of an instance map.

    Raises:
        UserError: more than 65535 nuclei.
    """
    largest = int(instances.max(initial=0))
    if largest > PNG_LARGEST_ID:
        raise UserError(
            "too many nuclei for a 16-bit PNG",
            expected=f"at most {PNG_LARGEST_ID} nuclei a tile",
            got=str(largest),
            where=where,
            mend="cut the tile into smaller ones, or write another format (--to tiff)",
        )
    return _encode(instances.astype(np.uint16))


def _encode(array: NDArray[Any]) -> bytes:
    done, data = cv2.imencode(".png", np.ascontiguousarray(array))
    assert done, "OpenCV encodes every 8- and 16-bit array"
    return bytes(data)


def _opencv(data: bytes) -> NDArray[Any] | None:
    array = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if array is None or array.ndim == 2:
        return array
    order = [2, 1, 0, 3][: array.shape[2]]
    return np.ascontiguousarray(array[:, :, order])


def _decode_tiff(data: bytes, where: str) -> NDArray[Any]:
    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            shape = file.series[0].shape
            _check_px(shape[:-1] if shape[-1] in (3, 4) else shape, where)
            array: NDArray[Any] | None = file.asarray()
    except ValueError as error:
        array = _opencv(data) if "imagecodecs" in str(error) else None
        if array is None:
            raise broken(where, "a whole TIFF", str(error)) from error
    except UserError:
        raise
    except Exception as error:  # tifffile and its codecs raise errors of a dozen kinds for broken files
        raise broken(where, "a whole TIFF", str(error)) from error
    assert array is not None
    return array


def _check_px(size: tuple[int, ...], where: str) -> None:
    """Refuse an image that claims more than `LARGEST_PX`: size (h w) or (w h)."""
    if math.prod(size) > LARGEST_PX:
        raise UserError(
            "an image too large to be a tile",
            expected=f"at most {LARGEST_PX} px",
            got=" x ".join(map(str, size)) + " px",
            where=where,
            mend="cut the slide into tiles",
        )


def _claimed_size(data: bytes) -> tuple[int, ...]:
    """The size that the header of a whole PNG or JPEG states; (0, 0) where a JPEG has no frame."""
    if data.startswith(_PNG_SIGNATURE):
        return struct.unpack(">II", data[16:24])
    place = 2
    while place + 9 < len(data) and data[place] == 0xFF:
        kind, length = data[place + 1], int.from_bytes(data[place + 2 : place + 4], "big")
        if 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):  # a frame, and no table
            return struct.unpack(">HH", data[place + 5 : place + 9])
        place += 2 if kind == 0xFF else 2 + length
    return 0, 0


def _png_flaw(data: bytes) -> str:
    position = len(_PNG_SIGNATURE)
    while position + 12 <= len(data):
        length, kind = struct.unpack(">I4s", data[position : position + 8])
        end = position + 8 + length
        if end + 4 > len(data):
            break
        if zlib.crc32(data[position + 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
            return f"its chunk {kind!r} is damaged"
        if kind == b"IEND":
            return ""
        position = end + 4
    return "it ends before the PNG's end mark"


def broken(where: str, expected: str, got: str) -> UserError:
    """The error for a file that cannot be read."""
    return UserError(
        "a broken file",
        expected=expected,
        got=got.splitlines()[0] if got else "nothing",
        where=where,
        mend="copy or export the file again",
    )
