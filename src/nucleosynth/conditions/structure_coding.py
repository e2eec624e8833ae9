"""NuDiff's nuclei structure: nuclei as channels that a diffusion process can make, and back.

Channels (c h w) float32 in [-1, 1]: the semantic map, then two vector channels. Where all nuclei share one slot the
semantic map is one channel, +1 in nuclei and -1 outside (Yu et al., MICCAI 2023); where several classes occur it is a
one-hot code of background and slots, +1 and -1 (ours). The vectors are HoVer-Net's horizontal and vertical maps, as
published, or offsets to the centroid, which come back from perfect maps nearly whole at any resolution
(benchmarks/ceilings.py).

The released code flips and turns these channels as if they were pictures, and so needs eight guesses of signs and
axes to read nuclei from them. Here structures are computed after a tile is flipped, so the vectors are exact and one
guess does; the search over eight stays as an option.
"""

from dataclasses import dataclass
from itertools import product
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from nucleosynth.conditions import structure
from nucleosynth.conditions.slots import Slots
from nucleosynth.instances import hover, offsets
from nucleosynth.instances.classes import majority
from nucleosynth.sample import Classes, Image, Instances

Channels = NDArray[np.float32]
Vectors = Literal["hv", "released", "offsets"]
PUBLISHED_MPP = 0.25
"""Resolution at which the published sizes hold, and that is taken where none is known."""
REACH_UM = 4.0
"""The offset that is coded as 1; longer ones are cut to it, which costs .012 of CoNSeP's AJI at 0.5 um a pixel."""
LARGEST_SOBEL = 31
"""OpenCV knows no larger kernel."""


@dataclass(frozen=True)
class StructureCoding:
    """The coding for nuclei with these slots at one resolution.

    coding: "hv"; "released", the same one pixel off and without vectors in nuclei under 30 px, as in the published
    code; or "offsets". mpp: micrometres per pixel, `PUBLISHED_MPP` where None. hypotheses: 8 = try all signs and
    axes of the vectors and keep the reading with most nuclei, as released; 1 = read them as they are. smallest_um2:
    smaller nuclei are no nuclei; 0.625 is the published 10 px. vectors_from_um2: smaller nuclei have no HV; 1.875 is
    the published 30 px.
    """

    slots: Slots
    coding: Vectors = "hv"
    mpp: float | None = None
    hypotheses: Literal[1, 8] = 1
    smallest_um2: float = 0.625
    vectors_from_um2: float = 0.0

    @property
    def semantic_channels(self) -> int:
        """Channels that hold the semantic map."""
        return 1 + self.slots.count if self.slots.typed else 1

    @property
    def channels(self) -> int:
        """All channels."""
        return self.semantic_channels + 2

    def encode(self, instances: Instances, classes: Classes) -> Channels:
        """Channels (c h w) of an instance map (h w) with its classes (n,).

        Class channels are 0 in nuclei that have no slot (`known` says where).
        """
        maps = np.empty((self.channels, *instances.shape), np.float32)
        maps[:-2] = self._semantic(instances, classes)
        maps[-2:] = self._vectors(instances)
        return maps

    def known(self, instances: Instances, classes: Classes) -> Channels:
        """(c h w): 0 in the class channels of nuclei that have no slot, else 1."""
        maps = np.ones((self.channels, *instances.shape), np.float32)
        maps[1:-2] = self.slots.of_pixels(instances, classes) != structure.UNKNOWN
        return maps

    def as_condition(self, maps: Channels) -> Channels:
        """The structure as a painter is given it: the semantic map 0 or 1, no vectors outside nuclei."""
        given = maps.copy()
        given[:-2] = maps[:-2] > 0
        given[-2:] *= self._foreground(maps) >= 0.5
        return given

    def decode(self, maps: Channels) -> tuple[Instances, Classes]:
        """Instance map (h w) and classes (n,) of channels (c h w), noise in them allowed; all 0 if there is no nucleus.

        A nucleus has the class whose channel is highest in it on average.

        Raises:
            UserError: channels that are not finite.
        """
        foreground = self._foreground(maps)
        readings = (self._extract(foreground, vectors) for vectors in self._hypotheses(maps[-2:]))
        instances = max(readings, key=lambda found: int(found.max(initial=0)))
        if not self.slots.typed:
            return instances, self.slots.class_ids(np.ones(instances.max(initial=0), np.uint8))
        votes = maps[1:-2] - maps[1:-2].min() + 1
        return instances, self.slots.class_ids(majority(instances, votes, background=False))

    def picture(self, maps: Channels) -> Image:
        """Channels (c h w) to look at, (h w 3): nuclei on near-black, directions as hues, lengths as their strength.

        Each nucleus is a colour wheel that is white at its centre; what is half there is half as bright.
        """
        along, down = maps[-2:]
        hue = np.degrees(np.arctan2(down, along)) % 360
        colour = np.clip(np.hypot(along, down) * (2 if self.coding == "offsets" else 1), 0, 1)
        light = np.clip(0.08 + 0.92 * self._foreground(maps), 0, 1)
        shown = cv2.cvtColor(np.stack([hue, colour, light], axis=-1).astype(np.float32), cv2.COLOR_HSV2RGB)
        return np.asarray((255 * shown).round(), np.uint8)

    def _semantic(self, instances: Instances, classes: Classes) -> Channels:
        if not self.slots.typed:
            return np.where(instances > 0, 1, -1).astype(np.float32)[None]
        maps = 2 * self.slots.onehot(instances, classes) - 1
        maps[1:, self.slots.of_pixels(instances, classes) == structure.UNKNOWN] = 0
        return maps

    def _vectors(self, instances: Instances) -> Channels:
        if self.coding == "offsets":
            return np.asarray((structure.offsets(instances) / self._reach_px).clip(-1, 1), np.float32)
        least = round(self.vectors_from_um2 / self._mpp**2)
        return structure.hv(instances, self.coding == "released", least).clip(-1, 1)

    def _foreground(self, maps: Channels) -> NDArray[np.float32]:
        """(h w) probability of a nucleus."""
        return np.asarray((1 - maps[0]) / 2 if self.slots.typed else (1 + maps[0]) / 2)

    def _hypotheses(self, vectors: Channels) -> list[Channels]:
        """The vectors (2 h w) as they are first, then under every other choice of axes and signs."""
        if self.hypotheses == 1:
            return [vectors]
        signs = product((vectors, vectors[::-1]), (1, -1), (1, -1))
        return [axes * np.array([x, y], np.float32)[:, None, None] for axes, x, y in signs]

    def _extract(self, foreground: NDArray[np.float32], vectors: Channels) -> Instances:
        if self.coding == "offsets":
            vectors = vectors * self._reach_px
            return offsets.extract(foreground, vectors, scale=0.5 / self._mpp, min_area=self._smallest_px)
        return hover.extract(
            foreground,
            np.moveaxis(vectors, 0, -1),
            ksize=min(max(self._odd(21), 3), LARGEST_SOBEL),
            opening=self._odd(5),
            min_area=self._smallest_px,
        )

    @property
    def _mpp(self) -> float:
        return self.mpp or PUBLISHED_MPP

    @property
    def _reach_px(self) -> float:
        return REACH_UM / self._mpp

    @property
    def _smallest_px(self) -> int:
        return max(round(self.smallest_um2 / self._mpp**2), 1)

    def _odd(self, published_px: int) -> int:
        """A published size at this resolution: the largest odd number not above it (best on CoNSeP at 0.5 um)."""
        return max(2 * int((published_px * PUBLISHED_MPP / self._mpp + 1) / 2) - 1, 1)
