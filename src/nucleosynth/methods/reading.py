"""Nuclei are read from what a network made in other processes, while the network makes the next batch.

A method hands over a batch as `Unread`: what is to be read, and how samples come of it. Within `reading_in(workers)`
the reads go to that many processes, elsewhere they are done where they stand; the samples are the same to the byte,
and `batches.in_order` has two batches in flight at most.

The processes are started anew (loky), not forked, so that neither CUDA nor threads break in them, and a user's script
needs no guard. They import what the reading needs, never torch, have one thread each, and end with this process.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from nucleosynth.errors import MachineError
from nucleosynth.sample import Classes, Instances, Sample

Label = tuple[Instances, Classes]
Read = Callable[[], Label]
Pairs = Iterable[tuple[int, Sample]]
"""Samples, each with its k."""

MOST = 8
"""Processes that are started unless more are asked for: they read faster than networks make."""
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
PARENT_EVERY_S = 1.0

_POOL: ContextVar[Any] = ContextVar("pool", default=None)


@dataclass(frozen=True)
class Unread:
    """What a network made of a batch, before its nuclei are read.

    reads: one callable for each slot, sent to another process: a partial of a module's function, or of a method of a
    small frozen dataclass, over arrays; never the model. finish: samples of their labels, in the order of `reads`; it
    stays in this process and may go on with a network.
    """

    reads: Sequence[Read]
    finish: Callable[[Sequence[Label]], Pairs]


def as_given(instances: Instances, classes: Classes) -> Label:
    """The label that a condition gives: nothing is to be read."""
    return instances, classes


@contextmanager
def reading_in(workers: int) -> Iterator[None]:
    """Within it nuclei are read in so many processes; 0 = where they stand. Afterwards the processes are gone.

    Raises:
        MachineError: one of the processes was killed.
    """
    pool = _started(workers) if workers else None
    before = _POOL.set(pool)
    whole = False
    try:
        yield
        whole = True
    finally:
        _POOL.reset(before)
        if pool is not None:
            pool.shutdown(kill_workers=not whole)


def spare_cores(device: str) -> int:
    """Processes to read in beside a network on such a device ("cpu", "cuda"): what it leaves idle, `MOST` at most."""
    if device == "cpu":
        return 0
    from loky import cpu_count

    return min(int(cpu_count()) - 1, MOST)


def ahead() -> int:
    """Batches that the network may be ahead of the samples."""
    return 0 if _POOL.get() is None else 1


def begin(made: Unread | Pairs) -> Callable[[], Pairs]:
    """Hand over what is to be read of a batch; what is returned waits for it and gives the samples.

    Raises:
        MachineError: a process that reads was killed. What a read raises comes out of it as if read here.
    """
    if not isinstance(made, Unread):
        pairs = list(made)
        return lambda: pairs
    pool = _POOL.get()
    if pool is None:
        return lambda: made.finish([read() for read in made.reads])
    with _killed():
        coming = [pool.submit(_tried, read) for read in made.reads]
    return lambda: made.finish([_found(*each) for each in zip(made.reads, coming, strict=True)])


def _found(read: Read, coming: "Future[Label | None]") -> Label:
    """What was read; what could not be is read again here, so that its error is the same as without processes."""
    with _killed():
        label = coming.result()
    return read() if label is None else label


@contextmanager
def _killed() -> Iterator[None]:
    try:
        yield
    except BrokenProcessPool as error:
        raise MachineError(
            "a process that reads nuclei was killed, perhaps for want of memory: have fewer, or none (--workers 0)"
        ) from error


def _started(workers: int) -> Any:
    from loky import ProcessPoolExecutor

    alone = dict.fromkeys(ONE_THREAD, "1")
    pool = ProcessPoolExecutor(workers, initializer=_settle, initargs=(os.getpid(),), env=alone)
    pool.submit(os.getpid)  # they start while the network makes its first batch
    return pool


def _tried(read: Read) -> Label | None:
    """In another process: what is read, None if that fails."""
    try:
        return read()
    except Exception:
        return None


def _settle(parent: int) -> None:
    """In another process: one thread; who started it ends it, Ctrl-C does not; and without a parent it ends itself."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import cv2

    cv2.setNumThreads(1)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(PARENT_EVERY_S)
    os._exit(1)
