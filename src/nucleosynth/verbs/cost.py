"""`nucleosynth cost`: parameters and FLOPs of a method, counted by running it on shapes alone."""

from json import dumps
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from nucleosynth import catalog
from nucleosynth.config import preset as preset_of
from nucleosynth.errors import UserError
from nucleosynth.run import Run, write_whole
from nucleosynth.verbs.options import Method


def cost(
    method: Method, *, preset: str = "tiny", size: int = 256, classes: int | None = None, json: Path | None = None
) -> dict[str, Any]:
    """Count what one pair costs: 1 multiply-add = 2 FLOP, a guided step is two evaluations, training apart.

    Returns what is written as JSON: stages [{name, parameters, gflop_per_evaluation (one plain pass), gflop_once
    (what is computed once a sample), gflop_cached (a pass after that), evaluations}] and gflop_per_pair, as sampled
    by default.

    Args:
        method: a method (names are in `nucleosynth list`), or a run folder, whose settings and classes then count.
        preset: named settings of the method.
        size: side of the pair in px.
        classes: number of classes; as many as the method was published with unless given.
        json: write the numbers to this file.

    Raises:
        UserError: an unknown name, or a size that the network cannot take.
    """
    if size < 8 or (classes is not None and classes < 1):
        raise UserError(
            "nothing to count", expected="a size of at least 8 px and at least 1 class", got=f"{size} px, {classes}"
        )
    if Path(method).is_dir():
        record = Run.open(method).record
        kind = catalog.load("method", record.method)
        settings = type(kind.presets["tiny"]).model_validate(record.settings)
        classes = len(record.class_names)
    else:
        kind = catalog.load("method", method)
        settings = preset_of(kind.presets, preset)
        classes = kind.published_classes if classes is None else classes
    stages = kind.cost(settings, size, classes)
    found = {
        "method": kind.name,
        "size": size,
        "classes": classes,
        "stages": [stage.model_dump() for stage in stages],
        "gflop_per_pair": sum(stage.gflop for stage in stages),
    }
    if json:
        write_whole(json, dumps(found, indent=1))
    _print(found)
    return found


def _print(found: dict[str, Any]) -> None:
    table = Table("stage", "parameters", "GFLOP an evaluation", "once a sample", "after that", "evaluations", box=None)
    for stage in found["stages"]:
        numbers = (stage[f"gflop_{name}"] for name in ("per_evaluation", "once", "cached"))
        cells = (stage["name"], f"{stage['parameters'] / 1e6:.2f} M", *(f"{number:.3f}" for number in numbers))
        table.add_row(*cells, str(stage["evaluations"]))
    console = Console(highlight=False)
    console.print(table)
    console.print(f"a pair of {found['size']}^2, {found['classes']} classes: {found['gflop_per_pair']:.1f} GFLOP")
