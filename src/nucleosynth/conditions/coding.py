"""Nuclei as channels that a network can make, and back: what JointFlow's label group is.

Channels (c h w) float32, each about unit scale: the outline (1: a signed distance, or inside against outside), the
classes (one channel a class, or the bits of their number; none where there is one class), and the offsets in x and y to
the nucleus's centre (2). The signed distance gives smooth outlines, the offsets keep touching nuclei apart by voting,
the classes are read from the mean over each nucleus. Bits: Chen et al., "Analog Bits", ICLR 2023.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import ndimage

from nucleosynth.conditions import structure
from nucleosynth.config import Settings
from nucleosynth.instances import offsets as voting
from nucleosynth.sample import Classes, Instances, Symmetry, transform_array

Channels = NDArray[np.float32]
MARGIN_PX = 16
"""Room around a tile for the votes of nuclei that it cuts, px of the coding's resolution."""
SMALLEST_PX = 8
"""Nuclei of less than this are no nuclei, px of the coding's resolution."""
NOISY_VOTES = 2.5
"""How much more votes for centres are smoothed where a network made them: less leaves nuclei split (decision 135)."""


class CodingSettings(Settings):
    """How a label is coded."""

    outline: Literal["distance", "mask"] = "distance"
    """The signed distance to the outline, or +1 inside nuclei and -1 outside."""
    classes: Literal["levels", "bits"] = "levels"
    """A channel for each class, or the bits of the class's number, background 0."""
    limit_px: float = Field(4.0, gt=0)
    """Where the signed distance is cut, which is coded as 1; px at the method's resolution."""
    offset_px: float = Field(8.0, gt=0)
    """The offset that is coded as 1."""
    class_level: float = Field(1.0, gt=0)
    """Classes are coded as +level and -level, and 0 in nuclei of unknown type."""


DEFAULT = CodingSettings()


@dataclass(frozen=True)
class LabelCoding:
    """The coding for nuclei of the given classes at one resolution.

    classes: the ids that are told apart, ascending (those that occur in the training tiles).
    """

    classes: tuple[int, ...]
    settings: CodingSettings = DEFAULT

    @property
    def told_apart(self) -> tuple[int, ...]:
        """Class ids that the channels tell apart; none where there is one class."""
        return self.classes if len(self.classes) > 1 else ()

    @cached_property
    def codes(self) -> NDArray[np.float32]:
        """(1 + classes, channels) of +-1: what the background, then each class is coded as; no column for one class."""
        numbers = np.arange(1 + len(self.told_apart))[:, None]
        bits = numbers >> np.arange(len(self.told_apart).bit_length()) & 1
        found = bits if self.settings.classes == "bits" else numbers == np.arange(1, 1 + len(self.told_apart))
        return np.where(found, 1, -1).astype(np.float32)

    @property
    def channels(self) -> int:
        """All channels."""
        return 3 + int(self.codes.shape[1])

    def encode(self, instances: Instances, classes: Classes) -> Channels:
        """Channels (c h w) of an instance map (h w) with its classes (n,)."""
        maps = np.empty((self.channels, *instances.shape), np.float32)
        if self.settings.outline == "distance":
            maps[0] = structure.signed_distance(instances, self.settings.limit_px)
        else:
            maps[0] = np.where(instances > 0, 1, -1)
        maps[1:-2] = self._class_values(classes)[:, instances]
        maps[-2:] = structure.offsets(instances) / self.settings.offset_px
        return maps

    def decode(self, maps: Channels, *, zoom: float = 1.0, smooth_px: float = 0.5) -> tuple[Instances, Classes]:
        """Instance map and classes of channels (c h w), noise in them allowed.

        zoom: how much finer the maps are than the resolution of the coding (after upsampling); smooth_px: Gaussian
        that the outline is smoothed by, in px of the coding's resolution; 0 for exact maps, whose votes for centres are
        smoothed less too.
        """
        margin = round(MARGIN_PX * zoom)
        room = np.pad(maps, ((0, 0), (margin, margin), (margin, margin)))
        room[0] = np.pad(
            ndimage.gaussian_filter(maps[0], smooth_px * zoom) if smooth_px else maps[0], margin, constant_values=-1
        )
        smallest = round(SMALLEST_PX * zoom**2)
        votes = room[-2:] * (self.settings.offset_px * zoom)
        width = zoom * (NOISY_VOTES if smooth_px else 1)
        found = voting.extract(room[0] > 0, votes, scale=width, min_area=smallest)
        instances = np.ascontiguousarray(found[margin:-margin, margin:-margin])
        return instances, self._read_classes(maps, instances)

    def transform(self, maps: Channels, symmetry: Symmetry) -> Channels:
        """The channels of the transformed label: pixels move, offsets also turn."""
        turned = np.ascontiguousarray(np.moveaxis(transform_array(np.moveaxis(maps, 0, -1), symmetry), -1, 0))
        turned[-2:] = structure.transform_vectors(maps[-2:], symmetry)
        return turned

    def _class_values(self, classes: Classes) -> NDArray[np.float32]:
        """Value of each class channel in the background (column 0) and in each nucleus: (channels, n + 1)."""
        rows = np.zeros(256, np.int64)
        rows[list(self.told_apart)] = np.arange(1, 1 + len(self.told_apart))
        values = self.codes[np.concatenate([[0], rows[classes]])]
        values[1:][classes == 0] = 0
        return np.ascontiguousarray(self.settings.class_level * values.T)

    def _read_classes(self, maps: Channels, instances: Instances) -> Classes:
        nuclei = int(instances.max(initial=0))
        if not self.told_apart:
            return np.full(nuclei, self.classes[0] if self.classes else 0, np.uint8)
        sums = [np.bincount(instances.ravel(), plane.ravel(), nuclei + 1)[1:] for plane in maps[1:-2]]
        likeness = self.codes[1:] @ np.array(sums).reshape(len(sums), nuclei)
        return np.asarray(np.array(self.classes, np.uint8)[np.argmax(likeness, axis=0)])


def resize_channels(maps: Channels, size: tuple[int, int]) -> Channels:
    """Channels (c h w) at another size (h w): the outline smoothly, the rest from the nearest pixel.

    The values stay those of the coding's own resolution; `decode` is told the zoom.
    """
    if maps.shape[1:] == size:
        return maps
    planes = [
        cv2.resize(plane, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT if i else cv2.INTER_CUBIC)
        for i, plane in enumerate(maps)
    ]
    return np.stack(planes).astype(np.float32)


def read_at(coding: LabelCoding, maps: Channels, size: tuple[int, int]) -> tuple[Instances, Classes]:
    """Nuclei (instances, classes) of a coding's channels (c h w), of a tile of another size (h w)."""
    return coding.decode(resize_channels(maps, size), zoom=size[0] / maps.shape[1])
