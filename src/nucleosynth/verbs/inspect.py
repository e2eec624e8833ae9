"""`nucleosynth inspect`: what is in the data, in numbers and in one picture."""

import re
from collections.abc import Iterable, Sequence
from json import dumps
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from nucleosynth.curation.census import Census
from nucleosynth.curation.duplicates import Fingerprint, fingerprint
from nucleosynth.data.findings import Finding, keeping, told
from nucleosynth.data.reader import read
from nucleosynth.pictures import write_contact_sheet
from nucleosynth.progress import say
from nucleosynth.run import write_whole
from nucleosynth.sample import Sample
from nucleosynth.verbs.options import Data

SHOWN = 8
"""Tiles in the contact sheet, spread over the data."""
LISTED = 8
"""Values of a kind that are printed; the JSON has all."""


def inspect(
    data: Data,
    *,
    split: str | None = None,
    classes: str | None = None,
    beside: Sequence[str] = (),
    json: Path | None = None,
    sheet: Path | None = None,
) -> dict[str, Any]:
    """Count images, nuclei, classes, sizes and sources, find tiles that are there twice, and draw a contact sheet.

    Returns what is written as JSON: images, nuclei, classes {name: nuclei}, sources, sizes ("width x height"), splits,
    tissues, stains, mpp, licences, class_scheme and labelled_as {value: images}; repairs {words: how many}, what was
    mended while reading; told, what is missing or left out; median_diameter_px of a nucleus (of a disc of its area);
    area_px and area_um2 {class: quantiles}; stain {colour or stain: mean and sd over tiles}; duplicates, groups of
    tiles that are the same.

    Args:
        data: what to read: name:path, or the path of a store; names are in `nucleosynth list`.
        split: look at this official split alone, or at several (fold1,fold2).
        classes: read them in this class scheme: a name of `nucleosynth list`, or a TOML file.
        beside: look for tiles of this data among them as well (CoNSeP's are in Lizard); may be repeated.
        json: write the numbers to this file.
        sheet: the contact sheet's file; by default inspect_<name>.png in the current folder.

    Raises:
        UserError: data that cannot be read.
    """
    census, shown = Census(), _Spread(SHOWN)
    heard: list[Finding] = []
    for sample in read(data, split, classes, keeping(heard)):
        census.add(sample)
        shown.add(sample)
    found = census.numbers() | {"told": told(heard)}
    if beside:
        found["duplicates"] = census.duplicates([each for other in beside for each in _prints(other)])
    sheet = sheet or Path(f"inspect_{_short_name(data)}.png")
    write_contact_sheet(sheet, shown.chosen())
    if json:
        write_whole(json, dumps(found, indent=1))
    _print(found, data)
    say(f"contact sheet of {len(shown.chosen())} of {found['images']} tiles: {sheet}")
    return found


class _Spread:
    """A few samples out of many, evenly spread, whatever the number turns out to be."""

    def __init__(self, count: int) -> None:
        self.kept: list[Sample] = []
        self._count, self._step, self._seen = count, 1, 0

    def add(self, sample: Sample) -> None:
        """Keep every step-th; where there are more than twice as many as wanted, every other one goes."""
        if self._seen % self._step == 0:
            self.kept.append(sample)
            if len(self.kept) > 2 * self._count:
                self.kept, self._step = self.kept[::2], 2 * self._step
        self._seen += 1

    def chosen(self) -> list[Sample]:
        """As many of the kept ones as wanted, the first among them."""
        few = min(self._count, len(self.kept))
        return [self.kept[k * len(self.kept) // few] for k in range(few)]


def _prints(data: str) -> Iterable[tuple[str, str, Fingerprint]]:
    return ((f"{data} {each.sample_id}", each.split, fingerprint(each.image)) for each in read(data))


def _short_name(data: str) -> str:
    name, _, where = data.partition(":")
    return re.sub(r"[^\w.-]+", "_", Path(where or name).name) or "data"


def _print(found: dict[str, Any], data: str) -> None:
    table = Table(title=data, title_justify="left", show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_row("images", str(found["images"]))
    table.add_row("nuclei", str(found["nuclei"]))
    table.add_row("classes", "\n".join(_class_lines(found)))
    for name in ("sizes", "splits", "tissues", "stains", "mpp", "labelled_as", "class_scheme", "licences"):
        table.add_row(
            name.replace("_", " "),
            "\n".join(_some([f"{value}: {count} tiles" for value, count in found[name].items()])),
        )
    table.add_row("sources", str(len(found["sources"])))
    diameter = found["median_diameter_px"]
    table.add_row("median diameter", "no nuclei" if diameter is None else f"{diameter:.1f} px")
    table.add_row("stain", "\n".join(f"{name}: {v['mean']:.3g} +- {v['sd']:.2g}" for name, v in found["stain"].items()))
    table.add_row("mended", "\n".join(f"{words}: {count}" for words, count in found["repairs"].items()) or "nothing")
    table.add_row("told", "\n".join(found["told"]) or "nothing")
    table.add_row("the same tile", "\n".join(_some([_same(each) for each in found["duplicates"]])) or "none twice")
    Console(highlight=False, markup=False).print(table)


def _class_lines(found: dict[str, Any]) -> Iterable[str]:
    """Number of nuclei of each class, and the area that nine of ten of them have."""
    for name, count in found["classes"].items():
        um2, px = found["area_um2"].get(name), found["area_px"].get(name)
        areas, unit = (um2, "um2") if um2 else (px, "px")
        size = f", median {areas['50%']:.0f} {unit}, most {areas['5%']:.0f} to {areas['95%']:.0f}" if areas else ""
        yield f"{name}: {count}{size}"


def _same(group: dict[str, Any]) -> str:
    across = f", in splits {' and '.join(group['splits'])}" if len(group["splits"]) > 1 else ""
    return " = ".join(group["tiles"]) + across


def _some(lines: list[str]) -> list[str]:
    return lines if len(lines) <= LISTED else [*lines[:LISTED], f"and {len(lines) - LISTED} more"]
