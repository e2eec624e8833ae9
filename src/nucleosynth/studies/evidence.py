"""What synthetic tiles look like beside real ones: distances of features and classes, contrast, copies.

Every number is taken from windows of one size at the judge's resolution, since distances grow with both, and stands
beside that of real tiles which the generator never saw. None of them decides anything: they are shown.
"""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucleosynth.data.tiles import grid, resample
from nucleosynth.encoders.encoder import Encoder, classifier
from nucleosynth.metrics import distribution, resampling
from nucleosynth.metrics.contrast import nuclear_contrast
from nucleosynth.metrics.copies import copies
from nucleosynth.metrics.proportions import class_proportions
from nucleosynth.report.results import Estimate, Evidence, Tiles
from nucleosynth.sample import Sample
from nucleosynth.seeds import generator_of
from nucleosynth.studies.scoring import defined

COMPARED = 96
"""Tiles of a kind that are compared with every training crop: the search is what takes time."""
LARGEST_PX = 256
ENCODED = 2000
"""Windows of a kind at most that distances are measured on."""
AT_ONCE = 32
FEATURES = ("fd", "fd_infinity", "kid", "prdc")
HIGHER = frozenset({"precision", "recall", "density", "coverage", "is"})
SHRINK = 4
SMALLEST_PX = 4 * SHRINK
"""Below this a tile is too small to be found in another."""


def common_side(parts: Iterable[Sequence[Sample]], mpp: float) -> int:
    """The side in px of the largest window that every tile can hold at a resolution, `LARGEST_PX` at most."""
    scales = ((sample.size, (sample.mpp or mpp) / mpp) for part in parts for sample in part)
    return max(min(LARGEST_PX, *(round(extent * scale) for size, scale in scales for extent in size)), 1)


def windows(samples: Iterable[Sample], mpp: float, side: int) -> list[Sample]:
    """All windows of side^2 px at a resolution, without overlap but for the last row and column of a tile."""
    finer = (resample(sample, mpp) for sample in samples)
    return [tile.crop(top, left, side, side) for tile in finer for top, left in grid(tile.size, side, side)]


def evidence(
    made: Sequence[Sample],
    known: Sequence[Sample],
    held_out: Sequence[Sample],
    training: Sequence[Sample],
    encoder: Encoder,
    seed: int,
) -> Evidence:
    """The numbers of synthetic windows beside training windows and test windows, all of one size and resolution.

    training: the whole training tiles, at any resolution, in which copies are looked for; encoder: of the distances.
    """
    side, mpp = made[0].size[0], made[0].mpp or 1.0
    pairs = min(len(made), len(held_out))
    alike = _some(made, pairs, seed), known, _some(held_out, pairs, seed)
    distances = _distances(*alike, encoder, seed)
    classes = next((each for each in distances if each.metric == "FSD"), None)
    found, compared = _copies(made, held_out, [resample(tile, mpp) for tile in training], side, seed)
    return Evidence(
        windows={"training": len(known), "test": len(held_out), "synthetic": len(made)},
        side_px=side,
        mpp=mpp,
        fsd=classes.value if classes else None,
        fsd_floor=classes.floor if classes else None,
        contrast=_contrast(made),
        contrast_real=_contrast(known),
        copies=found,
        compared=compared,
        encoder=f"{encoder.name}, {encoder.digest}",
        distances=distances,
    )


def described(samples: Sequence[Sample]) -> Tiles:
    """The counts of some tiles."""
    names = samples[0].class_names
    kinds = sum(np.bincount(sample.classes, minlength=len(names) + 1) for sample in samples)
    return Tiles(
        tiles=len(samples),
        nuclei=int(np.sum(kinds)),
        area_mm2=area_mm2(samples),
        classes=dict(zip(names, np.asarray(kinds)[1:].tolist(), strict=True)),
        sources=tuple(sorted({sample.source for sample in samples})),
        licences=tuple(sorted({sample.licence for sample in samples})),
        labelled_as=tuple(sorted({sample.labelled_as for sample in samples})),
    )


def area_mm2(samples: Sequence[Sample]) -> float:
    """The tissue that some tiles of known resolution show."""
    return float(sum(s.size[0] * s.size[1] * (s.mpp or 0) ** 2 for s in samples) / 1e6)


def _distances(
    made: Sequence[Sample], known: Sequence[Sample], held_out: Sequence[Sample], encoder: Encoder, seed: int
) -> tuple[Estimate, ...]:
    """By every measure that so many windows allow, both kinds against the training windows, as many of each."""
    parts = [_some(part, ENCODED, seed) for part in (made, known, held_out)]
    features = [_features(part, encoder) for part in parts]
    found = _against(features, FEATURES, seed)
    if encoder.classes:
        found |= _against([classifier(encoder).classify(rows) for rows in features], ("is",), seed)
    found |= _against([_proportions(part) for part in parts], ("fsd",), seed)
    return tuple(
        Estimate(
            metric=distribution.title(name, encoder.name),
            **defined({"value": each.value, "low": each.low, "high": each.high, "floor": floor.value}),
            better="higher" if name in HIGHER else "lower",
        )
        for name, (each, floor) in found.items()
    )


def _against(
    rows: Sequence[NDArray[Any]], measures: Sequence[str], seed: int
) -> dict[str, tuple[resampling.Estimate, resampling.Estimate]]:
    """Scores of synthetic and of test rows against training rows; those that need more rows are left out."""
    made, known, held_out = rows
    able = [name for name in measures if min(map(len, rows)) >= distribution.MEASURES[name].least]
    if not able:
        return {}
    against = partial(distribution.compared, known, measures=able, halvings=0, seed=seed)
    found, floors = against(made), against(held_out, draws=0)
    return {name: (each, floors[name]) for name, each in found.items()}


def _features(samples: Sequence[Sample], encoder: Encoder) -> NDArray[np.float32]:
    """(n, width), a few windows at a time."""
    starts = range(0, len(samples), AT_ONCE)
    return np.concatenate([encoder(np.stack([s.image for s in samples[k : k + AT_ONCE]])) for k in starts])


def _some(samples: Sequence[Sample], count: int, seed: int) -> list[Sample]:
    """`count` of them at most, drawn by the seed, in order."""
    order = generator_of(seed).permutation(len(samples))[:count]
    return [samples[k] for k in np.sort(order)]


def _proportions(samples: Sequence[Sample]) -> NDArray[np.float64]:
    return np.array([class_proportions(s.instances, s.classes, len(s.class_names), background=True) for s in samples])


def _contrast(samples: Sequence[Sample]) -> float | None:
    """Mean over nuclei that have a surrounding."""
    each = np.concatenate([nuclear_contrast(sample.image, sample.instances) for sample in samples])
    seen = each[~np.isnan(each)]
    return float(seen.mean()) if len(seen) else None


def _copies(
    made: Sequence[Sample], held_out: Sequence[Sample], training: Sequence[Sample], side: int, seed: int
) -> tuple[dict[str, float | None], int]:
    if side < SMALLEST_PX:
        return {}, 0
    tiles = _some(made, COMPARED, seed)
    images = ([sample.image for sample in part] for part in (tiles, _some(held_out, COMPARED, seed), training))
    return defined(copies(*images, shrink=SHRINK)), len(tiles)
