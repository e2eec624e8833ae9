"""Every config trains and generates: cut down to seconds, on a tiny copy of the data that it names."""

import json
import re
import shlex
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from contracts.test_methods import MICRO
from nucleosynth import catalog, cli
from nucleosynth.cli import main
from nucleosynth.data.reader import read
from nucleosynth.run import Run
from releases import make

CONFIGS = sorted((Path(__file__).parents[1] / "configs").glob("*.toml"))
TABLES = {path: tomllib.loads(path.read_text()) for path in CONFIGS}
METHODS = [path for path in CONFIGS if "method" in TABLES[path]]
SHARES = [path for path in METHODS if "$share" in path.read_text()]
"""Those that are to be run on shares of the labels."""
DEVICE = ["--device", "cpu", "--precision", "32-true"]


def assignments(settings: Mapping[str, Any], before: str = "") -> Iterator[str]:
    """Nested settings as --set takes them: network.widths=[16, 32]."""
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from assignments(value, f"{before}{key}.")
        else:
            yield f"{before}{key}={'none' if value is None else json.dumps(value)}"


def fit(path: Path, data: str, run: Path) -> Run:
    """Train as a config says, but for two steps, at preset "tiny", as small as the method's contract test is."""
    table = TABLES[path]
    words = ["fit", "--config", str(path), "--data", data, "--run", str(run), "--preset", "tiny", "--steps", "2"]
    small = [word for text in assignments(MICRO[table["method"]]) for word in ("--set", text)]
    assert main([*words, *DEVICE, *small]) == 0
    return Run.open(run)


@pytest.mark.parametrize("path", METHODS, ids=lambda path: path.stem)
def test_each_config_trains_and_generates(path: Path, tmp_path: Path) -> None:
    table = TABLES[path]
    name = table["data"].partition(":")[0]
    run = fit(path, f"{name}:{make(name, tmp_path)}", tmp_path / "run")
    record = run.record
    assert (record.method, record.split, record.budget.steps) == (table["method"], table.get("split"), 2)
    assert all(found == wanted for found, wanted in settings_of(table, record.settings)), "the config's settings count"
    assert all(run.read_log(stage) for stage in catalog.load("method", record.method).stages), "each stage is trained"
    assert main(["generate", str(run.folder), "--n", "1", "--batch", "1", "--out", str(tmp_path / "out"), *DEVICE]) == 0
    (pair,) = read(str(tmp_path / "out"))
    assert (pair.provenance["generator"], pair.class_names) == (table["method"], record.class_names)
    assert pair.size == (record.settings["tile"], record.settings["tile"])


def settings_of(table: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[tuple[Any, Any]]:
    """What a run's settings are and what its config says, but for what was cut down."""
    cut = {text.partition("=")[0] for text in assignments(MICRO[table["method"]])}
    for text in assignments(table.get("settings", {})):
        key, _, value = text.partition("=")
        if key not in cut:
            part: Any = found
            for word in key.split("."):
                part = part[word]
            yield part, json.loads(value)


@pytest.mark.parametrize("path", SHARES, ids=lambda path: path.stem)
def test_a_config_of_shares_trains_on_a_subset(path: Path, tmp_path: Path) -> None:
    name = TABLES[path]["data"].partition(":")[0]
    where, few = f"{name}:{make(name, tmp_path / name)}", tmp_path / "few"
    cut = ["--nuclei", "0.5", "--size", "20", "--split", "train"]
    assert main(["subset", where, str(few), *cut]) == 0
    whole = sum(len(tile.classes) for tile in read(where, "train"))
    assert 0.3 * whole < sum(len(tile.classes) for tile in read(str(few))) < 0.9 * whole
    assert fit(path, str(few), tmp_path / "run").record.data == str(few)


def commands(path: Path) -> list[str]:
    """The command lines of a config's header, whole."""
    header = re.sub(r"\\\n#", "", path.read_text().split("\n\n")[0])
    return [line.strip("# ") for line in header.splitlines() if line.strip("# ").startswith("nucleosynth ")]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_each_command_of_a_header_can_be_given(path: Path) -> None:
    found = commands(path)
    assert found
    for command in found:
        _, *words = shlex.split(command.replace("$share", "0.1"))
        verb, rest = cli._verb(words)
        assert cli._parse(verb, catalog.load("verb", verb), rest), command
    assert "scores" in path.read_text() or "expected" in path.read_text()
