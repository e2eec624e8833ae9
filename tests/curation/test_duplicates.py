"""The same tile twice is found at another resolution and after JPEG; neighbours and empty tiles are not."""

import time

import cv2
import numpy as np
import pytest

from nucleosynth.curation import duplicates as module
from nucleosynth.curation.duplicates import ALIKE, SHADE, SIDE, Fingerprint, duplicates, fingerprint
from nucleosynth.data.phantom import read as drawn
from nucleosynth.data.reader import read
from nucleosynth.sample import transform_array


@pytest.fixture(scope="module")
def images() -> list[np.ndarray]:
    return [sample.image for sample in drawn("tiles=6&size=256&sources=3")]


def prints(*images: np.ndarray) -> list[Fingerprint]:
    return [fingerprint(image) for image in images]


def test_different_tiles_are_different(images: list[np.ndarray]) -> None:
    assert duplicates(prints(*images)) == []
    assert duplicates([]) == []


def test_copies_are_found_in_groups(images: list[np.ndarray]) -> None:
    one, two, three = images[:3]
    assert duplicates(prints(one, two, one, three, two, one)) == [(0, 2, 5), (1, 4)]


@pytest.mark.parametrize("change", ["half", "jpeg", "brighter", "noise"])
def test_a_copy_is_found_after_a_change(images: list[np.ndarray], change: str) -> None:
    image = images[0]
    if change == "half":
        other = cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_CUBIC)
    elif change == "jpeg":
        other = cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 60])[1], cv2.IMREAD_COLOR)
    elif change == "brighter":
        other = np.minimum(image.astype(int) + 6, 255).astype(np.uint8)
    else:
        other = (
            (image.astype(int) + np.random.default_rng(0).integers(-9, 10, image.shape)).clip(0, 255).astype(np.uint8)
        )
    assert duplicates(prints(*images, other)) == [(0, 6)]


@pytest.mark.parametrize("symmetry", range(1, 8))
def test_a_copy_is_found_mirrored_and_turned(images: list[np.ndarray], symmetry: int) -> None:
    other = transform_array(images[2], symmetry)
    assert duplicates(prints(*images, other)) == [(2, 6)]
    oblong = [image[:, :160] for image in images]
    assert duplicates(prints(transform_array(oblong[1], symmetry), *oblong)) == [(0, 2)]


def in_full(prints: list[Fingerprint]) -> set[tuple[int, int]]:
    """The pairs of the same tile, each compared with each in full."""
    found = set()
    for k in range(len(prints)):
        for other in range(k):
            for symmetry in range(8):
                one = prints[k].thumbnail.reshape(SIDE, SIDE, 3)
                two = transform_array(prints[other].thumbnail.reshape(SIDE, SIDE, 3), symmetry)
                a, b = (each - each.mean(axis=(0, 1)) for each in (one, two))
                alike = (a * b).sum() / np.sqrt((a**2).sum() * (b**2).sum())
                if alike >= ALIKE and np.abs(one - two).mean() <= SHADE:
                    found.add((other, k))
    return found


@pytest.mark.parametrize("block", [5, 2048])
def test_what_is_compared_coarsely_first_is_what_is_compared_in_full(
    monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    """Tiles with changes that leave them about as alike as the limits are."""
    rng = np.random.default_rng(0)
    thumbnails = []
    for kind in range(6):
        tile = rng.normal(150, 25, (SIDE, SIDE, 3))
        for _ in range(6):
            coarse = rng.normal(0, 1, (4, 4, 3)).repeat(6, axis=0).repeat(6, axis=1)
            noise = (coarse if kind % 2 else rng.normal(0, 1, tile.shape)) * rng.uniform(2, 6)
            thumbnails.append(transform_array(tile + noise + rng.uniform(0, 16), int(rng.integers(8))))
    given = [Fingerprint(str(k), each.reshape(-1, 3).astype(np.float32), True) for k, each in enumerate(thumbnails)]
    pairs = in_full(given)
    assert 15 < len(pairs) < 75
    group = list(range(len(given)))
    for _ in group:
        for one, other in pairs:
            group[one] = group[other] = min(group[one], group[other])
    expected = [tuple(k for k, each in enumerate(group) if each == first) for first in sorted(set(group))]
    monkeypatch.setattr(module, "BLOCK", block)
    assert duplicates(given) == [each for each in expected if len(each) > 1]


def test_many_copies_take_no_time(images: list[np.ndarray]) -> None:
    (one,) = prints(images[0])
    began = time.perf_counter()
    assert duplicates([one] * 3000) == [tuple(range(3000))]
    assert duplicates([one._replace(digest=str(k)) for k in range(3000)]) == [tuple(range(3000))]
    assert time.perf_counter() - began < 20


def test_a_shifted_window_is_another_tile(images: list[np.ndarray]) -> None:
    image = images[0]
    assert duplicates(prints(image[:128, :128], image[:128, 64:192], image[64:192, :128])) == []


def test_empty_tiles_are_the_same_only_pixel_for_pixel() -> None:
    white, grey = np.full((64, 64, 3), 240, np.uint8), np.full((64, 64, 3), 239, np.uint8)
    assert duplicates(prints(white, grey)) == []
    assert duplicates(prints(white, grey, white)) == [(0, 2)]


def test_real_tiles_are_found_at_half_the_resolution_and_not_otherwise(shared: object) -> None:
    tiles = [sample.image for sample in read(f"consep:{shared}/data/consep", "test")]
    halves = [cv2.resize(tile, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) for tile in tiles]
    count = len(tiles)
    assert duplicates(prints(*tiles, *halves)) == [(k, k + count) for k in range(count)]
