"""What held-out tiles are asked of a method: windows of its size and resolution, and conditions taken from them.

Windows are drawn by the seed, those that give a layout among the windows with at least the median number of nuclei, so
that there is something to follow.
"""

from collections.abc import Sequence

import numpy as np

from nucleosynth.conditions.counts import from_classes
from nucleosynth.conditions.points import from_instances
from nucleosynth.data.windows import Cutting, prepared
from nucleosynth.data.windows import windows as cut
from nucleosynth.methods.method import Method
from nucleosynth.sample import Condition, Sample
from nucleosynth.studies.figures import some

TILES = 64
"""Tiles at most that windows are cut from."""
GIVABLE = frozenset({"points", "instances", "tissue", "stain", "caption", "counts"})
"""What a labelled tile gives but for its image."""


def windows(tiles: Sequence[Sample], side: int, mpp: float | None, seed: int) -> list[Sample]:
    """All windows of side^2 px at a resolution (None: the tiles' own) of some tiles; those that hold none are left."""
    cutting = Cutting(side, side, mpp)
    whole = (prepared(tile, cutting) for tile in some(tiles, TILES, seed))
    return [window.sample for tile in whole if min(tile.size) >= side for window in cut(tile, cutting)]


def full(windows: Sequence[Sample], count: int, seed: int, at_least: int = 1) -> list[Sample]:
    """Some of the windows with the median number of nuclei or more, drawn by the seed; none with less than at_least."""
    least = max(float(np.median([len(window.classes) for window in windows])) if windows else 0, at_least)
    return some([window for window in windows if len(window.classes) >= least], count, seed, 1)


def gives(method: Method, side: str) -> bool:
    """Whether a method follows a side, and a labelled tile gives all that it needs."""
    return side in method.takes and method.needs <= GIVABLE


def condition_of(window: Sample, side: str, method: Method) -> Condition:
    """A side of a window, and beside it what the method needs."""
    asked = {side} | method.needs
    label = "instances" in asked
    return Condition(
        window.size,
        window.mpp,
        window.class_names,
        window.tissue,
        window.stain,
        points=window.points or from_instances(window) if "points" in asked else None,
        instances=window.instances if label else None,
        classes=window.classes if label else None,
        caption=window.caption if "caption" in asked else None,
        counts=from_classes(window.classes, len(window.class_names)) if "counts" in asked else None,
        name=window.sample_id,
        source=window.source,
        licence=window.licence,
    )
