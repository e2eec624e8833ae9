"""How long fields and nuclei take on a tile of 1000^2 px with about 600 drawn nuclei, and on one of 256^2 with 40.

    python benchmarks/speed_instances.py

Least of ten runs after a first one that compiles, in ms; one thread of OpenCV.
"""

import time
from collections.abc import Callable

import cv2
import numpy as np

from nucleosynth.conditions import points, structure
from nucleosynth.instances import classes, hover, offsets, watershed
from nucleosynth.sample import Classes, Condition, Instances, without_gaps


def draw(size: int, nuclei: int, seed: int = 0) -> tuple[Instances, Classes]:
    """Ellipses of 8 to 16 px half-axes, later ones over earlier ones, in four classes."""
    generator = np.random.default_rng(seed)
    instances = np.zeros((size, size), np.int32)
    for k in range(1, nuclei + 1):
        centre, axes = generator.integers(0, size, 2), generator.integers(8, 17, 2)
        cv2.ellipse(instances, centre.tolist(), axes.tolist(), int(generator.integers(180)), 0, 360, k, -1)
    return without_gaps(instances, generator.integers(1, 5, nuclei).astype(np.uint8))


def least_ms(run: Callable[[], object]) -> float:
    """Least time of ten runs after a first one."""
    times = []
    for _ in range(11):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return 1000 * min(times[1:])


def work(instances: Instances, kinds: Classes) -> dict[str, Callable[[], object]]:
    """What is timed, ready to run."""
    condition = Condition(
        (len(instances), len(instances)), class_names=tuple("abcd"), instances=instances, classes=kinds
    )
    foreground, layout = instances > 0, points.from_instances(condition)
    vectors, distance = structure.offsets(instances), structure.distance(instances)
    hv = np.moveaxis(structure.hv(instances), 0, -1).copy()
    probability, pixels = foreground.astype(np.float32), structure.semantic(instances, kinds)
    return {
        "structure.semantic": lambda: structure.semantic(instances, kinds),
        "structure.distance": lambda: structure.distance(instances),
        "structure.signed_distance, 16 px": lambda: structure.signed_distance(instances, 16),
        "structure.offsets": lambda: structure.offsets(instances),
        "structure.hv": lambda: structure.hv(instances),
        "points.from_instances": lambda: points.from_instances(condition),
        "points.gaussian_splats, 4 px": lambda: points.gaussian_splats(layout, 4),
        "offsets.extract": lambda: offsets.extract(foreground, vectors),
        "hover.extract": lambda: hover.extract(probability, hv),
        "hover.extract and classes": lambda: classes.majority(hover.extract(probability, hv), pixels),
        "watershed.from_points": lambda: watershed.from_points(foreground, layout, distance),
        "watershed.from_distance": lambda: watershed.from_distance(foreground, distance),
        "classes.majority": lambda: classes.majority(instances, pixels),
    }


def main() -> None:
    """Print one row for each function and size."""
    cv2.setNumThreads(1)
    for size, nuclei in ((256, 40), (1000, 600)):
        instances, kinds = draw(size, nuclei)
        for name, run in work(instances, kinds).items():
            print(f"{size:5} {instances.max():4} nuclei  {name:34}{least_ms(run):8.2f} ms")


if __name__ == "__main__":
    main()
