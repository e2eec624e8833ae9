"""Training windows: drawn fairly from tiles of any size, turned, scaled, sheared and recoloured, labels with them.

The kinds of change are those of HoVer-Net (Graham et al., 2019); `RELEASED` draws them as the released code does. What
departs from it: the contrast step works (the released one leaves the image as it is; `contrast` 0 is that), windows lie
anywhere in a tile and not on a grid, and position, symmetry and affine map are one matrix, so image and label are each
sampled once: the image bilinearly (there by nearest neighbour), the label by nearest neighbour. Beyond its borders a
tile is mirrored (there it is black).

Small tiles are laid side by side until the window is full, each drawn and turned by itself. Synthetic tiles are often
64^2: mirrored to 128^2 they would show each nucleus up to four times, and small windows for all would take context away
from the real tiles. So every arm of a study sees windows of the same size and number, in one batch and one batch norm.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from nucleosynth.conditions import structure
from nucleosynth.config import Settings
from nucleosynth.sample import Classes, Image, Instances

Matrix = NDArray[np.float64]
Colour = NDArray[np.float32]
"""RGB (h w 3), 0..255 and a little beyond."""


class Augmentation(Settings):
    """How training windows are varied; ranges are symmetric about "no change"."""

    symmetries: bool = True
    """Give each window one of the square's eight symmetries; if not, it lies as in its tile."""
    affine_share: float = Field(0.5, ge=0, le=1)
    """Share of windows that are scaled, turned, sheared and moved freely, besides."""
    scale: float = Field(0.2, ge=0, lt=1)
    """Largest relative change of scale, drawn for x and y apart."""
    shear_degrees: float = Field(5.0, ge=0, lt=45)
    """Largest shear."""
    rotation_degrees: float = Field(179.0, ge=0)
    """Largest rotation."""
    translation: float = Field(0.01, ge=0, lt=1)
    """Largest shift, of the window's side."""
    always: bool = False
    """Draw blur, median or noise for every window; if not, one in four is spared."""
    released: bool = False
    """Draw as the released code: kernels of 1 (no change), 3 or 5 px, the Gaussian's for each axis, for blur and
    median; noise by channel in half of the windows, else grey; colour steps in random order."""
    blur_px: float = Field(1.0, ge=0)
    """Largest standard deviation of the Gaussian blur, unless `released`; at 0 neither blur nor median."""
    noise: float = Field(12.0, ge=0)
    """Largest standard deviation of the noise, of 255."""
    hue: float = Field(8.0, ge=0, le=90)
    """Largest turn of the hue, of 180."""
    saturation: float = Field(0.2, ge=0, le=1)
    """Largest relative change of saturation."""
    brightness: float = Field(26.0, ge=0)
    """Largest change of brightness, of 255."""
    contrast: float = Field(0.25, ge=0, le=1)
    """Largest relative change of contrast."""


NONE = Augmentation(symmetries=False, affine_share=0, blur_px=0, noise=0, hue=0, saturation=0, brightness=0, contrast=0)
"""Random windows alone."""
CLASSIC = Augmentation()
"""The published kinds of change, milder: half of the windows keep their shape and a quarter its sharpness, so that
short trainings see such ones."""
RELEASED = Augmentation(affine_share=1, always=True, released=True, noise=0.05 * 255)
"""As the released code draws them (about 15 % of windows get a kernel of 1 px), but for the module's departures."""
AUGMENTATIONS: Mapping[str, Augmentation] = {"none": NONE, "classic": CLASSIC, "released": RELEASED}


@dataclass(frozen=True)
class Window:
    """A labelled window: image (h w 3), instances (h w) of one connected piece each, ids 1..n; classes (n,)."""

    image: Image
    instances: Instances
    classes: Classes


def draw(tiles: Sequence[Window], side: int, settings: Augmentation, rng: np.random.Generator) -> Window:
    """A window of side^2 px, varied. A tile is drawn in proportion to its area, then the place in it uniformly.

    Where the drawn tile is much smaller than the window, the window is a square grid of drawn tiles; of the side of a
    grid cell at most about a third is mirrored.
    """
    first = _pick(tiles, rng)
    cells = max(1, round(side / min(first.instances.shape)))
    cell = -(-side // cells)
    image = np.empty((cells * cell, cells * cell, 3), np.uint8)
    instances = np.zeros(image.shape[:2], np.int32)
    classes = [np.zeros(0, np.uint8)]
    for k in range(cells**2):
        part = _part(first if k == 0 else _pick(tiles, rng), cell, settings, rng)
        top, left = cell * (k // cells), cell * (k % cells)
        place = np.s_[top : top + cell, left : left + cell]
        image[place] = part.image
        instances[place] = np.where(part.instances > 0, part.instances + sum(map(len, classes)), 0)
        classes.append(part.classes)
    return Window(recolour(image, settings, rng)[:side, :side], instances[:side, :side], np.concatenate(classes))


def sampling(size: tuple[int, int], side: int, settings: Augmentation, rng: np.random.Generator) -> Matrix:
    """A random 2x3 matrix from window px (x y 1) to px of a tile of `size` (h w).

    Its window lies inside the tile before it is turned and moved; where the tile is smaller they share their centre.
    """
    spare = np.array(size[::-1]) - side
    corner = np.where(spare > 0, rng.integers(np.maximum(spare, 0) + 1), spare // 2)
    middle = (side - 1) / 2
    linear = np.diag(rng.choice([-1.0, 1.0], 2))[rng.permutation(2)]  # the square's eight symmetries, exactly
    linear = linear if settings.symmetries else np.eye(2)
    if rng.random() < settings.affine_share:
        scale = rng.uniform(1 - settings.scale, 1 + settings.scale, 2)
        shear = np.tan(np.radians(rng.uniform(-settings.shear_degrees, settings.shear_degrees)))
        angle = np.radians(rng.uniform(-settings.rotation_degrees, settings.rotation_degrees))
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        linear = linear @ turn @ np.array([[1, shear], [0, 1]]) @ np.diag(1 / scale)
        corner = corner + rng.uniform(-settings.translation, settings.translation, 2) * side
    return np.column_stack([linear, corner + middle - linear @ [middle, middle]])


def warp(tile: Window, matrix: Matrix, side: int) -> Window:
    """The window of side^2 px that a matrix of `sampling` cuts from a tile, mirrored beyond the tile's borders."""

    def cut(array: NDArray[Any], interpolation: int) -> NDArray[Any]:
        flags = interpolation | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(array, matrix, (side, side), flags=flags, borderMode=cv2.BORDER_REFLECT_101)

    instances, classes = pieces(cut(tile.instances, cv2.INTER_NEAREST), tile.classes)
    return Window(cut(tile.image, cv2.INTER_LINEAR), instances, classes)


def pieces(instances: Instances, classes: Classes) -> tuple[Instances, Classes]:
    """Each 4-connected piece of a nucleus as a nucleus of its own, ids 1..n without gaps, with its class.

    A nucleus that a window cuts in two, or that its mirror image joins, has a centre in each piece.
    """
    apart, count = structure.pieces(instances)
    owner = np.zeros(count + 1, np.int32)
    owner[apart.ravel()] = instances.ravel()
    return apart, classes[owner[1:] - 1]


def recolour(image: Image, settings: Augmentation, rng: np.random.Generator) -> Image:
    """Blur, median, noise or none of them; then hue, saturation, brightness and contrast, in this order unless
    `settings.released`."""
    image = _blur_or_noise(image, settings, rng)
    steps = rng.permutation(len(COLOUR_STEPS)) if settings.released else range(len(COLOUR_STEPS))
    colour = image.astype(np.float32)
    for step in steps:
        colour = COLOUR_STEPS[step](colour, settings, rng)
    return _to_uint8(colour)


def _hue(colour: Colour, settings: Augmentation, rng: np.random.Generator) -> Colour:
    turn = round(_draw(settings.hue, rng) * 256 / 180)
    if not turn:  # the way to HSV and back rounds colours
        return colour
    hsv = cv2.cvtColor(_to_uint8(colour), cv2.COLOR_RGB2HSV_FULL)
    hsv[..., 0] += np.uint8(turn % 256)  # a full turn is 256, and uint8 wraps there
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB_FULL), np.float32)


def _saturation(colour: Colour, settings: Augmentation, rng: np.random.Generator) -> Colour:
    grey = cv2.cvtColor(_to_uint8(colour), cv2.COLOR_RGB2GRAY).astype(np.float32)[..., None]
    return grey + (colour - grey) * np.float32(1 + _draw(settings.saturation, rng))


def _brightness(colour: Colour, settings: Augmentation, rng: np.random.Generator) -> Colour:
    return colour + np.float32(_draw(settings.brightness, rng))


def _contrast(colour: Colour, settings: Augmentation, rng: np.random.Generator) -> Colour:
    mean = colour.mean(axis=(0, 1))
    return np.asarray(mean + (colour - mean) * np.float32(1 + _draw(settings.contrast, rng)), np.float32)


COLOUR_STEPS = (_hue, _saturation, _brightness, _contrast)


def _draw(most: float, rng: np.random.Generator) -> float:
    return float(rng.uniform(-most, most))


def _blur_or_noise(image: Image, settings: Augmentation, rng: np.random.Generator) -> Image:
    match rng.integers(3 if settings.always else 4):
        case 0 if settings.blur_px > 0:
            if settings.released:
                width, height = (2 * rng.integers(3, size=2) + 1).tolist()  # and the deviations that cv2 gives them
                return np.asarray(
                    cv2.GaussianBlur(image, (width, height), 0, borderType=cv2.BORDER_REPLICATE), np.uint8
                )
            return np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.1, 1) * settings.blur_px), np.uint8)
        case 1 if settings.blur_px > 0:
            return np.asarray(cv2.medianBlur(image, int(2 * rng.integers(3) + 1) if settings.released else 3), np.uint8)
        case 2:
            grey = settings.released and rng.random() < 0.5
            shape = (*image.shape[:2], 1) if grey else image.shape
            noise = rng.standard_normal(shape, np.float32) * np.float32(rng.uniform(0, settings.noise))
            return _to_uint8(image + noise)
        case _:
            return image


def _to_uint8(values: Colour) -> Image:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _pick(tiles: Sequence[Window], rng: np.random.Generator) -> Window:
    areas = np.array([tile.instances.size for tile in tiles])
    return tiles[rng.choice(len(tiles), p=areas / areas.sum())]


def _part(tile: Window, side: int, settings: Augmentation, rng: np.random.Generator) -> Window:
    return warp(tile, sampling(tile.instances.shape, side, settings, rng), side)
