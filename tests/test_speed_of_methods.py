"""benchmarks/speed.py on a game at 64^2: it counts what `cost` counts, and every column has its number."""

import importlib
import math
from pathlib import Path
from types import ModuleType

import pytest

from nucleosynth.verbs.cost import cost

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
METHOD, SIZE = "spade", 64


@pytest.fixture
def speed(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("speed")


def test_a_method_is_counted_and_measured(
    speed: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    row = speed.trained(METHOD, "tiny", str(run), SIZE, {"steps": 2}, "cpu", "32-true")
    row |= speed.made(str(run), SIZE, 2, 0.0, "cpu", "32-true")
    assert not (run / "pictures").exists()
    assert list(row["seconds_per_step"]) == ["image"]
    measured = [row["seconds_per_step"]["image"], row["seconds_per_pair"], row["peak_mb"], row["training_peak_mb"]]
    assert all(math.isfinite(value) and value > 0 for value in measured)
    assert 0 < row["network_share"] < 1
    counted = cost(str(run), size=SIZE)
    assert (row["method"], row["preset"]) == (METHOD, "tiny")
    assert row["gflop_per_pair"] == counted["gflop_per_pair"]
    assert row["released"] == counted["released"]
    for name in ("parameters", "evaluations"):
        assert row[name] == sum(stage[name] for stage in counted["stages"])
    capsys.readouterr()
    speed.show({"size": SIZE, "batch": 2, "idle_mb": 1.0, "rows": [{"name": "spade:tiny"} | row]})
    shown = capsys.readouterr().out.splitlines()
    assert len(shown[-1]) == len(shown[-2]) == sum(speed.COLUMNS.values())
    assert shown[-1].split()[0] == "spade:tiny"
    assert shown[-1].split()[-2:] == ["1", "274.5"]


def test_only_calls_from_outside_of_networks_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    from torch import nn

    monkeypatch.syspath_prepend(str(BENCHMARKS))
    calls = importlib.import_module("calls")
    inner = nn.Linear(2, 2)
    outer, x = nn.Sequential(inner, nn.SiLU()), torch.ones(1, 2)
    with calls.outermost() as found:
        outer(x)
        outer(2 * x)
    assert [call.module for call in found.values()] == [outer]
    assert found[id(outer)].args[0].tolist() == [[2, 2]]
    inner(x)
    assert len(found) == 1


def test_steps_are_told_apart_from_the_first(speed: ModuleType) -> None:
    assert speed.least_gap([5.0, 7.0, 7.5]) == 0.5
    assert speed.least_gap([5.0]) is None
    assert sorted(speed.batches(importlib.import_module("nucleosynth.methods.cgpn_presets").PRESETS["paper"])) == [
        "own.training.batch",
        "training.batch",
    ]
