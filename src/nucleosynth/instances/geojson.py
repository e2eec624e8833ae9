"""Outlines in GeoJSON, as QuPath exports them: a FeatureCollection, a bare list of features, or a single Feature.

The class is properties.classification: an object with a `name` (or `names`, which QuPath joins by ": "), or the bare
name. A cell is two outlines; where `nucleusGeometry` is there, it is the nucleus. Coordinates are pixels, not degrees:
corner coordinates, as instances/polygons.py says. What outlines nothing (points, lines) is left out and counted.

People draw regions where nuclei are, and export both. Beside detections or cells, annotations (and tiles, TMA cores)
are no nuclei. Where all are annotations, they are the nuclei, but for those without a class that enclose two others or
more: these are regions. Both are left out and counted. What kind a feature is of stands in properties.objectType, or
in its id, as QuPath 0.2 has it ("PathCellObject").
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nucleosynth.data.files import whole
from nucleosynth.errors import UserError
from nucleosynth.instances.polygons import Polygon, Ring

NOT_OUTLINES = ("Point", "MultiPoint", "LineString", "MultiLineString")
SAME_ID = "features whose id another one has, all kept"
CELL_ALONE = "cells without an outline of their nucleus, the cell's own taken"
NO_GEOMETRY = "features without a geometry, left out"
BESIDE = {
    "annotation": "annotations beside detections, left out",
    "tile": "tiles beside detections, left out",
    "tma_core": "TMA cores beside detections, left out",
}
REGIONS = "annotations without a class round others, left out"
NUCLEI = ("detection", "cell")
"""The objectTypes that are nuclei, whatever else there is."""
ENCLOSED = 2
"""Outlines inside an annotation that make it a region."""
_KIND_AS_ID = re.compile(r"Path(\w+)Object")


class Outline(NamedTuple):
    """A nucleus: its polygons, the name of its class ("" where none is given), and the file and feature it is of."""

    polygons: list[list[Ring]]
    name: str
    where: str


class Outlines(NamedTuple):
    """The outlines of a file in its order; `repairs` counts in words what was left out or mended."""

    outlines: list[Outline]
    repairs: dict[str, int]


def features(path: Path) -> Outlines:
    """The outlines of a GeoJSON file.

    Raises:
        UserError: not JSON, truncated, nested without end, no features, an unknown geometry, or coordinates that are no
            pairs of numbers; the message names the file and the feature, counted from 1.
    """
    try:
        return _outlines(_features(path), str(path))
    except RecursionError as error:
        raise _broken("a nesting without end", str(path)) from error


def geometry_of(polygons: Sequence[Polygon]) -> dict[str, Any]:
    """The GeoJSON geometry of a nucleus: a Polygon, or a MultiPolygon where it has several; rings are closed.

    Example:
        >>> geometry_of([[np.array([[0, 0], [1, 0], [0, 1]])]])
        {'type': 'Polygon', 'coordinates': [[[0, 0], [1, 0], [0, 1], [0, 0]]]}
    """
    coordinates = [[[*np.asarray(ring).tolist(), ring[0].tolist()] for ring in polygon] for polygon in polygons]
    if len(coordinates) == 1:
        return {"type": "Polygon", "coordinates": coordinates[0]}
    return {"type": "MultiPolygon", "coordinates": coordinates}


def _features(path: Path) -> list[Any]:
    data = whole(path, path.resolve().parent)  # where links may lead is for whoever finds the files to say
    try:
        content = json.loads(data.decode("utf-8-sig"))
    except ValueError as error:
        raise _broken(str(error), str(path)) from error
    if isinstance(content, dict) and content.get("type") == "Feature":
        content = [content]
    elif isinstance(content, dict):
        content = content.get("features")
    if not isinstance(content, list):
        raise _broken("no list of features", str(path))
    return content


def _outlines(found: Sequence[Any], file: str) -> Outlines:
    outlines: list[Outline] = []
    repairs: Counter[str] = Counter()
    ids: Counter[str] = Counter()
    checked = [_checked(feature, f"{file}, feature {number}") for number, feature in enumerate(found, start=1)]
    detected = any(feature.kind in NUCLEI for feature in checked)
    bare: list[int] = []
    for feature in checked:
        if detected and feature.kind in BESIDE:
            repairs[BESIDE[feature.kind]] += 1
            continue
        ids[feature.id] += 1
        others: Counter[str] = Counter()
        polygons = list(_polygons(_geometry(feature, repairs), others, feature.where))
        repairs.update({f"{kind} features, which outline nothing, left out": n for kind, n in others.items()})
        repairs[NO_GEOMETRY] += not polygons and not others
        if polygons:
            name = _name(feature.properties, feature.where)
            bare += [len(outlines)] if feature.kind == "annotation" and not name else []
            outlines.append(Outline(polygons, name, feature.where))
    repairs[SAME_ID] = sum(count for id_, count in ids.items() if id_ and count > 1)
    regions = _regions(outlines, bare)
    repairs[REGIONS] = len(regions)
    kept = [outline for number, outline in enumerate(outlines) if number not in regions]
    return Outlines(kept, {words: count for words, count in repairs.items() if count})


class _Feature(NamedTuple):
    """`kind` and `id` are "" where none is given."""

    kind: str
    id: str
    content: dict[str, Any]
    properties: dict[str, Any]
    where: str


def _checked(feature: Any, where: str) -> _Feature:
    if not isinstance(feature, dict) or feature.get("type") != "Feature":
        raise _broken("something that is no Feature", where)
    properties = feature.get("properties") or {}
    if not isinstance(properties, dict):
        raise _broken("properties that are no object", where)
    given = feature.get("id")
    as_id = _KIND_AS_ID.fullmatch(str(given))
    kind = properties.get("objectType") or properties.get("object_type") or (as_id[1] if as_id else "")
    return _Feature(str(kind).lower(), "" if given is None or as_id else str(given), feature, properties, where)


def _geometry(feature: _Feature, repairs: Counter[str]) -> Any:
    """The geometry of the nucleus, None where there is none."""
    nucleus = feature.content.get("nucleusGeometry") or feature.properties.get("nucleusGeometry")
    geometry = nucleus or feature.content.get("geometry")
    repairs[CELL_ALONE] += nucleus is None and geometry is not None and feature.kind == "cell"
    return geometry


def _regions(outlines: Sequence[Outline], bare: Sequence[int]) -> set[int]:
    """Those of the outlines `bare` that enclose others: the middle and every vertex of them."""
    rings = [[ring for polygon in outline.polygons for ring in polygon if len(ring)] for outline in outlines]
    vertices = [np.concatenate(found or [np.full((1, 2), np.nan)]).astype(np.float64) for found in rings]
    boxes = np.array([[found.min(axis=0), found.max(axis=0)] for found in vertices]).reshape(-1, 2, 2)
    low, high = boxes[:, 0], boxes[:, 1]
    order = np.argsort(low[:, 0])
    lefts = low[order, 0]
    regions = set()
    with np.errstate(all="ignore"):  # coordinates of no place are refused when they are drawn
        for number in bare:
            near = order[slice(*np.searchsorted(lefts, [low[number, 0], high[number, 0]]))]
            within = near[((low[near] >= low[number]) & (high[near] <= high[number])).all(axis=1) & (near != number)]
            within = within[_inside(boxes[within].mean(axis=1), rings[number])] if len(within) >= ENCLOSED else []
            enclosed = (other for other in within if _inside(vertices[other], rings[number]).all())
            if len(list(islice(enclosed, ENCLOSED))) == ENCLOSED:
                regions.add(number)
    return regions


def _inside(points: Ring, rings: Sequence[Ring]) -> NDArray[np.bool_]:
    """(n,) whether each of the points (n 2) lies inside of the rings, holes being outside."""
    x, y = points.T
    odd = np.zeros(len(points), bool)
    for ring in rings:
        for (x0, y0), (x1, y1) in zip(ring.tolist(), [*ring[1:].tolist(), *ring[:1].tolist()], strict=True):
            if y0 != y1:
                odd ^= ((y0 > y) != (y1 > y)) & (x < x0 + (y - y0) * ((x1 - x0) / (y1 - y0)))
    return odd


def _polygons(geometry: Any, others: Counter[str], where: str) -> Iterator[list[Ring]]:
    """The polygons of a geometry; what is none in it is counted in `others`."""
    if geometry is None:
        return
    kind = geometry.get("type") if isinstance(geometry, dict) else None
    if kind in NOT_OUTLINES:
        others[kind] += 1
    elif kind == "GeometryCollection":
        for part in _list(geometry.get("geometries"), where):
            yield from _polygons(part, others, where)
    elif kind in ("Polygon", "MultiPolygon"):
        coordinates = _list(geometry.get("coordinates"), where)
        for rings in [coordinates] if kind == "Polygon" else coordinates:
            yield [_ring(ring, where) for ring in _list(rings, where)]
    else:
        raise _broken(f"the geometry {kind!r}", where)


def _ring(vertices: Any, where: str) -> Ring:
    """(m 2) x, y; the vertex that closes it is dropped."""
    try:
        ring = np.asarray(_list(vertices, where) or np.zeros((0, 2)))
    except ValueError as error:  # rows of different lengths
        raise _broken("coordinates that are no pairs", where) from error
    if ring.ndim != 2 or ring.shape[1] != 2 or ring.dtype.kind not in "iuf":
        raise _broken("coordinates that are no pairs of numbers", where)
    return ring[:-1] if len(ring) > 1 and (ring[0] == ring[-1]).all() else ring


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise _broken("coordinates that are no list", where)
    return value


def _name(properties: dict[str, Any], where: str) -> str:
    kind = properties.get("classification")
    if isinstance(kind, dict):
        names = kind.get("names")
        kind = ": ".join(map(str, names)) if isinstance(names, list) else kind.get("name")
    if kind is not None and not isinstance(kind, str):
        raise _broken(f"the class {kind!r}", where)
    return kind or ""


def _broken(got: str, where: str) -> UserError:
    return UserError(
        "not a GeoJSON file of outlines",
        expected="Features of Polygon or MultiPolygon, coordinates as pairs of numbers in px",
        got=got,
        where=where,
        mend="export the annotations again",
    )
