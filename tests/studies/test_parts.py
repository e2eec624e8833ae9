"""Which tiles a study trains and tests on."""

import re
from pathlib import Path
from typing import Any

import pytest

from drawn import drawn_sample
from faked_study import Write
from nucleosynth.data import store
from nucleosynth.errors import UserError
from nucleosynth.studies.parts import Fold, Source, folds, parts


def names(tiles: Any) -> list[str]:
    return [tile.sample_id for tile in tiles]


def sources(tiles: Any) -> set[str]:
    return {tile.source for tile in tiles}


def one(*given: Any, seed: int = 0) -> tuple[Fold, str]:
    found, how = folds(Source(*given), seed)
    assert len(found) == 1
    return found[0], how


@pytest.mark.parametrize(
    ("splits", "split", "training", "tests"),
    [
        (("train", "train", "test"), None, "01", "2"),
        (("train", "valid", "test"), None, "0", "2"),
        (("train", "valid", "test"), "valid", "0", "1"),
        (("fold1", "fold2", "fold3"), "fold2", "02", "1"),
        (("train", "test"), "train", "1", "0"),
    ],
)
def test_official_splits(write: Write, splits: tuple[str, ...], split: str | None, training: str, tests: str) -> None:
    fold, how = one(write("data", *splits), None, split)
    assert names(fold.available) == [f"tile_{k}" for k in training]
    assert names(fold.tests) == [f"tile_{k}" for k in tests]
    assert fold.name == (split or "test")
    assert "official split" in how


def test_without_splits_sources_are_set_aside_and_it_is_said(write: Write) -> None:
    data = write("data", *[""] * 8)
    fold, how = one(data, seed=5)
    assert len(fold.tests) == 2
    assert not sources(fold.available) & sources(fold.tests)
    assert "no official split" in how
    assert "seed 5" in how
    assert names(one(data, seed=5)[0].tests) == names(fold.tests)


@pytest.mark.parametrize(
    ("splits", "split", "tests"), [(("", ""), None, "01"), (("train", "test"), None, "1"), (("a", "b"), "a", "0")]
)
def test_other_test_data(write: Write, splits: tuple[str, ...], split: str | None, tests: str) -> None:
    fold, how = one(write("data", "train", "valid"), write("other", *splits), split)
    assert names(fold.available) == ["tile_0"]
    assert names(fold.tests) == [f"tile_{k}" for k in tests]
    assert how == "test tiles from other data"


def test_a_split_that_is_not_there(write: Write) -> None:
    with pytest.raises(UserError, match="no test tile"):
        one(write("data", "train", "train"))
    with pytest.raises(UserError, match="no training tile"):
        one(write("whole", "test", "test"))


@pytest.mark.parametrize("count", [2, 3, 7])
def test_folds_deal_out_every_source_once(write: Write, count: int) -> None:
    found, how = folds(Source(write("data", *["train"] * 7), folds=str(count)), 3)
    assert len(found) == count
    assert f"{count} folds" in how
    held = [sources(fold.tests) for fold in found]
    assert set.union(*held) == {f"data/{k}" for k in range(7)}
    assert sum(map(len, held)) == 7
    assert {len(each) for each in held} <= {7 // count, -(-7 // count)}
    for fold in found:
        assert sources(fold.available) == set.union(*held) - sources(fold.tests)


def test_folds_follow_the_seed_and_keep_a_source_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tiles = [drawn_sample(k, source=f"slide/{k // 3}", sample_id=f"t{k}") for k in range(18)]
    store.write(tiles, tmp_path / "slides")
    found = [[sources(fold.tests) for fold in folds(Source("slides", folds="3"), seed)[0]] for seed in (0, 0, 1)]
    assert found[0] == found[1]
    assert found[0] != found[2]
    assert all(len(each) == 2 for run in found for each in run)


def test_official_folds_are_each_the_test_in_turn(write: Write) -> None:
    found, how = folds(Source(write("data", "fold1", "fold2", "fold3"), folds="official"), 0)
    assert [fold.name for fold in found] == ["fold1", "fold2", "fold3"]
    assert [names(fold.tests) for fold in found] == [["tile_0"], ["tile_1"], ["tile_2"]]
    assert names(found[1].available) == ["tile_0", "tile_2"]
    assert "official folds" in how


@pytest.mark.parametrize(
    ("splits", "given", "words"),
    [
        (("train", "test"), {"folds": "1"}, "no folds"),
        (("train", "test"), {"folds": "many"}, "no folds"),
        (("train", "test"), {"folds": "3"}, "too few sources"),
        (("train", "train"), {"folds": "official"}, "no official folds"),
        (("train", ""), {"folds": "official"}, "no official folds"),
        (("train", "test"), {"folds": "2", "split": "test"}, "folds and a test split"),
    ],
)
def test_folds_that_cannot_be_made(write: Write, splits: tuple[str, ...], given: dict[str, str], words: str) -> None:
    with pytest.raises(UserError, match=words):
        folds(Source(write("data", *splits), **given), 0)


def test_parts_are_folds_at_fractions(write: Write) -> None:
    found, _ = folds(Source(write("data", *[""] * 8), folds="2"), 0)
    made = parts(found, (0.5, 1.0), 0)
    assert [(part.fold, part.fraction) for part in made] == [
        ("fold 1 of 2", 0.5),
        ("fold 2 of 2", 0.5),
        ("fold 1 of 2", 1.0),
        ("fold 2 of 2", 1.0),
    ]
    assert [len(part.training) for part in made] == [2, 2, 4, 4]
    assert len({part.slug for part in made}) == 4
    for part in made:
        assert sources(part.training) <= sources(part.available)
        assert not sources(part.training) & sources(part.tests)


def test_fractions_are_named_once(write: Write) -> None:
    found, _ = folds(Source(write("data", "train", "test")), 0)
    for fractions in ((), (1.0, 1.0)):
        with pytest.raises(UserError, match="no clear fractions"):
            parts(found, fractions, 0)
    with pytest.raises(UserError, match="not a fraction"):
        parts(found, (0.0,), 0)


def test_no_two_parts_share_a_folder(write: Write) -> None:
    found, _ = folds(Source(write("data", "a b", "a_b", "a/b", "a-b", "A", ".."), folds="official"), 0)
    slugs = [part.slug for part in parts(found, (0.1234567, 0.1234568), 0)]
    assert len(set(slugs)) == 12
    assert all(re.fullmatch(r"[\w.+@-]+", slug) and not slug.startswith(".") for slug in slugs)
