"""Haematoxylin inside nuclei against the ring around them."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.io import loadmat
from scipy.ndimage import distance_transform_edt

from nucleosynth.data.stain import RUIFROK_JOHNSTON, Stain, unit
from nucleosynth.errors import UserError
from nucleosynth.metrics.contrast import haematoxylin, nuclear_contrast

STAIN = Stain(unit(RUIFROK_JOHNSTON), np.ones(2), np.full(3, 255.0))


def test_haematoxylin_is_unmixed_from_a_mixture() -> None:
    amounts = np.random.default_rng(0).uniform(0, 0.6, (20, 30, 2))
    image = np.round(STAIN.mix(amounts)).astype(np.uint8)
    assert_allclose(haematoxylin(image), amounts[..., 0], atol=0.02)


def test_contrast_is_the_mean_inside_minus_the_mean_of_the_ring() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(60, 250, (40, 50, 3)).astype(np.uint8)
    labels = np.zeros((40, 50), np.int32)
    labels[5:15, 0:9], labels[7:20, 11:20], labels[30:33, 30:40] = 12, 4, 900
    amount = haematoxylin(image).astype(np.float64)
    expected = []
    for k in (4, 12, 900):
        ring = (distance_transform_edt(labels != k) <= 3) & (labels == 0)
        expected.append(amount[labels == k].mean() - amount[ring].mean())
    assert_allclose(nuclear_contrast(image, labels), expected, rtol=1e-6)


def test_nuclei_where_the_image_has_them_stand_out_and_moved_ones_do_not() -> None:
    labels = np.zeros((96, 96), np.int32)
    for k, (x, y) in enumerate(np.random.default_rng(2).permutation(np.argwhere(np.ones((4, 4))))[:8], start=1):
        cv2.circle(labels, (12 + 24 * int(x), 12 + 24 * int(y)), 6, k, -1)
    amounts = np.stack([0.1 + 0.4 * (labels > 0), np.full(labels.shape, 0.2)], axis=-1)
    image = np.round(STAIN.mix(amounts)).astype(np.uint8)
    assert_allclose(nuclear_contrast(image, labels), 0.4, atol=0.02)
    assert abs(np.median(nuclear_contrast(image, np.roll(labels, 12, axis=(0, 1))))) < 0.1


def test_without_a_ring_there_is_no_contrast() -> None:
    image = np.full((6, 6, 3), 128, np.uint8)
    assert_array_equal(nuclear_contrast(image, np.ones((6, 6), np.int32)), [np.nan])
    assert nuclear_contrast(image, np.zeros((6, 6), np.int32)).shape == (0,)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(UserError, match="do not fit"):
        nuclear_contrast(np.zeros((4, 5, 3), np.uint8), np.zeros((5, 4), np.int32))
    with pytest.raises(UserError, match="do not fit"):
        nuclear_contrast(np.zeros((4, 5, 3), np.uint8), np.zeros((4, 5), np.int32), ring_px=0)


def test_real_labels_lie_on_real_nuclei(shared: Path) -> None:
    folder = shared / "data" / "consep" / "Train"
    image = np.ascontiguousarray(cv2.imread(str(folder / "Images" / "train_5.png"))[..., ::-1])
    labels = loadmat(folder / "Labels" / "train_5.mat")["inst_map"].astype(np.int32)
    assert (nuclear_contrast(image, labels) > 0).mean() > 0.95
    assert abs(np.median(nuclear_contrast(image, np.ascontiguousarray(labels[::-1])))) < 0.02
