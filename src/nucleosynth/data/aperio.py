"""Nuclei outlined in Aperio ImageScope: its XML to an instance map.

    Annotations@MicronsPerPixel > Annotation > Regions > Region@Id,NegativeROA > Vertices > Vertex@X,Y

Vertices are corner coordinates (instances/polygons.py), fractional, and may leave the image. Regions are drawn in the
order of the file, whatever layer (Annotation) they are on, and a pixel of two nuclei goes to the later one. A region
with NegativeROA="1" is a hole: it is cut out of whatever nuclei have its pixels, after all are drawn. Each region
becomes a nucleus or is counted under one of `WITHOUT_NUCLEUS`, so that the sums agree.

Expat, which reads the XML, resolves no external entity and ends a bomb of nested ones with an error.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np

from nucleosynth.data.images import broken
from nucleosynth.errors import UserError
from nucleosynth.instances.canvas import COVERED, NO_PIXEL, TOO_FEW, Canvas, Label
from nucleosynth.instances.polygons import Ring

HOLES = "regions marked as holes, cut out of the nuclei under them"
EMPTIED = "nuclei that holes take whole, left out"
WITHOUT_NUCLEUS = (TOO_FEW, NO_PIXEL, COVERED, HOLES, EMPTIED)
"""The repairs that each count a region of the file that is no nucleus of the map."""
FARTHEST_PX = 1e9
"""No vertex of a real outline lies farther out."""


class Outlined(NamedTuple):
    """What an ImageScope file says: the nuclei of a tile, and micrometres per pixel (None where it does not say)."""

    label: Label
    mpp: float | None


class _Region(NamedTuple):
    ring: Ring
    hole: bool


def read_outlines(path: Path, size: tuple[int, int], kind: int = 1) -> Outlined:
    """The nuclei of an ImageScope XML, all of class `kind`, drawn for an image of `size` (h w).

    Raises:
        UserError: no XML, a truncated one, one that is not ImageScope's, or a vertex without finite coordinates; the
            message names file and region.
    """
    root = _parsed(path)
    regions = [_region(element, path) for element in root.iter("Region")]
    canvas = Canvas(size)
    for region in regions:
        if not region.hole:
            canvas.outline([[region.ring]], kind, str(path))
    return Outlined(_cut(canvas, [region.ring for region in regions if region.hole]), _mpp(root))


def _parsed(path: Path) -> ElementTree.Element:
    try:
        root = ElementTree.parse(path).getroot()
    except (ElementTree.ParseError, LookupError, ValueError) as error:  # the latter two: an encoding it does not know
        raise broken(str(path), "a whole XML file of ImageScope", str(error)) from error
    if root.tag != "Annotations" or root.find("Annotation/Regions") is None:
        raise UserError(
            "not an ImageScope file",
            expected="Annotations > Annotation > Regions > Region",
            got=" > ".join([root.tag, *(child.tag for child in root[:1])]),
            where=str(path),
            mend="export the annotations from ImageScope as XML",
        )
    return root


def _region(element: ElementTree.Element, path: Path) -> _Region:
    """A region's outline; its coordinates are numbers that a pixel can be near."""
    try:
        points = [(float(vertex.attrib["X"]), float(vertex.attrib["Y"])) for vertex in element.iter("Vertex")]
        flaw = "" if (np.abs(np.array(points)) <= FARTHEST_PX).all() else "NaN, infinity or far outside any image"
    except KeyError as error:
        flaw = f"a vertex without {error}"
    except ValueError as error:
        flaw = str(error)
    if flaw:
        raise UserError(
            "an outline of no place",
            expected="vertices with finite X and Y",
            got=flaw,
            where=f"{path}, region {element.get('Id', 'without Id')}",
            mend="export the annotations again, or remove that region",
        )
    return _Region(np.array(points, np.float64).reshape(-1, 2), element.get("NegativeROA", "0").strip() == "1")


def _cut(canvas: Canvas, holes: Sequence[Ring]) -> Label:
    """What has been drawn, less the holes; nuclei that they take whole are counted apart from covered ones."""
    drawn = canvas.label()
    if not holes:
        return drawn
    for ring in holes:
        if len(ring) < 3:
            canvas.repairs[TOO_FEW] += 1
        else:
            canvas.repairs[HOLES] += 1
            canvas.erase([[ring]])
    left = canvas.label()
    taken = len(drawn.classes) - len(left.classes)
    repairs = Counter(left.repairs)
    repairs[COVERED] -= taken
    repairs[EMPTIED] += taken
    return left._replace(repairs={words: count for words, count in repairs.items() if count})


def _mpp(root: ElementTree.Element) -> float | None:
    try:
        mpp = float(root.get("MicronsPerPixel", ""))
    except ValueError:
        return None
    return mpp if 0 < mpp < float("inf") else None
