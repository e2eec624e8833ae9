"""Joint diffusion of image, distance map and label as a stage: one network, one integer clock for all, one step.

Image and distance are Gaussian, the label is uniform categorical, on the same cosine chain (Min et al., ECCV 2024). The
conditions are dropped each by itself in training, so that the network also runs without any of them. The label of a
nucleus of unknown type is drawn evenly where the network sees it, and is not in the loss.
"""

from typing import Literal, NamedTuple

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from nucleosynth.conditions.structure import UNKNOWN
from nucleosynth.diffusion.categorical import Categorical, Form
from nucleosynth.diffusion.losses import p2_weight
from nucleosynth.diffusion.path import Noise
from nucleosynth.diffusion.prediction import (
    Denoise,
    Prediction,
    State,
    dynamically_thresholded,
    guided_pair,
)
from nucleosynth.diffusion.samplers import SAMPLERS, Processes
from nucleosynth.diffusion.schedule import Chain
from nucleosynth.nets.cosyn import CoSynNet, CoSynNetSettings, Features, Given
from nucleosynth.nets.text import TextShape
from nucleosynth.stages.denoising import Gaussian, PathSettings, chain_of
from nucleosynth.stages.training import AveragedStage, TrainingSettings
from nucleosynth.training.checkpoint import Moment

Condition = Literal["points", "text", "counts"]
Part = Literal["points", "distance", "text", "counts"]
"""What a network may be built without."""


class DiffusionSettings(Gaussian):
    """The processes of image, distance and label on one clock, and what the network says of them."""

    posterior: Form = "exact"
    """Of the label's step back; plugin as released (diffusion.categorical)."""

    @property
    def chain(self) -> Chain:
        """The Gaussian groups' process."""
        return chain_of("log_snr", self.steps)

    def label(self, classes: int) -> Categorical:
        """The label's process."""
        return Categorical(self.chain.signal, classes, self.posterior)

    def processes(self, labels: int) -> Processes:
        """Of each group."""
        return {"image": self.chain, "distance": self.chain, "label": self.label(labels)}


class CoSynTraining(TrainingSettings):
    """How the network is trained; Adam for all parameters as published."""

    image: float = Field(9.0, ge=0)
    """Weight of the image's loss."""
    distance: float = Field(1.0, ge=0)
    """Weight of the distance's loss."""
    label: float = Field(6.0, ge=0)
    """Weight of the label's loss; 3 as published."""
    label_loss: Literal["bound", "entropy"] = "entropy"
    """The variational bound, as published, or the cross-entropy of the label, which falls sooner."""
    p2: float = Field(0.0, ge=0)
    """Each loss is weighed by (1 + SNR)^-p2 (Choi et al., CVPR 2022); .5 as published."""
    drop_points: float = Field(0.2, ge=0, le=1)
    """Share of the crops whose points are not given; 0 as released, and .1 in "paper", so that it runs without them."""
    drop_text: float = Field(0.1, ge=0, le=1)
    """Share of the crops whose text is not given."""
    drop_counts: float = Field(0.5, ge=0, le=1)
    """Share of the crops whose counts are not given."""


class SamplingSettings(PathSettings):
    """How pairs are sampled; a guided step is two evaluations."""

    guidance: float = Field(2.0, ge=0)
    """Scale of the guidance on all parts of the state; 1 = none."""
    guided_by: tuple[Condition, ...] = ("text", "points")
    """The conditions that the other pass lacks: those that guidance strengthens; text alone as released."""
    threshold: float = Field(0.95, gt=0, le=1)
    """Share of the values that dynamic thresholding keeps (diffusion.prediction)."""


class JointBatch(NamedTuple):
    """Crops as arrays, and the tokens of their captions.

    image (b 3 h w), distance (b 1 h w): float32, -1..1; label: uint8 (b h w), UNKNOWN in nuclei of unknown type;
    points: uint8 (b h w), ids of a point map; amounts: float32 (b a). text, mask: as encoders.text.Tokens, or None.
    """

    image: NDArray[np.float32]
    distance: NDArray[np.float32]
    label: NDArray[np.uint8]
    points: NDArray[np.uint8]
    amounts: NDArray[np.float32]
    text: Tensor | None = None
    mask: Tensor | None = None


class JointSizes(NamedTuple):
    """What data and settings decide of the network; labels: K; amounts: numbers that tell the counts, 0 without."""

    labels: int
    amounts: int
    text: TextShape | None
    points: bool
    distance: bool


def build(network: CoSynNetSettings, diffusion: DiffusionSettings, sizes: JointSizes) -> CoSynNet:
    """The network, untrained; counts have one number more, which says whether they are given."""
    return CoSynNet(
        network,
        sizes.labels,
        steps=diffusion.steps,
        distance=sizes.distance,
        points=sizes.points,
        text=sizes.text,
        amounts=sizes.amounts and sizes.amounts + 1,
    )


def condition(
    net: CoSynNet,
    *,
    points: tuple[Tensor, Tensor] | None = None,
    text: tuple[Tensor, Tensor, Tensor] | None = None,
    amounts: tuple[Tensor, Tensor] | None = None,
) -> Given:
    """What a network is told; conditions that it is built without are left out.

    points: (b h w) ids; text: values and mask; amounts: (b a); of each last whether it is given, (b,) bool.
    """
    found = Given()
    if net.points is not None and points is not None:
        ids, told = points
        found = found._replace(points=torch.where(told.view(-1, 1, 1), ids.long(), net.points.absent))
    if net.text is not None and text is not None:
        found = found._replace(text=text[0], mask=text[1], told=text[2])
    if net.amounts is not None and amounts is not None:
        flag = amounts[1].float()[:, None]
        found = found._replace(amounts=torch.cat([amounts[0] * flag, flag], dim=1))
    return found


def without(net: CoSynNet, given: Given, names: tuple[Condition, ...]) -> Given:
    """The same condition with some of it dropped."""
    if "points" in names and given.points is not None and net.points is not None:
        given = given._replace(points=torch.full_like(given.points, net.points.absent))
    if "text" in names and given.told is not None:
        given = given._replace(told=torch.zeros_like(given.told))
    if "counts" in names and given.amounts is not None:
        given = given._replace(amounts=torch.zeros_like(given.amounts))
    return given


class CoSynStage(AveragedStage[CoSynNet]):
    """The one stage: the joint network, in training."""

    def __init__(
        self,
        name: str,
        network: CoSynNetSettings,
        diffusion: DiffusionSettings,
        settings: CoSynTraining,
        sizes: JointSizes,
    ) -> None:
        self.settings, self.diffusion, net = settings, diffusion, build(network, diffusion, sizes)
        super().__init__(name, net, net.hidden(), settings)

    def step(self, fabric: Fabric, batch: JointBatch, moment: Moment) -> dict[str, Tensor]:
        """One step on the weighted losses of all parts."""
        losses = self._losses(fabric.device, batch)
        weights = {"image": self.settings.image, "distance": self.settings.distance, "label": self.settings.label}
        self.descend(fabric, torch.stack([weights[name] * loss for name, loss in losses.items()]).sum(), moment)
        return losses

    def _losses(self, device: torch.device, batch: JointBatch) -> dict[str, Tensor]:
        label = torch.from_numpy(batch.label).to(device).long()
        known = label != UNKNOWN
        label = torch.where(known, label, torch.randint_like(label, self.net.labels))
        x0 = {
            name: torch.from_numpy(part).to(device)
            for name, part in (("image", batch.image), ("distance", batch.distance))
            if name in self.net.groups
        }
        noise = {name: torch.randn_like(part) for name, part in x0.items()}
        chain = self.diffusion.chain
        t = chain.draw_clocks(len(label)).to(device)
        state = {name: chain.noised(part, noise[name], t) for name, part in x0.items()}
        process = self.diffusion.label(self.net.labels)
        state["label"] = process.noised(
            label, t, torch.rand(label.shape, device=device), torch.randint_like(label, self.net.labels)
        )
        found = self.wrapped(state, t, self._condition(device, batch))
        losses = {name: self.diffusion.error(found[name], part, noise[name], t) for name, part in x0.items()}
        log_p = found["label"].log_softmax(1)
        losses["label"] = (
            process.loss(label, state["label"], log_p, t, known)
            if self.settings.label_loss == "bound"
            else _entropy(log_p, label, known)
        )
        weight = p2_weight(chain, t, self.settings.p2)
        return {name: (weight * loss).mean() for name, loss in losses.items()}

    def _condition(self, device: torch.device, batch: JointBatch) -> Given:
        """The batch's conditions, each dropped by itself."""
        settings, count = self.settings, len(batch.label)

        def told(drop: float) -> Tensor:
            return torch.rand(count, device=device) >= drop

        points, amounts = (torch.from_numpy(part).to(device) for part in (batch.points, batch.amounts))
        given = [told(drop) for drop in (settings.drop_points, settings.drop_text, settings.drop_counts)]
        text = (
            None
            if batch.text is None or batch.mask is None
            else (batch.text.to(device), batch.mask.to(device), given[1])
        )
        return condition(self.net, points=(points, given[0]), text=text, amounts=(amounts, given[2]))


@torch.inference_mode()
def synthesise(
    fabric: Fabric,
    net: CoSynNet,
    given: Given,
    noise: Noise,
    diffusion: DiffusionSettings,
    sampling: SamplingSettings,
) -> State:
    """The made state: image and distance in -1..1, and the ids of the label (b h w)."""
    start = noise.uniform("label", 0)
    with fabric.autocast():
        features = net.encode(given)
        if sampling.guidance != 1:
            shared = None if "points" in sampling.guided_by else features.points
            null = net.encode(without(net, given, sampling.guided_by), shared)
            features = _both(features, null, len(start))
    state = {name: noise.normal(name, 0) for name in net.groups}
    state["label"] = (start * net.labels).long().clamp(max=net.labels - 1)

    def denoise(state: State, t: Tensor) -> Prediction:
        clock = t[:, 0]
        with fabric.autocast():
            found = net(state, clock, features)
        x0 = {name: diffusion.x0(found[name], state[name], clock) for name in net.groups}
        return Prediction(x0 | {"label": found["label"].log_softmax(1)})

    guided: Denoise = denoise if sampling.guidance == 1 else guided_pair(denoise, sampling.guidance)
    times = diffusion.times(sampling)[:, None].expand(-1, len(state))
    return SAMPLERS[sampling.sampler](
        dynamically_thresholded(guided, tuple(net.groups), sampling.threshold),
        state,
        times,
        diffusion.processes(net.labels),
        noise,
    )


def _both(given: Features, null: Features, count: int) -> Features:
    """Features of both halves of a guided batch of `count` samples; what holds for all of them (b = 1) is repeated."""
    points = None if given.points is None or null.points is None else torch.cat([given.points, null.points])
    tokens, embedding = (
        torch.cat([part.expand(count, *part.shape[1:]) for part in halves])
        for halves in ((given.tokens, null.tokens), (given.embedding, null.embedding))
    )
    return Features(points, tokens, embedding)


def _entropy(log_p: Tensor, label: Tensor, known: Tensor) -> Tensor:
    """Mean of -log p(label) over the known pixels of each sample, (b,); 0 where there is none."""
    missed = -log_p.gather(1, label[:, None]).squeeze(1) * known
    return missed.sum((1, 2)) / known.sum((1, 2)).clamp(min=1)
