"""Every form in which QuPath writes outlines is read; what is broken is named by file and feature."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from nucleosynth.errors import UserError
from nucleosynth.instances.geojson import CELL_ALONE, NO_GEOMETRY, SAME_ID, Outlines, features, geometry_of

SQUARE = [[1, 1], [4, 1], [4, 4], [1, 4], [1, 1]]
HOLE = [[2, 2], [2, 3], [3, 3], [3, 2], [2, 2]]
POLYGON = {"type": "Polygon", "coordinates": [SQUARE]}
POINT = {"type": "Point", "coordinates": [1, 2]}


def feature(geometry: Any = POLYGON, properties: Any = None, **more: Any) -> dict[str, Any]:
    return {"type": "Feature", "geometry": geometry, "properties": properties, **more}


def written(folder: Path, content: Any) -> Outlines:
    """What is read of a file with this content: bytes, or what is written as JSON."""
    path = folder / "tile.geojson"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return features(path)


@pytest.mark.parametrize(
    "content",
    [
        {"type": "FeatureCollection", "features": [feature()]},
        [feature()],
        feature(),
        b"\xef\xbb\xbf" + json.dumps([feature()], indent=1).replace("\n", "\r\n").encode(),
    ],
)
def test_a_collection_a_list_and_a_single_feature_are_read(tmp_path: Path, content: Any) -> None:
    ((outline,), repairs) = written(tmp_path, content)
    assert_array_equal(outline.polygons[0][0], SQUARE[:-1])
    assert (outline.name, outline.where, repairs) == ("", f"{tmp_path / 'tile.geojson'}, feature 1", {})


def test_holes_parts_and_collections_are_kept(tmp_path: Path) -> None:
    multi = {"type": "MultiPolygon", "coordinates": [[SQUARE, HOLE], [SQUARE]]}
    both = {"type": "GeometryCollection", "geometries": [{"type": "GeometryCollection", "geometries": [multi]}, POINT]}
    outlines, repairs = written(tmp_path, [feature(multi), feature(both)])
    assert [[len(polygon) for polygon in outline.polygons] for outline in outlines] == [[2, 1], [2, 1]]
    assert repairs == {"Point features, which outline nothing, left out": 1}


@pytest.mark.parametrize(
    ("classification", "name"),
    [
        ({"name": "Größe", "color": [1, 2, 3]}, "Größe"),
        ({"name": "Tumor", "colorRGB": -65536}, "Tumor"),
        ({"names": ["Tumor", "Positive"]}, "Tumor: Positive"),
        ("Stroma", "Stroma"),
        (None, ""),
        ({"name": None}, ""),
    ],
)
def test_the_class_is_named_in_any_of_its_forms(tmp_path: Path, classification: Any, name: str) -> None:
    outlines, _ = written(tmp_path, [feature(properties={"classification": classification})])
    assert outlines[0].name == name


def test_of_a_cell_the_nucleus_is_taken(tmp_path: Path) -> None:
    nucleus = {"type": "Polygon", "coordinates": [HOLE]}
    cell = {"objectType": "cell"}
    outlines, repairs = written(tmp_path, [feature(properties=cell, nucleusGeometry=nucleus), feature(properties=cell)])
    assert_array_equal(outlines[0].polygons[0][0], HOLE[:-1])
    assert_array_equal(outlines[1].polygons[0][0], SQUARE[:-1])
    assert repairs == {CELL_ALONE: 1}


def test_what_outlines_nothing_and_ids_used_again_are_counted(tmp_path: Path) -> None:
    line = {"type": "LineString", "coordinates": [[0, 0], [1, 1]]}
    none = {"type": "MultiPolygon", "coordinates": []}
    given = [
        feature(id="a"),
        feature(id="a"),
        feature(id="b"),
        feature(POINT),
        feature(line),
        feature(None),
        feature(none),
    ]
    outlines, repairs = written(tmp_path, given)
    assert len(outlines) == 3
    assert repairs == {
        "Point features, which outline nothing, left out": 1,
        "LineString features, which outline nothing, left out": 1,
        NO_GEOMETRY: 2,
        SAME_ID: 2,
    }


@pytest.mark.parametrize(
    "content",
    [b"", b"{", json.dumps([feature()]).encode()[:-9], b"\xff\xfe", b"3", b"{}", b"[" * 100000, b'{"features": {}}'],
)
def test_a_file_that_is_no_geojson_is_named(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(UserError, match=r"not a GeoJSON(.|\n)*tile.geojson"):
        written(tmp_path, content)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot be read(.|\n)*tile.geojson"):
        features(tmp_path / "tile.geojson")


@pytest.mark.parametrize(
    "bad",
    [
        7,
        {"type": "Polygon"},
        feature({"type": "Circle"}),
        feature("Polygon"),
        feature({"type": "Polygon", "coordinates": 3}),
        feature({"type": "Polygon", "coordinates": [3]}),
        feature({"type": "Polygon", "coordinates": [[1, 2, 3]]}),
        feature({"type": "Polygon", "coordinates": [[[1, 2], [3]]]}),
        feature({"type": "Polygon", "coordinates": [[[1, 2, 3], [3, 4, 5]]]}),
        feature({"type": "Polygon", "coordinates": [[["1", "2"], ["3", "4"]]]}),
        feature({"type": "Polygon", "coordinates": [[[1, 2], [10**30, 4]]]}),
        feature(properties=[1]),
        feature(properties={"classification": 3}),
    ],
)
def test_a_broken_feature_is_named(tmp_path: Path, bad: Any) -> None:
    with pytest.raises(UserError, match=r"tile.geojson, feature 2"):
        written(tmp_path, [feature(), bad])


def test_a_collection_nested_without_end_is_an_error(tmp_path: Path) -> None:
    depth = 900
    text = '{"type": "GeometryCollection", "geometries": [' * depth + json.dumps(POINT) + "]}" * depth
    with pytest.raises(UserError, match="nesting without end"):
        written(tmp_path, b'{"type": "Feature", "geometry": ' + text.encode() + b"}")


def test_an_empty_polygon_is_kept_for_the_canvas_to_count(tmp_path: Path) -> None:
    outlines, _ = written(tmp_path, [feature({"type": "Polygon", "coordinates": [[]]})])
    assert [ring.shape for ring in outlines[0].polygons[0]] == [(0, 2)]


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    one, hole = np.array(SQUARE[:-1], np.int32), np.array(HOLE[:-1], np.int32)
    for polygons in ([[one, hole]], [[one], [hole]]):
        geometry = geometry_of(polygons)
        assert geometry["type"] == ("Polygon" if len(polygons) == 1 else "MultiPolygon")
        outlines, _ = written(tmp_path, [feature(geometry)])
        for found, given in zip(outlines[0].polygons, polygons, strict=True):
            for ring, wanted in zip(found, given, strict=True):
                assert_array_equal(ring, wanted)


def test_a_real_export_is_read_whole(shared: Path) -> None:
    (path,) = (shared / "data" / "puma").rglob("*.geojson")
    outlines, repairs = features(path)
    assert (len(outlines), repairs) == (671, {})
