"""SPADE: an image painted for a label in one pass, every norm of the generator modulated by the label.

Park et al., "Semantic image synthesis with spatially-adaptive normalization", CVPR 2019. The label is one-hot classes
with a channel of instance edges, as the release gives it. A style from N(0, 1) and white noise decide what the label
does not: stain and texture. Unless labels are given, images are painted for windows of the training tiles' labels.
nets.spade_generator says where the network departs from the release, and why.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import ClassVar

from lightning_fabric import Fabric
from torch import Tensor

from nucleosynth.conditions.edges import label_width
from nucleosynth.config import Settings
from nucleosynth.encoders import vgg
from nucleosynth.methods.batches import Group, SlotNoise
from nucleosynth.methods.facts import Facts, common
from nucleosynth.methods.label_painter import LabelPainter, LabelPainterSettings
from nucleosynth.nets.count import StageCost
from nucleosynth.nets.patchgan import CriticSettings
from nucleosynth.nets.spade_generator import BASE, PAPER, TINY, SpadeAutoencoder
from nucleosynth.run import Run
from nucleosynth.sample import Sample
from nucleosynth.stages.spade import LabelToImageSettings, SpadeStage, SpadeTraining, cost, paint

STYLE, TEXTURE = "style", "texture"
"""The noise of a sample."""


class SpadeSettings(LabelToImageSettings, LabelPainterSettings):
    """Everything that a run of SPADE is decided by."""

    @property
    def stride(self) -> int:
        """The network's."""
        return self.network.stride

    @property
    def windows(self) -> int:
        """Windows a training step."""
        return self.training.batch

    def check_files(self) -> None:
        """Refuse a file of VGG19 that is not there.

        Raises:
            UserError: see above.
        """
        vgg.told(self.training.perceptual, self.training.perceptual_weights)


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
        tile=256, mpp=0.25, network=PAPER, training=SpadeTraining(batch=32, ema=0.0, perceptual=10.0)
    ),
}


class SpadeFacts(Facts):
    """What a run of SPADE learned before training."""

    perceptual: str
    """The file of VGG19 that the perceptual loss used, or "off"."""


class Spade(LabelPainter[SpadeSettings, SpadeAutoencoder]):
    """A trained SPADE (see methods.method.Method)."""

    name: ClassVar[str] = "spade"
    presets: ClassVar[Mapping[str, Settings]] = PRESETS
    published_classes: ClassVar[int] = 4
    """CoNSeP's, on which it is compared with others that paint nuclei; its own paper paints none."""

    @classmethod
    def facts_of(cls, tiles: Sequence[Sample], settings: SpadeSettings) -> Facts:
        """What every method learns of its tiles, and what its perceptual loss compares."""
        training = settings.training
        return SpadeFacts(**common(tiles), perceptual=vgg.told(training.perceptual, training.perceptual_weights))

    @classmethod
    def read_facts(cls, run: Run) -> Facts:
        """What a run learned."""
        return SpadeFacts.model_validate(run.read_facts())

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
