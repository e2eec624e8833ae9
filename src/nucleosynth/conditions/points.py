"""Point patterns of nuclei: where each one is, and the maps that a network reads them from."""

from typing import Any, Protocol

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nucleosynth.conditions.structure import label_map, pixel_sums
from nucleosynth.errors import UserError
from nucleosynth.sample import Classes, Instances, Layout

Points = NDArray[np.float32]

REACH = 4.0
"""A splat ends this many sigma from its point on either axis, where it is below 4e-4."""


class Labelled(Protocol):
    """What has labelled nuclei: a Sample, or a Condition with a label."""

    @property
    def instances(self) -> Instances | None: ...
    @property
    def classes(self) -> Classes | None: ...
    @property
    def class_names(self) -> tuple[str, ...]: ...
    @property
    def mpp(self) -> float | None: ...


def from_instances(labelled: Labelled) -> Layout:
    """One point for each nucleus, in the order of ids, with its class (see `centroids`).

    Raises:
        UserError: a Condition without a label.
    """
    if labelled.instances is None or labelled.classes is None:
        raise UserError("no label to take points from", expected="instances and classes", got="neither")
    height, width = labelled.instances.shape
    xy = centroids(labelled.instances)
    return Layout(xy, labelled.classes, (height, width), labelled.class_names, labelled.mpp)


def centroids(instances: NDArray[Any]) -> Points:
    """x, y in px (n 2) of nuclei 1..n: the mean of the pixels, or the pixel nearest to it where that lies outside.

    Outside means that the pixel around the mean is not the nucleus's (a crescent; a mean on the edge between two
    pixels needs both). Of pixels equally near the first in raster order is taken. So the pixel under a point always
    belongs to its nucleus. Ids must have no gaps.

    Raises:
        UserError: not an instance map, or an id that does not occur.
    """
    labels, highest = label_map(instances)
    sums = pixel_sums(labels, highest)[1:]
    if not sums[:, 0].all():
        missing = int(np.argmin(sums[:, 0])) + 1
        raise UserError("ids with gaps", expected=f"ids 1..{highest}", got=f"id {missing} missing")
    means = (sums[:, 1:3] / sums[:, :1]).astype(np.float32)
    return _nearest_inside(labels, means, sums)


def gaussian_splats(layout: Layout, sigma_px: float) -> NDArray[np.float32]:
    """Gaussians around the points (C+1 h w), 0..1: channel 0 all nuclei, channel c those of class c.

    A Gaussian is 1 at its point, whose place between pixels is kept; where several overlap the largest counts, so
    crowding never exceeds 1. Nuclei of unknown type (class 0) are in channel 0 alone.

    Raises:
        UserError: a sigma that is not positive.
    """
    if not sigma_px > 0:
        raise UserError("no width for a splat", expected="sigma_px > 0", got=str(sigma_px))
    maps = np.zeros((len(layout.class_names) + 1, *layout.size), np.float32)
    _splat(maps, layout.xy, layout.classes, float(sigma_px))
    return maps


@njit(cache=True)
def _nearest_inside(labels: Instances, means: Points, sums: NDArray[np.int64]) -> Points:
    points = means.copy()
    for i in range(len(means)):
        x, y = means[i]
        inside = True
        for v in range(int(np.ceil(y - 0.5)), int(np.floor(y + 0.5)) + 1):
            for u in range(int(np.ceil(x - 0.5)), int(np.floor(x + 0.5)) + 1):
                inside = inside and labels[v, u] == i + 1
        if inside:
            continue
        best = np.inf
        for v in range(sums[i, 5], sums[i, 6] + 1):
            for u in range(sums[i, 3], sums[i, 4] + 1):
                square = (u - x) * (u - x) + (v - y) * (v - y)
                if labels[v, u] == i + 1 and square < best:
                    best = square
                    points[i, 0], points[i, 1] = u, v
    return points


@njit(cache=True)
def _splat(maps: NDArray[np.float32], xy: Points, classes: Classes, sigma: float) -> None:
    _, height, width = maps.shape
    reach = REACH * sigma
    for i in range(len(xy)):
        x, y = xy[i]
        left, right = max(int(np.ceil(x - reach)), 0), min(int(np.floor(x + reach)) + 1, width)
        along = np.exp(-0.5 * ((np.arange(left, right) - x) / sigma) ** 2)
        for v in range(max(int(np.ceil(y - reach)), 0), min(int(np.floor(y + reach)) + 1, height)):
            down = np.exp(-0.5 * ((v - y) / sigma) ** 2)
            for u in range(left, right):
                value = np.float32(down * along[u - left])
                maps[0, v, u] = max(maps[0, v, u], value)
                if classes[i]:
                    maps[classes[i], v, u] = max(maps[classes[i], v, u], value)
