"""Outlines in WKT, the text that tables and databases keep a geometry in: a POLYGON, or a MULTIPOLYGON of several.

    POLYGON ((6 16, 14 16, 14 24, 6 24, 6 16), (8 18, 8 20, 10 20, 8 18))

Coordinates are corner coordinates, as instances/polygons.py says. Rings are written closed, and read as they stand.
"""

import re
from collections.abc import Sequence

import numpy as np

from nucleosynth.errors import UserError
from nucleosynth.instances.polygons import Polygon, Ring

_BRACKETS = {"POLYGON": 2, "MULTIPOLYGON": 3}
"""How many stand round the first ring."""
_BETWEEN_POLYGONS = re.compile(r"\)\s*\)\s*,\s*\(\s*\(")
_BETWEEN_RINGS = re.compile(r"\)\s*,\s*\(")


def wkt_of(polygons: Sequence[Polygon]) -> str:
    """The WKT of a nucleus: a POLYGON, or a MULTIPOLYGON where it has several.

    Example:
        >>> wkt_of([[np.array([[0, 0], [1, 0], [0, 1]])]])
        'POLYGON ((0 0, 1 0, 0 1, 0 0))'
    """
    texts = []
    for polygon in polygons:
        rings = [", ".join(f"{x} {y}" for x, y in [*ring.tolist(), ring[0].tolist()]) for ring in polygon]
        texts.append("(" + ", ".join(f"({ring})" for ring in rings) + ")")
    return f"POLYGON {texts[0]}" if len(texts) == 1 else f"MULTIPOLYGON ({', '.join(texts)})"


def polygons_of(text: str, where: str) -> list[list[Ring]]:
    """The polygons of a POLYGON or MULTIPOLYGON in any case and spacing: rings (m 2), float64.

    Raises:
        UserError: anything else; `where` names file and line.

    Example:
        >>> polygons_of("Polygon((0 0,1 0,0 1))", "")[0][0].tolist()
        [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]
    """
    kind, bracket, body = text.partition("(")
    try:
        depth = _BRACKETS[kind.strip().upper()]
        inner = _inside(bracket + body, depth)
        polygons = _BETWEEN_POLYGONS.split(inner) if depth == 3 else [inner]
        return [[_ring(ring) for ring in _BETWEEN_RINGS.split(polygon)] for polygon in polygons]
    except (KeyError, ValueError) as error:
        raise UserError(
            "an outline that is none",
            expected="a POLYGON or MULTIPOLYGON of x y pairs",
            got=repr(text[:60]),
            where=where,
            mend="write the outline again",
        ) from error


def _inside(text: str, depth: int) -> str:
    """What stands inside so many brackets."""
    for _ in range(depth):
        text = text.strip()
        if not (text.startswith("(") and text.endswith(")")):
            raise ValueError("too few brackets")
        text = text[1:-1]
    return text


def _ring(text: str) -> Ring:
    ring = np.array([vertex.split() for vertex in text.split(",")], np.float64)
    if ring.shape[1:] != (2,):
        raise ValueError("no pairs")
    return ring
