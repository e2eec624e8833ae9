"""Who is winning: a running mean of what each critic tells apart, and a warning when the generator learns little."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from nucleosynth.progress import say
from nucleosynth.training.checkpoint import Moment
from nucleosynth.training.loop import PICTURES


class Watch(nn.Module):
    """Running means of the share of patches that each critic tells apart; a resumed game goes on with them.

    critics: names of those that are watched. won: the share above which a critic is said to have won, at each of the
    training's pictures; 1 = never. memory: decay of the means, which start at 0.5, at a guess.
    """

    def __init__(self, critics: Iterable[str], won: float, memory: float = 0.98) -> None:
        super().__init__()
        self.won, self.memory, self._progress = won, memory, 0.0
        for critic in critics:
            self.register_buffer(_mean(critic), torch.tensor(0.5))

    @torch.no_grad()
    def see(self, right: Mapping[str, Tensor], moment: Moment, stage: str) -> dict[str, Tensor]:
        """Take in one step's shares (0..1) by critic; at a picture say of the stage of that name who has won.

        Returns what is logged: each critic's mean, the largest (critic_mean), and whether one has won (critic_won).
        """
        means = {critic: self.get_buffer(_mean(critic)) for critic in right}
        for critic, mean in means.items():
            mean.lerp_(right[critic].to(mean), 1 - self.memory)
        before, self._progress = self._progress, moment.progress
        if any(before < share <= moment.progress for share in PICTURES):
            for critic, share in means.items():
                if share > self.won:
                    say(verdict(stage, critic, float(share)))
        most = torch.stack(list(means.values())).max()
        named = {_mean(critic): mean.clone() for critic, mean in means.items()}
        return {**named, "critic_mean": most, "critic_won": (most > self.won).float()}

    def get_extra_state(self) -> Tensor:
        """The progress that was seen last, so that a resumed game says what an uninterrupted one would have said."""
        return torch.tensor(self._progress, dtype=torch.float64)

    def set_extra_state(self, state: Tensor) -> None:
        """Go on from there."""
        self._progress = float(state)


def verdict(stage: str, critic: str, share: float) -> str:
    """What is said of a game that a critic has won, and what to change."""
    return (
        f"{stage}: the discriminator has won ({critic}): it tells {100 * share:.0f} % of real and generated patches "
        "apart, and the generator learns little from it. Lower training.critic_rate, raise training.feature_matching, "
        "or train on more tiles; the pictures of the run show whether it matters"
    )


def _mean(critic: str) -> str:
    """What a critic's mean is called."""
    return f"{critic}_mean"


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
