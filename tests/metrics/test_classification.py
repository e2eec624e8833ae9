"""Paired centroids: hand counts, known geometry, unknown types, empty images, phantoms."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.ndimage import center_of_mass
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from nucleosynth.errors import UserError
from nucleosynth.metrics.classification import Nuclei, centroids, nuclei, pair, radius_at, scores

NONE = Nuclei(np.empty((0, 2)), np.empty(0, np.uint8))


def row(*classes: int, shift: float = 0) -> Nuclei:
    """Nuclei 100 px apart on a line, or absent where the class is negative."""
    places = [(100 * k + shift, 50) for k, c in enumerate(classes) if c >= 0]
    return Nuclei(np.array(places, float).reshape(-1, 2), np.array([c for c in classes if c >= 0], np.uint8))


def test_f_d_accuracy_and_f_c_are_those_counted_by_hand() -> None:
    #            pairs: 1-1, 1-1, 1-2, 2-1, 2-2; missed: 1, 2; false alarms: 1
    true = row(1, 1, 1, 2, 2, 1, 2, -1)
    predicted = row(1, 1, 2, 1, 2, -1, -1, 1, shift=3)
    found = scores([(true, predicted)], ["a", "b"], 12)
    assert found == {
        "f_d": pytest.approx(2 * 5 / (2 * 5 + 1 + 2)),
        "accuracy": pytest.approx(3 / 5),
        "f_a": pytest.approx(2 * 2 / (2 * 2 + 2 * 1 + 2 * 1 + 1 + 1)),
        "f_b": pytest.approx(2 * 1 / (2 * 1 + 2 * 1 + 2 * 1 + 0 + 1)),
    }


def test_unknown_true_types_count_for_f_d_alone() -> None:
    known = (row(1, 2, 2), row(1, 2, 1))
    with_unknown = (row(1, 2, 2, 0, 0), row(1, 2, 1, 1, -1))
    before, after = scores([known], ["a", "b"], 12), scores([with_unknown], ["a", "b"], 12)
    assert after.pop("f_d") == pytest.approx(2 * 4 / (2 * 4 + 1))
    assert before.pop("f_d") == 1
    assert after == before


def test_a_prediction_of_unknown_type_is_a_wrong_one() -> None:
    found = scores([(row(1, 1), row(1, 0))], ["a"], 12)
    assert found == {"f_d": 1, "accuracy": 0.5, "f_a": pytest.approx(2 / (2 + 2))}


def test_scores_are_pooled_not_averaged() -> None:
    images = [(row(1), row(1)), (row(1, 1, 1, 1), row(2, 2, 2, -1))]
    found = scores(images, ["a", "b"], 12)
    assert found["f_d"] == pytest.approx(2 * 4 / (2 * 4 + 1))
    assert found["accuracy"] == pytest.approx(1 / 4)


@pytest.mark.parametrize("gated", [False, True])
def test_empty_images(gated: bool) -> None:
    nothing = scores([(NONE, NONE)], ["a"], 12, gated=gated)
    assert np.isnan(list(nothing.values())).all()
    assert np.isnan(list(scores([], ["a"], 12).values())).all()
    for image in ((row(1, 1), NONE), (NONE, row(1, 1))):
        one_sided = scores([image], ["a"], 12, gated=gated)
        assert (one_sided["f_d"], one_sided["f_a"]) == (0, 0)
        assert np.isnan(one_sided["accuracy"])


def test_the_released_phantom_is_a_nucleus_at_the_corner() -> None:
    image = (row(1), row(1))
    assert scores([image, (NONE, NONE)], ["a"], 12, phantom=True) == {"f_d": 1, "accuracy": 1, "f_a": 1}
    missed = scores([image, (NONE, row(1, shift=200))], ["a"], 12, phantom=True)
    assert missed["f_d"] == pytest.approx(2 / (2 + 1 + 1))  # the phantom is a miss as well
    assert missed["f_a"] == pytest.approx(2 / (2 + 1))
    paired = scores([(NONE, Nuclei(np.array([[3.0, 4.0]]), np.array([1])))], ["a"], 12, phantom=True)
    assert paired == {"f_d": 1, "accuracy": 0, "f_a": 0}


def test_gating_first_finds_a_pair_that_the_least_sum_of_distances_loses() -> None:
    # 0 + 22.006 px is less than 11 + 11.01 px, so that the released order loses one pair at the gate.
    close = np.array([[0.0, 0.0], [11.0, 0.0]]), np.array([[11.0, 0.0], [22.0, 0.5]])
    assert len(pair(*close, 12).true) == 1
    assert_array_equal(pair(*close, 12, gated=True), [[0, 1], [0, 1]])


@settings(deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_gated_pairs_are_as_many_as_can_be_and_then_the_nearest(n: int, m: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    true, predicted = rng.integers(0, 40, (n, 2)).astype(float), rng.integers(0, 40, (m, 2)).astype(float)
    distance = cdist(true, predicted)
    penalised = np.where(distance <= 12, distance, 1e4)
    best = penalised[linear_sum_assignment(penalised)]
    pairs = pair(true, predicted, 12, gated=True)
    assert len(pairs.true) == (best < 1e4).sum()
    assert_allclose(distance[pairs.true, pairs.predicted].sum(), best[best < 1e4].sum())
    assert len(pair(true, predicted, 12).true) <= len(pairs.true)
    assert (np.diff(pairs.true) > 0).all()


def test_the_radius_is_included_and_what_lies_beyond_is_not() -> None:
    for gated in (False, True):
        assert len(pair(np.array([[0.0, 0.0]]), np.array([[12.0, 0.0]]), 12, gated=gated).true) == 1
        assert len(pair(np.array([[0.0, 0.0]]), np.array([[12.01, 0.0]]), 12, gated=gated).true) == 0
        assert len(pair(np.array([[5.0, 5.0]]), np.array([[5.0, 5.0]]), 12, gated=gated).true) == 1
    assert (radius_at(0.25), radius_at(0.5)) == (12, 6)


def test_centroids_are_pixel_means_in_the_order_of_ids() -> None:
    labels = np.random.default_rng(0).choice([0, 3, 9, 40, 10**7], (12, 17))
    expected = [center_of_mass(labels == k)[::-1] for k in (3, 9, 40, 10**7)]
    assert_allclose(centroids(labels), expected, rtol=1e-12)
    assert_allclose(centroids(np.array([[0, 7, 7]])), [[1.5, 0]])
    assert centroids(np.zeros((3, 3), np.int32)).shape == (0, 2)


@pytest.mark.parametrize(
    ("true", "radius", "what"),
    [
        (row(1), 0.0, "bad radius"),
        (row(1), float("nan"), "bad radius"),
        (row(3), 12.0, "a class out of range"),
        (Nuclei(np.zeros((2, 2)), np.ones(3, np.uint8)), 12.0, "classes do not fit"),
        (nuclei(np.eye(2, dtype=np.int32), np.ones(2, np.uint8)), 12.0, "classes do not fit"),
    ],
)
def test_what_does_not_fit_is_refused(true: Nuclei, radius: float, what: str) -> None:
    with pytest.raises(UserError, match=what):
        scores([(true, row(1))], ["a", "b"], radius)


@pytest.mark.parametrize("names", [["a", "d"], ["a", "a"]])
def test_class_names_that_would_hide_f_d_are_refused(names: list[str]) -> None:
    with pytest.raises(UserError, match="a class name that is taken"):
        scores([], names, 12)
