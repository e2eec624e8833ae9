"""CGPN-GAN's game: an image for a map and a sentence, judged by patches, and through CLIP by what the sentence says.

Zhang et al., "CLIP-guided generative network for pathology nuclei image augmentation", Medical Image Analysis 2025. The
pair of CLIP towers is frozen and no part of the stage's checkpoint; a gradient runs through its image tower to the
generator. A real image beside another's sentence is a third kind of fake, as in GALIP (Tao et al., CVPR 2023), which
the release dropped. Ours, each 0 as published: feature matching, mask consistency, perceptual loss, and images that
differ as their noise does (`diversity`), for a generator that is told so much soon stops hearing it.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple, Protocol, Self

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from nucleosynth.adversarial import losses
from nucleosynth.adversarial.losses import Kind
from nucleosynth.config import Settings
from nucleosynth.nets.cgpn import CGPN, TINY, CGPNSettings, ClipCritic, Reader
from nucleosynth.nets.count import StageCost
from nucleosynth.nets.patchgan import CriticSettings, logits
from nucleosynth.stages.game import Game, Judgement
from nucleosynth.stages.judged import DiverseSettings, alike, beside, taught
from nucleosynth.training.checkpoint import Moment

CLIP, PATCH, READER = "clip_critic", "patch_critic", "reader"
MAPS = 3
"""Blocks of CLIP's image tower that are looked at."""


class Seen(Protocol):
    """What CLIP sees in images: a vector for each (b d), and the outputs of `MAPS` blocks, (b c g g) each."""

    @property
    def embedding(self) -> Tensor:
        """(b d)."""

    @property
    def maps(self) -> tuple[Tensor, ...]:
        """(b c g g) each."""


class Pair(Protocol):
    """Both towers of a CLIP, frozen (encoders.clip_pair.ClipPair): width d, map_width c, map_side g."""

    @property
    def width(self) -> int:
        """Numbers of a vector."""

    @property
    def map_width(self) -> int:
        """Channels of a map."""

    @property
    def map_side(self) -> int:
        """Its side."""

    def to(self, device: torch.device) -> Self:
        """The same pair, moved there."""

    def text(self, captions: Sequence[str], /) -> Tensor:
        """Vectors (b d), without a gradient."""

    def image(self, images: Tensor, /) -> Seen:
        """What is seen in images (b 3 h w) in [-1, 1], with a gradient to them."""


class CGPNTraining(DiverseSettings):
    """How the generator and its critics are trained."""

    generator_rate: float = Field(1e-4, gt=0)
    """Learning rate of the generator."""
    critic_rate: float = Field(4e-4, gt=0)
    """Learning rate of the critics."""
    betas: tuple[float, float] = (0.0, 0.9)
    """Adam's, of both sides."""
    decay: float = Field(0.0, ge=0, le=1)
    """The last share of the budget, over which both learning rates fall to nothing."""
    loss: Kind = "hinge"
    """The kind of game."""
    adversarial: float = Field(1.0, ge=0)
    """Weight of what the critic of patches says, among the generator's losses."""
    feature_matching: float = Field(0.0, ge=0)
    """Weight of the distance between that critic's features of real and fake."""
    captioned: float = Field(1.0, ge=0)
    """Weight of what the critic that looks through CLIP says, among the generator's losses."""
    similarity: float = Field(2.5, ge=0)
    """Weight of the cosine between CLIP's vectors of the fake and of its sentence."""
    mismatched: bool = True
    """Whether a real image beside another's sentence counts as fake; off as released."""
    penalty: float = Field(2.0, ge=0)
    """Weight of the sixth power of the slope of that critic at real images and their sentences."""
    patches: float = Field(0.5, ge=0)
    """Weight of what the critic of patches loses, among the critics' losses."""
    mask_consistency: float = Field(0.0, ge=0)
    """Weight of how badly the classes of the map are read from a fake, by a reader that learns on the real images."""
    hidden: int = Field(512, ge=1)
    """Channels of what the critic that looks through CLIP sees."""
    joint: int = Field(128, ge=1)
    """Channels of that beside the sentence."""


class CGPNParts(Settings):
    """Everything that the game is decided by."""

    network: CGPNSettings = TINY
    critic: CriticSettings = CriticSettings(spectral=True)
    training: CGPNTraining = CGPNTraining()


class CGPNBatch(NamedTuple):
    """Windows as arrays: image (b 3 h w) in [-1, 1], labels (b c h w; conditions.edges), a sentence for each."""

    image: NDArray[np.float32]
    labels: NDArray[np.float32]
    sentences: Sequence[str]


class Shown(NamedTuple):
    """A batch on the device: images, labels, sentences as vectors (b d), noise (b z), what CLIP sees in the images."""

    image: Tensor
    labels: Tensor
    text: Tensor
    noise: Tensor
    seen: Seen


class Made(NamedTuple):
    """Fakes (b 3 h w) in [-1, 1] and what CLIP sees in them, with their graphs."""

    image: Tensor
    seen: Seen


class CGPNStage(Game[CGPN, Shown, Made]):
    """The generator and its critics, in training; labels: channels of the map; maps: as of stages.game.Game."""

    def __init__(
        self,
        name: str,
        settings: CGPNParts,
        labels: int,
        pair: Pair,
        maps: Callable[[], nn.Module | None] | None = None,
    ) -> None:
        self.settings, self.pair, training = settings.training, pair, settings.training
        critics: dict[str, nn.Module] = {
            CLIP: ClipCritic(
                MAPS, pair.map_width, pair.map_side, pair.width, hidden=training.hidden, joint=training.joint
            ),
            PATCH: settings.critic.build(labels + 3),
        }
        if training.mask_consistency:
            critics[READER] = Reader(labels - 1)
        super().__init__(name, CGPN(settings.network, labels, pair.width), critics, training, maps)

    def setup(self, fabric: Fabric) -> None:
        """Put all networks and optimisers on the device, CLIP among them."""
        super().setup(fabric)
        self.pair, self._autocast = self.pair.to(fabric.device), fabric.autocast

    def received(self, fabric: Fabric, batch: CGPNBatch, moment: Moment) -> Shown:
        """The batch with the noise of its fakes."""
        image, labels = (torch.from_numpy(part).to(fabric.device) for part in (batch.image, batch.labels))
        noise = torch.randn(len(image), self.generator.settings.noise).to(fabric.device)
        with torch.no_grad(), fabric.autocast():
            return Shown(image, labels, self.pair.text(batch.sentences), noise, self.pair.image(image))

    def fake(self, batch: Shown) -> Made:
        """One image for each map and sentence."""
        image = torch.tanh(self.wrapped_generator(batch.labels, batch.text, batch.noise).float())
        with self._autocast():
            return Made(image, self.pair.image(image))

    def critic_losses(self, batch: Shown, fake: Made) -> Judgement:
        """Hinges of both critics, the slope of the one at real pairs; what the reader misses in real images."""
        training, objective = self.settings, self.settings.objective
        other, differs = losses.mismatched(batch.text)
        critic = self.wrapped_critics[CLIP]
        yes, wrong = critic(batch.seen.maps, batch.text, other)
        (no,) = critic(tuple(each.detach() for each in fake.seen.maps), batch.text)
        captioned = (
            losses.matching_critic(objective, [yes], [no], [wrong], differs)
            if training.mismatched
            else objective.critic([yes], [no])
        )
        patches = self.wrapped_critics[PATCH]
        real, false = (logits(patches(beside(batch.labels, image))) for image in (batch.image, fake.image.detach()))
        found = {"critic_caption": captioned, "critic_patch": training.patches * objective.critic(real, false)}
        if training.penalty:
            found["penalty"] = self._penalty(batch)
        if READER in self.critics:
            found["reader"] = _misread(self.wrapped_critics[READER](batch.image), batch.labels)
        right = {CLIP: objective.told_apart([yes], [no]), PATCH: objective.told_apart(real, false)}
        return Judgement(found, right)

    def generator_losses(self, batch: Shown, fake: Made) -> Mapping[str, Tensor]:
        """What both critics say of the fakes, how far they are from their sentences, and what else has a weight."""
        training, objective = self.settings, self.settings.objective
        (said,) = self.critics[CLIP](fake.seen.maps, batch.text)
        cosine = functional.cosine_similarity(fake.seen.embedding.float(), batch.text.float()).mean()
        found = {
            "caption": training.captioned * objective.generator([said]),
            "similarity": -training.similarity * cosine,
            **taught(self, self.critics[PATCH], batch.labels, batch.image, fake.image),
        }
        if training.mask_consistency:
            found["mask"] = training.mask_consistency * _misread(self.critics[READER](fake.image), batch.labels)
        return found | alike(training, fake.image, batch.noise, partial(self._again, batch))

    def _penalty(self, batch: Shown) -> Tensor:
        """Of the plain critic, in full precision."""

        def critic(*given: Tensor) -> Tensor:
            return self.critics[CLIP](given[:-1], given[-1])[0]  # type: ignore[no-any-return]

        return losses.gradient_penalty(critic, *batch.seen.maps, batch.text, weight=self.settings.penalty)

    def _again(self, batch: Shown, number: int, noise: Tensor) -> Tensor:
        """The first images, made from other noise."""
        return torch.tanh(self.generator(batch.labels[:number], batch.text[:number], noise).float())


@torch.inference_mode()
def paint(fabric: Fabric, net: CGPN, labels: Tensor, text: Tensor, noise: Tensor) -> Tensor:
    """Images (b 3 h w) in [-1, 1] for maps (b c h w), sentences (b d) and noise (b z)."""
    with fabric.autocast():
        return torch.tanh(net(labels, text, noise).float())


def cost(network: CGPNSettings, labels: int, text: int, size: int, name: str) -> StageCost:
    """What an image of size^2 costs, counted on shapes."""
    with torch.device("meta"):
        net = CGPN(network, labels, text)
        given = torch.empty(1, labels, size, size), torch.empty(1, text), torch.empty(1, network.noise)
    return StageCost.of(name, net, lambda: net(*given), evaluations=1)


def _misread(found: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of the read classes (b c h w) with those of the map, whose last channel is edges.

    Nuclei of unknown type, which are 0 in all classes, do not count.
    """
    classes = labels[:, :-1]
    return losses.mask_consistency(found, classes.argmax(1), classes.sum(1) > 0)
