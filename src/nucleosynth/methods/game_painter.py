"""What painters of labels share that are trained in a game: their settings, and what their perceptual loss compares."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, TypeVar

from torch import nn

from nucleosynth.encoders import vgg
from nucleosynth.errors import UserError
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
    perceptual_digest: str = ""
    """Of that file's weights."""


S = TypeVar("S", bound=GamePainterSettings)
Net = TypeVar("Net", bound=nn.Module)


class GamePainter(LabelPainter[S, Net]):
    """A trained painter of labels by a game (see methods.method.Method)."""

    name: ClassVar[str]

    @classmethod
    def check(cls, tiles: Sequence[Sample], settings: S, run: Run) -> None:
        """Refuse to go on with a run by another perceptual loss than it began with.

        Raises:
            UserError: see above.
        """
        check_resumed(settings.training, run, cls.stages[-1])

    @classmethod
    def facts_of(cls, tiles: Sequence[Sample], settings: S) -> GameFacts:
        """What every method learns of its tiles, and what its perceptual loss compares."""
        return GameFacts.model_validate(common(tiles) | told(settings.training))

    @classmethod
    def read_facts(cls, run: Run) -> GameFacts:
        """What a run learned."""
        return GameFacts.model_validate(run.read_facts())


def compared(training: GameSettings) -> str:
    """The file of VGG19 by which a game's perceptual loss compares images, or "off".

    Raises:
        UserError: a file that is not there.
    """
    return vgg.told(training.perceptual, training.perceptual_weights)


def told(training: GameSettings) -> dict[str, str]:
    """What a run's facts say of a game's perceptual loss (see `GameFacts`).

    Raises:
        UserError: a file that is not there, or is broken.
    """
    digest = vgg.digest(training.perceptual, training.perceptual_weights)
    return {"perceptual": compared(training), "perceptual_digest": digest}


def check_resumed(training: GameSettings, run: Run, stage: str) -> None:
    """Refuse to go on with a stage by another perceptual loss than it began with; the weights count, not their name.

    Raises:
        UserError: the stage has been trained without VGG19 and it is at hand now, or the reverse, or with others.
    """
    if not (run.resume and run.checkpoint(stage).exists()):
        return
    before, now = run.read_facts(), told(training)
    if before.get("perceptual_digest", "") != now["perceptual_digest"]:
        raise UserError(
            "another perceptual loss than the run began with",
            expected=_described(before),
            got=_described(now),
            where=str(run.folder),
            mend="have the weights of VGG19 at hand as they were then, or begin a new run in another folder",
        )


def _described(facts: Mapping[str, str]) -> str:
    digest = facts.get("perceptual_digest")
    return facts["perceptual"] + (f", digest {digest}" if digest else "")
