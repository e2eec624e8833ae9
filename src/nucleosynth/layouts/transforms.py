"""DAFF-GAN's six random transforms of point sets: cover, flip, rotate, generate, combine, affine.

Pure functions (pattern, generator, ...) -> pattern; each adds a record of what it did. The paper names them without
numbers; the ranges are ours. A transform that turns or stretches cuts a window of the size that is asked for out of
the middle of the pattern, and where the pattern does not reach to the window's corners it goes on as its mirror image.
Source: Cheng et al., "Deep adversarial image synthesis for nuclei segmentation of histopathology image" (DAFF-GAN).
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from nucleosynth.errors import UserError
from nucleosynth.layouts.pattern import Pattern, Points, joined
from nucleosynth.layouts.spacing import Spacing, arranged

DOUBLED_UM = 2.0
"""Nuclei nearer to a border than this have no mirror image beyond it: they would be there twice."""
Range = tuple[float, float]
Size = tuple[float, float]


def cover(
    pattern: Pattern,
    generator: np.random.Generator,
    *,
    rectangles: tuple[int, int] = (1, 3),
    area: Range = (0.05, 0.25),
) -> Pattern:
    """Drop the points in some rectangles, each of a share of the tile's area, at random places inside it.

    rectangles: least and most; area: least and largest share, 0..1. Their sides have the tile's proportions times
    2^-1/2 to 2^1/2, drawn evenly in the logarithm.
    """
    keep, covered = np.ones(len(pattern.xy_um), bool), []
    for _ in range(int(generator.integers(rectangles[0], rectangles[1] + 1))):
        share, stretch = generator.uniform(*area), 2 ** generator.uniform(-0.5, 0.5)
        sides = np.minimum(np.sqrt(share) * np.array([stretch, 1 / stretch]), 1) * pattern.size_um[::-1]
        corner = generator.uniform(0, 1, 2) * (np.array(pattern.size_um[::-1]) - sides)
        inside = ((pattern.xy_um >= corner) & (pattern.xy_um < corner + sides)).all(axis=1)
        keep &= ~inside
        covered.append([round(float(each), 2) for each in (*corner, *sides)])
    return pattern.kept({"name": "cover", "left_top_width_height_um": covered}, keep)


def thin(pattern: Pattern, generator: np.random.Generator, *, most: float = 0.3) -> Pattern:
    """Drop each point with one probability, drawn from 0..most: the other way to cover."""
    share = generator.uniform(0, most)
    keep = generator.random(len(pattern.xy_um)) >= share
    return pattern.kept({"name": "thin", "probability": round(share, 4)}, keep)


def flip(pattern: Pattern, generator: np.random.Generator) -> Pattern:
    """Mirror left and right, up and down, both or neither."""
    flipped = generator.random(2) < 0.5
    xy_um = np.where(flipped, np.array(pattern.size_um[::-1]) - pattern.xy_um, pattern.xy_um)
    record = {"name": "flip", "across": bool(flipped[0]), "down": bool(flipped[1])}
    return pattern.done(record, xy_um, pattern.classes, pattern.size_um)


def rotate(pattern: Pattern, generator: np.random.Generator, size_um: Size | None = None) -> Pattern:
    """Turn about the middle: by quarters, the whole pattern; or by any angle, a window of `size_um` (h w)."""
    if size_um is None:
        turns, height, width = int(generator.integers(4)), *pattern.size_um
        xy_um = pattern.xy_um
        for _ in range(turns):
            xy_um, (height, width) = np.stack([xy_um[:, 1], width - xy_um[:, 0]], axis=1), (width, height)
        return pattern.done({"name": "rotate", "degrees": 90 * turns}, xy_um, pattern.classes, (height, width))
    degrees = generator.uniform(-180, 180)
    return mapped(pattern, {"name": "rotate", "degrees": round(degrees, 2)}, _turn(degrees), (0, 0), size_um)


def affine(
    pattern: Pattern,
    generator: np.random.Generator,
    size_um: Size,
    *,
    degrees: float = 180,
    scale: Range = (0.8, 1.25),
    shear: float = 10,
    shift: float = 0.1,
) -> Pattern:
    """A window of `size_um` (h w) of the pattern turned, scaled, sheared and shifted about its middle.

    degrees, shear: largest angle either way, in degrees; scale: least and largest, drawn evenly in the logarithm;
    shift: largest share of the window's sides. Densities change by the square of the scale.
    """
    turned, sheared = generator.uniform(-1, 1, 2) * (degrees, shear)
    zoom = float(np.exp(generator.uniform(*np.log(scale))))
    moved = generator.uniform(-shift, shift, 2)
    matrix = zoom * _turn(turned) @ np.array([[1, np.tan(np.radians(sheared))], [0, 1]])
    numbers = {"degrees": turned, "scale": zoom, "shear": sheared, "across": moved[0], "down": moved[1]}
    record = {"name": "affine", **{name: round(float(number), 4) for name, number in numbers.items()}}
    return mapped(pattern, record, matrix, (moved[0] * size_um[1], moved[1] * size_um[0]), size_um)


def generate(pattern: Pattern, generator: np.random.Generator, spacing: Spacing) -> Pattern:
    """As many nuclei of each class as the pattern has, at new places, with distances as in `spacing`."""
    xy_um, classes = arranged(pattern.classes, pattern.size_um, spacing, generator)
    record = {"name": "generate", "dropped": len(pattern.classes) - len(classes)}
    return pattern.done(record, xy_um, classes, pattern.size_um)


def combine(
    pattern: Pattern,
    generator: np.random.Generator,
    others: Sequence[Pattern],
    *,
    by: Literal["quadrants", "mask"],
    gap_um: float,
) -> Pattern:
    """One pattern of the parts of several, 2 to 4 in all and of one extent: each gives what lies in its part.

    by: "quadrants" about a point in the middle half; "mask": regions around twice as many random places as patterns.
    gap_um: of two points of different patterns that are nearer to each other the later pattern's is dropped.

    Raises:
        UserError: another number of patterns, or of different extents or classes.
    """
    patterns = [pattern, *others]
    _check_alike(patterns)
    owner = _quadrants(patterns, generator) if by == "quadrants" else _regions(patterns, generator)
    parts = [(each.xy_um, each.classes, owner(each.xy_um) == k) for k, each in enumerate(patterns)]
    xy_um = np.concatenate([xy[inside] for xy, _, inside in parts])
    classes = np.concatenate([kinds[inside] for _, kinds, inside in parts])
    of = np.concatenate([np.full(np.count_nonzero(inside), k) for k, (_, _, inside) in enumerate(parts)])
    keep = _without_conflicts(xy_um, of, gap_um)
    record = {
        "name": "combine",
        "by": by,
        "of": [each.name for each in patterns],
        "seeds_um": owner.told(),
        "before": [list(each.operations) for each in patterns],
        "dropped": int(np.count_nonzero(~keep)),
    }
    whole = replace(
        pattern,
        source=joined(each.source for each in patterns),
        licence=joined(each.licence for each in patterns),
        operations=(),
    )
    return whole.done(record, xy_um[keep], classes[keep], pattern.size_um)


def mapped(pattern: Pattern, record: dict[str, object], matrix: Points, shift_um: Size, size_um: Size) -> Pattern:
    """A window of size_um (h w) of the pattern under a matrix (2 2) about its middle, then shifted by (x y)."""
    half = np.array(size_um[::-1]) / 2
    corners = np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]]) * half - shift_um
    reach = np.abs(corners @ np.linalg.inv(matrix).T).max(axis=0)
    grown = mirrored(pattern, reach - np.array(pattern.size_um[::-1]) / 2)
    xy_um = (grown.xy_um - np.array(grown.size_um[::-1]) / 2) @ matrix.T + shift_um + half
    keep = ((xy_um >= 0) & (xy_um <= size_um[::-1])).all(axis=1)
    return pattern.done(record, xy_um[keep], grown.classes[keep], size_um)


def mirrored(pattern: Pattern, margins_um: Points) -> Pattern:
    """The pattern with its mirror image beyond each border, as far as margins (x y) say (0 or below: not at all)."""
    xy_um, classes, sides = pattern.xy_um, pattern.classes, np.array(pattern.size_um[::-1])
    for axis in (0, 1):
        left = margins_um[axis]
        while left > 0:
            side, margin = sides[axis], min(left, sides[axis])
            before, after = xy_um.copy(), xy_um.copy()
            before[:, axis], after[:, axis] = -xy_um[:, axis], 2 * side - xy_um[:, axis]
            first = (before[:, axis] >= -margin) & (before[:, axis] < -DOUBLED_UM)
            last = (after[:, axis] <= side + margin) & (after[:, axis] > side + DOUBLED_UM)
            xy_um = np.concatenate([xy_um, before[first], after[last]])
            classes = np.concatenate([classes, classes[first], classes[last]])
            xy_um[:, axis] += margin
            sides[axis] += 2 * margin
            left -= margin
    width, height = sides.tolist()
    return replace(pattern, xy_um=xy_um.clip(0, sides), classes=classes, size_um=(height, width))


def _turn(degrees: float) -> Points:
    """The matrix that turns points (x y), y down, counter-clockwise."""
    angle = np.radians(degrees)
    return np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])


class _Owner:
    """Which pattern a place belongs to: that of the nearest of some seeds, or of a quadrant."""

    def __init__(self, seeds: Points, owners: NDArray[np.intp]) -> None:
        self._tree, self._owners = KDTree(seeds), owners

    def told(self) -> list[tuple[float, float, int]]:
        """Each seed's x and y, and the number of its pattern."""
        places = np.round(self._tree.data, 2).tolist()
        return [(x, y, int(owner)) for (x, y), owner in zip(places, self._owners, strict=True)]

    def __call__(self, xy_um: Points) -> NDArray[np.intp]:
        return self._owners[self._tree.query(xy_um)[1]] if len(xy_um) else np.zeros(0, np.intp)


def _quadrants(patterns: Sequence[Pattern], generator: np.random.Generator) -> _Owner:
    """Four seeds around a point, so that the nearest one says the quadrant."""
    sides = np.array(patterns[0].size_um[::-1])
    middle = generator.uniform(0.25, 0.75, 2) * sides
    return _Owner(middle + np.array([[-1, -1], [1, -1], [-1, 1], [1, 1]]) * sides, _dealt(len(patterns), 4, generator))


def _regions(patterns: Sequence[Pattern], generator: np.random.Generator) -> _Owner:
    seeds = 2 * len(patterns)
    places = generator.uniform(0, 1, (seeds, 2)) * patterns[0].size_um[::-1]
    return _Owner(places, _dealt(len(patterns), seeds, generator))


def _dealt(patterns: int, parts: int, generator: np.random.Generator) -> NDArray[np.intp]:
    """Which pattern each part belongs to (parts,); every pattern has one at least."""
    rest = generator.integers(0, patterns, parts - patterns)
    return np.asarray(generator.permutation(np.concatenate([np.arange(patterns), rest])), np.intp)


def _without_conflicts(xy_um: Points, of: NDArray[np.intp], gap_um: float) -> NDArray[np.bool_]:
    """Which points stay (m,): none of another, earlier pattern that stays is nearer than the gap."""
    keep = np.ones(len(xy_um), bool)
    if len(xy_um):
        pairs = KDTree(xy_um).query_pairs(gap_um, output_type="ndarray")
        for first, second in sorted(map(tuple, np.sort(pairs, axis=1).tolist()), key=lambda pair: pair[1]):
            if of[first] != of[second] and keep[first]:
                keep[second] = False
    return keep


def _check_alike(patterns: Sequence[Pattern]) -> None:
    extents = {tuple(np.round(each.size_um, 6)) for each in patterns}
    if not 2 <= len(patterns) <= 4 or len(extents) > 1 or len({each.class_names for each in patterns}) > 1:
        raise UserError(
            "patterns that cannot be combined",
            expected="2 to 4 of them, of one extent and one list of classes",
            got=f"{len(patterns)} of {len(extents)} extents",
            mend="cut windows of one size first",
        )
