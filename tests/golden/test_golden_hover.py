"""HoVer-Net's published post-processing, on maps of its kind: the same nuclei, their number (golden.json) and types."""

import json

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from nucleosynth.instances import hover
from nucleosynth.instances.classes import majority
from nucleosynth.metrics.instance import scores


def golden(shared, index):
    """The maps and instances of the published code, and how many there are."""
    entry = json.loads((shared / "golden" / "golden.json").read_text())["post_processing"][index]
    with np.load(shared / "golden" / entry["file"]) as maps:
        return {name: maps[name] for name in maps.files}, entry["instances"]


@pytest.mark.parametrize("index", [0, 1, 2])
def test_nuclei_are_those_of_the_published_code(shared, index):
    maps, count = golden(shared, index)
    found = hover.extract(maps["nuclei"], maps["hv"])
    assert found.max() == count
    compared = scores(maps["instances"], found)
    assert compared["pq"] >= 0.999
    assert compared["sq"] >= 0.999
    assert compared["dq"] == 1
    assert_array_equal(found > 0, maps["instances"] > 0)


@pytest.mark.parametrize("index", [0, 1, 2])
def test_types_are_the_majority_of_pixels_with_second_place_if_background_wins(shared, index):
    """The golden type map, nucleus by nucleus as the published code decides."""
    maps, count = golden(shared, index)
    expected = []
    for k in range(1, count + 1):
        values, pixels = np.unique(maps["types"][maps["instances"] == k], return_counts=True)
        by_votes = values[np.argsort(-pixels, kind="stable")]
        expected.append(by_votes[1] if by_votes[0] == 0 and len(by_votes) > 1 else by_votes[0])
    assert_array_equal(majority(maps["instances"], maps["types"]), expected)
    found = hover.extract(maps["nuclei"], maps["hv"])
    assert_array_equal(np.sort(majority(found, maps["types"])), np.sort(expected))
