"""HoVer-Net's published post-processing, on maps of its kind: the same nuclei, and their number (golden.json)."""

import json

import numpy as np
import pytest

from nucleosynth.instances import hover
from nucleosynth.metrics.instance import scores


@pytest.mark.parametrize("index", [0, 1, 2])
def test_nuclei_are_those_of_the_published_code(shared, index):
    golden = json.loads((shared / "golden" / "golden.json").read_text())["post_processing"][index]
    with np.load(shared / "golden" / golden["file"]) as maps:
        found = hover.extract(maps["nuclei"], maps["hv"])
        assert found.max() == golden["instances"]
        assert scores(maps["instances"], found)["pq"] >= 0.999
