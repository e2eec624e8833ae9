"""Nuclei as channels that a network can make, and back: what JointFlow's label group is.

Channels (c h w) float32, each about unit scale: the signed distance to the outline (1), one channel a class (none where
there is one class), and the offsets in x and y to the nucleus's centre (2). The signed distance gives smooth outlines,
the offsets keep touching nuclei apart by voting, the classes are read from the mean over each nucleus.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from nucleosynth.conditions import structure
from nucleosynth.instances import offsets as voting
from nucleosynth.sample import Classes, Instances, Symmetry, transform_array

Channels = NDArray[np.float32]
MARGIN_PX = 16
"""Room around a tile for the votes of nuclei that it cuts, px of the coding's resolution."""
SMALLEST_PX = 8
"""Nuclei of less than this are no nuclei, px of the coding's resolution."""


@dataclass(frozen=True)
class LabelCoding:
    """The coding for nuclei of the given classes at one resolution.

    classes: the ids that have a channel, ascending (those that occur in the training tiles); limit_px: where the signed
    distance is cut; offset_px: the offset that is coded as 1; class_level: +level in nuclei of the class, -level
    elsewhere, 0 in nuclei of unknown type.
    """

    classes: tuple[int, ...]
    limit_px: float = 4.0
    offset_px: float = 4.0
    class_level: float = 1.0

    @property
    def channel_classes(self) -> tuple[int, ...]:
        """Class ids that have a channel of their own."""
        return self.classes if len(self.classes) > 1 else ()

    @property
    def class_channels(self) -> int:
        """Channels that hold classes."""
        return len(self.channel_classes)

    @property
    def channels(self) -> int:
        """All channels."""
        return 3 + self.class_channels

    def encode(self, instances: Instances, classes: Classes) -> Channels:
        """Channels (c h w) of an instance map (h w) with its classes (n,)."""
        maps = np.empty((self.channels, *instances.shape), np.float32)
        maps[0] = structure.signed_distance(instances, self.limit_px)
        if self.class_channels:
            maps[1:-2] = self._class_values(classes)[:, instances]
        maps[-2:] = structure.offsets(instances) / self.offset_px
        return maps

    def decode(self, maps: Channels, *, zoom: float = 1.0, smooth_px: float = 0.5) -> tuple[Instances, Classes]:
        """Instance map and classes of channels (c h w), noise in them allowed.

        zoom: how much finer the maps are than the resolution of the coding (after upsampling); smooth_px: Gaussian
        that the signed distance is smoothed by, in px of the coding's resolution; 0 for exact maps.
        """
        margin = round(MARGIN_PX * zoom)
        room = np.pad(maps, ((0, 0), (margin, margin), (margin, margin)))
        room[0] = np.pad(
            ndimage.gaussian_filter(maps[0], smooth_px * zoom) if smooth_px else maps[0], margin, constant_values=-1
        )
        smallest = round(SMALLEST_PX * zoom**2)
        found = voting.extract(room[0] > 0, room[-2:] * (self.offset_px * zoom), scale=zoom, min_area=smallest)
        instances = np.ascontiguousarray(found[margin:-margin, margin:-margin])
        return instances, self._read_classes(maps, instances)

    def transform(self, maps: Channels, symmetry: Symmetry) -> Channels:
        """The channels of the transformed label: pixels move, offsets also turn."""
        turned = np.ascontiguousarray(np.moveaxis(transform_array(np.moveaxis(maps, 0, -1), symmetry), -1, 0))
        turned[-2:] = structure.transform_vectors(maps[-2:], symmetry)
        return turned

    def _class_values(self, classes: Classes) -> NDArray[np.float32]:
        """Value of each class channel in the background (column 0) and in each nucleus: (channels, n + 1)."""
        kinds = np.concatenate([[0], classes])
        values = np.where(kinds[None] == np.array(self.classes)[:, None], self.class_level, -self.class_level)
        values[:, 1:][:, classes == 0] = 0
        return values.astype(np.float32)

    def _read_classes(self, maps: Channels, instances: Instances) -> Classes:
        nuclei = int(instances.max(initial=0))
        if not self.class_channels:
            return np.full(nuclei, self.classes[0] if self.classes else 0, np.uint8)
        means = [np.bincount(instances.ravel(), plane.ravel(), nuclei + 1)[1:] for plane in maps[1:-2]]
        best = np.argmax(np.reshape(means, (len(self.classes), nuclei)), axis=0)
        return np.asarray(np.array(self.classes, np.uint8)[best])


def resize_channels(maps: Channels, size: tuple[int, int]) -> Channels:
    """Channels (c h w) at another size (h w): the signed distance smoothly, the rest from the nearest pixel.

    The values stay those of the coding's own resolution; `decode` is told the zoom.
    """
    if maps.shape[1:] == size:
        return maps
    planes = [
        cv2.resize(plane, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT if i else cv2.INTER_CUBIC)
        for i, plane in enumerate(maps)
    ]
    return np.stack(planes).astype(np.float32)
