"""A new folder appears whole, takes nothing of anybody else's, and never leaves less than there was."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from nucleosynth.data.new_folder import new_folder
from nucleosynth.errors import UserError


def make(folder: Path, text: str = "new", overwrite: bool = True) -> None:
    with new_folder(folder, lambda _: True, overwrite) as temporary:
        (temporary / "tile").write_text(text)


def contents(root: Path) -> dict[str, str]:
    return {str(path.relative_to(root)): path.read_text() for path in root.rglob("*") if path.is_file()}


def test_folders_of_others_are_left_alone(tmp_path: Path) -> None:
    make(tmp_path / "out", "old")
    for name in ("_out.tmp", "_out.old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "notes").write_text("precious")
    make(tmp_path / "out")
    assert contents(tmp_path) == {"out/tile": "new", "_out.tmp/notes": "precious", "_out.old/notes": "precious"}


def test_it_may_be_read_by_whom_any_new_folder_may_be(tmp_path: Path) -> None:
    make(tmp_path / "deep" / "out")
    (tmp_path / "plain").mkdir()
    assert (tmp_path / "deep" / "out").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("there", [[], ["tile"]])
@pytest.mark.parametrize("name", [".", "..", "../out"])
def test_the_current_folder_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, there: list[str]
) -> None:
    (tmp_path / "out").mkdir()
    for each in there:
        (tmp_path / "out" / each).touch()
    monkeypatch.chdir(tmp_path / "out")
    with pytest.raises(UserError, match="the current folder"):
        make(Path(name))
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_link_stays_one(tmp_path: Path) -> None:
    make(tmp_path / "disk" / "out", "old")
    (tmp_path / "out").symlink_to(tmp_path / "disk" / "out")
    make(tmp_path / "out")
    assert (tmp_path / "out").is_symlink()
    assert contents(tmp_path / "disk") == {"out/tile": "new"}


@pytest.mark.parametrize("error", [OSError("busy"), KeyboardInterrupt()])
def test_the_old_folder_comes_back_where_the_new_one_cannot_take_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    make(tmp_path / "out", "old")
    replace = os.replace

    def failing(source: Path, target: Path) -> None:
        if (Path(source) / "tile").read_text() == "new":
            raise error
        replace(source, target)

    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(Exception, match=r"busy|stopped"):
        make(tmp_path / "out")
    assert contents(tmp_path) == {"out/tile": "old"}


def test_the_new_folder_stays_where_the_old_one_cannot_be_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / "out", "old")

    def failing(_path: Path, ignore_errors: bool = False, **_: Any) -> None:
        if not ignore_errors:
            raise PermissionError("not yours")

    monkeypatch.setattr(shutil, "rmtree", failing)
    make(tmp_path / "out")
    assert (tmp_path / "out" / "tile").read_text() == "new"
    assert all(path.name.startswith("_") for path in tmp_path.iterdir() if path.name != "out")
