"""Instance scores: drawn shapes with known overlap, brute force on tiny maps, symmetries, empty maps."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from nucleosynth.errors import UserError
from nucleosynth.metrics.instance import NAMES, Detections, Mean, aji_plus, detections, mdice, mean, scores
from nucleosynth.metrics.overlap import overlap
from nucleosynth.sample import transform_array

Map = NDArray[np.int32]
MAPS = st.tuples(st.integers(1, 6), st.integers(1, 6)).flatmap(
    lambda shape: st.tuples(*(arrays(np.int32, shape, elements=st.integers(0, 4)) for _ in range(2)))
)


def disc(size: int, x: int, y: int, radius: float, value: int = 1) -> Map:
    rows, columns = np.mgrid[:size, :size]
    return (((rows - y) ** 2 + (columns - x) ** 2 <= radius**2) * value).astype(np.int32)


def masks(labels: Map) -> list[NDArray[np.bool_]]:
    return [labels == k for k in np.unique(labels[labels > 0])]


def iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return float((a & b).sum() / (a | b).sum())


def jaccard(true: Map, predicted: Map, pairs: list[tuple[int, int]]) -> float:
    """The aggregated index of given pairs, written out from its definition."""
    t, p = masks(true), masks(predicted)
    shared = sum((t[i] & p[j]).sum() for i, j in pairs)
    union = sum((t[i] | p[j]).sum() for i, j in pairs)
    alone = sum(mask.sum() for i, mask in enumerate(t) if i not in {i for i, _ in pairs})
    unused = sum(mask.sum() for j, mask in enumerate(p) if j not in {j for _, j in pairs})
    return float(shared / (union + alone + unused))


def brute_force(true: Map, predicted: Map) -> dict[str, float]:
    """Every score but AJI+ from its definition, with one mask for each nucleus; both maps hold nuclei."""
    t, p = masks(true), masks(predicted)
    table = np.array([[iou(a, b) for b in p] for a in t])
    touching = [(a, b) for a in t for b in p if (a & b).any()]
    dice2 = 2 * sum((a & b).sum() for a, b in touching) / max(sum(a.sum() + b.sum() for a, b in touching), 1)
    hits = table[table > 0.5]
    dq = len(hits) / (len(hits) + (len(p) - len(hits)) / 2 + (len(t) - len(hits)) / 2)
    sq = float(hits.mean()) if len(hits) else 0.0
    best = [(i, int(row.argmax())) for i, row in enumerate(table) if row.any()]
    return {
        "dice": 2 * ((true > 0) & (predicted > 0)).sum() / ((true > 0).sum() + (predicted > 0).sum()),
        "dice2": dice2,
        "aji": jaccard(true, predicted, best),
        "dq": dq,
        "sq": sq,
        "pq": dq * sq,
    }


def brute_force_aji_plus(true: Map, predicted: Map) -> list[float]:
    """AJI+ of each pairing that has the largest sum of IoU; there may be several."""
    t, p = masks(true), masks(predicted)
    short, swap = (p, True) if len(p) < len(t) else (t, False)
    found = []
    for order in itertools.permutations(range(max(len(t), len(p))), len(short)):
        pairs = [(j, i) if swap else (i, j) for i, j in enumerate(order)]
        pairs = [(i, j) for i, j in pairs if (t[i] & p[j]).any()]
        found.append((sum(iou(t[i], p[j]) for i, j in pairs), pairs))
    largest = max(total for total, _ in found)
    return [jaccard(true, predicted, pairs) for total, pairs in found if math.isclose(total, largest, abs_tol=1e-12)]


@settings(deadline=None)  # the first example compiles
@given(MAPS)
def test_scores_equal_brute_force(maps: tuple[Map, Map]) -> None:
    ours = scores(*maps)
    if maps[0].any() and maps[1].any():
        expected = brute_force(*maps)
        assert_allclose([ours[name] for name in expected], list(expected.values()), rtol=1e-12)
        assert any(math.isclose(ours["aji_plus"], value) for value in brute_force_aji_plus(*maps))
    else:
        expected_value = 0.0 if maps[0].any() or maps[1].any() else float("nan")
        assert_allclose(list(ours.values()), expected_value)


@settings(deadline=None)  # the first example compiles
@given(MAPS, st.integers(0, 7))
def test_mdice_equals_brute_force_under_every_symmetry(maps: tuple[Map, Map], symmetry: int) -> None:
    t, p = masks(maps[0]), masks(maps[1])
    best = [max([2 * (a & b).sum() / (a.sum() + b.sum()) for b in p], default=0.0) for a in t]
    expected = float(np.mean(best)) if best else (0.0 if p else float("nan"))
    assert_allclose(mdice(*(transform_array(labels, symmetry) for labels in maps)), expected, rtol=1e-12)


@settings(deadline=None)  # the first example compiles
@given(MAPS)
def test_swapping_truth_and_prediction_changes_no_score_but_aji(maps: tuple[Map, Map]) -> None:
    there, back = scores(*maps), scores(*maps[::-1])
    for name in ("dice", "dice2", "dq", "sq", "pq"):
        assert_allclose(back[name], there[name], rtol=1e-12)
    if maps[0].any() and maps[1].any():
        assert any(math.isclose(back["aji_plus"], value) for value in brute_force_aji_plus(*maps))


@settings(deadline=None)  # the first example compiles
@given(MAPS, st.integers(0, 7), st.integers(0, 2**32 - 1))
def test_neither_ids_nor_symmetries_matter(maps: tuple[Map, Map], symmetry: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    names = [np.append(0, rng.choice(np.arange(1, 1000), 4, replace=False)) for _ in maps]
    shuffled = [transform_array(name[labels], symmetry) for name, labels in zip(names, maps, strict=True)]
    before, after = scores(*maps), scores(*shuffled)
    assert after.keys() == before.keys()
    free_of_ties = ["dice", "dice2", "dq", "sq", "pq"]  # AJI takes the first of equal ones: there the order matters
    assert_allclose([after[name] for name in free_of_ties], [before[name] for name in free_of_ties], rtol=1e-12)
    plus = brute_force_aji_plus(*maps) if maps[0].any() and maps[1].any() else [before["aji_plus"]]
    assert any(math.isclose(after["aji_plus"], value) or math.isnan(value) for value in plus)


def test_ids_with_gaps_in_another_order_give_the_same_scores() -> None:
    rng = np.random.default_rng(0)
    true, predicted = np.zeros((2, 200, 200), np.int32)
    for k in range(1, 40):
        x, y = rng.integers(10, 190, 2)
        true[disc(200, x, y, 9) > 0] = k
        predicted[disc(200, x + rng.integers(-4, 5), y, rng.integers(6, 12)) > 0] = k
    names = rng.permutation(np.arange(1, 60_000))[:40]
    assert scores(names[true] * (true > 0), predicted) == pytest.approx(scores(true, predicted), rel=1e-12)
    assert 0.2 < scores(true, predicted)["pq"] < scores(true, predicted)["dice"] < 1


@settings(deadline=None)  # the first example compiles
@given(arrays(np.int32, (7, 5), elements=st.integers(0, 5)))
def test_a_map_against_itself_scores_1(labels: Map) -> None:
    expected = 1.0 if labels.any() else float("nan")
    assert_allclose(list(scores(labels, labels).values()), expected)
    assert_allclose(mdice(labels, labels), expected)


def test_a_disc_inside_a_disc_has_the_iou_of_their_areas() -> None:
    outer, inner = disc(101, 50, 50, 40), disc(101, 50, 50, 30)
    known = inner.sum() / outer.sum()
    assert known == pytest.approx((30 / 40) ** 2, rel=0.01)
    ours = scores(outer, inner)
    assert ours["sq"] == ours["aji"] == ours["aji_plus"] == ours["pq"] == pytest.approx(known, rel=1e-12)
    assert ours["dq"] == 1
    assert ours["dice"] == ours["dice2"] == pytest.approx(2 * known / (1 + known), rel=1e-12)


def test_iou_of_exactly_one_half_is_no_hit() -> None:
    half = scores(np.array([[1, 1, 0]]), np.array([[1, 0, 0]]))
    assert (half["dq"], half["sq"], half["pq"], half["aji"]) == (0, 0, 0, 0.5)
    assert scores(np.array([[1, 1, 1]]), np.array([[1, 1, 0]]))["pq"] == pytest.approx(2 / 3)


def test_aji_may_use_a_prediction_twice_and_aji_plus_may_not() -> None:
    true, predicted = np.array([[1, 1, 2, 2]]), np.array([[5, 5, 5, 5]])
    assert scores(true, predicted)["aji"] == pytest.approx(4 / 8)
    assert scores(true, predicted)["aji_plus"] == pytest.approx(2 / 6)


def test_aji_takes_the_first_of_equally_good_predictions() -> None:
    true = np.array([[1, 1, 1, 1, 0, 0, 0, 0]])
    # IoU 1 / 4 with the single pixel, 2 / 8 with the long one: the smaller id is first.
    assert scores(true, np.array([[4, 5, 5, 0, 5, 5, 5, 5]]))["aji"] == pytest.approx(1 / (4 + 6))
    assert scores(true, np.array([[5, 4, 4, 0, 4, 4, 4, 4]]))["aji"] == pytest.approx(2 / (8 + 1))


def test_aji_plus_maximises_the_sum_of_iou_not_the_largest_one() -> None:
    # IoU(1, 5) = 3 / 7 alone is less than IoU(1, 6) + IoU(2, 5) = 2 / 5 + 2 / 5.
    true = np.array([[1, 1, 1, 1, 1, 2, 2]])
    predicted = np.array([[6, 6, 5, 5, 5, 5, 5]])
    assert aji_plus(overlap(true, predicted)) == pytest.approx((2 + 2) / (5 + 5))


def test_one_pixel_against_one_pixel() -> None:
    assert set(scores(np.array([[3]]), np.array([[8]])).values()) == {1.0}
    assert set(scores(np.array([[3, 0]]), np.array([[0, 8]])).values()) == {0.0}


@pytest.mark.parametrize("shape", [(4, 5), (0, 5), (0, 0)])
def test_empty_maps(shape: tuple[int, int]) -> None:
    empty = np.zeros(shape, np.int32)
    assert list(scores(empty, empty)) == list(NAMES)
    assert np.isnan([*scores(empty, empty).values(), mdice(empty, empty)]).all()


def test_one_empty_map_scores_0() -> None:
    empty, full = np.zeros((4, 5), np.int32), np.ones((4, 5), np.int32)
    for true, predicted in ((empty, full), (full, empty)):
        assert set(scores(true, predicted).values()) == {0.0}
        assert mdice(true, predicted) == 0


def test_mdice_is_the_mean_over_true_nuclei_of_the_best_dice() -> None:
    true, predicted = np.array([[1, 1, 2, 0, 3]]), np.array([[4, 5, 5, 5, 0]])
    assert mdice(true, predicted) == pytest.approx((2 / 3 + 2 / 4 + 0) / 3)


def test_pooled_detections_are_those_of_the_tiles_side_by_side() -> None:
    rng = np.random.default_rng(1)
    true, predicted = rng.integers(0, 3, (2, 4, 6)).repeat(3, axis=1).repeat(3, axis=2)
    halves = [detections(overlap(true[:, s], predicted[:, s])) for s in (np.s_[:9], np.s_[9:])]
    separate = np.concatenate([true[:, :9], true[:, 9:] + 10 * (true[:, 9:] > 0)], axis=1)
    whole = detections(overlap(separate, predicted + 10 * (predicted > 0) * (np.arange(18) >= 9)))
    pooled = sum(halves, Detections())
    assert (pooled.tp, pooled.fp, pooled.fn) == (whole.tp, whole.fp, whole.fn)
    assert pooled.iou == pytest.approx(whole.iou)
    assert Detections(tp=3, fp=1, fn=1, iou=2.4).pq == pytest.approx(2.4 / 4)


def test_means_leave_out_undefined_images_and_count_them() -> None:
    nan = float("nan")
    found = mean([{"pq": 0.25, "sq": nan}, {"pq": 0.75, "sq": nan}, {"pq": nan, "sq": nan}])
    assert found["pq"] == Mean(0.5, used=2, left_out=1)
    assert math.isnan(found["sq"].value)
    assert found["sq"][1:] == (0, 3)
    assert mean([]) == {}


def test_means_of_different_scores_are_refused() -> None:
    with pytest.raises(UserError, match="different scores"):
        mean([{"pq": 1.0}, {"aji": 1.0}])
