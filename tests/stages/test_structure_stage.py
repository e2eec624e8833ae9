"""Making structures from nothing: what is learned, what is masked, what is sampled, what it costs."""

from typing import Any

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from pydantic import ValidationError
from torch import Tensor, nn

from made_runs import FixedNoise
from nucleosynth.nets.adm import PAPER, ADMSettings
from nucleosynth.nets.blocks import matrices
from nucleosynth.stages.denoising import PUBLISHED, Denoising
from nucleosynth.stages.structure import (
    StructureSampling,
    StructureSettings,
    StructureStage,
    build,
    cost,
    draw,
)
from nucleosynth.stages.training import TrainingSettings
from nucleosynth.training.checkpoint import Moment
from nucleosynth.training.device import fabric_for

NETWORK = ADMSettings(
    width=16, multipliers=(1, 2), attention=(False, False), head_channels=16, groups=8, patch=2, blocks=1
)
SETTINGS = StructureSettings(network=NETWORK, sampling=StructureSampling(steps=6, history=0))


@pytest.fixture(scope="module")
def fabric() -> Fabric:
    return fabric_for("cpu", "32-true")


def changed(**changes: Any) -> StructureSettings:
    return SETTINGS.model_copy(update=changes)


def lively(settings: StructureSettings) -> Any:
    torch.manual_seed(2)
    net = build(settings, 3)
    for weight in matrices(net):
        nn.init.normal_(weight, std=0.1)
    return net.eval()


def test_a_learned_structure_is_drawn(fabric: Fabric) -> None:
    structure = np.full((8, 3, 16, 16), -1, np.float32)
    structure[:, 0, 4:12, 4:12] = 1
    structure[:, 1, 4:12] = np.linspace(-1, 1, 16)
    torch.manual_seed(0)
    settings = changed(training=TrainingSettings(batch=8, warmup=1, ema=0.9, learning_rate=5e-3))
    stage = StructureStage("structure", settings, 3)
    stage.setup(fabric)
    batch = structure, np.ones_like(structure)
    losses = [stage.step(fabric, batch, Moment(step, 0.0, step / 50))["structure"] for step in range(50)]
    assert losses[-1] < 0.1 * losses[0]
    found = draw(fabric, stage.averaged_net.eval(), FixedNoise((1, 2)), settings)
    assert (found - torch.from_numpy(structure[:2])).abs().mean() < 0.1


def test_the_stage_masks_what_is_unknown(fabric: Fabric) -> None:
    def trained(fill: float, known: float) -> Tensor:
        structure, mask = np.zeros((4, 3, 16, 16), np.float32), np.ones((4, 3, 16, 16), np.float32)
        structure[:, 1], mask[:, 1] = fill, known
        torch.manual_seed(3)
        stage = StructureStage("structure", SETTINGS, 3)
        stage.setup(fabric)
        return stage.step(fabric, (structure, mask), Moment())["structure"]

    assert trained(0.9, 1.0) > 1.5 * trained(0.9, 0.0)


@pytest.mark.parametrize("sampler", ["ancestral", "ddim", "dpm_solver", "heun"])
@pytest.mark.parametrize("denoising", [Denoising(), PUBLISHED])
def test_structures_are_within_range_and_depend_on_their_own_noise_alone(
    fabric: Fabric, sampler: Any, denoising: Denoising
) -> None:
    settings = changed(denoising=denoising, sampling=StructureSampling(sampler=sampler, steps=4, history=0))
    net = lively(settings)
    noise = FixedNoise((5, 6))
    pair = draw(fabric, net, noise, settings)
    assert pair.shape == (2, 3, 16, 16)
    assert 0.1 < pair.abs().max() <= 1
    assert (noise.asked > 1) == (sampler == "ancestral")
    torch.testing.assert_close(draw(fabric, net, FixedNoise((6,)), settings)[0], pair[1], rtol=1e-3, atol=1e-3)
    assert (pair[0] - pair[1]).abs().max() > 0.1


def test_history_points_away_from_the_last_prediction(fabric: Fabric) -> None:
    net, steps = lively(SETTINGS), 3

    def drawn(history: float) -> Tensor:
        sampling = StructureSampling(sampler="ddim", steps=steps, history=history)
        return draw(fabric, net, FixedNoise((5,)), changed(sampling=sampling))

    without, little, more = drawn(0), drawn(0.01), drawn(0.5)
    torch.testing.assert_close(without, little, atol=0.05, rtol=0)
    assert (more - without).abs().mean() > 0.02
    with pytest.raises(ValidationError, match="variance is learned"):
        StructureSettings(network=NETWORK, denoising=PUBLISHED, sampling=StructureSampling(history=0.5))


def test_the_published_network_is_counted() -> None:
    found = cost(
        StructureSettings(network=PAPER, denoising=PUBLISHED, sampling=StructureSampling(steps=50, history=0)),
        3,
        256,
        "structure",
    )
    assert found.parameters == pytest.approx(552.8e6, rel=0.03)
    assert found.gflop_per_evaluation == pytest.approx(2240, rel=0.03)
    assert (found.gflop_once, found.evaluations) == (0, 50)
