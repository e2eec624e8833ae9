"""How tiles become pictures of a page: the part that is shown, its scale, outlines, tints, files of few colours.

Tiles are enlarged by a whole factor, images by Lanczos' kernel and labels with rounded steps, before anything is drawn.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nucleosynth.pictures import class_colours, enlarged, enlarged_label, outlines, write_paletted
from nucleosynth.report.results import Picture
from nucleosynth.sample import Classes, Image, Instances, Sample

FOLDER = "pictures"
WINDOW_PX = 192
"""Largest part of a tile that is shown, unless more is asked for."""
_GAP = 3


def middle(sample: Sample, most_px: int = WINDOW_PX) -> Sample:
    """The middle of a tile, `most_px` wide at most."""
    height, width = (min(side, most_px) for side in sample.size)
    return sample.crop((sample.size[0] - height) // 2, (sample.size[1] - width) // 2, height, width)


def factor_for(size: tuple[int, int], least_px: int) -> int:
    """The least whole factor that brings the larger side (h w) to `least_px`."""
    return max(-(-least_px // max(size)), 1)


def rimmed(
    picture: Image, instances: Instances, classes: Classes, colours: NDArray[np.uint8], width_px: int = 2
) -> Image:
    """The picture with each nucleus outlined in `colours[class]`, so wide that it is seen where a page shrinks it."""
    picture, left = picture.copy(), instances
    for _ in range(width_px):
        edge = outlines(left)
        picture[edge] = colours[classes[left[edge] - 1]]
        left = np.where(edge, 0, left)
    return picture


def tinted(picture: Image, where: NDArray[np.bool_], colour: NDArray[np.uint8], share: float) -> Image:
    """The picture with that share of a colour mixed in where it is True (h w)."""
    mixed = (1 - share) * picture + share * colour
    return np.where(where[..., None], mixed.round().astype(np.uint8), picture)


def labelled(sample: Sample, least_px: int) -> Image:
    """The image with nuclei outlined in class colours."""
    factor = factor_for(sample.size, least_px)
    label, colours = enlarged_label(sample.instances, factor), class_colours(len(sample.class_names))
    return rimmed(enlarged(sample.image, factor), label, sample.classes, colours)


def beside(*pictures: Image) -> Image:
    """Pictures of one height in a row, with a white line between them."""
    gap = np.full((len(pictures[0]), _GAP, 3), 255, np.uint8)
    return np.concatenate([part for picture in pictures for part in (gap, picture)][1:], axis=1)


def save(folder: Path, name: str, picture: Image, words: str, drawn: NDArray[np.uint8]) -> Picture:
    """Write a picture of a study as `name`.png; drawn (n 3): colours that are kept as they are."""
    file = f"{FOLDER}/{name}.png"
    write_paletted(folder / file, picture, drawn)
    return Picture(file=file, words=words)
