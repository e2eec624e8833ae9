"""Runs of a label map: painted back they are the map, and what is asked of pieces agrees with SciPy's components."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_array_equal
from scipy import ndimage

from nucleosynth.conditions.runs import areas, joined, large_pieces, painted, runs_of

SIDES = st.tuples(st.integers(0, 12), st.integers(0, 12))
MAPS = arrays(np.int32, SIDES, elements=st.integers(0, 3))
MASKS = arrays(bool, SIDES)


def test_runs_of_a_known_map():
    runs = runs_of(np.array([[5, 5, 0, 2, 4], [0, 0, 0, 0, 0], [4, 0, 0, 0, 5]], np.int32))
    assert_array_equal(runs, [[0, 0, 2, 5], [0, 3, 4, 2], [0, 4, 5, 4], [2, 0, 1, 4], [2, 4, 5, 5]])


@given(MAPS)
@settings(deadline=None)
def test_painted_runs_are_the_map(instances):
    runs = runs_of(instances)
    assert_array_equal(painted(runs, runs[:, 3].copy(), *instances.shape), instances)


@given(MAPS)
@settings(deadline=None)
def test_joined_runs_are_the_components_of_each_id_in_raster_order(instances):
    runs = runs_of(instances)
    parts, count = joined(runs)
    labelled = painted(runs, parts, *instances.shape)
    assert count == sum(ndimage.label(instances == k)[1] for k in (1, 2, 3))
    for part in range(1, count + 1):
        assert len(np.unique(instances[labelled == part])) == 1
        assert ndimage.label(labelled == part)[1] == 1
    _, first = np.unique(labelled[labelled > 0], return_index=True)
    assert (np.diff(first) > 0).all()
    assert_array_equal(areas(runs, parts, count), np.bincount(labelled.ravel(), minlength=count + 1) - _zeros(labelled))


def _zeros(labelled):
    """Background is in no run."""
    counts = np.zeros(labelled.max(initial=0) + 1, int)
    counts[0] = (labelled == 0).sum()
    return counts


@given(MASKS, st.integers(1, 6))
@settings(deadline=None)
def test_large_pieces_are_those_of_scipy(mask, min_area):
    labelled, count = ndimage.label(mask)
    kept = [k for k in range(1, count + 1) if (labelled == k).sum() >= min_area]
    found = large_pieces(mask, min_area)
    assert found.dtype == np.int32
    assert found.max(initial=0) == len(kept)
    assert_array_equal(found > 0, np.isin(labelled, kept))
    assert all(len(np.unique(labelled[found == k])) == 1 for k in range(1, len(kept) + 1))


def test_a_spiral_is_one_piece():
    spiral = np.zeros((41, 41), bool)
    for ring in range(0, 20, 2):
        spiral[ring, ring : 41 - ring] = spiral[40 - ring, ring : 41 - ring] = True
        spiral[ring : 41 - ring, ring] = spiral[ring : 41 - ring, 40 - ring] = True
        spiral[ring + 1, ring + 2], spiral[ring + 1, ring] = True, False  # the next ring goes on from this one
    assert joined(runs_of(spiral))[1] == ndimage.label(spiral)[1]
    comb = np.zeros((40, 81), bool)
    comb[:, ::2], comb[-1] = True, True
    assert joined(runs_of(comb))[1] == 1
