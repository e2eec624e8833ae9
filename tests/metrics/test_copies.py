"""Copies of training crops: planted ones are found, fresh tiles are not."""

import cv2
import numpy as np
import pytest
from numpy.testing import assert_allclose

from nucleosynth.errors import UserError
from nucleosynth.metrics.copies import copies, correlations, density, nearest
from nucleosynth.sample import Image, transform_array


def tissue(seed: int, height: int = 160, width: int = 160) -> Image:
    """Dark ellipses on a light ground: as much alike as two drawn tissues are."""
    rng = np.random.default_rng(seed)
    image = np.full((height, width, 3), (225, 170, 205), np.uint8)
    for _ in range(height * width // 250):
        centre, axes = rng.integers(0, (width, height)), rng.integers(4, 9, 2)
        colour = (np.array([110, 60, 140]) + rng.integers(-20, 20, 3)).tolist()
        cv2.ellipse(image, centre.tolist(), axes.tolist(), int(rng.integers(180)), 0, 360, colour, -1)
    return np.clip(image + rng.normal(0, 4, image.shape), 0, 255).astype(np.uint8)


def restained(image: Image) -> Image:
    """Another stain: the optical density of each channel scaled and shifted."""
    deeper = -np.log10(np.maximum(image, 1) / 255) * [1.3, 0.8, 1.1] + 0.03
    return (255 * 10**-deeper).clip(0, 255).astype(np.uint8)


TRAINING = [tissue(seed) for seed in range(3)]
FRESH = [tissue(seed, 64, 64) for seed in range(100, 106)]


@pytest.mark.parametrize("symmetry", range(8))
def test_a_turned_restained_shifted_copy_is_found_where_it_was_cut(symmetry: int) -> None:
    crop = TRAINING[2][37:101, 53:117]
    planted = transform_array(restained(crop), symmetry)
    (found,) = nearest([planted], TRAINING)
    assert found[1:2] + found[3:] == (2, 37, 53)
    assert found.distance < 0.01
    undone = transform_array(planted, found.symmetry)
    assert np.corrcoef(density(undone).ravel(), density(crop).ravel())[0, 1] > 0.99


def test_a_noisy_copy_is_nearer_than_every_fresh_tile() -> None:
    rng = np.random.default_rng(0)
    noisy = (TRAINING[0][10:74, 21:85] + rng.normal(0, 25, (64, 64, 3))).clip(0, 255).astype(np.uint8)
    planted, *fresh = nearest([noisy, *FRESH], TRAINING)
    assert planted.distance < 0.5 * min(found.distance for found in fresh)


def test_the_verdict_tells_a_generator_that_copies_from_one_that_does_not() -> None:
    rng = np.random.default_rng(1)
    corners = rng.integers(0, 96, (4, 2))
    learnt_by_heart = [restained(TRAINING[0][y : y + 64, x : x + 64]) for y, x in corners]
    copied, honest = copies(learnt_by_heart, FRESH[:3], TRAINING), copies(FRESH[3:], FRESH[:3], TRAINING)
    assert copied["distance"] < 0.1 * copied["held_out_distance"]
    assert (copied["share_closer"], copied["blank"]) == (1, 0)
    # All four before all three: one of the 35 orders, by either test.
    assert copied["p_nearer"] == pytest.approx(1 / 35)
    assert copied["p_closest"] == pytest.approx(1 / 35)
    assert min(honest["p_nearer"], honest["p_closest"]) > 0.05
    assert honest["held_out_distance"] == copied["held_out_distance"]
    assert honest["distance"] > 0.8 * honest["held_out_distance"]
    assert honest["closest"] > 10 * copied["closest"]


def test_density_is_the_mean_optical_density_of_the_channels() -> None:
    assert_allclose(density(np.array([[[255, 255, 255], [0, 1, 1]]], np.uint8)), [[0, np.log10(255)]], rtol=1e-6)
    assert_allclose(density(np.array([[[51, 255, 102]]], np.uint8)), [[np.log10(5 * 2.5) / 3]], rtol=1e-6)


def test_correlations_are_those_of_every_window() -> None:
    picture, template = density(TRAINING[0][:40, :30]), density(FRESH[0][:12, :9])
    found = correlations(picture, template)
    assert found.shape == (29, 22)
    for top, left in ((0, 0), (28, 21), (5, 17)):
        window = picture[top : top + 12, left : left + 9]
        assert_allclose(found[top, left], np.corrcoef(window.ravel(), template.ravel())[0, 1], atol=1e-5)


def test_flat_windows_and_flat_templates_resemble_nothing() -> None:
    picture = density(TRAINING[0]).copy()
    picture[:40, :40] = 0.3
    found = correlations(picture, density(FRESH[0][:20, :20]))
    assert (found[:21, :21] == -1).all()
    assert np.isfinite(found).all()
    assert (correlations(picture, np.full((20, 20), 0.2, np.float32)) == -1).all()


def test_few_copies_among_many_fresh_tiles_are_told_from_chance() -> None:
    copied = [restained(TRAINING[0][k : k + 64, k : k + 64]) for k in (3, 40, 70)]
    found = copies([*copied, *FRESH[:2]], FRESH[2:], TRAINING)
    assert found["share_closer"] >= 3 / 5
    assert found["p_closest"] <= 5 * 4 * 3 / np.prod(5 + len(FRESH) - 2 - np.arange(3))


def test_blank_tiles_are_left_out_and_counted() -> None:
    blank = np.full((64, 64, 3), 244, np.uint8)
    assert np.isnan(nearest([blank], TRAINING)[0].distance)
    found = copies([blank, FRESH[0]], [], TRAINING)
    assert (found["blank"], found["distance"]) == (1, found["closest"])
    assert np.isnan(
        [found[name] for name in ("held_out_distance", "held_out_closest", "share_closer", "p_nearer")]
    ).all()


def test_an_oblong_tile_is_compared_as_far_as_it_fits() -> None:
    (found,) = nearest([transform_array(TRAINING[0][3:51, 8:150], 2)], [TRAINING[0][:60]])
    assert (found.symmetry, found.top, found.left) == (2, 3, 8)
    assert found.distance == pytest.approx(0, abs=1e-5)


def test_tiles_that_cannot_be_compared_are_refused() -> None:
    with pytest.raises(UserError, match="smaller than the tiles"):
        nearest(FRESH, [TRAINING[0][:50]])
    with pytest.raises(UserError, match="smaller than the tiles"):
        nearest(FRESH, [])
    with pytest.raises(UserError, match="several sizes"):
        copies(FRESH, [FRESH[0][:32]], TRAINING)
    for tile, shrink in ((FRESH[0][:8], 4), (FRESH[0], 0)):
        with pytest.raises(UserError, match="too small to shrink"):
            nearest([tile], TRAINING, shrink=shrink)
