"""What the judge is to say of a labelled window: nuclei, the field of their centres, types."""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nucleosynth.conditions import structure
from nucleosynth.sample import Classes, Instances


def targets(
    instances: Instances,
    classes: Classes,
    coding: Literal["offsets", "hover"],
    offset_px: float,
    *,
    side: int | None = None,
    released: bool = False,
) -> dict[str, NDArray[Any]]:
    """Targets of one window: `nuclei` (h w) int64, 0 or 1; `offsets` / offset_px or `hover`, (2 h w) float32; `type`
    (h w) int64: 0 background, 1..C, structure.UNKNOWN in nuclei of unknown type.

    instances (h w), one connected piece each, ids 1..n; classes (n,). side: of the middle that the maps show, in px, if
    they are smaller than the window; a nucleus that its border cuts keeps its centre. released: see `released_hv`.
    """
    rows, columns = middle(instances.shape, side)
    if coding == "offsets":
        field = structure.offsets(instances) / np.float32(offset_px)
    else:
        field = released_hv(instances, (rows, columns)) if released else structure.hv(instances)
    types = structure.semantic(instances, classes)
    whole = {"nuclei": (instances > 0).astype(np.int64), coding: field, "type": types.astype(np.int64)}
    return {name: array[..., rows, columns] for name, array in whole.items()}


def middle(size: tuple[int, ...], side: int | None) -> tuple[slice, slice]:
    """Where the middle side^2 px of a window of `size` (h w) lie; all of it if no side is given."""
    if side is None:
        return slice(None), slice(None)
    top, left = ((whole - side) // 2 for whole in size)
    return slice(top, top + side), slice(left, left + side)


def released_hv(instances: Instances, cut: tuple[slice, slice]) -> structure.Field:
    """HV maps (2 h w) as the released code makes them: positions counted from 1, rounded centres, and none in a nucleus
    of which less than `structure.RELEASED_MIN_AREA` px lie inside the rows and columns `cut`."""
    field = structure.hv(instances, released=True)
    seen = np.bincount(instances[cut].ravel(), minlength=int(instances.max(initial=0)) + 1)
    return np.where(seen[instances] < structure.RELEASED_MIN_AREA, np.float32(0), field)
