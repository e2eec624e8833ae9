"""Training windows: labels stay where their nuclei are, drawing is fair, targets are exact."""

from collections.abc import Callable
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import maximum_filter, minimum_filter

from nucleosynth.conditions.structure import UNKNOWN
from nucleosynth.sample import Sample, transform_array
from nucleosynth.segmentation import augment
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


QUIET = {"hue": 0, "saturation": 0, "brightness": 0, "contrast": 0}


def test_how_many_windows_are_neither_blurred_nor_noisy() -> None:
    """A quarter; in the released way those whose kernel is of 1 px, (1/9 + 1/3) / 3 of all."""
    image = np.random.default_rng(9).integers(40, 215, (24, 24, 3), dtype=np.uint8)
    for settings, share in ((CLASSIC, 0.25), (RELEASED, 4 / 27)):
        quiet = settings.model_copy(update={**QUIET, "blur_px": 3.0, "noise": 60.0})  # never too weak to see
        rng = np.random.default_rng(0)
        spared = np.mean([np.array_equal(recolour(image, quiet, rng), image) for _ in range(1500)])
        assert abs(spared - share) < 0.035  # 3 standard deviations


def test_the_released_way_blurs_along_single_axes_and_makes_grey_noise() -> None:
    quiet = RELEASED.model_copy(update=QUIET)
    dot = np.zeros((15, 15, 3), np.uint8)
    dot[7, 7] = 255
    flat = np.full((15, 15, 3), 128, np.uint8)
    extents, kinds = set(), set()
    for seed in range(300):
        seen = recolour(dot, quiet, np.random.default_rng(seed))[..., 0] > 0
        change = recolour(flat, quiet, np.random.default_rng(seed)).astype(int) - 128
        if change.any():
            kinds.add(bool((change == change[..., :1]).all()))
        elif seen.any():
            extents.add((int(seen.any(axis=1).sum()), int(seen.any(axis=0).sum())))
    assert extents == {(high, wide) for high in (1, 3, 5) for wide in (1, 3, 5)}
    assert kinds == {True, False}


def test_the_released_way_has_no_order_of_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[int] = []

    def step(k: int) -> Callable[..., Any]:
        return lambda colour, *_: order.append(k) or colour

    monkeypatch.setattr(augment, "COLOUR_STEPS", tuple(map(step, range(4))))
    orders: dict[bool, set[tuple[int, ...]]] = {True: set(), False: set()}
    for settings in (CLASSIC, RELEASED):
        for seed in range(200):
            order.clear()
            recolour(np.zeros((4, 4, 3), np.uint8), settings, np.random.default_rng(seed))
            orders[settings.released].add(tuple(order))
    assert orders == {False: {(0, 1, 2, 3)}, True: set(permutations(range(4)))}


def test_a_window_is_moved_by_a_share_of_its_side() -> None:
    moving = Augmentation(
        affine_share=1, symmetries=False, scale=0, shear_degrees=0, rotation_degrees=0, translation=0.05
    )
    rng = np.random.default_rng(0)
    shifts = np.array([sampling((80, 80), 80, moving, rng)[:, 2] for _ in range(400)])
    assert 3.8 < np.abs(shifts).max() <= 4
    assert np.abs(shifts.mean(axis=0)).max() < 0.4


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
