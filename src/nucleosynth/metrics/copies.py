"""Is a synthetic tile a copy of a training crop? The distance to the nearest one, against that of held-out real tiles.

A generator that learnt by heart gives training crops back, perhaps turned, mirrored, shifted or stained otherwise.
So each tile is compared with every window of every training image, under the square's eight symmetries. Two pictures
are compared by the correlation r of their optical density (mean over R, G, B): a stain that is stronger, weaker or on
darker glass leaves it as it is, and one of another hue barely alters it. The distance is 1 - r: 0 for a copy, about 1
for pictures that have nothing in common.

The search is made on shrunken pictures; the best window is then placed to the pixel at full size. Held-out real tiles
give the scale: real tissue repeats itself too, and the median distance of synthetic tiles should not be below theirs. A
perfect generator's median is below theirs every other time, so two tests say what chance allows: one for many
tiles that are a little too near, one for few that are far too near.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.stats import mannwhitneyu

from nucleosynth.errors import UserError
from nucleosynth.sample import Image, transform_array

FLAT = 1e-3
"""Deviation of optical density (decadic) below which a picture shows nothing that could be recognised."""

Density = NDArray[np.float32]


class Nearest(NamedTuple):
    """The window of a training image that resembles a tile most: where it is, under which symmetry of the tile."""

    distance: float
    """1 - correlation, 0..2; NaN for a tile that shows nothing (empty glass)."""
    training: int
    symmetry: int
    top: int
    left: int


def copies(
    synthetic: Sequence[Image], held_out: Sequence[Image], training: Sequence[Image], *, shrink: int = 4
) -> dict[str, float]:
    """`distance`, the median distance of synthetic tiles to their nearest training crop; `closest`, the least of them.

    `held_out_distance`, `held_out_closest`: the same for real tiles that the generator never saw; `share_closer`: the
    share of synthetic tiles nearer than every held-out one; `blank`: synthetic tiles that show nothing and are left
    out. `p_nearer`: how often tiles come as near as a whole where both kinds are drawn alike (one-sided rank-sum test);
    `p_closest`: how often so many are nearer than every held-out one. The tiles pass where `distance` is not below
    `held_out_distance`; below it, a small p tells copying from chance. NaN where no tile is left.
    All tiles are of one size, and all pictures of one resolution: distances grow with both.
    Source: median distance of synthetic tiles to the nearest training crop, after Carlini et al., USENIX Security 2023.

    Raises:
        UserError: tiles of several sizes, or training images that are smaller than the tiles.
    """
    sizes = {tile.shape[:2] for tile in (*synthetic, *held_out)}
    if len(sizes) > 1:
        raise UserError(
            "tiles of several sizes", expected="one size, as distances grow with it", got=str(sorted(sizes))
        )
    fake, real = (
        np.array([found.distance for found in nearest(tiles, training, shrink=shrink)])
        for tiles in (synthetic, held_out)
    )
    seen, real = fake[~np.isnan(fake)], real[~np.isnan(real)]
    return {
        "distance": _quantile(seen, 0.5),
        "closest": _quantile(seen, 0),
        "held_out_distance": _quantile(real, 0.5),
        "held_out_closest": _quantile(real, 0),
        "share_closer": float((seen < real.min()).mean()) if len(seen) and len(real) else float("nan"),
        **_chance(seen, real),
        "blank": float(len(fake) - len(seen)),
    }


def _chance(synthetic: NDArray[Any], real: NDArray[Any]) -> dict[str, float]:
    """Both tests; each order of all the distances is as likely as any other if they are drawn alike."""
    if not len(synthetic) or not len(real):
        return {"p_nearer": float("nan"), "p_closest": float("nan")}
    nearer, together = int((synthetic < real.min()).sum()), len(synthetic) + len(real)
    return {
        "p_nearer": float(mannwhitneyu(synthetic, real, alternative="less").pvalue),
        "p_closest": float(np.prod([(len(synthetic) - k) / (together - k) for k in range(nearer)])),
    }


def nearest(tiles: Sequence[Image], training: Sequence[Image], *, shrink: int = 4) -> list[Nearest]:
    """The nearest training crop of each tile (uint8 RGB), over all offsets and the square's eight symmetries.

    shrink: side of the squares of px that are averaged for the search; 1 searches at full size.

    Raises:
        UserError: no training image, or one that is smaller than a tile; tiles too small to be shrunk.
    """
    _check(tiles, training, shrink)
    whole = [density(image) for image in training]
    small = [_shrink(image, shrink) for image in whole]
    return [_nearest(density(tile), whole, small, shrink) for tile in tiles]


def density(image: Image) -> Density:
    """(h w) decadic optical density, the mean of R, G and B, 0..2.41; black counts as 1 of 255."""
    table = (-np.log10(np.maximum(np.arange(256), 1) / 255) / 3).astype(np.float32)
    mean: Density = table[image].sum(axis=2)
    return mean


def correlations(picture: Density, template: Density) -> Density:
    """(H-h+1 W-w+1) correlation -1..1 of a template (h w) with each window of a picture (H W); -1 where one is flat."""
    pattern = template.astype(np.float64) - template.mean(dtype=np.float64)
    pattern /= max(np.sqrt((pattern**2).sum()), FLAT)
    # A zero-mean template needs no mean of the window, only its deviation, which is summed in double precision.
    match = cv2.matchTemplate(picture - picture.mean(), pattern.astype(np.float32), cv2.TM_CCORR)
    height, width = template.shape
    total, squares = (
        s[height:, width:] - s[:-height, width:] - s[height:, :-width] + s[:-height, :-width]
        for s in cv2.integral2(picture - picture.mean(), sdepth=cv2.CV_64F, sqdepth=cv2.CV_64F)
    )
    norm = np.sqrt(np.maximum(squares - total**2 / template.size, 0))
    flat = (norm < FLAT * np.sqrt(template.size)) | (template.std() < FLAT)
    return np.where(flat, -1, match / np.where(flat, 1, norm)).clip(-1, 1).astype(np.float32)


def _nearest(tile: Density, whole: Sequence[Density], small: Sequence[Density], shrink: int) -> Nearest:
    if tile.std() < FLAT:
        return Nearest(float("nan"), -1, 0, 0, 0)
    best: tuple[float, tuple[int, int, int, int]] = (-2.0, (0, 0, 0, 0))
    for symmetry in range(8):
        template = _shrink(transform_array(tile, symmetry), shrink)
        for number, picture in enumerate(small):
            if picture.shape[0] < template.shape[0] or picture.shape[1] < template.shape[1]:
                continue  # turned by a quarter, an oblong tile may not fit
            found = correlations(picture, template)
            place = np.unravel_index(int(found.argmax()), found.shape)
            best = max(best, (float(found[place]), (number, symmetry, int(place[0]), int(place[1]))))
    return _placed(tile, whole, best[1], shrink)


def _placed(tile: Density, whole: Sequence[Density], where: tuple[int, int, int, int], shrink: int) -> Nearest:
    """The best window at full size, within one shrunken pixel of the place found."""
    number, symmetry, row, column = where
    template, picture = transform_array(tile, symmetry), whole[number]
    top, left = max((row - 1) * shrink, 0), max((column - 1) * shrink, 0)
    bottom, right = (row + 2) * shrink + template.shape[0], (column + 2) * shrink + template.shape[1]
    found = correlations(picture[top:bottom, left:right], template)
    place = np.unravel_index(int(found.argmax()), found.shape)
    return Nearest(1 - float(found[place]), number, symmetry, top + int(place[0]), left + int(place[1]))


def _shrink(picture: Density, factor: int) -> Density:
    """Means over squares of factor^2 px; what is left over at the lower and right edge is dropped."""
    height, width = (side // factor * factor for side in picture.shape)
    blocks = picture[:height, :width].reshape(height // factor, factor, width // factor, factor)
    return np.ascontiguousarray(blocks.mean(axis=(1, 3)))


def _quantile(distances: NDArray[Any], share: float) -> float:
    return float(np.quantile(distances, share)) if len(distances) else float("nan")


def _check(tiles: Sequence[Image], training: Sequence[Image], shrink: int) -> None:
    largest = [max((tile.shape[axis] for tile in tiles), default=1) for axis in (0, 1)]
    smallest = [min((image.shape[axis] for image in training), default=0) for axis in (0, 1)]
    if smallest[0] < largest[0] or smallest[1] < largest[1]:
        raise UserError(
            "training images smaller than the tiles",
            expected=f"at least one training image, each of at least {largest[0]} x {largest[1]} px",
            got=f"{len(training)}, of {smallest[0]} x {smallest[1]} px and more",
            mend="compare the tiles with the images that training crops were cut from, at the same resolution",
        )
    least = min((side for tile in tiles for side in tile.shape[:2]), default=4 * shrink)
    if shrink < 1 or least < 4 * shrink:
        raise UserError(
            "tiles too small to shrink", expected=f"shrink in 1..{least // 4} for tiles of {least} px", got=str(shrink)
        )
