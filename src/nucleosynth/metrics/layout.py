"""How far two sets of layouts lie apart: how many nuclei of each class there are, and how near to each other.

Distances to neighbours are cut off by the border of a tile, so layouts of one size are compared with layouts of that
size. Nuclei of unknown type count among "all" alone.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree
from scipy.stats import wasserstein_distance

from nucleosynth.errors import UserError
from nucleosynth.metrics.overlap import check_names
from nucleosynth.metrics.resampling import Side, estimate
from nucleosynth.sample import Layout

Floats = NDArray[np.float64]

ALL = "all"
BESIDE = ("floor", "limit", "at_floor")


def layout_distances(
    real: Sequence[Layout],
    sampled: Sequence[Layout],
    class_names: Sequence[str],
    *,
    groups: NDArray[Any] | None = None,
    halvings: int = 20,
    seed: int = 0,
) -> dict[str, float]:
    """1-Wasserstein distances between two sets of layouts: "all.count", "<class>.count", "<class>.neighbour_um" ...

    `count`: of how many nuclei (of that class) a layout has; `neighbour_um`: of how far each is from the nearest other
    nucleus; `alike_um`: from the nearest other one of its class. Beside each, over seeded random halvings of the real
    layouts: "....floor", the distance between the halves, the mean; "....limit", what one halving in forty exceeds;
    "....at_floor", the distance of as many sampled layouts to one of the halves, the mean. So sampled layouts lie
    within the spread of real ones where at_floor is at most the limit (`within`). groups (n,): real layouts that are
    not independent (a slide's), which come into the same half. NaN where a side has no such nucleus, as on empty
    layouts, and beside it for fewer than two real layouts. Source: Ramdas et al., On Wasserstein two-sample testing,
    Entropy 2017.

    Raises:
        UserError: layouts of unknown resolution or of other classes, groups that do not fit, or a class name that is
            there twice, "all" or one of those beside a distance.
    """
    check_names(class_names, (ALL, *BESIDE))
    tables = [_measured(layout, class_names) for layout in (*real, *sampled)]
    names = [f"{ALL}.count", f"{ALL}.neighbour_um"]
    names += [f"{name}.{kind}" for name in class_names for kind in ("count", "neighbour_um", "alike_um")]

    def score(one: NDArray[np.intp], other: NDArray[np.intp]) -> dict[str, float]:
        return {name: _distance([tables[k][name] for k in one], [tables[k][name] for k in other]) for name in names}

    first, second = np.arange(len(real)), len(real) + np.arange(len(sampled))
    found = estimate(score, Side(first, groups), Side(second), draws=0, halvings=halvings, seed=seed)
    result: dict[str, float] = {}
    for name, each in found.items():
        beside = (each.floor, each.floor_high, each.at_floor)
        result |= {name: each.value} | {f"{name}.{word}": value for word, value in zip(BESIDE, beside, strict=True)}
    return result


def within(distances: Mapping[str, float]) -> dict[str, bool]:
    """Of `layout_distances`: whether sampled layouts lie within the spread of real ones, for each that is known."""
    return {
        name.removesuffix(".at_floor"): value <= distances[f"{name.removesuffix('.at_floor')}.limit"]
        for name, value in distances.items()
        if name.endswith(".at_floor") and not np.isnan(value)
    }


def _measured(layout: Layout, class_names: Sequence[str]) -> dict[str, Floats]:
    """A layout's numbers by name: how many nuclei (1,), their distances (m,)."""
    if layout.mpp is None or tuple(class_names) != layout.class_names:
        raise UserError(
            "a layout that cannot be compared",
            expected=f"micrometres per pixel, and classes {', '.join(class_names)}",
            got=f"mpp {layout.mpp}, classes {', '.join(layout.class_names)}",
            mend="state mpp, and read all layouts in one list of classes",
        )
    xy_um = layout.xy.astype(np.float64) * layout.mpp
    nearest = _nearest(xy_um)
    found = {f"{ALL}.count": np.array([float(len(xy_um))]), f"{ALL}.neighbour_um": nearest[np.isfinite(nearest)]}
    for kind, name in enumerate(class_names, start=1):
        chosen = layout.classes == kind
        alike = _nearest(xy_um[chosen])
        found[f"{name}.count"] = np.array([float(np.count_nonzero(chosen))])
        found[f"{name}.neighbour_um"] = nearest[chosen & np.isfinite(nearest)]
        found[f"{name}.alike_um"] = alike[np.isfinite(alike)]
    return found


def _nearest(xy_um: Floats) -> Floats:
    """(m,) to the nearest other point, inf where there is none."""
    if len(xy_um) < 2:
        return np.full(len(xy_um), np.inf)
    return np.asarray(KDTree(xy_um).query(xy_um, k=2)[0], np.float64)[:, 1]


def _distance(one: Sequence[Floats], other: Sequence[Floats]) -> float:
    left, right = (np.concatenate([np.empty(0), *each]) for each in (one, other))
    return float(wasserstein_distance(left, right)) if len(left) and len(right) else float("nan")
