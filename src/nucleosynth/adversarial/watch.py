"""Who is winning: a running mean of what the critics tell apart, and a warning when the generator learns little."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from nucleosynth.progress import say
from nucleosynth.training.checkpoint import Moment
from nucleosynth.training.loop import PICTURES


class Watch(nn.Module):
    """A running mean of the share of patches told apart; it is kept with the weights, so that a resumed game goes on.

    won: the share above which a critic is said to have won, at each of the training's pictures; 1 = never. memory:
    decay of the mean, which starts at 0.5, at a guess.
    """

    right: Tensor

    def __init__(self, won: float, memory: float = 0.98) -> None:
        super().__init__()
        self.won, self.memory = won, memory
        self.register_buffer("right", torch.tensor(0.5))
        self._before: float | None = None

    @torch.no_grad()
    def see(self, right: Tensor, moment: Moment, name: str) -> None:
        """Take in the share of one step; at a picture say, of the stage of that name, that the critic has won."""
        self.right.lerp_(right.to(self.right), 1 - self.memory)
        before, self._before = self._before, moment.progress
        if before is not None and any(before < share <= moment.progress for share in PICTURES):
            share = float(self.right)
            if share > self.won:
                say(verdict(name, share))


def verdict(name: str, share: float) -> str:
    """What is said of a game that the critic has won, and what to change."""
    return (
        f"{name}: the discriminator has won: it tells {100 * share:.0f} % of real and generated patches apart, and the "
        "generator learns little from it. Lower training.critic_rate, raise training.feature_matching, or train on "
        "more tiles; the pictures of the run show whether it matters"
    )


@contextmanager
def still(networks: Iterable[nn.Module]) -> Iterator[None]:
    """In here the networks' weights get no gradient from what is computed; what was frozen before stays so."""
    learning = [weight for network in networks for weight in network.parameters() if weight.requires_grad]
    for weight in learning:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for weight in learning:
            weight.requires_grad_(True)
