"""The architecture of drawn colon: glands and nests, stroma, vessels, fat, gaps, and where the nuclei lie.

Everything follows from a few fields (see data/phantom_fields.py for units). Stromal fibres are the level lines of a
smooth potential, so that texture and spindle nuclei share one direction. Epithelium is what lies inside closed curves;
its depth below the basement membrane decides cytoplasm and lumen, and its nuclei stand on the depth's level lines,
their long axes along its slope. Amounts of stain are in the units of data/stain.py.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from nucleosynth.data.phantom_fields import (
    MARGIN,
    MPP,
    Field,
    at,
    blur,
    cell_borders,
    closed_curve,
    ellipse,
    lattice,
    noise,
    scatter,
    smoothstep,
    stand_on,
    streaks,
    turned,
)
from nucleosynth.data.phantom_nuclei import EPITHELIAL, INFLAMMATORY, MITOTIC, SPINDLE, Nucleus, draw_nucleus
from nucleosynth.data.phantom_scenes import Scene

Free = NDArray[np.bool_]
"""(h w) where stromal cells may lie."""


@dataclass(frozen=True, eq=False)
class Tissue:
    """A piece before its nuclei are drawn: amounts of stain (h w) with margin, and the nuclei, uppermost first."""

    haematoxylin: Field
    eosin: Field
    nuclei: list[Nucleus]


def draw_tissue(rng: np.random.Generator, scene: Scene, size: int) -> Tissue:
    """One piece of `scene` for a tile of size^2 px."""
    side = size + 2 * MARGIN
    haematoxylin, eosin, direction = stroma(rng, side, scene.looseness)
    wall, depth = epithelium(rng, side, scene)
    glass = np.maximum(gaps(rng, side, scene.gap), retraction(rng, depth))
    cells = epithelial_nuclei(rng, scene, wall, depth, glass)
    inside = smoothstep(depth, -0.4, 0.6)
    for stain, inner in zip((haematoxylin, eosin), cytoplasm(rng, scene, wall, depth, cells), strict=True):
        stain += inside * (inner - stain)
    if scene.fat:
        glass = np.maximum(glass, fat(rng, side, scene.fat))
    for stain in (haematoxylin, eosin):
        stain *= 1 - glass
    free = (depth < -1.5) & (glass < 0.5)
    nuclei = cells
    for _ in range(rng.poisson(scene.vessels)):
        nuclei += capillary(rng, free, haematoxylin, eosin)
    nuclei += stromal_nuclei(rng, scene, free, direction)
    order = rng.permutation(len(nuclei))
    # Mitoses are few: they lie uppermost, so that none is hidden.
    return Tissue(haematoxylin, eosin, sorted((nuclei[i] for i in order), key=lambda nucleus: nucleus.kind != MITOTIC))


def stroma(rng: np.random.Generator, side: int, looseness: float) -> tuple[Field, Field, Field]:
    """Wavy collagen: haematoxylin, eosin, and the direction of its fibres (radians)."""
    angle = rng.uniform(0, math.pi)
    cosine, sine = math.cos(angle), math.sin(angle)
    y, x = np.mgrid[:side, :side].astype(np.float32)
    across = x * cosine + y * sine + 14 * noise(rng, side, 110) + 2.5 * noise(rng, side, 30)
    along = y * cosine - x * sine
    crimped = across + 1.1 * noise(rng, side, 11)
    fibril = 0.7 * streaks(rng, crimped, along, 1.6, 16) + 0.7 * streaks(rng, crimped, along, 3.5, 36)
    bundle = 0.8 * streaks(rng, crimped, along, 9, 50) + 0.6 * noise(rng, side, 36)
    collagen = smoothstep(bundle + (0.4 + 0.8 * looseness) * fibril + 1.7 - 2.8 * looseness, -1.5, 1.7)
    grit = noise(rng, side, 2)
    eosin = 0.022 + collagen * (0.11 + 0.024 * fibril) + (0.004 + 0.009 * collagen) * grit
    haematoxylin = 0.02 + collagen * (0.035 + 0.012 * fibril + 0.007 * grit)
    slope_y, slope_x = np.gradient(blur(across, 4))
    return np.maximum(haematoxylin, 0), np.maximum(eosin, 0), np.arctan2(slope_x, -slope_y)


def epithelium(rng: np.random.Generator, side: int, scene: Scene) -> tuple[Field, Field]:
    """Height of the epithelium (um; 0 in stroma) and depth below its basement membrane (um; negative outside)."""
    wall = np.zeros((side, side), np.float32)
    for x, y in lattice(rng, side, scene.gland, 0.13) if scene.gland else ():
        if rng.random() > scene.occupied:
            continue
        roughness = 0.16 if math.isinf(scene.wall) else 0.09
        curve = closed_curve(rng, 0.5 * scene.gland * rng.uniform(0.8, 1.0), roughness)
        corners = np.round((curve + np.array([x, y])) / MPP + MARGIN).astype(np.int32)
        cv2.fillPoly(wall, [corners], scene.wall * rng.uniform(0.85, 1.15))
        cv2.polylines(wall, [corners], True, 0.0, 5)  # stroma between glands that meet
    inside = (wall > 0).astype(np.uint8)
    if not inside.any():
        return wall, np.full_like(wall, -1e3)
    depth = cv2.distanceTransform(inside, cv2.DIST_L2, 5) - cv2.distanceTransform(1 - inside, cv2.DIST_L2, 5)
    return wall, blur(MPP * depth, 1.2) + 0.3 * noise(rng, side, 7)


def cytoplasm(
    rng: np.random.Generator, scene: Scene, wall: Field, depth: Field, cells: list[Nucleus]
) -> tuple[Field, Field]:
    """Haematoxylin and eosin of epithelium and lumen: dense base, pale apex, mucin, borders."""
    side = len(wall)
    height = np.maximum(wall, 1)
    apex = smoothstep(depth / height, 0.35, 0.95)
    mottle = 1 + 0.17 * noise(rng, side, 2) + 0.13 * noise(rng, side, 6) + 0.15 * noise(rng, side, 20)
    haematoxylin, eosin = (0.1 - 0.05 * apex) * mottle, (0.1 - 0.01 * apex) * mottle
    eosin += 0.05 * cell_borders(rng, np.array([(cell.x, cell.y) for cell in cells]), side, 1.5)
    vacuoles = mucin(rng, scene, depth)
    haematoxylin += vacuoles * (0.035 - haematoxylin)
    eosin += vacuoles * (0.015 - eosin)
    clear = np.zeros_like(wall)
    for cell in cells:
        if cell.kind == MITOTIC:
            ellipse(clear, cell.x, cell.y, 14, 13, 0)
    haematoxylin *= 1 - 0.6 * blur(clear, 1.5)
    above = blur(depth, 6) - height
    lumen = smoothstep(above, -0.6, 0.6)
    debris = smoothstep(noise(rng, side, 24) + 0.4 * noise(rng, side, 5), 0.2, 1.8)
    haematoxylin += lumen * (0.03 * debris - haematoxylin)
    eosin += lumen * (0.03 * debris + 0.004 - eosin)
    eosin += 0.06 * np.exp(-((above / 0.7) ** 2)) + 0.05 * np.exp(-((depth / 0.9) ** 2))
    return np.maximum(haematoxylin, 0), np.maximum(eosin, 0)


def mucin(rng: np.random.Generator, scene: Scene, depth: Field) -> Field:
    """The vacuoles of goblet cells, 0..1, two thirds up the epithelium."""
    vacuoles = np.zeros_like(depth)
    for x, y, angle in stand_on(rng, depth, 0.66 * scene.wall, 7.5) if scene.goblets else ():
        if rng.random() < scene.goblets:
            ellipse(vacuoles, x, y, rng.normal(9.5, 1), rng.normal(6.5, 0.8), angle)
    return blur(vacuoles, 0.9)


def epithelial_nuclei(rng: np.random.Generator, scene: Scene, wall: Field, depth: Field, glass: Field) -> list[Nucleus]:
    """Rows of nuclei above the basement membrane, or the filling of a nest; now and then a mitosis."""
    if math.isinf(scene.wall):
        sites = lattice(rng, len(wall), 9.8, 0.15)
        places = [(x, y, rng.uniform(0, math.pi)) for x, y in sites if at(depth, x, y) > 3.5]
        scale = 1.12
    else:
        rows = [5.0 + 6.5 * row for row in range(scene.layers)]
        places = [place for row in rows for place in stand_on(rng, depth, row, 6.8 if scene.layers == 1 else 8.0)]
        scale = 1.0
    nuclei = []
    for x, y, angle in places:
        x, y = x + rng.normal(0, 0.5), y + rng.normal(0, 0.5)
        if at(glass, x, y) > 0.2 or at(depth, x, y) > at(wall, x, y) - 3:
            continue
        if rng.random() < scene.mitoses:
            nuclei.append(draw_nucleus(rng, MITOTIC, x, y, rng.uniform(0, math.pi)))
        else:
            nuclei.append(draw_nucleus(rng, EPITHELIAL, x, y, angle + rng.normal(0, 0.2), scale, scene.elongation))
    return nuclei


def stromal_nuclei(rng: np.random.Generator, scene: Scene, free: Free, direction: Field) -> list[Nucleus]:
    """Spindle nuclei along the fibres, and lymphocytes scattered and in clusters, where the stroma is free."""
    side = len(free)
    area = (side * MPP) ** 2 / 1000
    spindles = scatter(rng, side, rng.poisson(scene.spindles * area))
    lymphocytes = [scatter(rng, side, rng.poisson(scene.lymphocytes * area))]
    for centre in scatter(rng, side, scene.clusters):
        spread = rng.uniform(7, 15)
        lymphocytes.append(rng.normal(centre, spread, (rng.poisson(0.28 * spread**2), 2)))
    return [
        draw_nucleus(rng, SPINDLE, x, y, at(direction, x, y) + rng.normal(0, 0.15), rng.uniform(0.8, 1.15))
        for x, y in spindles
        if at(free, x, y)
    ] + [
        draw_nucleus(rng, INFLAMMATORY, x, y, rng.uniform(0, math.pi))
        for x, y in np.concatenate(lymphocytes)
        if at(free, x, y)
    ]


def capillary(rng: np.random.Generator, free: Free, haematoxylin: Field, eosin: Field) -> list[Nucleus]:
    """Paint a small vessel with red cells, if it falls into free stroma, which it fills; the nuclei of its wall."""
    (x, y), side = scatter(rng, len(free), 1)[0], len(free)
    length, width, angle = rng.uniform(16, 34), rng.uniform(9, 15), rng.uniform(0, math.pi)
    vessel, red_cells = np.zeros_like(eosin), np.zeros_like(eosin)
    ellipse(vessel, x, y, length, width, angle)
    if not free[vessel > 0].all():
        return []
    for cell_x, cell_y in lattice(rng, side, 5.6, 0.12):
        if at(vessel, cell_x, cell_y) and rng.random() < 0.85:
            ellipse(red_cells, cell_x, cell_y, rng.normal(5.4, 0.4), rng.normal(4.8, 0.4), rng.uniform(0, math.pi))
    vessel, red_cells = blur(vessel, 1), blur(red_cells, 0.7)
    haematoxylin += vessel * (0.02 * red_cells - haematoxylin)
    eosin += vessel * (0.16 * red_cells - eosin)
    free &= vessel < 0.2
    turn = rng.uniform(0, 2 * math.pi, 4)
    ring = turned(np.stack([np.cos(turn) * (length / 2 + 1.2), np.sin(turn) * (width / 2 + 1.2)], axis=1), angle)
    tangents = angle + np.arctan2(np.cos(turn) * width, -np.sin(turn) * length)
    return [
        draw_nucleus(rng, SPINDLE, x + dx, y + dy, tangent, 0.75)
        for (dx, dy), tangent in zip(ring, tangents, strict=True)
    ]


def gaps(rng: np.random.Generator, side: int, share: float) -> Field:
    """0 in tissue, 1 where the glass is empty, on about `share` (0..1, neither end) of the area."""
    level = noise(rng, side, 130) + 0.12 * noise(rng, side, 20) + 0.015 * noise(rng, side, 5)
    edge = float(np.quantile(level, 1 - share))
    return smoothstep(level, edge - 0.03, edge + 0.03)


def retraction(rng: np.random.Generator, depth: Field) -> Field:
    """Clefts where shrinkage has torn the stroma from epithelium, 0..1."""
    width = 2.2 * smoothstep(noise(rng, len(depth), 50), 0.5, 1.6)
    return smoothstep(-depth, 0.3, 0.9) * smoothstep(depth + width, 0.0, 0.6)


def fat(rng: np.random.Generator, side: int, share: float) -> Field:
    """1 in fat cells (washed out: as empty as glass), 0 in the septa between them and in other tissue."""
    septa = np.minimum(1.6 * cell_borders(rng, lattice(rng, side, 44, 0.2), side, 9), 1)
    return np.asarray(gaps(rng, side, share) * (1 - septa))
