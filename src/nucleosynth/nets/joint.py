"""One network over several channel groups, each at its own clock, that predicts the clean state itself.

The clean state, and not the noise or the velocity: with few training steps its predictions err on the smooth side,
where the others leave grain in the picture (measured: docs/decisions.md).

A pixel that is known has the clock 1, whatever the clock of its group: the clocks are maps (b g h w). A student of few
steps (stages.student) is also told the clocks that its step ends at; its x0-hat is then the point that the whole step
heads for, so that one Euler step is the whole way.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from nucleosynth.diffusion.prediction import State
from nucleosynth.nets.blocks import ClockEmbedding
from nucleosynth.nets.conditioning import ConditionEncoder, ConditionShape, Features, Given
from nucleosynth.nets.unet import UNet, UNetSettings


class JointNet(nn.Module):
    """One call is one evaluation. The groups are of about unit variance.

    groups: channels of each group, in the state's order; ends: whether it is told where a step ends.
    """

    def __init__(
        self, settings: UNetSettings, groups: Mapping[str, int], shape: ConditionShape, ends: bool = False
    ) -> None:
        super().__init__()
        self.groups = dict(groups)
        channels = sum(groups.values())
        self.clocks = ClockEmbedding(len(groups), settings.embedding)
        self.ends = ClockEmbedding(len(groups), settings.embedding, silent=True) if ends else None
        self.condition = ConditionEncoder(shape, settings.patch, settings.widths[0], settings.embedding)
        self.unet = UNet(settings, channels, channels)

    def hidden(self) -> list[nn.Parameter]:
        """The matrices between the first and the last layer."""
        return self.unet.hidden()

    def encode(self, given: Given) -> Features:
        """Features of the condition, which no clock changes: computed once a sample."""
        return self.condition(given)  # type: ignore[no-any-return]

    def forward(self, state: State, t: Tensor, given: Given | Features, ends: Tensor | None = None) -> State:
        """x0-hat of each group at clocks t (b g), under a condition or its features; what is known is itself.

        ends: clocks (b g) of the step's end, for a network that is told.
        """
        features = given if isinstance(given, Features) else self.encode(given)
        vector = self.clocks(t) + features.embedding
        if self.ends is not None and ends is not None:
            vector = vector + self.ends(ends)
        clocks = torch.maximum(t[..., None, None], features.known).unbind(1)
        x = torch.cat([_unit(part, clock[:, None]) for part, clock in zip(state.values(), clocks, strict=True)], dim=1)
        outputs = self.unet(x, features.stem, vector).float().split(list(self.groups.values()), dim=1)
        sides = zip(state.items(), clocks, outputs, strict=True)
        return {name: torch.where(clock[:, None] == 1, part, output) for (name, part), clock, output in sides}


def _unit(part: Tensor, clock: Tensor) -> Tensor:
    """x_t at unit variance, for data of unit variance: divided by the root of t^2 + (1 - t)^2."""
    return part * (clock**2 + (1 - clock) ** 2).rsqrt()
