"""Uniform categorical diffusion of label maps: a pixel keeps its id, or is given any id of K.

Hoogeboom et al., "Argmax flows and multinomial diffusion", 2021; Austin et al., D3PM, 2021. With a chain's abar,
q(x_t = j | x_0 = i) = abar_t [i = j] + (1 - abar_t) / K. Ids are int64 (b h w), probabilities logarithms (b K h w).
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from nucleosynth.diffusion.schedule import looked_up

Form = Literal["exact", "plugin"]
"""exact: the mixture sum over x0 of q(x_s | x_t, x0) p(x0). plugin: q(x_t | x_s) times q(x_s | p(x0)), CoSyn's release.

The plug-in treats a doubt between ids as if the pixel were all of them at once. Both agree where p(x0) is certain.
"""


@dataclass(frozen=True, eq=False)
class Categorical:
    """The process of a categorical group: signal (T + 1,) as schedule.Chain's, K classes, the form of its posterior."""

    signal: Tensor
    classes: int
    form: Form = "exact"

    @property
    def steps(self) -> int:
        """T."""
        return len(self.signal) - 1

    @property
    def prior(self) -> float:
        """KL(q(x_T | x_0) || uniform), the same for every x_0, in bits per pixel per class."""
        left = float(self.signal[-1])
        same, other = left + (1 - left) / self.classes, (1 - left) / self.classes
        known = same * math.log(same * self.classes) + (self.classes - 1) * other * math.log(other * self.classes)
        return known / (math.log(2) * self.classes)

    def noised(self, x0: Tensor, t: Tensor, uniform: Tensor, replacement: Tensor) -> Tensor:
        """x_t of ids (b h w) at clocks t (b,): kept where uniform (b h w), in [0, 1), is below abar_t, else replaced.

        replacement: ids (b h w), drawn evenly from 0 .. K - 1.
        """
        return torch.where(uniform < looked_up(self.signal, t).view(-1, 1, 1), x0, replacement)

    def posterior(self, x_t: Tensor, log_x0: Tensor, t: Tensor, s: Tensor) -> Tensor:
        """log p(x_s | x_t) (b K h w) from ids x_t (b h w) and log p(x0 | x_t) (b K h w); clocks s < t (b,).

        At s = 0 it is log p(x0), in both forms.
        """
        ahead = self._forward(x_t, t, s)
        if self.form == "exact":
            weight = log_x0 - self._forward(x_t, t, torch.zeros_like(t))  # p(x0 = i) / q(x_t | x0 = i)
            every = weight.logsumexp(1, keepdim=True)
        else:
            weight, every = log_x0, log_x0.new_zeros(())
        kept, spread = self._shares(s, torch.zeros_like(s))
        found = (ahead + torch.logaddexp(weight + kept, every + spread)).log_softmax(1)
        return torch.where((s == 0).view(-1, 1, 1, 1), log_x0, found)

    def loss(self, x0: Tensor, x_t: Tensor, log_x0: Tensor, t: Tensor, mask: Tensor | None = None) -> Tensor:
        """T KL(q(x_{t-1} | x_t, x0) || p(x_{t-1} | x_t)) of each sample, (b,), in bits per pixel per class.

        At t = 1 it is -log p(x0). Summed over K, averaged over the pixels of mask (b h w), all unless given; 0 where a
        sample has none. The bound on all bits is the mean over t plus `prior`.
        """
        certain = torch.full_like(log_x0, -math.inf).scatter_(1, x0[:, None], 0.0)
        truth = self.posterior(x_t, certain, t, t - 1).exp()
        divergence = F.kl_div(self.posterior(x_t, log_x0, t, t - 1), truth, reduction="none").sum(1)
        known = torch.ones_like(divergence) if mask is None else mask.to(divergence.dtype)
        mean = (divergence * known).sum((1, 2)) / known.sum((1, 2)).clamp(min=1)
        return mean * self.steps / (math.log(2) * self.classes)

    def _shares(self, t: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        """log of abar_t / abar_s and of (1 - that) / K: what of x_s is kept at t, and what every id gets; (b 1 1 1)."""
        log_signal = self.signal.log()
        kept = (looked_up(log_signal, t) - looked_up(log_signal, s)).view(-1, 1, 1, 1)
        return kept, torch.log(-torch.expm1(kept)) - math.log(self.classes)

    def _forward(self, x_t: Tensor, t: Tensor, s: Tensor) -> Tensor:
        """log q(x_t | x_s = j) for every j: (b K h w)."""
        kept, spread = self._shares(t, s)
        ids = torch.arange(self.classes, device=x_t.device).view(1, -1, 1, 1)
        return torch.where(ids == x_t[:, None], torch.logaddexp(kept, spread), spread)


def drawn(log_p: Tensor, uniform: Tensor) -> Tensor:
    """Ids (b h w) with probabilities log_p (b K h w), by inversion from uniform numbers (b h w) in [0, 1)."""
    below = log_p.exp().cumsum(1)
    return (uniform[:, None] * below[:, -1:] >= below[:, :-1]).sum(1)
