"""Regions that are painted anew."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from nucleosynth.conditions.holes import any_hole, rectangle
from nucleosynth.seeds import generator_of


@pytest.mark.parametrize("share", [0.05, 0.3, 0.7, 0.95])
@pytest.mark.parametrize("size", [(64, 64), (40, 100)])
def test_a_rectangle_of_about_the_share_that_is_asked_for(share: float, size: tuple[int, int]) -> None:
    for k in range(50):
        region = rectangle(size, share, generator_of(k))
        assert (region.shape, region.dtype) == (size, bool)
        assert region.mean() == pytest.approx(share, abs=0.03)
        rows, columns = np.flatnonzero(region.any(axis=1)), np.flatnonzero(region.any(axis=0))
        high, wide = (np.ptp(places) + 1 for places in (rows, columns))
        assert region.sum() == high * wide, "it is filled"
        if share == 0.3:
            assert 0.45 < (high / size[0]) / (wide / size[1]) < 2.2


def test_the_same_generator_draws_the_same_region_and_others_another_place() -> None:
    first, again, other = (rectangle((64, 64), 0.3, generator_of(k)) for k in (4, 4, 5))
    assert_array_equal(first, again)
    assert (first != other).any()


def test_the_smallest_and_the_largest() -> None:
    assert rectangle((8, 8), 1e-6, generator_of(0)).sum() == 1
    assert rectangle((8, 8), 1.0, generator_of(0)).all()
    assert rectangle((1, 1), 0.5, generator_of(0)).all()


def test_every_place_is_reached() -> None:
    drawn = np.mean([rectangle((16, 16), 0.3, generator_of(k)) for k in range(500)], axis=0)
    assert drawn.min() > 0
    assert drawn[6:10, 6:10].min() > drawn[0, 0]


def test_one_hole_in_four_to_learn_on_is_all_but_a_rectangle() -> None:
    corners = [any_hole((32, 32), generator_of(k))[[0, 0, -1, -1], [0, -1, 0, -1]] for k in range(400)]
    assert np.mean([corner.sum() >= 3 for corner in corners]) == pytest.approx(0.25, abs=0.08)
    shares = [any_hole((32, 32), generator_of(k)).mean() for k in range(400)]
    assert min(shares) > 0.08
    assert max(shares) < 0.92
