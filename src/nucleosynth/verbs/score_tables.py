"""What `nucleosynth score` prints: tables of each aggregation, of paired centroids, of classes."""

import math
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from nucleosynth.progress import count_of

_TITLES = {
    "mean": "mean over images",
    "pannuke": "PanNuke: over classes, images, then tissues",
    "conic": "CoNIC: pooled by class, then over classes",
    "micro": "micro: all nuclei together",
}
_LABELS = {
    "dice": "Dice",
    "dice2": "Dice2",
    "aji": "AJI",
    "aji_plus": "AJI+",
    "bpq": "bPQ",
    "mpq": "mPQ",
    "mpq_plus": "mPQ+",
    "f_d": "F_d",
    "pq_pannuke": "PQ\nPanNuke",
    "f": "F_c",
    "precision": "prec.",
    "predicted": "found",
} | {name: name.upper() for name in ("dq", "sq", "pq", "r2")}
_LEFT_OUT = {
    "mean": (("image", "images"), "with no nuclei on either side"),
    "pannuke": (("image", "images"), "whose truth has none to score"),
    "conic": (("class", "classes"), "for which it is not defined"),
    "micro": (("", ""), ""),
}


def show(result: Mapping[str, Any]) -> None:
    """Print the result of `verbs.score` on standard output."""
    console = Console(highlight=False, markup=False)
    console.print(count_of(len(result["images"]), "image"))
    for name, found in result["aggregations"].items():
        _titled(console, _TITLES[name], _scores(found["scores"], found["left_out"], *_LEFT_OUT[name]))
        if len(found["by_tissue"]) > 1:
            _titled(console, "by tissue", _rows("tissue", found["by_tissue"]))
    centroids = result["centroids"]
    title = f"all nuclei together, centroids within {centroids['radius_px']:g} px, {centroids['pairing']} pairing"
    title += ", phantoms in images without nuclei" * centroids["phantom"]
    overall = {name: value for name, value in centroids["scores"].items() if name in ("f_d", "accuracy")}
    _titled(console, title, _scores(overall, {}))
    if result["classes"]:
        _titled(
            console,
            "by class: PQ, DQ, SQ pooled; F_c, precision, recall by centroids",
            _rows("class", result["classes"]),
        )


def _titled(console: Console, title: str, table: Table) -> None:
    console.print(f"\n{title}", style="bold")
    console.print(table)


def _scores(
    scores: Mapping[str, float], left_out: Mapping[str, int], nouns: tuple[str, str] = ("", ""), why: str = ""
) -> Table:
    table = Table(show_header=False, box=None)
    for name, value in scores.items():
        without = left_out.get(name, 0)
        words = f"without {without} {nouns[without != 1]} {why}" if without else ""
        table.add_row(label_of(name), "undefined" if math.isnan(value) else f"{value:.4f}", words)
    return table


def _rows(kind: str, rows: Mapping[str, Mapping[str, float]]) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0))
    table.add_column(kind)
    for name in next(iter(rows.values())):
        table.add_column(label_of(name), justify="right")
    for name, row in rows.items():
        table.add_row(name, *(_cell(value) for value in row.values()))
    return table


def label_of(name: str) -> str:
    """ "AJI+" for "aji_plus", "typed PQ" for "typed_pq"."""
    before, typed, after = name.partition("typed_")
    return f"typed {_LABELS[after]}" if typed and not before else _LABELS.get(name, name)


def _cell(value: float) -> str:
    if isinstance(value, int):
        return str(value)
    return "-" if math.isnan(value) else f"{value:.3f}"
