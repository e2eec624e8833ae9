"""ADM's U-Net told a map: SPADE (Park et al., CVPR 2019) in the middle and the decoder, as in SDM (Wang et al., 2022).

The noisy image enters the encoder behind plain norms; the condition enters every norm of the middle and the decoder
(attention's apart) as norm(x) (1 + gamma) + beta, where gamma and beta are two convolutions away from it. No clock
changes them, so `encode` computes them once a sample, and each evaluation is a third cheaper than in the release.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from nucleosynth.nets.adm import ADM, ADMSettings, Modulation
from nucleosynth.nets.blocks import Conv2d, matrices

Modulations = tuple[Modulation, ...]
"""Of each norm of the middle and the decoder, in the order of `ADM.modulated`."""


class SpadeADM(nn.Module):
    """(b c_in h w), clocks (b,), a condition (b c h w) or its modulations -> (b c_out h w)."""

    def __init__(self, settings: ADMSettings, channels_in: int, channels_out: int, condition_channels: int) -> None:
        super().__init__()
        self.settings = settings
        self.unet = ADM(settings, channels_in, channels_out, spade=True)
        seen = condition_channels * settings.patch**2
        norms = list(self.unet.modulated())
        self.levels = [level for _, level in norms]
        self.modulators = nn.ModuleList(Modulator(seen, settings.modulation, width) for width, _ in norms)

    def hidden(self) -> list[nn.Parameter]:
        """The matrices between what goes in and the head, for Muon."""
        return [*self.unet.hidden(), *(matrices(modulator)[1] for modulator in self.modulators)]

    def encode(self, condition: Tensor) -> Modulations:
        """Everything that the condition alone decides; (b c h w) of the image's size."""
        seen = functional.pixel_unshuffle(condition, self.settings.patch)
        sizes = [seen[..., :: 2**level, :: 2**level] for level in range(max(self.levels) + 1)]
        return tuple(modulate(sizes[level]) for level, modulate in zip(self.levels, self.modulators, strict=True))

    def forward(self, x: Tensor, t: Tensor, given: Tensor | Modulations) -> Tensor:
        """One evaluation at whole clocks t (1..T), under a condition or its modulations."""
        modulations = self.encode(given) if isinstance(given, Tensor) else given
        return self.unet(x, t, modulations)  # type: ignore[no-any-return]


class Modulator(nn.Module):
    """A map (b c h w) of a norm's size -> what it does to the norm: a hidden layer of 3x3, then gamma and beta."""

    def __init__(self, channels: int, hidden: int, width: int) -> None:
        super().__init__()
        self.seen, self.out = Conv2d(channels, hidden), Conv2d(hidden, 2 * width)

    def forward(self, condition: Tensor) -> Modulation:
        """(b c h w) -> (b width h w), twice."""
        gamma, beta = self.out(functional.relu(self.seen(condition))).chunk(2, dim=1)
        return Modulation(1 + gamma, beta)


def joined(first: Modulations, last: Modulations) -> Modulations:
    """The modulations of a batch, then those of one sample, which hold for all that are left in a larger batch."""
    return tuple(
        Modulation(*(torch.cat([a, b]) for a, b in zip(one, other, strict=True)))
        for one, other in zip(first, last, strict=True)
    )
