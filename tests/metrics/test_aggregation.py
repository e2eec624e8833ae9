"""Aggregations: brute force on restricted maps, nuclei of unknown type by hand, symmetries, swaps, empty images."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from nucleosynth.errors import UserError
from nucleosynth.metrics.aggregation import (
    AGGREGATIONS,
    Aggregate,
    Judged,
    class_table,
    conic,
    judge,
    mean,
    micro,
    pannuke,
    r2,
)
from nucleosynth.metrics.by_class import detections_by_class
from nucleosynth.metrics.classification import Confusion, Nuclei, confusion, nuclei
from nucleosynth.metrics.instance import Detections, detections, scores
from nucleosynth.metrics.overlap import overlap
from nucleosynth.sample import transform_array

Map = NDArray[np.int32]
Class = NDArray[np.uint8]
Case = tuple[Map, Map, Class, Class]
NAMES = ("a", "b")
SHAPE = (7, 6)


def typed_maps(lowest_true: int) -> st.SearchStrategy[Case]:
    """A true map, a prediction that is mostly the same, and a class for each id up to 5 (0 = unknown on request)."""
    labels = arrays(np.int32, SHAPE, elements=st.integers(0, 5), fill=st.nothing())
    coarse = arrays(np.int32, (4, 3), elements=st.integers(0, 5), fill=st.nothing())
    return st.builds(
        lambda blocks, other, changed, true, predicted: (
            blocks.repeat(2, axis=0).repeat(2, axis=1)[: SHAPE[0], : SHAPE[1]],
            np.where(changed == 0, other, blocks.repeat(2, axis=0).repeat(2, axis=1)[: SHAPE[0], : SHAPE[1]]),
            true,
            predicted,
        ),
        coarse,
        labels,
        arrays(np.int8, SHAPE, elements=st.integers(0, 5), fill=st.nothing()),
        arrays(np.uint8, 5, elements=st.integers(lowest_true, 2), fill=st.nothing()),
        arrays(np.uint8, 5, elements=st.integers(0, 2), fill=st.nothing()),
    )


def judged(case: Case, tissue: str = "colon") -> Judged:
    true, predicted, true_classes, predicted_classes = case
    return judge(true, predicted, of(true, true_classes), of(predicted, predicted_classes), 2, tissue)


def of(labels: Map, classes: Class) -> Class:
    """The classes of the ids that occur."""
    return classes[np.unique(labels[labels > 0]) - 1]


def restricted(labels: Map, classes: Class, c: int) -> Map:
    return np.where(np.isin(labels, np.flatnonzero(classes == c) + 1), labels, 0)


def counts(found: Detections) -> tuple[float, ...]:
    return found.tp, found.fp, found.fn, round(found.iou, 12)


def flat(found: Aggregate) -> dict[str, float]:
    """All numbers of an aggregate but those that depend on the order of equally good pairs."""
    tables = {"scores": found.scores} | found.by_class | found.by_tissue
    return {f"{row}.{name}": value for row, t in tables.items() for name, value in t.items() if "aji" not in name}


def brute_pq(true: Map, predicted: Map) -> tuple[int, int, int, float]:
    """TP, FP, FN and sum of IoU with a mask for each nucleus."""
    t = [true == k for k in np.unique(true[true > 0])]
    p = [predicted == k for k in np.unique(predicted[predicted > 0])]
    ious = [(a & b).sum() / (a | b).sum() for a in t for b in p]
    hits = [iou for iou in ious if iou > 0.5]
    return len(hits), len(p) - len(hits), len(t) - len(hits), float(sum(hits))


@settings(deadline=None, max_examples=40)
@given(typed_maps(lowest_true=1))
def test_each_class_equals_the_maps_restricted_to_it(case: Case) -> None:
    true, predicted, true_classes, predicted_classes = case
    found = judged(case).by_class
    for c in (1, 2):
        sides = restricted(true, true_classes, c), restricted(predicted, predicted_classes, c)
        assert counts(found[c - 1]) == counts(detections(overlap(*sides)))
        assert_allclose(counts(found[c - 1]), brute_pq(*sides), rtol=1e-11)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(typed_maps(lowest_true=1), st.sampled_from(["colon", "skin"])), min_size=1, max_size=5))
def test_pannuke_equals_its_definition_written_out(cases: list[tuple[Case, str]]) -> None:
    bpq, mpq, by_class = [], [], []
    for (true, predicted, true_classes, predicted_classes), _ in cases:
        row = []
        for c in (0, 1, 2):
            t = true if c == 0 else restricted(true, true_classes, c)
            p = predicted if c == 0 else restricted(predicted, predicted_classes, c)
            tp, fp, fn, iou = brute_pq(t, p)
            dq, sq = tp / max(tp + fp / 2 + fn / 2, 0.5), iou / max(tp, 1)
            row.append(dq * sq if t.any() else math.nan)
        bpq.append(row[0])
        by_class.append(row[1:])
        defined = [value for value in row[1:] if not math.isnan(value)]
        mpq.append(sum(defined) / len(defined) if defined else math.nan)
    tissues = {tissue for _, tissue in cases}
    means = {
        name: [plain_mean(v for v, (_, where) in zip(values, cases, strict=True) if where == t) for t in tissues]
        for name, values in (("bpq", bpq), ("mpq", mpq))
    }
    found = pannuke([judged(case, tissue) for case, tissue in cases], NAMES)
    assert_allclose(found.scores["bpq"], plain_mean(means["bpq"]), rtol=1e-12)
    assert_allclose(found.scores["mpq"], plain_mean(means["mpq"]), rtol=1e-12)
    for c, name in enumerate(NAMES):
        assert_allclose(found.by_class[name]["pq"], plain_mean(row[c] for row in by_class), rtol=1e-12)
    assert found.left_out["bpq"] == sum(map(math.isnan, bpq))


def plain_mean(values: object) -> float:
    defined = [value for value in values if not math.isnan(value)]  # type: ignore[attr-defined]
    return sum(defined) / len(defined) if defined else math.nan


@settings(deadline=None, max_examples=40)
@given(st.lists(typed_maps(lowest_true=1), min_size=1, max_size=4))
def test_conic_pools_counts_before_it_divides(cases: list[Case]) -> None:
    found = conic([judged(case) for case in cases], NAMES)
    pqs = []
    for c, name in enumerate(NAMES, start=1):
        rows = np.array([brute_pq(restricted(t, tc, c), restricted(p, pc, c)) for t, p, tc, pc in cases])
        tp, fp, fn, iou = rows.sum(axis=0)
        pqs.append(iou / (tp + fp / 2 + fn / 2) if tp + fp + fn else math.nan)
        assert_allclose(found.by_class[name]["pq"], pqs[-1], rtol=1e-12)
        true, predicted = rows[:, 0] + rows[:, 2], rows[:, 0] + rows[:, 1]
        constant = len(set(true)) == 1
        expected = math.nan if constant else 1 - ((predicted - true) ** 2).sum() / (len(true) * true.var())
        assert_allclose(found.by_class[name]["r2"], expected, rtol=1e-9, atol=1e-12)
    assert_allclose(found.scores["mpq_plus"], plain_mean(pqs), rtol=1e-12)


@settings(deadline=None, max_examples=40)
@given(st.lists(typed_maps(lowest_true=0), min_size=1, max_size=4))
def test_micro_scores_are_those_of_the_tiles_side_by_side(cases: list[Case]) -> None:
    apart = [[side + 10 * k * (side > 0) for side in case[:2]] for k, case in enumerate(cases)]
    whole = scores(*(np.concatenate([sides[i] for sides in apart], axis=1) for i in range(2)))
    found = micro([judged(case) for case in cases], NAMES).scores
    assert_allclose([found[name] for name in whole], list(whole.values()), rtol=1e-12)


@settings(deadline=None, max_examples=40)
@given(st.lists(typed_maps(lowest_true=0), min_size=1, max_size=3), st.integers(0, 7), st.integers(0, 2**32 - 1))
def test_neither_ids_nor_symmetries_matter(cases: list[Case], symmetry: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    images, moved = [judged(case) for case in cases], []
    for true, predicted, true_classes, predicted_classes in cases:
        sides = []
        for labels, classes in ((true, true_classes), (predicted, predicted_classes)):
            ids = np.append(0, rng.choice(np.arange(1, 100), 5, replace=False))
            sides.append((transform_array(ids[labels], symmetry), dict(zip(ids[1:], classes, strict=True))))
        typed = [np.array([of_id[k] for k in np.unique(m[m > 0])], np.uint8) for m, of_id in sides]
        moved.append(judge(sides[0][0], sides[1][0], *typed, 2, "colon"))
    for aggregate in AGGREGATIONS.values():
        before, after = aggregate(images, NAMES), aggregate(moved, NAMES)
        assert flat(after) == pytest.approx(flat(before), rel=1e-12, nan_ok=True)
        assert after.left_out == before.left_out


@settings(deadline=None, max_examples=40)
@given(st.lists(typed_maps(lowest_true=1), min_size=2, max_size=4))
def test_the_truth_itself_scores_1(cases: list[Case]) -> None:
    images = [judged((true, true, classes, classes)) for true, _, classes, _ in cases]
    for aggregate in AGGREGATIONS.values():
        found = aggregate(images, NAMES)
        values = [*found.scores.values(), *(row["pq"] for row in found.by_class.values())]
        assert_allclose([value for value in values if not math.isnan(value)], 1)
    assert math.isnan(mean(images, NAMES).scores["pq"]) == (not any(true.any() for true, *_ in cases))


@settings(deadline=None, max_examples=40)
@given(st.lists(typed_maps(lowest_true=1), min_size=1, max_size=3))
def test_swapping_truth_and_prediction_changes_nothing_where_the_definition_is_symmetric(cases: list[Case]) -> None:
    cases = [(t, p, tc, np.maximum(pc, 1)) for t, p, tc, pc in cases]
    there, back = [judged(case) for case in cases], [judged((p, t, pc, tc)) for t, p, tc, pc in cases]
    for aggregate in (mean, micro):
        before, after = aggregate(there, NAMES), aggregate(back, NAMES)
        assert flat(after) == pytest.approx(flat(before), rel=1e-12, nan_ok=True)
    assert conic(there, NAMES).scores["mpq_plus"] == pytest.approx(conic(back, NAMES).scores["mpq_plus"], nan_ok=True)
    for t, p, tc, pc in cases:
        sides = nuclei(t, of(t, tc)), nuclei(p, of(p, pc))
        one, other = (confusion(*pair, 2, 3.0, gated=True) for pair in (sides, sides[::-1]))
        assert one.f_d == pytest.approx(other.f_d, nan_ok=True)
        swapped = Confusion(one.paired.T, one.false_alarms, one.missed)
        for c in (1, 2):
            assert swapped.recall(c) == pytest.approx(one.precision(c), nan_ok=True)
            assert swapped.f_class(c) == pytest.approx(one.f_class(c), nan_ok=True)


EMPTY, FULL = np.zeros((4, 5), np.int32), np.ones((4, 5), np.int32)
NO_CLASS, CLASS = np.zeros(0, np.uint8), np.ones(1, np.uint8)


@pytest.mark.parametrize("aggregate", AGGREGATIONS.values(), ids=AGGREGATIONS)
def test_empty_images_and_no_images_never_crash(aggregate: Callable[..., Aggregate]) -> None:
    for images in ([], [judge(EMPTY, EMPTY, NO_CLASS, NO_CLASS, 2)]):
        found = aggregate(images, NAMES)
        assert np.isnan(list(found.scores.values())).all()
        assert found.scores.keys() == aggregate([judge(FULL, FULL, CLASS, CLASS, 2)], NAMES).scores.keys()
        assert set(found.by_class) == set(NAMES)


def test_an_image_that_is_empty_on_one_side_is_0_and_pannuke_leaves_empty_truths_out() -> None:
    missed = judge(FULL, EMPTY, CLASS, NO_CLASS, 2)
    alarm = judge(EMPTY, FULL, NO_CLASS, CLASS, 2)
    nothing = judge(EMPTY, EMPTY, NO_CLASS, NO_CLASS, 2)
    right = judge(FULL, FULL, CLASS, CLASS, 2)
    images = [missed, alarm, nothing, right]
    assert mean(images, NAMES).scores["pq"] == pytest.approx(1 / 3)
    assert mean(images, NAMES).left_out["pq"] == 1
    assert mean(images, NAMES).by_class == {"a": {"pq": pytest.approx(1 / 3), "images": 3}, "b": NEVER}
    found = pannuke(images, NAMES)
    assert found.scores == {"bpq": 0.5, "mpq": 0.5}
    assert found.left_out == {"bpq": 2, "mpq": 2}
    assert conic(images, NAMES).scores["mpq_plus"] == 1 / (1 + 1 / 2 + 1 / 2)
    assert conic(images, NAMES).left_out == {"mpq_plus": 1, "r2": 1}
    assert micro(images, NAMES).scores["typed_pq"] == micro(images, NAMES).scores["pq"] == 1 / 2


NEVER = pytest.approx({"pq": math.nan, "images": 0}, nan_ok=True)


def test_tissues_weigh_the_same_however_many_images_they_have() -> None:
    right, missed = judge(FULL, FULL, CLASS, CLASS, 2, "skin"), judge(FULL, EMPTY, CLASS, NO_CLASS, 2, "colon")
    found = pannuke([right, right, right, missed], NAMES)
    assert found.scores["bpq"] == 0.5
    assert found.by_tissue == {
        "colon": {"bpq": 0, "mpq": 0, "images": 1},
        "skin": {"bpq": 1, "mpq": 1, "images": 3},
    }
    assert found.by_class["a"] == {"pq": 0.75, "images": 4}


def test_nuclei_of_unknown_type_are_neither_missed_nor_false_alarms_of_a_class() -> None:
    #                 hit of a   unknown, hit   unknown, split  unknown, missed   little of it on an unknown one
    true = np.array([[1, 1, 0, 2, 2, 2, 0, 3, 3, 3, 3, 0, 4, 4, 0, 5, 0, 0]])
    predicted = np.array([[1, 1, 0, 2, 2, 2, 0, 3, 3, 6, 6, 0, 0, 0, 0, 5, 5, 0]])
    true_classes, predicted_classes = np.array([1, 0, 0, 0, 0], np.uint8), np.array([1, 2, 2, 1, 1], np.uint8)
    table = overlap(true, predicted)
    found = detections_by_class(table, true_classes, predicted_classes, 2)
    # The last prediction lies on an unknown nucleus for one half, not more: a false alarm of its class.
    assert counts(found[0]) == (1, 1, 0, 1.0)
    assert counts(found[1]) == (0, 0, 0, 0.0)
    assert counts(detections(table)) == (2, 3, 3, 2.0)  # without classes they are nuclei like any other


def test_a_prediction_of_unknown_type_is_no_false_alarm_and_what_it_covers_is_missed() -> None:
    table = overlap(np.array([[1, 0, 2]]), np.array([[1, 3, 2]]))
    found = detections_by_class(table, np.array([1, 1]), np.array([1, 0, 0]), 1)
    assert counts(found[0]) == (1, 0, 1, 1.0)


def test_a_nucleus_of_the_wrong_class_is_missed_and_a_false_alarm() -> None:
    wrong = judge(FULL, FULL, CLASS, CLASS * 2, 2)
    assert [counts(found) for found in wrong.by_class] == [(0, 0, 1, 0), (0, 1, 0, 0)]
    found = micro([wrong], NAMES).scores
    assert (found["pq"], found["typed_pq"]) == (1, 0)


@pytest.mark.parametrize(
    ("true", "predicted", "expected"),
    [
        ([1, 2, 3], [1, 2, 3], 1),
        ([1, 2, 3], [2, 2, 2], 0),  # the mean explains nothing
        ([1, 2, 3], [3, 2, 1], -3),
        ([4, 4, 4], [4, 4, 4], math.nan),  # nothing to explain, met or not
        ([4, 4, 4], [4, 4, 5], math.nan),
        ([7], [7], math.nan),
        ([], [], math.nan),
    ],
)
def test_r2(true: list[int], predicted: list[int], expected: float) -> None:
    assert r2(np.array(true), np.array(predicted)) == pytest.approx(expected, nan_ok=True)


def test_the_table_of_classes_and_precision_and_recall_by_hand() -> None:
    images = [judge(FULL, FULL, CLASS, CLASS, 2)]
    #        pairs: 1-1, 1-1, 1-2, 2-1, 0-1; missed: 1; false alarms: 1, 1
    xy = np.stack([np.arange(8) * 100.0, np.zeros(8)], axis=1)
    true = Nuclei(xy[:6], np.array([1, 1, 1, 2, 0, 1], np.uint8))
    predicted = Nuclei(np.delete(xy, 5, axis=0), np.array([1, 1, 2, 1, 1, 1, 1], np.uint8))
    found = class_table(images, confusion(true, predicted, 2, 12), NAMES)
    assert found["a"] == {
        "pq_pannuke": 1,
        "pq": 1,
        "dq": 1,
        "sq": 1,
        "f": pytest.approx(2 * 2 / (2 * 2 + 2 * 1 + 2 * 1 + 2 + 1)),
        "precision": pytest.approx(2 / (2 + 1 + 2)),
        "recall": pytest.approx(2 / (2 + 1 + 1)),
        "true": 4,
        "predicted": 6,
    }
    assert math.isnan(found["b"]["pq"])
    assert found["b"]["recall"] == found["b"]["precision"] == 0


def test_without_classes_only_what_needs_none_is_scored() -> None:
    image = judge(FULL, FULL, CLASS * 0, CLASS * 0, 0)
    assert pannuke([image]).scores == {"bpq": 1}
    assert "typed_pq" not in micro([image]).scores
    with pytest.raises(UserError, match="scores are of classes"):
        conic([image], ())


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(UserError, match="images with other classes"):
        pannuke([judge(FULL, FULL, CLASS, CLASS, 2)], ("a",))
    with pytest.raises(UserError, match="a class out of range"):
        judge(FULL, FULL, CLASS * 3, CLASS, 2)
    with pytest.raises(UserError, match="classes do not fit"):
        judge(FULL, FULL, CLASS, NO_CLASS, 2)
