"""Training windows: labels stay where their nuclei are, drawing is fair, targets are exact."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.ndimage import maximum_filter, minimum_filter

from nucleosynth.conditions.structure import UNKNOWN
from nucleosynth.sample import Sample, transform_array
from nucleosynth.segmentation.augment import (
    CLASSIC,
    NONE,
    RELEASED,
    Augmentation,
    Window,
    draw,
    pieces,
    recolour,
    sampling,
    warp,
)
from nucleosynth.segmentation.targets import targets

STILL = Augmentation(affine_share=0, blur_px=0, noise=0, hue=0, saturation=0, brightness=0, contrast=0)
Discs = Callable[..., Sample]


def painted(sample: Sample) -> Window:
    """A tile whose image is its label: nucleus k has the colour 6 k."""
    grey = 6 * sample.instances
    return Window(np.repeat(grey[..., None], 3, axis=2).astype(np.uint8), sample.instances, sample.classes)


def check_paint(window: Window, tile: Window) -> None:
    """Inside each label the image has the paint of one nucleus, of that class; outside all labels it has none."""
    low, high = (each(window.instances, 5, mode="constant", cval=-1) for each in (minimum_filter, maximum_filter))
    inner = low == high  # the image is blended across outlines, and beyond the window's border nothing is known
    owner = window.image[..., 0].astype(int) // 6
    assert inner.mean() > 0.3
    np.testing.assert_array_equal(window.image[inner & (window.instances == 0)], 0)
    checked = 0
    for k in range(1, len(window.classes) + 1):
        paints = np.unique(owner[inner & (window.instances == k)])
        assert len(paints) <= 1
        checked += len(paints)
        for paint in paints:
            assert tile.classes[paint - 1] == window.classes[k - 1]
    assert checked > 0


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("side", [48, 96, 120])
def test_labels_stay_aligned(discs: Discs, seed: int, side: int) -> None:
    tile = painted(discs(seed))
    rng = np.random.default_rng(seed)
    window = warp(tile, sampling((96, 96), side, Augmentation(affine_share=1), rng), side)
    assert window.instances.max() == len(window.classes) > 0
    check_paint(window, tile)


def test_without_affine_maps_a_window_is_a_symmetry_of_the_tile(discs: Discs) -> None:
    sample = discs(0)
    tile = Window(sample.image, sample.instances, sample.classes)
    versions = [transform_array(sample.image, symmetry) for symmetry in range(8)]
    seen = set()
    for seed in range(60):
        window = draw([tile], 96, STILL, np.random.default_rng(seed))
        same = [k for k, version in enumerate(versions) if np.array_equal(version, window.image)]
        assert len(same) == 1
        np.testing.assert_array_equal(transform_array(sample.instances, same[0]) > 0, window.instances > 0)
        seen.update(same)
    assert seen == set(range(8))


def test_small_tiles_are_laid_side_by_side(discs: Discs) -> None:
    """Two tiles of 40^2 fill a window of 80^2 in four cells, none mirrored, none blended, no nucleus across a seam."""
    samples = [discs(seed, (40, 40), 6) for seed in (1, 2)]
    tiles = [Window(s.image, s.instances, s.classes) for s in samples]
    versions = [transform_array(s.image, symmetry) for s in samples for symmetry in range(8)]
    window = draw(tiles, 80, STILL, np.random.default_rng(0))
    cells = [np.s_[top : top + 40, left : left + 40] for top in (0, 40) for left in (0, 40)]
    for cell in cells:
        assert any(np.array_equal(window.image[cell], version) for version in versions)
    ids = [set(np.unique(window.instances[cell])) - {0} for cell in cells]
    assert sum(map(len, ids)) == len(set.union(*ids)) == len(window.classes)


def test_a_slightly_small_tile_is_mirrored_and_its_images_are_nuclei_apart(discs: Discs) -> None:
    sample = discs(3, (70, 70))
    window = draw([painted(sample)], 96, STILL, np.random.default_rng(1))
    assert window.image.shape == (96, 96, 3)
    assert len(window.classes) > len(sample.classes)
    check_paint(window, painted(sample))


def test_places_are_drawn_evenly_and_tiles_by_area() -> None:
    def plain(side: int, value: int) -> Window:
        return Window(
            np.full((side, side, 3), value, np.uint8), np.zeros((side, side), np.int32), np.zeros(0, np.uint8)
        )

    rng = np.random.default_rng(0)
    values = [draw([plain(60, 10), plain(30, 20)], 16, STILL, rng).image[0, 0, 0] for _ in range(800)]
    assert abs(np.mean(np.array(values) == 10) - 0.8) < 0.05
    corners = np.array([sampling((60, 60), 16, STILL, rng) @ [7.5, 7.5, 1] - 7.5 for _ in range(3000)])
    assert corners.min() == 0
    assert corners.max() == 44
    assert np.abs(corners.mean(axis=0) - 22).max() < 1


def test_recolouring_changes_nothing_when_told_so_and_each_change_is_seen() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(60, 200, (32, 32, 3), dtype=np.uint8)
    np.testing.assert_array_equal(recolour(image, STILL, rng), image)
    for name, most in (("hue", 30), ("saturation", 0.5), ("brightness", 40), ("contrast", 0.5)):
        settings = STILL.model_copy(update={name: most})
        changed = [recolour(image, settings, np.random.default_rng(seed)).astype(float) for seed in range(20)]
        assert max(np.abs(each - image).mean() for each in changed) > 3, name
        if name == "contrast":
            assert np.ptp([each.std() for each in changed]) > 10
            assert np.ptp([each.mean() for each in changed]) < 2


def test_same_generator_same_window(discs: Discs) -> None:
    tile = painted(discs(0))
    first, again, other = (draw([tile], 64, Augmentation(), np.random.default_rng(seed)) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.instances, again.instances)
    assert not np.array_equal(first.image, other.image)


def test_targets_of_two_nuclei() -> None:
    instances = np.zeros((4, 6), np.int32)
    instances[1:4, 0:3], instances[0, 4] = 1, 2
    wanted = targets(instances, np.array([3, 0], np.uint8), "offsets", offset_px=2.0)
    np.testing.assert_array_equal(wanted["nuclei"], instances > 0)
    assert wanted["type"][2, 1] == 3
    assert wanted["type"][0, 4] == UNKNOWN
    assert wanted["type"][0, 0] == 0
    np.testing.assert_array_equal(wanted["offsets"][:, 1, 0], [0.5, 0.5])  # one px right and down, in units of two px
    np.testing.assert_array_equal(wanted["offsets"][:, 3, 1], [0, -0.5])
    hover = targets(instances, np.array([3, 0], np.uint8), "hover", offset_px=2.0)["hover"]
    np.testing.assert_array_equal(hover[:, 1, 0], [-1, -1])


def test_the_plain_baseline_is_random_windows_alone(discs: Callable[..., Sample]) -> None:
    sample = discs(0)
    tile = Window(sample.image, sample.instances, sample.classes)
    corners = set()
    for seed in range(20):
        window = draw([tile], 64, NONE, np.random.default_rng(seed))
        places = [
            (top, left)
            for top in range(33)
            for left in range(33)
            if np.array_equal(sample.image[top : top + 64, left : left + 64], window.image)
        ]
        assert len(places) == 1
        corners.update(places)
    assert len(corners) > 15


def test_the_released_augmentation_spares_no_window_but_by_a_blur_too_weak_to_see(discs: Callable[..., Sample]) -> None:
    image = discs(0).image
    still = {"hue": 0, "saturation": 0, "brightness": 0, "contrast": 0}
    spared = []
    for settings in (CLASSIC, RELEASED):
        quiet = settings.model_copy(update=still)
        spared.append(
            sum(np.array_equal(recolour(image, quiet, np.random.default_rng(seed)), image) for seed in range(60))
        )
    assert spared[0] > 60 / 4
    assert spared[1] < 60 / 6


def test_maps_smaller_than_the_window_are_its_middle(discs: Callable[..., Sample]) -> None:
    """A nucleus that their border cuts keeps its centre, which may lie outside."""
    sample = discs(0, (64, 64))
    instances, classes = pieces(sample.instances, sample.classes)
    for coding in ("offsets", "hover"):
        whole = targets(instances, classes, coding, 2.0)
        for name, cut in targets(instances, classes, coding, 2.0, side=40).items():
            np.testing.assert_array_equal(cut, whole[name][..., 12:52, 12:52])


def test_released_targets_against_the_steps_that_they_are_made_by(discs: Callable[..., Sample]) -> None:
    sample = discs(1, (64, 64), 30)
    instances, _ = pieces(sample.instances, sample.classes)
    found = targets(instances, np.ones(instances.max(), np.uint8), "hover", 1.0, side=40, released=True)["hover"]
    expected = np.zeros((2, 64, 64), np.float32)
    shown = 0
    for k in range(1, instances.max() + 1):
        if (instances[12:52, 12:52] == k).sum() < 30:
            continue
        shown += 1
        y, x = np.nonzero(instances == k)
        for axis, at in enumerate((x, y)):
            first = at.min()
            centre = int((at - first).mean() + 0.5)
            along = (at - first + 1 - centre).astype(np.float32)
            for side in (along < 0, along > 0):
                along[side] /= np.abs(along[side]).max(initial=1)
            expected[axis][instances == k] = along
    assert 0 < shown < instances.max()
    np.testing.assert_allclose(found, expected[:, 12:52, 12:52], atol=1e-6)
