"""A labelled tile layer by layer, as the papers show it: image, semantic, instances, points, distance.

Layers of labels are painted on slate, on which all class colours are seen, black and white ones too.
"""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from nucleosynth.conditions.points import from_instances
from nucleosynth.conditions.structure import distance
from nucleosynth.pictures import class_colours, enlarged, enlarged_label, outlines
from nucleosynth.sample import Image, Instances, Layout, Sample
from nucleosynth.studies.painting import factor_for, middle

PANEL_PX, MOST_PX = 192, 256
"""Least side of a picture; of a tile with more than `MOST_PX` the middle is shown."""
SLATE = np.array((58, 54, 68), np.uint8)
LAYERS = ("image", "semantic", "instances", "points", "distance")
_LEVELS = 48
"""Steps of the distance map."""
_CHOICE = 16
"""Colours that a nucleus chooses from; next to each other on the golden angle's way, they go round the hues."""
_GOLDEN_DEGREES = 137.508
_FRACTION_BITS = 4
"""Of positions between pixels, for OpenCV."""


class Panel(NamedTuple):
    """The layers of a tile, all (h w 3) uint8 RGB of one size."""

    image: Image
    semantic: Image
    instances: Image
    points: Image
    distance: Image


def panel(sample: Sample) -> Panel:
    """The layers of the middle of a tile, enlarged by one whole factor."""
    part = middle(sample, MOST_PX)
    factor = factor_for(part.size, PANEL_PX)
    label = enlarged_label(part.instances, factor)
    of_classes = class_colours(len(part.class_names))
    return Panel(
        enlarged(part.image, factor),
        filled(label, of_classes[part.classes]),
        apart(filled(label, distinct_colours(part.instances)), label),
        discs(part.points or from_instances(part), factor),
        distances(label),
    )


def shown_image(sample: Sample) -> Image:
    """The image of a panel alone."""
    part = middle(sample, MOST_PX)
    return enlarged(part.image, factor_for(part.size, PANEL_PX))


def shown_points(layout: Layout) -> Image:
    """The points of a panel alone."""
    height, width = (min(side, MOST_PX) for side in layout.size)
    part = layout.crop((layout.size[0] - height) // 2, (layout.size[1] - width) // 2, height, width)
    return discs(part, factor_for(part.size, PANEL_PX))


def shown_mask(sample: Sample) -> Image:
    """Nuclei in class colours, each apart from those that it touches."""
    part = middle(sample, MOST_PX)
    label = enlarged_label(part.instances, factor_for(part.size, PANEL_PX))
    return apart(filled(label, class_colours(len(part.class_names))[part.classes]), label)


def filled(label: Instances, colours: NDArray[np.uint8]) -> Image:
    """Nucleus k of a map (h w) in `colours[k - 1]`, on slate."""
    return np.concatenate([SLATE[None], colours])[label]


def apart(picture: Image, label: Instances) -> Image:
    """The picture with a line of slate round each nucleus, within it."""
    return np.where(outlines(label)[..., None], SLATE, picture)


def discs(layout: Layout, factor: int) -> Image:
    """Points as discs in class colours, `factor` times as large a tile; a light ring shows those of any colour."""
    height, width = (side * factor for side in layout.size)
    picture = np.full((height, width, 3), SLATE, np.uint8)
    radius, colours = max(max(height, width) // 48, 3), class_colours(len(layout.class_names))
    one = 1 << _FRACTION_BITS
    for centre, kind in zip(((layout.xy + 0.5) * factor - 0.5) * one, layout.classes, strict=True):
        at = (round(float(centre[0])), round(float(centre[1])))
        for size, colour in ((radius + 1, (225, 222, 230)), (radius, tuple(map(int, colours[kind])))):
            cv2.circle(picture, at, size * one, colour, -1, cv2.LINE_AA, _FRACTION_BITS)
    return picture


def distances(label: Instances) -> Image:
    """Distance to the centre over each nucleus's largest, from dark (0) to yellow (1), by viridis; on slate."""
    steps = np.floor(distance(label) * (_LEVELS - 1) + 0.5) / (_LEVELS - 1)
    painted = cv2.applyColorMap((255 * steps).round().astype(np.uint8), cv2.COLORMAP_VIRIDIS)
    return np.where((label > 0)[..., None], painted[..., ::-1], SLATE)


def distinct_colours(instances: Instances) -> NDArray[np.uint8]:
    """(n 3) uint8 RGB: a colour for each of the nuclei 1..n of a map, no two the same; those that touch differ most.

    Nucleus by nucleus, of the next colours of the wheel the one is taken that is furthest from those beside it.
    """
    count = int(instances.max(initial=0))
    unused, colours = _wheel(count + _CHOICE), np.zeros((count, 3))
    beside = _touching(instances, count)
    for k in range(count):
        near = [colours[other] for other in beside[k] if other < k]
        gaps = [min((np.abs(colour - other).sum() for other in near), default=0.0) for colour in unused[:_CHOICE]]
        colours[k] = unused.pop(int(np.argmax(gaps)))
    return colours.astype(np.uint8)


def _wheel(count: int) -> list[NDArray[np.float64]]:
    """That many different colours round the hues, lighter and darker in turns."""
    k = np.arange(2 * count)
    tone = np.array([(0.70, 0.98), (0.42, 1.00), (0.80, 0.76)], np.float32)[k // 5 % 3]
    hsv = np.concatenate([(k * _GOLDEN_DEGREES % 360).astype(np.float32)[:, None], tone], axis=1)
    rgb = np.rint(255 * cv2.cvtColor(hsv[None], cv2.COLOR_HSV2RGB)[0])
    _, first = np.unique(rgb, axis=0, return_index=True)
    return list(rgb[np.sort(first)[:count]].astype(np.float64))


def _touching(instances: Instances, count: int) -> list[list[int]]:
    """For each nucleus (from 0) those that share an edge of a pixel with it."""
    sides = ((instances[1:], instances[:-1]), (instances[:, 1:], instances[:, :-1]))
    pairs = np.concatenate([np.stack([a.ravel(), b.ravel()], axis=1) for a, b in sides])
    pairs = pairs[(pairs[:, 0] != pairs[:, 1]) & pairs.all(axis=1)]
    beside: list[list[int]] = [[] for _ in range(count)]
    for a, b in np.unique(pairs - 1, axis=0).tolist():
        beside[a].append(b)
        beside[b].append(a)
    return beside
