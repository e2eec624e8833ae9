"""Where the time of generation goes: operations of the networks by kind, and all that is not theirs.

    python benchmarks/profile_generate.py RUN [--size 256] [--batch 4]

A batch of pairs of the method's default conditions is made once to warm up and once under torch.profiler. Kinds are
told by the names of operations; "else" is what no operation of torch takes: drawing conditions, reading nuclei,
Python. Shares are of the wall time under the profiler, which itself takes some of it: compare kinds, not seconds.
"""

import argparse
import time
from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from torch.profiler import ProfilerActivity, profile

from nucleosynth import catalog
from nucleosynth.run import Run
from nucleosynth.training.device import fabric_for

KINDS: Mapping[str, tuple[str, ...]] = {
    "convolutions": ("conv",),
    "matrix products": ("mm", "linear", "matmul"),
    "attention": ("attention", "softmax"),
    "normalisation": ("norm", "rsqrt", "mean", "var"),
    "activations": ("silu", "gelu", "relu", "sigmoid"),
    "moving memory": ("copy", "cat", "shuffle", "reorder", "contiguous", "clone", "pad", "index", "upsample", "fill"),
    "arithmetic": ("add", "mul", "sub", "div", "lerp", "pow", "clamp", "where", "sum"),
}
"""Parts of operations' names; the first kind that fits counts."""
LINES = 12


def main() -> None:
    """Warm up, look, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--batch", type=int, default=4)
    options = parser.parse_args()
    run = Run.open(options.run)
    record = run.record.model_copy(update={"settings": run.record.settings | {"tile": options.size}})
    model = catalog.load("method", record.method).load(Run(run.folder, record, resume=True), fabric_for())
    make = partial(model.generate, count=options.batch, batch=options.batch)
    list(make(model.default_conditions(0), 0))
    began = time.perf_counter()
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        list(make(model.default_conditions(1), 1))
    wall = time.perf_counter() - began
    by_kind: Counter[str] = Counter()
    by_name: Counter[str] = Counter()
    for event in seen.key_averages():
        by_kind[kind(event.key)] += event.self_cpu_time_total / 1e6
        by_name[event.key] += event.self_cpu_time_total / 1e6
    by_kind["else"] = max(wall - by_kind.total(), 0.0)
    print(f"{options.batch} pairs of {options.size}^2 in {wall:.2f} s")
    for name, seconds in by_kind.most_common():
        print(f"  {name:<20}{seconds / wall:6.1%}")
    print("the operations that take most")
    for name, seconds in by_name.most_common(LINES):
        print(f"  {name:<44}{seconds / wall:6.1%}")


def kind(operation: str) -> str:
    """What an operation is, by its name."""
    return next((name for name, parts in KINDS.items() if any(part in operation for part in parts)), "other operations")


if __name__ == "__main__":
    main()
