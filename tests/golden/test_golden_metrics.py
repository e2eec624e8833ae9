"""Our scores against those of HoVer-Net's published evaluation code, on five real label maps and made-up predictions.

Golden numbers: golden/golden.json; its classification scores are rounded to five decimals.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from nucleosynth.metrics import classification, instance


@pytest.fixture(scope="module")
def golden(shared: Path) -> dict[str, Any]:
    numbers: dict[str, Any] = json.loads((shared / "golden" / "golden.json").read_text())
    return numbers


@pytest.mark.parametrize("number", range(5))
def test_instance_scores_are_the_released_ones(shared: Path, golden: dict[str, Any], number: int) -> None:
    expected = golden["segmentation"][number]
    maps = np.load(shared / "golden" / expected["maps"])
    ours = instance.scores(maps["true"], maps["pred"])
    assert_allclose(list(ours.values()), [expected[name] for name in ours], atol=1e-6, rtol=0)


def test_pooled_classification_scores_are_the_released_ones(shared: Path, golden: dict[str, Any]) -> None:
    expected = golden["classification_pooled"]
    maps = [np.load(shared / "golden" / entry["maps"]) for entry in golden["segmentation"]]
    images = [
        (classification.nuclei(m["true"], m["true_types"]), classification.nuclei(m["pred"], m["pred_types"]))
        for m in maps
    ]
    radius = classification.radius_at(mpp=0.25)
    assert radius == expected["pairing_radius_px"]
    ours = classification.scores(images, ["type1", "type2", "type3", "type4"], radius)
    assert list(ours) == expected["order"]
    assert_allclose(list(ours.values()), expected["values"], atol=1e-5, rtol=0)
