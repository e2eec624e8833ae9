"""Images and captions brought together: CLIP's contrastive training (Radford et al., ICML 2021).

Many windows of histology have the same caption, and a window is no wrong answer to a caption that it shares: as in
UniCL (Yang et al., CVPR 2022) all pairs of a batch with equal captions count as right, in equal parts.
"""

from typing import NamedTuple

import torch
from lightning_fabric import Fabric
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from nucleosynth.stages.training import AveragedStage, TrainingSettings
from nucleosynth.training.checkpoint import Moment


class ContrastSettings(TrainingSettings):
    """How both towers are trained."""

    batch: int = Field(64, ge=2)
    """Pairs a step, each against all others."""
    colour: float = Field(0.1, ge=0)
    """Spread of the random gain and shift of each channel of an image, in shares of its range."""


class Pairs(NamedTuple):
    """Images (b 3 h w) in [-1, 1], word ids (b n), and (b,) a number for each different caption."""

    images: Tensor
    ids: Tensor
    captions: Tensor


class ContrastStage(AveragedStage[nn.Module]):
    """A network of two towers in training: (images, ids) to vectors (b d), vectors (b d), scale.

    prepare: images in [-1, 1] as the network takes them.
    """

    def __init__(self, name: str, net: nn.Module, settings: ContrastSettings, prepare: nn.Module) -> None:
        super().__init__(name, net, [each for each in net.parameters() if each.ndim == 2], settings)
        self.settings, self.prepare = settings, prepare

    def step(self, fabric: Fabric, batch: Pairs, moment: Moment) -> dict[str, Tensor]:
        """One step; "right": the share of images whose nearest caption is their own."""
        images, ids, captions = (part.to(fabric.device) for part in batch)
        seen, said, scale = self.wrapped(self.prepare(recoloured(images, self.settings.colour)), ids)
        logits = similarity(seen.float(), said.float(), scale.float())
        same = captions[:, None] == captions
        loss = contrast(logits, same)
        self.descend(fabric, loss, moment)
        return {"contrast": loss, "right": same.gather(1, logits.argmax(dim=1, keepdim=True)).float().mean()}


def similarity(images: Tensor, captions: Tensor, scale: Tensor) -> Tensor:
    """Scaled cosines (n m) of vectors (n d) and (m d)."""
    return scale * functional.normalize(images, dim=1) @ functional.normalize(captions, dim=1).T


def contrast(logits: Tensor, same: Tensor) -> Tensor:
    """Cross entropy of each image over the captions and of each caption over the images, their mean.

    logits: (b b); same: (b b) bool, symmetric, True on the diagonal: which pairs are right, in equal parts.
    """
    target = same.float() / same.sum(dim=1, keepdim=True)
    return torch.stack([functional.cross_entropy(each, target) for each in (logits, logits.T)]).mean()


def recoloured(images: Tensor, spread: float) -> Tensor:
    """Images (b 3 h w) in [-1, 1] with a random gain and shift of each channel, by torch's seed; drawn on the CPU."""
    gain, shift = (spread * torch.randn(2, len(images), 3, 1, 1)).to(images.device)
    return (images * (1 + gain) + shift).clamp(-1, 1)  # type: ignore[no-any-return]
