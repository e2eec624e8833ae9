"""What `nucleosynth compare` prints: a table of scores, of shapes, of counts, and what is to be known of them."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from nucleosynth.encoders.encoder import Encoder
from nucleosynth.metrics.distribution import ENOUGH, title
from nucleosynth.progress import say

HEADS = ("score", "interval", "holds", "real vs synthetic (half)", "real vs real (half)", "real vs real, up to")
"""Of the columns of scores."""


def show(result: Mapping[str, Any], encode: Encoder) -> None:
    """Print the result of `verbs.compare` on standard output, and on standard error what is to be known of it."""
    console = Console(highlight=False, markup=False)
    n, at = result["windows"], f" at {result['mpp']:g} um per px" if result["mpp"] else ""
    console.print(f"{n['real']} real and {n['synthetic']} synthetic windows of {result['side_px']} px{at}")
    if result["scores"]:
        console.print(_scores(result["scores"]))
        _explain(result, encode)
    if result["shapes"]:
        console.print("\nWasserstein distance of each feature (between halves of the real windows), by class")
        console.print(_shapes(result["shapes"]))
    if result["counts"]:
        console.print("\nTotal variation of class counts, 0..1 (between halves of the real windows)")
        console.print(_counts(result["counts"]))
    drawn = result["drawn"]
    say(f"intervals and halves draw whole {drawn['real']} of the real side, whole {drawn['synthetic']} of the other")
    if "windows" in drawn.values():
        say("windows of one tile are alike: where single ones are drawn, intervals and floors come out too small")


def _explain(result: Mapping[str, Any], encode: Encoder) -> None:
    scores = result["scores"]
    say("(half): half of the real windows against as many synthetic ones, or against the other half (the floor), means")
    say("up to: what one halving in forty exceeds")
    say("interval: of 95 % by name, from halves drawn without replacement; holds: the share that did in simulation")
    say(f"encoder: {encode.name}, weights: {encode.digest}")
    biased, instead = (title(name, encode.name) for name in ("fd", "kid"))
    if result["windows"]["real"] < ENOUGH and biased in scores:
        say(f"below {ENOUGH} real images {biased} is biased upwards: read the kernel distance ({instead})")


def _scores(scores: Mapping[str, Mapping[str, Any]]) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0))
    table.add_column("", no_wrap=True)
    for head in HEADS:
        table.add_column(head, justify="right")
    for name, each in scores.items():
        interval = "" if each["low"] is None else f"{_short(each['low'])} .. {_short(each['high'])}"
        holds = "" if each["holds"] is None else f"{each['holds']:.0%}"
        numbers = (_short(each[key]) for key in ("at_floor", "floor", "floor_high"))
        table.add_row(name, _short(each["value"]), interval, holds, *numbers)
    return table


def _shapes(by_class: Mapping[str, Mapping[str, Mapping[str, float | None]]]) -> Table:
    """A row for each feature, a column for each class."""
    table = Table(box=None, padding=(0, 1, 0, 0))
    table.add_column("")
    for name in by_class:
        table.add_column(name, justify="right")
    for feature in next(iter(by_class.values())):
        table.add_row(feature, *(_beside(each[feature]) for each in by_class.values()))
    return table


def _counts(by_name: Mapping[str, Mapping[str, float | None]]) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), show_header=False)
    for name, each in by_name.items():
        table.add_row(name, _beside(each))
    return table


def _beside(found: Mapping[str, float | None]) -> str:
    if found["distance"] is None:
        return "-"
    return f"{_short(found['distance'], 3)} ({_short(found['floor'], 3)})"


def _short(value: float | None, digits: int = 4) -> str:
    if value is None:
        return "undefined"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.{digits}g}"
