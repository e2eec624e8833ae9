"""HoVer-Net's post-processing on drawn nuclei."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from nucleosynth.conditions import structure
from nucleosynth.errors import UserError
from nucleosynth.instances.hover import extract
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
