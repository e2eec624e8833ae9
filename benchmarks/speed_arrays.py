"""How long the NumPy side takes, and how many times faster it is than the same steps written plainly (plain.py).

    python benchmarks/speed_arrays.py [SECTION ...]

One process, one thread. Both sides are first checked for equal results; then they take turns, and the least time on
the processor of each counts, so that ratios hold on a machine that is busy elsewhere. Without names all sections run.
Exits with 1 if a race falls short of what is wanted.

A section is a function of `SECTIONS` that yields races; a race without an opponent is only timed.
"""

import os

os.environ.update(
    dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
)

import platform
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

import plain
from nucleosynth.conditions import points, structure
from nucleosynth.instances import classes, hover, offsets, polygons, watershed
from nucleosynth.metrics import classification, contrast, copies, instance
from nucleosynth.sample import Classes, Condition, Instances, without_gaps

SIZES = ((256, 40), (1000, 600))
"""Side of a tile in px and number of nuclei drawn on it."""


class Race(NamedTuple):
    """What is timed, ours, the same done plainly, and how many times faster ours should be (0: nothing is claimed)."""

    what: str
    ours: Callable[[], object]
    plain: Callable[[], object] | None = None
    wanted: float = 0


def scores() -> Iterator[Race]:
    """The seven instance scores of a pair, beside one NumPy table and beside whole-image masks."""
    for size, nuclei in SIZES:
        true, predicted = draw_pair(size, nuclei)
        found = list(instance.scores(true, predicted).values())
        for reference in (plain.scores_by_table, plain.scores_by_masks):
            assert_allclose(found, list(reference(true, predicted).values()), rtol=1e-9)
        ours = _call(instance.scores, true, predicted)
        what = f"seven instance scores, {size}^2, {nuclei} nuclei"
        yield Race(f"{what}, one table", ours, _call(plain.scores_by_table, true, predicted), 2.5 * (size == 1000))
        yield Race(f"{what}, masks", ours, _call(plain.scores_by_masks, true, predicted))


def extraction() -> Iterator[Race]:
    """HoVer-Net's maps, a little noisy, to instances, types and contours, and the three parts of it."""
    for size, nuclei in SIZES:
        true, kinds = draw(size, nuclei)
        maps = noisy_maps(true, kinds)
        check_extraction(*maps)
        probability, hv, types = maps
        found = hover.extract(probability, hv)
        where = f"{size}^2, {nuclei} nuclei"
        yield Race(
            f"maps to instances, types, contours, {where}", _call(ours_whole, *maps), _call(plain_whole, *maps), 4
        )
        ours, reference = _call(hover.extract, probability, hv), _call(plain.hover_instances, probability, hv)
        yield Race(f"  instances, {where}", ours, reference)
        yield Race(f"  types, {where}", _call(classes.majority, found, types))
        yield Race(f"  contours, {where}", _call(polygons.trace, found))


def fields() -> Iterator[Race]:
    """What generators and judges are given or learn to make."""
    for size, nuclei in SIZES:
        instances, kinds = draw(size, nuclei)
        assert_allclose(structure.hv(instances), plain.hv_targets(instances), atol=1e-6)
        where = f"{size}^2, {nuclei} nuclei"
        yield Race(f"HV targets, {where}", _call(structure.hv, instances), _call(plain.hv_targets, instances), 10)
        condition = Condition((size, size), class_names=tuple("abcd"), instances=instances, classes=kinds)
        layout = points.from_instances(condition)
        yield Race(f"classes of pixels, {where}", _call(structure.semantic, instances, kinds))
        yield Race(f"distance to the centre, {where}", _call(structure.distance, instances))
        yield Race(f"distance to the outline up to 16 px, {where}", _call(structure.signed_distance, instances, 16))
        yield Race(f"offsets, {where}", _call(structure.offsets, instances))
        yield Race(f"points, {where}", _call(points.from_instances, condition))
        yield Race(f"Gaussian of 4 px at each point, {where}", _call(points.gaussian_splats, layout, 4))


def nuclei() -> Iterator[Race]:
    """Nuclei from other fields than HoVer-Net's."""
    for size, count in SIZES:
        instances, kinds = draw(size, count)
        foreground, distance = instances > 0, structure.distance(instances)
        condition = Condition((size, size), class_names=tuple("abcd"), instances=instances, classes=kinds)
        layout, vectors = points.from_instances(condition), structure.offsets(instances)
        vectors += np.random.default_rng(0).normal(0, 0.7, vectors.shape).astype(np.float32)
        where = f"{size}^2, {count} nuclei"
        yield Race(f"from offsets with .7 px noise, {where}", _call(offsets.extract, foreground, vectors))
        yield Race(f"from points and distance, {where}", _call(watershed.from_points, foreground, layout, distance))
        yield Race(f"from distance alone, {where}", _call(watershed.from_distance, foreground, distance))


def other_metrics() -> Iterator[Race]:
    """Metrics of a 1000^2 pair beside the instance scores."""
    true, predicted = draw_pair(1000, 600)
    image = np.random.default_rng(0).integers(0, 256, (1000, 1000, 3)).astype(np.uint8)
    xy, other = classification.centroids(true), classification.centroids(predicted)
    yield Race("centroids", _call(classification.centroids, true))
    yield Race("pairs, as released", _call(classification.pair, xy, other, 12))
    yield Race("pairs, gated", lambda: classification.pair(xy, other, 12, gated=True))
    yield Race("nuclear contrast", _call(contrast.nuclear_contrast, image, true))
    yield Race("a 256^2 tile against a 1000^2 training image", _call(copies.nearest, [image[:256, :256]], [image]))


SECTIONS: tuple[Callable[[], Iterator[Race]], ...] = (scores, extraction, fields, nuclei, other_metrics)


def draw(size: int, nuclei: int, seed: int = 0) -> tuple[Instances, Classes]:
    """Ellipses of 8 to 16 px half-axes, later ones over earlier ones, in four classes."""
    generator = np.random.default_rng(seed)
    instances = np.zeros((size, size), np.int32)
    for k in range(1, nuclei + 1):
        centre, axes = generator.integers(0, size, 2), generator.integers(8, 17, 2)
        cv2.ellipse(instances, centre.tolist(), axes.tolist(), int(generator.integers(180)), 0, 360, k, -1)
    return without_gaps(instances, generator.integers(1, 5, nuclei).astype(np.uint8))


def draw_pair(size: int, nuclei: int, seed: int = 0) -> tuple[Instances, Instances]:
    """Such ellipses as true nuclei; nine in ten of them, moved and resized, as predicted ones."""
    rng = np.random.default_rng(seed)
    true, predicted = np.zeros((2, size, size), np.int32)
    for k in range(1, nuclei + 1):
        centre, axes, angle = rng.integers(0, size, 2), rng.integers(8, 17, 2), int(rng.integers(180))
        cv2.ellipse(true, centre.tolist(), axes.tolist(), angle, 0, 360, k, -1)
        if rng.random() < 0.9:
            moved, resized = centre + rng.integers(-3, 4, 2), axes + rng.integers(-3, 4, 2)
            cv2.ellipse(predicted, moved.tolist(), resized.tolist(), angle, 0, 360, k, -1)
    return true, predicted


Maps = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.uint8]]


def noisy_maps(instances: Instances, kinds: Classes) -> Maps:
    """What a trained network would say: probability of nuclei (h w), HV (h w 2), types (h w), each with some noise."""
    rng = np.random.default_rng(0)
    probability = np.clip((instances > 0) + rng.normal(0, 0.15, instances.shape), 0, 1).astype(np.float32)
    hv = np.moveaxis(structure.hv(instances), 0, -1) + rng.normal(0, 0.03, (*instances.shape, 2))
    certain = np.arange(5) == structure.semantic(instances, kinds)[..., None]
    types = (certain + rng.normal(0, 0.3, certain.shape)).argmax(axis=-1)
    return probability, hv.astype(np.float32), types.astype(np.uint8)


def ours_whole(probability: NDArray[np.float32], hv: NDArray[np.float32], types: NDArray[np.uint8]) -> object:
    found = hover.extract(probability, hv)
    return classes.majority(found, types), polygons.trace(found)


def plain_whole(probability: NDArray[np.float32], hv: NDArray[np.float32], types: NDArray[np.uint8]) -> object:
    return plain.types_and_contours(plain.hover_instances(probability, hv), types)


def check_extraction(probability: NDArray[np.float32], hv: NDArray[np.float32], types: NDArray[np.uint8]) -> None:
    """The same nuclei but for the odd pixel between two (single or double precision); on one map, the same the rest."""
    found, expected = hover.extract(probability, hv), plain.hover_instances(probability, hv)
    assert found.max() == expected.max()
    assert instance.scores(expected, found)["pq"] > 0.999
    kinds, contours = plain.types_and_contours(found, types)
    assert_array_equal(classes.majority(found, types), kinds)
    for contour, outlines in zip(contours, polygons.trace(found), strict=True):
        outer = max((polygon[0] for polygon in outlines), key=len)
        assert_array_equal(outer.min(axis=0), contour.min(axis=0))
        assert_array_equal(outer.max(axis=0), contour.max(axis=0) + 1)  # edges of pixels, not their middles


def least_ms(race: Race, seconds: float = 1.5, most: int = 30) -> tuple[float, float]:
    """Least time of ours and of its opponent (NaN without one), taking turns for some seconds, twice at least."""
    best, began = [float("inf"), float("inf")], time.perf_counter()
    for turn in range(most):
        if turn >= 2 and time.perf_counter() - began > seconds:
            break
        for side, call in enumerate((race.ours, race.plain)):
            if call:
                start = time.process_time()
                call()
                best[side] = min(best[side], time.process_time() - start)
    return 1000 * best[0], 1000 * best[1] if race.plain else float("nan")


def _call(function: Callable[..., object], *arguments: object) -> Callable[[], object]:
    return lambda: function(*arguments)


def processor() -> str:
    """The name of the processor, as the system gives it."""
    given = Path("/proc/cpuinfo")
    names = [line.partition(":")[2].strip() for line in given.read_text().splitlines() if line.startswith("model name")]
    return names[0] if names else platform.processor()


def main() -> None:
    """Print one row for each race of the named sections."""
    cv2.setNumThreads(1)
    by_name = {section.__name__: section for section in SECTIONS}
    named = sys.argv[1:] or list(by_name)
    if unknown := set(named) - set(by_name):
        sys.exit(f"no section {', '.join(sorted(unknown))}; there are: {', '.join(by_name)}")
    command = " ".join(["python benchmarks/speed_arrays.py", *sys.argv[1:]])
    print(f"{command}    # {datetime.now(UTC).date()}, one core of {processor()}")
    print(f"{'least time, ms':<70}{'ours':>9}{'plain':>10}{'ratio':>8}{'wanted':>8}")
    short = []
    for name in named:
        for race in by_name[name]():
            ours, other = least_ms(race)
            ratio, wanted = f"{other / ours:.1f}x" if race.plain else "", f"{race.wanted:g}x" if race.wanted else ""
            print(f"{race.what:<70}{ours:>9.2f}{f'{other:.2f}' if race.plain else '':>10}{ratio:>8}{wanted:>8}")
            if race.wanted and other < race.wanted * ours:
                short.append(race.what)
    if short:
        sys.exit(f"short of what is wanted: {'; '.join(short)}")


if __name__ == "__main__":
    main()
