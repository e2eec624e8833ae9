"""Windows drawn from tiles."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from nucleosynth.conditions.coding import LabelCoding
from nucleosynth.data.crops import CodedTiles, Crops
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


@pytest.fixture(scope="module")
def tiles() -> list[Sample]:
    """Two tiles of one slide, one of another: each of one colour, so that a window tells where it was cut."""
    three = read("phantom:tiles=3&size=64&sources=3")
    stated = (("a", "colon", "one"), ("a", "colon", ""), ("b", "skin", "two"))
    return [
        replace(tile, source=source, tissue=tissue, caption=caption, image=np.full_like(tile.image, 40 * k))
        for k, (tile, (source, tissue, caption)) in enumerate(zip(three, stated, strict=True))
    ]


def colour_of(image: NDArray[np.float32]) -> int:
    """The number of the tile that a window (c h w) was cut from."""
    values = np.unique(np.rint((image + 1) * 127.5))
    assert len(values) == 1
    return int(values[0]) // 40


def test_a_reference_is_a_window_of_the_same_source(tiles: list[Sample]) -> None:
    found = CodedTiles(tiles, LabelCoding((1, 2, 3, 4)), 32, 1.5).batch(generator_of(0), 40)
    pairs = {(colour_of(image), colour_of(shown)) for image, shown in zip(found.image, found.reference, strict=True)}
    assert pairs == {(0, 0), (0, 1), (1, 0), (1, 1), (2, 2)}


def test_tissue_and_caption_are_the_tile_s_own(tiles: list[Sample]) -> None:
    coded = CodedTiles(tiles, LabelCoding((1, 2, 3, 4)), 32, 1.5)
    found = coded.batch(generator_of(0), 40)
    assert coded.tissues == ("colon", "skin")
    for image, tissue, caption in zip(found.image, found.tissue, found.captions, strict=True):
        k = colour_of(image)
        np.testing.assert_array_equal(tissue, [k < 2, k == 2])
        assert caption == tiles[k].caption or (k == 1 and "colon tissue image including nuclei types of" in caption)


def test_one_tissue_is_not_told_apart() -> None:
    coded = CodedTiles(TILES, LabelCoding((1, 2)), 32, 1.5)
    assert coded.tissues == ()
    assert coded.batch(generator_of(0), 2).tissue.shape == (2, 0)


def test_the_caption_names_the_nuclei_of_the_window_alone() -> None:
    tile = replace(TILES[0], caption="")
    for k in range(10):
        (caption,) = CodedTiles([tile], LabelCoding((1, 2, 3, 4)), 24, 1.5).batch(generator_of(k), 1).captions
        (window,) = CodedTiles([tile], LabelCoding((1, 2, 3, 4)), 24, 1.5).batch(generator_of(k), 1).counts
        for name, amount in zip(tile.class_names, window[1:], strict=True):
            assert (name in caption) == (amount > 0)


def test_amounts_of_a_crop_are_those_of_its_label() -> None:
    coding = LabelCoding((1, 2, 3, 4))
    found = CodedTiles(TILES, coding, 32, 1.5).batch(generator_of(2), 6)
    np.testing.assert_allclose(
        found.proportions[:, 0], 2 * np.sqrt((found.label[:, 0] > 0).mean(axis=(1, 2))), rtol=1e-5
    )
    for k in range(4):
        share = ((found.label[:, 0] > 0) & (found.label[:, 1 + k] > 0)).mean(axis=(1, 2))
        np.testing.assert_allclose(found.proportions[:, 1 + k], 2 * np.sqrt(share), rtol=1e-5, atol=1e-6)


def test_each_crop_has_a_hole_of_its_own() -> None:
    found = CodedTiles(TILES, LabelCoding((1, 2)), 32, 1.5).batch(generator_of(2), 8)
    assert found.hole.shape == (8, 1, 32, 32)
    assert set(np.unique(found.hole)) == {0.0, 1.0}
    assert len({hole.tobytes() for hole in found.hole}) == 8


def test_the_same_generator_draws_the_same_batch() -> None:
    coded = CodedTiles(TILES, LabelCoding((1, 2)), 32, 1.5)
    first, again = (coded.batch(generator_of(2, 3), 3) for _ in range(2))
    for name, part in vars(first).items():
        np.testing.assert_array_equal(part, getattr(again, name), err_msg=name)
