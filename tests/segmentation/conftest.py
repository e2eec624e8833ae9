"""Drawn tiles: discs of two sizes and colours on a pale ground, the colour telling the class."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

from nucleosynth.sample import Sample
from nucleosynth.training.device import fabric_for

GROUND, COLOURS, RADII = (230, 190, 215), ((90, 60, 150), (150, 90, 60)), (5, 8)


def draw_discs(seed: int, size: tuple[int, int] = (96, 96), nuclei: int = 20, mpp: float = 0.5) -> Sample:
    """Discs of class 1 (small, violet) and 2 (large, brown), some touching, none cut by another; a little noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: size[0], : size[1]]
    image = np.full((*size, 3), GROUND, np.float64)
    instances = np.zeros(size, np.int32)
    classes: list[int] = []
    for _ in range(nuclei):
        kind = int(rng.integers(2))
        disc = (y - rng.uniform(0, size[0])) ** 2 + (x - rng.uniform(0, size[1])) ** 2 < RADII[kind] ** 2
        if disc.sum() > 20 and not instances[disc].any():
            classes.append(kind + 1)
            instances[disc] = len(classes)
            image[disc] = COLOURS[kind]
    noisy = np.clip(image + rng.normal(0, 6, image.shape), 0, 255).astype(np.uint8)
    return Sample(
        f"discs_{seed}", noisy, instances, np.array(classes, np.uint8), ("small", "large"), f"discs/{seed}", mpp=mpp
    )


@pytest.fixture
def discs() -> Callable[..., Sample]:
    """The drawing function."""
    return draw_discs


@pytest.fixture(scope="session")
def fabric() -> Fabric:
    """One thread in full precision, so that equal work gives equal bits."""
    torch.set_num_threads(1)
    return fabric_for("cpu", "32-true")
