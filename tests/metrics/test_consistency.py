"""Agreement of a segmenter with labels: exact on hand-made tiles, and intervals that hold what they should."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from drawn import drawn_sample
from nucleosynth.errors import UserError
from nucleosynth.metrics.classification import nuclei
from nucleosynth.metrics.classification import scores as classified
from nucleosynth.metrics.consistency import OF_TILES, SIDES, consistency, estimated, names, rows_of
from nucleosynth.metrics.instance import mean
from nucleosynth.metrics.instance import scores as of_instances
from nucleosynth.metrics.resampling import Side
from nucleosynth.metrics.shapes import Label

NAMES = ("round", "long", "other")
Pairs = list[tuple[Label, Label]]


def label(*rectangles: tuple[int, int, int, int], classes: Sequence[int] = (), mpp: float = 0.25) -> Label:
    """Nuclei (top, left, height, width) of 20 x 40 px, of unknown type unless told."""
    drawn = np.zeros((20, 40), np.int32)
    for k, (top, left, height, width) in enumerate(rectangles, start=1):
        drawn[top : top + height, left : left + width] = k
    return Label(drawn, np.array(classes or [0] * len(rectangles), np.uint8), mpp)


def drawn_label(seed: int) -> Label:
    tile = drawn_sample(seed)
    return Label(tile.instances, tile.classes, 0.25)


def label_without_first(given: Label) -> Label:
    return given._replace(instances=np.where(given.instances == 1, 0, given.instances), classes=given.classes[1:])


# 60 px each. Half of it found: Dice 2 30 / 90, AJI 1/2, no hit for PQ; its centre is 2.5 px off.
WHOLE = (label((2, 2, 6, 10)), label((2, 2, 6, 10)))
HALF = (label((2, 2, 6, 10)), label((2, 2, 6, 5)))
# One of two found: Dice 2 60 / 180, AJI 60 / 120, PQ 1 / 1.5.
ONE_OF_TWO = (label((2, 2, 6, 10), (12, 22, 6, 10)), label((2, 2, 6, 10)))
NAMED = (label((2, 2, 6, 10), classes=[1]), label((2, 2, 6, 10), classes=[1]))
MISNAMED = (label((2, 2, 6, 10), classes=[1]), label((2, 2, 6, 10), classes=[2]))
EMPTY = (label(), label())
ALARM = (label(), label((2, 2, 6, 10)))


def test_perfect_pairs_have_1_and_shuffled_labels_next_to_nothing() -> None:
    pairs = [(each, each) for each in map(drawn_label, range(6))]
    assert set(consistency(pairs, pairs, NAMES).values()) == {1.0}
    # Nuclei of the same tiles, 8 px further down and to the right: between those that are there.
    moved = [(true, seen._replace(instances=np.roll(seen.instances, (5, 6), (0, 1)))) for true, seen in pairs]
    found = consistency(moved, pairs, NAMES)
    for name in OF_TILES:
        assert found[f"{name}.share"] == found[name] < 0.05


def test_scores_and_shares_of_a_hand_made_example() -> None:
    found = consistency([WHOLE, HALF], [WHOLE, ONE_OF_TWO])
    assert found == pytest.approx(
        {
            "dice": (1 + 2 / 3) / 2,
            "dice.real": (1 + 2 / 3) / 2,
            "dice.share": 1,
            "aji": 0.75,
            "aji.real": 0.75,
            "aji.share": 1,
            "pq": 0.5,
            "pq.real": (1 + 2 / 3) / 2,
            "pq.share": 0.6,
            "f_d": 1,
            "f_d.real": 4 / 5,
            "f_d.share": 5 / 4,
        }
    )


def test_scores_are_those_of_the_instance_and_class_metrics() -> None:
    pairs = [(drawn_label(k), drawn_label(k + 1)) for k in range(4)]
    pairs += [(true, seen._replace(instances=np.roll(seen.instances, 2, 0))) for true, seen in pairs]
    pairs += [(drawn_label(0), label_without_first(drawn_label(0)))]
    found = consistency(pairs, pairs[:3], NAMES)
    means = mean([of_instances(true.instances, seen.instances) for true, seen in pairs])
    assert {name: found[name] for name in OF_TILES} == pytest.approx({name: means[name].value for name in OF_TILES})
    by_centre = classified([(nuclei(*true[:2]), nuclei(*seen[:2])) for true, seen in pairs], NAMES, 12)
    assert (found["f_d"], found["accuracy"]) == pytest.approx((by_centre["f_d"], by_centre["accuracy"]))
    assert found["f_d"] < 1
    assert found["accuracy"] < 1
    assert found["accuracy.real"] == consistency([], pairs[:3], NAMES)["accuracy.real"]


def test_empty_tiles_are_left_out_and_false_alarms_are_0() -> None:
    assert consistency([WHOLE, EMPTY], [WHOLE])["pq.share"] == 1
    assert consistency([WHOLE, ALARM], [WHOLE])["pq.share"] == 0.5
    nothing = consistency([EMPTY], [], ["a", "b"])
    assert len(nothing) == 5 * 3
    assert np.isnan(list(nothing.values())).all()


def test_a_share_of_nothing_is_not_defined() -> None:
    found = consistency([WHOLE], [ALARM])
    assert (found["pq"], found["pq.real"]) == (1, 0)
    assert np.isnan(found["pq.share"])


def test_class_and_resolution_count() -> None:
    found = consistency([MISNAMED, NAMED], [WHOLE], ["a", "b"])
    assert (found["pq"], found["f_d"], found["accuracy"]) == (1, 1, 0.5)
    assert not any(name.startswith("accuracy") for name in consistency([WHOLE], [WHOLE], ["a"]))
    # 3 um are 12 px at .25 um a pixel and 3 px at 1: 5 px apart are two nuclei there.
    apart = [(label((2, 2, 6, 10), mpp=mpp), label((2, 7, 6, 10), mpp=mpp)) for mpp in (0.25, 1.0)]
    assert [consistency([each], [WHOLE])["f_d"] for each in apart] == [1, 0]


def test_labels_of_two_resolutions_are_refused() -> None:
    with pytest.raises(UserError, match="two resolutions"):
        consistency([(label(mpp=0.25), label(mpp=0.5))], [WHOLE])


def test_intervals_of_two_tiles_reach_from_one_to_the_other() -> None:
    """A half of two tiles is one of them, so that an interval is as wide as they differ, and centred on the mean of the
    halves drawn."""
    found = estimated(Side(rows_of([WHOLE, HALF], 0)), Side(rows_of([WHOLE, WHOLE], 0)), typed=False, draws=200)
    assert tuple(found) == tuple(name + end for name in names(False) for end in SIDES)
    aji, real, share = (found[f"aji{end}"] for end in SIDES)
    assert (aji.value, aji.real, aji.synthetic) == (0.75, 2, 2)
    assert aji.high - aji.low == pytest.approx(0.5)
    assert (share.low, share.high) == pytest.approx((aji.low, aji.high))
    assert (real.low, real.high) == (1, 1)
    assert found["dice"].high - found["dice"].low == pytest.approx(1 / 3)


def test_tiles_that_come_together_are_drawn_together() -> None:
    """Of 60 tiles, half of them seen in half: six sources with as many of both differ in nothing, two with one kind
    each as much as two tiles do."""
    rows = rows_of([WHOLE] * 30 + [HALF] * 30, 0)

    def width(groups: NDArray[np.int64] | None) -> float:
        found = estimated(Side(rows, groups), Side(rows), typed=False)["aji"]
        return found.high - found.low

    numbers = np.arange(60)
    assert width(numbers % 6) == pytest.approx(0, abs=1e-12)
    assert 0.4 < width(numbers // 30) <= 0.5  # cut off at 1
    assert width(None) == pytest.approx(2 * 1.96 * 0.25 / 60**0.5, rel=0.25)


def test_a_single_tile_has_no_interval() -> None:
    rows = rows_of([WHOLE, HALF], 0)
    for sides in ((rows, rows[:1]), (rows[:1], rows)):
        found = estimated(Side(sides[0]), Side(sides[1]), typed=False)["aji.share"]
        assert found.value > 0
        assert np.isnan([found.low, found.high]).all()


def _tiles(rng: np.random.Generator, n: int, a: float, b: float) -> NDArray[np.float64]:
    """Rows whose Dice is drawn from a beta distribution."""
    return np.concatenate([rng.beta(a, b, (n, 1)), np.ones((n, 6))], axis=1)


def test_intervals_of_shares_hold_the_populations_own() -> None:
    true, held = (4 / 9) / (6 / 9), 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        found = estimated(Side(_tiles(rng, 60, 4, 5)), Side(_tiles(rng, 40, 6, 3)), typed=False, draws=60, seed=seed)
        held += found["dice.share"].low <= true <= found["dice.share"].high
    assert 0.9 <= held / 200 <= 0.99
