"""The contract of every generator. One paper, one file; tests/contracts/test_methods.py holds all of them to it.

    method = catalog.load("method", name)
    fitted = method.fit(samples, method.presets["tiny"], run, fabric)  # resumes where `run` says so
    fitted = method.load(run, fabric)                                  # later, from the run folder
    for sample in fitted.generate(fitted.default_conditions(seed), seed, count=64): ...

Sample k depends on (seed, k) and condition k alone: not on how many are made, nor on what shares its batch.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Protocol, Self

from nucleosynth.config import Settings
from nucleosynth.run import Run
from nucleosynth.sample import Condition, Sample

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from nucleosynth.nets.count import StageCost


class Method(Protocol):
    """A generator of labelled tiles."""

    name: ClassVar[str]
    needs: ClassVar[frozenset[str]]
    """Fields of a Condition without which it cannot generate."""
    takes: ClassVar[frozenset[str]]
    """Fields of a Condition that it follows; `needs` among them."""
    stages: ClassVar[tuple[str, ...]]
    """Names of its stages in the order of training; each has its own checkpoint."""
    presets: ClassVar[Mapping[str, Settings]]
    """Named settings, "tiny" among them."""
    published_classes: ClassVar[int]
    """Classes of nuclei that its paper's network was built for: what `cost` counts unless told otherwise."""

    @classmethod
    def fit(cls, samples: Sequence[Sample], settings: Settings, run: Run, fabric: "Fabric") -> Self:
        """Train on `samples` within `run.record.budget`; goes on from the run's checkpoints if `run.resume`.

        fabric: the device and precision to train on (training.device.fabric_for).
        """

    @classmethod
    def load(cls, run: Run, fabric: "Fabric") -> Self:
        """The trained method of a run folder, on the fabric's device.

        Raises:
            UserError: the run is of another method, or has no checkpoint.
        """

    @property
    def size(self) -> tuple[int, int]:
        """(h w) in px of a tile that it makes when nothing else is asked."""

    @property
    def mpp(self) -> float | None:
        """Micrometres per pixel of what it makes."""

    def default_conditions(self, seed: int, start: int = 0, size: tuple[int, int] | None = None) -> Iterator[Condition]:
        """Endless conditions start, start + 1, ... for generation when the user gives none.

        size: (h w) of the tiles in px; the method's own unless given.
        """

    def generate(
        self, conditions: Iterator[Condition], seed: int, *, count: int, start: int = 0, batch: int = 16
    ) -> Iterator[Sample]:
        """Samples start .. start + count - 1, one for each of the first `count` conditions, as they are made.

        A side that a condition gives (image, or instances) is kept as it is; the other is made.
        `start` is a multiple of `batch`.
        """

    @classmethod
    def cost(cls, settings: Settings, size: int, classes: int) -> "list[StageCost]":
        """What each stage costs for a pair of size^2 with that many classes; `generate` takes its batch from it."""
