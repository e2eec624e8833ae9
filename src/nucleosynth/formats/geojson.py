"""QuPath's GeoJSON, in and out: images/<name>.png and labels/<name>.geojson, a FeatureCollection that QuPath opens.

A nucleus is a Feature of objectType "detection" (or "annotation", which QuPath lets one edit) with a classification of
name and colour; one of unknown type has none. Features stand in the order of the nuclei, their outlines follow pixel
edges from the image's corner (instances/polygons.py), as QuPath has it, and their ids are made of tile and nucleus, so
that writing twice gives the same file.

Read is whatever QuPath exports, from labels/, annotations/ or beside the images: overlaps go to the later nucleus, what
is no area, or a region (instances/geojson.py), is left out; both are counted. Where no feature has a classification,
every nucleus is a "nucleus".
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from nucleosynth.data.findings import Note, strictly
from nucleosynth.formats.tile_files import LabelFiles, class_of, read_tiles, write_tiles
from nucleosynth.instances.canvas import Canvas, Label
from nucleosynth.instances.geojson import features, geometry_of
from nucleosynth.instances.polygons import trace
from nucleosynth.pictures import class_colours
from nucleosynth.sample import Sample

_OURS = uuid5(NAMESPACE_URL, "nucleosynth")


def read(where: str, note: Note = strictly) -> Iterator[Sample]:
    """Tiles of a folder with GeoJSON labels, in natural order.

    Raises:
        UserError: as `read_tiles` in formats/tile_files.py, and what is no GeoJSON of outlines.
    """
    yield from read_tiles(where, FILES, note)


def write(samples: Iterable[Sample], folder: Path | str, overwrite: bool = False) -> int:
    """Write samples with nuclei as QuPath's detections; see formats/tile_files.py for what is raised."""
    return write_tiles(samples, folder, overwrite, ".geojson", partial(_content, kind="detection"), by_name=True)


def write_annotations(samples: Iterable[Sample], folder: Path | str, overwrite: bool = False) -> int:
    """Write samples with nuclei as QuPath's annotations, to be corrected by hand; raises as `write`."""
    return write_tiles(samples, folder, overwrite, ".geojson", partial(_content, kind="annotation"), by_name=True)


def _content(sample: Sample, kind: str) -> bytes:
    colours = class_colours(len(sample.class_names)).tolist()
    classifications = [{"name": name, "color": colours[k]} for k, name in enumerate(sample.class_names, start=1)]
    nuclei: list[dict[str, Any]] = []
    for number, (polygons, of_class) in enumerate(
        zip(trace(sample.instances), sample.classes.tolist(), strict=True), start=1
    ):
        properties: dict[str, Any] = {"objectType": kind}
        if of_class:
            properties["classification"] = classifications[of_class - 1]
        identity = str(uuid5(_OURS, f"{sample.sample_id}/{number}"))
        geometry = geometry_of(polygons)
        nuclei.append({"type": "Feature", "id": identity, "geometry": geometry, "properties": properties})
    return json.dumps({"type": "FeatureCollection", "features": nuclei}, separators=(",", ":")).encode()


def _label(path: Path, size: tuple[int, int], class_names: tuple[str, ...] | None) -> Label:
    found = features(path)
    canvas = Canvas(size)
    canvas.repairs.update(found.repairs)
    for outline in found.outlines:
        canvas.outline(outline.polygons, class_of(outline.name, class_names, outline.where), outline.where)
    return canvas.label()


def _words(path: Path) -> Sequence[str]:
    return [outline.name for outline in features(path).outlines if outline.name]


FILES = LabelFiles("geojson", (".geojson", ".json"), _label, _words, ("geojson", "annotations"))
