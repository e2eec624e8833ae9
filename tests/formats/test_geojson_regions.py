"""Regions that people draw round nuclei are no nuclei: they are left out and counted."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from drawn import drawn_sample
from nucleosynth.data.findings import REPAIRS
from nucleosynth.formats.geojson import read, write_annotations
from nucleosynth.instances.geojson import BESIDE, REGIONS
from nucleosynth.sample import Sample


def outline(left: float, top: float, side: float, kind: str = "annotation", **properties: Any) -> dict[str, Any]:
    """A square of some side, as a feature of some kind."""
    right, bottom = left + side, top + side
    ring = [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]
    geometry = {"type": "Polygon", "coordinates": [ring]}
    return {"type": "Feature", "geometry": geometry, "properties": {"objectType": kind, **properties}}


def read_back(root: Path, features: list[dict[str, Any]], suffix: str = ".geojson") -> Sample:
    """The tile of 40 x 40 px that these features label."""
    (root / "images").mkdir()
    (root / "labels").mkdir()
    cv2.imwrite(str(root / "images/a.png"), np.zeros((40, 40, 3), np.uint8))
    (root / f"labels/a{suffix}").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    (tile,) = read(str(root))
    return tile


REGION = {"isLocked": True, "name": "region 1", "classification": {"name": "Tumor"}}


@pytest.mark.parametrize("kind", ["detection", "cell"])
def test_annotations_beside_detections_are_regions(tmp_path: Path, kind: str) -> None:
    nucleus = outline(2, 2, 4, kind, isLocked=True, name="7", classification={"name": "x"})
    nucleus["nucleusGeometry"] = nucleus["geometry"]
    parts = [outline(0, 0, 30, **REGION), outline(0, 0, 1), outline(9, 9, 9, "tile"), outline(0, 0, 40, "tma_core")]
    tile = read_back(tmp_path, [*parts, nucleus, outline(20, 20, 4, "detection")])
    assert (tile.class_names, tile.classes.tolist()) == (("x",), [1, 0])
    assert np.count_nonzero(tile.instances) == 32
    assert tile.quality[REPAIRS] == {BESIDE["annotation"]: 2, BESIDE["tile"]: 1, BESIDE["tma_core"]: 1}


def test_a_region_is_left_out_before_its_geometry_is_looked_at(tmp_path: Path) -> None:
    curve = outline(0, 0, 9) | {"geometry": {"type": "Curve"}}
    tile = read_back(tmp_path, [curve, outline(2, 2, 4, "detection")])
    assert (len(tile.classes), tile.quality[REPAIRS]) == (1, {BESIDE["annotation"]: 1})


def test_older_exports_name_the_kind_otherwise(tmp_path: Path) -> None:
    old = [outline(0, 0, 30), outline(2, 2, 4), outline(12, 2, 4)]
    for feature, word in zip(old, ["Annotation", "Detection", "Detection"], strict=True):
        feature["id"] = f"Path{word}Object"
        feature["properties"] = {"object_type": word.lower()} if feature is old[2] else {}
    tile = read_back(tmp_path, old)
    assert (len(tile.classes), tile.quality[REPAIRS]) == (2, {BESIDE["annotation"]: 1})


def test_an_annotation_without_a_class_round_two_others_is_a_region(tmp_path: Path) -> None:
    named = {"classification": {"name": "x"}}
    tile = read_back(tmp_path, [outline(1, 1, 30), outline(2, 2, 4, **named), outline(12, 2, 4, **named)])
    assert (tile.classes.tolist(), tile.quality[REPAIRS]) == ([1, 1], {REGIONS: 1})
    assert np.count_nonzero(tile.instances) == 32


@pytest.mark.parametrize(
    "features",
    [
        [outline(1, 1, 30, classification={"name": "x"}), outline(2, 2, 4), outline(12, 2, 4)],
        [outline(1, 1, 30), outline(2, 2, 4), outline(32, 2, 4)],
        [outline(1, 1, 30, ""), outline(2, 2, 4), outline(12, 2, 4)],
        [outline(1, 1, 4), outline(1, 1, 4), outline(1, 1, 4)],
        [outline(2, 2, 4, "detection"), outline(12, 2, 4, "detection"), outline(1, 1, 30, "detection")],
    ],
    ids=["of a class", "round one", "no annotation", "three times the same", "detections"],
)
def test_other_outlines_round_outlines_are_nuclei(tmp_path: Path, features: list[dict[str, Any]]) -> None:
    assert REGIONS not in read_back(tmp_path, features).quality[REPAIRS]


def test_a_nucleus_round_others_comes_back_as_it_was(tmp_path: Path) -> None:
    rings = np.zeros((40, 40), np.int32)
    rings[1:30, 1:30] = 1
    rings[3:6, 3:6], rings[10:13, 3:6], rings[20, 20] = 2, 3, 4
    image, classes = np.zeros((40, 40, 3), np.uint8), np.zeros(4, np.uint8)
    write_annotations([drawn_sample(0, instances=rings, classes=classes, image=image)], tmp_path)
    (tile,) = read(str(tmp_path))
    np.testing.assert_array_equal(tile.instances, rings)


@pytest.mark.parametrize("suffix", [".GeoJSON", ".JSON"])
def test_suffixes_may_be_of_any_case(tmp_path: Path, suffix: str) -> None:
    assert len(read_back(tmp_path, [outline(2, 2, 4)], suffix).classes) == 1
