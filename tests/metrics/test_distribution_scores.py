"""FD-infinity, neighbours, Inception Score against closed forms, brute force and torch-fidelity's own functions."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from numpy.typing import NDArray
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_isc import isc_features_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric
from torch_fidelity.metric_prc import prc_features_to_metric

from nucleosynth.errors import UserError
from nucleosynth.metrics.frechet import fd_infinity, frechet, frechet_distance
from nucleosynth.metrics.inception_score import inception_score
from nucleosynth.metrics.kernel import kid, squared_mmd
from nucleosynth.metrics.neighbours import AT_ONCE, density_coverage, precision_recall

RNG = np.random.default_rng(0)
SCALE = np.linspace(0.5, 2, 24)
SHIFT = 0.3
TRUE = 24 * SHIFT**2 + ((SCALE - 1) ** 2).sum()
"""The Frechet distance of the two populations that `gaussians` draws from."""


def gaussians(seed: int, n: int, m: int | None = None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 24)), rng.normal(size=(m or n, 24)) * SCALE + SHIFT


@pytest.mark.parametrize(("n", "m"), [(10, 12), (10, 40), (40, 10), (60, 40), (24, 25)])
def test_frechet_distance_is_that_of_the_moments_on_either_side_of_the_number_of_features(n: int, m: int) -> None:
    x, y = gaussians(1, n, m)
    moments = [each for part in (x, y) for each in (part.mean(axis=0), np.cov(part, rowvar=False))]
    assert frechet_distance(x, y) == pytest.approx(frechet(*moments), abs=1e-5)
    assert frechet_distance(x, x[::-1]) == pytest.approx(0, abs=1e-10)


def test_frechet_distance_of_features_that_never_vary_keeps_its_digits() -> None:
    x, y = (np.concatenate([part, np.ones((60, 30))], axis=1) for part in gaussians(2, 60))
    assert frechet_distance(x, y) == pytest.approx(frechet_distance(x[:, :24], y[:, :24]), rel=1e-12)


def test_fd_infinity_is_near_the_truth_where_the_distance_of_the_samples_is_not() -> None:
    pairs = [gaussians(seed, 120) for seed in range(24)]
    finite = np.mean([frechet_distance(x, y) for x, y in pairs])
    found = [fd_infinity(x, y, seed=seed) for seed, (x, y) in enumerate(pairs)]
    assert finite > TRUE * 1.25
    assert abs(np.mean(found) - TRUE) < 3 * np.std(found) / np.sqrt(24) + 0.02 * TRUE
    same = [fd_infinity(*np.random.default_rng(seed).normal(size=(2, 120, 24))) for seed in range(24)]
    assert abs(np.mean(same)) < 0.15
    assert min(same) < 0


def test_fd_infinity_takes_sides_of_any_two_sizes() -> None:
    found = [fd_infinity(*gaussians(seed, 300, 90), seed=seed) for seed in range(12)]
    assert np.mean(found) == pytest.approx(TRUE, rel=0.06)


def test_fd_infinity_depends_on_its_seed_alone_and_needs_a_line() -> None:
    x, y = gaussians(0, 40)
    assert fd_infinity(x, y, seed=1) == fd_infinity(x, y, seed=1) != fd_infinity(x, y, seed=2)
    for points, draws in ((1, 1), (2, 0)):
        with pytest.raises(UserError, match="no line"):
            fd_infinity(x, y, points=points, draws=draws)
    with pytest.raises(UserError, match="at least 20 images"):
        fd_infinity(x[:19], y)


def in_torch(*parts: NDArray[np.float64]) -> list[torch.Tensor]:
    return [torch.from_numpy(part) for part in parts]


def test_torch_fidelity_s_functions_give_the_same() -> None:
    x, y = RNG.normal(size=(120, 20)), RNG.normal(size=(150, 20)) * 1.3 + 0.4
    fid = fid_statistics_to_metric(*(fid_features_to_statistics(part) for part in in_torch(y, x)), False)
    assert frechet_distance(x, y) == pytest.approx(fid["frechet_inception_distance"], rel=1e-8)
    released = prc_features_to_metric(*in_torch(y, x), prc_neighborhood=3, verbose=False)
    ours = precision_recall(x, y)
    assert_allclose([ours["precision"], ours["recall"]], [released["precision"], released["recall"]], rtol=1e-6)
    whole = kid_features_to_metric(*in_torch(x, y[:120]), kid_subsets=1, kid_subset_size=120, verbose=False)
    assert squared_mmd(x, y[:120]) == pytest.approx(whole["kernel_inception_distance_mean"], rel=1e-9)
    assert kid(x, y[:120])["kid"] == pytest.approx(whole["kernel_inception_distance_mean"], rel=1e-9)


@pytest.mark.parametrize("splits", [1, 3, 10])
def test_torch_fidelity_s_inception_score_is_the_same(splits: int) -> None:
    logits = RNG.normal(size=(47, 12)) * 3
    released = isc_features_to_metric(torch.from_numpy(logits), splits, shuffle=False)
    ours = inception_score(np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), splits=splits)
    assert ours["is"] == pytest.approx(released["inception_score_mean"], rel=1e-10)
    assert ours["is_spread"] == pytest.approx(released["inception_score_std"], abs=1e-10)


def test_inception_score_is_the_number_of_classes_or_1() -> None:
    assert inception_score(np.tile(np.eye(7), (20, 1))) == pytest.approx({"is": 7, "is_spread": 0})
    assert inception_score(np.full((20, 7), 1 / 7)) == pytest.approx({"is": 1, "is_spread": 0})
    in_order = np.repeat(np.eye(7), 20, axis=0)
    assert inception_score(in_order)["is"] < 2 < inception_score(in_order, seed=0)["is"]


@pytest.mark.parametrize(
    ("probabilities", "splits", "words"),
    [
        (np.full((5, 2), 0.5), 10, "not enough to score"),
        (np.full((5, 2), 0.5), 0, "not enough to score"),
        (np.full(5, 0.5), 1, "not enough to score"),
        (np.full((10, 2), 0.6), 10, "not probabilities"),
        (np.tile([1.5, -0.5], (10, 1)), 10, "not probabilities"),
        (np.full((10, 2), np.nan), 10, "not probabilities"),
    ],
)
def test_what_are_no_probabilities_is_refused(probabilities: NDArray[np.float64], splits: int, words: str) -> None:
    with pytest.raises(UserError, match=words):
        inception_score(probabilities, splits=splits)


def by_loops(real: NDArray[np.float64], synthetic: NDArray[np.float64], k: int) -> dict[str, float]:
    """Precision, recall, density and coverage with one k, as the papers write them, a pair at a time."""

    def radius(points: NDArray[np.float64], i: int) -> float:
        return sorted(float(np.linalg.norm(points[i] - other)) for other in points)[k]

    real_radii, synthetic_radii = ([radius(part, i) for i in range(len(part))] for part in (real, synthetic))
    within = [[np.linalg.norm(y - x) <= r for x, r in zip(real, real_radii, strict=True)] for y in synthetic]
    back = [[np.linalg.norm(x - y) <= r for y, r in zip(synthetic, synthetic_radii, strict=True)] for x in real]
    return {
        "precision": float(np.mean([any(row) for row in within])),
        "recall": float(np.mean([any(row) for row in back])),
        "density": float(np.sum(within) / (k * len(synthetic))),
        "coverage": float(np.mean([any(row[i] for row in within) for i in range(len(real))])),
    }


@pytest.mark.parametrize("k", [1, 3, 5])
def test_neighbours_are_those_of_a_loop_over_pairs(k: int) -> None:
    real, synthetic = RNG.normal(size=(30, 4)), RNG.normal(size=(41, 4)) * 0.8 + 0.5
    assert precision_recall(real, synthetic, k=k) | density_coverage(real, synthetic, k=k) == by_loops(
        real, synthetic, k
    )


def test_neighbours_are_the_same_however_many_are_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    real, synthetic = RNG.normal(size=(30, 4)), RNG.normal(size=(41, 4))
    expected = precision_recall(real, synthetic) | density_coverage(real, synthetic)
    assert AT_ONCE > 41
    monkeypatch.setattr("nucleosynth.metrics.neighbours.AT_ONCE", 7)
    assert precision_recall(real, synthetic) | density_coverage(real, synthetic) == expected


def test_a_population_lies_within_itself_wherever_it_lies() -> None:
    for offset in (0, 1e4):
        points = RNG.normal(size=(50, 6)) + offset
        assert precision_recall(points, points) == {"precision": 1, "recall": 1}
        # Each ball holds its centre and its k neighbours, the k-th on its edge.
        assert density_coverage(points, points) == pytest.approx({"density": 6 / 5, "coverage": 1})


def test_two_samples_of_one_population_have_the_density_and_coverage_that_the_paper_derives() -> None:
    found = [density_coverage(*np.random.default_rng(seed).normal(size=(2, 200, 8))) for seed in range(30)]
    expected = 1 - np.prod([(199 - i) / (399 - i) for i in range(5)])  # Naeem et al., lemma 2
    assert np.mean([each["density"] for each in found]) == pytest.approx(1, abs=0.03)
    assert np.mean([each["coverage"] for each in found]) == pytest.approx(expected, abs=0.01)


def test_populations_far_apart_share_nothing_and_one_image_repeated_has_no_recall() -> None:
    real = RNG.normal(size=(60, 6))
    nothing = {"precision": 0, "recall": 0, "density": 0, "coverage": 0}
    assert precision_recall(real, real + 100) | density_coverage(real, real + 100) == nothing
    found = precision_recall(real, np.tile(real.mean(axis=0), (60, 1)))
    assert (found["precision"], found["recall"]) == (1, 0)


def test_neighbours_need_more_images_than_they_look_at() -> None:
    real = RNG.normal(size=(5, 2))
    for metric in (precision_recall, density_coverage):
        with pytest.raises(UserError, match="at least 6 images"):
            metric(real, real, k=5)
        with pytest.raises(UserError, match="no neighbour"):
            metric(real, real, k=0)
        assert np.isfinite(list(metric(real, real, k=4).values())).all()
