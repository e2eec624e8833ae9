"""Resampling, windows, crops and padding: truth from geometry."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from drawn import CLASS_NAMES, assert_same, drawn_sample, full_sample
from nucleosynth.data.tiles import grid, pad_to, resample, resize_label
from nucleosynth.errors import UserError
from nucleosynth.sample import Layout, Sample, without_gaps


def centroids(sample: Sample) -> np.ndarray:
    return np.array([np.argwhere(sample.instances == k).mean(axis=0)[::-1] for k in range(1, len(sample.classes) + 1)])


def discs() -> Sample:
    """Three discs of radius 12 px on 120 x 160 px; the image is a ramp of 1 grey level a pixel, to the right."""
    y, x = np.mgrid[:120, :160]
    instances = np.zeros((120, 160), np.int32)
    for k, (cx, cy) in enumerate([(30, 30), (100, 40), (60, 90)], start=1):
        instances[(x - cx) ** 2 + (y - cy) ** 2 <= 144] = k
    image = np.repeat(x[..., None], 3, axis=2).astype(np.uint8)
    xy = np.array([[30, 30], [100, 40], [60, 90]], np.float32)
    classes = np.array([1, 2, 3], np.uint8)
    points = Layout(xy, classes, (120, 160), CLASS_NAMES, 0.25)
    return drawn_sample(0, size=(120, 160), instances=instances, classes=classes, image=image, points=points)


@pytest.mark.parametrize("mpp", [0.5, 0.125, 0.3])
def test_image_label_and_points_stay_together(mpp: float) -> None:
    old = discs()
    new = resample(old, mpp)
    factor = 0.25 / mpp
    assert new.size == (round(120 * factor), round(160 * factor))
    assert new.mpp == mpp
    assert new.points is not None
    assert old.points is not None
    # A pixel's centre is an integer: the tile's own corner is at -1/2. Sides are rounded, and points with them.
    expected = (old.points.xy + 0.5) * (new.size[1] / 160, new.size[0] / 120) - 0.5
    assert_allclose(new.points.xy, expected, atol=1e-4)
    assert_allclose(centroids(new), expected, atol=0.6)
    x = np.arange(10, new.size[1] - 10)
    assert_allclose(new.image[5, x, 0], (x + 0.5) / factor - 0.5, atol=1.01)
    assert_allclose(np.bincount(new.instances.ravel())[1:] / factor**2, 441, rtol=0.06)


def test_halving_takes_the_mean_of_four_pixels() -> None:
    sample = drawn_sample(0, size=(40, 48))
    blocks = sample.image.reshape(20, 2, 24, 2, 3).astype(float).mean(axis=(1, 3))
    assert_allclose(resample(sample, 0.5).image, blocks, atol=0.51)


def test_a_nucleus_that_no_centre_meets_takes_the_background_pixel_that_holds_most_of_it() -> None:
    instances = np.zeros((40, 40), np.int32)
    # A new pixel is 4 x 4 old ones with its centre at (2, 2): this nucleus has 1 px in the first one, 2 in the second.
    instances[3:6, 0], instances[10:20, 10:20] = 1, 2
    new, classes = resize_label(instances, np.array([3, 1], np.uint8), (10, 10))
    assert np.argwhere(new == 1).tolist() == [[1, 0]]
    assert classes.tolist() == [3, 1]
    assert_array_equal(new == 2, instances[2::4, 2::4] == 2)


def test_a_neighbour_gives_only_where_there_is_no_background_and_never_its_last_pixel() -> None:
    instances = np.zeros((4, 8), np.int32)
    instances[:, 4:] = 1
    instances[0, 3], instances[0, 4:6], instances[3, 5] = 2, 2, 3
    new, classes = resize_label(instances, np.array([1, 2, 3], np.uint8), (2, 4))
    # Nucleus 2 has more of the pixel of 1, but the background is asked first; 3 lies at a centre, where 1 kept others.
    assert new.tolist() == [[0, 2, 1, 1], [0, 0, 3, 1]]
    instances = np.array([[1, 1, 1, 1], [2, 1, 3, 1]], np.int32)
    new, classes = resize_label(instances, np.array([1, 2, 3], np.uint8), (1, 3))
    assert sorted(new[0].tolist()) == [1, 2, 3]
    assert classes.tolist() == [1, 2, 3]


def test_nuclei_of_one_new_pixel_settle_side_by_side() -> None:
    instances = np.zeros((40, 40), np.int32)
    instances[16:20:2, 16:20:2] = [[1, 2], [3, 4]]
    new, _ = resize_label(instances, np.ones(4, np.uint8), (10, 10))
    assert np.abs(np.argwhere(new > 0) - 4).max() == 1
    assert len(np.unique(new)) == 5


@settings(max_examples=200, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.tuples(st.integers(1, 24), st.integers(1, 24)),
    st.tuples(st.integers(1, 24), st.integers(1, 24)),
    st.integers(1, 60),
)
def test_every_nucleus_survives_where_there_is_room(
    seed: int, old: tuple[int, int], new: tuple[int, int], most: int
) -> None:
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, most + 1, old).astype(np.int32) * (rng.random(old) < rng.random())
    classes = (np.arange(most) % 4).astype(np.uint8)
    instances, classes = without_gaps(drawn, classes)
    if len(classes) > new[0] * new[1]:
        with pytest.raises(UserError, match="more nuclei than pixels"):
            resize_label(instances, classes, new)
        return
    found, kinds = resize_label(instances, classes, new)
    assert found.shape == new
    assert np.unique(found[found > 0]).tolist() == list(range(1, len(classes) + 1))
    assert_array_equal(kinds, classes)
    rows, columns = ((2 * np.arange(n) + 1) * o // (2 * n) for n, o in zip(new, old, strict=True))
    plain = instances[rows[:, None], columns]
    lost = np.setdiff1d(np.arange(1, len(classes) + 1), plain)
    changed = found != plain
    assert changed.sum() == len(lost)
    assert np.isin(found[changed], lost).all()


def test_more_nuclei_than_pixels_are_refused() -> None:
    with pytest.raises(UserError, match=r"more nuclei than pixels(.|\n)*tile_0"):
        resample(drawn_sample(0), 3.0)


def test_the_same_resolution_is_the_same_sample() -> None:
    assert_same(resample(full_sample(), 0.25), full_sample())


@pytest.mark.parametrize(("has", "wants"), [(None, 0.5), (0.5, 0.0), (0.5, float("nan"))])
def test_resolution_is_never_guessed(has: float | None, wants: float) -> None:
    with pytest.raises(UserError, match="unknown resolution"):
        resample(drawn_sample(0, mpp=has), wants)


def test_the_published_grid_has_49_windows() -> None:
    origins = grid((1000, 1000), 256, 128)
    assert len(set(origins)) == 49
    assert max(origins) == (744, 744)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 40), st.integers(1, 40))
def test_windows_cover_every_pixel_and_stay_inside(height: int, width: int, tile: int, stride: int) -> None:
    tile = min(tile, height, width)
    stride = min(stride, tile)
    covered = np.zeros((height, width), bool)
    origins = grid((height, width), tile, stride)
    for top, left in origins:
        assert covered[top : top + tile, left : left + tile].shape == (tile, tile)
        covered[top : top + tile, left : left + tile] = True
    assert covered.all()
    assert len(set(origins)) == len(origins)


@pytest.mark.parametrize(("tile", "stride"), [(41, 1), (0, 1), (8, 0)])
def test_windows_that_do_not_fit_are_refused(tile: int, stride: int) -> None:
    with pytest.raises(UserError, match="windows do not fit"):
        grid((40, 48), tile, stride)


def test_padding_mirrors_and_gives_mirror_images_their_own_ids() -> None:
    instances = np.zeros((6, 6), np.int32)
    instances[1:3, 1:3], instances[4, 3:6] = 1, 2
    points = Layout(np.array([[1.5, 1.5]], np.float32), np.array([1], np.uint8), (6, 6), CLASS_NAMES, 0.25)
    sample = drawn_sample(0, size=(6, 6), instances=instances, classes=np.array([1, 3], np.uint8), points=points)
    padded = pad_to(sample, 10)
    assert padded.size == (10, 10)
    assert_array_equal(padded.image, np.pad(sample.image, ((0, 4), (0, 4), (0, 0)), mode="reflect"))
    assert_array_equal(padded.instances[:6, :6], instances)
    assert_array_equal(padded.instances > 0, np.pad(instances > 0, (0, 4), mode="reflect"))
    # Nucleus 1 appears four times, each time as another nucleus; nucleus 2 grows over the right border, once.
    assert sorted(padded.classes.tolist()) == [1, 1, 1, 1, 3, 3]
    assert np.unique(padded.instances[4, 3:8]).tolist() == [2]
    assert padded.points is not None
    assert sorted(map(tuple, padded.points.xy.tolist())) == [(1.5, 1.5), (1.5, 8.5), (8.5, 1.5), (8.5, 8.5)]


@pytest.mark.parametrize("size", [(1, 1), (2, 7), (7, 2), (5, 40)])
def test_tiny_tiles_are_padded_as_often_as_needed(size: tuple[int, int]) -> None:
    instances = np.zeros(size, np.int32)
    instances[0, 0] = 1
    sample = drawn_sample(0, size=size, instances=instances, classes=np.array([2], np.uint8))
    padded = pad_to(sample, 23)
    assert padded.size == (23, max(23, size[1]))
    extra = ((0, padded.size[0] - size[0]), (0, padded.size[1] - size[1]), (0, 0))
    assert_array_equal(padded.image, np.pad(sample.image, extra, mode="reflect" if min(size) > 1 else "edge"))


def test_a_tile_that_is_large_enough_is_left_alone() -> None:
    assert_same(pad_to(full_sample(), 40), full_sample())
