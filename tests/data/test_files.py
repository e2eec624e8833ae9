"""Files below a folder: their natural order, and links, which lead nowhere but to other places of it."""

from pathlib import Path

import pytest

from nucleosynth.data.files import named_files, natural
from nucleosynth.errors import UserError


def test_names_of_any_number_of_digits_sort_by_value() -> None:
    long = "1" * 5000
    names = [f"t{long}0", "t10", "t", f"t{long}", "t09", "a", "t9", "t0"]
    assert sorted(names, key=natural) == ["a", "t", "t0", "t09", "t9", "t10", f"t{long}", f"t{long}0"]


def test_a_link_may_lead_to_another_place_of_the_root(tmp_path: Path) -> None:
    (tmp_path / "pool").mkdir()
    (tmp_path / "pool" / "a.png").write_bytes(b"")
    (tmp_path / "images").symlink_to(tmp_path / "pool")
    assert list(named_files(tmp_path / "images", (".png",), tmp_path)) == ["a"]


def test_a_folder_that_leads_out_of_the_root_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pool").mkdir()
    (tmp_path / "pool" / "a.png").write_bytes(b"")
    root = tmp_path / "root"
    (root / "images").mkdir(parents=True)
    (root / "images" / "slide").symlink_to(tmp_path / "pool")
    with pytest.raises(UserError, match=r"a link out of the folder(.|\n)*images/slide"):
        named_files(root / "images", (".png",), root)
    (root / "images" / "slide").unlink()
    (root / "images").rmdir()
    (root / "images").symlink_to(tmp_path / "pool")
    with pytest.raises(UserError, match=r"a link out of the folder(.|\n)*images/a.png"):
        named_files(root / "images", (".png",), root)
