"""A tiny PUMA: four regions, RGBA, saved as PNG; nuclei of several classes, as QuPath writes them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tifffile

IMAGES, NUCLEI = "01_training_dataset_tif_ROIs", "01_training_dataset_geojson_nuclei"
SIZE = (40, 48)


def make(root: Path) -> str:
    """Write it below `root`; what stands after "puma:"."""
    for k, name in enumerate(("metastatic_roi_009", "metastatic_roi_010", "primary_roi_001", "primary_roi_002")):
        nuclei = [square("nuclei_tumor", 2, 2), square("nuclei_plasma_cell", 12, 20 + k), square("neutrophil", 42, 34)]
        write_region(root, name, nuclei, suffix=".png")
    return str(root)


def square(name: str, left: int, top: int, side: int = 6) -> dict[str, Any]:
    """A square nucleus of a class as a feature."""
    right, bottom = left + side, top + side
    ring = [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]
    return feature(name, {"type": "Polygon", "coordinates": [ring]})


def feature(name: str, geometry: dict[str, Any]) -> dict[str, Any]:
    """A nucleus as QuPath writes it."""
    return {
        "type": "Feature",
        "id": "8fdd8870",
        "geometry": geometry,
        "properties": {"objectType": "annotation", "classification": {"name": name, "color": [200, 0, 0]}},
    }


def write_region(root: Path, name: str, nuclei: Sequence[dict[str, Any]], suffix: str = ".tif") -> None:
    """The two files of a region."""
    for folder in (root / IMAGES, root / NUCLEI):
        folder.mkdir(parents=True, exist_ok=True)
    image = np.random.default_rng(len(nuclei)).integers(0, 256, (*SIZE, 4), np.uint8)
    path = root / IMAGES / f"training_set_{name}{suffix}"
    if suffix == ".png":
        cv2.imwrite(str(path), image)
    else:
        tifffile.imwrite(path, image, photometric="rgb", extrasamples=["unassalpha"])
    content = {"type": "FeatureCollection", "features": [one | {"id": f"{k}"} for k, one in enumerate(nuclei)]}
    (root / NUCLEI / f"training_set_{name}_nuclei.geojson").write_text(json.dumps(content))
