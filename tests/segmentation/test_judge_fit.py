"""Training: it learns, it resumes exactly, it mixes real and synthetic tiles as told."""

import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

from nucleosynth.config import resolve
from nucleosynth.errors import Interrupted, UserError
from nucleosynth.metrics.instance import mean, scores
from nucleosynth.run import Budget, Run
from nucleosynth.sample import Sample
from nucleosynth.segmentation import fit as fitting
from nucleosynth.segmentation.augment import Window
from nucleosynth.segmentation.batches import batches
from nucleosynth.segmentation.fit import fit
from nucleosynth.segmentation.hovernet import HoVerNet
from nucleosynth.segmentation.judge import load
from nucleosynth.segmentation.losses import losses
from nucleosynth.segmentation.predict import predict

NARROW = resolve(HoVerNet.presets["tiny"], {"width": 8, "crop": 32, "batch": 2, "window": 64, "margin": 8}, "test")
Discs = Callable[..., Sample]


def test_loss_falls_on_one_batch(discs: Discs) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    batch = batches([Window(s.image, s.instances, s.classes) for s in [discs(0)]], [], NARROW, 0)(0)
    network = HoVerNet.build(NARROW, 2)
    optimiser = torch.optim.AdamW(network.parameters(), 1e-2)
    course: dict[str, list[float]] = {}
    for _ in range(30):
        named = losses(network(batch["image"]), batch, NARROW.losses)
        optimiser.zero_grad()
        torch.stack(list(named.values())).sum().backward()
        optimiser.step()
        for name, value in named.items():
            course.setdefault(name, []).append(float(value.detach()))
    assert len(course) == 5
    for name, values in course.items():
        assert values[-1] < 0.75 * values[0], name


def test_a_judge_learns_discs_and_is_the_same_when_loaded(discs: Discs, fabric: Fabric, tmp_path: Path) -> None:
    changes = {"width": 16, "crop": 64, "window": 128, "margin": 16, "learning_rate": 0.01, "losses.type_dice": 1.0}
    settings = resolve(HoVerNet.presets["tiny"], changes, "test")
    samples = [discs(seed, (96, 96), 30) for seed in range(4)]
    judge = fit(samples, settings, folder=tmp_path / "judge", budget=Budget(steps=120), seed=0, fabric=fabric)
    held_out = [discs(seed, (112, 90), 30) for seed in (10, 11)]
    found = list(predict(judge, held_out))
    score = mean([scores(true.instances, seen.instances) for true, seen in zip(held_out, found, strict=True)])
    assert score["pq"].value > 0.85
    right = [
        (np.append(0, true.classes)[true.instances] == np.append(0, seen.classes)[seen.instances])[
            (true.instances > 0) & (seen.instances > 0)
        ].mean()
        for true, seen in zip(held_out, found, strict=True)
    ]
    assert min(right) > 0.9
    again = next(predict(load(tmp_path / "judge", fabric), held_out))
    np.testing.assert_array_equal(again.instances, found[0].instances)
    np.testing.assert_array_equal(again.classes, found[0].classes)


def test_resumed_equals_uninterrupted(
    discs: Discs, fabric: Fabric, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(name: str, **more: Any) -> dict[str, torch.Tensor]:
        judge = fit([discs(0)], NARROW, folder=tmp_path / name, budget=Budget(steps=6), seed=3, fabric=fabric, **more)
        return judge.network.state_dict()

    straight = train("straight")
    step = fitting._Stage.step

    def stop_at_3(self: Any, fabric: Any, batch: Any, moment: Any) -> Any:
        if moment.step == 2:
            signal.raise_signal(signal.SIGINT)
        return step(self, fabric, batch, moment)

    with monkeypatch.context() as patch:
        patch.setattr(fitting._Stage, "step", stop_at_3)
        with pytest.raises(Interrupted, match="step 3"):
            train("broken")
    half = {key: value.clone() for key, value in load(tmp_path / "broken", fabric).network.state_dict().items()}
    other = train("broken", resume=True)
    assert straight.keys() == other.keys()
    for key, value in straight.items():
        torch.testing.assert_close(other[key], value, rtol=0, atol=0)
    assert any(not torch.equal(half[key], value) for key, value in straight.items())


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 1.0])
def test_synthetic_windows_take_the_place_of_real_ones(share: float) -> None:
    def plain(side: int, value: int) -> list[Window]:
        return [
            Window(np.full((side, side, 3), value, np.uint8), np.zeros((side, side), np.int32), np.zeros(0, np.uint8))
        ]

    settings = resolve(
        NARROW,
        {"synthetic_share": share, "augmentation": {"noise": 0, "hue": 0, "brightness": 0, "contrast": 0}},
        "test",
    )
    batch_at = batches(plain(64, 200), plain(16, 50), settings, seed=0)
    made = [int((batch_at(step)["image"][:, 0, 0, 0] == 50).sum()) for step in range(20)]
    assert sum(made) == round(share * 2 * 20)
    assert max(made) - min(made) <= 1
    assert batch_at(0)["image"].shape == (2, 3, 32, 32)


def test_a_batch_depends_on_seed_and_step_alone(discs: Discs) -> None:
    tiles = [Window(s.image, s.instances, s.classes) for s in [discs(0)]]
    first, again, other = (batches(tiles, [], NARROW, seed) for seed in (1, 1, 2))
    late = first(7)
    first(3)
    for name, value in again(7).items():
        assert torch.equal(value, late[name])
    assert not torch.equal(other(7)["image"], late["image"])
    assert not torch.equal(first(8)["image"], late["image"])


def test_the_record_names_every_training_source(discs: Discs, fabric: Fabric, tmp_path: Path) -> None:
    fit(
        [discs(4)],
        NARROW,
        folder=tmp_path,
        budget=Budget(steps=1),
        seed=0,
        synthetic=[discs(2, (16, 16))],
        fabric=fabric,
    )
    record = Run.open(tmp_path).record
    assert [each.source for each in record.training_sources] == ["discs/2", "discs/4"]
    assert record.class_names == ("small", "large")
    assert record.preset == "custom"


def test_what_cannot_be_trained_on_is_refused_before_any_work(discs: Discs, fabric: Fabric, tmp_path: Path) -> None:
    def train(*samples: Sample) -> None:
        fit(samples, NARROW, folder=tmp_path / "none", budget=Budget(steps=1), seed=0, fabric=fabric)

    with pytest.raises(UserError, match="no tile"):
        train()
    with pytest.raises(UserError, match="no tile"):
        fit([], NARROW, folder=tmp_path, budget=Budget(steps=1), seed=0, synthetic=[discs(0)], fabric=fabric)
    with pytest.raises(UserError, match="different classes"):
        train(discs(0), replace(discs(1), class_names=("large", "small")))
    with pytest.raises(UserError, match="unknown resolution"):
        train(replace(discs(0), mpp=None))
    assert not (tmp_path / "none").exists()
