"""pix2pixHD: an image for a label in one pass, judged by patches.

Wang et al., "High-resolution image synthesis and semantic manipulation with conditional GANs", CVPR 2018. The label is
one-hot classes with one channel of instance edges. As published, one label has one image; noise beside the label (ours)
gives it many. "paper" paints with the local enhancer, "paper-global" with the global generator alone; nuclei were
painted by both at 256 px in the comparison of DAFF-GAN's paper, whose schedule is theirs.
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
from nucleosynth.nets.pix2pixhd import Pix2PixHDSettings
from nucleosynth.run import Run
from nucleosynth.stages import image_to_image
from nucleosynth.stages.image_to_image import (
    TINY,
    ImageToImageSettings,
    ImageToImageStage,
    ImageToImageTraining,
    Phased,
    paint,
)

NOISE = "noise"


class Pix2PixHDRunSettings(ImageToImageSettings, GamePainterSettings):
    """Everything that a run of pix2pixHD is decided by."""

    @property
    def stride(self) -> int:
        """The network's."""
        return self.network.stride


PUBLISHED = ImageToImageTraining(batch=1, ema=0.0, adversarial=2.0, perceptual=10.0)
"""As released: images one by one, no moving average, adversarial losses summed over its 2 scales."""
PRESETS = {
    "tiny": Pix2PixHDRunSettings(**dict(TINY)),
    "base": Pix2PixHDRunSettings(
        tile=256,
        mpp=0.25,
        network=Pix2PixHDSettings(noise=4),
        training=ImageToImageTraining(batch=16, ema=0.999, adversarial=2.0, perceptual=10.0, diversity=1.0),
    ),
    "paper": Pix2PixHDRunSettings(tile=256, mpp=0.25, training=PUBLISHED),
    "paper-global": Pix2PixHDRunSettings(
        tile=256, mpp=0.25, network=Pix2PixHDSettings(local_width=0), training=PUBLISHED
    ),
}


class Pix2PixHD(GamePainter[Pix2PixHDRunSettings, Phased]):
    """A trained pix2pixHD (see methods.method.Method)."""

    name: ClassVar[str] = "pix2pixhd"
    presets: ClassVar[Mapping[str, Settings]] = PRESETS
    published_classes: ClassVar[int] = 4

    @classmethod
    def cost(cls, settings: Pix2PixHDRunSettings, size: int, classes: int) -> list[StageCost]:
        """One stage, one pass."""
        return [image_to_image.cost(settings, label_width(classes), 3, size, cls.stages[0])]

    @classmethod
    def _stage(cls, settings: Pix2PixHDRunSettings, facts: Facts, run: Run, fabric: Fabric) -> ImageToImageStage:
        maps = partial(vgg.load, settings.training.perceptual_weights)
        return ImageToImageStage(cls.stages[0], settings, label_width(facts.slots.count), 3, maps=maps)

    def _paint(self, group: Group, maps: Tensor, seed: int) -> Tensor:
        channels = self.settings.network.noise
        noise = SlotNoise(group, {NOISE: (channels, *group.size)}, seed, self._fabric.device)
        return paint(self._fabric, self._net, maps, noise.normal(NOISE))
