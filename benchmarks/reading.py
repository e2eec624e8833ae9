"""What reading nuclei in processes beside a network is worth: pairs a second with and without (methods/reading.py).

    python benchmarks/reading.py [PAIRS]

The network is made up: it sleeps 20 ms for a batch of 16 tiles of 256^2, as a fast GPU would take, and needs no core
meanwhile. What it "makes" are the channels of drawn tissue with noise, and JointFlow's coding reads them: that is real.
All ways are first checked for equal labels; they then take turns, and the best turn of each counts. Beside the pace,
which needs idle cores to be true, stands the time on the processor that a pair costs the network's own process: it
holds on a machine that is busy elsewhere.
"""

import os

os.environ.update(
    dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
)

import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import repeat

import cv2
import numpy as np
from numpy.testing import assert_array_equal

from nucleosynth.conditions.coding import Channels, LabelCoding
from nucleosynth.data.phantom import read
from nucleosynth.methods.batches import Group, in_order
from nucleosynth.methods.nudiff import NuDiffSettings
from nucleosynth.methods.reading import Label, Pairs, Unread, reading_in
from nucleosynth.sample import Condition, Sample

PAIRS = 128
BATCH = 16
SIDE = 256
NETWORK_S = 0.02
NOISE = 0.1
WAYS = (0, 1, 2)
TURNS = 5


class Sleeper:
    """A method whose network sleeps."""

    def __init__(self, tiles: Sequence[Sample]) -> None:
        coding = LabelCoding(tuple(range(1, len(tiles[0].class_names) + 1)))
        noise = np.random.default_rng(0)
        self.tiles, self.coding = tiles, coding
        self.maps: list[Channels] = [
            maps + NOISE * noise.standard_normal(maps.shape, np.float32)
            for maps in (coding.encode(tile.instances, tile.classes) for tile in tiles)
        ]

    def samples(self, count: int) -> list[Sample]:
        """So many pairs."""
        asked = repeat(Condition((SIDE, SIDE), None, self.tiles[0].class_names))
        return list(in_order(asked, self._make, NuDiffSettings(tile=SIDE), count=count, start=0, batch=BATCH))

    def _make(self, group: Group) -> Unread:
        time.sleep(NETWORK_S)
        reads = [partial(self.coding.decode, self.maps[slot.k % len(self.maps)]) for slot in group.slots]
        return Unread(reads, partial(self._finish, group))

    def _finish(self, group: Group, labels: Sequence[Label]) -> Pairs:
        tile = self.tiles[0]
        return [
            (slot.k, replace(tile, instances=instances, classes=classes))
            for slot, (instances, classes) in zip(group.slots, labels, strict=True)
        ]


def main() -> None:
    """Print pairs a second each way."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else PAIRS
    cv2.setNumThreads(1)
    method = Sleeper(list(read(f"tiles={BATCH}&size={SIDE}")))
    plain = method.samples(BATCH)
    paces, costs = dict.fromkeys(WAYS, 0.0), dict.fromkeys(WAYS, float("inf"))
    for _ in range(TURNS):
        for workers in WAYS:
            with reading_in(workers):
                for one, other in zip(plain, method.samples(BATCH), strict=True):  # the processes are up after it
                    assert_array_equal(one.instances, other.instances)
                    assert_array_equal(one.classes, other.classes)
                began, worked = time.perf_counter(), time.process_time()
                method.samples(count)
                paces[workers] = max(paces[workers], count / (time.perf_counter() - began))
                costs[workers] = min(costs[workers], 1000 * (time.process_time() - worked) / count)
    most = BATCH / NETWORK_S
    print(f"network {1000 * NETWORK_S:.0f} ms a batch of {BATCH} at {SIDE}^2: {most:.0f} pairs a second at most")
    for workers in WAYS:
        pace, cost = paces[workers], costs[workers]
        print(f"workers {workers}: {pace:6.1f} pairs a second; {cost:5.2f} ms a pair in its own process")


if __name__ == "__main__":
    main()
