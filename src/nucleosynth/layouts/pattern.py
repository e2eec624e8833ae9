"""A pattern: the point pattern of one tile in micrometres, with where it comes from and what was done to it.

Lengths are micrometres from the left and the upper edge of the tile, so that nothing is rounded before a size in pixels
is asked for; `Layout` (sample.py) is the same in pixels.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from nucleosynth.data.tiles import size_at
from nucleosynth.errors import UserError
from nucleosynth.sample import Classes, Layout

Points = NDArray[np.float64]
LARGEST_UM = 1e5
"""A tile has no longer side."""


@dataclass(frozen=True, eq=False)
class Pattern:
    """Points xy_um (m 2) from the left upper corner of a tile of size_um (h w), their classes (m,), 0 = unknown type.

    source, licence: of the real tiles that it rests on, joined by "; " where there are several; operations: what was
    done to them, in order, each a record that JSON can hold.

    Raises:
        UserError: points that are none, or outside; a tile without an extent; classes that do not fit.
    """

    xy_um: Points
    classes: Classes
    size_um: tuple[float, float]
    class_names: tuple[str, ...]
    name: str = ""
    source: str = ""
    licence: str = ""
    operations: tuple[Mapping[str, Any], ...] = ()

    def __post_init__(self) -> None:
        where = f"layout {self.name!r}"
        if not all(0 < side <= LARGEST_UM for side in self.size_um):
            raise UserError(
                "a layout without an extent",
                expected=f"height and width above 0 and up to {LARGEST_UM:g} um",
                got=f"{self.size_um[0]} x {self.size_um[1]} um",
                where=where,
                mend="state the extent of the tile that the points were marked in",
            )
        if self.xy_um.ndim != 2 or self.xy_um.shape[1] != 2 or self.classes.shape != (len(self.xy_um),):
            got = f"{self.xy_um.shape} points, {self.classes.shape} classes"
            raise UserError(
                "points are not a list of x, y",
                expected="(m, 2) and a class for each",
                got=got,
                where=where,
                mend="give each nucleus its x, its y and its class, 0 where that is unknown",
            )
        outside = ~((self.xy_um >= 0) & (self.xy_um <= self.size_um[::-1])).all(axis=1)
        if outside.any():
            first = int(np.argmax(outside))
            raise UserError(
                "a point lies outside its tile",
                expected=f"x in 0..{self.size_um[1]:g} um, y in 0..{self.size_um[0]:g} um",
                got=f"x {self.xy_um[first, 0]:g}, y {self.xy_um[first, 1]:g} of nucleus {first + 1}",
                where=where,
                mend="correct the point, or the extent of the tile",
            )
        if self.classes.max(initial=0) > len(self.class_names):
            raise UserError(
                "a class out of range",
                expected=f"0..{len(self.class_names)}",
                got=f"class {self.classes.max()}",
                where=where,
                mend="name every class, or number the nucleus anew, 0 where its type is unknown",
            )

    @classmethod
    def of(cls, layout: Layout, mpp: float, name: str = "", source: str = "", licence: str = "") -> Self:
        """A layout whose pixels are `mpp` micrometres wide."""
        height, width = layout.size
        size_um = (height * mpp, width * mpp)
        xy_um = ((layout.xy.astype(np.float64) + 0.5) * mpp).clip(0, size_um[::-1])
        return cls(xy_um, layout.classes, size_um, layout.class_names, name, source, licence)

    def layout(self, mpp: float, stated: bool = True) -> Layout:
        """The same in pixels of `mpp` micrometres; sides are rounded to whole pixels, and points stay inside.

        stated: whether the layout says its resolution.
        """
        height, width = size_at(self.size_um, 1, mpp)  # type: ignore[arg-type]
        xy = (self.xy_um / mpp - 0.5).clip(-0.5, (width - 0.5, height - 0.5)).astype(np.float32)
        return Layout(xy, self.classes, (height, width), self.class_names, mpp if stated else None)

    def done(self, operation: Mapping[str, Any], xy_um: Points, classes: Classes, size_um: tuple[float, float]) -> Self:
        """What an operation made of it, which joins the record."""
        operations = (*self.operations, operation)
        return replace(self, xy_um=xy_um, classes=classes, size_um=size_um, operations=operations)

    def kept(self, operation: Mapping[str, Any], keep: NDArray[np.bool_]) -> Self:
        """What is left of it when an operation takes some points away; keep (m,)."""
        record = {**operation, "dropped": int(np.count_nonzero(~keep))}
        return self.done(record, self.xy_um[keep], self.classes[keep], self.size_um)

    def crop(self, top: float, left: float, height: float, width: float) -> Self:
        """The points inside a window, in the window's coordinates, um; the record stays as it is."""
        xy_um = self.xy_um - (left, top)
        keep = ((xy_um >= 0) & (xy_um <= (width, height))).all(axis=1)
        return replace(self, xy_um=xy_um[keep], classes=self.classes[keep], size_um=(height, width))

    def renamed(self, class_names: tuple[str, ...]) -> Self:
        """The pattern with its classes numbered as in another list of names; a merge never happens here.

        Raises:
            UserError: a nucleus of a class that the list has not.
        """
        lost = {self.class_names[kind - 1] for kind in np.unique(self.classes) if kind} - set(class_names)
        if lost:
            raise UserError(
                "classes that are not known here",
                expected=", ".join(class_names),
                got=", ".join(sorted(lost)),
                where=f"layout {self.name!r}",
                mend="sample layouts from a library of the same classes",
            )
        places = (class_names.index(name) + 1 if name in class_names else 0 for name in self.class_names)
        number = np.array([0, *places], np.uint8)
        return replace(self, classes=number[self.classes], class_names=class_names)


def joined(texts: Iterable[str]) -> str:
    """Sources or licences, some of them joined already, each once."""
    return "; ".join(sorted({each for text in texts for each in text.split("; ") if each}))
