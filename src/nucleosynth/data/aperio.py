"""Nuclei outlined in Aperio ImageScope: its XML to an instance map.

    Annotations@MicronsPerPixel > Annotation > Regions > Region@Id,NegativeROA > Vertices > Vertex@X,Y

Vertices are corner coordinates (instances/polygons.py), fractional, and may leave the image. Regions are drawn in the
order of the file, whatever layer (Annotation) they are on, and a pixel of two nuclei goes to the later one. A region
with NegativeROA="1" is a hole: it is cut out of whatever nuclei have its pixels, after all are drawn. Each region
becomes a nucleus or is counted under one of `canvas.WITHOUT_NUCLEUS`, so that the sums agree.

Expat, which reads the XML, resolves no external entity and ends a bomb of nested ones with an error.
"""

from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np

from nucleosynth.data.images import broken
from nucleosynth.errors import UserError
from nucleosynth.instances.canvas import Canvas, Label
from nucleosynth.instances.polygons import Ring


class Outlined(NamedTuple):
    """What an ImageScope file says: the nuclei of a tile, and micrometres per pixel (None where it does not say)."""

    label: Label
    mpp: float | None


class _Region(NamedTuple):
    where: str
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
            canvas.outline([[region.ring]], kind, region.where)
    for region in regions:
        if region.hole:
            canvas.erase([[region.ring]], region.where)
    return Outlined(canvas.label(), _mpp(root))


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
    """A region's outline, and whether it is a hole."""
    where = f"{path}, region {element.get('Id', 'without Id')}"
    try:
        points = [(float(vertex.attrib["X"]), float(vertex.attrib["Y"])) for vertex in element.iter("Vertex")]
    except (KeyError, ValueError) as error:
        raise UserError(
            "an outline of no place",
            expected="vertices with finite X and Y",
            got=f"a vertex without {error}" if isinstance(error, KeyError) else str(error),
            where=where,
            mend="export the annotations again, or remove that region",
        ) from error
    ring = np.array(points, np.float64).reshape(-1, 2)
    return _Region(where, ring, element.get("NegativeROA", "0").strip() == "1")


def _mpp(root: ElementTree.Element) -> float | None:
    try:
        mpp = float(root.get("MicronsPerPixel", ""))
    except ValueError:
        return None
    return mpp if 0 < mpp < float("inf") else None
