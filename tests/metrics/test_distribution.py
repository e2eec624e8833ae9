"""Frechet and kernel distances against closed forms; class proportions of drawn maps."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from numpy.typing import NDArray
from scipy.linalg import sqrtm

from nucleosynth.errors import UserError
from nucleosynth.metrics.frechet import frechet, frechet_distance
from nucleosynth.metrics.kernel import kid
from nucleosynth.metrics.proportions import class_proportions, fsd

RNG = np.random.default_rng(0)
TURN = np.linalg.qr(RNG.normal(size=(6, 6)))[0]


def turned(variances: list[float]) -> NDArray[np.float64]:
    return TURN @ np.diag(variances) @ TURN.T


def test_frechet_of_commuting_covariances_is_the_distance_of_their_roots() -> None:
    first, second = [1.0, 4, 9, 0.25, 2, 3], [4.0, 1, 1, 9, 2, 0.5]
    step = np.arange(6) / 10
    expected = (step**2).sum() + ((np.sqrt(first) - np.sqrt(second)) ** 2).sum()
    assert frechet(np.zeros(6), turned(first), step, turned(second)) == pytest.approx(expected, rel=1e-12)


def test_frechet_of_singular_covariances_is_exact() -> None:
    first, second = [1.0, 0, 9, 0, 0, 3], [4.0, 1, 0, 0, 0, 0.5]
    expected = ((np.sqrt(first) - np.sqrt(second)) ** 2).sum()
    nowhere = np.zeros(6)
    assert frechet(nowhere, turned(first), nowhere, turned(second)) == pytest.approx(expected, abs=1e-7)
    assert frechet(nowhere, np.zeros((6, 6)), nowhere + 1, np.zeros((6, 6))) == 6


def test_frechet_of_covariances_that_do_not_commute_agrees_with_the_matrix_root() -> None:
    first, second = (np.cov(RNG.normal(size=(50, 6)) @ RNG.normal(size=(6, 6)), rowvar=False) for _ in range(2))
    expected = np.trace(first + second - 2 * sqrtm(first @ second).real)
    assert frechet(np.zeros(6), first, np.zeros(6), second) == pytest.approx(expected, rel=1e-9)
    assert frechet(np.zeros(6), second, np.zeros(6), first) == pytest.approx(expected, rel=1e-9)


def test_frechet_distance_uses_the_unbiased_covariance() -> None:
    # Variances 2 and 18 over n - 1 of two images each.
    assert frechet_distance(np.array([[0.0], [2]]), np.array([[-2.0], [4]])) == pytest.approx(
        (np.sqrt(2) - np.sqrt(18)) ** 2
    )


def test_fsd_of_a_population_with_itself_is_0_and_grows_with_a_shift() -> None:
    shares = RNG.dirichlet([1, 2, 3], 40) * 100
    assert fsd(shares, shares) == pytest.approx(0, abs=1e-5)
    moved = np.clip(shares + np.array([1, 0, 0]), 0, 100)
    assert fsd(shares, moved) == pytest.approx(1, rel=0.1)


@pytest.mark.parametrize(
    ("first", "second", "what"),
    [
        (np.full((3, 2), 50.0), np.full((1, 2), 50.0), "not enough"),
        (np.full((3, 2), 50.0), np.full((3, 3), 50.0), "not enough"),
        (np.empty((0, 2)), np.empty((0, 2)), "not enough"),
        (np.full((3, 2), 150.0), np.full((3, 2), 50.0), "not proportions"),
        (np.full((3, 2), np.nan), np.full((3, 2), 50.0), "not proportions"),
    ],
)
def test_what_are_no_proportions_is_refused(first: NDArray[np.float64], second: NDArray[np.float64], what: str) -> None:
    with pytest.raises(UserError, match=what):
        fsd(first, second)


def test_features_and_moments_that_are_not_finite_or_do_not_fit_are_refused() -> None:
    with pytest.raises(UserError, match="not finite"):
        kid(np.array([[1.0], [np.inf]]), np.ones((2, 1)))
    with pytest.raises(UserError, match="not the moments"):
        frechet(np.zeros(2), np.eye(2), np.zeros(2), np.eye(3))
    with pytest.raises(UserError, match="not finite"):
        frechet(np.zeros(2), np.eye(2) * np.nan, np.zeros(2), np.eye(2))


LABELS = np.array([[0, 3, 3, 3], [8, 8, 0, 0], [9, 0, 0, 0], [0, 0, 0, 0]])


def test_class_proportions_with_and_without_background() -> None:
    with_background = class_proportions(LABELS, np.array([2, 1, 2]), 3, background=True)
    assert_allclose(with_background, np.array([10, 2, 4, 0]) / 16 * 100)
    assert_allclose(class_proportions(LABELS, np.array([2, 1, 2]), 3, background=False), [100 / 3, 200 / 3, 0])


def test_nuclei_of_unknown_type_are_left_out_of_the_whole() -> None:
    unknown = np.array([0, 1, 2])
    assert_allclose(class_proportions(LABELS, unknown, 2, background=True), np.array([10, 2, 1]) / 13 * 100)
    assert_allclose(class_proportions(LABELS, unknown, 2, background=False), [200 / 3, 100 / 3])


def test_class_proportions_of_an_image_without_nuclei() -> None:
    empty, none = np.zeros((4, 4), np.int32), np.empty(0, np.uint8)
    assert_allclose(class_proportions(empty, none, 2, background=True), [100, 0, 0])
    assert_allclose(class_proportions(empty, none, 2, background=False), [0, 0])
    assert_allclose(class_proportions(empty + 1, np.zeros(1, np.uint8), 2, background=True), [0, 0, 0])


@pytest.mark.parametrize("classes", [[1, 2], [1, 2, 4], [-1, 1, 1]])
def test_classes_that_do_not_fit_the_nuclei_are_refused(classes: list[int]) -> None:
    with pytest.raises(UserError, match="classes do not fit"):
        class_proportions(LABELS, np.array(classes), 3, background=True)


def test_kid_of_two_points_is_the_closed_form() -> None:
    # Within: k(0, 2) = 1 and k(1, 3) = 64; across: k(0, 1), k(0, 3) = 1, k(2, 1) = 27, k(2, 3) = 343.
    found = kid(np.array([[0.0], [2]]), np.array([[1.0], [3]]), subsets=3)
    assert found["kid"] == pytest.approx(1 + 64 - 2 * (1 + 1 + 27 + 343) / 4)
    assert found["kid_spread"] == pytest.approx(0)


def test_kid_is_about_0_on_one_population_and_on_both_sides_of_it() -> None:
    values = [kid(*np.random.default_rng(s).normal(size=(2, 60, 4)), subsets=1)["kid"] for s in range(60)]
    error = np.std(values) / np.sqrt(len(values))
    assert abs(np.mean(values)) < 4 * error
    assert 15 < sum(value < 0 for value in values) < 50
    moved = kid(RNG.normal(size=(60, 4)), RNG.normal(size=(60, 4)) + 1, subsets=5)["kid"]
    assert moved > 10 * np.std(values)


def test_kid_depends_on_its_seed_alone_and_draws_subsets() -> None:
    x, y = RNG.normal(size=(30, 3)), RNG.normal(size=(40, 3))
    assert kid(x, y, subset_size=10, seed=1) == kid(x, y, subset_size=10, seed=1)
    assert kid(x, y, subset_size=10, seed=1) != kid(x, y, subset_size=10, seed=2)
    assert kid(x, y, subset_size=10)["kid_spread"] > 0
