"""`inspect` on real tiles gives the true counts, and `validate` finds them sound."""

import json
from pathlib import Path
from typing import Any

import pytest

from nucleosynth.cli import main
from nucleosynth.curation.validation import examine
from nucleosynth.instances.canvas import WITHOUT_NUCLEUS

COUNTS: dict[str, dict[str, Any]] = {
    "consep:consep": {"images": 34, "splits": {"train": 27, "test": 7}, "mpp": {"0.25": 34}, "nuclei": 18928},
    "monuseg:monuseg": {"images": 12, "splits": {"train": 8, "test": 4}, "classes": {"nucleus": 5363}},
    "puma:puma": {
        "images": 1,
        "mpp": {"0.23": 1},
        "classes": {
            "tumor": 180,
            "lymphocyte": 475,
            "histiocyte": 10,
            "stroma": 0,
            "epithelium": 0,
            "apoptosis": 3,
            "endothelium": 1,
            "melanophage": 0,
            "plasma cell": 2,
            "neutrophil": 0,
        },
    },
    "dsb2018:dsb2018": {"images": 80},
    "folder:nucls": {"images": 10, "nuclei": 458},
}


def told(data: str, shared: Path, folder: Path) -> dict[str, Any]:
    """What `inspect` writes of data below the shared folder."""
    name, _, place = data.partition(":")
    numbers = folder / "numbers.json"
    where = f"{name}:{shared / 'data' / place}"
    assert main(["inspect", where, "--json", str(numbers), "--sheet", str(folder / "sheet.png")]) == 0
    found: dict[str, Any] = json.loads(numbers.read_text())
    return found


@pytest.mark.parametrize("data", COUNTS)
def test_the_counts_are_true(data: str, shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = told(data, shared, tmp_path)
    assert {name: found[name] for name in COUNTS[data]} == COUNTS[data]
    assert found["nuclei"] == sum(found["classes"].values())
    assert found["duplicates"] == []
    assert (tmp_path / "sheet.png").is_file()
    assert str(found["nuclei"]) in capsys.readouterr().out
    if data == "monuseg:monuseg":
        regions = sum(path.read_text().count("<Region ") for path in (shared / "data" / "monuseg").rglob("*.xml"))
        assert regions == 5365
        assert found["nuclei"] + sum(found["repairs"].get(reason, 0) for reason in WITHOUT_NUCLEUS) == regions


@pytest.mark.parametrize("data", ["puma:puma", "dsb2018:dsb2018"])
def test_real_tiles_are_sound(data: str, shared: Path) -> None:
    name, _, place = data.partition(":")
    verdict = examine(f"{name}:{shared / 'data' / place}")
    assert verdict.problems == ()
    assert verdict.images == COUNTS[data]["images"]
