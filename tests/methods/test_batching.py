"""How many samples go together: what fits by arithmetic, at its edges."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from nucleosynth.methods import batching
from nucleosynth.methods.batching import batch_for, fitting, most_together, side_of
from nucleosynth.nets.count import StageCost
from nucleosynth.training.device import total_memory

CPU = torch.device("cpu")


def stage(peak_mb: float, parameters: int = 250_000) -> StageCost:
    """Weights of 1 MB unless told."""
    work = {"gflop_per_evaluation": 1.0, "gflop_once": 0.0, "gflop_cached": 1.0, "evaluations": 1}
    return StageCost(name="s", parameters=parameters, peak_mb=peak_mb, **work)  # type: ignore[arg-type]


@pytest.mark.parametrize(("total_mb", "batch"), [(0, 1), (8, 1), (14, 1), (15, 2), (98, 8), (98.001, 16), (1e9, 16)])
def test_weights_and_batch_stay_below_half(total_mb: float, batch: int) -> None:
    """1 MB of weights, 3 MB a sample with the margin: 2 need 14 MB, 16 need 98 MB, and a byte."""
    assert batch_for([stage(1)], int(total_mb * 1e6), 16) == batch


def test_weights_of_all_stages_and_the_peak_of_the_largest() -> None:
    """3 MB and 6 MB a sample: 4 need more than 54 MB, in whatever order the stages stand."""
    two = [stage(2), stage(1, 500_000)]
    for stages in (two, two[::-1]):
        assert [batch_for(stages, int(total), 256) for total in (54e6, 54e6 + 2)] == [2, 4]


def test_what_takes_nothing_goes_together_at_most() -> None:
    assert batch_for([stage(0, 0)], 10, 256) == 256


@pytest.mark.parametrize("count", [1, 3, 1000])
def test_as_many_however_many_are_made(count: int) -> None:
    assert [most_together(device, [(64, 64)] * count) for device in ("cpu", "cuda")] == [16, 256]
    assert most_together("cuda", [(64, 64), (64, 72)] * count) == 16


def test_the_side_is_that_of_the_largest_tile_that_is_not_run_alone() -> None:
    assert side_of([(64, 64), (32, 128), (90, 40)], (64, 64), 8) == 64
    assert side_of([(64, 64), (128, 128)], (64, 64), 8) == 128
    assert side_of([(64, 64), (128, 136)], (64, 64), 8) == 64
    assert side_of([(500, 500)], (64, 64), 8) == 64
    assert side_of([(36, 36)], (64, 64), 8) == 40


def test_what_memory_limits_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[tuple[Any, ...]] = []

    def cost(*arguments: Any) -> list[StageCost]:
        asked.append(arguments)
        return [stage(1)]

    settings = SimpleNamespace(stride=8)
    kind, model = SimpleNamespace(cost=cost), SimpleNamespace(settings=settings, size=(64, 64), class_names=("a", "b"))
    monkeypatch.setattr(batching, "total_memory", lambda _: 40_000_000)
    assert fitting(kind, model, [(64, 96)], CPU) == 4
    assert asked == [(settings, 80, 2)]
    assert "4 at a time, as memory allows" in capsys.readouterr().err


def test_the_machine_s_memory_is_more_than_this_process_has() -> None:
    assert total_memory(CPU) > 2e8
    assert total_memory(CPU) == total_memory(CPU)
