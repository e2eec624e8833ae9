"""`nucleosynth score`: known scores, every aggregation by name, radii, what a score rests on, rows as CSV."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drawn import drawn_sample
from nucleosynth.cli import main
from nucleosynth.data import store

EVERY = [part for name in ("mean", "pannuke", "conic", "micro") for part in ("--aggregation", name)]


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a store of four tiles of two tissues in it."""
    monkeypatch.chdir(tmp_path)
    store.write([drawn_sample(k, tissue=("colon", "breast")[k % 2]) for k in range(4)], tmp_path / "tiles")
    return tmp_path


def scored(work: Path, *arguments: str) -> dict[str, Any]:
    assert main(["score", *arguments, "--json", "scores.json"]) == 0
    found: dict[str, Any] = json.loads((work / "scores.json").read_text())
    return found


def test_the_truth_scores_one_whatever_the_aggregation(work: Path) -> None:
    found = scored(work, "tiles", "tiles", *EVERY)
    assert [image["sample_id"] for image in found["images"]] == [f"tile_{k}" for k in range(4)]
    assert list(found["aggregations"]) == ["mean", "pannuke", "conic", "micro"]
    for name, aggregate in found["aggregations"].items():
        assert aggregate["name"] == name
        assert set(aggregate["scores"].values()) == {1.0}
    assert list(found["aggregations"]["mean"]["scores"]) == ["dice", "dice2", "aji", "aji_plus", "dq", "sq", "pq"]
    assert found["aggregations"]["pannuke"]["by_tissue"]["breast"] == {"bpq": 1, "mpq": 1, "images": 2}
    assert set(found["centroids"]["scores"].values()) == {1.0}
    assert list(found["centroids"]["scores"]) == ["f_d", "accuracy", "f_round", "f_long", "f_other"]
    assert (found["centroids"]["radius_px"], found["centroids"]["pairing"]) == (12, "released")
    assert list(found["classes"]) == ["round", "long", "other"]


def test_the_scores_of_a_shift_are_known(work: Path) -> None:
    # 30 px squares 6 wide, moved by 1 px: intersection 25 of 30, union 35 (nuclei at the border keep inside).
    moved = [drawn_sample(k, instances=np.roll(drawn_sample(k).instances, 1, axis=1)) for k in range(4)]
    store.write(moved, work / "moved")
    found = scored(work, "tiles", "moved")
    means = found["aggregations"]["mean"]["scores"]
    assert list(found["aggregations"]) == ["mean"]
    assert means["dice"] == pytest.approx(25 / 30)
    assert means["aji"] == means["sq"] == pytest.approx(25 / 35)
    assert means["dq"] == found["centroids"]["scores"]["f_d"] == found["centroids"]["scores"]["accuracy"] == 1
    assert found["classes"]["round"]["sq"] == pytest.approx(25 / 35)


def test_the_radius_decides_on_pairs(work: Path) -> None:
    # 2 px at 0.25 um are 0.5 um.
    moved = [drawn_sample(k, instances=np.roll(drawn_sample(k).instances, 2, axis=1)) for k in range(4)]
    store.write(moved, work / "moved")
    for option, radius, f_d in (
        ("--radius-um", 0.55, 1),
        ("--radius-um", 0.45, 0),
        ("--radius-px", 2.2, 1),
        ("--radius-px", 1.8, 0),
    ):
        found = scored(work, "tiles", "moved", option, str(radius), "--gated")["centroids"]
        assert found["radius_px"] == pytest.approx(radius / 0.25 if option == "--radius-um" else radius)
        assert (found["scores"]["f_d"], found["pairing"]) == (f_d, "gated")


def test_confusions_of_classes_are_counted(work: Path) -> None:
    classes = np.where(np.arange(16) < 12, 1, 2).astype(np.uint8)
    store.write([drawn_sample(0, classes=classes)], work / "true")
    store.write([drawn_sample(0, classes=np.full(16, 2, np.uint8))], work / "found")
    confusion = scored(work, "true", "found")["confusion"]
    assert confusion["round"] == {"unknown": 0, "round": 0, "long": 12, "other": 0, "missed": 0}
    assert confusion["long"]["long"] == 4
    assert sum(confusion["false alarm"].values()) == 0
    assert list(confusion) == ["unknown", "round", "long", "other", "false alarm"]


def test_undefined_scores_are_null_empty_and_said_to_be(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty = drawn_sample(0, instances=np.zeros((40, 48), np.int32), classes=np.zeros(0, np.uint8))
    store.write([empty], work / "empty")
    found = scored(work, "empty", "empty", *EVERY, "--csv", "rows.csv")
    assert found["images"][0]["pq"] is None
    assert all(value is None for each in found["aggregations"].values() for value in each["scores"].values())
    assert "undefined" in capsys.readouterr().out
    rows = list(csv.DictReader((work / "rows.csv").read_text().splitlines()))
    assert (rows[0]["pq"], rows[0]["true"], rows[0]["pq_round"]) == ("", "0", "")
    store.write([empty, drawn_sample(1)], work / "half")
    mean = scored(work, "half", "half")["aggregations"]["mean"]
    assert (mean["scores"]["pq"], mean["left_out"]["pq"]) == (1, 1)
    assert "without 1 image with no nuclei" in " ".join(capsys.readouterr().out.split())


def test_a_row_for_each_image(work: Path) -> None:
    found = scored(work, "tiles", "tiles", "--csv", "rows.csv")
    rows = list(csv.DictReader((work / "rows.csv").read_text().splitlines()))
    assert [list(row) for row in rows] == [list(image) for image in found["images"]]
    assert [row["tissue"] for row in rows] == ["colon", "breast", "colon", "breast"]
    assert {float(row["pq"]) for row in rows} == {1}
    assert {row["true"] for row in rows} == {"16"}


def test_what_is_printed_fits_a_terminal(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scored(work, "tiles", "tiles", *EVERY)
    said = capsys.readouterr().out
    assert max(map(len, said.splitlines())) <= 80
    for words in ("4 images", "bPQ", "mPQ+", "typed PQ", "breast", "AJI+", "released pairing", "recall"):
        assert words in said


def test_predictions_without_classes_get_what_can_be_scored(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain = [drawn_sample(k, classes=np.ones(16, np.uint8), class_names=("nucleus",)) for k in range(4)]
    store.write(plain, work / "plain")
    found = scored(work, "tiles", "plain", "--aggregation", "mean", "--aggregation", "pannuke")
    assert found["centroids"]["scores"] == {"f_d": 1}
    assert found["aggregations"]["pannuke"]["scores"] == {"bpq": 1}
    assert (found["classes"], found["aggregations"]["mean"]["scores"]["pq"]) == ({}, 1)
    assert "tell no classes apart" in capsys.readouterr().err
    assert main(["score", "tiles", "plain", "--aggregation", "conic"]) == 2
    assert "predictions without classes" in capsys.readouterr().err


def test_what_a_score_rests_on_is_said(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store.write([drawn_sample(0, mpp=None, labelled_as="derived")], work / "derived")
    found = scored(work, "derived", "derived")
    said = capsys.readouterr().err
    assert "states no resolution" in said
    assert "grown from points" in said
    assert (found["labelled_as"], found["centroids"]["radius_px"]) == (["derived"], 12)
    assert scored(work, "derived", "derived", "--radius-px", "5")["centroids"]["radius_px"] == 5
    assert main(["score", "derived", "derived", "--radius-um", "3"]) == 2
    assert "no resolution" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--aggregation", "pannuk"], "did you mean 'pannuke'"),
        (["--radius-um", "3", "--radius-px", "12"], "two radii"),
        (["--radius-um", "0"], "bad radius"),
        (["--radius-px", "nan"], "bad radius"),
    ],
)
def test_bad_options_are_refused_before_anything_is_read(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(["score", "nowhere", "nowhere", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_phantoms_are_those_of_the_released_code(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty = drawn_sample(0, instances=np.zeros((40, 48), np.int32), classes=np.zeros(0, np.uint8))
    store.write([empty], work / "empty")
    plain, phantom = (scored(work, "empty", "empty", *more)["centroids"] for more in ((), ("--phantom",)))
    assert (plain["scores"]["f_d"], plain["phantom"]) == (None, False)
    assert (phantom["scores"]["f_d"], phantom["phantom"]) == (1, True)
    assert "phantoms in images without nuclei" in " ".join(capsys.readouterr().out.split())
    assert main(["score", "empty", "empty", "--phantom", "--gated"]) == 2


def test_a_class_whose_score_would_be_called_f_d_is_refused(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store.write([drawn_sample(0, class_names=("a", "d", "c"))], work / "named")
    assert main(["score", "named", "named"]) == 2
    assert "a class name that is taken" in capsys.readouterr().err
