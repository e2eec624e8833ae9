"""Windows that hold a share of the nuclei: clusters, orders, and the share itself, on windows made of numbers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from nucleosynth.curation.shares import Clusters, at_random, by_clusters, choose, cluster
from nucleosynth.errors import UserError


def clouds(seed: int = 0) -> np.ndarray:
    """Ninety points around three places that lie far apart."""
    rng = np.random.default_rng(seed)
    return (np.repeat([[0, 0], [20, 0], [0, 20]], 30, axis=0) + rng.normal(0, 1, (90, 2))).astype(np.float32)


def overlapping(count: int, each: int = 20, step: int = 7) -> list[np.ndarray]:
    """Windows along a line: each shows 20 nuclei, and shares 13 with the next one."""
    return [np.arange(step * k, step * k + each) for k in range(count)]


def test_clusters_are_the_clouds_and_distances_those_to_their_means() -> None:
    points = clouds()
    found = cluster(points, 3, seed=1)
    for k in range(3):
        own = slice(30 * k, 30 * (k + 1))
        assert len(np.unique(found.cluster[own])) == 1
        assert_allclose(found.distance[own], np.linalg.norm(points[own] - points[own].mean(axis=0), axis=1), atol=1e-5)


def test_clusters_follow_the_seed_alone() -> None:
    noise = np.random.default_rng(0).normal(size=(200, 8)).astype(np.float32)
    one, two, other = (cluster(noise, 6, seed) for seed in (3, 3, 4))
    assert_array_equal(one.cluster, two.cluster)
    assert not np.array_equal(one.cluster, other.cluster)


@pytest.mark.parametrize("number", [1, 6])
def test_windows_that_look_the_same_are_one_cluster(number: int) -> None:
    assert np.unique(cluster(np.ones((5, 3), np.float32), number, seed=0).cluster).tolist() == [0]


def test_every_beginning_takes_the_same_fraction_of_each_cluster_nearest_first() -> None:
    rng = np.random.default_rng(2)
    clusters = Clusters(np.repeat([0, 1, 2], [10, 40, 50]).astype(np.intp), rng.random(100))
    order = by_clusters(clusters)
    assert sorted(order.tolist()) == list(range(100))
    for count in (10, 30, 70):
        taken = order[:count]
        for k, size in enumerate((10, 40, 50)):
            own = taken[clusters.cluster[taken] == k]
            assert abs(len(own) - count / 100 * size) <= 1
            left = np.setdiff1d(np.flatnonzero(clusters.cluster == k), own)
            assert clusters.distance[own].max() < clusters.distance[left].min()


def test_a_nucleus_of_several_windows_counts_once() -> None:
    seen = overlapping(40)
    total = len(np.unique(np.concatenate(seen)))
    found = choose(np.arange(40), seen, 0.5, total)
    assert found.nuclei == len(np.unique(np.concatenate([seen[k] for k in found.windows])))
    assert found.reached == found.nuclei / total
    assert found.met(0.5)
    assert abs(found.reached - 0.5) <= 0.005


def test_all_nuclei_are_all_windows_the_empty_ones_too() -> None:
    seen = [np.arange(5), np.empty(0, np.intp), np.arange(3)]
    found = choose(np.array([2, 0, 1]), seen, 1.0, 5)
    assert (found.windows.tolist(), found.reached, found.fraction, found.singles) == ([0, 1, 2], 1.0, 1.0, 0)


def test_the_share_is_one_of_all_nuclei_those_of_no_window_too() -> None:
    seen = [np.array([0, 1]), np.array([4, 5])]
    half, all_of_them = (choose(np.arange(2), seen, share, 8) for share in (0.25, 1.0))
    assert (half.windows.tolist(), half.reached, half.met(0.25)) == ([0], 0.25, True)
    assert (all_of_them.windows.tolist(), all_of_them.reached, all_of_them.met(1.0)) == ([0, 1], 0.5, False)


def test_coarse_windows_are_followed_by_single_ones_that_fit() -> None:
    # Windows of 100 nuclei, then of 3 and of 1: two large ones show 200, and those that lack are found among the rest.
    sizes = [100] * 10 + [3] * 10 + [1]
    ends = np.cumsum(sizes)
    seen = [np.arange(end - size, end) for end, size in zip(ends, sizes, strict=True)]
    found = choose(np.arange(21), seen, 231 / 1031, 1031)
    assert found.windows[:3].tolist() == [0, 1, 10]
    assert 229 <= found.nuclei <= 233
    assert found.singles == len(found.windows) - 2 > 0


def test_single_windows_are_taken_away_where_none_can_be_added() -> None:
    sizes = [3] * 10 + [100] * 3
    ends = np.cumsum(sizes)
    seen = [np.arange(end - size, end) for end, size in zip(ends, sizes, strict=True)]
    found = choose(np.arange(13), seen, 112 / 330, 330)
    assert 10 in found.windows
    assert found.nuclei in (111, 112, 113)
    assert found.singles < 0


def test_the_nearest_is_taken_where_nothing_comes_near() -> None:
    seen = [np.arange(10 * k, 10 * k + 10) for k in range(3)]
    assert choose(np.arange(3), seen, 0.5, 30).nuclei in (10, 20)
    assert not choose(np.arange(3), seen, 0.5, 30).met(0.5)
    assert choose(np.arange(3), seen, 0.01, 30).windows.tolist() == [0]


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 60), st.floats(0.01, 1))
def test_a_choice_is_never_worse_than_the_best_beginning(seed: int, windows: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    seen = [rng.choice(300, rng.integers(0, 30), replace=False) for _ in range(windows)]
    seen[0] = np.arange(3)
    total = len(np.unique(np.concatenate(seen)))
    order = at_random(windows, seed)
    begins = [len(np.unique(np.concatenate([seen[w] for w in order[: k + 1]]))) for k in range(windows)]
    found = choose(order, seen, share, total)
    best = min(abs(count / total - share) for count in begins if count)
    assert found.nuclei == len(np.unique(np.concatenate([seen[w] for w in found.windows])))
    assert abs(found.reached - share) <= max(best, 0.01 * share) + 1e-9


def test_a_drawn_order_follows_the_seed() -> None:
    assert_array_equal(at_random(50, 3), at_random(50, 3))
    assert not np.array_equal(at_random(50, 3), at_random(50, 4))


@pytest.mark.parametrize("share", [0.0, -0.1, 1.01, float("nan")])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(UserError, match="not a share"):
        choose(np.arange(2), [np.arange(2)] * 2, share, 2)


def test_windows_without_nuclei_and_no_clusters_are_refused() -> None:
    with pytest.raises(UserError, match="nothing is labelled"):
        choose(np.arange(2), [np.empty(0, np.intp)] * 2, 0.5, 2)
    with pytest.raises(UserError, match="no clusters"):
        cluster(clouds(), 0, seed=0)
