"""A study with an arm whose generator is begun from a trained run of other data."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import nucleosynth
from made_runs import SMALL_JOINTFLOW as SMALL
from nucleosynth.cli import main
from nucleosynth.data import store
from nucleosynth.data.reader import read
from nucleosynth.errors import UserError
from nucleosynth.report.cautions import cautions
from nucleosynth.run import Run
from nucleosynth.studies.arms import parse
from nucleosynth.verbs.study import study

DATA = "phantom:tiles=3&size=64&sources=3"
ELSEWHERE = "phantom:tiles=3&size=64&sources=3&seed=5"


def begin(data: str, folder: Path, split: str | None = None) -> Run:
    return nucleosynth.fit("jointflow", data=data, run=folder, split=split, steps=1, set=SMALL)


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run of drawn tissue that the study does not have."""
    monkeypatch.chdir(tmp_path)
    store.write([replace(tile, source=f"elsewhere/{tile.source}") for tile in read(ELSEWHERE)], tmp_path / "tiles")
    return begin("tiles", tmp_path / "before")


def test_an_arm_is_a_run_that_is_fitted_further(elsewhere: Run) -> None:
    arms = ["real", "real+before"]
    options: dict[str, Any] = {"seeds": 1, "steps": 1, "generator_steps": 1, "precision": "32-true"}
    found = study(data=DATA, arm=arms, run=Path("run"), **options)
    (maker,) = found.makers
    assert (maker.name, maker.label, maker.inherited) == ("before", "before", 2)
    assert "begun from before" in maker.made_by
    (record,) = (json.loads(path.read_text()) for path in Path("run").glob("parts/*/makers/*/generator/run.json"))
    inherited = {entry["source"] for entry in record["inherited_sources"]}
    assert inherited == {source.source for source in elsewhere.record.training_sources}
    assert inherited | set(found.parts[0].training.sources) == {e["source"] for e in record["training_sources"]}
    assert record["settings"]["network"] == elsewhere.record.settings["network"]
    assert record["begun_from"]
    assert record["begun_from"] in json.loads(Path("run/plan.json").read_text())["digests"].values()
    said = [each for each in cautions(found) if each.head == "Knowledge from elsewhere."]
    assert "before: 2 sources" in said[0].words
    (pairs,) = Path("run").glob("parts/*/makers/*/pairs")
    as_a_store = study(data=DATA, arm=["real", f"real+{pairs}"], run=Path("again"), seeds=1, steps=1)
    assert as_a_store.makers[0].inherited == 2


def test_a_run_that_has_seen_the_test_tiles_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    begin(DATA, tmp_path / "before", "test")
    assert main(["study", "--data", DATA, "--arm", "real", "--arm", "real+before", "--run", "run"]) == 2
    assert "begins from has seen" in capsys.readouterr().err
    assert not Path("run").exists()


@pytest.mark.usefixtures("elsewhere")
def test_one_run_is_one_maker_however_it_is_written() -> None:
    with pytest.raises(UserError, match="an arm twice"):
        parse(["real", "real+before", "real+./before"], "tiny")
    _, arm = parse(["real", "real+before"], "tiny")
    assert arm.maker is not None
    assert (arm.maker.method, arm.maker.preset, arm.maker.store) == ("jointflow", "tiny", None)
    assert arm.ratio == 1
    assert "/" not in arm.maker.slug


@pytest.mark.usefixtures("elsewhere")
def test_what_cannot_be_begun_from_is_no_arm(capsys: pytest.CaptureFixture[str]) -> None:
    for arm, words in (("real+pretrained:hee", "pretrained"), ("real+befor", "befor")):
        assert main(["study", "--data", DATA, "--arm", "real", "--arm", arm, "--run", "run"]) == 2
        assert words in capsys.readouterr().err
