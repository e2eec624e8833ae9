"""What people look at to judge layouts: each as dots in the colours of the classes, with a legend below."""

from collections.abc import Sequence

import cv2
import numpy as np

from nucleosynth.layouts.pattern import Pattern
from nucleosynth.pictures import class_colours
from nucleosynth.sample import Image

CELL_PX, GAP_PX, LINE_PX = 256, 12, 20
DOT_UM = 2.5
"""Radius of a dot, about that of a small nucleus."""
_PAPER, _FRAME, _INK = (250, 246, 240), (200, 200, 200), (60, 60, 60)
_SHIFT = 4
"""Dots are drawn to 1/16 px."""


def sheet(patterns: Sequence[Pattern], columns: int = 8) -> Image:
    """Layouts of one list of classes, row by row, the larger side of each as wide as a cell; (h w 3) uint8 RGB."""
    assert patterns, "a sheet shows something"
    colours = class_colours(len(patterns[0].class_names))
    columns = min(columns, len(patterns))
    step = CELL_PX + GAP_PX
    picture = np.full((-(-len(patterns) // columns) * step + GAP_PX, columns * step + GAP_PX, 3), 255, np.uint8)
    for k, pattern in enumerate(patterns):
        cell = _drawn(pattern, colours)
        top, left = GAP_PX + k // columns * step, GAP_PX + k % columns * step
        picture[top : top + cell.shape[0], left : left + cell.shape[1]] = cell
    return np.concatenate([picture, _legend(patterns, colours, picture.shape[1])])


def _drawn(pattern: Pattern, colours: Image) -> Image:
    zoom = CELL_PX / max(pattern.size_um)
    height, width = (max(round(side * zoom), 1) for side in pattern.size_um)
    cell = np.full((height, width, 3), _PAPER, np.uint8)
    radius = max(round(DOT_UM * zoom * 2**_SHIFT), 2 << _SHIFT)
    for (x, y), kind in zip((pattern.xy_um * zoom - 0.5) * 2**_SHIFT, pattern.classes, strict=True):
        at, colour = (round(x), round(y)), tuple(map(int, colours[kind]))
        cv2.circle(cell, at, radius, colour, -1, cv2.LINE_AA, _SHIFT)
        cv2.circle(cell, at, radius, _INK, 1, cv2.LINE_AA, _SHIFT)
    cv2.rectangle(cell, (0, 0), (width - 1, height - 1), _FRAME, 1)
    return cell


def _legend(patterns: Sequence[Pattern], colours: Image, width: int) -> Image:
    counts = np.bincount(np.concatenate([pattern.classes for pattern in patterns]), minlength=len(colours))
    names = ("unknown", *patterns[0].class_names)
    legend, x, y = np.full((LINE_PX, width, 3), 255, np.uint8), GAP_PX, 0
    for k in (*range(1, len(colours)), 0):
        words = f"{names[k]} ({counts[k]})"
        length = cv2.getTextSize(words, cv2.FONT_HERSHEY_SIMPLEX, 0.42, 1)[0][0]
        if not counts[k]:
            continue
        if x + length + 30 > width and x > GAP_PX:
            legend = np.pad(legend, ((0, LINE_PX), (0, 0), (0, 0)), constant_values=255)
            x, y = GAP_PX, y + LINE_PX
        cv2.circle(legend, (x + 6, y + 8), 6, tuple(map(int, colours[k])), -1, cv2.LINE_AA)
        cv2.circle(legend, (x + 6, y + 8), 6, _INK, 1, cv2.LINE_AA)
        cv2.putText(legend, words, (x + 18, y + 13), cv2.FONT_HERSHEY_SIMPLEX, 0.42, _INK, 1, cv2.LINE_AA)
        x += length + 36
    return legend
