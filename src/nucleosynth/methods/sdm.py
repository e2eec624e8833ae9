"""SDM: an image painted for a label by SPADE diffusion.

Wang et al., "Semantic image synthesis via diffusion models", 2022. The label is one-hot classes with a channel of
instance edges; it enters the middle and the decoder of ADM's network alone (nets.spade), and sampling is guided by it.
Unless labels are given, images are painted for windows of the training tiles' labels, so that a run can generate on its
own. As released, sampling takes 1000 steps: "paper" with sampling.sampler=ancestral and sampling.steps=1000.
"""

from collections.abc import Iterator, Mapping
from itertools import count as naturals
from typing import ClassVar

from nucleosynth.config import Settings
from nucleosynth.methods.kept import kept_windows
from nucleosynth.methods.label_painter import LabelPainter, LabelPainterSettings
from nucleosynth.nets.adm import BASE, PAPER
from nucleosynth.sample import Condition
from nucleosynth.seeds import generator_of
from nucleosynth.stages.denoising import PUBLISHED, Denoising
from nucleosynth.stages.mask_to_image import PUBLISHED_TRAINING, PaintingSampling, PaintingTraining

LABEL_KEY = 1
"""Beside (seed, k): which window's label sample k is painted for."""


class SDMSettings(LabelPainterSettings):
    """Everything that a run of SDM is decided by."""


PRESETS = {
    "tiny": SDMSettings(),
    "base": SDMSettings(
        tile=256,
        mpp=0.25,
        network=BASE,
        denoising=Denoising(target="v"),
        training=PaintingTraining(batch=32, learning_rate=5e-4, warmup=500, decay=0.3, ema=0.9995),
        sampling=PaintingSampling(steps=25),
    ),
    "paper": SDMSettings(
        tile=256,
        mpp=0.25,
        network=PAPER,
        denoising=PUBLISHED,
        training=PUBLISHED_TRAINING,
        sampling=PaintingSampling(steps=25),
    ),
}


class SDM(LabelPainter[SDMSettings]):
    """A trained SDM (see methods.method.Method)."""

    name: ClassVar[str] = "sdm"
    presets: ClassVar[Mapping[str, Settings]] = PRESETS
    published_classes: ClassVar[int] = 149

    def default_conditions(self, seed: int, start: int = 0, size: tuple[int, int] | None = None) -> Iterator[Condition]:
        """Labels of windows of the training tiles, drawn by (seed, k).

        Raises:
            UserError: a size above those of training and of every training tile.
        """
        height, width = size or self.size
        crops = kept_windows(self._tiles(), (height, width), self.size)

        def label(k: int) -> Condition:
            window = crops.draw(generator_of(seed, k, LABEL_KEY)).crop(0, 0, height, width)
            return Condition(
                window.size,
                window.mpp,
                self.class_names,
                window.tissue,
                window.stain,
                instances=window.instances,
                classes=window.classes,
                source=window.source,
                licence=window.licence,
            )

        return map(label, naturals(start))
