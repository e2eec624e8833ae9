"""What the stages share in training: their optimisers, the moving average, and the network that a run holds."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from drawn import drawn_sample
from made_runs import record_of
from nucleosynth.errors import UserError
from nucleosynth.run import Run
from nucleosynth.stages.training import AveragedStage, TrainingSettings
from nucleosynth.training import checkpoint
from nucleosynth.training.checkpoint import Moment
from nucleosynth.training.device import fabric_for


def small(**training: Any) -> AveragedStage[nn.Sequential]:
    torch.manual_seed(1)
    net = nn.Sequential(nn.Linear(2, 4), nn.Linear(4, 1))
    matrices = [weight for weight in net.parameters() if weight.ndim == 2]
    return AveragedStage("small", net, matrices, TrainingSettings(**training))


@pytest.mark.parametrize(
    ("optimiser", "names"), [("muon", {"muon", "adamw"}), ("adamw", {"adamw"}), ("adam", {"adam"})]
)
def test_every_parameter_has_one_optimiser(optimiser: Any, names: set[str]) -> None:
    stage = small(optimiser=optimiser)
    trained = [id(p) for part in stage.optimisers.values() for group in part.param_groups for p in group["params"]]
    assert stage.optimisers.keys() == names
    assert sorted(trained) == sorted(id(parameter) for parameter in stage.net.parameters())


def test_a_step_goes_down_at_its_share_of_the_rate_and_the_average_follows() -> None:
    stage, fabric = small(optimiser="adamw", warmup=0, decay=0.5, learning_rate=1e-2, ema=0.5), fabric_for("cpu")
    stage.setup(fabric)
    before = [weight.clone() for weight in stage.net.parameters()]
    for _ in range(2):  # the first takes the weights as they are
        stage.descend(fabric, stage.wrapped(torch.ones(1, 2)).float().sum(), Moment(5, 0.0, 0.75), 0.5)
    assert stage.optimisers["adamw"].param_groups[0]["lr"] == pytest.approx(1e-2 * 0.5 * 0.5)
    moved = zip(before, stage.net.parameters(), stage.averaged_net.parameters(), strict=True)
    for start, now, average in moved:
        assert not torch.equal(start, now)
        assert not torch.equal(average, now)
        assert ((average - start).abs() < (now - start).abs()).all()


def test_the_network_of_a_run_is_its_average(tmp_path: Path) -> None:
    stage, fabric = small(), fabric_for("cpu")
    nn.init.constant_(stage.averaged_net[1].weight, 7)  # type: ignore[arg-type]
    run = Run.create(tmp_path / "run", record_of("method", TrainingSettings(), [drawn_sample()]))
    with pytest.raises(UserError, match="no checkpoint"):
        small().trained(run, "method", fabric)
    checkpoint.save(run.checkpoint("small"), "method/small", stage.modules, stage.optimisers, Moment())
    assert (small().trained(run, "method", fabric)[1].weight == 7).all()
    with pytest.raises(UserError, match="another method"):
        small().trained(run, "other", fabric)
