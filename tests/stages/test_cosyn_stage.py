"""The joint diffusion as a stage: what is learned, what is masked and dropped, and how a state is made."""

from typing import Any, get_args

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from nucleosynth.conditions.structure import UNKNOWN
from nucleosynth.diffusion.categorical import Categorical, Form
from nucleosynth.diffusion.prediction import State
from nucleosynth.nets.cosyn import CoSynNetSettings, Features, Given
from nucleosynth.nets.points import PointsSettings
from nucleosynth.nets.text import TextShape
from nucleosynth.stages.cosyn import (
    CoSynStage,
    CoSynTraining,
    DiffusionSettings,
    JointBatch,
    JointSizes,
    SamplingSettings,
    condition,
    synthesise,
    without,
)
from nucleosynth.training.checkpoint import Moment
from nucleosynth.training.device import fabric_for

SMALL = CoSynNetSettings(
    width=16,
    multipliers=(1, 2),
    blocks=(0, 0),
    attention=(False, True),
    heads=2,
    head_channels=8,
    context=16,
    stem=16,
    latents=2,
    points=PointsSettings(width=8, blocks=1, growth=4),
)
LABELS, WORDS = 3, 4
SIZES = JointSizes(LABELS, 3, TextShape(6, WORDS), True, True)


@pytest.fixture(scope="module")
def fabric() -> Fabric:
    return fabric_for("cpu", "32-true")


def stage_of(
    fabric: Fabric, sizes: JointSizes = SIZES, diffusion: dict[str, Any] | None = None, **training: Any
) -> CoSynStage:
    torch.manual_seed(1)
    stage = CoSynStage(
        "joint", SMALL, DiffusionSettings(**(diffusion or {})), CoSynTraining(batch=4, **training), sizes
    )
    stage.setup(fabric)
    return stage


def batch_of(label: np.ndarray | None = None) -> JointBatch:
    generator = np.random.default_rng(2)
    labels = generator.integers(0, LABELS, (4, 16, 16)) if label is None else label
    return JointBatch(
        generator.uniform(-1, 1, (4, 3, 16, 16)).astype(np.float32),
        generator.uniform(-1, 1, (4, 1, 16, 16)).astype(np.float32),
        labels.astype(np.uint8),
        generator.integers(0, LABELS + 1, (4, 16, 16)).astype(np.uint8),
        generator.uniform(0, 2, (4, 3)).astype(np.float32),
        torch.randn(4, WORDS, 6),
        torch.ones(4, WORDS, dtype=torch.bool),
    )


@pytest.mark.parametrize("kind", ["bound", "entropy"])
def test_nuclei_of_unknown_type_are_not_in_the_label_s_loss(fabric: Fabric, kind: str) -> None:
    stage = stage_of(fabric, label_loss=kind)
    known = stage.step(fabric, batch_of(), Moment())["label"]
    unknown = stage.step(fabric, batch_of(np.full((4, 16, 16), UNKNOWN)), Moment())["label"]
    assert known > 0
    assert unknown == 0


def test_the_state_of_unknown_nuclei_is_drawn_evenly(fabric: Fabric, monkeypatch: pytest.MonkeyPatch) -> None:
    stage, seen = stage_of(fabric), []
    honest = stage.wrapped

    def spy(state: State, t: Tensor, given: Given) -> State:
        seen.append(state["label"])
        return honest(state, t, given)  # type: ignore[no-any-return]

    monkeypatch.setattr(stage, "wrapped", spy)
    for step in range(6):
        torch.manual_seed(step)
        stage.step(fabric, batch_of(np.full((4, 16, 16), UNKNOWN)), Moment())
    share = torch.stack(seen).flatten().bincount(minlength=LABELS) / (6 * 4 * 256)
    torch.testing.assert_close(share, torch.full((LABELS,), 1 / LABELS), rtol=0, atol=0.02)


@pytest.mark.parametrize("optimiser", ["muon", "adam"])
def test_it_learns(fabric: Fabric, optimiser: str) -> None:
    """All losses fall on one batch that is seen again and again."""
    stage, label = stage_of(fabric, optimiser=optimiser, warmup=1, decay=0), np.zeros((4, 16, 16))
    label[:, 4:12, 4:12] = 1
    plain = np.full((4, 1, 16, 16), 0.8, np.float32)
    batch = batch_of(label)._replace(image=plain.repeat(3, axis=1), distance=-plain)
    losses = []
    for step in range(24):
        torch.manual_seed(step)
        losses.append({name: float(loss.detach()) for name, loss in stage.step(fabric, batch, Moment(step)).items()})
    for name in losses[0]:
        assert np.mean([loss[name] for loss in losses[-8:]]) < 0.85 * np.mean([loss[name] for loss in losses[:8]]), name


def test_p2_weighs_late_clocks_down(fabric: Fabric, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every loss is (1 + SNR)^-p2 times what it is without."""
    stages = [stage_of(fabric, p2=p2) for p2 in (0.0, 0.5)]
    chain = stages[0].diffusion.chain
    monkeypatch.setattr(type(chain), "draw_clocks", lambda _, batch: torch.full((batch,), 400.0))
    found = []
    for stage in stages:
        torch.manual_seed(0)
        found.append(stage.step(fabric, batch_of(), Moment()))
    snr = chain.log_snr(torch.tensor(400.0)).exp()
    for name, loss in found[0].items():
        torch.testing.assert_close(found[1][name], (1 + snr) ** -0.5 * loss)


@pytest.mark.parametrize("name", ["points", "text", "counts"])
def test_conditions_are_dropped_each_by_itself(fabric: Fabric, name: str) -> None:
    dropped = {f"drop_{other}": float(other == name) for other in ("points", "text", "counts")}
    stage = stage_of(fabric, **dropped)
    assert stage.net.points is not None
    given = stage._condition(torch.device("cpu"), batch_of())
    assert given.points is not None
    assert given.told is not None
    assert given.amounts is not None
    absent = {
        "points": bool((given.points == stage.net.points.absent).all()),
        "text": not given.told.any(),
        "counts": not given.amounts.any(),
    }
    assert absent == {other: other == name for other in absent}
    assert without(stage.net, given, ("points", "text", "counts")).amounts is not None


class Oracle(nn.Module):
    """Knows one tile where it is told the text, and another where it is not; counts what it is asked."""

    def __init__(self, told: State, null: State) -> None:
        super().__init__()
        self.groups, self.labels, self.told, self.null = {"image": 3, "distance": 1}, LABELS, told, null
        self.points, self.batches = None, []

    def encode(self, given: Given, points: Tensor | None = None) -> Features:
        assert given.told is not None
        return Features(None, torch.zeros(len(given.told), 0, 4), given.told.float()[:, None])

    def forward(self, state: State, t: Tensor, features: Features) -> State:
        self.batches.append(len(t))
        assert len(set(t.tolist())) == 1, "one clock for all"
        told = features.embedding.view(-1, 1, 1, 1) > 0
        rows = torch.arange(len(t)) % 2
        return {name: torch.where(told, part[rows], self.null[name][rows]) for name, part in self.told.items()}


class Drawn:
    """Noise of a seed."""

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def normal(self, name: str, step: int) -> Tensor:
        generator = torch.Generator().manual_seed(self.seed + 100 * step + len(name))
        return torch.randn(2, {"image": 3, "distance": 1}[name], 8, 8, generator=generator)

    def uniform(self, name: str, step: int) -> Tensor:
        return torch.rand(2, 8, 8, generator=torch.Generator().manual_seed(self.seed + 100 * step + len(name)))


def tile(seed: int) -> State:
    generator = torch.Generator().manual_seed(seed)
    label = torch.randint(LABELS, (2, 8, 8), generator=generator)
    return {
        "image": 0.4 * torch.rand(2, 3, 8, 8, generator=generator),
        "distance": 0.4 * torch.rand(2, 1, 8, 8, generator=generator),
        "label": 5.0 * nn.functional.one_hot(label, LABELS).permute(0, 3, 1, 2),
    }


TOLD = Given(told=torch.ones(2, dtype=torch.bool))


@pytest.mark.parametrize("sampler", ["ddim", "dpm_solver", "heun", "ancestral"])
def test_a_state_is_made_from_noise(fabric: Fabric, sampler: str) -> None:
    told, null = tile(1), tile(2)
    net, sampling = Oracle(told, null), SamplingSettings(sampler=sampler, steps=6, guidance=1)  # type: ignore[arg-type]
    found = synthesise(fabric, net, TOLD, Drawn(), DiffusionSettings(), sampling)  # type: ignore[arg-type]
    for name in ("image", "distance"):
        torch.testing.assert_close(found[name], told[name], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found["label"], told["label"].argmax(1))
    assert net.batches == [2] * (11 if sampler == "heun" else 6)


def test_guidance_goes_from_the_null_state_through_the_told_one_in_one_batch(fabric: Fabric) -> None:
    told, null = tile(1), tile(2)
    null["label"] = told["label"].roll(1, 1)
    net, sampling = Oracle(told, null), SamplingSettings(steps=5, guidance=2)
    found = synthesise(fabric, net, TOLD, Drawn(), DiffusionSettings(), sampling)  # type: ignore[arg-type]
    for name in ("image", "distance"):
        torch.testing.assert_close(found[name], 2 * told[name] - null[name], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found["label"], told["label"].argmax(1))
    assert net.batches == [4] * 5


def test_values_out_of_range_are_thresholded(fabric: Fabric) -> None:
    told = tile(1)
    told["image"] = 10 * told["image"]
    sampling = SamplingSettings(steps=5, guidance=1, threshold=0.95)
    found = synthesise(fabric, Oracle(told, told), TOLD, Drawn(), DiffusionSettings(), sampling)  # type: ignore[arg-type]
    assert found["image"].abs().max() < 1 + 1e-5
    torch.testing.assert_close(found["distance"], told["distance"], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("posterior", ["exact", "plugin"])
def test_the_label_moves_by_the_posterior_of_the_settings(posterior: str) -> None:
    process = DiffusionSettings(posterior=posterior).label(LABELS)  # type: ignore[arg-type]
    ids, log_p = torch.randint(LABELS, (2, 4, 4)), torch.randn(2, LABELS, 4, 4).log_softmax(1)
    t, s = torch.tensor([20.0, 700.0]), torch.tensor([10.0, 400.0])
    both = {form: Categorical(process.signal, LABELS, form).posterior(ids, log_p, t, s) for form in get_args(Form)}
    assert not torch.allclose(both["exact"], both["plugin"])
    torch.testing.assert_close(process.posterior(ids, log_p, t, s), both[posterior])


def test_guidance_by_text_encodes_the_points_once(fabric: Fabric, monkeypatch: pytest.MonkeyPatch) -> None:
    stage, calls = stage_of(fabric), []
    assert stage.net.points is not None
    honest = stage.net.points.forward
    monkeypatch.setattr(stage.net.points, "forward", lambda ids: calls.append(len(ids)) or honest(ids))
    given = condition(
        stage.net,
        points=(torch.zeros(2, 8, 8), torch.ones(2, dtype=torch.bool)),
        text=(torch.randn(2, WORDS, 6), torch.ones(2, WORDS, dtype=torch.bool), torch.ones(2, dtype=torch.bool)),
        amounts=(torch.rand(2, 3), torch.zeros(2, dtype=torch.bool)),
    )
    for guided_by, expected in (("text",), [2]), (("text", "points"), [2, 2]):
        calls.clear()
        sampling = SamplingSettings(steps=2, guidance=2, guided_by=guided_by)  # type: ignore[arg-type]
        synthesise(fabric, stage.net, given, Drawn(), DiffusionSettings(), sampling)
        assert calls == expected
