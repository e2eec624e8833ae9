"""NumPy files larger than the memory, read a row at a time.

The header is looked at first: an array of Python objects is refused (it could run code), and so is one that claims more
than its file holds. Each row is then read through a map of its own, for the pages of a map stay in the process's memory
as long as the map is open. A file in Fortran order has every row spread over all of it; small ones are read.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from nucleosynth.data.images import broken
from nucleosynth.errors import UserError

LARGEST_FORTRAN = 1 << 28
"""Bytes of an array in Fortran order that is still read."""


@dataclass(frozen=True)
class Rows:
    """An array in a file: `rows[k]` is a copy of its k-th row; nothing else of it is held."""

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int
    """Bytes before the first number."""
    fortran: bool

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, k: int) -> NDArray[Any]:
        return np.array(self._map()[k])

    def texts(self) -> tuple[str, ...]:
        """All rows of a one-dimensional array of texts.

        Raises:
            UserError: bytes that are no text.
        """
        if not len(self):
            return ()
        # NumPy would make strings of numbers that are no characters.
        rows = np.array(self._map()).view(f"V{self.dtype.itemsize}")
        codec = {"<": "utf-32-le", ">": "utf-32-be", "|": "utf-8"}[self.dtype.str[0]]
        try:
            return tuple(row.tobytes().decode(codec).rstrip("\0") for row in rows)
        except ValueError as error:
            raise broken(str(self.path), "texts", str(error)) from error

    def _map(self) -> NDArray[Any]:
        try:
            return np.memmap(self.path, self.dtype, "r", self.offset, self.shape, "F" if self.fortran else "C")
        except (ValueError, OSError) as error:  # it was whole when it was opened
            raise broken(str(self.path), f"{self.dtype} {self.shape}, as before", str(error)) from error


def open_rows(path: Path, shape: tuple[int | None, ...], kinds: str) -> Rows:
    """The array in a .npy file; nothing but its header is read.

    Args:
        shape: the shape that is wanted, None where any length will do.
        kinds: the kinds of numbers that will do, as NumPy's `dtype.kind` ("iuf"; "US" for texts).

    Raises:
        UserError: no NumPy file, one that is cut short, an array of objects, of another shape or kind, or a large one
            in Fortran order.
    """
    rows = _header(path)
    fits = len(rows.shape) == len(shape) and all(
        want in (None, got) for want, got in zip(shape, rows.shape, strict=True)
    )
    if not fits or rows.dtype.kind not in kinds or not rows.dtype.itemsize:
        wanted = ", ".join("n" if length is None else str(length) for length in shape)
        raise UserError(
            "an array of another form",
            expected=f"{'texts' if 'U' in kinds else 'numbers'} ({wanted})",
            got=f"{rows.dtype} {rows.shape}",
            where=str(path),
            mend="save it as plain numbers or texts: objects could run code"
            if rows.dtype.hasobject
            else "check that the files of one release lie together, or unpack it again",
        )
    claimed, held = math.prod(rows.shape) * rows.dtype.itemsize, path.stat().st_size - rows.offset
    if claimed > held or min(rows.shape) < 0:
        raise broken(str(path), f"the {claimed} bytes of {rows.dtype} {rows.shape}", f"{held} bytes")
    if rows.fortran and claimed > LARGEST_FORTRAN:
        raise UserError(
            "a large array in Fortran order",
            expected="C order, in which a tile lies in one piece",
            got=f"{claimed} bytes in Fortran order",
            where=str(path),
            mend="load it and save it again with np.save(path, np.ascontiguousarray(array))",
        )
    return rows


def _header(path: Path) -> Rows:
    with path.open("rb") as file:
        try:
            version = npy.read_magic(file)
            read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[version]
            shape, fortran, dtype = read(file)
        except Exception as error:  # NumPy parses the header as Python, whose parser raises errors of many kinds
            raise broken(str(path), "a NumPy array (.npy)", str(error)) from error
        return Rows(path, shape, dtype, file.tell(), fortran)
