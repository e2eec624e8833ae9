"""`nucleosynth inspect`: what is in the data, in numbers and in one picture."""

import re
from collections import Counter
from collections.abc import Iterable
from json import dumps
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from tyro.conf import Positional

from nucleosynth.data.reader import read
from nucleosynth.pictures import write_contact_sheet
from nucleosynth.progress import say
from nucleosynth.run import write_whole
from nucleosynth.sample import Sample

SHOWN = 8
"""Tiles in the contact sheet: the first ones."""


def inspect(data: Positional[str], *, json: Path | None = None, sheet: Path | None = None) -> dict[str, Any]:
    """Count images, nuclei, classes, sizes and sources, and draw a contact sheet.

    Returns what is written as JSON: images, nuclei, classes {name: nuclei}, sources, sizes ("width x height"), splits,
    tissues, mpp and labelled_as {value: images}, and the median diameter of a nucleus (of a disc of its area), in px.

    Args:
        data: what to read: name:path, or the path of a store; names are in `nucleosynth list`.
        json: write the numbers to this file.
        sheet: the contact sheet's file; by default inspect_<name>.png in the current folder.

    Raises:
        UserError: data that cannot be read.
    """
    first: list[Sample] = []
    found = summary(_keeping(read(data), first))
    sheet = sheet or Path(f"inspect_{_short_name(data)}.png")
    write_contact_sheet(sheet, first)
    if json:
        write_whole(json, dumps(found, indent=1))
    _print(found, data)
    say(f"contact sheet: {sheet}")
    return found


def summary(samples: Iterable[Sample]) -> dict[str, Any]:
    """The numbers of `inspect`; reads the samples once, one at a time."""
    counts: dict[str, Counter[str]] = {
        name: Counter() for name in ("classes", "sources", "sizes", "splits", "tissues", "mpp", "labelled_as")
    }
    images, areas = 0, [np.empty(0, np.int64)]
    for sample in samples:
        images += 1
        areas.append(np.bincount(sample.instances.ravel())[1:])
        kinds = np.bincount(sample.classes, minlength=len(sample.class_names) + 1)
        counts["classes"].update(dict(zip(sample.class_names, kinds[1:].tolist(), strict=True)))
        if kinds[0]:
            counts["classes"]["unknown"] += int(kinds[0])
        counts["sources"][sample.source] += 1
        counts["sizes"][f"{sample.size[1]} x {sample.size[0]}"] += 1
        counts["splits"][sample.split or "none"] += 1
        counts["tissues"][sample.tissue] += 1
        counts["mpp"]["unknown" if sample.mpp is None else f"{sample.mpp:g}"] += 1
        counts["labelled_as"][sample.labelled_as] += 1
    nuclei = np.concatenate(areas)
    diameter = float(np.median(2 * np.sqrt(nuclei / np.pi))) if len(nuclei) else None
    plain = {name: dict(counter) for name, counter in counts.items()}
    return {"images": images, "nuclei": len(nuclei), **plain, "median_diameter_px": diameter}


def _keeping(samples: Iterable[Sample], first: list[Sample]) -> Iterable[Sample]:
    for sample in samples:
        if len(first) < SHOWN:
            first.append(sample)
        yield sample


def _short_name(data: str) -> str:
    name, _, where = data.partition(":")
    return re.sub(r"[^\w.-]+", "_", Path(where or name).name) or "data"


def _print(found: dict[str, Any], data: str) -> None:
    table = Table(title=data, title_justify="left", show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_row("images", str(found["images"]))
    table.add_row("nuclei", str(found["nuclei"]))
    for name in ("classes", "sizes", "splits", "tissues", "mpp", "labelled_as"):
        table.add_row(name, "\n".join(f"{value}: {count}" for value, count in found[name].items()))
    table.add_row("sources", str(len(found["sources"])))
    diameter = found["median_diameter_px"]
    table.add_row("median diameter", "no nuclei" if diameter is None else f"{diameter:.1f} px")
    Console(highlight=False, markup=False).print(table)
