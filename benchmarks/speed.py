"""All methods side by side in one run: parameters, evaluations, counted GFLOP, seconds a pair, memory, seconds a step.

    python benchmarks/speed.py [METHOD[:PRESET] | RUN ...] [--size 256] [--batch 4] [--seconds 10] [--json FILE]
                               [--device auto] [--precision auto]
    python benchmarks/speed.py --compile METHOD[:PRESET] | RUN   # what compiling gives its network (speed_compile.py)

Without names every method of the catalog, preset tiny. Each is trained for some seconds on drawn tissue, and makes
pairs of its default conditions, in two processes of its own, so that peaks are its own; a RUN is not trained but used.

    evaluations  passes of all networks for a pair, as sampled by default; GFLOP of a pair: as `nucleosynth cost` counts
    s a pair     everything from drawing the condition to the sample: the least of several batches after a first one
    network      share of that time inside of networks, in one batch more; the rest is drawing, noise, reading labels
    peak MB      of the process that makes pairs; of the one that trains. On CUDA of what torch took of the device
    s a step     of training at the preset's own tile and batch, each stage, waiting for the batch included: the
                 least after the first; - where --seconds held but one
    released     evaluations and GFLOP of a pair by the recipe as released, 256^2: counted, never run

A run is loaded as one whose tile is --size, so that pairs of that size share a batch. A network after seconds of
training shows few nuclei or many: reading its labels takes what it takes; give a RUN for a trained one. Presets other
than tiny are trained one step of two windows, just to be there, which says nothing of a step.
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import patch

from pydantic import BaseModel

from nucleosynth import catalog, config
from nucleosynth.errors import UserError
from nucleosynth.progress import say
from nucleosynth.run import Run

APART = "--apart"
"""Before the name of one of the three parts below and its arguments as JSON: run it, print what it returns."""
DRAWN = "phantom:tiles=12&sources=4&size={size}"
FEWEST, WINDOWS, LINES = 2, 2, 6
"""Timed batches at least; windows a step where training is not timed; lines of an error that are shown."""
COLUMNS = {
    "method": 20,
    "M parameters": 14,
    "evaluations": 13,
    "GFLOP": 11,
    "s a pair": 11,
    "network": 9,
    "peak MB": 9,
    "s a step": 15,
    "peak MB ": 9,
    "evaluations ": 13,
    "GFLOP ": 12,
}


def main() -> None:
    """Print the table, quickest first, and save it; exits with 1 if a method failed."""
    if sys.argv[1:2] == [APART]:
        print(json.dumps(PARTS[sys.argv[2]](*json.loads(sys.argv[3]))))
        return
    options = parsed()
    with_device = (options.device, options.precision)
    table = {
        "command": " ".join(["python benchmarks/speed.py", *sys.argv[1:]]),
        "date": str(datetime.now(UTC).date()),
        **apart("idle", *with_device),
        "size": options.size,
        "batch": options.batch,
        "rows": [],
    }
    print(f"{table['command']}    # {table['date']}, {table['hardware']}")
    if options.compile:
        compiled(options.compile, options.device, options.seconds)
        return
    failed = []
    for name in options.names or [entry.name for entry in catalog.CATALOG["method"]]:
        began = time.perf_counter()
        try:
            table["rows"].append(row(name, options.size, options.batch, options.seconds, *with_device))
        except subprocess.CalledProcessError as error:
            failed.append("\n".join([f"{name}: {error}", *error.stderr.splitlines()[-LINES:]]))
        say(f"{name}: {time.perf_counter() - began:.0f} s")
    table["rows"].sort(key=lambda row: row["seconds_per_pair"])
    show(table)
    if options.json:
        options.json.write_text(json.dumps(table, indent=1) + "\n")
    sys.exit("\n".join(failed) if failed else 0)


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="METHOD[:PRESET] | RUN")
    parser.add_argument("--size", type=int, default=256, help="side of a pair in px")
    parser.add_argument("--batch", type=int, default=4, help="pairs a batch")
    parser.add_argument("--seconds", type=float, default=10.0, help="for training, and for making pairs, of each")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--compile", metavar="METHOD")
    return parser.parse_args()


def row(name: str, size: int, batch: int, seconds: float, device: str, precision: str) -> dict[str, Any]:
    """One method's numbers: those of its training, if it is no run, and those of the pairs that it makes."""
    with run_of(name, size, {"minutes": seconds / 60}, device, precision) as (folder, training):
        making = apart("made", str(folder), size, batch, seconds, device, precision)
    told = folder.name if Path(name).is_dir() else f"{making['method']}:{making['preset']}"
    return {"name": told} | training | making


def compiled(name: str, device: str, seconds: float) -> None:
    """Print the table of speed_compile.py for a method or a run."""
    import speed_compile

    widest = max(size for size, _ in speed_compile.SHAPES)
    with run_of(name, widest, {"steps": 1}, device, "32-true") as (folder, _):
        loaded = partial(model_at, folder=str(folder), device=device, precision="32-true")
        for line in speed_compile.table(loaded, seconds):
            print(line, flush=True)


@contextmanager
def run_of(
    name: str, size: int, budget: Mapping[str, float], device: str, precision: str
) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The folder of a run, and what training it was measured: a run's own and nothing, or a method's trained now."""
    if Path(name).is_dir():
        yield Path(name), {}
        return
    method, _, preset = name.partition(":")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "run"
        yield folder, apart("trained", method, preset or "tiny", str(folder), size, budget, device, precision)


def apart(part: str, *arguments: Any) -> dict[str, Any]:
    """What a part of this script returns, run in a process of its own.

    Raises:
        CalledProcessError: it failed; `stderr` says why.
    """
    command = [sys.executable, __file__, APART, part, json.dumps(arguments)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def idle(device: str, precision: str) -> dict[str, Any]:
    """The hardware in words, and the memory of a process that has imported all of it and done nothing."""
    from nucleosynth.training.device import fabric_for

    fabric = fabric_for(device, precision)
    peak = peak_mb(fabric.device.type)
    from nucleosynth.studies.judges import hardware

    return {"hardware": hardware(fabric), "idle_mb": peak}


def trained(
    method: str, preset: str, folder: str, size: int, budget: Mapping[str, Any], device: str, precision: str
) -> dict[str, Any]:
    """Train on drawn tissue, wide enough for pairs of `size`; seconds a step and the peak.

    budget: {"minutes": M} or {"steps": N}. Every step is told and no sheet is made; a stage of one step has no seconds.
    A preset other than tiny is trained one step of two windows, and its seconds are not told.
    """
    from nucleosynth.training import loop
    from nucleosynth.verbs import fit

    settings = config.preset(fit.method_named(method).presets, preset)
    changes = [] if preset == "tiny" else [f"{place}={WINDOWS}" for place in batches(settings)]
    told: dict[str, list[float]] = defaultdict(list)

    def note(_run: Run, stage: str, _step: int, _values: Mapping[str, float]) -> None:
        told[stage].append(time.perf_counter())

    with patch.multiple(loop, LOG_EVERY=1, PICTURES=()), patch.object(Run, "log", note):
        run = fit.fit(
            method,
            data=DRAWN.format(size=size + size // 2),
            run=Path(folder),
            split="train",
            preset=preset,
            set=changes,
            **({"steps": 1} if changes else budget),
            device=device,
            precision=precision,
        )
    steps = {} if changes else {stage: least_gap(times) for stage, times in told.items()}
    return {
        "method": run.record.method,
        "preset": preset,
        "seconds_per_step": steps,
        "training_peak_mb": peak_mb(device_type(device)),
    }


def made(folder: str, size: int, batch: int, seconds: float, device: str, precision: str) -> dict[str, Any]:
    """What a run counts and measures for pairs of size^2 in batches."""
    from nucleosynth.verbs.cost import counted

    model = model_at(size, folder, device, precision)
    found = counted(type(model), model.settings, size, len(model.class_names))
    record = Run.open(folder).record
    least = least_batch(model, batch, seconds)
    peak = peak_mb(device_type(device))
    return {
        "method": record.method,
        "preset": record.preset,
        "parameters": sum(stage["parameters"] for stage in found["stages"]),
        "evaluations": sum(stage["evaluations"] for stage in found["stages"]),
        "gflop_per_pair": found["gflop_per_pair"],
        "seconds_per_pair": least / batch,
        "network_share": network_share(model, batch),
        "peak_mb": peak,
        "released": found["released"],
    }


def model_at(size: int, folder: str, device: str, precision: str) -> Any:
    """The method of a run (methods.method.Method), as one whose tile is size^2."""
    from nucleosynth.training.device import fabric_for

    record = Run.open(folder).record
    kind = catalog.load("method", record.method)
    settings = type(kind.presets["tiny"]).model_validate(record.settings)
    changed = config.resolve(settings, {"tile": size}, "--size").model_dump(mode="json")
    run = Run(Path(folder), record.model_copy(update={"settings": changed}), resume=True)
    return kind.load(run, fabric_for(device, precision))


def least_batch(model: Any, batch: int, seconds: float) -> float:
    """Seconds of the quickest batch in `seconds`, and at least `FEWEST`, after a first one that does not count."""
    conditions, times = model.default_conditions(0), []
    while len(times) <= FEWEST or sum(times[1:]) < seconds:
        began = time.perf_counter()
        samples = list(model.generate(conditions, 0, count=batch, start=len(times) * batch, batch=batch))
        times.append(time.perf_counter() - began)
        assert len(samples) == batch, "one sample a condition"
    return min(times[1:])


def network_share(model: Any, batch: int) -> float:
    """The share (0..1) of a batch's time that its networks' modules take."""
    from calls import now, outermost

    began = now()
    with outermost() as calls:
        list(model.generate(model.default_conditions(0), 0, count=batch, batch=batch))
    return sum(call.seconds for call in calls.values()) / (now() - began)


def least_gap(times: list[float]) -> float | None:
    """The least time between two steps that were told, or None where one was made."""
    return min((after - before for before, after in pairwise(times)), default=None)


def batches(settings: BaseModel, place: str = "") -> Iterator[str]:
    """The dotted names of all settings that say how many windows a step sees."""
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, BaseModel):
            yield from batches(value, f"{place}{name}.")
        elif name == "batch":
            yield f"{place}{name}"


def device_type(device: str) -> str:
    """ "cpu" or "cuda": what a name of `fabric_for` means here."""
    import torch

    name = device.partition(":")[0]
    return ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name


def peak_mb(kind: str) -> float:
    """The most memory that this process has held: resident, or on CUDA of what torch took of the device."""
    if kind == "cuda":
        import torch

        return torch.cuda.max_memory_allocated() / 2**20
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (2**20 if sys.platform == "darwin" else 2**10)


PARTS = {"idle": idle, "trained": trained, "made": made}


def show(table: Mapping[str, Any]) -> None:
    """A header, and one line a row."""
    print(f"pairs of {table['size']}^2 in batches of {table['batch']}; an idle process has {table['idle_mb']:.0f} MB")
    print(f"{'':{sum(COLUMNS.values()) - 49}}{'training':>24}{'as released, 256^2':>25}")
    print("".join(f"{name.strip():{'<' if name == 'method' else '>'}{wide}}" for name, wide in COLUMNS.items()))
    for each in table["rows"]:
        print("".join(f"{text:{'>' if k else '<'}{wide}}" for k, (text, wide) in enumerate(cells(each))))


def cells(each: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """The text and the width of each column of a row."""
    steps = ["-" if seconds is None else number(seconds) for seconds in each.get("seconds_per_step", {}).values()]
    released = each["released"]
    texts = (
        each["name"],
        f"{each['parameters'] / 1e6:.2f}",
        str(each["evaluations"]),
        number(each["gflop_per_pair"]),
        number(each["seconds_per_pair"]),
        f"{100 * each['network_share']:.0f} %",
        f"{each['peak_mb']:.0f}",
        " + ".join(steps),
        f"{each['training_peak_mb']:.0f}" if "training_peak_mb" in each else "",
        str(released["evaluations"]) if released else "",
        number(released["gflop_per_pair"]) if released else "",
    )
    return zip(texts, COLUMNS.values(), strict=True)


def number(value: float) -> str:
    """Three digits or more, without an exponent.

    Example:
        >>> number(0.012345), number(274.5), number(7.268e6)
        ('0.0123', '274.5', '7268000')
    """
    return f"{value:.{max(2 - math.floor(math.log10(value)), int(value < 1000))}f}"


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(str(error))
