"""Broken GeoJSON, COCO, HoVer-Net and CSV folders."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from broken.cases import (
    Break,
    Case,
    bomb_mat,
    canary,
    claiming_npy,
    first,
    link_inside,
    link_out,
    mat,
    pickled_npy,
    prefixed,
    text,
    windows_lines,
)
from drawn import drawn_sample
from nucleosynth.formats import hovernet

Square = [[1, 1], [15, 1], [15, 9], [1, 9], [1, 1]]


def _json(root: Path, pattern: str, change: Callable[[Any], None]) -> None:
    path = first(root, pattern)
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def _feature(change: Callable[[dict[str, Any]], None]) -> Break:
    return lambda root: _json(root, "*.geojson", lambda content: change(content["features"][0]))


def _ring(*vertices: list[Any]) -> Break:
    return _feature(lambda feature: feature["geometry"].update(type="Polygon", coordinates=[list(vertices)]))


def _annotation(**changes: Any) -> Break:
    return lambda root: _json(root, "annotations.json", lambda content: content["annotations"][0].update(changes))


def _listed(key: str, change: Callable[[list[Any]], Any]) -> Break:
    return lambda root: _json(root, "annotations.json", lambda content: change(content[key]))


def _npy(change: Callable[[Path, Path], None]) -> Break:
    def rewritten(root: Path) -> None:
        hovernet.write_npy([drawn_sample(k) for k in range(4)], root, overwrite=True)
        change(first(root, "*.npy"), root)

    return rewritten


def _csv(old: str, new: str, count: int = 1) -> Break:
    return lambda root: text(root, "nuclei.csv", old, new, count)


def _nest(root: Path) -> None:
    geometry = '{"type":"GeometryCollection","geometries":['
    deep = geometry * 20000 + "]}" * 20000
    first(root, "*.geojson").write_text(
        '{"type":"FeatureCollection","features":[{"type":"Feature","geometry":' + deep + "}]}"
    )


def _nan(root: Path) -> None:
    path = root / "nuclei.csv"
    head, row, rest = path.read_text().split("\n", 2)
    fields = row.split(",")
    fields[3] = "nan"
    path.write_text("\n".join([head, ",".join(fields), rest]))


def _first_class(word: str, named: bool = True) -> Break:
    """Another word for the class of the first nucleus; `named`: meta.json and the other rows name classes."""

    def change(root: Path) -> None:
        path = root / "nuclei.csv"
        if not named:
            (root / "meta.json").unlink()
            path.write_text(re.sub(r"(?m)^(tile_\d,\d+),[a-z]*,", r"\1,1,", path.read_text()))
        path.write_text(re.sub(r"tile_0,1,\w*,", f"tile_0,1,{word},", path.read_text(), count=1))

    return change


def _points_only(root: Path) -> None:
    (root / "meta.json").unlink()
    path = root / "nuclei.csv"
    rows = [line.split('"')[0].rstrip(",").split(",")[:5] for line in path.read_text().splitlines()]
    path.write_text("\n".join(",".join(row) for row in rows) + "\n")


def _semicolons(root: Path) -> None:
    path = root / "nuclei.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(";".join(part for part in _fields(line)) for line in lines) + "\n")


def _fields(line: str) -> list[str]:
    head, quote, rest = line.partition('"')
    return [*head.rstrip(",").split(","), *([f'"{rest}'] if quote else [])]


CASES = [
    Case("geojson", "NaN coordinates", "feature 1", _ring([1, 1], [9, float("nan")], [9, 9])),
    Case("geojson", "infinite coordinates", "feature 1", _ring([1, 1], [9, float("inf")], [9, 9])),
    Case("geojson", "coordinates as words", "no pairs of numbers", _ring([1, 1], ["9", "1"], [9, 9])),
    Case("geojson", "coordinates in threes", "no pairs", _ring([1, 1, 1], [9, 1, 1], [9, 9, 1])),
    Case("geojson", "outline of two points", "fewer than 3 points", _ring([1, 1], [9, 9])),
    Case("geojson", "outline that crosses itself", "cross themselves", _ring([0, 0], [8, 8], [8, 0], [0, 8])),
    Case("geojson", "outline over the border", "cut at its border", _ring([-5, 0], [1, 0], [1, 9], [-5, 9])),
    Case("geojson", "outline outside the image", "without a pixel", _ring([500, 500], [510, 500], [510, 510])),
    Case("geojson", "outline smaller than a pixel", "without a pixel", _ring([1.1, 1.1], [1.2, 1.1], [1.2, 1.2])),
    Case("geojson", "outline over another", "claimed by two nuclei", _ring(*Square)),
    Case(
        "geojson",
        "a point",
        "outline nothing",
        _feature(lambda f: f.update(geometry={"type": "Point", "coordinates": [1, 1]})),
    ),
    Case("geojson", "no geometry", "without a geometry", _feature(lambda f: f.update(geometry=None))),
    Case(
        "geojson", "unknown geometry", "the geometry 'Circle'", _feature(lambda f: f["geometry"].update(type="Circle"))
    ),
    Case(
        "geojson",
        "class that is not listed",
        "unknown class",
        _feature(lambda f: f["properties"].update(classification={"name": "rond"})),
    ),
    Case(
        "geojson", "class that is a number", "the class 7", _feature(lambda f: f["properties"].update(classification=7))
    ),
    Case(
        "geojson",
        "ids that repeat",
        "id another one has",
        lambda r: _json(r, "*.geojson", lambda c: [f.update(id="a") for f in c["features"]]),
    ),
    Case("geojson", "geometries nested 20000 deep", "nesting without end|recursion", _nest),
    Case("geojson", "byte order mark", "", lambda r: prefixed(r, "*.geojson", b"\xef\xbb\xbf")),
    Case("geojson", "Windows lines", "", lambda r: windows_lines(r, "*.geojson")),
    Case(
        "geojson",
        "UTF-16",
        "not a GeoJSON file",
        lambda r: first(r, "*.geojson").write_text(first(r, "*.geojson").read_text(), "utf-16"),
    ),
    Case(
        "geojson",
        "a list of features",
        "",
        lambda r: first(r, "*.geojson").write_text(
            json.dumps(json.loads(first(r, "*.geojson").read_text())["features"])
        ),
    ),
    Case(
        "geojson",
        "no feature, but an object",
        "no list of features",
        lambda r: first(r, "*.geojson").write_text("{}"),
    ),
    Case(
        "coco",
        "run lengths that are too long",
        "annotation 1",
        _annotation(segmentation={"size": [40, 48], "counts": [0, 99999]}),
    ),
    Case(
        "coco",
        "run lengths below 0",
        "annotation 1",
        _annotation(segmentation={"size": [40, 48], "counts": [-4, 1924]}),
    ),
    Case(
        "coco",
        "run lengths of another size",
        "annotation 1",
        _annotation(segmentation={"size": [4, 4], "counts": [0, 16]}),
    ),
    Case(
        "coco",
        "run lengths that are no text",
        "annotation 1",
        _annotation(segmentation={"size": [40, 48], "counts": "\u00ff\u00fe"}),
    ),
    Case("coco", "odd number of coordinates", "segmentation that is none", _annotation(segmentation=[[1, 1, 9, 1, 9]])),
    Case(
        "coco",
        "NaN coordinates",
        "outline of no place|COCO file",
        _annotation(segmentation=[[1, 1, 9, float("nan"), 9, 9]]),
    ),
    Case("coco", "polygon of two points", "fewer than 3 points", _annotation(segmentation=[[1, 1, 9, 9]])),
    Case(
        "coco", "polygon that crosses itself", "cross themselves", _annotation(segmentation=[[0, 0, 8, 8, 8, 0, 0, 8]])
    ),
    Case(
        "coco",
        "polygon outside the image",
        "without a pixel",
        _annotation(segmentation=[[500, 500, 510, 500, 510, 510]]),
    ),
    Case("coco", "box without an outline", "boxes without an outline", _annotation(segmentation=[])),
    Case("coco", "crowd", "crowd regions", _annotation(iscrowd=1)),
    Case("coco", "category that is not listed", "category that is not listed", _annotation(category_id=77)),
    Case("coco", "annotation of no image", "images that are not listed", _annotation(image_id=999)),
    Case("coco", "annotation id twice", "occur more than once", _annotation(id=2)),
    Case("coco", "image id twice", "image id twice", _listed("images", lambda images: images[1].update(id=1))),
    Case(
        "coco",
        "category id twice",
        "category id twice",
        _listed("categories", lambda kinds: kinds.append({"id": 1, "name": "x"})),
    ),
    Case(
        "coco",
        "image that is not there",
        "an image is not there",
        _listed("images", lambda images: images[0].update(file_name="no.png")),
    ),
    Case(
        "coco",
        "image above the folder",
        "leads out of the folder",
        _listed("images", lambda images: images[0].update(file_name="../../etc/passwd")),
    ),
    Case(
        "coco",
        "image at a Windows place",
        "leads out of the folder",
        _listed("images", lambda images: images[0].update(file_name="C:\\x.png")),
    ),
    Case(
        "coco",
        "image with a backslash",
        "",
        _listed("images", lambda images: images[0].update(file_name="images\\tile_0.png")),
    ),
    Case(
        "coco", "image of another size", "another size", _listed("images", lambda images: images[0].update(height=41))
    ),
    Case(
        "coco",
        "a list instead of an object",
        "not a COCO file",
        lambda r: (r / "annotations.json").write_text("[]"),
    ),
    Case("coco", "byte order mark", "", lambda r: prefixed(r, "annotations.json", b"\xef\xbb\xbf")),
    Case("hovernet", "map of fractions", "not instance ids", mat(inst_map=np.full((40, 48), 0.5))),
    Case(
        "hovernet",
        "map of another size",
        "differ in size|size",
        mat(inst_map=np.ones((4, 4), np.int32), inst_type=np.ones((1, 1)), inst_uid=np.ones((1, 1))),
    ),
    Case("hovernet", "types of too few nuclei", "tile_0", mat(inst_type=np.ones((1, 1), np.int32))),
    Case("hovernet", "ids that repeat", "tile_0", mat(inst_uid=np.ones((16, 1), np.int32))),
    Case("hovernet", "type 300", "type", mat(inst_type=np.full((20, 1), 300))),
    Case("hovernet", "map in a cell array", "broken file", mat(inst_map=np.array([[1, "a"]], object))),
    Case("hovernet", "map that claims 3 GB", "at most 1 GiB", lambda r: bomb_mat(first(r, "*.mat"))),
    Case(
        "hovernet", "array that needs pickle", "broken file", _npy(lambda path, root: pickled_npy(path, canary(root)))
    ),
    Case(
        "hovernet",
        "array that claims a terabyte",
        "broken file",
        _npy(lambda path, _: claiming_npy(path, (1 << 19, 1 << 19, 2))),
    ),
    Case(
        "hovernet",
        "array of seven channels",
        "tile_0",
        _npy(lambda path, _: np.save(path, np.zeros((40, 48, 7), np.int32))),
    ),
    Case(
        "hovernet",
        "array of NaN",
        "not instance ids|whole",
        _npy(lambda path, _: np.save(path, np.full((40, 48, 2), np.nan))),
    ),
    Case("csv", "NaN coordinates", "line 2", _nan),
    Case("csv", "polygon that is none", "POLYGON", _csv("POLYGON ((", "PLYGON ((")),
    Case(
        "csv",
        "polygon cut short",
        "POLYGON|fields|broken table",
        lambda r: (r / "nuclei.csv").write_text((r / "nuclei.csv").read_text()[:400]),
    ),
    Case("csv", "id twice", "every id of a tile once", _csv("tile_0,2,", "tile_0,1,")),
    Case("csv", "id 0", "an id from 1", _csv("tile_0,2,", "tile_0,0,")),
    Case("csv", "tile that is not there", "image is not there", _csv("tile_0,2,", "tile_9,2,")),
    Case("csv", "no column of classes", "not the table", _csv("tile,id,class", "tile,id,klass")),
    Case("csv", "id that is a superscript", "an id from 1", _csv("tile_0,2,", "tile_0,²,")),
    Case("csv", "id of 5000 digits", "an id from 1", _csv("tile_0,2,", f"tile_0,{'2' * 5000},")),
    Case("csv", "class of 5000 digits", "unknown class|a class of 0", _first_class("1" * 5000)),
    Case("csv", "class of 5000 digits without names", "a class of 0", _first_class("1" * 5000, named=False)),
    Case("csv", "class that is a superscript", "unknown class '²'", _first_class("²")),
    Case("csv", "class 2147483647", "a class of 0", _first_class("2147483647")),
    Case("csv", "images outside", "a link out of the folder", link_out("images")),
    Case("geojson", "labels outside", "a link out of the folder", link_out("labels")),
    Case("hovernet", "images outside", "a link out of the folder", link_out("images")),
    Case("coco", "images outside", "leads out of the folder", link_out("images")),
    Case("geojson", "labels at another place of the folder", "", link_inside("labels")),
    Case("csv", "byte order mark", "", lambda r: prefixed(r, "nuclei.csv", b"\xef\xbb\xbf")),
    Case("csv", "Windows lines", "", lambda r: windows_lines(r, "nuclei.csv")),
    Case("csv", "semicolons", "", _semicolons),
    Case("csv", "points without polygons", "", _points_only),
    Case("csv", "bytes that are no UTF-8", "broken table", lambda r: prefixed(r, "nuclei.csv", b"\xff\xfe")),
]
