"""Scalar fields that drawn tissue is made of: noise, streaks, level lines, lattices, cell borders.

A field is (h w), square, at MPP um per pixel, with a margin of MARGIN px around the tile, so that the tile's edge is
nothing special. Points are (x, y) in um from the tile's top left corner, angles in radians from x towards y.
"""

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.floating]
"""(h w), float32 wherever it is stored."""
Points = NDArray[np.float64]
"""(n 2) x and y in um."""

MPP = 0.5
"""um per pixel of a tile: 20x."""
MARGIN = 48
"""px around the tile."""
MARGIN_UM = MARGIN * MPP


def noise(rng: np.random.Generator, side: int, grain: float) -> Field:
    """Smooth isotropic noise (side side), mean 0 and deviation about 1, correlated over about `grain` px."""
    step = max(grain / 2, 1)
    coarse = int(np.ceil(side / step)) + 4
    rough = cv2.GaussianBlur(rng.standard_normal((coarse, coarse), np.float32), (0, 0), grain / step / 2)
    smooth = cv2.resize(rough, None, fx=step, fy=step, interpolation=cv2.INTER_CUBIC)[:side, :side]
    return np.asarray((smooth - rough.mean()) / rough.std(), np.float32)


def streaks(rng: np.random.Generator, across: Field, along: Field, width: float, length: float) -> Field:
    """Noise of deviation about 1, `width` px across and `length` px along the lines of constant `across` (px)."""
    side = int(3 * len(across) / width)
    texture = cv2.GaussianBlur(rng.standard_normal((side, side), np.float32), (0, 0), 0.8)
    columns, rows = (across + len(across)) / width, (along + len(across)) / length
    drawn = cv2.remap(texture / texture.std(), columns, rows, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(drawn, np.float32)


def smoothstep(values: Field, low: float, high: float) -> Field:
    """0 up to low, 1 from high, smooth between."""
    t = np.clip((values - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t))


def blur(field: NDArray[Any], sigma_px: float) -> Field:
    """Gaussian blur."""
    return np.asarray(cv2.GaussianBlur(field, (0, 0), sigma_px), np.float32)


def ellipse(field: Field, x: float, y: float, length: float, width: float, angle: float) -> None:
    """Fill an ellipse of full axes `length` and `width` (um) with 1, in place."""
    fraction = 16  # cv2 takes fixed-point numbers: 4 bits behind the point
    centre = [round(fraction * (value / MPP + MARGIN - 0.5)) for value in (x, y)]
    axes = [round(fraction * value / 2 / MPP) for value in (length, width)]
    cv2.ellipse(field, centre, axes, math.degrees(angle), 0, 360, 1.0, -1, cv2.LINE_8, 4)


def turned(points: Points, angle: float) -> Points:
    """Points turned about the origin."""
    cosine, sine = math.cos(angle), math.sin(angle)
    return np.asarray(points @ np.array([[cosine, sine], [-sine, cosine]]), np.float64)


def closed_curve(rng: np.random.Generator, radius: float, roughness: float) -> Points:
    """A closed curve about the origin: an ellipse disturbed by Fourier terms of order 2..5."""
    turn = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    reach = np.ones_like(turn)
    for order in range(2, 6):
        reach += rng.normal(0, roughness / order**0.5) * np.cos(order * turn + rng.uniform(0, 2 * np.pi))
    stretch = math.exp(rng.uniform(0, 0.25))
    curve = radius * np.stack([reach * np.cos(turn) * stretch, reach * np.sin(turn) / stretch], axis=1)
    return turned(curve, rng.uniform(0, np.pi))


def scatter(rng: np.random.Generator, side: int, count: int) -> Points:
    """Points anywhere on the field."""
    return rng.uniform(-MARGIN_UM, side * MPP - MARGIN_UM, (count, 2))


def lattice(rng: np.random.Generator, side: int, spacing: float, jitter: float) -> Points:
    """A triangular lattice on the field, shifted and turned at random, each point moved by `jitter` spacings."""
    extent = side * MPP
    reach = int(2 * extent / spacing) + 2
    i, j = np.mgrid[-reach : reach + 1, -reach : reach + 1].reshape(2, -1)
    grid = np.stack([i + 0.5 * j, math.sqrt(0.75) * j], axis=1) + rng.normal(0, jitter, (len(i), 2)) + rng.random(2)
    points = turned(spacing * grid, rng.uniform(0, np.pi)) + extent / 2
    return points[((points > 0) & (points < extent)).all(axis=1)] - MARGIN_UM


def cell_borders(rng: np.random.Generator, centres: Points, side: int, wobble: float) -> Field:
    """Lines between the cells of a Voronoi division, about 1 um wide, 0..1; bent by about `wobble` px."""
    seeds = np.ones((side, side), np.uint8)
    seeds[_cells(centres, side)] = 0
    _, owner = cv2.distanceTransformWithLabels(seeds, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    edges = np.zeros((side, side), np.float32)
    edges[1:, 1:] = (owner[1:, 1:] != owner[:-1, 1:]) | (owner[1:, 1:] != owner[1:, :-1])
    y, x = np.mgrid[:side, :side].astype(np.float32)
    bent = cv2.remap(edges, x + wobble * noise(rng, side, 24), y + wobble * noise(rng, side, 24), cv2.INTER_LINEAR)
    return blur(bent, 0.8)


def stand_on(rng: np.random.Generator, height: Field, level: float, spacing: float) -> list[tuple[float, float, float]]:
    """Places (x, y, angle) about every `spacing` um on the lines height = level, the angle that of the slope."""
    slope = np.asarray(np.gradient(blur(height, 3)))
    places: list[tuple[float, float, float]] = []
    lines, _ = cv2.findContours((height > level).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    for line in lines:
        closed = np.concatenate([line[:, 0], line[:1, 0]]).astype(np.float64)
        run = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(closed, axis=0).T))])
        count = int(run[-1] * MPP / spacing)
        stops = (np.arange(count) + rng.uniform(-0.2, 0.2, count) + rng.random()) / max(count, 1) % 1 * run[-1]
        column, row = (np.interp(stops, run, closed[:, axis]) for axis in (0, 1))
        angle = np.arctan2(*slope[:, row.astype(np.intp), column.astype(np.intp)])
        places += zip((column + 0.5) * MPP - MARGIN_UM, (row + 0.5) * MPP - MARGIN_UM, angle, strict=True)
    return places


def at(field: NDArray[Any], x: float, y: float) -> float:
    """The field's value at a point; points beyond the field take that of its edge."""
    return float(field[_cells(np.array([[x, y]]), len(field))][0])


def _cells(points: Points, side: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    cells = np.clip((points.reshape(-1, 2) + MARGIN_UM) / MPP, 0, side - 1).astype(np.intp)
    return cells[:, 1], cells[:, 0]
