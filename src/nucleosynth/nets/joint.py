"""One network over several channel groups, each at its own clock, that predicts the clean state itself.

The clean state, and not the noise or the velocity: with few training steps its predictions err on the smooth side,
where the others leave grain in the picture (measured: docs/decisions.md).
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from nucleosynth.diffusion.prediction import State
from nucleosynth.nets.unet import Features, Given, UNet, UNetSettings


class JointNet(nn.Module):
    """One call is one evaluation. The groups are of about unit variance.

    groups: channels of each group, in the state's order; maps, amounts: widths of what is given beside the state.
    """

    def __init__(self, settings: UNetSettings, groups: Mapping[str, int], maps: int, amounts: int) -> None:
        super().__init__()
        self.groups = dict(groups)
        channels = sum(groups.values())
        self.unet = UNet(settings, channels, maps, amounts, channels, len(groups))

    def hidden(self) -> list[nn.Parameter]:
        """The matrices between the first and the last layer."""
        return self.unet.hidden()

    def encode(self, given: Given) -> Features:
        """Features of the condition, which no clock changes: computed once a sample."""
        return self.unet.encode(given)

    def forward(self, state: State, t: Tensor, given: Given | Features) -> State:
        """x0-hat of each group at clocks t (b g), under a condition or its features; a known side (t = 1) is itself."""
        features = given if isinstance(given, Features) else self.encode(given)
        x = torch.cat([_unit(part, clock) for part, clock in zip(state.values(), t.unbind(1), strict=True)], dim=1)
        outputs = self.unet(x, t, features).float().split(list(self.groups.values()), dim=1)
        sides = zip(state.items(), t.unbind(1), outputs, strict=True)
        return {
            name: torch.where((clock == 1).view(-1, 1, 1, 1), part, output) for (name, part), clock, output in sides
        }


def _unit(part: Tensor, clock: Tensor) -> Tensor:
    """x_t at unit variance, for data of unit variance: divided by the root of t^2 + (1 - t)^2."""
    return part * (clock**2 + (1 - clock) ** 2).rsqrt().view(-1, 1, 1, 1)
