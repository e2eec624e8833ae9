"""What SDM and DiffMix share beside painting labels at all: SPADE diffusion paints them (stages.mask_to_image)."""

from typing import ClassVar, TypeVar

from lightning_fabric import Fabric
from torch import Tensor

from nucleosynth.conditions.edges import label_width
from nucleosynth.methods.batches import Group, SlotNoise
from nucleosynth.methods.facts import Facts
from nucleosynth.methods.label_painter import LabelPainter, LabelPainterSettings
from nucleosynth.nets.count import StageCost
from nucleosynth.nets.spade import SpadeADM
from nucleosynth.run import Run
from nucleosynth.stages.mask_to_image import GROUP, MaskToImageSettings, MaskToImageStage, cost, paint


class DiffusionPainterSettings(MaskToImageSettings, LabelPainterSettings):
    """Everything that a run of such a method is decided by."""

    @property
    def stride(self) -> int:
        """The network's."""
        return self.network.stride

    @property
    def windows(self) -> int:
        """Windows a training step."""
        return self.training.batch


S = TypeVar("S", bound=DiffusionPainterSettings)


class DiffusionPainter(LabelPainter[S, SpadeADM]):
    """A trained painter of labels by diffusion (see methods.method.Method)."""

    name: ClassVar[str]

    @classmethod
    def cost(cls, settings: S, size: int, classes: int) -> list[StageCost]:
        """One stage; an image from noise."""
        return [cost(settings, label_width(classes), size, cls.stages[0])]

    @classmethod
    def _stage(cls, settings: S, facts: Facts, run: Run, fabric: Fabric) -> MaskToImageStage:
        return MaskToImageStage(cls.stages[0], settings, label_width(facts.slots.count))

    def _paint(self, group: Group, maps: Tensor, seed: int, start: Tensor | None = None, share: float = 1.0) -> Tensor:
        """Images from noise, or from others; start, share: as of stages.mask_to_image.paint."""
        noise = SlotNoise(group, {GROUP: (3, *group.size)}, seed, self._fabric.device)
        return paint(self._fabric, self._net, maps, noise, self.settings, start=start, share=share)
