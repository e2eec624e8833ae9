"""Distances between sets of layouts: by hand, and whether sampled ones lie within the spread of real ones."""

import math

import numpy as np
import pytest

from nucleosynth.errors import UserError
from nucleosynth.metrics.layout import layout_distances, within
from nucleosynth.sample import Layout


def layout(*points: tuple[float, float, int], mpp: float | None = 0.5) -> Layout:
    xy = np.array([(x, y) for x, y, _ in points], np.float32).reshape(-1, 2)
    return Layout(xy, np.array([kind for *_, kind in points], np.uint8), (64, 64), ("a", "b"), mpp)


def poisson(seed: int, mean: float, count: int = 60) -> list[Layout]:
    generator = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        n = int(generator.poisson(mean))
        xy, kinds = generator.uniform(0, 63, (n, 2)), generator.integers(1, 3, n)
        made.append(layout(*((x, y, kind) for (x, y), kind in zip(xy, kinds, strict=True))))
    return made


def test_by_hand() -> None:
    real = [layout((0, 0, 1), (6, 8, 1), (6, 0, 2)), layout()]
    sampled = [layout((0, 0, 1), (0, 20, 1), (0, 0, 0))]
    found = layout_distances(real, sampled, ("a", "b"))
    assert found["all.count"] == pytest.approx((0 + 3) / 2)
    assert found["a.count"] == pytest.approx((0 + 2) / 2)
    assert found["b.count"] == pytest.approx(0.5)
    # um: real to any 3, 4, 3; sampled 0, 10, 0
    assert found["all.neighbour_um"] == pytest.approx((3 + 3 + 6) / 3)
    assert found["a.neighbour_um"] == pytest.approx((abs(3 - 0) + abs(4 - 10)) / 2)
    assert found["a.alike_um"] == pytest.approx(10 - 5)
    assert math.isnan(found["b.neighbour_um"])
    assert math.isnan(found["b.alike_um"])


def test_like_layouts_lie_within_and_others_do_not() -> None:
    real = poisson(0, 20)
    alike = within(layout_distances(real, poisson(1, 20), ("a", "b")))
    assert len(alike) == 8
    assert sum(alike.values()) >= 7
    crowded = layout_distances(real, poisson(2, 40), ("a", "b"))
    far = within(crowded)
    assert not far["all.count"]
    assert not far["all.neighbour_um"]
    assert crowded["all.count.floor"] < crowded["all.count.limit"] < crowded["all.count.at_floor"]


def test_real_layouts_of_a_slide_stay_in_one_half() -> None:
    slides = [*poisson(0, 5, 20), *poisson(1, 50, 20)]
    together = layout_distances(slides, slides, ("a", "b"), groups=np.repeat([0, 1], 20))
    apart = layout_distances(slides, slides, ("a", "b"))
    assert together["all.count.floor"] == pytest.approx(45, abs=3)
    assert apart["all.count.floor"] < 15


def test_what_is_not_known_is_nan_and_not_judged() -> None:
    found = layout_distances([layout((0, 0, 1))], [layout((1, 1, 1))], ("a", "b"))
    assert math.isnan(found["all.count.limit"])
    assert within(found) == {}


@pytest.mark.parametrize(
    "wrong",
    [layout((0, 0, 1), mpp=None), Layout(np.zeros((0, 2), np.float32), np.zeros(0, np.uint8), (4, 4), ("x",), 1.0)],
)
def test_layouts_that_cannot_be_compared(wrong: Layout) -> None:
    with pytest.raises(UserError, match="cannot be compared"):
        layout_distances([layout((0, 0, 1))], [wrong], ("a", "b"))


def test_a_class_that_is_called_all_is_refused() -> None:
    with pytest.raises(UserError, match="taken"):
        layout_distances([], [], ("all",))
