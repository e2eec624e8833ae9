"""Damage done to every kind of file of every data set: a clear error or a finding, never a crash and never silence.

Each file kind of each tiny release (tests/releases) is damaged in each way. What a person broke on purpose, format by
format, is in test_broken_content.py.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

import releases
from broken.cases import outcome
from nucleosynth import catalog

pytestmark = pytest.mark.usefixtures("time_limit")


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def fill_with_words(path: Path) -> None:
    path.write_text("this is no data\n" * 20)


def fill_with_zeros(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def cut_last_bytes(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def become_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def lead_out(path: Path) -> None:
    root = next(parent for parent in path.parents if parent.name == "data")
    outside = root.parent / f"elsewhere{path.suffix}"
    path.rename(outside)
    path.symlink_to(outside)


def vanish(path: Path) -> None:
    path.unlink()


DAMAGE: tuple[Callable[[Path], None], ...] = (
    truncate,
    empty,
    fill_with_words,
    fill_with_zeros,
    cut_last_bytes,
    become_a_folder,
    lead_out,
    vanish,
)
ON_DISK = [entry.name for entry in catalog.CATALOG["data set"] if entry.name != "phantom"]
MAY_BE_ABSENT = ("meta.json", "_store.json")
"""What only adds to what is known of the tiles."""


def kinds_of_files(root: Path) -> list[Path]:
    """The first file of each folder and suffix."""
    first: dict[tuple[str, str], Path] = {}
    for path in sorted(root.rglob("*")):
        if path.is_file():
            first.setdefault((path.parent.name.strip("0123456789_ "), path.suffix), path)
    return list(first.values())


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("name", ON_DISK)
def test_damage_is_told(name: str, damage: Callable[[Path], None], tmp_path: Path) -> None:
    count = len(kinds_of_files(Path(releases.make(name, tmp_path / "count" / "data"))))
    silent = []
    for k in range(count):
        root = tmp_path / f"{k}" / "data"
        where = releases.make(name, root)
        victim = kinds_of_files(root)[k]
        if damage is vanish and victim.name in MAY_BE_ABSENT:
            continue
        damage(victim)
        said, tiles = outcome(name, where)
        if not said:
            silent.append(f"{victim.relative_to(root)}: {tiles} tiles, nothing said")
    assert not silent
