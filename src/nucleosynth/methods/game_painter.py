"""What painters of labels share that are trained in a game: their settings, and what their perceptual loss compares."""

from collections.abc import Sequence
from typing import ClassVar, TypeVar

from torch import nn

from nucleosynth.encoders import vgg
from nucleosynth.methods.facts import Facts, common
from nucleosynth.methods.label_painter import LabelPainter, LabelPainterSettings
from nucleosynth.run import Run
from nucleosynth.sample import Sample
from nucleosynth.stages.game import GameSettings


class GamePainterSettings(LabelPainterSettings):
    """Everything that a run of such a method is decided by; a stage's settings beside it have its network and game."""

    training: GameSettings

    @property
    def windows(self) -> int:
        """Windows a training step."""
        return self.training.batch

    def check_files(self) -> None:
        """Refuse a file of VGG19 that is not there.

        Raises:
            UserError: see above.
        """
        compared(self.training)


class GameFacts(Facts):
    """What a run learned before training, with what its perceptual loss compares."""

    perceptual: str
    """The file of VGG19 that it used, or "off"."""


S = TypeVar("S", bound=GamePainterSettings)
Net = TypeVar("Net", bound=nn.Module)


class GamePainter(LabelPainter[S, Net]):
    """A trained painter of labels by a game (see methods.method.Method)."""

    name: ClassVar[str]

    @classmethod
    def facts_of(cls, tiles: Sequence[Sample], settings: S) -> Facts:
        """What every method learns of its tiles, and what its perceptual loss compares."""
        return GameFacts(**common(tiles), perceptual=compared(settings.training))

    @classmethod
    def read_facts(cls, run: Run) -> Facts:
        """What a run learned."""
        return GameFacts.model_validate(run.read_facts())


def compared(training: GameSettings) -> str:
    """The file of VGG19 by which a game's perceptual loss compares images, or "off".

    Raises:
        UserError: a file that is not there.
    """
    return vgg.told(training.perceptual, training.perceptual_weights)
