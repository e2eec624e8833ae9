"""MATLAB files to arrays: only numbers, of a size that fits, and nothing that could run.

SciPy inflates whole variables into memory; what a compressed one claims to hold is looked at first, so that a small
file cannot fill the memory.
"""

import struct
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
from numpy.typing import NDArray

from nucleosynth.data.images import broken
from nucleosynth.errors import UserError

LARGEST_BYTES = 1 << 30
"""Of one variable."""
_HEADER, _COMPRESSED = 128, 15


def read_mat(path: Path, wanted: Iterable[str], optional: Iterable[str] = ()) -> dict[str, NDArray[Any]]:
    """The variables of a MATLAB file (5 to 7.2) by name: arrays of numbers.

    Raises:
        UserError: no MATLAB file, or a truncated one; a wanted variable is missing, no array of numbers, or over a GiB.
    """
    wanted, optional = tuple(wanted), tuple(optional)
    _check_size(path)
    try:
        mat: dict[str, NDArray[Any]] = scipy.io.loadmat(path, variable_names=(*wanted, *optional))
    except NotImplementedError as error:
        raise UserError(
            "a MATLAB file of version 7.3",
            expected="version 5 to 7.2",
            got="HDF5",
            where=str(path),
            mend="save it again with save(..., '-v7')",
        ) from error
    except Exception as error:  # SciPy raises errors of many kinds, bare ones among them, for a truncated file
        raise broken(str(path), f"a MATLAB file with {' and '.join(wanted)}", str(error)) from error
    lacking = [name for name in wanted if name not in mat]
    odd = [name for name in (*wanted, *optional) if name in mat and np.asarray(mat[name]).dtype.kind not in "biuf"]
    if lacking or odd:
        got = f"{', '.join(lacking)} missing" if lacking else f"{odd[0]} of type {mat[odd[0]].dtype}, not numbers"
        raise broken(str(path), f"a MATLAB file with {' and '.join(wanted)}", got)
    return {name: mat[name] for name in (*wanted, *optional) if name in mat}


def _check_size(path: Path) -> None:
    """Refuse a file whose compressed variables claim more than `LARGEST_BYTES`."""
    with path.open("rb") as file:
        header = file.read(_HEADER)
        order = {b"IM": "<", b"MI": ">"}.get(header[126:128])
        while order and len(tag := file.read(8)) == 8:
            kind, length = struct.unpack(f"{order}II", tag)
            if kind == _COMPRESSED:
                start = file.read(min(length, 256))
                claimed = _claimed(start, order)
                if claimed > LARGEST_BYTES:
                    raise broken(str(path), "variables of at most 1 GiB", f"one that claims {claimed} bytes")
                file.seek(length - len(start), 1)
            else:
                file.seek(length, 1)


def _claimed(start: bytes, order: str) -> int:
    try:
        tag = zlib.decompressobj().decompress(start, 8)
    except zlib.error:
        return 0
    return int(struct.unpack(f"{order}II", tag)[1]) if len(tag) == 8 else 0
