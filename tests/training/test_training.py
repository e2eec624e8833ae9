"""The training loop: exact resume, checkpoints that carry everything and run nothing, budgets, interruption."""

import os
import pickle
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy
from torch import Tensor, nn

from nucleosynth.errors import Interrupted, UserError
from nucleosynth.run import Budget, Run, RunRecord
from nucleosynth.seeds import generator_of
from nucleosynth.training import checkpoint, loop
from nucleosynth.training.checkpoint import Moment
from nucleosynth.training.device import fabric_for
from nucleosynth.training.ema import averaged
from nucleosynth.training.loop import PICTURES, train
from nucleosynth.training.optimisers import muon_and_adamw
from nucleosynth.training.rates import set_rate, warm_then_decay

RECORD = RunRecord(
    method="toy", preset="tiny", settings={}, data="phantom:", split=None, seed=3, budget=Budget(steps=12),
    class_names=("a",), training_sources=(), versions={}, started="now",
)  # fmt: skip


class Toy:
    """A small regression with dropout, two optimisers and an average: everything that a resume could lose."""

    name = "net"

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(4, 16), nn.Dropout(0.3), nn.Linear(16, 1))
        self.average = averaged(self.net, 0.9)
        self.modules = {"net": self.net, "average": self.average}
        first = self.net[0]
        assert isinstance(first, nn.Linear)
        self.optimisers = muon_and_adamw(self.net, [first.weight], 0.01)
        self.stop_at: int | None = None

    def setup(self, fabric: Fabric) -> None:
        self.wrapped, *self.steppers = fabric.setup(self.net, *self.optimisers.values())

    def step(self, fabric: Fabric, batch: Tensor, moment: Moment) -> dict[str, Tensor]:
        if moment.step == self.stop_at:
            os.kill(os.getpid(), signal.SIGINT)
        loss = (self.wrapped(batch) - batch.sum(1, keepdim=True)).square().mean()
        fabric.backward(loss)
        for stepper in self.steppers:
            set_rate(stepper, warm_then_decay(moment, 0.01, 2, 0.5))
            stepper.step()
            stepper.zero_grad()
        self.average.update_parameters(self.net)
        return {"loss": loss}


def batch_at(step: int) -> Tensor:
    return torch.from_numpy(generator_of(9, step).normal(size=(8, 4)).astype(np.float32))


@pytest.fixture(scope="module")
def fabric() -> Fabric:
    return fabric_for("cpu", "32-true")


def trained(folder: Path, fabric: Fabric, stop_at: int | None = None, resume: bool = False) -> Toy:
    toy = Toy()
    toy.stop_at = stop_at
    run = Run.create(folder, RECORD, resume)
    train(toy, batch_at, budget=RECORD.budget, run=run, fabric=fabric)
    return toy


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path: Path, fabric: Fabric) -> None:
    whole = trained(tmp_path / "whole", fabric)
    with pytest.raises(Interrupted, match="--resume"):
        trained(tmp_path / "parts", fabric, stop_at=5)
    resumed = trained(tmp_path / "parts", fabric, resume=True)
    for name, module in whole.modules.items():
        for key, value in module.state_dict().items():
            torch.testing.assert_close(resumed.modules[name].state_dict()[key], value, rtol=0, atol=0)
    files = [tmp_path / part / "checkpoints" / "net.safetensors" for part in ("whole", "parts")]
    assert checkpoint.fingerprint(files[0]) == checkpoint.fingerprint(files[1])
    for name, optimiser in whole.optimisers.items():
        again = resumed.optimisers[name].state_dict()["state"]
        for index, state in optimiser.state_dict()["state"].items():
            for key, value in state.items():
                torch.testing.assert_close(torch.as_tensor(again[index][key]), torch.as_tensor(value), rtol=0, atol=0)


def test_interruption_stops_after_a_whole_step(tmp_path: Path, fabric: Fabric) -> None:
    with pytest.raises(Interrupted, match="step 6") as stopped:
        trained(tmp_path, fabric, stop_at=5)
    assert stopped.value.exit_code == 130
    toy = Toy()
    moment = checkpoint.load(tmp_path / "checkpoints" / "net.safetensors", "toy/net", toy.modules, toy.optimisers)
    assert moment.step == 6


def test_pictures_do_not_use_up_minutes(tmp_path: Path, fabric: Fabric, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step takes 6 seconds of this clock, a picture 100: ten steps fit into a minute, however many pictures."""
    now = 0.0
    monkeypatch.setattr(loop.time, "monotonic", lambda: now)

    class Slow(Toy):
        def step(self, fabric: Fabric, batch: Tensor, moment: Moment) -> dict[str, Tensor]:
            nonlocal now
            now += 6
            return super().step(fabric, batch, moment)

    def picture(_step: int) -> None:
        nonlocal now
        now += 100

    run = Run.create(tmp_path, RECORD)
    moment = train(Slow(), batch_at, budget=Budget(minutes=1), run=run, fabric=fabric, picture=picture)
    assert (moment.step, moment.seconds) == (10, 60)


def test_training_learns_and_logs(tmp_path: Path, fabric: Fabric) -> None:
    toy, run = Toy(), Run.create(tmp_path, RECORD)
    pictures: list[int] = []
    moment = train(toy, batch_at, budget=Budget(steps=200), run=run, fabric=fabric, picture=pictures.append)
    log = run.read_log("net")
    assert moment.step == 200
    assert log[-1]["step"] == 200
    assert log[-1]["loss"] < 0.7 * log[0]["loss"]
    assert pictures == [round(share * 200) for share in PICTURES]


def test_a_line_that_was_cut_off_costs_nothing_but_itself(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run", RECORD, False)
    run.log("net", 1, {"loss": 3.0})
    with (tmp_path / "run" / "log.jsonl").open("a") as file:
        file.write('{"stage": "net", "st')
    assert [line["step"] for line in run.read_log("net")] == [1]
    run.log("net", 2, {"loss": 2.0})
    assert [(line["step"], line["loss"]) for line in run.read_log("net")] == [(1, 3.0), (2, 2.0)]


def test_a_budget_in_minutes_is_kept(tmp_path: Path, fabric: Fabric) -> None:
    run = Run.create(tmp_path, RECORD)
    moment = train(Toy(), batch_at, budget=Budget(minutes=0.01), run=run, fabric=fabric)
    assert moment.progress == 1
    assert moment.seconds >= 0.6
    assert moment.step > 1


def test_a_checkpoint_of_another_method_is_refused(tmp_path: Path, fabric: Fabric) -> None:
    trained(tmp_path, fabric)
    path = tmp_path / "checkpoints" / "net.safetensors"
    with pytest.raises(UserError, match="another method"):
        checkpoint.load(path, "other/net", Toy().modules)
    with pytest.raises(UserError, match="does not fit"):
        checkpoint.load(path, "toy/net", {"net": nn.Linear(4, 2)})


def test_a_file_that_could_run_code_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.safetensors"
    path.write_bytes(pickle.dumps({"module.net.weight": os.getcwd}))
    with pytest.raises(UserError, match="broken checkpoint"):
        checkpoint.load(path, "toy/net", Toy().modules)
    with pytest.raises(UserError, match="no checkpoint"):
        checkpoint.load(tmp_path / "absent.safetensors", "toy/net", Toy().modules)


def test_a_failed_save_leaves_the_last_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toy, path = Toy(), tmp_path / "net.safetensors"
    checkpoint.save(path, "toy/net", toy.modules, toy.optimisers, Moment(1))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(OSError, match="No space"):
        checkpoint.save(path, "toy/net", toy.modules, toy.optimisers, Moment(2))
    assert checkpoint.load(path, "toy/net", Toy().modules).step == 1
    assert [file.name for file in tmp_path.iterdir()] == ["net.safetensors"]


def test_an_average_follows_its_module() -> None:
    module = nn.Linear(1, 1, bias=False)
    average = averaged(module, 0.5)
    for value in (0.0, 1.0, 1.0):
        nn.init.constant_(module.weight, value)
        average.update_parameters(module)
    # The first update copies; then the decay is min(0.5, (1 + n) / (10 + n)) for n = 1, 2.
    first = 1 - 2 / 11
    assert float(average.module.weight) == pytest.approx(1 - (1 - first) * 3 / 12)


def test_rates() -> None:
    assert warm_then_decay(Moment(0, 0, 0.0), 1.0, 10, 0.5) == pytest.approx(0.1)
    assert warm_then_decay(Moment(50, 0, 0.5), 1.0, 10, 0.5) == pytest.approx(1.0)
    assert warm_then_decay(Moment(90, 0, 0.9), 1.0, 10, 0.5) == pytest.approx(0.2)


def test_budgets() -> None:
    assert Budget(steps=10).part(0.25).steps == 2
    assert Budget(minutes=4).part(0.25).minutes == 1
    for bad in ({}, {"steps": 1, "minutes": 1}, {"steps": 0}, {"minutes": -1}):
        with pytest.raises(UserError):
            Budget(**bad)  # type: ignore[arg-type]


def test_unknown_devices_and_precisions_are_refused() -> None:
    with pytest.raises(UserError, match="no such device"):
        fabric_for("tpu")
    with pytest.raises(UserError, match="no such precision"):
        fabric_for("cpu", "8-bit")


@pytest.mark.parametrize(("device", "devices"), [("cpu:3", 3), ("cpu", 1)])
def test_on_several_devices_a_step_may_leave_parts_without_a_gradient(
    device: str, devices: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pix2pixHD's phases do; nothing is launched here."""
    monkeypatch.setattr(Fabric, "launch", lambda _: None)
    fabric = fabric_for(device, "32-true")
    assert isinstance(fabric.strategy, DDPStrategy) == (devices > 1)
    if isinstance(fabric.strategy, DDPStrategy):
        assert fabric.strategy.num_processes == devices
        assert fabric.strategy._ddp_kwargs == {"find_unused_parameters": True}
