"""`nucleosynth cost`: parameters, FLOPs and memory of a method, counted by running it on shapes alone."""

from collections.abc import Sequence
from json import dumps
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from nucleosynth import catalog
from nucleosynth.config import Settings, resolve
from nucleosynth.config import preset as preset_of
from nucleosynth.errors import UserError
from nucleosynth.methods.released import RELEASED
from nucleosynth.progress import count_of
from nucleosynth.run import Run, pretrained, write_whole
from nucleosynth.verbs.fit import assignments, method_named
from nucleosynth.verbs.options import Method

LEAST_PX = 8
UNITS = ((1e9, "EFLOP"), (1e6, "PFLOP"), (1e3, "TFLOP"))


def cost(
    method: Method,
    *,
    preset: str = "tiny",
    size: int | None = None,
    classes: int | None = None,
    set: Sequence[str] = (),
    json: Path | None = None,
) -> dict[str, Any]:
    """Count what one pair costs: 1 multiply-add = 2 FLOP, a guided step is two evaluations, training apart.

    Returns what is written as JSON: stages [{name, parameters, gflop_per_evaluation (one plain pass), gflop_once
    (what is computed once a sample), gflop_cached (a pass after that), evaluations, peak_mb (live tensors at the peak
    of one plain pass, MB in float32; weights are 4 bytes a parameter more)}] and gflop_per_pair, as sampled by default;
    and released: what the recipe as released costs at 256^2 {recipe, size, evaluations, gflop_per_pair}, from published
    numbers, or None where none are published.

    Args:
        method: a method (names are in `nucleosynth list`), or a run folder, whose settings and classes then count.
        preset: named settings of the method.
        size: side of the pair in px; that of the preset's or the run's own tile unless given.
        classes: number of classes; as many as the method was published with unless given.
        set: change one setting, as role=student of jointflow or sampling.steps=8; may be repeated.
        json: write the numbers to this file.

    Raises:
        UserError: an unknown name, or a size that the network cannot take.
    """
    if classes is not None and classes < 1:
        raise UserError("nothing to count", expected="at least 1 class", got=str(classes), where="--classes")
    if Path(method).is_dir() or pretrained(method):
        record = Run.open(method).record
        kind = catalog.load("method", record.method)
        settings = type(kind.presets["tiny"]).model_validate(record.settings)
        classes = len(record.class_names)
    else:
        kind = method_named(method)
        settings = preset_of(kind.presets, preset)
        classes = kind.published_classes if classes is None else classes
    settings = resolve(settings, assignments(set), "--set")
    size = settings.tile if size is None else size
    _check_size(size, settings.stride)
    found = counted(kind, settings, size, classes)
    if json:
        write_whole(json, dumps(found, indent=1))
    _print(found)
    return found


def counted(kind: Any, settings: Settings, size: int, classes: int) -> dict[str, Any]:
    """What `cost` returns, of a method (methods.method.Method) in some settings."""
    stages, released = kind.cost(settings, size, classes), RELEASED.get(kind.name)
    return {
        "method": kind.name,
        "size": size,
        "classes": classes,
        "stages": [stage.model_dump() for stage in stages],
        "gflop_per_pair": sum(stage.gflop for stage in stages),
        "released": released and released.told(),
    }


def _check_size(size: int, stride: int) -> None:
    """Refuse a side that the network cannot halve as often as it does."""
    least = -(-LEAST_PX // stride) * stride
    if size % stride or size < least:
        near = max(round(size / stride) * stride, least)
        raise UserError(
            "a size that the network cannot take",
            expected=f"a multiple of {stride} px, as the network halves it, from {least} px",
            got=f"{size} px",
            where="--size",
            mend=f"take --size {near}, or leave it out for the tile of the settings",
        )


def _print(found: dict[str, Any]) -> None:
    work = ("an\nevaluation", "once\na sample", "after\nthat", "evaluations")
    table = Table("stage", "parameters", *work, "memory\na pair", box=None, padding=(0, 1, 0, 0))
    for stage in found["stages"]:
        numbers = (stage[f"gflop_{name}"] for name in ("per_evaluation", "once", "cached"))
        shown = (*map(_flop, numbers), str(stage["evaluations"]), f"{stage['peak_mb']:.1f} MB")
        table.add_row(stage["name"], f"{stage['parameters'] / 1e6:.2f} M", *shown)
    console = Console(highlight=False)
    console.print(table)
    console.print(f"a pair of {found['size']}^2, {found['classes']} classes: {_flop(found['gflop_per_pair'])}")
    if released := found["released"]:
        of_a_pair = f"{_flop(released['gflop_per_pair'])} in {count_of(released['evaluations'], 'evaluation')}"
        console.print(
            f"as released, a pair of {released['size']}^2: {of_a_pair} ({released['recipe']})", soft_wrap=True
        )


def _flop(gflop: float) -> str:
    """Three digits or more, in the largest unit that makes it 1 or more.

    Example:
        >>> _flop(98213.4), _flop(0.5)
        ('98.2 TFLOP', '0.500 GFLOP')
    """
    factor, unit = next(((factor, unit) for factor, unit in UNITS if gflop >= factor), (1.0, "GFLOP"))
    number = gflop / factor
    return f"{number:.{1 if number >= 10 else 3}f} {unit}"
