"""Points and masks as DAFF-GAN's first generator is given and makes them, and the nuclei that a mask holds.

Points: one channel for each class, and one for nuclei of unknown type: a disc of 3 px as published, or a Gaussian. The
mask: a one-hot code of background and classes, and CoSyn's distance, -1 at centres and outside, 1 at rims. Nuclei
come out of the mask by watershed from the points: one for each point, which has the point's class. The paper does not
say how it tells nuclei apart; this is ours.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from nucleosynth.conditions import structure
from nucleosynth.conditions.points import gaussian_splats
from nucleosynth.conditions.slots import Slots
from nucleosynth.errors import UserError
from nucleosynth.instances import watershed
from nucleosynth.pictures import class_colours
from nucleosynth.sample import Classes, Image, Instances, Layout

Channels = NDArray[np.float32]
LEAST_UM = 1.0
"""A made nucleus reaches at least so far around its point, where no other is in the way."""
PUBLISHED_MPP = 0.25
"""Taken where no resolution is known."""
PAPER = (250, 246, 240)


@dataclass(frozen=True)
class MaskCoding:
    """The coding for the slots of a run, at one resolution (um per px, `PUBLISHED_MPP` where None).

    disc_px: radius of a point's disc; blur_px: standard deviation of the Gaussian in its place, 0 = a disc.
    """

    slots: Slots
    mpp: float | None = None
    disc_px: float = 3.0
    blur_px: float = 0.0

    @property
    def point_channels(self) -> int:
        """Channels of points: each slot, then unknown type."""
        return self.slots.count + 1

    @property
    def label_channels(self) -> int:
        """Channels of the one-hot code: background and each slot."""
        return self.slots.count + 1

    @property
    def mask_channels(self) -> int:
        """Channels of a mask: the one-hot code and the distance."""
        return self.label_channels + 1

    def points(self, layout: Layout) -> Channels:
        """(point_channels h w) of points, 0..1."""
        slots = self.slots.of_points(layout)
        kinds = np.where(slots, slots, self.point_channels).astype(np.uint8)
        names = tuple(map(str, range(self.point_channels)))
        known = replace(layout, classes=kinds, class_names=names)
        if self.blur_px:
            return gaussian_splats(known, self.blur_px)[1:]
        return _discs(known, self.disc_px)

    def mask(self, instances: Instances, classes: Classes) -> Channels:
        """(mask_channels h w) of a label; nuclei of unknown type are of each class in equal parts."""
        code = self.slots.onehot(instances, classes)
        code[1:, ~code.any(axis=0)] = 1 / self.slots.count
        distance = 2 * structure.distance(instances) - 1
        return np.concatenate([code, distance[None]]).astype(np.float32)

    def nuclei(self, mask: Channels, layout: Layout) -> tuple[Instances, Classes]:
        """The nuclei of a mask (mask_channels h w), one for each point, in the order of the points, with their classes.

        mask: shares of background and classes that sum to 1, and the distance. Of several points on one pixel the
        first counts. A nucleus grows from its point over what is less likely background than not, and is at least a
        disc of `LEAST_UM`, so that none is lost.

        Raises:
            UserError: a mask that is not finite, or of another size than the layout.
        """
        if mask.shape[1:] != layout.size:
            raise UserError(
                "points of another size than their mask",
                expected=f"points of a tile of {mask.shape[1:]}",
                got=f"{layout.size}",
                where="the nuclei of a mask",
                mend="give the points that the mask was made for, at its resolution",
            )
        kept = _one_a_pixel(layout)
        discs = _discs(replace(kept, classes=np.ones_like(kept.classes), class_names=("any",)), self._least_px)
        foreground = (mask[0] < 0.5) | (discs[0] > 0)
        energy = np.where(discs[0] > 0, -1, mask[-1]).astype(np.float32)
        found = watershed.from_points(foreground, kept, energy)
        return found, kept.classes

    def picture(self, mask: Channels) -> Image:
        """A mask to look at, (h w 3): the colours of the classes on paper, in the parts that they have."""
        colours = np.concatenate([[PAPER], class_colours(self.slots.count)[1:]]).astype(np.float32)
        shown = np.tensordot(mask[:-1].clip(0, 1), colours, axes=(0, 0))
        return np.asarray(shown.clip(0, 255).round(), np.uint8)

    @property
    def _least_px(self) -> float:
        return LEAST_UM / (self.mpp or PUBLISHED_MPP)


def _discs(layout: Layout, radius_px: float) -> Channels:
    """(C h w) 1 within a radius of a point of the class, and in its own pixel, else 0."""
    maps = np.zeros((len(layout.class_names), *layout.size), np.float32)
    reach = int(radius_px) + 1
    for (x, y), kind in zip(layout.xy, layout.classes, strict=True):
        column, row = _pixel(float(x), layout.size[1]), _pixel(float(y), layout.size[0])
        top, left = max(row - reach, 0), max(column - reach, 0)
        box = maps[kind - 1, top : row + reach + 1, left : column + reach + 1]
        rows, columns = np.ogrid[top : top + box.shape[0], left : left + box.shape[1]]
        box[(rows - y) ** 2 + (columns - x) ** 2 <= radius_px**2] = 1
        maps[kind - 1, row, column] = 1
    return maps


def _one_a_pixel(layout: Layout) -> Layout:
    """The first point of each pixel."""
    places = [(_pixel(float(x), layout.size[1]), _pixel(float(y), layout.size[0])) for x, y in layout.xy]
    first = np.array(sorted({place: k for k, place in reversed(list(enumerate(places)))}.values()), np.intp)
    return replace(layout, xy=layout.xy[first], classes=layout.classes[first])


def _pixel(at: float, side: int) -> int:
    """The pixel that a place lies in; the border's right end belongs to the last one."""
    return min(int(np.floor(at + 0.5)), side - 1)
