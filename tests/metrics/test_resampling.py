"""Intervals hold what they should as often as they say, on Gaussians; floors are of the same number of images."""

import numpy as np
import pytest
from numpy.typing import NDArray

from nucleosynth.errors import UserError
from nucleosynth.metrics.distribution import MEASURES, compared, title, work
from nucleosynth.metrics.frechet import frechet_distance
from nucleosynth.metrics.resampling import Side, estimate
from nucleosynth.report.distances import kind_of

SHIFT = 0.4


def drawn(seed: int, n: int = 60, d: int = 6) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)), rng.normal(size=(n, d)) + SHIFT


def test_the_interval_of_a_mean_is_that_of_its_standard_error() -> None:
    x = np.random.default_rng(0).normal(size=(400, 1))
    found = estimate(lambda real, _: {"mean": float(real.mean())}, Side(x), Side(x), draws=2000, halvings=1)["mean"]
    width = 2 * 1.96 * x.std() / 20
    assert found.high - found.low == pytest.approx(width, rel=0.06)
    assert (found.high + found.low) / 2 == pytest.approx(x.mean(), abs=width / 20)


def test_the_interval_of_the_frechet_distance_covers_its_mean_at_as_many_images() -> None:
    expected = np.mean([frechet_distance(*drawn(seed)) for seed in range(1000, 1400)])
    assert expected > 1.2 * 6 * SHIFT**2  # far from the populations' distance: the bias that is not to be hidden
    found = [compared(*drawn(seed), ("fd",), halvings=0, seed=seed)["fd"] for seed in range(100)]
    covered = np.mean([each.low <= expected <= each.high for each in found])
    assert 0.9 <= covered <= 1
    # No wider than need be: the spread of new samples, within a third.
    spread = np.std([each.value for each in found]) * 2 * 1.96
    assert np.mean([each.high - each.low for each in found]) == pytest.approx(spread, rel=1 / 3)


def test_the_intervals_of_unbiased_scores_cover_the_populations_own() -> None:
    # E (x y / d + 1)^3 of independent Gaussians with means a, b: with s = x y / d, whose moments follow from d terms.
    true_kid = _expected_kernel(0, 0) + _expected_kernel(SHIFT, SHIFT) - 2 * _expected_kernel(0, SHIFT)
    for name, true, pairs, draws in (("kid", true_kid, 80, 100), ("fd_infinity", 6 * SHIFT**2, 24, 40)):
        found = [compared(*drawn(seed), (name,), draws=draws, halvings=0, seed=seed)[name] for seed in range(pairs)]
        covered = np.mean([each.low <= true <= each.high for each in found])
        assert 0.87 <= covered <= 1, name


def _expected_kernel(a: float, b: float, d: int = 6) -> float:
    """E (x y / d + 1)^3 for x ~ N(a, 1)^d and y ~ N(b, 1)^d, from the moments of one term t = x_i y_i."""
    first, second = a * b, (a * a + 1) * (b * b + 1)
    third = (a**3 + 3 * a) * (b**3 + 3 * b)
    sums = (
        d * first,
        d * second + d * (d - 1) * first**2,
        d * third + 3 * d * (d - 1) * second * first + d * (d - 1) * (d - 2) * first**3,
    )
    return 1 + 3 * sums[0] / d + 3 * sums[1] / d**2 + sums[2] / d**3


def test_two_samples_of_one_population_are_at_the_floor() -> None:
    x, y = np.random.default_rng(3).normal(size=(2, 200, 8))
    same, other = compared(x, y, ("fd", "kid", "prdc")), compared(x, y + 1, ("fd", "kid", "prdc"))
    for name, each in same.items():
        assert each.at_floor == pytest.approx(each.floor, rel=0.15, abs=0.03), name
        assert each.floor < each.floor_high
    assert same["fd"].floor > 1.5 * same["fd"].value > 0  # halves have twice the bias
    for name in ("fd", "kid"):
        assert other[name].at_floor > 2 * other[name].floor_high
        assert other[name].low > other[name].floor
    assert other["precision"].high < other["precision"].floor


def test_few_synthetic_images_are_compared_with_as_few_real_ones() -> None:
    sizes: set[tuple[int, int]] = set()

    def score(real: NDArray[np.float64], synthetic: NDArray[np.float64]) -> dict[str, float]:
        sizes.add((len(real), len(synthetic)))
        return {"score": 0.0}

    estimate(score, Side(np.zeros((41, 1))), Side(np.zeros((9, 1))), draws=3, halvings=3)
    assert sizes == {(41, 9), (20, 4), (20, 9)}


def test_images_of_a_slide_are_drawn_together_and_widen_the_interval() -> None:
    rng = np.random.default_rng(4)
    slides = np.repeat(np.arange(12), 10)
    x = rng.normal(size=(12, 1)).repeat(10, axis=0) + 0.1 * rng.normal(size=(120, 1))
    for half in Side(x, slides).halves(rng):
        assert np.bincount(slides[half], minlength=12).tolist().count(10) == 6
        assert len(half) == 60
    alone, together = (compared(x, x + 1, ("fd",), real_groups=groups)["fd"] for groups in (None, slides))
    assert together.high - together.low > 1.5 * (alone.high - alone.low)
    with pytest.raises(UserError, match="groups do not fit"):
        compared(x, x, ("fd",), real_groups=slides[1:])


def test_too_few_images_have_a_score_and_no_interval() -> None:
    x, y = drawn(0, 30)
    found = compared(x, y, ("fd_infinity",), draws=2, halvings=2)["fd_infinity"]
    assert np.isfinite(found.value)
    assert np.isnan([found.low, found.high, found.floor, found.floor_high, found.at_floor]).all()
    assert np.isnan(compared(x, y, ("fd",), draws=0, halvings=0)["fd"].low)


def test_what_is_compared_depends_on_the_seed_alone_and_ticks_as_it_says() -> None:
    ticks: list[int] = []
    x, y = drawn(0)
    both = ("fd", "prdc")
    one = compared(x, y, both, draws=4, halvings=3, seed=5, tick=lambda: ticks.append(1))
    assert one == compared(x, y, both, draws=4, halvings=3, seed=5)
    assert one != compared(x, y, both, draws=4, halvings=3, seed=6)
    assert len(ticks) == work(both, 4, 3)
    assert list(one) == ["fd", "precision", "recall", "density", "coverage"]


@pytest.mark.parametrize("name", MEASURES)
def test_every_measure_gives_numbers_within_its_bounds(name: str) -> None:
    rows = np.random.default_rng(0).dirichlet([1, 2, 3], (2, 60)) * (100 if name == "fsd" else 1)
    for each in compared(*rows, (name,), draws=20, halvings=4).values():
        assert np.isfinite([each.value, each.floor, each.at_floor]).all()
        assert each.low <= each.value <= each.high
        assert name in ("kid", "fd_infinity") or each.low >= 0


def test_names_and_levels_that_are_none_are_refused() -> None:
    x, y = drawn(0)
    with pytest.raises(UserError, match=r"unknown measure(.|\n)*did you mean 'kid'"):
        compared(x, y, ("kidd",))
    with pytest.raises(UserError, match="nothing to measure"):
        compared(x, y, ())
    for level in (0, 1, 95):
        with pytest.raises(UserError, match="no level"):
            compared(x, y, ("fd",), level=level)


def test_the_published_names_are_of_the_published_weights_alone() -> None:
    scores = ("fd", "kid", "is", "fd_infinity", "recall", "fsd")
    assert [title(name, "inception") for name in scores] == ["FID", "KID", "IS", "FID-infinity", "recall", "FSD"]
    assert title("fd", "inception(0123)") == "FD-inception(0123)"
    assert [title(name, "x") for name in scores] == ["FD-x", "KID-x", "IS-x", "FD-infinity-x", "recall-x", "FSD"]


def test_titles_are_known_to_the_columns_of_the_papers() -> None:
    titles = {name: (title(name, "inception"), title(name, "x")) for name in ("fd", "is", "fsd", "kid", "fd_infinity")}
    kinds = {name: {kind_of(each) for each in both} for name, both in titles.items()}
    assert kinds == {"fd": {"FID"}, "is": {"IS"}, "fsd": {"FSD"}, "kid": {""}, "fd_infinity": {""}}
