"""Classes that occur <-> slots without gaps."""

import numpy as np
import pytest

from nucleosynth.conditions.slots import Slots
from nucleosynth.conditions.structure import UNKNOWN
from nucleosynth.data.reader import read
from nucleosynth.sample import Layout

INSTANCES = np.array([[0, 1, 1], [2, 0, 3]], np.int32)


def test_slots_follow_the_ids_that_occur() -> None:
    slots = Slots((2, 5))
    kinds = np.array([5, 0, 2], np.uint8)
    assert (slots.count, slots.typed) == (2, True)
    np.testing.assert_array_equal(slots.of_classes(kinds), [2, 0, 1])
    np.testing.assert_array_equal(slots.of_pixels(INSTANCES, kinds), [[0, 2, 2], [UNKNOWN, 0, 1]])
    np.testing.assert_array_equal(slots.class_ids(np.array([0, 1, 2])), [0, 2, 5])
    onehot = slots.onehot(INSTANCES, kinds)
    np.testing.assert_array_equal(onehot.sum(axis=0), [[1, 1, 1], [0, 1, 1]])
    np.testing.assert_array_equal(onehot[2], [[0, 1, 1], [0, 0, 0]])


@pytest.mark.parametrize(("classes", "kinds", "read_back"), [((), [0, 0, 0], 0), ((3,), [3, 0, 3], 3)])
def test_one_slot_for_all_where_at_most_one_class_occurs(
    classes: tuple[int, ...], kinds: list[int], read_back: int
) -> None:
    slots = Slots(classes)
    assert (slots.count, slots.typed) == (1, False)
    np.testing.assert_array_equal(slots.of_pixels(INSTANCES, np.array(kinds, np.uint8)), INSTANCES > 0)
    assert slots.class_ids(np.array([1]))[0] == read_back
    assert slots.onehot(INSTANCES, np.array(kinds, np.uint8)).shape == (2, 2, 3)


def test_a_class_that_did_not_occur_has_no_slot() -> None:
    layout = Layout(np.zeros((2, 2), np.float32), np.array([4, 1], np.uint8), (3, 3), tuple("abcd"))
    np.testing.assert_array_equal(Slots((1, 2)).of_points(layout), [0, 1])


def test_the_slots_of_tiles_are_what_occurs_in_them() -> None:
    tiles = list(read("phantom:tiles=3&size=64&sources=1"))
    seen = {int(kind) for tile in tiles for kind in tile.classes}
    assert Slots.of(tiles).classes == tuple(sorted(seen))
    assert Slots.of([]).count == 1
