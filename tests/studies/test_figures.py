"""Pictures of tiles: windows as pairs, drawn by the seed; the fullest test tiles; nothing but outlines is added."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.testing import assert_array_equal

from drawn import drawn_sample
from nucleosynth.sample import Sample
from nucleosynth.studies.figures import PAIRS, TESTS, pair, shown, some, write_pairs, write_truths
from nucleosynth.studies.painting import FOLDER, WINDOW_PX, middle


def with_nuclei(count: int) -> Sample:
    """A tile with that many nuclei in a row."""
    instances = np.zeros((20, 100), np.int32)
    instances[5:12] = np.where(np.arange(100) % 12 < 8, np.arange(100) // 12 + 1, 0)
    instances[instances > count] = 0
    return drawn_sample(
        image=np.full((20, 100, 3), 90, np.uint8), instances=instances, classes=np.ones(count, np.uint8)
    )


def test_tiles_with_most_nuclei_are_shown(tmp_path: Path) -> None:
    tiles = [with_nuclei(count) for count in (1, 5, 3, 5, 0)]
    assert shown(tiles) == [1, 2, 3]
    assert shown(tiles[:2]) == [0, 1]
    assert [picture.file for picture in write_truths(tmp_path, "a_test", tiles)] == [
        f"{FOLDER}/a_test_{k:02d}.png" for k in range(TESTS)
    ]


def test_pairs_are_drawn_by_the_seed(tmp_path: Path) -> None:
    tiles = [drawn_sample(k, size=(20, 20)) for k in range(30)]
    first = write_pairs(tmp_path, "a", tiles, 0)
    assert len(first) == PAIRS
    assert [picture.words for picture in first] == [picture.words for picture in write_pairs(tmp_path, "b", tiles, 0)]
    assert [picture.words for picture in first] != [picture.words for picture in write_pairs(tmp_path, "c", tiles, 1)]
    files = sorted((tmp_path / FOLDER).glob("a_*.png"))
    assert len(files) == PAIRS
    for file in files:
        assert file.read_bytes() == (file.parent / file.name.replace("a_", "b_")).read_bytes()


def test_what_is_drawn_keeps_its_order() -> None:
    drawn = some(range(100), 10, 3)
    assert len(set(drawn)) == 10
    assert drawn == sorted(drawn)
    assert some(range(4), 10, 3) == [0, 1, 2, 3]
    assert some((), 10, 3) == []


def test_a_pair_is_the_image_beside_its_label() -> None:
    tile = drawn_sample(size=(64, 64))
    bare = replace(tile, instances=np.zeros((64, 64), np.int32), classes=np.zeros(0, np.uint8))
    picture, plain = pair(tile), pair(bare)
    side = picture.shape[0]
    assert_array_equal(picture[:, :side], plain[:, :side])
    assert_array_equal(plain[:, :side], plain[:, -side:])
    assert (picture[:, -side:] != plain[:, -side:]).any()


def test_of_a_large_tile_the_middle_is_shown() -> None:
    tile = drawn_sample(size=(WINDOW_PX + 60, 40))
    assert_array_equal(middle(tile).image, tile.image[30:-30])
    assert_array_equal(pair(tile), pair(middle(tile)))
    assert len(pair(tile)) == WINDOW_PX
    assert middle(drawn_sample()).size == drawn_sample().size
