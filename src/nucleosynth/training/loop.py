"""The one training loop: explicit steps, a budget in steps or minutes, exact resume, Ctrl-C that loses nothing.

Randomness of step i comes from (seed, i) alone: the batch by `batch_at(i)`, the rest by seeding torch before the step.
So a resumed run equals an uninterrupted one without any generator's state. (Under a budget in minutes the number of
steps, and with it the decay of the learning rate, depends on the machine; give steps where two runs must be equal.)
"""

import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import Optimizer

from nucleosynth.errors import Interrupted
from nucleosynth.progress import progress
from nucleosynth.run import Budget, Run
from nucleosynth.seeds import seed_of
from nucleosynth.training import checkpoint
from nucleosynth.training.checkpoint import Moment

SAVE_EVERY_S = 120.0
LOG_EVERY = 25
PICTURES = (0.1, 0.25, 0.5, 0.75, 1.0)
"""Shares of the budget at which a contact sheet is made."""


class Stage(Protocol):
    """One network, or one game of networks, that is trained and saved together."""

    name: str

    @property
    def modules(self) -> Mapping[str, nn.Module]:
        """Everything to save, moving averages included."""

    @property
    def optimisers(self) -> Mapping[str, Optimizer]:
        """By name."""

    def setup(self, fabric: Fabric) -> None:
        """Put networks and optimisers on the device (fabric.setup)."""

    def step(self, fabric: Fabric, batch: Any, moment: Moment) -> dict[str, Tensor]:
        """One whole step (forward, fabric.backward, optimisers, averages); returns losses to log."""


def train(
    stage: Stage,
    batch_at: Callable[[int], Any],
    *,
    budget: Budget,
    run: Run,
    fabric: Fabric,
    picture: Callable[[int], None] | None = None,
    marks: Sequence[float] = (),
    at_mark: Callable[[int, float], None] | None = None,
    beside: Mapping[str, str] | None = None,
    workers: int = 2,
) -> Moment:
    """Train a stage until its budget is used; checkpoints, log and pictures go into the run folder.

    batch_at: step -> batch, a pure function of the step, called in worker threads. picture: called with the step at
    `PICTURES`. at_mark: called with the step and the mark when a share of the budget in `marks` is reached. The time
    that both take is not counted. beside: what the checkpoint is to say beside its weights (training.checkpoint).
    With `run.resume`, goes on from the stage's checkpoint where there is one.

    Raises:
        Interrupted: Ctrl-C; the state is saved and the message says how to go on.
    """
    owner, path = f"{run.record.method}/{stage.name}", run.checkpoint(stage.name)
    stage.setup(fabric)
    resumed = run.resume and path.exists()
    moment = checkpoint.load(path, owner, stage.modules, stage.optimisers) if resumed else Moment()

    def save(moment: Moment) -> None:
        if fabric.is_global_zero:
            checkpoint.save(path, owner, stage.modules, stage.optimisers, moment, beside)

    def show(before: Moment, moment: Moment) -> None:
        if picture and _passed(PICTURES, before, moment):
            picture(moment.step)
        if at_mark:
            for share in _passed(marks, before, moment):
                at_mark(moment.step, share)

    clock, saved = _Clock(budget, moment), time.monotonic()
    with (
        _stop_flag() as stop,
        progress(f"{owner}", 1.0) as report,
        _Ahead(batch_at, fabric, moment.step, workers) as batches,
    ):
        while moment.progress < 1:
            torch.manual_seed(seed_of(run.record.seed, moment.step, fabric.global_rank))
            losses = stage.step(fabric, batches.get(moment.step), moment)
            before, moment = moment, clock.after(moment.step + 1)
            if moment.step % LOG_EVERY == 0 or moment.progress >= 1:
                report(moment.progress, _logged(run, stage.name, moment, losses))
            if fabric.is_global_zero:
                with clock.standing():
                    show(before, moment)
            if time.monotonic() - saved > SAVE_EVERY_S:
                save(moment)
                saved = time.monotonic()
            if stop():
                save(moment)
                words = f"stopped at step {moment.step}, all saved in {run.folder}"
                raise Interrupted(f"{words}; go on with the same command and --resume")
    save(moment)
    return moment


def _logged(run: Run, stage: str, moment: Moment, losses: Mapping[str, Tensor]) -> str:
    """Put the losses into the run's log; a line that tells them."""
    values = {name: float(value.detach()) for name, value in losses.items()}
    run.log(stage, moment.step, {"seconds": round(moment.seconds, 2), **values})
    return f"step {moment.step}  " + "  ".join(f"{name} {value:.4f}" for name, value in values.items())


def _passed(shares: Sequence[float], before: Moment, moment: Moment) -> list[float]:
    """The shares of the budget that were reached since."""
    return [share for share in shares if before.progress < share <= moment.progress]


class _Clock:
    """Turns steps or wall time into the share of the budget that is used; time before a resume counts."""

    def __init__(self, budget: Budget, moment: Moment) -> None:
        self._budget = budget
        self._began = time.monotonic() - moment.seconds

    def after(self, step: int) -> Moment:
        seconds = time.monotonic() - self._began
        if self._budget.steps is not None:
            share = step / self._budget.steps
        else:
            assert self._budget.minutes is not None, "a Budget has steps or minutes"
            share = seconds / (60 * self._budget.minutes)
        return Moment(step, seconds, min(share, 1.0))

    @contextmanager
    def standing(self) -> Iterator[None]:
        """Time that does not count."""
        began = time.monotonic()
        yield
        self._began += time.monotonic() - began


class _Ahead:
    """Makes the next batches in worker threads while the network works on this one."""

    def __init__(self, batch_at: Callable[[int], Any], fabric: Fabric, first: int, workers: int) -> None:
        self._make = lambda step: batch_at(step * fabric.world_size + fabric.global_rank)
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="batches")
        self._depth = workers + 1
        self._waiting: dict[int, Future[Any]] = {
            step: self._pool.submit(self._make, step) for step in range(first, first + self._depth)
        }

    def get(self, step: int) -> Any:
        self._waiting[step + self._depth] = self._pool.submit(self._make, step + self._depth)
        return self._waiting.pop(step).result()

    def __enter__(self) -> "_Ahead":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _stop_flag() -> Iterator[Callable[[], bool]]:
    """While open, Ctrl-C sets a flag instead of raising, so that a step is never cut in half; a second one raises."""
    asked = False

    def ask(_signal: int, _frame: object) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True

    try:
        before = signal.signal(signal.SIGINT, ask)
    except ValueError:  # not the main thread: nobody can press Ctrl-C here
        yield lambda: False
        return
    try:
        yield lambda: asked
    finally:
        signal.signal(signal.SIGINT, before)
