"""How much of a tile each class covers, as a condition."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from drawn import drawn_sample
from nucleosynth.conditions.proportions import amounts, from_label
from nucleosynth.errors import UserError
from nucleosynth.metrics.proportions import class_proportions
from nucleosynth.sample import Condition


@pytest.mark.parametrize("seed", range(3))
def test_shares_are_those_that_are_scored(seed: int) -> None:
    tile = drawn_sample(seed)
    known = np.where(tile.classes == 0, 1, tile.classes).astype(np.uint8)
    shares = from_label(tile.instances, known, 3)
    scored = class_proportions(tile.instances, known, 3, background=True)
    assert_allclose(shares, [*scored[1:] / 100, 0])
    assert_allclose(1 - shares.sum(), scored[0] / 100)


def test_nuclei_of_unknown_type_have_a_share_of_their_own() -> None:
    instances = np.zeros((10, 10), np.int32)
    instances[:2], instances[4:5], instances[9, :5] = 1, 2, 4
    found = from_label(instances, np.array([2, 0, 3, 1], np.uint8), 3)
    assert_allclose(found, [0.05, 0.2, 0, 0.1])
    assert_allclose(amounts(found, (2, 3)), 2 * np.sqrt([0.35, 0.2, 0]), rtol=1e-6)
    assert_array_equal(from_label(np.zeros((4, 4), np.int32), np.zeros(0, np.uint8), 2), [0, 0, 0])


def test_where_all_types_are_known_amounts_need_no_more_than_the_classes() -> None:
    assert_array_equal(amounts([0.2, 0.3, 0], (1, 2)), amounts([0.2, 0.3], (1, 2)))
    assert_allclose(amounts([0.25], ()), [1])
    assert_allclose(amounts([1.0, 0], (1, 2)), [2, 2, 0])


@pytest.mark.parametrize("shares", [[0.1], [0.1, 0.2, 0.1, 0.1], [0.5, -0.1], [0.7, 0.4]])
def test_proportions_that_do_not_fit_are_refused(shares: list[float]) -> None:
    with pytest.raises(UserError, match="proportions do not fit"):
        Condition((8, 8), class_names=("a", "b"), proportions=np.array(shares))


def test_proportions_that_fit_are_taken() -> None:
    for shares in ([0.0, 0.0], [0.6, 0.4], [0.1, 0.2, 0.7]):
        asked = Condition((8, 8), class_names=("a", "b"), proportions=np.array(shares))
        assert asked.given() == {"proportions"}
