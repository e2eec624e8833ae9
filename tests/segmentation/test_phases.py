"""The schedule: phases are where they should be, a stop anywhere changes nothing, and neither does being watched."""

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from safetensors.torch import load_file

from nucleosynth.config import resolve
from nucleosynth.errors import Interrupted, UserError
from nucleosynth.run import Budget, Run
from nucleosynth.sample import Sample
from nucleosynth.segmentation import fit as fitting
from nucleosynth.segmentation.augment import NONE, Window
from nucleosynth.segmentation.batches import batches
from nucleosynth.segmentation.fit import Judge, fit
from nucleosynth.segmentation.hovernet import RELEASED_PHASES, HoVerNet
from nucleosynth.segmentation.losses import losses
from nucleosynth.segmentation.predict import predict
from nucleosynth.segmentation.schedule import Phase, place, timetable
from nucleosynth.training.device import fabric_for

PHASES = (
    {"share": 0.5, "frozen": True, "batch": 3, "learning_rate": 1e-2},
    {"share": 0.5, "batch": 2, "learning_rate": 1e-2},
)
NARROW = resolve(
    HoVerNet.presets["resnet34"],
    {"width": 8, "blocks": (1, 1, 1, 1), "dense": (1, 1), "mode": "same", "crop": 32, "window": 64, "margin": 8},
    "test",
)
PHASED = resolve(NARROW, {"phases": PHASES}, "test")
Discs = Callable[..., Sample]


def test_the_released_phases_are_fifty_epochs_each() -> None:
    frozen, whole = timetable(RELEASED_PHASES, 20700)
    assert (frozen.first, frozen.last, whole.last) == (0, 4140, 20700)
    windows = [(each.last - each.first) * each.phase.batch for each in (frozen, whole)]
    assert windows[0] == windows[1]
    assert [frozen.rate(0), frozen.rate(2069), frozen.rate(2070)] == [1e-4, 1e-4, pytest.approx(1e-5)]
    assert [whole.rate(4140), whole.rate(12419), whole.rate(12420)] == [1e-4, 1e-4, pytest.approx(1e-5)]
    assert (frozen.phase.frozen, whole.phase.frozen) == (True, False)


def test_the_released_preset_is_resnet50_with_the_released_ways() -> None:
    mended, released = (HoVerNet.presets[name].model_dump() for name in ("resnet50", "released"))
    assert (released["released_targets"], released["losses"]["crossed_gradients"]) == (True, True)
    assert (released["augmentation"]["released"], released["augmentation"]["contrast"]) == (True, 0)
    assert {key for key, value in mended.items() if value != released[key]} == {
        *("released_targets", "losses", "augmentation")
    }


def test_every_step_is_in_one_phase() -> None:
    phases = [Phase(share=share, batch=1, learning_rate=1) for share in (0.3, 0.3, 0.4)]
    for steps in (1, 2, 7, 10):
        stretches = timetable(phases, steps)
        assert stretches[-1].last == steps
        for step in range(steps):
            found = stretches[place(stretches, step)]
            assert found.first <= step < found.last
        assert place(stretches, steps + 5) == 2


def test_batches_are_those_of_the_phase_and_so_is_the_synthetic_share() -> None:
    def plain(value: int) -> list[Window]:
        return [Window(np.full((32, 32, 3), value, np.uint8), np.zeros((32, 32), np.int32), np.zeros(0, np.uint8))]

    settings = PHASED.model_copy(update={"augmentation": NONE, "synthetic_share": 0.3})
    batch_at = batches(plain(200), plain(50), settings, seed=0, steps=20)
    found = [batch_at(step)["image"][:, 0, 0, 0] for step in range(20)]
    assert [len(each) for each in found] == [3] * 10 + [2] * 10
    made = [int((each == 50).sum()) for each in found]
    done = np.arange(1, 11)
    np.testing.assert_array_equal(np.cumsum(made[:10]), np.floor(done * 0.3 * 3))
    np.testing.assert_array_equal(np.cumsum(made[10:]), np.floor(done * 0.3 * 2))


def test_what_is_frozen_stays_and_the_optimiser_begins_anew(discs: Discs, fabric: Fabric, tmp_path: Path) -> None:
    states: list[dict[str, torch.Tensor]] = []

    def keep(judge: Judge, _step: int, _share: float) -> None:
        states.append({key: value.clone() for key, value in judge.network.state_dict().items()})

    made: Any = {"budget": Budget(steps=8), "seed": 0, "fabric": fabric, "marks": (0.25, 0.5, 1.0), "at_mark": keep}
    fit([discs(0, mpp=0.25)], PHASED, folder=tmp_path, **made)
    early, border, late = states
    still = [key for key in border if "units" in key and key.startswith("d") and "running" not in key]
    still = [key for key in still if not key.startswith("decoder") and "tracked" not in key]
    assert len(still) > 8
    assert all(torch.equal(early[key], border[key]) for key in still)
    assert not any(torch.equal(border[key], late[key]) for key in still)
    moved = ("conv0./.weight", "conv_bot.weight", "decoder.np.u1.conva.weight", "d3.units.0.conv1/bn.running_mean")
    assert not any(torch.equal(early[key], border[key]) for key in moved)
    saved = load_file(tmp_path / "checkpoints" / "judge.safetensors")
    steps = [int(value) for key, value in saved.items() if key.startswith("optimiser.") and key.endswith(".step")]
    assert set(steps) == {4}


@pytest.mark.parametrize("stop", [2, 4, 6])
def test_a_stop_before_at_or_after_the_border_changes_nothing(
    discs: Discs, fabric: Fabric, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: int
) -> None:
    marks: list[float] = []

    def train(name: str, **more: Any) -> dict[str, torch.Tensor]:
        made: Any = {"budget": Budget(steps=8), "seed": 3, "fabric": fabric, "marks": (0.25, 0.75, 1.0)}
        made |= {"at_mark": lambda _judge, _step, share: marks.append(share)}
        return fit([discs(0, mpp=0.25)], PHASED, folder=tmp_path / name, **made, **more).network.state_dict()

    straight = train("straight")
    assert marks == [0.25, 0.75, 1.0]
    step = fitting._Stage.step

    def stop_there(self: Any, fabric: Any, batch: Any, moment: Any) -> Any:
        if moment.step == stop - 1:
            signal.raise_signal(signal.SIGINT)
        return step(self, fabric, batch, moment)

    marks.clear()
    with monkeypatch.context() as patch:
        patch.setattr(fitting._Stage, "step", stop_there)
        with pytest.raises(Interrupted, match=f"step {stop}"):
            train("broken")
    assert marks == [share for share in (0.25, 0.75, 1.0) if share * 8 <= stop]
    other = train("broken", resume=True)
    assert marks == [0.25, 0.75, 1.0]  # those before the stop were called before it
    assert straight.keys() == other.keys()
    for key, value in straight.items():
        torch.testing.assert_close(other[key], value, rtol=0, atol=0)
    train("broken", resume=True)
    assert marks == [0.25, 0.75, 1.0]  # a finished run has none left


def test_being_watched_changes_nothing(discs: Discs, fabric: Fabric, tmp_path: Path) -> None:
    """Predictions half-way move no weight, no statistic and no random number."""
    seen = []

    def watch(judge: Judge, step: int, share: float) -> None:
        assert not judge.network.training
        torch.rand(7)
        seen.append((step, share, next(predict(judge, [discs(1, mpp=0.25)])).instances.max()))
        assert not any(layer.training for layer in judge.network.modules())

    for settings in (PHASED, NARROW.model_copy(update={"phases": (), "batch": 2})):
        made: Any = {"settings": settings, "budget": Budget(steps=5), "seed": 1, "fabric": fabric}
        name = "phased" if settings.phases else "plain"
        alone = fit([discs(0, mpp=0.25)], folder=tmp_path / name / "alone", **made).network.state_dict()
        watched = fit(
            [discs(0, mpp=0.25)], folder=tmp_path / name / "watched", marks=(0.2, 0.5, 1.0), at_mark=watch, **made
        )
        for key, value in watched.network.state_dict().items():
            torch.testing.assert_close(alone[key], value, rtol=0, atol=0)
    assert [(step, share) for step, share, _ in seen] == [(1, 0.2), (3, 0.5), (5, 1.0)] * 2


def test_minutes_know_no_phases(discs: Discs, fabric: Fabric, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="counts its steps"):
        fit([discs(0)], PHASED, folder=tmp_path / "none", budget=Budget(minutes=1), seed=0, fabric=fabric)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"phases": PHASES[:1]}, "add up to 1, not 0.5"),
        ({"mode": "fast", "crop": 250}, "a crop of"),
        ({"mode": "fast", "crop": 256, "window": 256, "margin": 4}, "margin of at least .*, not 4"),
        ({"stem_stride": 2}, "stem_stride 1 .*, not 2"),
        ({"network": "compact", "mode": "fast", "stem_stride": 2}, "mode same for the compact network, not fast"),
        ({"network": "compact", "phases": PHASES}, "no frozen phase"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(changes: dict[str, Any], expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        resolve(NARROW, changes, "test")


@pytest.mark.parametrize("kind", ["basic", "bottleneck"])
def test_the_published_network_learns_one_batch(discs: Discs, kind: str) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    settings = resolve(NARROW, {"network": kind, "phases": (), "batch": 2}, "test")
    sample = discs(0, mpp=0.25)
    batch = batches([Window(sample.image, sample.instances, sample.classes)], [], settings, 0)(0)
    network = HoVerNet.build(settings, 2)
    optimiser = torch.optim.AdamW(network.parameters(), 5e-3)
    course: dict[str, list[float]] = {}
    for _ in range(40):
        named = losses(network(batch["image"]), batch, settings.losses)
        optimiser.zero_grad()
        torch.stack(list(named.values())).sum().backward()
        optimiser.step()
        for name, value in named.items():
            course.setdefault(name, []).append(float(value.detach()))
    assert len(course) == 6
    for name, values in course.items():
        assert values[-1] < 0.75 * values[0], name


def test_mixed_precision_ends_at_the_losses(discs: Discs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found: dict[str, Any] = {}
    step = fitting._Stage.step

    def look(self: Any, fabric: Any, batch: Any, moment: Any) -> Any:
        hook = self.bare.conv_bot.register_forward_hook(lambda _m, _i, out: found.update(inside=out.dtype))
        named = step(self, fabric, batch, moment)
        hook.remove()
        return found.update(losses={value.dtype for value in named.values()}) or named

    monkeypatch.setattr(fitting._Stage, "step", look)
    mixed = fabric_for("cpu", "bf16-mixed")
    fit([discs(0, mpp=0.25)], PHASED, folder=tmp_path, budget=Budget(steps=1), seed=0, fabric=mixed)
    assert found == {"inside": torch.bfloat16, "losses": {torch.float32}}


def test_the_time_of_being_watched_is_not_counted(discs: Discs, fabric: Fabric, tmp_path: Path) -> None:
    made: Any = {"budget": Budget(steps=3), "seed": 0, "fabric": fabric, "marks": (0.5,)}
    began = time.monotonic()
    fit([discs(0, mpp=0.25)], PHASED, folder=tmp_path, at_mark=lambda *_: time.sleep(1.0), **made)
    whole = time.monotonic() - began
    assert whole > 1
    assert Run.open(tmp_path).read_log("judge")[-1]["seconds"] < whole - 0.9
