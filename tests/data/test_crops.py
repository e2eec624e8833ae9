"""Windows drawn from tiles."""

import numpy as np

from nucleosynth.data.crops import Crops
from nucleosynth.data.reader import read
from nucleosynth.sample import Sample
from nucleosynth.seeds import generator_of

TILES = list(read("phantom:tiles=2&size=64&sources=1"))


def test_a_window_is_a_part_of_a_tile_under_a_symmetry() -> None:
    crops = Crops(TILES, 24)
    for k in range(12):
        window = crops.draw(generator_of(1, k))
        assert window.size == (24, 24)
        assert any(_holds(tile.transform(symmetry), window) for tile in TILES for symmetry in range(8))


def test_the_same_generator_draws_the_same_window() -> None:
    first, second = (Crops(TILES, 24).draw(generator_of(3, 4)) for _ in range(2))
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(first.instances, second.instances)


def test_every_pixel_is_as_likely_as_any_other() -> None:
    """A tile of four times the area gives four of five windows."""
    large = TILES[0]
    small = large.crop(0, 0, 32, 32)
    crops = Crops([large, small], 32)
    drawn = [crops.draw(generator_of(k)) for k in range(400)]
    whole = {small.transform(symmetry).image.tobytes() for symmetry in range(8)}
    share = np.mean([window.image.tobytes() in whole for window in drawn])
    assert 0.13 < share < 0.27


def test_small_tiles_are_mirrored() -> None:
    assert Crops([TILES[0].crop(0, 0, 20, 30)], 48).draw(generator_of(0)).size == (48, 48)


def _holds(tile: Sample, window: Sample) -> bool:
    view = np.lib.stride_tricks.sliding_window_view(tile.image[..., 0], window.size)
    return bool((view == window.image[..., 0]).all(axis=(2, 3)).any())
