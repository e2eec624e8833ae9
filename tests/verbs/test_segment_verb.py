"""`nucleosynth segment`: a judge is trained, sees nuclei, and what it saw is scored at once."""

import json
from pathlib import Path
from typing import Any

import cv2
import pytest
import torch
from safetensors.torch import save_file

from nucleosynth import config
from nucleosynth.cli import main
from nucleosynth.data import store
from nucleosynth.data.reader import read
from nucleosynth.run import Run
from nucleosynth.segmentation.hovernet import HoVerNet, in_mode
from nucleosynth.verbs import segment as verb

CPU = ("--device", "cpu", "--precision", "32-true")
DATA = "phantom:tiles=4&size=64&sources=4"
SMALL = ("--set", "width=8", "--set", "crop=32", "--set", "window=64", "--set", "margin=8", "--set", "batch=1")
FIT = ("segment", "fit", "--data", DATA, "--run", "judge", "--steps", "2", *CPU)


@pytest.fixture(autouse=True)
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_fit_predict_and_score(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*FIT, *SMALL, "--augmentation", "none", "--seed", "3"]) == 0
    record = Run.open("judge").record
    assert (record.method, record.seed, record.budget.steps, record.data) == ("hovernet", 3, 2, DATA)
    assert record.settings["augmentation"]["symmetries"] is False
    assert "segment predict judge" in capsys.readouterr().err
    assert main(["segment", "predict", "judge", DATA, "--out", "seen", *CPU, "--batch", "2"]) == 0
    assert "4 tiles" in capsys.readouterr().err
    assert cv2.imread("seen_contact_sheet.png") is not None
    truths, found = list(read(DATA)), list(read("seen"))
    assert [each.sample_id for each in found] == [each.sample_id for each in truths]
    for true, seen in zip(truths, found, strict=True):
        assert (seen.labelled_as, seen.mpp, seen.size) == ("derived", true.mpp, true.size)
        made = seen.provenance
        assert (made["kind"], made["judge"], len(made["checkpoint"])) == ("predicted", "hovernet", 16)
        assert {each["source"] for each in made["training_sources"]} == {
            each.source for each in record.training_sources
        }
        assert made["of"] == true.provenance
    assert main(["score", DATA, "seen", "--json", "scores.json"]) == 0
    assert len(json.loads(Path("scores.json").read_text())["images"]) == 4


def test_predictions_in_a_scheme_and_another_format() -> None:
    fitted = ["segment", "fit", "--data", DATA, "--classes", "binary", "--run", "judge", "--steps", "1"]
    assert main([*fitted, *CPU, *SMALL]) == 0
    assert main(["segment", "predict", "judge", DATA, "--out", "seen", "--format", "folder", *CPU]) == 0
    assert main(["score", DATA, "folder:seen", "--classes", "binary"]) == 0
    assert main(["segment", "predict", "judge", DATA, "--out", "seen", "--format", "folder", *CPU]) == 2


def test_a_config_is_overruled_by_the_command_line() -> None:
    lines = [f'data = "{DATA}"', 'run = "judge"', "steps = 9", 'augmentation = "none"', "[settings]", "width = 8"]
    Path("judge.toml").write_text("\n".join([*lines, "crop = 32", "window = 64", "margin = 8"]))
    assert main(["segment", "fit", "--config", "judge.toml", "--steps", "1", "--set", "batch=2", *CPU]) == 0
    record = Run.open("judge").record
    assert (record.budget.steps, record.settings["width"], record.settings["batch"]) == (1, 8, 2)


def test_synthetic_tiles_and_what_is_behind_them(work: Path) -> None:
    made = list(read("phantom:tiles=2&size=32&sources=1&seed=5"))
    provenance = {"kind": "synthetic", "generator": "g", "training_sources": [{"source": "slide/7", "licence": "CC0"}]}
    for tile in made:
        object.__setattr__(tile, "provenance", provenance)
        object.__setattr__(tile, "source", "synthetic/g")
    store.write(made, work / "pairs")
    assert main([*FIT, *SMALL, "--synthetic", "pairs"]) == 0
    record = Run.open("judge").record
    assert {"slide/7", "synthetic/g"} <= {each.source for each in record.training_sources}
    assert record.data.endswith("and pairs")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (["--preset", "resnet5"], "did you mean 'resnet50'"),
        (["--preset", "tiny", "--mode", "fast"], "add --preset resnet50"),
        (["--augmentation", "clasic"], "did you mean 'classic'"),
        (["--set", "widht=3"], "did you mean 'width'"),
        (["--weights", "absent.tar"], "no weights"),
        (["--weights", "imagenet"], "for this network"),
        (["--minutes", "1"], "no clear budget"),
    ],
)
def test_what_cannot_be_is_said_before_any_work(
    work: Path, capsys: pytest.CaptureFixture[str], changes: list[str], said: str
) -> None:
    assert main([*FIT, *SMALL, *changes]) == 2
    assert said in capsys.readouterr().err
    assert not (work / "judge").exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (["--minutes", "1", "--preset", "resnet34"], "counts its steps"),
        (["--steps", "1", "--weights", "absent.tar"], "no weights"),
        (["--steps", "1", "--weights", "other.safetensors"], "do not fit"),
    ],
)
def test_budget_and_weights_are_looked_at_before_any_tile(
    work: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, changes: list[str], said: str
) -> None:
    save_file({"a": torch.ones(1)}, work / "other.safetensors")
    monkeypatch.setattr(verb, "training_tiles", lambda *_: pytest.fail("tiles were read"))
    assert main(["segment", "fit", "--data", DATA, "--run", "judge", *CPU, *changes]) == 2
    assert said in capsys.readouterr().err
    assert not (work / "judge").exists()


def test_a_published_preset_wants_its_steps_stated(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["segment", "fit", "--data", DATA, "--run", "judge", "--preset", "resnet34"]) == 2
    assert "--steps" in capsys.readouterr().err
    assert main(["segment", "fit", "--run", "judge"]) == 2
    assert "no data" in capsys.readouterr().err


def test_released_weights_predict_by_themselves(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    changes: dict[str, Any] = {"width": 8, "blocks": (1, 1, 1, 1)}
    small = config.resolve(HoVerNet.presets["resnet50"], changes, "test")
    monkeypatch.setitem(HoVerNet.presets, "resnet50", small)  # type: ignore[misc]
    torch.manual_seed(0)
    torch.save({"desc": HoVerNet.build(in_mode(small, "fast"), 4).state_dict()}, "hovernet.tar")
    seen = ["segment", "predict", "hovernet.tar", DATA, *CPU]
    assert main([*seen, "--out", "plain"]) == 0
    first = next(iter(read("plain")))
    assert first.class_names == ("class 1", "class 2", "class 3", "class 4")
    assert first.provenance["training_sources"] == []
    assert main([*seen, "--out", "named", "--names", "consep4", "--mode", "same"]) == 0
    named = next(iter(read("named")))
    assert named.class_names == ("other", "inflammatory", "epithelial", "spindle")
    assert named.class_scheme.startswith("consep4")
    assert main([*seen, "--out", "wrong", "--names", "a,b"]) == 2
    assert "4 class names" in capsys.readouterr().err
    assert not Path("wrong").exists()


def test_predict_refuses_what_is_no_judge(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["segment", "predict", "absent", DATA, "--out", "seen"]) == 2
    assert "no run there" in capsys.readouterr().err
    Path("text.tar").write_text("no weights")
    assert main(["segment", "predict", "text.tar", DATA, "--out", "seen", *CPU]) == 2
    assert "not a file of weights" in capsys.readouterr().err
    assert main(["segment", "predict", "absent", DATA, "--out", "seen", "--names", "a"]) == 2
    assert "released weights alone" in capsys.readouterr().err
    assert not Path("seen").exists()
