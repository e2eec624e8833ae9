"""Recall among the first few: by hand, by chance, and with captions that repeat."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from nucleosynth.errors import UserError
from nucleosynth.metrics.retrieval import retrieval


def test_by_hand() -> None:
    similarity = np.array([[0.9, 0.1, 0.5], [0.2, 0.3, 0.8], [0.7, 0.6, 0.1]])
    found = retrieval(similarity, np.eye(3, dtype=bool), (1, 2, 3))
    assert (found["recall@1"], found["recall@2"], found["recall@3"]) == pytest.approx((1 / 3, 2 / 3, 1))
    assert found["median_rank"] == 2
    assert (found["chance@1"], found["chance@2"], found["chance@3"]) == pytest.approx((1 / 3, 2 / 3, 1))


def test_any_of_several_right_answers_will_do_and_chance_knows_it() -> None:
    right = np.array([[True, True, False, False], [False, False, False, True]])
    found = retrieval(np.array([[0, 3, 2, 1], [3, 2, 1, 0.5]]), right, (1, 2))
    assert (found["recall@1"], found["recall@2"]) == (0.5, 0.5)
    assert found["chance@1"] == pytest.approx((1 / 2 + 1 / 4) / 2)
    assert found["chance@2"] == pytest.approx((1 - 1 / 6 + 1 / 2) / 2)


def test_what_is_as_near_as_a_wrong_one_comes_after_it() -> None:
    assert retrieval(np.zeros((1, 4)), np.eye(1, 4, dtype=bool))["median_rank"] == 4


def test_chance_is_what_random_orders_give() -> None:
    rng = np.random.default_rng(0)
    right = rng.random((40, 30)) < 0.08
    found = [retrieval(rng.random((40, 30)), right) for _ in range(300)]
    for k in (1, 5, 10):
        assert_allclose(np.mean([each[f"recall@{k}"] for each in found]), found[0][f"chance@{k}"], atol=0.01)


def test_queries_without_an_answer_are_left_out() -> None:
    right = np.array([[True, False], [False, False]])
    assert retrieval(np.array([[1, 0], [0, 1.0]]), right)["recall@1"] == 1
    assert all(np.isnan(value) for value in retrieval(np.zeros((2, 2)), np.zeros((2, 2), bool)).values())


def test_more_ranks_than_answers() -> None:
    found = retrieval(np.eye(2), np.eye(2, dtype=bool))
    assert (found["recall@10"], found["chance@10"]) == (1, 1)


@pytest.mark.parametrize("similarity", [np.zeros((2, 3)), np.zeros(4), np.full((2, 2), np.nan)])
def test_what_is_no_table_is_refused(similarity: np.ndarray) -> None:
    with pytest.raises(UserError, match="no similarities"):
        retrieval(similarity, np.zeros((2, 2), bool))
