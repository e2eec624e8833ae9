"""MATLAB files: what SciPy writes comes back as SciPy reads it; a damaged file is an error, whatever is damaged."""

import struct
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from nucleosynth.data.matlab import read_mat
from nucleosynth.errors import UserError

KINDS = ("f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8")
WHOLE: dict[str, Any] = {
    "a": np.arange(12, dtype=np.int32).reshape(3, 4),
    "b": np.array([[1.5], [2.0]]),
    "words": "text",
    "cells": np.array([[1, "x"]], object),
}


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_number_comes_back(tmp_path: Path, kind: str, compressed: bool) -> None:
    arrays = {
        "x": np.arange(60).reshape(3, 4, 5).astype(kind),
        "y": np.zeros((0, 1), kind),
        "long_name_of_one": np.ones((1, 1), kind),
    }
    scipy.io.savemat(tmp_path / "a.mat", arrays, do_compression=compressed)
    found = read_mat(tmp_path / "a.mat", arrays)
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        assert_array_equal(found[name], array)


def test_what_is_not_asked_for_is_passed_over(tmp_path: Path) -> None:
    scipy.io.savemat(tmp_path / "a.mat", WHOLE)
    assert list(read_mat(tmp_path / "a.mat", ("b",), ("nothing",))) == ["b"]
    assert read_mat(tmp_path / "a.mat", (), ("nothing",)) == {}


@pytest.mark.parametrize("name", ["words", "cells", "absent"])
def test_what_is_no_numbers_is_refused(tmp_path: Path, name: str) -> None:
    scipy.io.savemat(tmp_path / "a.mat", WHOLE)
    with pytest.raises(UserError, match=f"{name} (is no array|missing)"):
        read_mat(tmp_path / "a.mat", (name,))


@pytest.mark.parametrize("kind", [0, 8, 10, 11, 14, 20, 200])
def test_numbers_of_an_unknown_type_are_refused(tmp_path: Path, kind: int) -> None:
    scipy.io.savemat(tmp_path / "a.mat", {"a": np.arange(40.0).reshape(4, 10)})
    data = bytearray((tmp_path / "a.mat").read_bytes())
    place = data.index(struct.pack("<II", 9, 320))
    data[place : place + 4] = struct.pack("<I", kind)
    (tmp_path / "a.mat").write_bytes(data)
    with pytest.raises(UserError, match=r"a\.mat"):
        read_mat(tmp_path / "a.mat", ("a",))


@settings(deadline=None, max_examples=300)
@given(
    st.booleans(),
    st.lists(st.tuples(st.integers(0, 900), st.integers(0, 255)), min_size=1, max_size=6),
    st.integers(0, 9),
)
def test_no_damage_ends_the_process(
    tmp_path_factory: pytest.TempPathFactory, compressed: bool, changes: list[tuple[int, int]], cut: int
) -> None:
    path = tmp_path_factory.mktemp("mat") / "a.mat"
    scipy.io.savemat(path, {"a": WHOLE["a"], "b": WHOLE["b"]}, do_compression=compressed)
    data = bytearray(path.read_bytes())
    for place, value in changes:
        data[place % len(data)] = value
    path.write_bytes(data[: len(data) - cut])
    with suppress(UserError):
        assert set(read_mat(path, ("a", "b"))) == {"a", "b"}


def test_real_labels_are_as_scipy_reads_them(shared: Path) -> None:
    path = shared / "data" / "consep" / "Test" / "Labels" / "test_1.mat"
    names = ("inst_map", "inst_type", "type_map", "inst_centroid")
    expected, found = scipy.io.loadmat(path), read_mat(path, names)
    for name in names:
        assert found[name].dtype == expected[name].dtype
        assert_array_equal(found[name], expected[name])
