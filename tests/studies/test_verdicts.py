"""Pictures of predictions tell hits, misses and false alarms apart, and count them."""

import numpy as np
from numpy.testing import assert_array_equal

from drawn import drawn_sample
from nucleosynth.pictures import enlarged
from nucleosynth.report.results import VERDICTS
from nucleosynth.sample import Image, Sample
from nucleosynth.studies.verdicts import TEST_PX, verdict


def boxes(*corners: int, height: int = 40) -> Sample:
    """Squares of 10 px at these left edges."""
    instances = np.zeros((height, 100), np.int32)
    for k, left in enumerate(corners, start=1):
        instances[10:20, left : left + 10] = k
    classes = np.ones(len(corners), np.uint8)
    image = np.full((height, 100, 3), 90, np.uint8)
    return drawn_sample(image=image, instances=instances, classes=classes)


def count(picture: Image, colour: tuple[int, int, int], left: int, right: int) -> int:
    """Pixels of a colour in some columns of the enlarged picture."""
    factor = picture.shape[1] // 100
    return int((picture[:, left * factor : right * factor] == colour).all(axis=2).sum())


def test_each_kind_has_its_colour_and_its_place() -> None:
    picture, words = verdict(boxes(5, 40), boxes(6, 70))
    assert words == "1 found, 1 missed, 1 false alarm"
    assert picture.shape[1] >= TEST_PX
    for (_, colour), (left, right) in zip(VERDICTS, ((0, 30), (35, 60), (65, 90)), strict=True):
        total = count(picture, colour, 0, 100)
        assert total == count(picture, colour, left, right) > 200


def test_what_is_wrong_is_tinted_and_what_is_right_is_not() -> None:
    true, predicted = boxes(5, 40), boxes(5, 70)
    picture = verdict(true, predicted)[0]
    factor = picture.shape[1] // 100
    middles = [tuple(picture[15 * factor, (left + 5) * factor].tolist()) for left in (5, 40, 70)]
    assert middles[0] == (90, 90, 90)
    assert len(set(middles)) == 3
    plain = enlarged(true.image, factor)
    for left, right in ((20, 38), (52, 68), (82, 100)):
        columns = np.s_[:, left * factor : right * factor]
        assert_array_equal(picture[columns], plain[columns])


def test_half_an_overlap_is_no_hit() -> None:
    # 10 px squares moved by 4 px: IoU 60 / 140.
    assert verdict(boxes(40), boxes(44))[1] == "0 found, 1 missed, 1 false alarm"
    assert verdict(boxes(40), boxes(43))[1] == "1 found, 0 missed, 0 false alarms"


def test_the_whole_tile_decides_and_the_middle_is_counted() -> None:
    # Cut at the border of the shown part the two would share less than half; the tile's middle is rows 104 to 295.
    true, predicted = (drawn_sample(image=np.full((400, 100, 3), 90, np.uint8), **part) for part in tall())
    assert verdict(true, predicted)[1] == "1 found, 0 missed, 0 false alarms"


def tall() -> tuple[dict[str, object], dict[str, object]]:
    """A bar that reaches two px into the middle, and one that does so by a single px; another far outside it."""
    bars = []
    for end in (106, 105):
        instances = np.zeros((400, 100), np.int32)
        instances[60:end, 20:40] = 1
        bars.append(instances)
    bars[1][390:400, 60:70] = 2
    return (
        {"instances": bars[0], "classes": np.ones(1, np.uint8)},
        {"instances": bars[1], "classes": np.ones(2, np.uint8)},
    )


def test_tiles_without_nuclei() -> None:
    empty = boxes()
    assert verdict(empty, empty)[1] == "0 found, 0 missed, 0 false alarms"
    assert verdict(empty, boxes(5))[1] == "0 found, 0 missed, 1 false alarm"
    assert verdict(boxes(5), empty)[1] == "0 found, 1 missed, 0 false alarms"
