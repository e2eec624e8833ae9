"""SPADE: an image painted for a label in one pass, every norm of the generator modulated by the label.

Park et al., "Semantic image synthesis with spatially-adaptive normalization", CVPR 2019. The label is one-hot classes
with a channel of instance edges, as the release gives it. A style from N(0, 1) decides what the label does not: stain,
texture. Unless labels are given, images are painted for windows of the training tiles' labels. nets.spade_generator
says where the network departs from the release, and why.
"""

from collections.abc import Mapping
from typing import ClassVar

from lightning_fabric import Fabric
from torch import Tensor

from nucleosynth.conditions.edges import label_width
from nucleosynth.config import Settings
from nucleosynth.methods.batches import Group, SlotNoise
from nucleosynth.methods.facts import Facts
from nucleosynth.methods.label_painter import LabelPainter, LabelPainterSettings
from nucleosynth.nets.count import StageCost
from nucleosynth.nets.spade_generator import BASE, PAPER, TINY, SpadeAutoencoder, SpadeGeneratorSettings
from nucleosynth.run import Run
from nucleosynth.stages.spade import SpadeStage, SpadeTraining, cost, paint

STYLE = "style"
"""The noise of a sample."""


class SpadeSettings(LabelPainterSettings):
    """Everything that a run of SPADE is decided by."""

    network: SpadeGeneratorSettings = TINY
    training: SpadeTraining = SpadeTraining(
        batch=16, generator_rate=5e-4, critic_rate=5e-4, decay=0.4, critic_width=32, layers=2
    )

    @property
    def stride(self) -> int:
        """The network's."""
        return self.network.stride

    @property
    def windows(self) -> int:
        """Windows a training step."""
        return self.training.batch


PRESETS = {
    "tiny": SpadeSettings(),
    "base": SpadeSettings(tile=256, mpp=0.25, network=BASE, training=SpadeTraining(batch=16, ema=0.999)),
    "paper": SpadeSettings(
        tile=256, mpp=0.25, network=PAPER, training=SpadeTraining(batch=32, ema=0.9999, perceptual=10.0)
    ),
}


class Spade(LabelPainter[SpadeSettings, SpadeAutoencoder]):
    """A trained SPADE (see methods.method.Method)."""

    name: ClassVar[str] = "spade"
    presets: ClassVar[Mapping[str, Settings]] = PRESETS
    published_classes: ClassVar[int] = 4
    """CoNSeP's, on which it is compared with others that paint nuclei; its own paper paints none."""

    @classmethod
    def cost(cls, settings: SpadeSettings, size: int, classes: int) -> list[StageCost]:
        """One stage, one pass."""
        return [cost(settings.network, label_width(classes), size, cls.stages[0])]

    @classmethod
    def _stage(cls, settings: SpadeSettings, facts: Facts, run: Run, fabric: Fabric) -> SpadeStage:
        return SpadeStage(cls.stages[0], settings.network, settings.training, label_width(facts.slots.count))

    def _paint(self, group: Group, maps: Tensor, seed: int) -> Tensor:
        """Images in styles of their own."""
        noise = SlotNoise(group, {STYLE: (self.settings.network.style,)}, seed, self._fabric.device)
        return paint(self._fabric, self._net, maps, noise.normal(STYLE))
