"""A study that goes on is the same one, or is refused."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import faked_study
from drawn import drawn_sample
from faked_study import STEPS, material
from nucleosynth.errors import UserError
from nucleosynth.studies.arms import parse
from nucleosynth.studies.plan import digest


def test_a_plan_is_begun_once_and_resumed_as_it_was(tmp_path: Path) -> None:
    arms = parse(["real", "real+jointflow"], "tiny")
    plan = faked_study.plan(arms, material())
    with pytest.raises(UserError, match="nothing to resume"):
        plan.begin(tmp_path / "new", resume=True)
    plan.begin(tmp_path / "new", resume=False)
    plan.begin(tmp_path / "new", resume=True)
    with pytest.raises(UserError, match="holds a study already"):
        plan.begin(tmp_path / "new", resume=False)
    with pytest.raises(UserError, match="not the same study") as error:
        faked_study.plan(arms, material(), steps=STEPS + 1).begin(tmp_path / "new", resume=True)
    assert f"steps {STEPS + 1}" in str(error.value)


def test_a_digest_changes_with_every_part() -> None:
    tile = drawn_sample(0)
    image, classes = tile.image.copy(), tile.classes.copy()
    image[0, 0, 0] ^= 1
    classes[0] = (classes[0] + 1) % 4
    changed = [
        replace(tile, image=image),
        replace(tile, classes=classes),
        replace(tile, source="drawn/other"),
        replace(tile, mpp=0.5),
        replace(tile, class_names=("a", "b", "c")),
        replace(tile, tissue="breast"),
        replace(tile, split="test"),
        replace(tile, caption="nuclei"),
        tile.transform(2),
    ]
    found = [digest([tile]), *(digest([each]) for each in changed)]
    assert len(set(found)) == len(found)
    assert digest([tile, changed[0]]) != digest([changed[0], tile])
    assert digest([drawn_sample(0)]) == found[0]


@pytest.mark.parametrize(
    "changes",
    [
        {"hardware": "another processor"},
        {"versions": {"nucleosynth": "1"}},
        {"methods": {"jointflow:tiny": {"size": 32}}},
        {"encoder": "texture-2"},
        {"digests": {"training": "0123"}},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_whatever_decides_the_result_is_compared(tmp_path: Path, changes: dict[str, Any]) -> None:
    arms = parse(["real", "real+jointflow"], "tiny")
    faked_study.plan(arms, material()).begin(tmp_path, resume=False)
    with pytest.raises(UserError, match="not the same study"):
        faked_study.plan(arms, material(), **changes).begin(tmp_path, resume=True)


@pytest.mark.parametrize("texts", [["real", "real+jointflow"], ["real", "real+classic", "real+classic+jointflow"]])
def test_a_study_does_not_go_on_at_another_ratio(tmp_path: Path, texts: list[str]) -> None:
    faked_study.plan(parse(texts, "tiny", (0.5,)), material()).begin(tmp_path, resume=False)
    with pytest.raises(UserError, match="not the same study") as error:
        faked_study.plan(parse(texts, "tiny", (2.0,)), material()).begin(tmp_path, resume=True)
    assert "x0.5" in str(error.value)
    assert "x2.0" in str(error.value)


@pytest.mark.parametrize("name", ["parts", "study.json"])
def test_parts_without_a_plan_are_not_adopted(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    plan = faked_study.plan(parse(["real", "real+jointflow"], "tiny"), material())
    with pytest.raises(UserError, match="parts of a study without its plan"):
        plan.begin(tmp_path, resume=False)
    assert not (tmp_path / "plan.json").exists()
