"""Instance edges, and the label that SDM and DiffMix are given."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from nucleosynth.conditions.edges import instance_edges, label_channels
from nucleosynth.conditions.slots import Slots
from nucleosynth.sample import transform_array

MAPS = arrays(np.int32, st.tuples(st.integers(1, 6), st.integers(1, 6)), elements=st.integers(0, 2))


@given(MAPS)
def test_an_edge_is_a_pixel_with_another_neighbour(instances: NDArray[np.int32]) -> None:
    height, width = instances.shape
    steps = ((0, 1), (0, -1), (1, 0), (-1, 0))
    expected = np.zeros(instances.shape, bool)
    for y, x in np.ndindex(height, width):
        around = [(y + dy, x + dx) for dy, dx in steps if 0 <= y + dy < height and 0 <= x + dx < width]
        expected[y, x] = any(instances[place] != instances[y, x] for place in around)
    np.testing.assert_array_equal(instance_edges(instances), expected)


@given(MAPS, st.integers(0, 7))
def test_edges_turn_with_the_map(instances: NDArray[np.int32], symmetry: int) -> None:
    turned = instance_edges(transform_array(instances, symmetry))
    np.testing.assert_array_equal(turned, transform_array(instance_edges(instances), symmetry))


def test_touching_nuclei_of_one_class_stay_apart() -> None:
    instances = np.array([[1, 1, 1, 2, 2, 2]], np.int32)
    channels = label_channels(Slots((4, 7)), instances, np.array([7, 7], np.uint8))
    np.testing.assert_array_equal(channels[:, 0], [[0] * 6, [0] * 6, [1] * 6, [0, 0, 1, 1, 0, 0]])


@pytest.mark.parametrize(("classes", "channels"), [((), 3), ((2,), 3), ((1, 2, 5), 5)])
def test_a_channel_for_each_slot_and_two_more(classes: tuple[int, ...], channels: int) -> None:
    found = label_channels(Slots(classes), np.zeros((4, 5), np.int32), np.zeros(0, np.uint8))
    assert (found.shape, found.dtype) == ((channels, 4, 5), np.float32)
    assert (found[0] == 1).all()
    assert not found[1:].any()


def test_a_nucleus_of_unknown_type_has_its_edges_alone() -> None:
    instances = np.zeros((5, 5), np.int32)
    instances[1:4, 1:4] = 1
    channels = label_channels(Slots((1, 2)), instances, np.zeros(1, np.uint8))
    assert not channels[:, 2, 2].any()
    assert channels[-1, 1, 1] == 1
    assert channels[-1].sum() == 8 + 12
