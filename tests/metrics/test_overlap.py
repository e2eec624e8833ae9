"""The contingency table against counting pixel by pixel."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from nucleosynth.errors import UserError
from nucleosynth.metrics.overlap import numbered, overlap

IDS = st.sampled_from([0, 0, 1, 2, 7, 300, 2**31 - 1])
SHAPES = st.tuples(st.integers(1, 9), st.integers(1, 9))
PAIRS = SHAPES.flatmap(lambda shape: st.tuples(*(arrays(np.int32, shape, elements=IDS) for _ in range(2))))


@settings(deadline=None)  # the first example compiles
@given(PAIRS)
def test_the_table_counts_every_pixel(maps: tuple[NDArray[np.int32], NDArray[np.int32]]) -> None:
    true, predicted = maps
    table = overlap(true, predicted)
    pixels = Counter(zip(true.ravel().tolist(), predicted.ravel().tolist(), strict=True))
    pairs = {pair: count for pair, count in pixels.items() if all(pair)}
    found = zip(
        table.true_ids[table.true_index].tolist(), table.predicted_ids[table.predicted_index].tolist(), strict=True
    )
    assert list(zip(found, table.intersection.tolist(), strict=True)) == sorted(pairs.items())
    for ids, areas, labels in (
        (table.true_ids, table.true_areas, true),
        (table.predicted_ids, table.predicted_areas, predicted),
    ):
        present, counts = np.unique(labels[labels > 0], return_counts=True)
        assert_array_equal(ids, present)
        assert_array_equal(areas, counts)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64])
def test_any_integer_type_and_memory_order_gives_the_same_table(dtype: Any) -> None:
    rng = np.random.default_rng(0)
    true, predicted = rng.integers(0, 5, (2, 30, 20)).repeat(3, axis=2)
    expected = overlap(true, predicted)
    table = overlap(np.asfortranarray(true.astype(dtype)), predicted)
    assert_array_equal(table.intersection, expected.intersection)
    assert_array_equal(table.true_areas, expected.true_areas)


def test_ids_beyond_32_bits_are_kept_apart() -> None:
    table = overlap(np.array([[1, 2**32 + 1]]), np.array([[3, 3]], np.uint8))
    assert_array_equal(table.true_ids, [1, 2**32 + 1])
    assert_array_equal(table.intersection, [1, 1])


def test_iou_of_two_bars() -> None:
    table = overlap(np.array([[4, 4, 4, 0]]), np.array([[0, 9, 9, 9]]))
    assert_array_equal(table.iou, [2 / 4])
    assert_array_equal(table.area_sum, [6])


@settings(deadline=None)  # the first example compiles
@given(arrays(np.int64, SHAPES, elements=IDS))
def test_numbered_keeps_the_nuclei_and_their_order(labels: NDArray[np.int64]) -> None:
    number = numbered(labels)
    present = np.unique(labels[labels > 0])
    assert number.dtype == np.int32
    assert_array_equal(np.unique(number[number > 0]), np.arange(1, len(present) + 1))
    assert_array_equal(np.append(0, present)[number], labels)


@pytest.mark.parametrize(
    ("true", "predicted", "what"),
    [
        (np.zeros((2, 3), int), np.zeros((3, 2), int), "different shapes"),
        (np.zeros((2, 3)), np.zeros((2, 3), int), "not an instance map"),
        (np.zeros((2, 3), int), np.zeros((2, 3), bool), "not an instance map"),
        (np.zeros((1, 2), int), np.array([[-1, 1]]), "a negative id"),
    ],
)
def test_what_is_no_pair_of_instance_maps_is_refused(true: Any, predicted: Any, what: str) -> None:
    with pytest.raises(UserError, match=what):
        overlap(true, predicted)


@pytest.mark.parametrize("labels", [np.zeros((2, 2)), np.array([[-3, 1]]), np.zeros(4, int)])
def test_numbered_refuses_what_is_no_instance_map(labels: NDArray[Any]) -> None:
    with pytest.raises(UserError, match="not an instance map"):
        numbered(labels)
