"""SPADE: an image painted for a label in one pass, every norm of the generator modulated by the label.

Park et al., "Semantic image synthesis with spatially-adaptive normalization", CVPR 2019. The label is one-hot classes
with a channel of instance edges, as the release gives it. A style from N(0, 1) and white noise decide what the label
does not: stain and texture; preset "paper" has a style alone, as published. Unless labels are given, images are painted
for windows of the training tiles' labels.
nets.spade_generator says where the network departs from the release, and why.
"""

from collections.abc import Mapping
from functools import partial
from typing import ClassVar

from lightning_fabric import Fabric
from torch import Tensor

from nucleosynth.conditions.edges import label_width
from nucleosynth.config import Settings
from nucleosynth.encoders import vgg
from nucleosynth.methods.batches import Group, SlotNoise
from nucleosynth.methods.facts import Facts
from nucleosynth.methods.game_painter import GamePainter, GamePainterSettings
from nucleosynth.nets.count import StageCost
from nucleosynth.nets.patchgan import CriticSettings
from nucleosynth.nets.spade_generator import BASE, PAPER, TINY, SpadeAutoencoder
from nucleosynth.run import Run
from nucleosynth.stages.spade import LabelToImageSettings, SpadeStage, SpadeTraining, cost, paint

STYLE, TEXTURE = "style", "texture"
"""The noise of a sample."""


class SpadeSettings(LabelToImageSettings, GamePainterSettings):
    """Everything that a run of SPADE is decided by."""

    @property
    def stride(self) -> int:
        """The network's."""
        return self.network.stride


PRESETS = {
    "tiny": SpadeSettings(
        network=TINY,
        critic=CriticSettings(width=32, layers=2, spectral=True),
        training=SpadeTraining(batch=16, generator_rate=5e-4, critic_rate=5e-4, decay=0.4),
    ),
    "base": SpadeSettings(
        tile=256, mpp=0.25, network=BASE, training=SpadeTraining(batch=16, ema=0.999, perceptual=10.0)
    ),
    "paper": SpadeSettings(
        tile=256, mpp=0.25, network=PAPER, texture=0, training=SpadeTraining(batch=32, ema=0.0, perceptual=10.0)
    ),
}


class Spade(GamePainter[SpadeSettings, SpadeAutoencoder]):
    """A trained SPADE (see methods.method.Method)."""

    name: ClassVar[str] = "spade"
    presets: ClassVar[Mapping[str, Settings]] = PRESETS
    published_classes: ClassVar[int] = 4
    """CoNSeP's, on which it is compared with others that paint nuclei; its own paper paints none."""

    @classmethod
    def cost(cls, settings: SpadeSettings, size: int, classes: int) -> list[StageCost]:
        """One stage, one pass."""
        return [cost(settings, label_width(classes), size, cls.stages[0])]

    @classmethod
    def _stage(cls, settings: SpadeSettings, facts: Facts, run: Run, fabric: Fabric) -> SpadeStage:
        maps = partial(vgg.load, settings.training.perceptual_weights)
        return SpadeStage(cls.stages[0], settings, label_width(facts.slots.count), maps)

    def _paint(self, group: Group, maps: Tensor, seed: int) -> Tensor:
        """Images in styles of their own."""
        shapes = {STYLE: (self.settings.network.style,), TEXTURE: (self.settings.texture, *group.size)}
        noise = SlotNoise(group, shapes, seed, self._fabric.device)
        return paint(self._fabric, self._net, maps, noise.normal(TEXTURE), noise.normal(STYLE))
