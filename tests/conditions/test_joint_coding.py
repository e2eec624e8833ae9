"""Nuclei as CoSyn makes them, and back."""

import numpy as np
import pytest

from nucleosynth.conditions.joint_coding import JointCoding
from nucleosynth.conditions.points import from_instances
from nucleosynth.conditions.slots import Slots
from nucleosynth.conditions.structure import UNKNOWN
from nucleosynth.data.reader import read
from nucleosynth.instances.offsets import tidy
from nucleosynth.metrics.instance import mdice
from nucleosynth.sample import Layout, Sample

TILES = list(read("phantom:tiles=3&size=128&sources=1"))
CODING = JointCoding(Slots.of(TILES))


def squares() -> tuple[np.ndarray, np.ndarray]:
    """Two squares that touch, of classes 2 and 5, and one of unknown type."""
    instances = np.zeros((20, 30), np.int32)
    instances[2:9, 2:9], instances[2:9, 9:16], instances[12:19, 20:27] = 1, 2, 3
    return instances, np.array([2, 5, 0], np.uint8)


def test_the_distance_is_least_at_centres_and_in_the_background() -> None:
    instances, _ = squares()
    found = JointCoding(Slots((2, 5))).distance(instances)
    assert found.shape == (1, 20, 30)
    assert found[0, 5, 5] == found[0, 0, 0] == -1
    assert found[0, 2, 2] == found.max() == 1


def test_the_label_and_points_hold_slots() -> None:
    instances, classes = squares()
    coding = JointCoding(Slots((2, 5)))
    assert (coding.labels, coding.counted) == (3, (2, 5))
    label = coding.label(instances, classes)
    assert [label[0, 0], label[5, 5], label[5, 12], label[15, 23]] == [0, 1, 2, UNKNOWN]
    xy = np.array([[5, 5.4], [29.5, 19.5], [-0.5, 12]], np.float32)
    points = coding.points(Layout(xy, np.array([2, 5, 0], np.uint8), (20, 30), tuple("abcde")))
    assert {(y, x): points[y, x] for y, x in np.argwhere(points)} == {(5, 5): 1, (19, 29): 2, (12, 0): coding.labels}


def test_a_point_may_stand_in_a_disc_which_gives_way_to_other_points() -> None:
    coding = JointCoding(Slots((2, 5)), point_px=2)
    xy = np.array([[10, 10], [11, 10], [0, 0]], np.float32)
    points = coding.points(Layout(xy, np.array([2, 5, 0], np.uint8), (20, 30), tuple("abcde")))
    assert (points[10, 10], points[10, 11], points[0, 0]) == (1, 2, 3)
    assert points[10, 8] == 1
    assert (points > 0).sum() == (points[8:13, 8:14] > 0).sum() + (points[:3, :3] > 0).sum()
    assert (points[:3, :3] > 0).sum() == 6


def test_data_without_classes_have_one_slot_and_one_count() -> None:
    coding = JointCoding(Slots(()))
    assert (coding.labels, coding.counted) == (2, ())
    assert coding.amounts(np.array([7])).shape == (1,)
    instances, _ = squares()
    label = coding.label(instances, np.zeros(3, np.uint8))
    found, classes = coding.read(label, coding.distance(instances), None)
    np.testing.assert_array_equal(classes, np.zeros(found.max()))


@pytest.mark.parametrize("tile", TILES, ids=lambda tile: tile.sample_id)
def test_nuclei_come_back_from_exact_maps_and_points(tile: Sample) -> None:
    label, distance = CODING.label(tile.instances, tile.classes), CODING.distance(tile.instances)
    instances, classes = CODING.read(label, distance, from_instances(tile))
    assert mdice(tidy(tile.instances, 8), instances) > 0.95
    same = [tile.classes[np.bincount(tile.instances[instances == k + 1]).argmax() - 1] for k in range(len(classes))]
    assert np.mean(classes == same) > 0.97


def test_touching_nuclei_are_told_apart_by_points_and_by_distance_but_not_without_either() -> None:
    instances = squares()[0] * (np.arange(20) < 10)[:, None]
    coding = JointCoding(Slots((2,)))
    label, distance = coding.label(instances, np.array([2, 2], np.uint8)), coding.distance(instances)
    layout = Layout(np.array([[5, 5], [12, 5]], np.float32), np.array([2, 2], np.uint8), (20, 30), tuple("ab"))
    counts = [
        coding.read(label, rims, points)[0].max()
        for rims, points in ((distance, layout), (None, layout), (distance, None), (None, None))
    ]
    assert counts == [2, 2, 2, 1]


def test_points_decide_where_nuclei_are() -> None:
    """A region without a point is no nucleus, and a point on the background makes none."""
    instances, classes = squares()
    coding = JointCoding(Slots((2, 5)))
    label = coding.label(instances, np.array([2, 5, 5], np.uint8))
    layout = Layout(np.array([[23, 15], [5, 17]], np.float32), classes[:2], (20, 30), tuple("abcde"))
    found, kinds = coding.read(label, coding.distance(instances), layout)
    assert found.max() == 1
    np.testing.assert_array_equal(found > 0, instances == 3)
    np.testing.assert_array_equal(kinds, [5])


def test_a_nucleus_has_the_class_of_most_of_its_pixels_and_specks_are_none() -> None:
    instances, _ = squares()
    coding = JointCoding(Slots((2, 5)))
    label = (instances == 1).astype(np.uint8)
    label[2:5, 2:9] = 2  # 21 of 49 pixels
    label[18:, 28:] = 1
    found, kinds = coding.read(label, coding.distance((label > 0).astype(np.int32)), None)
    assert found.max() == 1
    np.testing.assert_array_equal(kinds, [2])


def test_nothing_is_read_from_nothing() -> None:
    empty = np.zeros((16, 16), np.uint8)
    flat = -np.ones((1, 16, 16), np.float32)
    layout = Layout(np.zeros((0, 2), np.float32), np.zeros(0, np.uint8), (16, 16), ("a",))
    for distance, points in ((flat, None), (flat, layout), (None, None)):
        instances, classes = CODING.read(empty, distance, points)
        assert (int(instances.max()), len(classes)) == (0, 0)
