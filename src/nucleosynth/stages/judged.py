"""What the games share in which a critic of patches judges an output beside its condition (Isola et al., CVPR 2017).

Its own loss in one pass over real and made outputs; what the generator is taught by it and by VGG19; and, ours, that
two outputs of one condition differ as their noise does, up to a bound, for otherwise few examples teach a generator to
pass over its noise.
"""

from collections.abc import Callable
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from nucleosynth.adversarial.losses import feature_matching, likeness_of_outputs, perceptual
from nucleosynth.nets.patchgan import logits
from nucleosynth.stages.game import Game, GameSettings, Judgement

CRITIC = "critic"
"""What the critic is called where there is but one."""


class DiverseSettings(GameSettings):
    """How a game is trained whose outputs may be asked to differ; a stage's own settings extend it."""

    diversity: float = Field(0.0, ge=0)
    """Weight of what two outputs of one condition lack in difference; it takes another pass for half of the batch."""
    difference: float = Field(0.1, gt=0)
    """Mean absolute difference of such outputs, over that of their noise, that is enough."""


def beside(condition: Tensor, output: Tensor) -> Tensor:
    """What a critic is shown: a condition (b c h w) and an output (b o h w) -> (b c+o h w)."""
    return torch.cat([condition, output], dim=1)


def judged(game: Game[Any, Any, Any], condition: Tensor, real: Tensor, fake: Tensor) -> Judgement:
    """The one critic of a game on real and made outputs (b o h w) of conditions (b c h w), in one pass."""
    both = torch.cat([beside(condition, real), beside(condition, fake.detach())])
    yes, no = zip(*(each.chunk(2) for each in logits(game.wrapped_critics[CRITIC](both))), strict=True)
    objective = game.training.objective
    return Judgement({CRITIC: objective.critic(yes, no)}, {CRITIC: objective.told_apart(yes, no)})


def taught(
    game: Game[Any, Any, Any], critic: nn.Module, condition: Tensor, real: Tensor, fake: Tensor
) -> dict[str, Tensor]:
    """What a generator loses by a critic of its game: its verdict, its features and VGG19's, each as it has a weight.

    condition (b c h w); real, fake (b o h w), with the fake's graph. VGG19's, in [-1, 1], where the game has its maps.
    """
    training = game.training
    features = critic(beside(condition, fake))
    found = {"patch": training.adversarial * training.objective.generator(logits(features))}
    if training.feature_matching:
        with torch.no_grad():
            wanted = critic(beside(condition, real))
        found["feature"] = training.feature_matching * feature_matching(wanted, features)
    if game.maps is not None:
        found["perceptual"] = training.perceptual * perceptual(game.maps, real, fake)
    return found


def alike(
    training: DiverseSettings, fake: Tensor, noise: Tensor, again: Callable[[int, Tensor], Tensor]
) -> dict[str, Tensor]:
    """What the outputs of the first half of a batch lack in change with their noise, if that has a weight.

    fake (b o h w) was made from noise (b ...); again: the first `n` of the batch made from other noise (n ...), with
    the graph.
    """
    if not training.diversity:
        return {}
    half = -(-len(fake) // 2)
    other = torch.randn(noise[:half].shape).to(noise)
    lacking = likeness_of_outputs(fake[:half], again(half, other), noise[:half], other, training.difference)
    return {"diversity": training.diversity * lacking}
