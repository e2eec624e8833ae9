"""QuPath's GeoJSON: what is written is what QuPath wants, and what QuPath writes is read."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import cv2
import numpy as np
import pytest
import shapely
from numpy.testing import assert_array_equal

from drawn import drawn_sample
from nucleosynth.data.findings import REPAIRS, Finding
from nucleosynth.data.meta import own_source
from nucleosynth.errors import UserError
from nucleosynth.formats.geojson import read, write, write_annotations
from nucleosynth.instances.canvas import CLAIMED_TWICE, COVERED
from nucleosynth.instances.geojson import SAME_ID
from nucleosynth.pictures import class_colours
from nucleosynth.sample import Sample, without_gaps


def square(left: float, top: float, side: float = 4) -> list[list[list[float]]]:
    return [[[left, top], [left + side, top], [left + side, top + side], [left, top + side], [left, top]]]


def feature(coordinates: Any, name: str | None = None, kind: str = "Polygon") -> dict[str, Any]:
    properties = {"objectType": "annotation"} | ({"classification": {"name": name}} if name else {})
    return {"type": "Feature", "geometry": {"type": kind, "coordinates": coordinates}, "properties": properties}


def put(root: Path, name: str, features: list[dict[str, Any]], label: str = "labels/{}.geojson") -> None:
    """A tile of 16 x 20 px as QuPath's user has it: no meta.json."""
    (root / "images").mkdir(exist_ok=True, parents=True)
    cv2.imwrite(str(root / "images" / f"{name}.png"), np.zeros((16, 20, 3), np.uint8))
    path = root / label.format(name)
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))


def features_of(sample: Sample, folder: Path) -> list[dict[str, Any]]:
    write([sample], folder)
    collection = json.loads((folder / "labels" / f"{sample.sample_id}.geojson").read_text())
    assert collection["type"] == "FeatureCollection"
    found: list[dict[str, Any]] = collection["features"]
    return found


def test_nuclei_are_detections_with_class_and_colour(tmp_path: Path) -> None:
    sample = drawn_sample(0)
    found = features_of(sample, tmp_path / "out")
    colours = class_colours(3).tolist()
    for nucleus, kind in zip(found, sample.classes.tolist(), strict=True):
        assert nucleus["type"] == "Feature"
        assert nucleus["properties"]["objectType"] == "detection"
        stated = {"name": sample.class_names[kind - 1], "color": colours[kind]} if kind else None
        assert nucleus["properties"].get("classification") == stated
    assert 0 in sample.classes


def test_ids_are_uuids_of_tile_and_nucleus(tmp_path: Path) -> None:
    sample = drawn_sample(0)
    found = [nucleus["id"] for nucleus in features_of(sample, tmp_path / "one")]
    other = [nucleus["id"] for nucleus in features_of(replace(sample, sample_id="b"), tmp_path / "two")]
    assert {UUID(word).version for word in found} == {5}
    assert len({*found, *other}) == 2 * len(sample.classes)
    assert found == [nucleus["id"] for nucleus in features_of(sample, tmp_path / "three")]


def test_annotations_differ_in_their_type_alone(tmp_path: Path) -> None:
    write([drawn_sample(0)], tmp_path / "detections")
    write_annotations([drawn_sample(0)], tmp_path / "annotations")
    one, two = ((tmp_path / kind / "labels/tile_0.geojson").read_text() for kind in ("detections", "annotations"))
    assert one.replace('"detection"', '"annotation"') == two


def test_geometry_is_valid_and_of_the_nucleus_area(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).random((40, 48)) > 0.4
    label = np.where(noise, np.arange(48) // 12 + 1, 0).astype(np.int32)
    instances, classes = without_gaps(label, np.ones(4, np.uint8))
    found = features_of(drawn_sample(0, instances=instances, classes=classes), tmp_path / "out")
    shapes = [shapely.from_geojson(json.dumps(nucleus["geometry"])) for nucleus in found]
    assert [shapely.is_valid_reason(shape) for shape in shapes] == ["Valid Geometry"] * 4
    assert [shape.area for shape in shapes] == np.bincount(instances.ravel())[1:].tolist()
    assert any(len(part.interiors) for shape in shapes for part in shape.geoms)


@pytest.mark.parametrize("label", ["labels/{}.geojson", "annotations/{}.geojson", "images/{}.json", "{}.geojson"])
def test_files_of_qupath_are_found_and_their_classes_gathered(tmp_path: Path, label: str) -> None:
    put(tmp_path, "tile_10", [feature(square(0, 0), "type 10"), feature(square(8, 8))], label)
    put(tmp_path, "tile_2", [feature(square(4, 4), "type 2")], label)
    two, ten = read(str(tmp_path))
    assert (two.sample_id, ten.sample_id) == ("tile_2", "tile_10")
    assert ten.class_names == ("type 2", "type 10")
    assert (two.classes.tolist(), ten.classes.tolist()) == ([1], [2, 0])
    assert_array_equal(np.argwhere(two.instances)[[0, -1]], [[4, 4], [7, 7]])
    assert (two.mpp, two.source, two.split) == (None, own_source("geojson", "tile_2", two.image), "")


def test_names_of_any_number_of_digits_are_classes(tmp_path: Path) -> None:
    put(tmp_path, "a", [feature(square(0, 0), "1" * 5000), feature(square(8, 8), "2")])
    (tile,) = read(str(tmp_path))
    assert (tile.class_names, tile.classes.tolist()) == (("2", "1" * 5000), [2, 1])


def test_without_a_classification_every_nucleus_is_a_nucleus(tmp_path: Path) -> None:
    put(tmp_path, "a", [feature(square(0, 0)), feature(square(8, 8))])
    (tile,) = read(str(tmp_path))
    assert (tile.class_names, tile.classes.tolist()) == (("nucleus",), [1, 1])


def test_overlaps_go_to_the_later_nucleus_and_what_is_no_area_is_left_out(tmp_path: Path) -> None:
    point = feature([3, 3], kind="Point")
    put(tmp_path, "a", [feature(square(0, 0)), point, feature(square(2, 0))])
    found: list[Finding] = []
    (tile,) = read(str(tmp_path), found.append)
    assert tile.instances[0, :7].tolist() == [1, 1, 2, 2, 2, 2, 0]
    left_out = "Point features, which outline nothing, left out"
    assert tile.quality[REPAIRS] == {left_out: 1, CLAIMED_TWICE: 8}
    assert {(each.kind, each.where, each.what, each.count) for each in found} == {
        ("repaired", "a", left_out, 1),
        ("repaired", "a", CLAIMED_TWICE, 8),
    }


def test_repairs_are_added_to_those_that_meta_tells_of(tmp_path: Path) -> None:
    before = {CLAIMED_TWICE: 31, "px mended": 2}
    write([drawn_sample(0, quality={REPAIRS: before, "sharp": True})], tmp_path)
    path = tmp_path / "labels/tile_0.geojson"
    content = json.loads(path.read_text())
    nucleus = content["features"][0]
    content["features"] += [nucleus | {"geometry": {"type": "Point", "coordinates": [3, 3]}}, nucleus]
    path.write_text(json.dumps(content))
    found: list[Finding] = []
    (tile,) = read(str(tmp_path), found.append)
    claimed = int(np.count_nonzero(drawn_sample(0).instances == 1))
    mended = before | {CLAIMED_TWICE: 31 + claimed, "Point features, which outline nothing, left out": 1}
    mended |= {COVERED: 1, SAME_ID: 3}
    assert tile.quality == {REPAIRS: mended, "sharp": True}
    assert {each.what: each.count for each in found}[CLAIMED_TWICE] == claimed
    assert "px mended" not in {each.what for each in found}


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), 1e300])
def test_coordinates_of_no_place_name_file_and_feature(tmp_path: Path, odd: float) -> None:
    put(tmp_path, "a", [feature([3, 3], kind="Point"), feature([[[1, 2], [odd, 4], [5, 6]]])])
    with pytest.raises(UserError, match=r"an outline of no place(.|\n)*a.geojson, feature 2"):
        list(read(str(tmp_path)))


def test_what_meta_says_of_classes_is_held_to(tmp_path: Path) -> None:
    put(tmp_path, "a", [feature(square(0, 0), "tumour")])
    (tmp_path / "meta.toml").write_text('class_names = ["stroma", "tumor"]\nmpp = 0.5\n')
    with pytest.raises(UserError, match=r"unknown class 'tumour'(.|\n)*a.geojson(.|\n)*did you mean 'tumor'"):
        list(read(str(tmp_path)))


def test_a_broken_label_is_left_to_the_note_and_the_rest_read(tmp_path: Path) -> None:
    put(tmp_path, "a", [feature(square(0, 0), "x")])
    put(tmp_path, "b", [feature(square(0, 0), "y")])
    (tmp_path / "labels/a.geojson").write_text('{"type": "FeatureCollection", "features": [')
    found: list[Finding] = []
    (tile,) = read(str(tmp_path), found.append)
    assert (tile.sample_id, tile.class_names) == ("b", ("y",))
    assert [(finding.kind, finding.where[-9:]) for finding in found] == [("broken", "a.geojson")]


def test_names_of_single_nuclei_are_no_classes(tmp_path: Path) -> None:
    put(tmp_path, "a", [feature(square(0, 0), f"nucleus {k}") for k in range(256)])
    with pytest.raises(UserError, match="too many classes"):
        list(read(str(tmp_path)))


def test_folders_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    with pytest.raises(UserError, match=r"no geojson labels(.|\n)*labels/\*.geojson"):
        list(read(str(tmp_path)))
    put(tmp_path, "a", [])
    (tmp_path / "images/a.png").rename(tmp_path / "images/b.png")
    with pytest.raises(UserError, match="without its"):
        list(read(str(tmp_path)))


def test_real_outlines_of_puma_are_read(shared: Path, tmp_path: Path) -> None:
    puma = shared / "data" / "puma"
    for kind, pattern in (("images", "*.tif"), ("labels", "*.geojson")):
        (path,) = puma.rglob(pattern)
        (tmp_path / kind).mkdir()
        (tmp_path / kind / f"roi{path.suffix}").write_bytes(path.read_bytes())
    (tile,) = read(str(tmp_path))
    assert len(tile.classes) > 200
    assert all(name.startswith("nuclei_") for name in tile.class_names)
    write([tile], tmp_path / "out")
    (again,) = read(str(tmp_path / "out"))
    assert_array_equal(again.instances, tile.instances)
    assert_array_equal(again.classes, tile.classes)
