"""SDM: an image painted for a label by SPADE diffusion.

Wang et al., "Semantic image synthesis via diffusion models", 2022. The label is one-hot classes with a channel of
instance edges; it enters the middle and the decoder of ADM's network alone (nets.spade), and sampling is guided by it.
Unless labels are given, images are painted for windows of the training tiles' labels, so that a run can generate on its
own. As released, sampling takes 1000 steps: "paper" with sampling.sampler=ancestral and sampling.steps=1000.
"""

from collections.abc import Mapping
from typing import ClassVar

from nucleosynth.config import Settings
from nucleosynth.methods.diffusion_painter import DiffusionPainter, DiffusionPainterSettings
from nucleosynth.nets.adm import BASE, PAPER
from nucleosynth.stages.denoising import PUBLISHED, Denoising
from nucleosynth.stages.mask_to_image import PUBLISHED_TRAINING, PaintingSampling, PaintingTraining


class SDMSettings(DiffusionPainterSettings):
    """Everything that a run of SDM is decided by."""


PRESETS = {
    "tiny": SDMSettings(),
    "base": SDMSettings(
        tile=256,
        mpp=0.25,
        network=BASE,
        denoising=Denoising(target="v"),
        training=PaintingTraining(batch=32, learning_rate=5e-4, warmup=500, decay=0.3, ema=0.9995),
        sampling=PaintingSampling(steps=25, guidance=1.5),
    ),
    "paper": SDMSettings(
        tile=256,
        mpp=0.25,
        network=PAPER,
        denoising=PUBLISHED,
        training=PUBLISHED_TRAINING,
        sampling=PaintingSampling(steps=25, guidance=1.5),
    ),
}


class SDM(DiffusionPainter[SDMSettings]):
    """A trained SDM (see methods.method.Method)."""

    name: ClassVar[str] = "sdm"
    presets: ClassVar[Mapping[str, Settings]] = PRESETS
    published_classes: ClassVar[int] = 149
