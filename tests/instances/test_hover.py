"""HoVer-Net's post-processing on drawn nuclei."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from scipy import ndimage

from nucleosynth.conditions import structure
from nucleosynth.errors import UserError
from nucleosynth.instances.hover import extract
from nucleosynth.instances.watershed import watershed
from nucleosynth.metrics.instance import scores

SPAN = np.mgrid[:120, :160]


def disc(x, y, radius):
    return (SPAN[1] - x) ** 2 + (SPAN[0] - y) ** 2 <= radius**2


def maps(instances):
    return (instances > 0).astype(np.float32), np.moveaxis(structure.hv(instances), 0, -1)


def test_touching_discs_are_parted_along_both_axes():
    instances = np.zeros(SPAN[0].shape, np.int32)
    for k, (x, y) in enumerate([(40, 40), (70, 40), (40, 70), (120, 60), (0, 100), (159, 0)], start=1):
        instances[disc(x, y, 15) & (instances == 0)] = k
    found = extract(*maps(instances))
    assert found.max() == 6
    assert scores(instances, found)["aji"] > 0.98
    assert_array_equal(found > 0, instances > 0)


def test_only_jumps_part_what_touches():
    blob = disc(40, 40, 15) | disc(54, 40, 15)
    assert extract(*maps(blob.astype(np.int32))).max() == 1
    assert extract(*maps(np.where(blob, 1 + (SPAN[1] > 47), 0))).max() == 2


def test_the_axes_are_not_interchangeable():
    instances = np.where(disc(40, 40, 15), 1, np.where(disc(70, 40, 15), 2, 0))
    nuclei, hv = maps(instances)
    assert extract(nuclei, hv).max() == 2
    assert scores(instances, extract(nuclei, hv[..., ::-1]))["aji"] < 0.9


def test_thresholds_and_sizes_are_settings():
    instances = np.where(disc(40, 40, 15), 1, np.where(disc(100, 40, 15), 2, np.where(disc(70, 90, 4), 3, 0)))
    nuclei, hv = maps(instances)
    nuclei[instances == 2] = 0.6
    assert extract(nuclei, hv).max() == 3
    assert extract(nuclei, hv, threshold=0.7).max() == 2
    assert extract(nuclei, hv, min_area=60).max() == 2
    assert extract(nuclei, hv, opening=13).max() == 2
    assert extract(nuclei, hv, edge=0.01).max() < 3


def written_plainly(nuclei, hv):
    """The published steps up to the flood with SciPy, the flood (tested against scikit-image) with ours."""
    slopes = [cv2.normalize(hv[..., axis], None, 0, 1, cv2.NORM_MINMAX, cv2.CV_32F) for axis in range(2)]
    slopes = [cv2.Sobel(slope, cv2.CV_32F, 1 - axis, axis, ksize=21) for axis, slope in enumerate(slopes)]
    rims = np.maximum(*(1 - cv2.normalize(slope, None, 0, 1, cv2.NORM_MINMAX, cv2.CV_32F) for slope in slopes))
    blob = large(nuclei >= 0.5) > 0
    cores = ndimage.binary_fill_holes(blob & (rims < 0.4)).astype(np.uint8)
    opened = cv2.morphologyEx(cores, cv2.MORPH_OPEN, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5)))
    found = watershed(-cv2.GaussianBlur((1 - rims) * blob, (3, 3), 0), large(opened > 0), blob)
    return np.unique(np.append(found.ravel(), 0), return_inverse=True)[1][:-1].reshape(found.shape)


def large(mask):
    """The 4-connected pieces of 10 px and more; those below are 0."""
    labelled, count = ndimage.label(mask)
    return np.where(np.bincount(labelled.ravel(), minlength=count + 1)[labelled] >= 10, labelled, 0)


@given(st.integers(0, 2**32 - 1), st.floats(0, 0.4))
@settings(max_examples=30, deadline=None)
def test_noisy_maps_give_what_the_published_steps_give(seed, noise):
    rng = np.random.default_rng(seed)
    instances = np.zeros(rng.integers(1, 130, 2), np.int32)
    for k in range(1, 1 + instances.size // 900):
        centre, axes = rng.integers(0, instances.shape[::-1]), rng.integers(3, 17, 2)
        cv2.ellipse(instances, centre.tolist(), axes.tolist(), int(rng.integers(180)), 0, 360, k, -1)
    nuclei, hv = maps(instances)
    nuclei = (nuclei + rng.normal(0, noise, nuclei.shape)).astype(np.float32)
    hv = (hv + rng.normal(0, noise, hv.shape)).astype(np.float32)
    before = hv.copy()
    assert_array_equal(extract(nuclei, hv), written_plainly(nuclei, hv))
    assert_array_equal(hv, before)


def test_a_hole_that_becomes_part_of_a_marker_stays_background_and_the_ids_have_no_gap():
    shape = (disc(40, 40, 30) & ~disc(40, 40, 12)) | disc(110, 60, 15)
    found = extract(*maps(shape.astype(np.int32)))
    assert_array_equal(np.unique(found), np.arange(found.max() + 1))
    assert_array_equal(found > 0, shape)


def test_no_nuclei_make_an_empty_map():
    found = extract(np.zeros((30, 40), np.float32), np.zeros((30, 40, 2), np.float32))
    assert found.shape == (30, 40)
    assert found.dtype == np.int32
    assert not found.any()


def test_maps_that_do_not_fit_are_refused():
    with pytest.raises(UserError, match="last axis"):
        extract(np.zeros((4, 5)), np.zeros((2, 4, 5)))
    for bad in ((np.zeros((4, 5)), np.full((4, 5, 2), np.nan)), (np.full((4, 5), np.nan), np.zeros((4, 5, 2)))):
        with pytest.raises(UserError, match="not finite"):
            extract(*bad)
