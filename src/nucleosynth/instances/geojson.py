"""Outlines in GeoJSON, as QuPath exports them: a FeatureCollection, a bare list of features, or a single Feature.

The class is properties.classification: an object with a `name` (or `names`, which QuPath joins by ": "), or the bare
name. A cell is two outlines; where `nucleusGeometry` is there, it is the nucleus. Coordinates are pixels, not degrees:
corner coordinates, as instances/polygons.py says. What outlines nothing (points, lines) is left out and counted.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nucleosynth.data.files import whole
from nucleosynth.errors import UserError
from nucleosynth.instances.polygons import Polygon, Ring

NOT_OUTLINES = ("Point", "MultiPoint", "LineString", "MultiLineString")
SAME_ID = "features whose id another one has, all kept"
CELL_ALONE = "cells without an outline of their nucleus, the cell's own taken"
NO_GEOMETRY = "features without a geometry, left out"


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
    for number, feature in enumerate(found, start=1):
        where = f"{file}, feature {number}"
        if not isinstance(feature, dict) or feature.get("type") != "Feature":
            raise _broken("something that is no Feature", where)
        properties = feature.get("properties") or {}
        if not isinstance(properties, dict):
            raise _broken("properties that are no object", where)
        ids[str(feature.get("id", number))] += 1
        kinds: Counter[str] = Counter()
        polygons = list(_polygons(_geometry(feature, properties, repairs), kinds, where))
        repairs.update({f"{kind} features, which outline nothing, left out": n for kind, n in kinds.items()})
        repairs[NO_GEOMETRY] += not polygons and not kinds
        if polygons:
            outlines.append(Outline(polygons, _name(properties, where), where))
    repairs[SAME_ID] = sum(count for count in ids.values() if count > 1)
    return Outlines(outlines, {words: count for words, count in repairs.items() if count})


def _geometry(feature: dict[str, Any], properties: dict[str, Any], repairs: Counter[str]) -> Any:
    """The geometry of the nucleus, None where there is none."""
    nucleus = feature.get("nucleusGeometry") or properties.get("nucleusGeometry")
    geometry = nucleus or feature.get("geometry")
    repairs[CELL_ALONE] += nucleus is None and geometry is not None and properties.get("objectType") == "cell"
    return geometry


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
