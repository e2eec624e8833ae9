"""Nuclei read in other processes: the same samples, the same errors, and no process left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import repeat
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from made_reads import SIZE, killed, numbered, process, spoilt
from nucleosynth.data.phantom import read
from nucleosynth.errors import MachineError, UserError
from nucleosynth.methods.batches import Group, in_order
from nucleosynth.methods.nudiff import NuDiffSettings
from nucleosynth.methods.reading import MOST, Label, Pairs, Unread, reading_in, spare_cores
from nucleosynth.sample import Condition, Sample

TILE = next(iter(read("tiles=1&size=32")))


class Batches:
    """A made-up method: what it is asked for, in what order."""

    def __init__(self, read: Callable[[int], Label]) -> None:
        self.read = read
        self.events: list[str] = []
        self.labels: dict[int, Label] = {}

    def make(self, group: Group) -> Unread:
        batch = group.slots[0].k // 4
        self.events.append(f"network {batch}")

        def finish(labels: Sequence[Label]) -> Pairs:
            self.events.append(f"samples {batch}")
            self.labels.update(zip((slot.k for slot in group.slots), labels, strict=True))
            for slot in group.slots:
                yield slot.k, replace(TILE, sample_id=f"{slot.k:03d}")

        return Unread([partial(self.read, slot.k) for slot in group.slots], finish)

    def samples(self, count: int = 16) -> Iterator[Sample]:
        asked = repeat(Condition(SIZE, None, TILE.class_names))
        return in_order(asked, self.make, NuDiffSettings(), count=count, start=0, batch=4)


def test_samples_come_in_order_and_the_network_is_one_batch_ahead() -> None:
    here, there = Batches(numbered), Batches(numbered)
    plain = [sample.sample_id for sample in here.samples(14)]
    with reading_in(2):
        samples = there.samples(14)
        first = next(samples)
        assert there.events == ["network 0", "network 1", "samples 0"]
        assert [sample.sample_id for sample in (first, *samples)] == plain == [f"{k:03d}" for k in range(14)]
    assert here.events == [f"{what} {k}" for k in range(4) for what in ("network", "samples")]
    for k in range(14):
        assert_array_equal(there.labels[k][0], numbered(k)[0])


def test_processes_are_others_with_one_thread_and_no_torch() -> None:
    method = Batches(process)
    with reading_in(2):
        list(method.samples())
    pids, threads, torch = np.concatenate([instances for instances, _ in method.labels.values()]).T
    assert os.getpid() not in pids
    assert set(threads) == {1}
    assert not torch.any()
    with reading_in(0):
        list(method.samples())
    assert {int(instances[0, 0]) for instances, _ in method.labels.values()} == {os.getpid()}


def test_no_pool_is_left_after_the_context() -> None:
    method = Batches(process)
    with reading_in(2):
        list(method.samples(4))
    others = {int(instances[0, 0]) for instances, _ in method.labels.values()}
    assert not any(alive(pid) for pid in others)
    list(method.samples(4))
    assert int(method.labels[0][0][0, 0]) == os.getpid()


def test_finished_samples_pass_as_they_are() -> None:
    def make(group: Group) -> Pairs:
        return [(slot.k, TILE) for slot in reversed(group.slots)]

    asked = repeat(Condition(SIZE, None, TILE.class_names))
    with reading_in(1):
        assert list(in_order(asked, make, NuDiffSettings(), count=6, start=0, batch=4)) == [TILE] * 6


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_is_the_same_in_either_place(workers: int) -> None:
    samples: list[str] = []
    with pytest.raises(UserError, match="cannot be read") as caught, reading_in(workers):
        samples.extend(sample.sample_id for sample in Batches(spoilt).samples())
    assert (caught.value.got, caught.value.mend) == ("sample 5", "mend it")
    assert samples == ["000", "001", "002", "003"]


def test_a_killed_process_is_the_machine_s_fault() -> None:
    with pytest.raises(MachineError, match=r"was killed.*--workers 0"), reading_in(2):
        list(Batches(killed).samples())


def test_a_cpu_has_no_core_to_spare_beside_its_network() -> None:
    assert spare_cores("cpu") == 0
    assert 0 <= spare_cores("cuda") <= MOST


SCRIPT = """
import signal, sys, time
from functools import partial
signal.signal(signal.SIGINT, signal.default_int_handler)  # tests that run in the background may ignore it
sys.path.insert(0, {tests!r})
from made_reads import process
from nucleosynth.methods.reading import Unread, begin, reading_in

pids = set()

def finish(labels):
    pids.update(int(instances[0, 0]) for instances, _ in labels)
    return []

with reading_in(2):  # no guard: a script of a user
    while len(pids) < 2:
        begin(Unread([partial(process, k) for k in range(8)], finish))()
    print(*pids, flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "killed"])
def test_no_process_stays_behind(stop: signal.Signals, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(tests=str(Path(__file__).parents[1])))
    with subprocess.Popen(
        [sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as running:
        try:
            assert running.stdout is not None
            pids = [int(pid) for pid in running.stdout.readline().split()]
            assert len(pids) == 2
            assert all(map(alive, pids))
            if stop == signal.SIGINT:  # a terminal sends it to all of them
                os.killpg(running.pid, stop)
            else:
                running.kill()
            _, said = running.communicate(timeout=30)
        finally:
            running.kill()
    limit = time.monotonic() + 10
    while any(map(alive, pids)) and time.monotonic() < limit:
        time.sleep(0.1)
    assert not any(map(alive, pids))
    assert said.count("Traceback") == (stop == signal.SIGINT)


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and that nobody has asked about does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
