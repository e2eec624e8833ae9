"""What JointFlow's network is told of conditions: sides that are known, and all that stands beside the state."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nucleosynth.conditions import counts as counting
from nucleosynth.conditions import proportions as proportional
from nucleosynth.conditions.coding import LabelCoding
from nucleosynth.data.crops import network_image, point_channels
from nucleosynth.data.tiles import resize_image, resize_label, resize_points, size_at
from nucleosynth.encoders import text as texts
from nucleosynth.encoders.text import TextEncoder
from nucleosynth.methods.batches import Group, own_size, padded
from nucleosynth.methods.jointflow_presets import JointFlowFacts, JointFlowSettings
from nucleosynth.sample import Condition, Image
from nucleosynth.stages.joint import GROUPS, JointSizes, Told, standardised

SIDES: Mapping[str, str] = {"image": "image", "label": "instances"}
"""Group of the state -> the field of a Condition that gives it."""


@dataclass(frozen=True)
class Asking:
    """Conditions as the network takes them: with the settings, facts and encoder of a run."""

    settings: JointFlowSettings
    facts: JointFlowFacts
    coding: LabelCoding
    encoder: TextEncoder

    @property
    def sizes(self) -> JointSizes:
        """What of this decides the network."""
        return JointSizes.of(self.coding, len(self.facts.tissues), texts.shape_of(self.encoder))

    def told(self, group: Group) -> Told:
        """What a group's conditions ask for beside its sides, and which pixels of these are known."""
        captions = [""] * group.width
        for slot in group.slots:
            captions[slot.position] = slot.condition.caption or ""
        found = silence(self.coding, len(self.facts.tissues), self.settings.tile, group.width, group.size)
        text = *self.encoder(captions), torch.tensor([float(bool(caption)) for caption in captions])
        found = found._replace(text=text)
        for slot in group.slots:
            asked, own = slot.condition, own_size(slot.condition, self.settings.mpp)
            for name, value in self._asked(asked, own):
                values, told = getattr(found, name)
                values[slot.position] = torch.from_numpy(padded(value, group.size) if name == "points" else value)
                told[slot.position] = 1
            if asked.known is not None:
                known = torch.from_numpy(padded(_region(asked.known, own), group.size))
                for name, field in SIDES.items():
                    if getattr(asked, field) is not None:
                        found.known[slot.position, GROUPS.index(name)] = known.float()
        return found

    def sides(self, group: Group) -> Iterator[tuple[str, int, Tensor]]:
        """The given sides of a group, whole: the name in the state, the place in the batch, values (c h w)."""
        for slot in group.slots:
            asked, own = slot.condition, own_size(slot.condition, self.settings.mpp)
            if asked.image is not None:
                image = self._standardised(resize_image(asked.image, own))
                yield "image", slot.position, torch.from_numpy(padded(image, group.size))
            if asked.instances is not None and asked.classes is not None:
                label = self.coding.encode(*resize_label(asked.instances, asked.classes, own))
                yield "label", slot.position, torch.from_numpy(padded(label, group.size))

    def _asked(self, asked: Condition, own: tuple[int, int]) -> Iterator[tuple[str, NDArray[np.float32]]]:
        """Parts of `Told` that a condition gives, as numbers; own: its size at the method's resolution.

        Points say how many nuclei there are, too: a layout without any asks for none.
        """
        told_apart, settings, counts = self.coding.told_apart, self.settings, asked.counts
        if asked.points is not None:
            layout = resize_points(asked.points, own, settings.mpp)
            yield "points", point_channels(layout, self.coding, settings.splat_px)
            if counts is None:
                counts = counting.from_classes(layout.classes, len(asked.class_names))
        if counts is not None:
            share = own[0] * own[1] / settings.tile**2
            yield "counts", counting.amounts(counts, told_apart, share)
        if asked.proportions is not None:
            yield "proportions", proportional.amounts(asked.proportions, told_apart)
        if asked.tissue in self.facts.tissues:
            yield "tissue", np.array([asked.tissue == name for name in self.facts.tissues], np.float32)
        if asked.reference is not None:
            image = asked.reference
            if settings.mpp is not None and asked.mpp is not None:
                image = resize_image(image, size_at((image.shape[0], image.shape[1]), asked.mpp, settings.mpp))
            yield "reference", self._standardised(_middle(image, settings.tile))

    def _standardised(self, image: Image) -> NDArray[np.float32]:
        return standardised(torch.from_numpy(network_image(image)), self.facts.colours).numpy()


def silence(coding: LabelCoding, tissues: int, tile: int, width: int, size: tuple[int, int]) -> Told:
    """Nothing told, of `width` tiles of `size` (h w) px; text has no tokens."""
    kinds = 1 + len(coding.told_apart)

    def nothing(*shape: int) -> tuple[Tensor, Tensor]:
        return torch.zeros(width, *shape), torch.zeros(width)

    return Told(
        points=nothing(kinds, *size),
        counts=nothing(kinds),
        proportions=nothing(kinds),
        tissue=nothing(tissues),
        text=(torch.zeros(width, 0, dtype=torch.int64), torch.zeros(width, 0, dtype=torch.bool), torch.zeros(width)),
        reference=nothing(3, tile, tile),
        known=torch.zeros(width, len(GROUPS), *size),
    )


def _region(known: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.bool_]:
    """A region at another size (h w): a pixel is known if its place is."""
    return cv2.resize(known.astype(np.uint8), size[::-1], interpolation=cv2.INTER_NEAREST_EXACT) > 0


def _middle(image: Image, side: int) -> Image:
    """The middle side^2 px of an image; a smaller one is mirrored."""
    extra = [max(side - extent, 0) for extent in image.shape[:2]]
    image = np.pad(image, ((0, extra[0]), (0, extra[1]), (0, 0)), mode="symmetric")
    top, left = ((extent - side) // 2 for extent in image.shape[:2])
    return np.ascontiguousarray(image[top : top + side, left : left + side])
