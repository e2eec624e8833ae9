"""The command line: every verb is a command, results on standard output, words on standard error, codes kept."""

import errno
import json
import subprocess
import sys
from inspect import signature
from pathlib import Path

import cv2
import numpy as np
import pytest

from drawn import CLASS_NAMES, assert_same, drawn_sample
from nucleosynth import __version__, catalog, cli
from nucleosynth.cli import main
from nucleosynth.data import store
from nucleosynth.data.reader import read
from nucleosynth.errors import Interrupted, MachineError

VERBS = [entry.name for entry in catalog.CATALOG["verb"]]
EXPECTED = {
    "demo": "[--minutes",
    "list": "nucleosynth list [-h]",
    "inspect": "--beside",
    "validate": "[--classes",
    "convert": "[--to",
    "tiles": "--source-mpp",
    "subset": "--by",
    "captions": "--table",
    "fit": "--without",
    "distil": "few evaluations",
    "generate": "--mode",
    "layouts fit": "--overwrite",
    "layouts sample": "LIBRARY",
    "segment fit": "--weights",
    "segment predict": "RUN|WEIGHTS",
    "score": "--aggregation",
    "compare": "REAL",
    "study": "--arm",
    "cost": "--classes",
}


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a store of four tiles in it."""
    monkeypatch.chdir(tmp_path)
    samples = [drawn_sample(k, split="test" if k > 1 else "train") for k in range(4)]
    store.write(samples, tmp_path / "tiles")
    return tmp_path


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help_names_every_verb(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert all(f"  {verb} " in said for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_has_help(capsys: pytest.CaptureFixture[str], verb: str) -> None:
    assert main([*verb.split(), "--help"]) == 0
    said = capsys.readouterr().out
    assert EXPECTED[verb] in said
    assert "--no-" not in said


@pytest.mark.parametrize("verb", VERBS)
def test_each_argument_has_help_of_its_own(verb: str) -> None:
    """In an Args section, a line begins with each argument's name: elsewhere the parser does not find it."""
    function = catalog.load("verb", verb)
    lines = [line.strip() for line in function.__doc__.splitlines()]
    undocumented = [
        name for name in signature(function).parameters if not any(line.startswith(f"{name}: ") for line in lines)
    ]
    assert not undocumented


@pytest.mark.parametrize("arguments", [["segment"], ["segment", "--help"]])
def test_a_first_word_lists_its_verbs(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert said.startswith("usage: nucleosynth segment VERB")
    assert "  segment fit " in said
    assert "  segment predict " in said
    assert "study" not in said


def test_a_second_word_that_does_not_go_with_the_first(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["segment", "predcit", "x"]) == 2
    assert "did you mean 'segment predict'?" in capsys.readouterr().err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"nucleosynth {__version__}\n"


def test_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "nucleosynth", "lost"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "did you mean 'list'" in done.stderr


def test_a_reader_that_has_enough_is_no_error() -> None:
    command = [sys.executable, "-m", "nucleosynth", "generate", "--help"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert not process.stderr.read()
    assert process.returncode == 0


def test_list_names_all_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    said = capsys.readouterr().out
    assert all(entry.name in said for entries in catalog.CATALOG.values() for entry in entries)


def test_inspect_counts_and_draws(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "tiles", "--json", "numbers.json"]) == 0
    samples = list(read("tiles"))
    kinds = np.bincount(np.concatenate([sample.classes for sample in samples]), minlength=4).tolist()
    found = json.loads((work / "numbers.json").read_text())
    assert found["images"] == 4
    assert found["nuclei"] == sum(kinds)
    assert found["classes"] == {**dict(zip(CLASS_NAMES, kinds[1:], strict=True)), "unknown": kinds[0]}
    assert found["sizes"] == {"48 x 40": 4}
    assert found["sources"] == {"drawn/slide_0": 2, "drawn/slide_1": 2}
    assert found["splits"] == {"train": 2, "test": 2}
    assert found["mpp"] == {"0.25": 4}
    assert found["median_diameter_px"] == pytest.approx(2 * np.sqrt(30 / np.pi))
    assert cv2.imread(str(work / "inspect_tiles.png")) is not None
    said = capsys.readouterr()
    assert str(found["nuclei"]) in said.out
    assert "inspect_tiles.png" in said.err
    assert main(["inspect", "tiles", "--sheet", "other.png"]) == 0
    assert (work / "other.png").read_bytes() == (work / "inspect_tiles.png").read_bytes()


def test_validate_lists_problems_and_its_exit_code_says_whether_there_are_any(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["convert", "phantom:tiles=4&size=128&sources=4", "plain", "--to", "folder"]) == 0
    labels, images = (sorted((work / "plain" / kind).iterdir()) for kind in ("labels", "images"))
    assert main(["validate", "folder:plain", "--json", "sound.json"]) == 0
    assert "all is well" in capsys.readouterr().err
    assert json.loads((work / "sound.json").read_text())["problems"] == 0
    labels[0].write_bytes(b"")
    images[3].unlink()
    (work / "plain" / "classes" / f"{images[3].stem}.npy").unlink()
    assert main(["validate", "folder:plain", "--json", "broken.json"]) == 2
    said = capsys.readouterr()
    rows = json.loads((work / "broken.json").read_text())["findings"]
    problems = [row for row in rows if row["kind"] == "broken"]
    assert sorted(Path(row["where"]).name for row in problems) == [labels[0].name, labels[3].name]
    assert all(row["mend"] for row in problems)
    assert labels[0].name in said.out.replace("\n", "")
    assert "2 problems" in said.err
    assert main(["validate", "folder:absent"]) == 2


@pytest.mark.parametrize(("to", "prefix"), [("store", ""), ("folder", "folder:")])
def test_convert_and_back(work: Path, to: str, prefix: str) -> None:
    assert main(["convert", "tiles", "out", "--to", to]) == 0
    for found, expected in zip(read(f"{prefix}out"), read("tiles"), strict=True):
        assert_same(found, expected)
    assert main(["convert", "tiles", "out", "--to", to, "--split", "test", "--overwrite"]) == 0
    assert [sample.sample_id for sample in read(f"{prefix}out")] == ["tile_2", "tile_3"]
    assert {path.name for path in work.iterdir()} == {"tiles", "out"}


def test_a_store_may_be_converted_onto_itself(work: Path) -> None:
    assert main(["convert", "tiles", "tiles", "--split", "train", "--overwrite"]) == 0
    assert len(list(read("tiles"))) == 2
    assert {path.name for path in work.iterdir()} == {"tiles"}


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (KeyboardInterrupt(), 130),
        (Interrupted("saved"), 130),
        (MachineError("full"), 1),
        (MemoryError(), 1),
        (OSError(errno.ENOSPC, "full"), 1),
        (OSError(errno.EDQUOT, "quota"), 1),
    ],
)
def test_codes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException, code: int
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(catalog.Entry, "load", lambda _: fail)
    assert main(["list"]) == code
    said = capsys.readouterr().err
    assert said.startswith("nucleosynth: ")


@pytest.mark.parametrize(
    "error", [ValueError("ours"), OSError(errno.EIO, "broken disk"), RuntimeError("ours"), SystemExit(3)]
)
def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(catalog.Entry, "load", lambda _: fail)
    with pytest.raises(type(error)):
        main(["list"])


def test_flags_lists_and_positionals(monkeypatch: pytest.MonkeyPatch) -> None:
    got = {}

    def verb(data: cli.tyro.conf.Positional[str], *, arm: list[str], fast_mode: bool = False, size: int = 3) -> None:
        got.update(data=data, arm=arm, fast_mode=fast_mode, size=size)

    monkeypatch.setattr(catalog.Entry, "load", lambda _: verb)
    assert main(["list", "x", "--arm", "real", "--arm", "real+out", "--fast-mode", "--size", "5"]) == 0
    assert got == {"data": "x", "arm": ["real", "real+out"], "fast_mode": True, "size": 5}
    assert main(["list", "x", "--no-fast-mode", "--arm", "a"]) == 2
    assert main(["list", "x", "--data", "y", "--arm", "a"]) == 2
    assert main(["list", "x", "--size", "big", "--arm", "a"]) == 2
