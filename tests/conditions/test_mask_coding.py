"""Points and masks of DAFF-GAN: drawn by hand, and one nucleus for each point whatever the mask says."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from drawn import drawn_sample
from nucleosynth.conditions.mask_coding import MaskCoding
from nucleosynth.conditions.points import from_instances
from nucleosynth.conditions.slots import Slots
from nucleosynth.errors import UserError
from nucleosynth.metrics.instance import scores
from nucleosynth.pictures import class_colours
from nucleosynth.sample import Layout

CODING = MaskCoding(Slots((1, 3)), 0.5, disc_px=1.0)


def layout(*points: tuple[float, float, int], size: tuple[int, int] = (16, 20)) -> Layout:
    xy = np.array([(x, y) for x, y, _ in points], np.float32).reshape(-1, 2)
    return Layout(xy, np.array([kind for *_, kind in points], np.uint8), size, ("a", "b", "c"), 0.5)


def test_points_are_discs_in_the_channel_of_their_class() -> None:
    maps = CODING.points(layout((5, 4, 1), (10, 4, 3), (15, 12, 0)))
    assert maps.shape == (3, 16, 20)
    assert maps.sum(axis=(1, 2)).tolist() == [5, 5, 5]
    cross = [(3, 5), (4, 4), (4, 5), (4, 6), (5, 5)]
    assert list(zip(*np.nonzero(maps[0]), strict=True)) == cross
    assert maps[1, 4, 10] == maps[2, 12, 15] == 1


def test_a_disc_of_the_published_radius_holds_29_pixels_and_any_disc_its_own() -> None:
    wide = replace(CODING, disc_px=3.0).points(layout((8, 8, 1)))
    assert wide.sum() == 29
    for x, y in ((-0.5, -0.5), (19.5, 15.5), (7.5, 7.49)):
        assert replace(CODING, disc_px=0.1).points(layout((x, y, 1))).sum() == 1


def test_gaussians_in_their_place() -> None:
    maps = replace(CODING, blur_px=2.0).points(layout((5, 4, 1), (10, 4, 0)))
    assert maps.shape == (3, 16, 20)
    assert maps[0, 4, 5] == maps[2, 4, 10] == 1
    assert maps[0, 4, 7] == pytest.approx(np.exp(-0.5))
    assert not maps[1].any()


def test_data_of_one_class_has_one_channel_and_that_of_unknown_types() -> None:
    coding = MaskCoding(Slots(()), 0.5, disc_px=0.1)
    assert (coding.point_channels, coding.mask_channels) == (2, 3)
    assert coding.points(layout((5, 4, 0))).sum(axis=(1, 2)).tolist() == [1, 0]


def test_a_mask_is_its_label_and_the_distance() -> None:
    tile = drawn_sample(0)
    mask = CODING.mask(tile.instances, tile.classes)
    assert mask.shape == (4, 40, 48)
    known = np.isin(tile.classes, (1, 3))[tile.instances - 1] | (tile.instances == 0)
    assert_array_equal(mask[:3].sum(axis=0), np.ones((40, 48)))
    assert_array_equal(np.isin(mask[1], (0, 1)), known)
    assert set(np.unique(mask[1:3, ~known])) == {0.5}
    assert_array_equal(mask[0] == 1, tile.instances == 0)
    assert (mask[3].min(), mask[3].max()) == (-1, 1)
    assert (mask[3][tile.instances == 0] == -1).all()


def test_of_a_perfect_mask_the_nuclei_come_back_with_the_classes_of_the_points() -> None:
    tile = drawn_sample(0)
    mask = CODING.mask(tile.instances, tile.classes)
    found, classes = CODING.nuclei(mask, from_instances(tile))
    assert_array_equal(classes, tile.classes)
    assert scores(tile.instances, found)["pq"] > 0.95
    moved = replace(from_instances(tile), classes=np.roll(tile.classes, 1))
    assert_array_equal(CODING.nuclei(mask, moved)[1], moved.classes)


@given(st.integers(0, 2**32 - 1), st.integers(0, 40), st.booleans())
def test_each_point_has_a_nucleus_of_its_own_that_holds_it(seed: int, count: int, empty: bool) -> None:
    generator = np.random.default_rng(seed)
    xy = generator.uniform(-0.5, 19.5, (count, 2)).astype(np.float32)
    points = Layout(xy, generator.integers(0, 4, count).astype(np.uint8), (20, 20), ("a", "b", "c"), 0.5)
    shares = np.eye(3)[np.zeros((20, 20), int)] if empty else generator.dirichlet(np.ones(3), (20, 20))
    noise = generator.uniform(-1, 1, (20, 20, 1))
    mask = np.concatenate([shares, noise], axis=2).transpose(2, 0, 1).astype(np.float32)
    found, classes = CODING.nuclei(mask, points)
    pixels = [tuple(np.minimum(np.floor(place + 0.5), 19).astype(int)) for place in xy]
    first = [k for k, pixel in enumerate(pixels) if pixel not in pixels[:k]]
    assert_array_equal(classes, points.classes[first])
    assert [found[pixels[k][1], pixels[k][0]] for k in first] == list(range(1, len(first) + 1))
    assert found.max(initial=0) == len(first)


def test_a_mask_of_another_size_is_refused() -> None:
    with pytest.raises(UserError, match="another size") as caught:
        CODING.nuclei(np.zeros((4, 16, 20), np.float32), layout((5, 4, 1), size=(16, 21)))
    assert caught.value.mend


def test_its_picture_has_the_colours_of_the_classes() -> None:
    mask = np.zeros((4, 1, 3), np.float32)
    mask[0, 0, 0] = mask[1, 0, 1] = mask[2, 0, 2] = 1
    shown = CODING.picture(mask)
    assert shown.shape == (1, 3, 3)
    assert_array_equal(shown[0, 1:], class_colours(2)[1:])
