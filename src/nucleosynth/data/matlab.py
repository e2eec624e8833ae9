"""MATLAB files (5 to 7.2) to arrays of numbers: only numbers, of a size that fits, and nothing that could run.

SciPy's reader ends the whole process on some damaged files (a tag of an unknown type), which no error handling can
catch, and inflates whatever a small file claims. Labels are plain numeric matrices, so this reads those and refuses the
rest. A file is a header of 128 bytes and elements of tag (type, bytes) and content; an element is a matrix, or one
deflated; a matrix is elements in turn: flags, size, name, numbers (MATLAB's "MAT-File Level 5 File Format").
"""

import math
import struct
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nucleosynth.data.images import broken
from nucleosynth.errors import UserError

LARGEST_BYTES = 1 << 30
"""Of one variable."""
_HEADER = 128
_ORDERS = {b"IM": "<", b"MI": ">"}
_STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
"""Types of elements that are numbers."""
_CLASSES = dict(zip(range(6, 16), ("f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"), strict=True))
"""Classes of matrices that are numbers."""
_NAMES, _MATRIX, _DEFLATED = (1, 2, 16), 14, 15
_COMPLEX = 1 << 11


class _Element(NamedTuple):
    kind: int
    content: bytes


class _Flaw(Exception):
    """What is wrong with a file, in words."""


def read_mat(path: Path, wanted: Iterable[str], optional: Iterable[str] = ()) -> dict[str, NDArray[Any]]:
    """The variables of a MATLAB file by name: arrays of real numbers.

    Raises:
        UserError: no MATLAB file of version 5 to 7.2, or a damaged one; a wanted variable is missing, no array of real
            numbers, or over a GiB.
    """
    wanted, names = tuple(wanted), (*wanted, *optional)
    try:
        data = path.read_bytes()
        found = dict(_variables(data, _order(data, path), names))
        lacking = [name for name in wanted if name not in found]
        if lacking:
            raise _Flaw(f"{', '.join(lacking)} missing")
    except (_Flaw, OSError, zlib.error) as error:
        raise broken(str(path), f"a MATLAB file with {' and '.join(wanted or names)}", str(error)) from error
    return {name: found[name] for name in names if name in found}


def _order(data: bytes, path: Path) -> str:
    """The order of bytes, "<" or ">"."""
    order = _ORDERS.get(data[126:_HEADER])
    if order is None:
        raise _Flaw(f"it begins with {data[:8]!r}" if data else "an empty file")
    if struct.unpack(f"{order}H", data[124:126])[0] >= 0x0200:
        raise UserError(
            "a MATLAB file of version 7.3",
            expected="version 5 to 7.2",
            got="HDF5",
            where=str(path),
            mend="save it again with save(..., '-v7')",
        )
    return order


def _variables(data: bytes, order: str, names: Iterable[str]) -> Iterator[tuple[str, NDArray[Any]]]:
    for element in _elements(data[_HEADER:], order):
        if element.kind == _DEFLATED:
            (element,) = _elements(_inflated(element.content, order), order)
        if element.kind == _MATRIX:
            yield from _matrix(element.content, order, names)


def _inflated(content: bytes, order: str) -> bytes:
    claim = zlib.decompressobj().decompress(content, 8)
    claimed = struct.unpack(f"{order}II", claim)[1] if len(claim) == 8 else 0
    if claimed > LARGEST_BYTES:
        raise _Flaw(f"a variable that claims {claimed} bytes, where at most 1 GiB is read")
    inflater = zlib.decompressobj()
    inflated = inflater.decompress(content, LARGEST_BYTES)
    if not inflater.eof:
        raise _Flaw("a variable that ends early")
    return inflated


def _elements(data: bytes, order: str) -> Iterator[_Element]:
    """The elements of some content; the one that is deflated is not padded to 8 bytes, the others are."""
    place = 0
    while place + 8 <= len(data):
        kind, length = struct.unpack_from(f"{order}II", data, place)
        if kind >> 16:  # up to four bytes of content stand in the tag itself
            kind, length, start = kind & 0xFFFF, kind >> 16, place + 4
            following = place + 8
        else:
            start = place + 8
            following = start + length + (0 if kind == _DEFLATED else -length % 8)
        if start + length > len(data) or (start == place + 4 and length > 4):
            raise _Flaw("an element that ends early")
        yield _Element(kind, data[start : start + length])
        place = following
    if data[place:].strip(b"\0"):
        raise _Flaw("bytes after the last element")


def _matrix(content: bytes, order: str, names: Iterable[str]) -> Iterator[tuple[str, NDArray[Any]]]:
    """A matrix under its name, if that is wanted."""
    parts = list(_elements(content, order))
    if len(parts) < 3 or [parts[0].kind, parts[1].kind] != [6, 5] or parts[2].kind not in _NAMES:
        raise _Flaw("a matrix without flags, size or name")
    name = parts[2].content.decode("utf-8", "replace")
    if name not in names:
        return
    flags, size = parts[0].content, np.frombuffer(parts[1].content[: len(parts[1].content) // 4 * 4], f"{order}i4")
    if len(flags) != 8 or len(size) < 2 or (size < 0).any():
        raise _Flaw(f"{name} of no size")
    word = struct.unpack(f"{order}I", flags[:4])[0]
    stored = _STORED.get(parts[3].kind) if len(parts) > 3 else None
    if word & 0xFF not in _CLASSES or word & _COMPLEX or stored is None:
        raise _Flaw(f"{name} is no array of real numbers")
    if len(parts[3].content) != math.prod(size.tolist()) * np.dtype(stored).itemsize:
        raise _Flaw(f"{name} of another size than it says")
    numbers = np.frombuffer(parts[3].content, order + stored).astype(_CLASSES[word & 0xFF])
    yield name, numbers.reshape(size.tolist(), order="F")
