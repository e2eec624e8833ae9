"""What a user gets wrong: exit code 2, one message that says what to mend, nothing written."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from drawn import drawn_sample
from nucleosynth.cli import main
from nucleosynth.data import store
from nucleosynth.errors import Interrupted, MachineError, NucleosynthError, UserError, unknown_name
from nucleosynth.formats import folder

Spoil = Callable[[Path], None]


def no_label(root: Path) -> None:
    (root / "labels" / "tile_1.png").unlink()


def no_image(root: Path) -> None:
    (root / "images" / "tile_1.png").unlink()


def wider_label(root: Path) -> None:
    path = str(root / "labels" / "tile_1.png")
    cv2.imwrite(path, np.pad(cv2.imread(path, cv2.IMREAD_UNCHANGED), 3))


def label_of(array: np.ndarray) -> Spoil:
    def spoil(root: Path) -> None:
        (root / "labels" / "tile_1.png").unlink()
        np.save(root / "labels" / "tile_1.npy", array)

    return spoil


def class_out_of_range(root: Path) -> None:
    np.save(root / "classes" / "tile_1.npy", np.full(16, 9))


def truncated_image(root: Path) -> None:
    path = root / "images" / "tile_1.png"
    path.write_bytes(path.read_bytes()[:-100])


def truncated_label(root: Path) -> None:
    path = root / "labels" / "tile_1.png"
    path.write_bytes(path.read_bytes()[:-20])


SPOILT = {
    "an image without its label": (no_label, "images/tile_1.png"),
    "a label without its image": (no_image, "labels/tile_1.png"),
    "differ in size": (wider_label, "'tile_1'"),
    "float64 values": (label_of(np.full((40, 48), 0.5)), "labels/tile_1.npy"),
    "values from -1": (label_of(np.full((40, 48), -1)), "labels/tile_1.npy"),
    "a class out of range": (class_out_of_range, "classes/tile_1.npy"),
    "a broken file": (truncated_image, "images/tile_1.png"),
    "a whole PNG": (truncated_label, "labels/tile_1.png"),
}


def entries(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*")}


def refused(root: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one message of a command that exits with 2 and leaves the folder as it was."""
    before = entries(root)
    capsys.readouterr()
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert said.err.count("nucleosynth: ") == 1
    assert said.err.startswith("nucleosynth: ")
    assert "expected:" in said.err
    assert "Traceback" not in said.err
    assert said.out == ""
    assert entries(root) == before
    return said.err


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, beside nothing else."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("message", SPOILT)
@pytest.mark.parametrize("command", [("convert", "folder:data", "out"), ("inspect", "folder:data", "--json", "x.json")])
def test_spoilt_tiles(work: Path, capsys: pytest.CaptureFixture[str], message: str, command: tuple[str, ...]) -> None:
    folder.write([drawn_sample(0), drawn_sample(1)], work / "data")
    spoil, where = SPOILT[message]
    spoil(work / "data")
    said = refused(work, capsys, *command)
    assert message in said
    assert where in said


@pytest.mark.parametrize("data", ["folder:absent", "consep:absent", "absent", "store:absent", "folder:"])
def test_missing_folders(work: Path, capsys: pytest.CaptureFixture[str], data: str) -> None:
    for command in (("convert", data, "out"), ("inspect", data), ("score", data, data)):
        refused(work, capsys, *command)


def test_a_parquet_file_that_is_no_store(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (work / "data").mkdir()
    pq.write_table(pa.table({"x": [1]}), work / "data" / "part-00000000.parquet")
    assert "no store" in refused(work, capsys, "inspect", "data")
    assert "a store is a folder" in refused(work, capsys, "inspect", "data/part-00000000.parquet")


def test_a_truncated_shard(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store.write([drawn_sample(0)], work / "data")
    shard = work / "data" / "part-00000000.parquet"
    shard.write_bytes(shard.read_bytes()[:-9])
    assert "part-00000000.parquet" in refused(work, capsys, "convert", "data", "out")


def test_an_output_that_is_there(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store.write([drawn_sample(0)], work / "data")
    store.write([drawn_sample(1)], work / "out")
    before = (work / "out" / "part-00000000.parquet").read_bytes()
    assert "--overwrite" in refused(work, capsys, "convert", "data", "out")
    refused(work, capsys, "convert", "folder:absent", "out", "--overwrite")
    assert (work / "out" / "part-00000000.parquet").read_bytes() == before
    (work / "notes").mkdir()
    (work / "notes" / "precious.txt").write_text("text")
    assert "other things" in refused(work, capsys, "convert", "data", "notes", "--overwrite")


@pytest.mark.parametrize("form", ["store", "folder"])
def test_the_current_folder_is_no_output(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    store.write([drawn_sample(0)], work / "data")
    (work / "empty").mkdir()
    monkeypatch.chdir(work / "empty")
    for out in (".", str(work / "empty")):
        assert "the current folder" in refused(work, capsys, "convert", str(work / "data"), out, "--to", form)


@pytest.mark.parametrize(
    ("arguments", "nearest"),
    [
        (("insect", "data"), "'inspect'"),
        (("--versoin",), "'--version'"),
        (("inspect", "data", "--jsn", "x"), "'--json'"),
        (("convert", "data", "out", "--overwite"), "'--overwrite'"),
        (("convert", "data", "out", "--split=train", "--two", "store"), "'--to'"),
        (("convert", "data", "out", "--to", "stoer"), "'store'"),
        (("convert", "foldr:data", "out"), "'folder'"),
        (("fit", "jointflo", "--data", "data", "--run", "out", "--steps", "1"), "'jointflow'"),
        (("fit", "jointflow", "--data", "data", "--run", "out", "--steps", "1", "--preset", "tinny"), "'tiny'"),
        (("cost", "jointflo"), "'jointflow'"),
    ],
)
def test_unknown_names_get_the_nearest(
    work: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], nearest: str
) -> None:
    store.write([drawn_sample(0)], work / "data")
    assert f"did you mean {nearest}" in refused(work, capsys, *arguments)


@pytest.mark.parametrize(
    "arguments", [("inspect",), ("convert", "data"), ("inspect", "a", "b"), ("score", "a", "b", "--json")]
)
def test_too_little_and_too_much(work: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]) -> None:
    said = refused(work, capsys, *arguments)
    assert f"nucleosynth {arguments[0]} --help" in said
    assert not set("│╭╰─") & set(said)


def test_scores_need_the_same_tiles_sizes_and_classes(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store.write([drawn_sample(0), drawn_sample(1)], work / "truth")
    store.write([drawn_sample(0)], work / "fewer")
    store.write([drawn_sample(0), drawn_sample(1, size=(40, 50))], work / "wider")
    store.write([drawn_sample(k, class_names=("a", "b", "c")) for k in (0, 1)], work / "others")
    store.write([drawn_sample(0), drawn_sample(1, mpp=0.5)], work / "coarser")
    for truth, prediction, message in (
        ("truth", "fewer", "1 without prediction (tile_1)"),
        ("fewer", "truth", "1 without truth (tile_1)"),
        ("truth", "wider", "labels that cannot be compared"),
        ("truth", "others", "other classes"),
        ("coarser", "truth", "several resolutions"),
    ):
        assert message in refused(work, capsys, "score", truth, prediction, "--json", "scores.json")


def test_codes_and_messages() -> None:
    error = UserError("what", expected="a", got="b", where="c", mend="d")
    assert str(error) == "what\n  expected: a\n  got:      b\n  where:    c\n  mend:     d"
    assert str(UserError("what", expected="a", got="b")) == "what\n  expected: a\n  got:      b"
    codes = {UserError: 2, MachineError: 1, Interrupted: 130, NucleosynthError: 1}
    assert {kind: kind.exit_code for kind in codes} == codes
    assert not issubclass(UserError, ValueError)


def test_a_name_like_no_other_gets_the_list_once() -> None:
    assert str(unknown_name("method", "xyzzy", ["b", "a"])).count("a, b") == 1


def test_of_a_long_list_ten_names_are_shown_and_the_nearest_first() -> None:
    names = [f"n{k:03}" for k in range(100)] + ["nearest"]
    assert unknown_name("thing", "xyzzy", names).expected == f"one of {', '.join(names[:10])} and 91 more"
    assert unknown_name("thing", "nearst", names).expected.startswith("one of nearest, n000, ")


def test_an_empty_name_is_none_that_was_given() -> None:
    error = unknown_name("architecture", "", ["a"])
    assert (error.what, error.got) == ("no architecture", "none was given")
