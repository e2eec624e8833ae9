"""The same tile twice is found at another resolution and after JPEG; neighbours and empty tiles are not."""

import cv2
import numpy as np
import pytest

from nucleosynth.curation.duplicates import Fingerprint, duplicates, fingerprint
from nucleosynth.data.phantom import read as drawn
from nucleosynth.data.reader import read


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
