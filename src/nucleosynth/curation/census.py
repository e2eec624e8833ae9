"""What is in the data, in numbers: counted one tile at a time, whatever their number."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from nucleosynth.curation.duplicates import Fingerprint, duplicates, fingerprint
from nucleosynth.data.findings import repairs_of
from nucleosynth.data.stain import REFERENCE
from nucleosynth.sample import Classes, Sample

UNKNOWN = "unknown"
QUANTILES = (0.05, 0.5, 0.95)
EVERY = 7
"""Pixels between those that are looked at for colours."""
COUNTED: Mapping[str, Callable[[Sample], str]] = {
    "sources": lambda sample: sample.source,
    "sizes": lambda sample: f"{sample.size[1]} x {sample.size[0]}",
    "splits": lambda sample: sample.split or "none",
    "tissues": lambda sample: sample.tissue,
    "stains": lambda sample: sample.stain,
    "mpp": lambda sample: UNKNOWN if sample.mpp is None else f"{sample.mpp:g}",
    "labelled_as": lambda sample: sample.labelled_as,
    "class_scheme": lambda sample: sample.class_scheme or "none",
    "licences": lambda sample: sample.licence,
}
"""What tiles are counted by."""


def labelled(sample: Sample) -> Classes:
    """The classes of the nuclei that are labelled: those of its points where the tile has points alone, else (n,)."""
    return sample.points.classes if sample.labelled_as == "points" and sample.points else sample.classes


class Census:
    """Numbers of some tiles; `add` each, then ask."""

    def __init__(self) -> None:
        self.images = 0
        self.counts: dict[str, Counter[str]] = {name: Counter() for name in ("classes", *COUNTED, "repairs")}
        self.prints: list[Fingerprint] = []
        self.names: list[tuple[str, str]] = []
        """(sample_id, split) of each tile, as `prints`."""
        self._areas_px: dict[str, list[int]] = defaultdict(list)
        self._areas_um2: dict[str, list[float]] = defaultdict(list)
        self._colours: list[Any] = []
        self._amounts: list[Any] = []

    def add(self, sample: Sample) -> None:
        """Count a tile."""
        self.images += 1
        self._nuclei(sample)
        for name, value_of in COUNTED.items():
            self.counts[name][value_of(sample)] += 1
        self.counts["repairs"] += repairs_of(sample)
        pixels = sample.image.reshape(-1, 3)[::EVERY]
        self._colours.append(pixels.mean(axis=0))
        if sample.stain == "H&E":
            self._amounts.append(REFERENCE.separate(pixels).mean(axis=0))
        self.prints.append(fingerprint(sample.image))
        self.names.append((sample.sample_id, sample.split))

    @property
    def nuclei(self) -> int:
        """Labelled nuclei of all tiles, by masks or by points."""
        return self.counts["classes"].total()

    def numbers(self) -> dict[str, Any]:
        """All of it, JSON-able; see `verbs.inspect` for the keys."""
        every = [area for areas in self._areas_px.values() for area in areas]
        diameter = float(np.median(2 * np.sqrt(np.array(every) / np.pi))) if every else None
        return {
            "images": self.images,
            "nuclei": self.nuclei,
            **{name: dict(counter) for name, counter in self.counts.items()},
            "median_diameter_px": diameter,
            "area_px": {name: _quantiles(areas) for name, areas in self._areas_px.items()},
            "area_um2": {name: _quantiles(areas) for name, areas in self._areas_um2.items()},
            "stain": self._stain(),
            "duplicates": self.duplicates(),
        }

    def duplicates(self, beside: Sequence[tuple[str, str, Fingerprint]] = ()) -> list[dict[str, Any]]:
        """Groups of the same tile: {"tiles": names, "splits": theirs}; `beside`: (name, split, print) of other data.

        A group of tiles from `beside` alone is none of ours.
        """
        names = [*self.names, *((name, split) for name, split, _ in beside)]
        prints = [*self.prints, *(each for _, _, each in beside)]
        return [
            {"tiles": [names[k][0] for k in group], "splits": sorted({names[k][1] or "none" for k in group})}
            for group in duplicates(prints)
            if group[0] < len(self.names)
        ]

    def _nuclei(self, sample: Sample) -> None:
        kinds = np.bincount(labelled(sample), minlength=len(sample.class_names) + 1)
        self.counts["classes"].update(dict(zip(sample.class_names, kinds[1:].tolist(), strict=True)))
        if kinds[0]:
            self.counts["classes"][UNKNOWN] += int(kinds[0])
        areas = np.bincount(sample.instances.ravel(), minlength=len(sample.classes) + 1)[1:]
        for kind in np.unique(sample.classes):
            own = areas[sample.classes == kind]
            name = sample.class_names[kind - 1] if kind else UNKNOWN
            self._areas_px[name] += own.tolist()
            if sample.mpp is not None:
                self._areas_um2[name] += (own * sample.mpp**2).tolist()

    def _stain(self) -> dict[str, Any]:
        """Means over tiles and their spread: colour 0..255, amounts of haematoxylin and eosin (data/stain.py)."""
        found = {}
        for names, rows in ((("red", "green", "blue"), self._colours), (("haematoxylin", "eosin"), self._amounts)):
            for name, values in zip(names, np.array(rows).reshape(-1, len(names)).T, strict=True):
                if len(values):
                    found[name] = {"mean": float(values.mean()), "sd": float(values.std())}
        return found


def _quantiles(areas: Sequence[float]) -> dict[str, float]:
    return {f"{share:.0%}": float(value) for share, value in zip(QUANTILES, np.quantile(areas, QUANTILES), strict=True)}
