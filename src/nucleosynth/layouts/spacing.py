"""How near nuclei lie to each other, and new places for some that keep to it.

A hard core: no two nuclei nearer than nearly all real ones of their class are. Beyond that each new nucleus takes a
real one of its class for a model, and of some free places the one where the nearest nucleus, and the nearest of its
own class, are as far away as there: real nuclei crowd, and a hard core alone would spread them out.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from nucleosynth.layouts.pattern import Pattern, Points
from nucleosynth.sample import Classes

CORE = 0.05
"""Quantile of the distances to the nearest nucleus that is the hard core of a class."""
PLACES = 32
"""Places that are tried for a nucleus."""


@dataclass(frozen=True)
class Spacing:
    """Distances (n 2) of some nuclei, um: to the nearest other, and to the nearest of the same class; inf for none."""

    classes: Classes
    distances_um: Points

    @classmethod
    def of(cls, pattern: Pattern) -> "Spacing":
        """The distances in a pattern."""
        return cls(pattern.classes, np.stack([nearest(pattern.xy_um), nearest_alike(pattern)], axis=1))

    def models(self, kind: int) -> Points:
        """(n 2) the distances of the nuclei of a class; of all where it has none."""
        chosen = self.distances_um[self.classes == kind]
        return chosen if len(chosen) else self.distances_um

    def core(self, kind: int) -> float:
        """Least distance of a nucleus of that class to any other, um; 0 where none is known."""
        known = self.models(kind)[:, 0]
        known = known[np.isfinite(known)]
        return float(np.quantile(known, CORE)) if len(known) else 0.0


def nearest(xy_um: Points) -> Points:
    """(m,) distance of each point to the nearest other one, inf where there is none."""
    if len(xy_um) < 2:
        return np.full(len(xy_um), np.inf)
    return np.asarray(KDTree(xy_um).query(xy_um, k=2)[0], np.float64)[:, 1]


def nearest_alike(pattern: Pattern) -> Points:
    """(m,) distance of each point to the nearest other one of its class, inf where there is none."""
    found = np.full(len(pattern.classes), np.inf)
    for kind in np.unique(pattern.classes):
        chosen = pattern.classes == kind
        found[chosen] = nearest(pattern.xy_um[chosen])
    return found


def arranged(
    classes: Classes, size_um: tuple[float, float], spacing: Spacing, generator: np.random.Generator
) -> tuple[Points, Classes]:
    """New places (m 2) for nuclei of these classes in a tile of size_um (h w), and the classes of those that fit.

    They come in a random order; one for which no free place is found is left out.
    """
    sides, largest = np.array(size_um[::-1]), float(np.hypot(*size_um))
    cores = {int(kind): spacing.core(int(kind)) for kind in np.unique(classes)}
    places, kinds, models = np.empty((0, 2)), np.empty(0, np.uint8), np.empty((0, 2))
    for kind in generator.permutation(classes):
        known = spacing.models(int(kind))
        model = np.minimum(known[generator.integers(len(known))], largest) if len(known) else np.full(2, largest)
        tried = generator.uniform(0, 1, (PLACES, 2)) * sides
        apart = np.linalg.norm(tried[:, None] - places[None], axis=2)
        free = apart.min(axis=1, initial=np.inf) >= cores[int(kind)]
        if free.any():
            misfit = _misfit(apart, kinds == kind, model, models, largest)
            best = int(np.argmin(np.where(free, misfit, np.inf)))
            places, models = np.concatenate([places, tried[best : best + 1]]), np.concatenate([models, model[None]])
            kinds = np.append(kinds, kind)
    return places, kinds


def _misfit(apart: Points, alike: NDArray[np.bool_], model: Points, models: Points, largest: float) -> Points:
    """(p,) how ill each of some places suits its own model (2,), and those of the nuclei that are there (m 2).

    apart (p m): from the places to those nuclei; alike (m,): which are of the class. The new nucleus is to be as far
    from its nearest as its model is, and no nearer to any than that one's model is.
    """
    total = np.zeros(len(apart))
    for column, distances in enumerate((apart, np.where(alike, apart, np.inf))):
        logs = np.log(np.minimum(distances, largest) + 1)
        wanted = np.log(model[column] + 1)
        total += np.abs(logs.min(axis=1, initial=np.log(largest + 1)) - wanted)
        total += np.maximum(np.log(models[:, column] + 1) - logs, 0).sum(axis=1)
    return total
