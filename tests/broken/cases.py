"""How a broken input is written down: a name, the data set, what is done to its tiny copy, and what must come of it."""

import pickle
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import scipy.io

import releases
from nucleosynth import catalog
from nucleosynth.data.findings import PROBLEMS, Finding, repairs_of
from nucleosynth.errors import UserError

Break = Callable[[Path], object]
"""What is done to the folder; what it returns is of no account."""
TOLD = ("note", "left out")
"""Kinds of findings that ask nothing of a person."""
CANARY = "canary"
"""The file that would appear if anything loaded could run code."""


@dataclass(frozen=True)
class Case:
    """`told`: what the error, problem or repair must match; "" where it is legal and all four tiles are read."""

    data_set: str
    name: str
    told: str
    change: Break

    def make(self, root: Path) -> str:
        """Write the tiny copy and break it; what stands after the colon of `name:where`."""
        where = releases.make(self.data_set, root)
        self.change(root)
        return where


class Runs:
    """What runs code when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return exec, (f"open({str(self.canary)!r}, 'w').close()",)


def canary(root: Path) -> Path:
    """Where the canary would appear: beside the data."""
    return root.parent / CANARY


def first(root: Path, pattern: str) -> Path:
    """The first file that matches, in the order of names."""
    return min(path for path in root.rglob(pattern) if path.is_file())


def array(root: Path, pattern: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
    """Change an array in a .npy file."""
    path = first(root, pattern)
    np.save(path, change(np.load(path)))


def mat(**changes: object) -> Break:
    """Change the variables of the first MATLAB file; those that become None are taken out."""

    def change(root: Path) -> None:
        path = first(root, "*.mat")
        found = {name: value for name, value in scipy.io.loadmat(path).items() if not name.startswith("_")}
        scipy.io.savemat(path, {name: value for name, value in (found | changes).items() if value is not None})

    return change


def picture(root: Path, pattern: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
    """Change the pixels of an image file; what `change` returns is written by OpenCV, without looking at it."""
    path = first(root, pattern)
    cv2.imwrite(str(path), change(cv2.imread(str(path), cv2.IMREAD_UNCHANGED)))


def text(root: Path, pattern: str, old: str, new: str, count: int = 1) -> None:
    """Replace words in a text file, which must be there."""
    path = first(root, pattern)
    before = path.read_bytes().decode()
    assert old in before, f"{old!r} is not in {path.name}"
    path.write_bytes(before.replace(old, new, count).encode())


def prefixed(root: Path, pattern: str, start: bytes) -> None:
    """Put bytes before a file's content: a BOM, say."""
    path = first(root, pattern)
    path.write_bytes(start + path.read_bytes())


def windows_lines(root: Path, pattern: str) -> None:
    """CRLF at the end of each line."""
    path = first(root, pattern)
    path.write_bytes(path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))


def pickled_npy(path: Path, where: Path) -> None:
    """A .npy file of an object that would run code."""
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": (1,)})
        pickle.dump(np.array([Runs(where)], object), file)


def claiming_npy(path: Path, shape: tuple[int, ...]) -> None:
    """A .npy file of a few bytes whose header claims an array of that shape."""
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<i4", "fortran_order": False, "shape": shape})
        file.write(bytes(64))


def bomb_png(path: Path, side: int = 60000) -> None:
    """A PNG of a few kilobytes that claims side^2 black pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compress(bytes(1 << 16))
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b""))


def bomb_mat(path: Path) -> None:
    """A MATLAB file whose compressed variable claims 3 GB."""
    claim = struct.pack("<II", 14, 3 << 30) + bytes(4096)
    data = zlib.compress(claim)
    header = b"MATLAB 5.0 MAT-file".ljust(116) + bytes(8) + struct.pack("<H", 0x0100) + b"IM"
    path.write_bytes(header + struct.pack("<II", 15, len(data)) + data)


def link_out(place: str) -> Break:
    """Move a file or folder out of the release and leave a link to it."""

    def change(root: Path) -> None:
        path, outside = root / place, root.parent / "elsewhere"
        path.rename(outside)
        path.symlink_to(outside)

    return change


def link_inside(place: str) -> Break:
    """Move a folder to another place of the release and leave a link to it."""

    def change(root: Path) -> None:
        path, pool = root / place, root / "pool"
        path.rename(pool)
        path.symlink_to(pool)

    return change


def outcome(name: str, where: str) -> tuple[list[str], int]:
    """What was said of a broken release, and how many tiles were read in spite of it.

    Said are errors, problems and repairs; and, of notes and of what was left out, those that its whole copy has not.
    """
    found, said, tiles = read_on(name, where)
    usual = of_whole_copy(name)
    said += [f"{each.text} ({each.where})" for each in found if each.kind in PROBLEMS]
    return said + [
        f"{each.text} ({each.where})"
        for each in found
        if each.kind in TOLD and (each.kind, each.text, each.where.replace(where, "")) not in usual
    ], tiles


def read_on(name: str, where: str) -> tuple[list[Finding], list[str], int]:
    """What a reader found, the repairs and the error that it told, and how many tiles it read; all say how to mend."""
    found: list[Finding] = []
    said: list[str] = []
    tiles = 0
    mute: list[str] = []
    try:
        for sample in catalog.load("data set", name)(where, found.append):
            tiles += 1
            said += repairs_of(sample)
    except UserError as error:
        said.append(str(error))
        mute += [] if error.mend else [error.what]
    mute += [each.text for each in found if each.kind in PROBLEMS and not each.mend]
    assert not mute, f"nothing says how to mend this: {mute}"
    return found, said, tiles


@cache
def of_whole_copy(name: str) -> frozenset[tuple[str, str, str]]:
    """Kind, text and place of the notes on the tiny copy of a data set that nobody broke."""
    with TemporaryDirectory() as folder:
        where = releases.make(name, Path(folder) / "data")
        found, _, _ = read_on(name, where)
        return frozenset((each.kind, each.text, each.where.replace(where, "")) for each in found if each.kind in TOLD)
