"""Arms are read from words; what they rest on is refused where it would be unfair."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drawn import drawn_sample
from faked_study import synthetic, tiles
from nucleosynth.errors import UserError
from nucleosynth.studies.arms import parse
from nucleosynth.studies.fairness import check_apart, check_stores, check_usable


def test_the_three_kinds(tmp_path: Path) -> None:
    (tmp_path / "pairs").mkdir()
    real, plain, preset, store = parse(
        ["real", "real+jointflow", "real+jointflow:small", f"real+{tmp_path / 'pairs'}"], "tiny"
    )
    assert (real.method, real.store) == ("", None)
    assert (plain.method, plain.preset) == ("jointflow", "tiny")
    assert preset.preset == "small"
    assert store.store == tmp_path / "pairs"
    assert store.label == "real+pairs"
    assert "/" not in store.slug


def test_stores_of_one_name_keep_their_paths(tmp_path: Path) -> None:
    texts = [f"real+{tmp_path / name / 'pairs'}" for name in "ab"]
    for name in "ab":
        (tmp_path / name / "pairs").mkdir(parents=True)
    assert [arm.label for arm in parse(["real", *texts], "tiny")[1:]] == texts


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        ([], "nothing to compare"),
        (["real"], "nothing to compare"),
        (["real+jointflow"], "nothing to compare"),
        (["real", "real+jointflow", "real+jointflow"], "an arm twice"),
        (["real", "jointflow"], "not an arm"),
        (["real", "real+"], "not an arm"),
        (["real", "real+jointflo"], "did you mean 'jointflow'"),
        (["real", "real+no/such/folder"], "unknown method or store"),
    ],
)
def test_other_words_are_refused(texts: list[str], words: str) -> None:
    with pytest.raises(UserError, match=words):
        parse(texts, "tiny")


TRAINING, TESTS = tiles(3), tiles(2, first=10, split="test")
SOURCES = [tile.source for tile in TRAINING]


def pair(**changes: Any) -> Any:
    """A fair pair, but for the changes."""
    return synthetic(drawn_sample(50), 0, SOURCES, **changes)


def test_fair_tiles_pass() -> None:
    kept = pair(source=SOURCES[0], provenance={"condition": {"source": SOURCES[1]}})
    check_stores("real+pairs", [pair(), kept, TRAINING[0]], TRAINING, TESTS)


@pytest.mark.parametrize(
    ("tile", "words"),
    [
        (pair(provenance={"training_sources": [{"source": "drawn/10", "licence": ""}]}), "has seen the test tiles"),
        (pair(provenance={"training_sources": [{"source": "drawn/7", "licence": ""}]}), "drawn/7"),
        (pair(provenance={"condition": {"source": "drawn/11"}}), "has seen the test tiles"),
        (pair(provenance={"condition": {"source": "drawn/7"}}), "has seen other tiles"),
        (pair(provenance={"condition": {"source": "synthetic/another-4567"}}), "synthetic/another-4567"),
        (pair(source="drawn/10"), "has seen the test tiles"),
        (pair(source="drawn/7"), "has seen other tiles"),
        (pair(provenance={"training_sources": []}), "does not say where it comes from"),
        (TESTS[0], "has seen the test tiles"),
        (drawn_sample(0, source="drawn/7"), "has seen other tiles"),
        (pair(class_names=("round", "long", "else")), "other classes"),
    ],
)
def test_unfair_tiles_are_refused(tile: Any, words: str) -> None:
    with pytest.raises(UserError, match=words):
        check_stores("real+pairs", [pair(), tile], TRAINING, TESTS)


def test_a_source_outside_the_fraction_is_refused() -> None:
    with pytest.raises(UserError, match="drawn/2") as error:
        check_stores("real+pairs", [pair()], TRAINING[:2], TESTS)
    assert "real+METHOD" in str(error.value)


def test_test_tiles_are_apart() -> None:
    check_apart(TRAINING, TESTS)
    with pytest.raises(UserError, match="sources in training and test"):
        check_apart(TRAINING, [*TESTS, TRAINING[1]])
    with pytest.raises(UserError, match="test tiles of other classes"):
        check_apart(TRAINING, [replace(tile, class_names=("a", "b", "c")) for tile in TESTS])


def test_what_cannot_be_judged_is_refused() -> None:
    check_usable(TRAINING, "tiles")
    points = np.zeros((0, 2), np.float32)
    from nucleosynth.sample import Layout

    layout = Layout(points, np.zeros(0, np.uint8), (40, 48), TRAINING[0].class_names)
    for tile in (
        drawn_sample(0, mpp=None),
        drawn_sample(0, labelled_as="points", points=layout),
        drawn_sample(0, class_names=("a", "b", "c")),
    ):
        with pytest.raises(UserError, match="training tiles that cannot be judged"):
            check_usable([*TRAINING, tile], "training tiles")
