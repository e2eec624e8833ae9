"""Sample, Layout, Condition: validation, and symmetries and crops that are exact for every field."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_array_equal

from drawn import CLASS_NAMES, assert_same, drawn_sample, full_sample
from nucleosynth.errors import UserError
from nucleosynth.sample import Condition, Layout, check_instances, transform_array, transform_points, without_gaps

POINTS = arrays(np.int32, (5, 2), elements=st.integers(0, 8))


@pytest.mark.parametrize("symmetry", range(8))
def test_points_follow_pixels(symmetry: int) -> None:
    size = (9, 14)
    for y, x in product(range(9), range(14)):
        picture = np.zeros(size, np.uint8)
        picture[y, x] = 1
        ((new_x, new_y),) = transform_points(np.array([[x, y]], np.float32), size, symmetry)
        assert transform_array(picture, symmetry)[int(new_y), int(new_x)] == 1


def test_the_eight_symmetries_differ_and_are_closed() -> None:
    picture = np.arange(6).reshape(2, 3)
    seen = {transform_array(picture, k).tobytes() + bytes(transform_array(picture, k).shape) for k in range(8)}
    assert len(seen) == 8
    for one, two in product(range(8), range(8)):
        twice = transform_array(transform_array(picture, one), two)
        assert twice.tobytes() + bytes(twice.shape) in seen


def test_rotation_is_counter_clockwise_and_flip_is_left_right() -> None:
    sample = full_sample()
    assert_array_equal(sample.rotate(1).image[0], sample.image[:, -1])
    assert_array_equal(sample.flip().instances, sample.instances[:, ::-1])
    assert_same(sample.rotate(-1).rotate(1), sample)
    assert_same(sample.flip().flip(), sample)
    assert sample.rotate(1).points is not None
    assert sample.rotate(1).points.size == (48, 40)


@given(arrays(np.int32, (6, 7), elements=st.sampled_from([0, 0, 1, 4, 9])))
def test_closing_gaps_keeps_pixels_order_and_classes(instances: np.ndarray) -> None:
    classes = np.arange(1, 10, dtype=np.uint8)
    found, kept = without_gaps(instances, classes)
    assert check_instances(found, "") == len(kept)
    assert_array_equal(np.concatenate([[0], kept])[found], instances)


def test_a_crop_takes_classes_and_points_along() -> None:
    sample = full_sample()
    window = sample.crop(11, 13, 20, 15)
    assert_array_equal(window.image, sample.image[11:31, 13:28])
    old, new = sample.instances[11:31, 13:28], window.instances
    for k in range(1, len(window.classes) + 1):
        (before,) = np.unique(old[new == k])
        assert window.classes[k - 1] == sample.classes[before - 1]
    assert_array_equal(old > 0, new > 0)
    assert window.points is not None
    assert window.points.size == (20, 15)
    assert_same(sample.crop(0, 0, 40, 48), sample)


def test_windows_share_every_point_exactly_once() -> None:
    generator = np.random.default_rng(0)
    xy = (generator.random((200, 2)) * [16, 12] - 0.5).astype(np.float32)
    xy[:4] = [[15.5, 11.5], [15.5, 3.5], [-0.5, 11.5], [3.5, 3.5]]  # on borders of the tile, and of windows
    xy[4] = np.nextafter(np.float32(3.5), np.float32(0))
    layout = Layout(xy, np.ones(200, np.uint8), (12, 16), CLASS_NAMES)
    parts = [layout.crop(top, left, 4, 4) for top, left in product(range(0, 12, 4), range(0, 16, 4))]
    assert sum(len(part.xy) for part in parts) == 200


def test_a_point_beside_a_border_is_in_one_window_alone() -> None:
    xy = np.array([[np.nextafter(np.float32(0.5), np.float32(0)), 0]], np.float32)
    layout = Layout(xy, np.ones(1, np.uint8), (1, 2), CLASS_NAMES)
    assert [len(layout.crop(0, left, 1, 1).xy) for left in (0, 1)] == [1, 0]


def test_a_crop_of_everything_keeps_the_points_on_the_border() -> None:
    xy = np.array([[8.5, 7.5], [-0.5, -0.5], [8.5, 0]], np.float32)
    layout = Layout(xy, np.ones(3, np.uint8), (8, 9), CLASS_NAMES)
    assert_array_equal(layout.crop(0, 0, 8, 9).xy, xy)
    assert_array_equal(layout.crop(4, 5, 4, 4).xy, [[3.5, 3.5]])
    assert len(layout.crop(4, 4, 4, 4).xy) == 0


@pytest.mark.parametrize("window", [(-1, 0, 4, 4), (0, 0, 41, 4), (0, 45, 4, 4), (0, 0, 0, 4)])
def test_a_window_that_leaves_the_tile_is_refused(window: tuple[int, int, int, int]) -> None:
    with pytest.raises(UserError, match="leaves the tile"):
        drawn_sample().crop(*window)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image": np.zeros((40, 48, 4), np.uint8)}, "not an RGB image"),
        ({"image": np.zeros((40, 48, 3), np.float32)}, "not an RGB image"),
        ({"image": np.zeros((48, 40, 3), np.uint8)}, "differ in size"),
        ({"instances": np.zeros((40, 48), np.float32)}, "as integers"),
        ({"instances": np.zeros((40, 48), np.int64)}, "not an instance map"),
        ({"instances": np.full((40, 48), -1, np.int32)}, "a negative id"),
        ({"instances": np.full((40, 48), 2, np.int32)}, "ids with gaps"),
        ({"classes": np.ones(2, np.uint8)}, "do not fit"),
        ({"classes": np.ones(20, np.int64)}, "do not fit"),
        ({"class_names": ("one",)}, "a class out of range"),
        ({"sample_id": ""}, "without a name"),
        ({"source": ""}, "without a name"),
        ({"mpp": 0.0}, "bad resolution"),
        ({"mpp": float("nan")}, "bad resolution"),
        ({"mpp": float("inf")}, "bad resolution"),
        ({"labelled_as": "points"}, "no points"),
    ],
)
def test_a_contradiction_is_refused_by_name(changes: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        replace(drawn_sample(), **changes)
    assert "tile_0" in str(caught.value) or changes.get("sample_id") == ""


def test_every_unknown_type_is_allowed() -> None:
    sample = drawn_sample()
    assert not replace(sample, classes=np.zeros_like(sample.classes), class_names=()).classes.any()


@pytest.mark.parametrize(
    ("xy", "classes", "message"),
    [
        (np.zeros((2, 3), np.float32), [1, 1], "not a list"),
        (np.zeros((2, 2)), [1, 1], "not a list"),
        (np.array([[0, 7.6]], np.float32), [1], "outside its tile"),
        (np.array([[-0.6, 0]], np.float32), [1], "outside its tile"),
        (np.zeros((1, 2), np.float32), [4], "out of range"),
        (np.zeros((1, 2), np.float32), [1, 1], "do not fit"),
    ],
)
def test_bad_points_are_refused(xy: np.ndarray, classes: list[int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Layout(xy, np.array(classes, np.uint8), (8, 9), CLASS_NAMES)


def test_a_condition_says_what_it_gives_and_checks_it() -> None:
    sample = full_sample()
    condition = Condition(
        (40, 48), class_names=CLASS_NAMES, instances=sample.instances, classes=sample.classes, tissue="colon"
    )
    assert condition.given() == {"instances", "tissue"}
    more = replace(condition, reference=np.zeros((9, 7, 3), np.uint8), known=np.ones((40, 48), bool))
    assert more.given() == {"instances", "tissue", "reference", "known"}, "a reference is of any size"
    for changes, message in (
        ({"image": np.zeros((9, 9, 3), np.uint8)}, "image of another size"),
        ({"image": np.zeros((40, 48), np.uint8)}, "not an RGB image"),
        ({"known": np.zeros((9, 9), bool)}, "known of another size"),
        ({"known": np.ones((40, 48), np.uint8)}, "known is no mask"),
        ({"known": np.ones((40, 48, 1), bool)}, "known is no mask"),
        ({"reference": np.zeros((9, 9), np.uint8)}, "not an RGB image"),
        ({"reference": np.zeros((0, 9, 3), np.uint8)}, "not an RGB image"),
        ({"proportions": np.array([0.5, 0.6, 0.0])}, "proportions do not fit"),
        ({"points": sample.rotate(1).points}, "points of another size"),
        ({"classes": None}, "half a label"),
        ({"class_names": ()}, "out of range"),
    ):
        with pytest.raises(UserError, match=message):
            replace(condition, **changes)
