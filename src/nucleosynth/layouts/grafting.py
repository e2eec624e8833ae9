"""A tile whose nuclei can be taken out and set in, in label and image at once.

Where a nucleus is taken out, the tissue around it flows together (normalised convolution over background alone). Where
one is set in, its own pixels are kept, and the tissue that came with it fades into the tile's over a ramp of distance,
so that no cut edge is left to be painted. Nuclei stay disjoint: the pixels of a nucleus are only ever given where no
other nucleus lies, nor next to it. Source: DiffMix (Oh and Jeong, MICCAI 2023) blends by such a ramp.
"""

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from nucleosynth.conditions.points import centroids
from nucleosynth.layouts.donors import Donor
from nucleosynth.sample import Sample

OUTSIDE = -1
"""What the label holds beyond the border of the tile."""
GLASS = 215
"""Where the darkest channel is brighter than this around a place, there is no tissue, 0..255."""
_FAINT = 1e-3
"""Weight of the mean background against that around a hole: what a hole without background around it gets."""

Mask = NDArray[np.bool_]
Window = tuple[slice, slice]


class Grafting:
    """A tile under change. Rows and columns (y x) are px of the tile."""

    def __init__(self, sample: Sample, room: int) -> None:
        """room: px that donors carry around their nucleus, at least 1."""
        assert room > 0, "there is tissue around a donor"
        self._sample, self._room = sample, room
        self._image = np.pad(sample.image, ((room, room), (room, room), (0, 0)), mode="edge").astype(np.float32)
        self._label = np.pad(sample.instances, room, constant_values=OUTSIDE)
        self.classes: list[int] = sample.classes.tolist()
        self._tissue, self._nuclei = (
            sample.image[mask if mask.any() else ~mask].mean(axis=0)
            for mask in (sample.instances == 0, sample.instances > 0)
        )

    def sample(self) -> Sample:
        """The tile as it is now; points that were given are no longer true and left out."""
        inner = np.s_[self._room : -self._room, self._room : -self._room]
        image = self._image[inner].round().clip(0, 255).astype(np.uint8)
        label = np.ascontiguousarray(self._label[inner])
        return replace(
            self._sample, image=image, instances=label, classes=np.array(self.classes, np.uint8), points=None
        )

    def hole(self, nucleus: int, rim: int) -> Mask:
        """What goes when a nucleus is taken out (h w): its pixels and `rim` px around them that are no nucleus's."""
        inner = np.s_[self._room : -self._room, self._room : -self._room]
        return np.asarray(self._hole(nucleus, rim)[inner])

    def room_instead(self, nucleus: int, donor: Donor) -> tuple[int, int] | None:
        """Where the donor's centre may lie in place of a nucleus: on its pixels, nearest to its centre; or nowhere."""
        old = self._label == nucleus
        window = self._window(old, max(donor.mask.shape))
        spots = self._spots((self._label[window] != 0) & ~old[window], donor) & old[window]
        if not spots.any():
            return None
        y, x = np.nonzero(spots)
        centre = [at.mean() for at in np.nonzero(old[window])]
        nearest = np.argmin((y - centre[0]) ** 2 + (x - centre[1]) ** 2)
        top, left = (side.start - self._room for side in window)
        return int(y[nearest]) + top, int(x[nearest]) + left

    def room_for(self, donor: Donor) -> Mask:
        """Where the donor's centre may lie so that it meets neither nucleus nor border, on tissue (h w)."""
        spots = self._spots(self._label != 0, donor)
        darkest = cv2.GaussianBlur(self._image.min(axis=2), (0, 0), float(np.sqrt(donor.area)) / 2)
        inner = np.s_[self._room : -self._room, self._room : -self._room]
        return np.asarray((spots & (darkest <= GLASS))[inner])

    def take_out(self, nucleus: int, rim: int) -> None:
        """Empty the place of a nucleus; its id stays free until a nucleus is set in under it."""
        hole = self._hole(nucleus, rim)
        window = self._window(hole, 3 * max(hole.any(axis=0).sum(), hole.any(axis=1).sum()))
        self._label[self._label == nucleus] = 0
        hole, image, label = hole[window], self._image[window], self._label[window]
        tissue = _flowing(image, (label == 0) & ~hole, self._tissue, np.sqrt(np.count_nonzero(hole)) / 2)
        image[hole] = tissue[hole]

    def set_in(
        self, donor: Donor, at: tuple[int, int], ramp: int, tint: float = 0.0, nucleus: int | None = None
    ) -> None:
        """Set a donor in with its centre on a pixel that has room.

        ramp: px over which its surroundings fade into the tile's; tint: how far its mean colour moves towards that of
        the tile's own nuclei (of its tissue if it has none), 0..1; nucleus: the id of the one that it replaces.
        """
        if nucleus is None:
            self.classes.append(donor.kind)
            nucleus = len(self.classes)
        self.classes[nucleus - 1] = donor.kind
        middle = _centre(donor.mask)
        top, left = (where + self._room - own for where, own in zip(at, middle, strict=True))
        window = np.s_[top : top + donor.mask.shape[0], left : left + donor.mask.shape[1]]
        assert not self._label[window][donor.mask].any(), "a donor is set where there is room"
        free = (self._label[window] == 0) & ~donor.others
        distance = ndimage.distance_transform_edt(~donor.mask)
        weight = np.where(free, 1 - distance / (ramp + 1), 0).clip(0, 1)[..., None]
        picture = donor.image.astype(np.float32)
        picture[donor.mask] += tint * (self._nuclei - picture[donor.mask].mean(axis=0))
        self._image[window] += (weight * (picture - self._image[window])).astype(np.float32)
        self._label[window][donor.mask] = nucleus

    def _hole(self, nucleus: int, rim: int) -> Mask:
        old = self._label == nucleus
        cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
        grown = cv2.dilate(old.astype(np.uint8), cross, iterations=rim).astype(bool)
        return np.asarray(old | (grown & (self._label == 0)))

    def _window(self, mask: Mask, margin: int) -> Window:
        """The box of a mask, `margin` px wider on each side where the padded tile has them."""
        (box,) = ndimage.find_objects(mask.astype(np.uint8))
        rows, columns = (
            slice(max(side.start - margin, 0), min(side.stop + margin, extent))
            for side, extent in zip(box, mask.shape, strict=True)
        )
        return rows, columns

    def _spots(self, taken: Mask, donor: Donor) -> Mask:
        """Where the donor's centre may lie in a part of the padded tile: erosion of what is free by its mask."""
        inner = np.s_[self._room : -self._room, self._room : -self._room]
        kernel = donor.mask[inner].astype(np.uint8)
        y, x = (own - self._room for own in _centre(donor.mask))
        free = 1 - cv2.dilate(taken.astype(np.uint8), np.ones((3, 3), np.uint8))  # nuclei do not touch
        return cv2.erode(free, kernel, anchor=(x, y), borderType=cv2.BORDER_CONSTANT, borderValue=0).astype(bool)


def _centre(mask: Mask) -> tuple[int, int]:
    """The pixel (y x) of a mask that stands for it."""
    x, y = centroids(mask.astype(np.int32))[0]
    # A mean on the edge between two pixels of the nucleus is taken to the lower one: both are its own.
    return int(np.ceil(y - 0.5)), int(np.ceil(x - 0.5))


def _flowing(image: NDArray[np.float32], known: Mask, mean: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """The image (h w 3) blurred over its known pixels alone; `mean` where there are none near."""
    weights = known.astype(np.float32)
    total = cv2.GaussianBlur(image * weights[..., None], (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    share = cv2.GaussianBlur(weights, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    return np.asarray((total + _FAINT * mean) / (share + _FAINT)[..., None], np.float32)
