"""What long work shows: a bar with the time left on a terminal, a line now and then elsewhere."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

console = Console(stderr=True, highlight=False, soft_wrap=True)
"""Where everything that is not a result is said; results go to standard output."""

LINE_EVERY_S = 30.0


class Report(Protocol):
    """Say how far the work is: done (in the units of `total`) and a few words."""

    def __call__(self, done: float, words: str = "") -> None:
        """Update the display."""


def count_of(number: int, noun: str) -> str:
    """ "1 tile", "2 tiles": a number and what it counts."""
    return f"{number} {noun}" + ("" if number == 1 else "s")


def say(words: str) -> None:
    """One line for the person at the terminal."""
    console.print(words, markup=False)


@contextmanager
def progress(label: str, total: float) -> Iterator[Report]:
    """A display of work of size `total`; call what it yields as the work goes on."""
    if console.is_terminal:
        with _bar(label, total) as report:
            yield report
    else:
        yield _lines(label, total)


@contextmanager
def _bar(label: str, total: float) -> Iterator[Report]:
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(
        *columns, TextColumn("left"), TimeRemainingColumn(), TextColumn("{task.fields[words]}"), console=console
    ) as bar:
        task = bar.add_task(label, total=total, words="")
        yield lambda done, words="": bar.update(task, completed=done, words=words)


def _lines(label: str, total: float) -> Report:
    began = last = time.monotonic()
    first: float | None = None

    def report(done: float, words: str = "") -> None:
        nonlocal last, first
        first = done if first is None else first
        now = time.monotonic()
        if now - last < LINE_EVERY_S:
            return
        last = now
        pace = (done - first) / (now - began)
        left = f"{(total - done) / pace / 60:.1f} min left" if pace > 0 else "time left unknown"
        say(f"{label}: {100 * done / total:.0f} %, {left}  {words}")

    return report
