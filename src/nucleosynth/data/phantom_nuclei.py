"""Nuclei of drawn tissue: outlines, the exact label, and chromatin.

A nucleus is an ellipse whose radius is disturbed by a few Fourier terms and whose axis may bend. It is drawn on a
canvas twice as fine as the tile; the share of a tile's pixel that it covers (its coverage) decides the label: it owns
the pixels with coverage >= 0.5. Nuclei are laid from the uppermost down, and a pixel stays with the first that owns it,
so a nucleus that would show too little is known before anything is drawn, and is left out of image and label alike.

Lengths are in um from the tile's top left corner, angles in radians from x towards y.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from nucleosynth.data.phantom_fields import MPP, Field
from nucleosynth.sample import Instances

FINER = 2
"""Canvas pixels per tile pixel, along one axis."""
STEP = MPP / FINER
"""um per canvas pixel."""
EDGE = 0.5
"""um over which coverage rises from 0 to 1."""
LEAST_PX = 6
"""A nucleus shows at least so many pixels."""
LEAST_SHARE = 0.75
"""... and at least this share of its pixels inside the tile: overlaps are slight."""


@dataclass(frozen=True)
class Kind:
    """What the nuclei of one class look like. Amounts are haematoxylin (see data/stain.py), lengths um."""

    name: str
    length: float
    width: float
    spread: float
    """Relative standard deviation of both."""
    roughness: float
    """Of the outline, relative to the radius."""
    bend: float
    """Standard deviation of the axis's curvature, 1/um."""
    body: float
    rim: float
    """Added within half a um of the envelope."""
    grain: float
    """Standard deviation of the fine chromatin."""
    clumps: float
    """Of the coarse chromatin (about 1 um)."""
    nucleoli: float
    """Their mean number."""


EPITHELIAL, INFLAMMATORY, SPINDLE, MITOTIC = 1, 2, 3, 4
KINDS = (
    Kind("epithelial", 9.0, 6.4, 0.12, 0.09, 0.0, body=0.13, rim=0.18, grain=0.05, clumps=0.08, nucleoli=1.3),
    Kind("inflammatory", 5.8, 5.2, 0.08, 0.06, 0.0, body=0.38, rim=0.12, grain=0.06, clumps=0.13, nucleoli=0.0),
    Kind("spindle", 13.5, 3.1, 0.22, 0.10, 0.016, body=0.24, rim=0.07, grain=0.06, clumps=0.06, nucleoli=0.0),
    Kind("mitotic", 8.2, 4.6, 0.24, 0.09, 0.0, body=0.64, rim=0.0, grain=0.08, clumps=0.14, nucleoli=0.0),
)
"""Entry c - 1 for class c."""


@dataclass(frozen=True, eq=False)
class Nucleus:
    """One nucleus: its centre, full axes, and the direction of the long one."""

    kind: int
    x: float
    y: float
    length: float
    width: float
    angle: float
    bend: float
    tint: float
    """How strongly it takes haematoxylin, about 1."""
    terms: NDArray[np.float64]
    """(m 2) cosine and sine of the outline, of order 2, 3 ..., relative to the radius."""
    nucleoli: NDArray[np.float64]
    """(m 2) centres, relative to the half axes."""


@dataclass(frozen=True, eq=False)
class Laid:
    """A nucleus on the canvas: its box (rows, columns), relative radius (1 on the outline) and coverage 0..1 in it."""

    nucleus: Nucleus
    box: tuple[slice, slice]
    along: Field
    across: Field
    radius: Field
    cover: Field


def draw_nucleus(
    rng: np.random.Generator, kind: int, x: float, y: float, angle: float, scale: float = 1.0, elongation: float = 1.0
) -> Nucleus:
    """A nucleus of a class at (x, y), its size and shape drawn; `elongation` stretches it at constant area."""
    of = KINDS[kind - 1]
    typical = np.array([of.length * elongation, of.width / elongation])
    length, width = scale * typical * np.exp(rng.normal(0, of.spread, 2))
    orders = np.arange(2, 11 if kind == MITOTIC else 6)[:, None]
    terms = rng.normal(0, of.roughness, (len(orders), 2)) / orders ** (0.5 if kind == MITOTIC else 1.0)
    nucleoli = rng.normal(0, 0.28, (rng.poisson(of.nucleoli), 2))
    tint = np.exp(rng.normal(0, 0.14))
    return Nucleus(kind, x, y, length, max(width, 1.8), angle, rng.normal(0, of.bend), tint, terms, nucleoli)


def lay(nuclei: Iterable[Nucleus], size: int) -> tuple[Instances, list[Laid]]:
    """The label of a tile of size^2 px and the nuclei that show, uppermost first: id k of the label is entry k - 1.

    Left out is what shows fewer than LEAST_PX pixels, less than LEAST_SHARE of its pixels, or several pieces.
    """
    instances = np.zeros((size, size), np.int32)
    shown: list[Laid] = []
    for nucleus in nuclei:
        laid = _rasterise(nucleus, size)
        if laid is None:
            continue
        rows, columns = (slice(side.start // FINER, side.stop // FINER) for side in laid.box)
        window = instances[rows, columns]
        owned = cv2.resize(laid.cover, window.shape[::-1], interpolation=cv2.INTER_AREA) >= 0.5
        free = owned & (window == 0)
        pixels = np.count_nonzero(free)
        if pixels < LEAST_PX or pixels < LEAST_SHARE * np.count_nonzero(owned):
            continue
        if cv2.connectedComponents(free.astype(np.uint8), connectivity=4)[0] == 2:
            shown.append(laid)
            window[free] = len(shown)
    return instances, shown


def chromatin(laid: Laid, grain: Field, clumps: Field) -> Field:
    """Haematoxylin inside the box of a nucleus; `grain` and `clumps` are noise on the canvas, mean 0, deviation 1."""
    nucleus, of = laid.nucleus, KINDS[laid.nucleus.kind - 1]
    depth = np.maximum(1 - laid.radius, 0) * nucleus.width / 2
    coarse = clumps[laid.box]
    rim = of.rim * np.exp(-((depth / 0.7) ** 2)) * (1 + 0.3 * coarse)
    amount = of.body + rim + of.grain * grain[laid.box] + of.clumps * coarse
    for along, across in nucleus.nucleoli:
        away = (laid.along - along * nucleus.length / 2) ** 2 + (laid.across - across * nucleus.width / 2) ** 2
        amount += 0.3 * np.exp(-away / 0.5)
    return np.asarray(nucleus.tint * np.maximum(amount, 0.08), np.float32)


def _rasterise(nucleus: Nucleus, size: int) -> Laid | None:
    reach = 0.65 * max(nucleus.length, nucleus.width) + 1
    rows, columns = (_span(centre, reach, size) for centre in (nucleus.y, nucleus.x))
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return None
    y = ((np.arange(rows.start, rows.stop, dtype=np.float32) + 0.5) * STEP - nucleus.y)[:, None]
    x = (np.arange(columns.start, columns.stop, dtype=np.float32) + 0.5) * STEP - nucleus.x
    cosine, sine = np.float32(np.cos(nucleus.angle)), np.float32(np.sin(nucleus.angle))
    along = cosine * x + sine * y
    across = cosine * y - sine * x + np.float32(nucleus.bend) * along**2
    u, v = along / np.float32(nucleus.length / 2), across / np.float32(nucleus.width / 2)
    turn = u + 1j * v
    plain = np.abs(turn)
    turn /= np.maximum(plain, 1e-6)
    outline, power = np.ones_like(plain), turn
    for cosine_term, sine_term in nucleus.terms.astype(np.float32):
        power = power * turn
        outline += cosine_term * power.real + sine_term * power.imag
    radius = plain / np.maximum(outline, 0.35)
    cover = np.clip(0.5 + (1 - radius) * np.float32(nucleus.width / 2 / EDGE), 0, 1)
    return Laid(nucleus, (rows, columns), along, across, radius, cover)


def _span(centre: float, reach: float, size: int) -> slice:
    """Canvas pixels within reach, whole tile pixels only."""
    low, high = int((centre - reach) // MPP), int((centre + reach) // MPP) + 1
    return slice(FINER * min(max(low, 0), size), FINER * min(max(high, 0), size))
