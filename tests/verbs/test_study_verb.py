"""`nucleosynth study`: what it refuses before anything is trained, and a whole one with a real method."""

import json
from pathlib import Path
from typing import Any

import pytest

from drawn import drawn_sample
from faked_study import Write, synthetic
from nucleosynth.cli import main
from nucleosynth.data import store
from nucleosynth.run import Run
from nucleosynth.segmentation.judge import STAGE
from nucleosynth.training.checkpoint import fingerprint
from nucleosynth.verbs import study as verb
from nucleosynth.verbs.study import study


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--seeds", "0"], "--seeds is too small"),
        (["--steps", "0"], "--steps is too small"),
        (["--ratio", "0"], "no synthetic tiles"),
        (["--fraction", "0"], "not a fraction"),
        (["--minutes", "1", "--generator-steps", "1"], "either --steps or --minutes"),
        (["--preset", "tini"], "did you mean 'tiny'"),
        (["--judge-preset", "tini"], "did you mean 'tiny'"),
        (["--split", "valid"], "no test tile"),
        (["--arm", "real"], "an arm twice"),
        (["--arm", "real+classic+jointflow"], "nothing to compare with"),
        (["--arm", "real+jointflow:tini"], "did you mean 'tiny'"),
        (["--fraction", "1", "--fraction", "1"], "no clear fractions"),
        (["--ratio", "1", "--ratio", "1"], "a ratio twice"),
        (["--folds", "5"], "too few sources"),
        (["--folds", "2", "--split", "test"], "folds and a test split"),
        (["--encoder", "textur"], "did you mean 'texture'"),
        (["--encoder", "resnet50:missing.pth"], "no weights"),
        (["--resume"], "nothing to resume"),
        (["--test-data", "missing"], "no such data"),
        (["--device", "abacus"], "no such device"),
        (["--precision", "half"], "no such precision"),
    ],
)
def test_what_is_refused(
    write: Write, capsys: pytest.CaptureFixture[str], tmp_path: Path, options: list[str], words: str
) -> None:
    command = [
        "study",
        "--data",
        write("data", "train", "test"),
        "--arm",
        "real",
        "--arm",
        "real+jointflow",
        "--run",
        "run",
    ]
    assert main([*command, *options]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_store_that_cannot_reach_the_ratio_is_refused_before_anything_is_written(
    write: Write, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    data = write("data", "train", "train", "test")
    store.write([synthetic(drawn_sample(0), 0, ["data/0"])], tmp_path / "pairs")
    command = ["study", "--data", data, "--arm", "real", "--arm", "real+pairs", "--run", "run", "--ratio", "1"]
    assert main(command) == 2
    assert "too few tiles" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_an_unfair_store_is_refused_before_anything_is_written(
    write: Write, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    data = write("data", "train", "train", "test")
    store.write([synthetic(drawn_sample(0), 0, ["data/0", "data/2"])], tmp_path / "pairs")
    assert main(["study", "--data", data, "--arm", "real", "--arm", "real+pairs", "--run", "run"]) == 2
    said = capsys.readouterr().err
    assert "has seen the test tiles" in said
    assert "data/2" in said
    assert not (tmp_path / "run").exists()


def test_the_command_is_what_was_asked() -> None:
    given = {
        "data": "consep:a b",
        "arm": ["real", "real+jointflow"],
        "run": Path("out"),
        "fraction": [0.3, 1.0],
        "minutes": 2.0,
        "resume": True,
    }
    defaults = {name: p.default for name, p in verb.signature(study).parameters.items()}
    found = verb._command(defaults | given)
    asked = "--data 'consep:a b' --arm real --arm real+jointflow --run out --fraction 0.3 --fraction 1.0 --minutes 2.0"
    assert found == f"nucleosynth study {asked}"


def test_a_recipe_is_fitted_inside_and_goes_on_wherever_it_was_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real method and real judges, one step each; then the study loses its last files one by one."""
    monkeypatch.chdir(tmp_path)
    arms = ["real", "real+jointflow"]
    options: dict[str, Any] = {"seeds": 1, "steps": 1, "generator_steps": 1, "precision": "32-true"}
    data, run = "phantom:tiles=3&size=64&sources=3", Path("run")
    first = study(data=data, arm=arms, run=run, **options)
    (maker,) = first.makers
    place = run / "parts" / "test-1.0" / "makers" / "jointflow-tiny"
    assert maker.fit_seconds
    assert maker.make_seconds
    assert maker.synthetic.sources == (f"synthetic/jointflow-{_checkpoint(maker.made_by)}",)
    record = json.loads((place / "generator" / "run.json").read_text())
    assert [each["source"] for each in record["training_sources"]] == list(first.parts[0].training.sources)
    assert first.judgements[1].ratio == pytest.approx(1, abs=0.5)
    pairs = {path: path.read_bytes() for path in sorted((place / "pairs").glob("*.parquet"))}
    witness = run / "parts" / "test-1.0" / "witness"
    learnt = _learnt(witness)
    assert maker.evidence.consistency
    assert json.loads((witness / "run.json").read_text())["seed"] == maker.evidence.consistency.seed == 1
    for lost in (["spent.json"], ["spent.json", "maker.json", "making.json"]):
        for name in lost:
            (place / name).unlink()
        (run / "study.json").unlink()
        again = study(data=data, arm=arms, run=run, resume=True, **options)
        assert again.judgements == first.judgements
        assert {path: path.read_bytes() for path in pairs} == pairs
        assert _learnt(witness) == learnt
        assert again.makers[0].evidence == maker.evidence


def _learnt(run: Path) -> tuple[Any, str]:
    """Every step that a judge was trained for, and its weights."""
    return Run.open(run).read_log(STAGE), fingerprint(Run.open(run).checkpoint(STAGE))


def _checkpoint(words: str) -> str:
    return words.rpartition("checkpoint ")[2]
