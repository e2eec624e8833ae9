"""Which windows hold a wanted share of the labelled nuclei: the small labelled sets of NuDiff.

Yu et al., "Diffusion-based data augmentation for nuclei image segmentation", MICCAI 2023: windows are clustered by
their features, and in each cluster the same fraction is taken, nearest to its centre; the fraction is tuned until the
share of nuclei is met. Here that is one order of all windows: the window of rank r among the m of its cluster stands
at (r + 1/2) / m, so that every fraction is a beginning of the order, and a bisection over beginnings finds it. A
nucleus that several windows show counts once, and counts as soon as one pixel of it is shown; the share is one of all
labelled nuclei, those that no window shows among them.
"""

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2

from nucleosynth.errors import UserError
from nucleosynth.seeds import generator_of

STARTS = 8
"""k-means begins that often at other windows; the tightest clusters are kept."""
ITERATIONS = 50
TOLERANCE = 0.01
"""How far the reached share may be from the asked one, as a share of it."""

Windows = NDArray[np.intp]
"""Numbers of windows."""
Seen = Sequence[NDArray[np.intp]]
"""For each window the numbers of its nuclei, unique over all tiles, from 0."""


class Clusters(NamedTuple):
    """For each window its cluster (n,) and its distance to the cluster's centre (n,)."""

    cluster: NDArray[np.intp]
    distance: NDArray[np.float64]


class Choice(NamedTuple):
    """The chosen windows, ascending; their share of all nuclei and number of nuclei; the fraction of the order that was
    taken, and how many windows were then added (or, negative, taken away) one by one."""

    windows: Windows
    reached: float
    nuclei: int
    fraction: float
    singles: int

    def met(self, share: float) -> bool:
        """Whether the share is reached within the tolerance."""
        return abs(self.reached - share) <= TOLERANCE * share


def cluster(features: NDArray[np.float32], number: int, seed: int) -> Clusters:
    """k-means of features (n d), begun several times by the seed; fewer clusters where fewer windows differ.

    Raises:
        UserError: fewer than one cluster.
    """
    if number < 1:
        raise UserError("no clusters", expected="at least 1", got=str(number), where="--clusters")
    points = features.astype(np.float64)
    number = min(number, len(np.unique(points, axis=0)))
    tries = (_kmeans(points, number, generator_of(seed, start)) for start in range(STARTS))
    return min(tries, key=lambda found: float((found.distance**2).sum()))


def by_clusters(clusters: Clusters) -> Windows:
    """All windows, so that every beginning holds the same fraction of each cluster, nearest to its centre."""
    nearest = np.lexsort((clusters.distance, clusters.cluster))
    sizes = np.bincount(clusters.cluster)
    begins = np.repeat(np.cumsum(sizes) - sizes, sizes)
    place = np.empty(len(nearest))
    place[nearest] = (np.arange(len(nearest)) - begins + 0.5) / np.repeat(sizes, sizes)
    return np.lexsort((clusters.distance, place))


def at_random(number: int, seed: int) -> Windows:
    """All windows in an order drawn by the seed."""
    return generator_of(seed).permutation(number)


def choose(order: Windows, seen: Seen, share: float, total: int) -> Choice:
    """The beginning of an order of all windows that shows about `share` of all nuclei, `total` of them.

    Where windows are too coarse a step for the tolerance, single ones are added from the rest of the order, or else
    taken away from the end of a longer beginning, as long as each brings the share nearer.

    Raises:
        UserError: a share outside 0 (excluded) to 1, or windows without a nucleus.
    """
    check_share(share)
    shown = _shown(order, seen)
    if not len(shown) or not shown[-1]:
        raise UserError(
            "nothing is labelled", expected="windows with nuclei", got="none", mend="check the data and the split"
        )
    wanted = share * total
    most = int(np.searchsorted(shown, wanted + 1e-6, side="right"))  # the longest beginning that is not above
    tries = [_settled(order, seen, most, wanted, total, 1)]
    if most < len(order) and not tries[0].met(share):
        tries.append(_settled(order, seen, most + 1, wanted, total, -1))
    return min((choice for choice in tries if choice.nuclei), key=lambda choice: abs(choice.nuclei - wanted))


def check_share(share: float) -> None:
    """Check that it is one.

    Raises:
        UserError: a share outside 0 (excluded) to 1.
    """
    if not 0 < share <= 1:
        raise UserError("not a share", expected="above 0, at most 1", got=str(share), where="--nuclei")


def _kmeans(points: NDArray[np.float64], number: int, generator: np.random.Generator) -> Clusters:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "One of the clusters is empty")  # it then holds no window, and takes none
        centres, labels = kmeans2(points, number, ITERATIONS, minit="++", seed=generator)
    return Clusters(labels.astype(np.intp), np.linalg.norm(points - centres[labels], axis=1))


def _shown(order: Windows, seen: Seen) -> NDArray[np.intp]:
    """(n,) how many nuclei the first 1, 2 ... n windows of the order show."""
    sizes = [len(seen[window]) for window in order]
    nuclei = np.concatenate([seen[window] for window in order]) if sizes else np.empty(0, np.intp)
    new = np.zeros(len(nuclei) + 1, np.intp)
    new[1 + np.unique(nuclei, return_index=True)[1]] = 1
    return np.asarray(np.cumsum(new)[np.cumsum(sizes, dtype=np.intp)])


def _settled(order: Windows, seen: Seen, begin: int, wanted: float, total: int, sign: int) -> Choice:
    """A beginning, and single windows after it that bring no more than is missing (sign 1); or without single ones of
    it, the last first, that show no more than is over (sign -1)."""
    times = _times(order[:begin], seen)
    nuclei, moved = int(np.count_nonzero(times)), []
    for window in order[begin:] if sign > 0 else order[:begin][::-1]:
        off = sign * (wanted - nuclei)
        if off <= TOLERANCE * wanted:
            break
        change = int(np.count_nonzero(times[seen[window]] == (sign < 0)))
        if 0 < change <= off + TOLERANCE * wanted:
            times[seen[window]] += sign
            nuclei += sign * change
            moved.append(window)
    chosen = np.setxor1d(order[:begin], np.array(moved, np.intp))
    return Choice(chosen, nuclei / total, nuclei, begin / len(order), sign * len(moved))


def _times(windows: Windows, seen: Seen) -> NDArray[np.intp]:
    """For each nucleus in how many of these windows it is shown."""
    number = max((int(nuclei.max(initial=-1)) for nuclei in seen), default=-1) + 1
    shown = [seen[window] for window in windows]
    return np.bincount(np.concatenate(shown), minlength=number) if shown else np.zeros(number, np.intp)
