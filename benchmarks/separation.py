"""Instance separation on perfect maps (CoSyn's table): real labels -> semantic, HV and distance maps -> nuclei, mDice.

    python benchmarks/separation.py consep:CoNSeP puma:PUMA monuseg:MoNuSeg phantom:

No network is involved. One row for each data set and resolution (its own, and every second pixel of it), the mean over
tiles of `metrics.separation`; tiles without nuclei are left out and counted. The last rows are published ones.
"""

import math
import sys
from collections.abc import Iterable, Iterator

import numpy as np

from nucleosynth.data.reader import read
from nucleosynth.metrics.instance import mean
from nucleosynth.metrics.separation import ALGORITHMS, separation
from nucleosynth.progress import count_of
from nucleosynth.sample import Classes, Instances, Sample, without_gaps

PUBLISHED = {
    "Lizard": (0.9383, 0.9374, 0.9754),
    "PanNuke": (0.9146, 0.9462, 0.9980),
    "EndoNuke": (0.5524, 0.9268, 0.9634),
}
"""Connected components, NuDiff's, CoSyn's, from the table of Min et al., CoSyn, ECCV 2024."""
WIDTH = 36


def resolutions(samples: Iterable[Sample]) -> Iterator[tuple[str, Instances, Classes, float]]:
    """The map itself and every second pixel of it, with its classes and mpp (NaN where it is not known)."""
    for sample in samples:
        mpp = sample.mpp or math.nan
        yield "full resolution", sample.instances, sample.classes, mpp
        halved = np.ascontiguousarray(sample.instances[::2, ::2])
        yield "half resolution", *without_gaps(halved, sample.classes), 2 * mpp


def row(name: str, values: Iterable[float], words: str = "") -> None:
    """Print one line of the table."""
    print(f"{name:{WIDTH}}" + "".join(f"{value:12.4f}" for value in values) + f"   {words}".rstrip(), flush=True)


def main(*data: str) -> None:
    """Print the table for each data set, then the published rows."""
    print(f"{'mDice':{WIDTH}}" + "".join(f"{name:>12}" for name in ("components", "NuDiff's", "points")))
    for each in data:
        found: dict[str, list[dict[str, float]]] = {}
        for resolution, instances, classes, mpp in resolutions(read(each)):
            found.setdefault(resolution, []).append(separation(instances, classes) | {"mpp": mpp})
        for resolution, scores in found.items():
            means = mean(scores)
            used, empty = means["points"].used, means["points"].left_out
            words = f"{count_of(used, 'tile')}, {means['mpp'].value:.2f} um" + (f", {empty} empty" if empty else "")
            row(f"{each.partition(':')[0]}, {resolution}", (means[name].value for name in ALGORITHMS), words)
    for name, values in PUBLISHED.items():
        row(f"{name}, as published", values, "Min et al., ECCV 2024")


if __name__ == "__main__":
    main(*sys.argv[1:])
