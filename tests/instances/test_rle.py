"""COCO's run lengths are pycocotools' own, both ways, and what is none is refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.testing import assert_array_equal
from pycocotools import mask as pycocotools

from nucleosynth.errors import UserError
from nucleosynth.instances.rle import decode, encode, from_text, runs_of, to_text

MASKS = arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=12))


@settings(deadline=None)
@given(mask=MASKS)
def test_text_is_that_of_pycocotools_both_ways(mask: np.ndarray) -> None:
    theirs = pycocotools.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
    assert to_text(encode(mask, mask.shape)) == theirs
    left, columns = decode(from_text(theirs, ""), mask.shape, "")
    found = np.zeros_like(mask)
    found[:, left : left + columns.shape[1]] = columns
    assert_array_equal(found, mask)


@given(mask=MASKS, around=st.tuples(*[st.integers(0, 3)] * 4))
def test_a_window_is_placed(mask: np.ndarray, around: tuple[int, int, int, int]) -> None:
    top, bottom, left, right = around
    whole = np.pad(mask, ((top, bottom), (left, right)))
    assert_array_equal(encode(mask, whole.shape, top, left), encode(whole, whole.shape))


@pytest.mark.parametrize("counts", [[0, 1 << 40, 3, 0, 1 << 50], [7], [0], [31, 32, 15, 16, 1023, 1024]])
def test_lengths_of_any_size_come_back(counts: list[int]) -> None:
    assert from_text(to_text(np.array(counts)), "").tolist() == counts


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools' own
def test_long_runs_are_written_as_pycocotools_reads_them() -> None:
    mask = np.zeros((3000, 3000), bool)
    mask[5:2990, 100:2900] = True
    counts = to_text(encode(mask[5:2990, 100:2900], mask.shape, 5, 100))
    assert_array_equal(pycocotools.decode({"size": list(mask.shape), "counts": counts}), mask)


@pytest.mark.parametrize("text", ["P", "o" * 20 + "0", "é0", "0\n"])
def test_text_that_is_cut_off_or_none_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"broken run lengths(.|\n)*here"):
        from_text(text, "here")


@pytest.mark.parametrize("counts", [[3], [5], [-1, 5], [2**62, 2**62, 2**62, 2**62, 4], []])
def test_lengths_that_do_not_add_up_are_refused(counts: list[int]) -> None:
    with pytest.raises(UserError, match="broken run lengths"):
        decode(np.array(counts, np.int64), (2, 2), "here")


@pytest.mark.parametrize(
    "found", [{"counts": [1.5, 2.5]}, {"counts": None}, {"counts": [2**64]}, {"counts": {"a": 1}}, {"counts": ["4"]}]
)
def test_what_is_no_list_of_whole_numbers_is_refused(found: dict[str, object]) -> None:
    with pytest.raises(UserError, match=r"broken run lengths(.|\n)*here"):
        decode(runs_of(found | {"size": [2, 2]}, (2, 2), "here"), (2, 2), "here")
