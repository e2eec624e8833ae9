"""What a generator and its critics lose: pure functions of what critics say, a list of logits, one a scale.

Every loss is a mean over scales, so that its weight does not depend on how many there are. Two releases differ from
that and are met by weights: pix2pixHD sums the adversarial losses of its scales (weight 2 here for 2 scales).
"""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

Logits = Sequence[Tensor]
"""A critic's verdicts, of any shape, one a scale."""
Features = Sequence[Sequence[Tensor]]
"""A critic's features of each scale, the logits last."""
Kind = Literal["least_squares", "vanilla", "hinge"]

PERCEPTUAL_WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)
"""Of VGG19's five maps, as in pix2pixHD and SPADE."""


class Objective(NamedTuple):
    """One kind of game: what each side loses, and which logit stands between "fake" and "real"."""

    real: Callable[[Tensor], Tensor]
    """Loss of a critic's logits of what is real, elementwise."""
    fake: Callable[[Tensor], Tensor]
    """Loss of a critic's logits of what is fake, elementwise."""
    convinced: Callable[[Tensor], Tensor]
    """The generator's loss of the logits of its fakes, elementwise."""
    boundary: float

    def critic(self, real: Logits, fake: Logits) -> Tensor:
        """The critic's loss: a mean over scales of E loss(real) + E loss(fake)."""
        pairs = zip(real, fake, strict=True)
        return _mean([self.real(yes.float()).mean() + self.fake(no.float()).mean() for yes, no in pairs])

    def generator(self, fake: Logits) -> Tensor:
        """The generator's loss: a mean over scales."""
        return _mean([self.convinced(each.float()).mean() for each in fake])

    @torch.no_grad()
    def told_apart(self, real: Logits, fake: Logits) -> Tensor:
        """Share of the patches that the critic takes for what they are, in 0..1; a mean over scales."""
        pairs = zip(real, fake, strict=True)
        right = [(yes > self.boundary).float().mean() + (no < self.boundary).float().mean() for yes, no in pairs]
        return _mean(right) / 2


OBJECTIVES: dict[Kind, Objective] = {
    "least_squares": Objective(lambda x: (x - 1) ** 2, lambda x: x**2, lambda x: (x - 1) ** 2, 0.5),
    "vanilla": Objective(
        lambda x: functional.softplus(-x), lambda x: functional.softplus(x), lambda x: functional.softplus(-x), 0.0
    ),
    "hinge": Objective(lambda x: functional.relu(1 - x), lambda x: functional.relu(1 + x), lambda x: -x, 0.0),
}
"""Mao et al., ICCV 2017; Goodfellow et al., NeurIPS 2014 (the generator's loss that does not saturate); Lim and Ye,
2017."""


def feature_matching(real: Features, fake: Features) -> Tensor:
    """Mean over scales of the sum over all features but the logits of E |real - fake| (Wang et al., CVPR 2018, Eq. 4).

    No gradient reaches `real`.
    """
    return _mean(
        [
            torch.stack(
                [
                    functional.l1_loss(no.float(), yes.detach().float())
                    for yes, no in zip(these[:-1], those[:-1], strict=True)
                ]
            ).sum()
            for these, those in zip(real, fake, strict=True)
        ]
    )


def perceptual(
    maps: Callable[[Tensor], Sequence[Tensor]],
    real: Tensor,
    fake: Tensor,
    weights: Sequence[float] = PERCEPTUAL_WEIGHTS,
) -> Tensor:
    """Weighted sum of E |maps(real) - maps(fake)| (Johnson et al., ECCV 2016); images (b 3 h w) in [-1, 1].

    maps: a frozen network's feature maps, shallow first, which prepares images itself (encoders.vgg).
    """
    with torch.no_grad():
        wanted = maps(real)
    pairs = zip(weights, wanted, maps(fake), strict=True)
    return torch.stack([weight * functional.l1_loss(no.float(), yes.float()) for weight, yes, no in pairs]).sum()


def gradient_penalty(critic: Callable[..., Tensor], *inputs: Tensor, weight: float = 2.0, power: float = 6.0) -> Tensor:
    """weight E |d critic / d inputs|^power: the matching-aware penalty of DF-GAN (Tao et al., CVPR 2022, Eq. 2).

    inputs: (b ...), at real images with their own texts; the norm of a sample is over all of them. The critic runs in
    fp32 with autocast off, for sixth powers and second derivatives do not survive bf16; the result can be descended.
    """
    at = [each.detach().float().requires_grad_() for each in inputs]
    with torch.autocast(at[0].device.type, enabled=False), torch.enable_grad():
        slopes = torch.autograd.grad(critic(*at).sum(), at, create_graph=True)
    squares = torch.stack([slope.flatten(1).square().sum(1) for slope in slopes]).sum(0)
    return weight * (squares ** (power / 2)).mean()


def mismatched(text: Tensor) -> tuple[Tensor, Tensor]:
    """Each sample gets its neighbour's text (b d), and whether that is another (b,) bool: not so in a batch of one."""
    other = text.roll(1, dims=0)
    return other, (other != text).flatten(1).any(1)


def matching_critic(objective: Objective, real: Logits, fake: Logits, wrong: Logits, differs: Tensor) -> Tensor:
    """A text critic's loss: real + (fake + wrong) / 2, a mean over scales (Reed et al., ICML 2016).

    wrong: logits (b ...) of real images with `mismatched` texts; differs (b,) bool: which of these count. Where none
    does, `fake` counts whole.
    """
    counted = differs.float()
    parts = []
    for yes, no, other in zip(real, fake, wrong, strict=True):
        each = objective.fake(other.float()).flatten(1).mean(1)
        share = (counted.sum() > 0).float() / 2
        at_wrong = (each * counted).sum() / counted.sum().clamp(min=1)
        parts.append(
            objective.real(yes.float()).mean() + (1 - share) * objective.fake(no.float()).mean() + share * at_wrong
        )
    return _mean(parts)


def mask_consistency(logits: Tensor, wanted: Tensor, known: Tensor | None = None) -> Tensor:
    """Cross-entropy between what a segmenter reads in a fake, logits (b c h w), and its mask of classes (b h w), nats.

    known (b h w) bool: the pixels that count, all unless given; 0 where there is none.
    """
    errors = functional.cross_entropy(logits.float(), wanted.long(), reduction="none")
    if known is None:
        return errors.mean()
    return (errors * known).sum() / known.sum().clamp(min=1)


def likeness_of_outputs(first: Tensor, second: Tensor, noise: Tensor, other: Tensor, most: float) -> Tensor:
    """How far outputs of one condition fall short of differing by `most` times what their noise does: 0..most, a mean.

    first, second (b ...): outputs; noise, other (b ...): what they were made from. Differences are mean absolute ones
    of a sample. Bounded, so that noise teaches to differ but not to flicker (Yang et al., "Diversity-sensitive
    conditional generative adversarial networks", ICLR 2019, Eq. 3).
    """
    between, apart = ((a - b).abs().flatten(1).mean(1) for a, b in ((first, second), (noise, other)))
    return (most - between / apart.clamp(min=1e-5)).clamp(min=0).mean()


def _mean(parts: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(parts)).mean()
