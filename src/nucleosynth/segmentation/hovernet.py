"""HoVer-Net, the judge: which pixels are nuclei, where their centres lie, of which type they are.

Graham et al., HoVer-Net, Medical Image Analysis 2019. `resnet50` is the published network (takes the released weights)
with the published schedule, mended in three places: slopes of the HV loss along their own axes, exact HV targets, and a
contrast step that works. `released` has the released code's ways instead of these three; what still departs from it
stands in augment.py and losses.py. `resnet34` is the smaller sister of resnet50, `tiny` a compact network that trains
on a CPU and regresses centroid offsets in px where the published ones regress normalised distances.
"""

from collections.abc import Mapping
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator
from torch import nn

from nucleosynth import config
from nucleosynth.config import Settings
from nucleosynth.segmentation.augment import RELEASED, Augmentation
from nucleosynth.segmentation.losses import LossWeights
from nucleosynth.segmentation.networks.compact import CompactHoVerNet
from nucleosynth.segmentation.networks.published import STRIDE, Mode, PublishedHoVerNet, lost_px
from nucleosynth.segmentation.schedule import Phase

Coding = Literal["offsets", "hover"]


class HoVerNetSettings(Settings):
    """The judge: network, resolution and training. The defaults are those of preset "tiny"."""

    network: Literal["compact", "bottleneck", "basic"] = "compact"
    """The compact network, or the published one with a ResNet50's bottleneck units or a ResNet34's basic units."""
    mode: Mode = "same"
    """Maps as large as the image; or, of the published network, 256 -> 164 (fast) and 270 -> 80 (original)."""
    width: int = Field(32, ge=8)
    """Channels of the encoder's first 3x3 convolutions; each stage doubles them."""
    blocks: tuple[int, int, int, int] = (2, 2, 2, 2)
    """Residual blocks of each encoder stage."""
    stem_stride: Literal[1, 2] = 2
    """Stride of the first convolution; the paper's is 1, four times the work."""
    dense: tuple[int, int] = (4, 2)
    """Dense units of each decoder, deep and shallow."""
    weights: str = "none"
    """What training starts from: none, imagenet (where torch hub keeps it), imagenet:download, or a file."""
    coding: Coding = "offsets"
    """What the field decoder regresses: offsets to the nucleus's centre in px, or the paper's HV distances in -1..1."""
    offset_px: float = Field(2.0, gt=0)
    """The offset that is regressed as 1."""
    released_targets: bool = False
    """HV distances as the released code makes them: one px off, none in pieces under 30 px of the maps."""
    mpp: float = Field(0.5, gt=0)
    """Micrometres per pixel that the network works at; tiles are brought there, predictions brought back."""
    crop: int = Field(128, ge=16)
    """Side of a training window in px."""
    batch: int = Field(4, ge=1)
    """Windows in a training step, real and synthetic together."""
    synthetic_share: float = Field(0.5, ge=0, le=1)
    """Share of the windows that are synthetic, where synthetic tiles are given."""
    learning_rate: float = Field(3e-3, gt=0)
    """AdamW's rate after the warm-up; it falls to zero as a half cosine."""
    warmup: float = Field(0.05, gt=0, lt=1)
    """Share of the budget in which the rate rises."""
    phases: tuple[Phase, ...] = ()
    """Parts of the training; where there are any, batch, rate and its course are theirs."""
    weight_decay: float = Field(1e-2, ge=0)
    """AdamW's weight decay; at 0 it is Adam."""
    window: int = Field(256, ge=64)
    """Side of a window in prediction, px."""
    margin: int = Field(32, ge=0)
    """Border of that window that sees too little around it and is dropped, px."""
    vote_smoothing: float = Field(2.0, gt=0)
    """How many times wider the votes of regressed offsets are smoothed than those of exact ones need."""
    least_um2: float = Field(2.5, ge=0)
    """Nuclei found from offsets that are smaller are dropped, square micrometres."""
    losses: LossWeights = LossWeights(field=4.0, type_dice=0.2)
    """Weights of the losses. Centres are learnt last; the Dice of types that a small batch lacks is mostly noise."""
    augmentation: Augmentation = Augmentation()
    """How training windows are varied."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if 2 * self.margin >= self.window:
            raise ValueError(f"a margin below half the window of {self.window} px, not {self.margin}")
        if self.network == "compact" and self.mode != "same":
            raise ValueError(f"mode same for the compact network, not {self.mode}, which the published one has")
        if self.network != "compact" and self.stem_stride != 1:
            raise ValueError(f"stem_stride 1 for the published network, not {self.stem_stride}")
        if self.phases and abs(sum(phase.share for phase in self.phases) - 1) > 1e-6:
            raise ValueError(f"phases whose shares add up to 1, not {sum(phase.share for phase in self.phases):g}")
        if self.network == "compact" and any(phase.frozen for phase in self.phases):
            raise ValueError("no frozen phase for the compact network, not one with frozen = true")
        for name in ("crop", "window"):
            self._check_side(name, getattr(self, name))
        if 2 * self.margin < self.lost_px:
            raise ValueError(f"a margin of at least {self.lost_px // 2} px in mode {self.mode}, not {self.margin}")
        return self

    def _check_side(self, name: str, side: int) -> None:
        cut = 6 if self.mode == "original" else 0
        if self.mode != "same" and ((side - cut) % STRIDE or self.output_px(side) < STRIDE):
            least = self.lost_px + STRIDE + -(self.lost_px + STRIDE - cut) % STRIDE
            raise ValueError(f"a {name} of {least}, {least + STRIDE}, ... px in mode {self.mode}, not {side}")

    @property
    def lost_px(self) -> int:
        """By how much maps are smaller than their window, px, both sides together."""
        return 0 if self.network == "compact" else lost_px(self.dense, self.mode)

    def output_px(self, side: int) -> int:
        """Side of the maps of a window of `side` px."""
        return side - self.lost_px


def in_mode(settings: HoVerNetSettings, mode: str, where: str = "--mode") -> HoVerNetSettings:
    """The settings in another mode, with the sizes that belong to it.

    Raises:
        UserError: no such mode, or one that the network does not have.
    """
    sizes = {"fast": (256, 46), "original": (270, 95), "same": (settings.window, settings.margin)}
    window, margin = sizes.get(mode, sizes["same"])
    crop = window if mode in ("fast", "original") else settings.crop
    changes = {"mode": mode, "window": window, "crop": crop, "margin": margin}
    return config.resolve(settings, changes if mode != settings.mode else {}, where)


_PHASE = {"learning_rate": 1e-4, "decay_at": 0.5, "decay": 0.1}
# Steps of an epoch go as one over the batch: two phases of 50 epochs, of batches of 16 and 4, are as 1 to 4.
RELEASED_PHASES = (Phase(share=0.2, frozen=True, batch=16, **_PHASE), Phase(share=0.8, batch=4, **_PHASE))
"""The released schedule: 50 epochs with the encoder frozen, 50 with all, Adam at 1e-4, a tenth of it after 25."""
_RESNET50 = HoVerNetSettings(
    network="bottleneck",
    mode="fast",
    width=64,
    blocks=(3, 4, 6, 3),
    stem_stride=1,
    dense=(8, 4),
    coding="hover",
    mpp=0.25,
    crop=256,
    window=256,
    margin=46,
    phases=RELEASED_PHASES,
    weight_decay=0,
    losses=LossWeights(),
    augmentation=RELEASED,
)
_RELEASED = {
    "released_targets": True,
    "losses": LossWeights(crossed_gradients=True),
    "augmentation": RELEASED.model_copy(update={"contrast": 0.0}),
}


class HoVerNet:
    """The judge as the catalog knows it: its presets, and how its networks are made."""

    name: ClassVar[str] = "hovernet"
    presets: ClassVar[Mapping[str, HoVerNetSettings]] = {
        "tiny": HoVerNetSettings(),
        "resnet34": _RESNET50.model_copy(update={"network": "basic"}),
        "resnet50": _RESNET50,
        "released": _RESNET50.model_copy(update=_RELEASED),
    }

    @staticmethod
    def build(settings: HoVerNetSettings, classes: int) -> nn.Module:
        """The network of some settings, for tiles with `classes` named classes (with one or none, no types)."""
        width, blocks, dense = settings.width, settings.blocks, settings.dense
        if settings.network == "compact":
            return CompactHoVerNet(classes, width=width, blocks=blocks, dense=dense, stem_stride=settings.stem_stride)
        unit, mode = settings.network, settings.mode
        return PublishedHoVerNet(classes, unit=unit, width=width, blocks=blocks, dense=dense, mode=mode)
