"""`nucleosynth study`: which tiles it takes for what, and what it refuses before anything is trained."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from drawn import drawn_sample
from faked_study import synthetic
from nucleosynth.cli import main
from nucleosynth.data import store
from nucleosynth.errors import UserError
from nucleosynth.verbs import study as verb
from nucleosynth.verbs.study import study

Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write a store of tiles with these splits, a source each; its path."""
    monkeypatch.chdir(tmp_path)

    def stored(name: str, *splits: str, **changes: Any) -> str:
        tiles = [drawn_sample(k, split=split, source=f"{name}/{k}", **changes) for k, split in enumerate(splits)]
        store.write(tiles, tmp_path / name)
        return name

    return stored


def names(tiles: list[Any]) -> list[str]:
    return [tile.sample_id for tile in tiles]


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
    found = verb._tiles(write("data", *splits), None, split, 0)
    assert names(found[0]) == [f"tile_{k}" for k in training]
    assert names(found[1]) == [f"tile_{k}" for k in tests]
    assert "official split" in found[2]


def test_without_splits_sources_are_set_aside_and_it_is_said(write: Write) -> None:
    data = write("data", *[""] * 8)
    training, tests, how = verb._tiles(data, None, None, 5)
    assert len(tests) == 2
    assert not {tile.source for tile in training} & {tile.source for tile in tests}
    assert "no official split" in how
    assert "seed 5" in how
    assert names(verb._tiles(data, None, None, 5)[1]) == names(tests)


@pytest.mark.parametrize(
    ("splits", "split", "tests"), [(("", ""), None, "01"), (("train", "test"), None, "1"), (("a", "b"), "a", "0")]
)
def test_other_test_data(write: Write, splits: tuple[str, ...], split: str | None, tests: str) -> None:
    training, found, how = verb._tiles(write("data", "train", "valid"), write("other", *splits), split, 0)
    assert names(training) == ["tile_0"]
    assert names(found) == [f"tile_{k}" for k in tests]
    assert how == "test tiles from other data"


def test_a_split_that_is_not_there(write: Write) -> None:
    with pytest.raises(UserError, match="no test tile"):
        verb._tiles(write("data", "train", "train"), None, None, 0)
    with pytest.raises(UserError, match="no training tile"):
        verb._tiles(write("whole", "test", "test"), None, None, 0)


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
        (["--resume"], "nothing to resume"),
        (["--test-data", "missing"], "no such data"),
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
        "fraction": 0.3,
        "minutes": 2.0,
        "resume": True,
    }
    defaults = {name: p.default for name, p in verb.signature(study).parameters.items()}
    found = verb._command(defaults | given)
    asked = "--data 'consep:a b' --arm real --arm real+jointflow --run out --fraction 0.3 --minutes 2.0"
    assert found == f"nucleosynth study {asked}"
