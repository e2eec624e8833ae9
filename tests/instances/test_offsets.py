"""Nuclei from centroid offsets: shapes that must come back, noise that must not split them, real tiles."""

from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_array_equal
from scipy import ndimage

from nucleosynth.conditions import structure
from nucleosynth.data import consep
from nucleosynth.errors import UserError
from nucleosynth.instances.offsets import NEAR_FOR_SIZE, NEAR_FOR_SPREAD, _merge, extract, tidy
from nucleosynth.metrics.instance import scores
from nucleosynth.sample import transform_array, without_gaps

SPAN = np.mgrid[:80, :120]
MAPS = arrays(np.int32, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 3))


def ellipse(x, y, along, across, degrees=0.0):
    turn = np.deg2rad(degrees)
    u = (SPAN[1] - x) * np.cos(turn) + (SPAN[0] - y) * np.sin(turn)
    v = (SPAN[0] - y) * np.cos(turn) - (SPAN[1] - x) * np.sin(turn)
    return (u / along) ** 2 + (v / across) ** 2 <= 1


def drawn():
    """Touching discs, a thin long nucleus, a large one, a tiny one beside it, and two at the border."""
    shapes = [ellipse(20, 20, 9, 9), ellipse(38, 20, 9, 9), ellipse(70, 15, 24, 4, 20), ellipse(40, 55, 22, 16)]
    shapes += [ellipse(64, 55, 2, 2), ellipse(119, 40, 8, 8), ellipse(90, 79, 10, 6)]
    instances = np.zeros(SPAN[0].shape, np.int32)
    for k, shape in enumerate(shapes, start=1):
        instances[shape & (instances == 0)] = k
    return instances


def same_nuclei(found, true):
    """Equal up to the numbering."""
    pairs = np.unique(np.stack([found.ravel(), true.ravel()]), axis=1)
    return len(pairs[0]) == len(np.unique(pairs[0])) == len(np.unique(pairs[1])) and not pairs[:, 0].any()


def round_trip(instances, noise=0.0, **options):
    drift = noise * np.random.default_rng(0).normal(size=(2, *instances.shape))
    return extract(instances > 0, structure.offsets(instances) + drift, **options)


@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_exact_offsets_give_exact_nuclei(scale):
    assert same_nuclei(round_trip(drawn(), scale=scale, min_area=1), drawn())


@pytest.mark.parametrize(("noise", "least"), [(1.0, 0.98), (2.0, 0.95)])
def test_noise_neither_splits_nor_merges(noise, least):
    found = round_trip(drawn(), noise)
    assert found.max() == drawn().max()
    assert scores(drawn(), found)["aji"] > least


def test_noise_as_wide_as_a_third_of_the_distance_leaves_crowded_nuclei_apart():
    crowd = np.zeros(SPAN[0].shape, np.int32)
    for k, (y, x) in enumerate(np.ndindex(12, 19), start=1):
        crowd[ellipse(6 * x + 4, 6 * y + 4, 3, 3) & (crowd == 0)] = k
    found = round_trip(crowd, noise=2.0)
    assert found.max() == crowd.max()
    assert scores(crowd, found)["aji"] > 0.97


def test_a_nucleus_in_the_arms_of_another_stays_apart():
    instances = ellipse(60, 40, 16, 16).astype(np.int32)
    instances[ellipse(63, 40, 7, 7)] = 2  # centres 3.7 px apart, well within the larger one's radius
    assert same_nuclei(round_trip(instances, noise=0.5), instances)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_errors_that_neighbours_share_do_not_split_a_large_nucleus(seed):
    instances = ellipse(50, 40, 34, 22, 30).astype(np.int32)
    offsets, rng = structure.offsets(instances), np.random.default_rng(seed)
    shrunken = 0.7 * offsets + rng.normal(size=offsets.shape)
    drift = np.stack([ndimage.gaussian_filter(rng.normal(size=instances.shape), 6) for _ in range(2)])
    for wrong in (shrunken, offsets + 4 * drift / drift.std()):
        assert_array_equal(extract(instances > 0, wrong, scale=2), instances)


def test_two_small_nuclei_three_pixels_apart_stay_two():
    instances = np.zeros((9, 9), np.int32)
    instances[2:7, 1:4], instances[2:7, 4:7] = 1, 2
    assert same_nuclei(round_trip(instances), instances)


def test_one_pixel_and_no_pixel():
    instances = np.zeros((5, 6), np.int32)
    assert_array_equal(round_trip(instances), instances)
    instances[2, 3] = 1
    assert_array_equal(round_trip(instances, min_area=1), instances)
    assert not round_trip(instances).any()


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_peaks_join_the_relatively_nearest_nucleus_of_all(seed):
    """Looking only into near cells finds what looking at all nuclei finds; whole numbers make for ties."""
    rng = np.random.default_rng(seed)
    peaks, size = int(rng.integers(1, 60)), int(rng.integers(5, 300))
    votes, means = rng.integers(0, 6, peaks + 1) * 50.0, rng.integers(0, size, (peaks + 1, 2)) / 2
    squares = votes * ((means**2).sum(axis=1) + rng.integers(1, 400, peaks + 1))
    sums = np.stack([votes, *(votes[:, None] * means).T, squares], axis=1)
    order, nuclei, expected = np.argsort(-votes, kind="stable"), [], np.zeros(peaks + 1, int)
    for i in order[votes[order] > 0]:
        near = []
        for k, nucleus in enumerate(nuclei, start=1):
            square = ((nucleus[1:3] / nucleus[0] - sums[i, 1:3] / sums[i, 0]) ** 2).sum()
            relative, joint = square / (nucleus[0] + sums[i, 0]), spread(nucleus) + spread(sums[i])
            if relative < NEAR_FOR_SIZE**2 / np.pi and np.sqrt(square) < NEAR_FOR_SPREAD * joint:
                near.append((relative, k))
        if not near:
            nuclei.append(np.zeros(4))
        expected[i] = min(near)[1] if near else len(nuclei)
        nuclei[expected[i] - 1] += sums[i]
    assert_array_equal(_merge(order, sums), expected)


def test_a_peak_amid_two_equal_nuclei_joins_the_first():
    votes, means = np.array([0, 1000, 1000, 10.0]), np.array([[0, 0], [0, 0], [13, 13], [6.5, 6.5]])
    sums = np.stack([votes, *(votes[:, None] * means).T, votes * ((means**2).sum(axis=1) + 25)], axis=1)
    for order, expected in (([1, 2, 3], [0, 1, 2, 1]), ([2, 1, 3], [0, 2, 1, 1])):
        assert_array_equal(_merge(np.array(order), sums), expected)


def spread(sums):
    """Root mean square distance of votes from their mean."""
    return np.sqrt(max(sums[3] / sums[0] - (sums[1] / sums[0]) ** 2 - (sums[2] / sums[0]) ** 2, 0))


def test_a_probability_is_cut_at_the_threshold():
    instances = ellipse(30, 30, 10, 10).astype(np.int32)
    probability = np.where(instances, 0.6, 0.4)
    offsets = structure.offsets(instances)
    assert_array_equal(extract(probability, offsets), instances)
    assert not extract(probability, offsets, threshold=0.7).any()


@pytest.mark.parametrize("push", [(-200, 0), (200, 0), (0, -200), (0, 200)])
def test_votes_beyond_the_tile_count_at_its_border(push):
    instances = ellipse(6, 40, 8, 8).astype(np.int32)
    pushed = structure.offsets(instances) + np.reshape(push, (2, 1, 1))
    assert_array_equal(extract(instances > 0, pushed), instances)


@pytest.mark.parametrize("symmetry", range(8))
def test_a_turned_tile_has_the_turned_nuclei(symmetry):
    instances = drawn()
    vectors = structure.transform_vectors(structure.offsets(instances), symmetry)
    found = extract(transform_array(instances, symmetry) > 0, vectors)
    assert same_nuclei(found, transform_array(round_trip(instances), symmetry))


def test_what_does_not_fit_is_refused():
    mask, offsets = np.ones((4, 5), bool), np.zeros((2, 4, 5))
    with pytest.raises(UserError, match="with its offsets"):
        extract(mask, np.zeros((4, 5, 2)))
    with pytest.raises(UserError, match="not finite"):
        extract(mask, offsets + np.nan)
    with pytest.raises(UserError, match="not finite"):
        extract(mask * np.nan, offsets)
    with pytest.raises(UserError, match="scale > 0"):
        extract(mask, offsets, scale=0)


def test_tidy_gives_crumbs_to_what_they_touch():
    instances = np.array([[1, 1, 1, 2, 1, 2, 2, 0, 1, 0, 3, 3]])
    assert_array_equal(tidy(instances, 2), [[1, 1, 1, 1, 2, 2, 2, 0, 0, 0, 3, 3]])


def test_tidy_keeps_a_large_piece_that_touches_nothing_as_a_nucleus():
    instances = np.array([[1, 1, 1, 0, 1, 1, 0, 1]])
    assert_array_equal(tidy(instances, 2), [[1, 1, 1, 0, 2, 2, 0, 0]])


def test_tidy_fills_what_one_nucleus_encloses():
    instances = np.zeros((7, 12), np.int32)
    instances[1:6, 1:6], instances[1:6, 6:12] = 4, 5
    expected = np.where(instances, instances - 3, 0)
    instances[3, 3] = instances[3, 8:11] = 0
    assert_array_equal(tidy(instances, 1), expected)


def test_tidy_fills_nothing_between_two_nuclei_or_open_to_the_border():
    shared = np.array([[1, 1, 2, 2], [1, 0, 0, 2], [1, 1, 2, 2]])
    inlet = np.array([[1, 1, 1], [1, 0, 0], [1, 1, 1]])
    assert_array_equal(tidy(shared, 1), shared)
    assert_array_equal(tidy(inlet, 1), inlet)


@given(MAPS, st.integers(1, 6))
@settings(max_examples=100, deadline=None)
def test_tidied_nuclei_are_whole_large_and_numbered(instances, min_area):
    found = tidy(instances, min_area)
    assert_array_equal(np.unique(found[found > 0]), np.arange(1, found.max() + 1))
    for k in range(1, found.max() + 1):
        assert ndimage.label(found == k)[1] == 1
        assert (found == k).sum() >= min_area
    regions, count = ndimage.label(found == 0)
    inner = np.pad(np.ones(np.maximum(np.subtract(found.shape, 2), 0), bool), 1)[: len(found), : len(found[0])]
    for region in range(1, count + 1):
        around = found[ndimage.binary_dilation(regions == region)]
        assert (regions[~inner] == region).any() or len(np.unique(around[around > 0])) > 1


def real_round_trips(shared, tiles):
    """AJI (tiles 2) of CoNSeP's first training tiles through exact offsets, at 40x and at half of that."""
    found = []
    for sample in islice(consep.read(str(shared / "data" / "consep")), tiles):
        assert sample.split == "train"
        halved, _ = without_gaps(sample.instances[::2, ::2], sample.classes)
        at_full, at_half = round_trip(sample.instances, scale=2), round_trip(halved)
        found.append((scores(sample.instances, at_full)["aji"], scores(halved, at_half)["aji"]))
    return np.array(found)


def test_real_tiles_come_back(shared):
    full, half = real_round_trips(shared, 3).T
    assert full.min() > 0.997
    assert half.min() > 0.997


@pytest.mark.slow
def test_all_real_tiles_come_back(shared):
    """Measured: .9998 and .9995 (benchmarks/ceilings.py)."""
    full, half = real_round_trips(shared, 27).T
    assert full.mean() > 0.9995
    assert half.mean() > 0.999
