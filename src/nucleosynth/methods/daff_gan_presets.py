"""What a run of DAFF-GAN is decided by, and its presets.

"paper" has the published networks, games and schedule (100 epochs, then 100 in which the rates fall: `decay` .5) and no
noise: one image for a layout, as published. Where the paper gives two scales to the critic of the global generator and
three to the local one's, one critic of three judges all phases; its adversarial losses are summed over them.
"paper-global" has the global generators alone, at full resolution, and their critic of two scales.
"""

from math import lcm
from typing import Self

from pydantic import Field, model_validator

from nucleosynth.layouts.library import SamplingSettings
from nucleosynth.methods.game_painter import compared
from nucleosynth.methods.tiles import TileSettings
from nucleosynth.nets.patchgan import CriticSettings
from nucleosynth.nets.pix2pixhd import Pix2PixHDSettings
from nucleosynth.stages.image_to_image import TINY, ImageToImageSettings, ImageToImageTraining


class DaffGanSettings(TileSettings):
    """Everything that a run of DAFF-GAN is decided by."""

    disc_px: float = Field(3.0, gt=0)
    """Radius of the disc that a point is shown as, px."""
    blur_px: float = Field(0.0, ge=0)
    """Standard deviation of a Gaussian in its place, px; 0 = the disc."""
    layouts: SamplingSettings = SamplingSettings()
    mask_share: float = Field(0.4, gt=0, lt=1)
    """Share of the budget that trains masks; the rest trains images."""
    likeness: float = Field(1.0, ge=0)
    """Weight of the cross-entropy and the distance's error, beside the game that masks are trained in."""
    mask: ImageToImageSettings
    image: ImageToImageSettings

    @property
    def stride(self) -> int:
        """Sides that both networks can halve."""
        return lcm(self.mask.network.stride, self.image.network.stride)

    @model_validator(mode="after")
    def _masks_are_no_images(self) -> Self:
        """VGG19 compares RGB alone."""
        if self.mask.training.perceptual:
            raise ValueError(
                "a perceptual loss for images alone (mask.training.perceptual is "
                f"{self.mask.training.perceptual:g}; image.training.perceptual takes one)"
            )
        return self

    def check_files(self) -> None:
        """Refuse a file of VGG19 that is not there.

        Raises:
            UserError: see above.
        """
        compared(self.image.training)


DAFF = {"attention": 2, "long_skip": True}
"""What makes pix2pixHD's generator DAFF-GAN's."""


def _network(**changes: int) -> Pix2PixHDSettings:
    return Pix2PixHDSettings.model_validate({**DAFF, **changes})


def _game(**changes: float) -> ImageToImageTraining:
    return ImageToImageTraining.model_validate(changes)


def _published(scales: int, **changes: int) -> DaffGanSettings:
    """Both games with that many scales of their critics, over which adversarial losses are summed."""
    game = ImageToImageSettings(
        network=_network(**changes),
        critic=CriticSettings(scales=scales),
        training=_game(batch=1, ema=0.0, adversarial=scales),
    )
    seen = game.training.model_copy(update={"perceptual": 10.0})
    return DaffGanSettings(tile=256, mpp=0.25, mask=game, image=game.model_copy(update={"training": seen}))


_SMALL = TINY.model_copy(update={"network": TINY.network.model_copy(update=DAFF)})
PRESETS = {
    "tiny": DaffGanSettings(disc_px=1.5, likeness=3.0, mask=_SMALL, image=_SMALL),
    "base": DaffGanSettings(
        tile=256,
        mpp=0.25,
        mask=ImageToImageSettings(network=_network(noise=4), training=_game(batch=16, ema=0.999, diversity=1.0)),
        image=ImageToImageSettings(
            network=_network(noise=4), training=_game(batch=16, ema=0.999, perceptual=10.0, diversity=1.0)
        ),
    ),
    "paper": _published(scales=3),
    "paper-global": _published(scales=2, local_width=0),
}
