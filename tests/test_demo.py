"""The demo: the whole street, part by part, and on again after a stop."""

import json
from pathlib import Path

import cv2
import pytest

from faked_study import synthetic
from nucleosynth.data import store
from nucleosynth.data.reader import read
from nucleosynth.errors import Interrupted, UserError
from nucleosynth.report.results import Results
from nucleosynth.verbs import demo as verb
from nucleosynth.verbs.demo import Course, demo, walk

TINY = Course(minutes=1e-3, seed=0, data="phantom:tiles=3&size=64&sources=3", seeds=1, least_pairs=3, least_steps=1)


def with_pairs(folder: Path) -> None:
    """A demo that was stopped after its pairs were made."""
    folder.mkdir()
    (folder / "demo.json").write_text(TINY.model_dump_json(indent=1))
    (folder / "judge_steps.txt").write_text("1")
    training = list(read(TINY.data, "train"))
    store.write([synthetic(tile, k, [t.source for t in training]) for k, tile in enumerate(training)], folder / "pairs")


def test_a_demo_goes_on_from_its_pairs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "demo"
    with_pairs(folder)
    report = walk(TINY, folder)
    assert report == folder / "report.html"
    assert cv2.imread(str(folder / "pairs.png")) is not None
    found = Results.read(folder)
    assert [arm.label for arm in found.arms] == ["real+classic", "real+classic+pairs"]
    (part,) = found.parts
    assert part.training.sources == ("phantom/s00", "phantom/s01")
    assert part.test.sources == ("phantom/s02",)
    assert found.steps == 1
    printed = capsys.readouterr().out
    assert all(str(folder / name) in printed for name in ("report.html", "pairs.png", "pairs"))
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    assert walk(TINY, folder) == report
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()} == before


def test_a_whole_demo(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    assert walk(TINY, folder).stat().st_size > 10_000
    record = json.loads((folder / "generator" / "run.json").read_text())
    assert [source["source"] for source in record["training_sources"]] == ["phantom/s00", "phantom/s01"]
    assert len(list(read(str(folder / "pairs")))) == 3
    assert len(Results.read(folder).judgements) == 2


@pytest.mark.parametrize(
    ("minutes", "step_s", "elapsed_s", "steps"),
    [(10, 0.25, 0, 130), (10, 0.5, 270, 60), (10, 0.25, 420, 50), (10, 0.25, 700, 10), (1, 1.0, 0, 10)],
)
def test_judges_fit_in_the_time_that_is_left(minutes: float, step_s: float, elapsed_s: float, steps: int) -> None:
    course = Course(minutes=minutes, seed=0)
    assert course.judge_steps(step_s, elapsed_s) == steps
    assert steps == course.least_steps or elapsed_s + 6 * steps * step_s <= 0.9 * 60 * minutes


@pytest.mark.parametrize(
    ("short", "long", "expected"), [(2.0, 6.0, 0.2), (5.0, 5.0, 0.1), (9.0, 5.0, 0.1), (0.1, 25.0, 1.245)]
)
def test_a_load_that_ends_while_steps_are_timed_does_not_make_them_quick(
    short: float, long: float, expected: float
) -> None:
    assert verb.step_seconds(short, long) == pytest.approx(expected)


def test_at_least_64_pairs_are_made() -> None:
    assert Course(minutes=0.5, seed=0).pairs == 64
    assert Course(minutes=10, seed=0).pairs == 160
    assert verb.GENERATOR + verb.JUDGES < 0.95


def test_another_demo_is_not_overwritten(tmp_path: Path) -> None:
    with_pairs(tmp_path / "demo")
    with pytest.raises(UserError, match="another demo is there"):
        demo(minutes=5, run=tmp_path / "demo")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="the folder is taken"):
        demo(run=tmp_path / "other")
    with pytest.raises(UserError, match="no time"):
        demo(minutes=0, run=tmp_path / "none")


def test_a_stop_says_how_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object, **__: object) -> None:
        raise Interrupted("stopped at step 3; go on with --resume")

    monkeypatch.setattr(verb, "fit", stop)
    with pytest.raises(Interrupted, match="run the same command to go on"):
        demo(run=tmp_path / "demo")
    assert (tmp_path / "demo" / "demo.json").exists()
