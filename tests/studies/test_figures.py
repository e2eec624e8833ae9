"""Pictures of predictions tell hits, misses and false alarms apart."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from drawn import drawn_sample
from nucleosynth.report.results import VERDICTS
from nucleosynth.sample import Sample
from nucleosynth.studies.figures import FOLDER, PAIRS, TEST_PX, pair, shown, verdict, write_pairs


def boxes(*corners: int) -> Sample:
    """Squares of 10 px at these left edges."""
    instances = np.zeros((40, 100), np.int32)
    for k, left in enumerate(corners, start=1):
        instances[10:20, left : left + 10] = k
    classes = np.ones(len(corners), np.uint8)
    image = np.full((40, 100, 3), 90, np.uint8)
    return drawn_sample(image=image, instances=instances, classes=classes)


def count(picture: np.ndarray, colour: tuple[int, int, int], left: int, right: int) -> int:
    """Pixels of a colour in some columns of the enlarged picture."""
    factor = picture.shape[1] // 100
    return int((picture[:, left * factor : right * factor] == colour).all(axis=2).sum())


def test_each_kind_has_its_colour_and_its_place() -> None:
    picture, words = verdict(boxes(5, 40), boxes(6, 70))
    assert words == "1 found, 1 missed, 1 false alarms"
    assert picture.shape[1] >= TEST_PX
    for (_, colour), (left, right) in zip(VERDICTS, ((0, 30), (35, 60), (65, 90)), strict=True):
        total = count(picture, colour, 0, 100)
        assert total == count(picture, colour, left, right) > 200


def test_half_an_overlap_is_no_hit() -> None:
    # 10 px squares moved by 4 px: IoU 60 / 140.
    assert verdict(boxes(40), boxes(44))[1] == "0 found, 1 missed, 1 false alarms"
    assert verdict(boxes(40), boxes(43))[1] == "1 found, 0 missed, 0 false alarms"


def test_tiles_with_most_nuclei_are_shown() -> None:
    tiles = [boxes(*range(0, 12 * n, 12)) for n in (1, 5, 3, 5, 0)]
    assert shown(tiles) == [1, 2, 3]
    assert shown(tiles[:2]) == [0, 1]


def test_pairs_are_drawn_by_the_seed(tmp_path: Path) -> None:
    tiles = [drawn_sample(k, size=(20, 20)) for k in range(30)]
    first = write_pairs(tmp_path, "a", tiles, 0)
    assert len(first) == PAIRS
    assert [picture.words for picture in first] == [picture.words for picture in write_pairs(tmp_path, "b", tiles, 0)]
    assert [picture.words for picture in first] != [picture.words for picture in write_pairs(tmp_path, "c", tiles, 1)]
    assert len(list((tmp_path / FOLDER).glob("a_*.png"))) == PAIRS


def test_a_pair_is_the_image_beside_its_label() -> None:
    tile = drawn_sample(size=(64, 64))
    bare = replace(tile, instances=np.zeros((64, 64), np.int32), classes=np.zeros(0, np.uint8))
    picture, plain = pair(tile), pair(bare)
    side = picture.shape[0]
    np.testing.assert_array_equal(picture[:, :side], plain[:, :side])
    np.testing.assert_array_equal(plain[:, :side], plain[:, -side:])
    assert (picture[:, -side:] != plain[:, -side:]).any()
