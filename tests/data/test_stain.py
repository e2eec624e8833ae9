"""Stain mixing against Beer-Lambert's law."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from skimage.color import hed_from_rgb

from nucleosynth.data.stain import REFERENCE, RUIFROK_JOHNSTON, Stain, draw_stain, unit


@pytest.mark.parametrize("seed", range(5))
def test_amounts_survive_a_round_trip(seed):
    rng = np.random.default_rng(seed)
    amounts = rng.uniform(0, 0.8, (7, 5, 2))
    stain = draw_stain(rng)
    assert_allclose(stain.separate(stain.mix(amounts)), amounts, atol=1e-9)


def test_no_stain_is_white_and_one_unit_of_density_is_a_tenth_of_it():
    grey = Stain(unit(np.ones((2, 3))), np.full(2, np.sqrt(3)), np.full(3, 240.0))
    assert_allclose(grey.mix(np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]])), [[240.0] * 3, [24.0] * 3, [2.4] * 3])


def test_densities_add_up_over_layers():
    first, second = np.array([0.3, 0.1]), np.array([0.2, 0.4])
    both = REFERENCE.mix(first + second)
    assert_allclose(both, REFERENCE.mix(first) * REFERENCE.mix(second) / REFERENCE.white)


def test_rounding_to_bytes_costs_little():
    amounts = np.random.default_rng(0).uniform(0, 0.6, (1000, 2))
    assert_allclose(REFERENCE.separate(np.round(REFERENCE.mix(amounts))), amounts, atol=0.02)


def test_black_pixels_stay_finite():
    assert np.isfinite(REFERENCE.separate(np.zeros((1, 3), np.uint8))).all()


def test_haematoxylin_is_that_of_ruifrok_and_johnston():
    published = np.linalg.inv(hed_from_rgb)[:2]
    assert_allclose(unit(RUIFROK_JOHNSTON), unit(published), atol=1e-6)


def test_drawn_vectors_lie_near_the_published_ones():
    for seed in range(50):
        stain = draw_stain(np.random.default_rng(seed))
        assert_allclose(np.linalg.norm(stain.vectors, axis=1), 1)
        degrees = np.degrees(np.arccos(np.sum(stain.vectors * REFERENCE.vectors, axis=1)))
        assert degrees.max() < 25
        assert stain.vectors[0, 0] > stain.vectors[1, 0] + 0.2  # haematoxylin takes the red light, eosin does not
