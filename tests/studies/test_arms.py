"""Arms are read from words; what they rest on is refused where it would be unfair."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drawn import drawn_sample
from faked_study import synthetic, tiles
from nucleosynth.errors import UserError
from nucleosynth.run import TrainingSource
from nucleosynth.studies.arms import makers, parse
from nucleosynth.studies.fairness import check_apart, check_begun, check_stores, check_usable


def test_the_kinds(tmp_path: Path) -> None:
    (tmp_path / "pairs").mkdir()
    texts = ["real", "real+jointflow", "real+jointflow:small", f"real+{tmp_path / 'pairs'}", "real@jointflow"]
    real, compute, plain, preset, store = parse(texts, "tiny")
    assert (real.maker, real.reference, real.classic) == (None, "", False)
    assert plain.maker is not None
    assert (plain.maker.name, plain.maker.method, plain.maker.preset) == ("jointflow:tiny", "jointflow", "tiny")
    assert (plain.ratio, plain.reference, plain.label) == (1, "real", "real+jointflow")
    assert preset.maker is not None
    assert (preset.maker.preset, preset.label) == ("small", "real+jointflow:small")
    assert store.maker is not None
    assert (store.maker.store, store.ratio, store.label) == (tmp_path / "pairs", None, "real+pairs")
    assert "/" not in store.slug
    assert (compute.maker, compute.compute_of, compute.reference) == (None, plain.maker, "real")


def test_each_arm_is_compared_with_what_it_adds_to() -> None:
    texts = ["real+classic+jointflow", "real+jointflow", "real+classic@jointflow", "real", "real+classic"]
    found = {arm.name: arm for arm in parse(texts, "tiny")}
    assert {name: arm.reference for name, arm in found.items()} == {
        "real": "",
        "real+classic": "real",
        "real+classic@jointflow": "real+classic",
        "real+jointflow": "real",
        "real+classic+jointflow": "real+classic",
    }
    names = list(found)
    assert all(names.index(arm.reference) < names.index(name) for name, arm in found.items() if arm.reference)
    assert [arm.classic for arm in found.values()] == ["classic" in name for name in names]
    assert len(makers(tuple(found.values()))) == 1


def test_classic_may_be_the_first_reference() -> None:
    found = parse(["real+classic", "real+classic+jointflow"], "tiny")
    assert [arm.reference for arm in found] == ["", "real+classic"]


def test_several_ratios_are_an_arm_each_of_one_maker() -> None:
    found = parse(["real", "real+jointflow", "real@jointflow"], "tiny", (0.5, 2.0))
    assert [arm.name for arm in found] == ["real", "real@jointflow", "real+jointflow x0.5", "real+jointflow x2"]
    assert [arm.ratio for arm in found] == [None, None, 0.5, 2.0]
    assert len(makers(found)) == 1
    assert parse(["real", "real+jointflow"], "tiny", (0.5,))[1].name == "real+jointflow"


def test_stores_of_one_name_keep_their_paths(tmp_path: Path) -> None:
    texts = [f"real+{tmp_path / name / 'pairs'}" for name in "ab"]
    for name in "ab":
        (tmp_path / name / "pairs").mkdir(parents=True)
    found = parse(["real", *texts], "tiny")[1:]
    assert [arm.label for arm in found] == texts
    assert [arm.maker.label for arm in found if arm.maker] == [str(tmp_path / name / "pairs") for name in "ab"]


def test_a_folder_may_have_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("classic", "a+b@c"):
        (tmp_path / name).mkdir()
    first, second = parse(["real", "real+./classic", "real+a+b@c"], "tiny")[1:]
    assert [arm.maker.store for arm in (first, second) if arm.maker] == [Path("classic"), Path("a+b@c")]
    assert not first.classic


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        ([], "nothing to compare"),
        (["real"], "nothing to compare"),
        (["real+jointflow"], "nothing to compare with"),
        (["real", "real+jointflow", "real+jointflow"], "an arm twice"),
        (["real", "real+jointflow", "real+jointflow:tiny"], "an arm twice"),
        (["real", "real@jointflow", "real@jointflow:tiny"], "an arm twice"),
        (["real", "real+.", "real+./"], "an arm twice"),
        (["real", "jointflow"], "not an arm"),
        (["real", "real+"], "not an arm"),
        (["really", "real"], "not an arm"),
        (["real", "real@"], "not an arm"),
        (["real", "real+classic+jointflow"], "nothing to compare with"),
        (["real+classic", "real+jointflow"], "nothing to compare with"),
        (["real", "real@."], "no compute to compare with"),
        (["real", "real+jointflo"], "did you mean 'jointflow'"),
        (["real", "real+no/such/folder"], "unknown method or store"),
        (["real", "real+gcdp"], "name its method too: real\\+cosyn:gcdp"),
    ],
)
def test_other_words_are_refused(texts: list[str], words: str) -> None:
    with pytest.raises(UserError, match=words):
        parse(texts, "tiny")


@pytest.mark.parametrize(
    ("ratios", "words"), [((0.0,), "above 0"), ((float("nan"),), "above 0"), ((1.0, 1.0), "a ratio twice")]
)
def test_other_ratios_are_refused(ratios: tuple[float, ...], words: str) -> None:
    with pytest.raises(UserError, match=words):
        parse(["real", "real+jointflow"], "tiny", ratios)


TRAINING, TESTS = tiles(3), tiles(2, first=10, split="test")
SOURCES = [tile.source for tile in TRAINING]


def pair(**changes: Any) -> Any:
    """A fair pair, but for the changes."""
    return synthetic(drawn_sample(50), 0, SOURCES, **changes)


def test_fair_tiles_pass() -> None:
    kept = pair(source=SOURCES[0], provenance={"condition": {"source": SOURCES[1]}})
    of_two = pair(provenance={"condition": {"source": f"{SOURCES[0]}; {SOURCES[1]}"}})
    check_stores("real+pairs", [pair(), kept, of_two, TRAINING[0]], TRAINING, TESTS)


@pytest.mark.parametrize(
    ("tile", "words"),
    [
        (pair(provenance={"training_sources": [{"source": "drawn/10", "licence": ""}]}), "has seen the test tiles"),
        (pair(provenance={"training_sources": [{"source": "drawn/7", "licence": ""}]}), "drawn/7"),
        (pair(provenance={"condition": {"source": "drawn/11"}}), "has seen the test tiles"),
        (pair(provenance={"condition": {"source": f"{SOURCES[0]}; drawn/11"}}), "has seen the test tiles"),
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


def test_what_a_generator_inherited_may_be_of_other_data() -> None:
    told = [*({"source": source, "licence": ""} for source in SOURCES[:2])]
    known = [{"source": "elsewhere/1", "licence": "", "inherited": True}, *told]
    check_stores("real+pairs", [pair(provenance={"training_sources": known})], TRAINING, TESTS, TRAINING)
    left_out = [{"source": SOURCES[2], "licence": "", "inherited": True}, *told]
    tile = pair(provenance={"training_sources": left_out})
    with pytest.raises(UserError, match="has seen other tiles"):
        check_stores("real+pairs", [tile], TRAINING[:2], TESTS, TRAINING)
    with pytest.raises(UserError, match="has seen the test tiles"):
        check_stores("real+pairs", [tile], TRAINING[:2], TRAINING[2:], TRAINING[:2])


def test_a_run_to_begin_from_may_be_of_other_data() -> None:
    seen = [TrainingSource(source=source, licence="") for source in ("elsewhere/1", *SOURCES[:2])]
    check_begun("real+run", seen, TRAINING[:2], TRAINING, TESTS)
    with pytest.raises(UserError, match="labels that it is without"):
        check_begun("real+run", seen, TRAINING[:1], TRAINING, TESTS)
    with pytest.raises(UserError, match="the test tiles"):
        check_begun("real+run", seen, TRAINING[2:], TRAINING[2:], TRAINING[:2])


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


def test_classes_whose_scores_would_hide_others_are_refused() -> None:
    with pytest.raises(UserError, match="a class name that is taken"):
        check_usable(tiles(2, class_names=("a", "b", "c", "d")), "training tiles")


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


def test_no_two_makers_or_arms_share_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = ("jointflow-tiny", "jointflow_tiny", "a b", "a_b", "real", "classic", "x")
    for name in names:
        (tmp_path / name).mkdir()
    texts = ["real", "real+classic", "real+jointflow", *(f"real+./{name}" for name in names), "real+..", "real+x/.."]
    found = parse(texts, "tiny")
    for slugs in ([arm.slug for arm in found], [maker.slug for maker in makers(found)]):
        assert len({slug.lower() for slug in slugs}) == len(slugs)
        assert all(re.fullmatch(r"[\w.+@-]+", slug) and not slug.startswith(".") for slug in slugs)
    assert not {"real", "classic"} & {maker.label for maker in makers(found)}
