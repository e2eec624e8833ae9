"""Layouts as what a method is asked for: conditions of a table, or windows of them."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from nucleosynth.data.tiles import grid
from nucleosynth.errors import UserError
from nucleosynth.layouts import table
from nucleosynth.layouts.pattern import Pattern
from nucleosynth.sample import Condition


def layout_conditions(
    path: Path, class_names: tuple[str, ...], mpp: float | None, size: int | None = None
) -> Iterator[Condition]:
    """The layouts of a table at a method's resolution, in its classes; whole, or in windows of `size` px.

    Windows do not overlap but for the last row and column.

    Raises:
        UserError: no table of layouts, a class that the method does not know, a layout smaller than a window, or a
            method of unknown resolution.
    """
    if mpp is None:
        raise UserError(
            "unknown resolution",
            expected="a model whose tiles have micrometres per pixel, as layouts are in micrometres",
            got="none",
            where=str(path),
            mend="train on tiles of known resolution",
        )
    for pattern in table.read(path):
        whole = condition_of(pattern.renamed(class_names), mpp)
        if size is None:
            yield whole
            continue
        layout = whole.points
        assert layout is not None, "a condition of a pattern has points"
        for top, left in grid(whole.size, size, size):
            name = f"{pattern.name}_y{top}_x{left}" if whole.size != (size, size) else pattern.name
            yield replace(whole, size=(size, size), name=name, points=layout.crop(top, left, size, size))


def condition_of(pattern: Pattern, mpp: float, stated: bool = True) -> Condition:
    """Nuclei at the places of a pattern, at that many micrometres per pixel; stated: whether it says so."""
    layout = pattern.layout(mpp, stated)
    return Condition(
        layout.size,
        layout.mpp,
        layout.class_names,
        points=layout,
        name=pattern.name,
        source=pattern.source,
        licence=pattern.licence,
        operations=pattern.operations,
    )
