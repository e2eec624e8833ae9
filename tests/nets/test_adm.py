"""ADM's U-Net and its SPADE form: the published sizes and costs, and what the cache of a condition promises."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn import functional

from nucleosynth.nets.adm import ADM, BASE, PAPER, TINY, ADMBlock, ADMSettings, Modulation
from nucleosynth.nets.blocks import matrices
from nucleosynth.nets.count import gflop, parameters
from nucleosynth.nets.spade import Modulator, SpadeADM, joined
from nucleosynth.stages.denoising import PUBLISHED
from nucleosynth.stages.mask_to_image import MaskToImageSettings, MaskToImageStage
from nucleosynth.stages.structure import StructureSampling, StructureSettings, StructureStage
from nucleosynth.training.device import fabric_for

SMALL = ADMSettings(
    width=16, multipliers=(1, 2), attention=(False, True), head_channels=16, groups=8, patch=2, modulation=8, blocks=1
)


def lively(net: Any) -> Any:
    """The same network with no weight at zero, so that every part shows."""
    for weight in matrices(net):
        nn.init.normal_(weight, std=0.2)
    return net.eval()


def asked(batch: int = 2, side: int = 16) -> tuple[Tensor, Tensor, Tensor]:
    """An image, its clocks, its condition."""
    torch.manual_seed(3)
    return torch.randn(batch, 3, side, side), torch.randint(1, 1000, (batch,)).float(), torch.rand(batch, 5, side, side)


def test_the_published_structure_network() -> None:
    with torch.device("meta"):
        net, x, t = ADM(PAPER, 3, 6), torch.empty(1, 3, 256, 256), torch.empty(1)
    assert parameters(net) == pytest.approx(552.8e6, rel=0.001)
    assert gflop(lambda: net(x, t)) == pytest.approx(2240, rel=0.001)


@pytest.mark.parametrize(("channels", "millions", "cost"), [(3, 652.1, 3418), (6, 652.3, 3423), (151, 660.6, 3634)])
def test_the_published_image_networks(channels: int, millions: float, cost: float) -> None:
    with torch.device("meta"):
        net, x, t = SpadeADM(PAPER, 3, 6, channels), torch.empty(1, 3, 256, 256), torch.empty(1)
        condition = torch.empty(1, channels, 256, 256)
        modulations = net.encode(condition)
    assert parameters(net) == pytest.approx(millions * 1e6, rel=0.001)
    assert gflop(lambda: net(x, t, condition)) == pytest.approx(cost, rel=0.001)
    assert gflop(lambda: net(x, t, modulations)) == pytest.approx(2240, rel=0.001)
    assert len(modulations) == 50


def test_modulations_are_computed_once() -> None:
    net, (x, t, condition) = lively(SpadeADM(SMALL, 3, 3, 5)), asked()
    with torch.no_grad():
        modulations = net.encode(condition)
        torch.testing.assert_close(net(x, t, modulations), net(x, t, condition))
        torch.testing.assert_close(net(x, t + 300, modulations), net(x, t + 300, condition))
        assert not torch.allclose(net(x, t, net.encode(condition.flip(0))), net(x, t, condition))
    assert [len(part.scale[0]) for part in modulations] == [width for width, _ in net.unet.modulated()]


def test_one_sample_s_modulations_stand_for_all_that_are_left() -> None:
    net, (x, t, condition) = lively(SpadeADM(SMALL, 3, 3, 5)), asked()
    null = torch.zeros(1, 5, 16, 16)
    with torch.no_grad():
        both = joined(net.encode(condition), net.encode(null))
        assert len(both[0].scale) == 3
        found = net(torch.cat([x, x]), torch.cat([t, t]), both)
        expected = torch.cat([net(x, t, condition), net(x, t, null.expand(2, -1, -1, -1))])
    torch.testing.assert_close(found, expected)


def test_a_modulator_is_the_formula() -> None:
    modulator, condition = lively(Modulator(2, 4, 6)), torch.randn(1, 2, 8, 8)
    seen, out = (
        layer.weight.view(layer.shape).permute(0, 3, 1, 2).detach() for layer in (modulator.seen, modulator.out)
    )
    nn.init.uniform_(modulator.out.bias)  # type: ignore[arg-type]
    both = functional.conv2d(functional.conv2d(condition, seen, padding=1).relu(), out, modulator.out.bias, padding=1)
    found = modulator(condition)
    torch.testing.assert_close(found.scale, 1 + both[:, :6])
    torch.testing.assert_close(found.shift, both[:, 6:])


def test_a_block_is_the_formula() -> None:
    block = lively(ADMBlock(SMALL, 16, 24, "halve", affine=False))
    x, clock = torch.randn(2, 16, 8, 8), torch.randn(2, 64)
    first = Modulation(torch.randn(2, 16, 8, 8), torch.randn(2, 16, 8, 8))
    second = Modulation(torch.randn(2, 24, 4, 4), torch.randn(2, 24, 4, 4))
    hidden = functional.silu(functional.group_norm(x, 8) * first.scale + first.shift)
    hidden = block.conv1(functional.avg_pool2d(hidden, 2))
    scale, shift = block.clock(clock)[..., None, None].chunk(2, dim=1)
    hidden = (functional.group_norm(hidden, 8) * second.scale + second.shift) * (1 + scale) + shift
    expected = block.skip(functional.avg_pool2d(x, 2)) + block.conv2(functional.silu(hidden))
    torch.testing.assert_close(block(x, clock, (first, second)), expected)


def test_a_condition_is_seen_at_its_nearest_pixels() -> None:
    net, condition = SpadeADM(SMALL.model_copy(update={"patch": 1}), 3, 3, 5), torch.rand(1, 5, 16, 16)
    coarse = functional.interpolate(condition, scale_factor=0.5, mode="nearest")
    expected = net.modulators[0](coarse)
    torch.testing.assert_close(net.encode(condition)[0], expected)


def test_a_new_network_says_nothing_and_its_blocks_pass_on() -> None:
    x, t, condition = asked()
    assert not SpadeADM(SMALL, 3, 6, 5)(x, t, condition).any()
    block, hidden = ADMBlock(SMALL, 16, 16), torch.randn(1, 16, 8, 8)
    torch.testing.assert_close(block(hidden, torch.randn(1, 64)), hidden)


@pytest.mark.parametrize("change", ["x", "t", "condition"])
def test_whatever_goes_in_is_heard(change: str) -> None:
    net, (x, t, condition) = lively(SpadeADM(SMALL, 3, 3, 5)), asked()
    others = {"x": (x.flip(0), t, condition), "t": (x, t + 1, condition), "condition": (x, t, condition.flip(0))}
    with torch.no_grad():
        assert not torch.allclose(net(x, t, condition), net(*others[change]), rtol=1e-3, atol=1e-4)


def test_the_clock_is_coded_from_zero() -> None:
    net, seen = ADM(SMALL, 3, 3), []
    net.clock.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    net(*asked()[:1], torch.tensor([1.0, 2.0]))
    torch.testing.assert_close(seen[0][0], torch.tensor([1.0] * 8 + [0.0] * 8))
    torch.testing.assert_close(seen[0][1, [0, 8]], torch.tensor([math.cos(1), math.sin(1)]))


def test_any_multiple_of_its_stride_goes_in() -> None:
    net = SpadeADM(SMALL, 3, 6, 5)
    assert SMALL.stride == 4
    assert net(torch.randn(1, 3, 20, 12), torch.ones(1), torch.rand(1, 5, 20, 12)).shape == (1, 6, 20, 12)


def test_muon_s_matrices_are_all_but_what_goes_in_and_out() -> None:
    net = SpadeADM(SMALL, 3, 6, 5)
    ends = {id(net.unet.stem.weight), id(net.unet.head.weight), *(id(part.seen.weight) for part in net.modulators)}
    assert {id(weight) for weight in net.hidden()} == {id(weight) for weight in matrices(net)} - ends


@pytest.mark.parametrize(
    ("changes", "words"), [({"attention": (True,)}, "each of the 2 levels"), ({"head_channels": 48}, "whole heads")]
)
def test_sizes_that_do_not_fit_are_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        ADMSettings.model_validate({**SMALL.model_dump(), **changes})


@pytest.mark.parametrize("settings", [BASE, TINY])
def test_presets_fit_their_tiles(settings: ADMSettings) -> None:
    assert 64 % settings.stride == 0


def gradients(net: nn.Module, call: Callable[[], Tensor]) -> None:
    call().backward()  # type: ignore[no-untyped-call]
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_gradients_reach_every_parameter(precision: torch.dtype) -> None:
    net, (x, t, condition) = lively(SpadeADM(SMALL, 3, 6, 5)).to(memory_format=torch.channels_last), asked()
    with torch.autocast("cpu", precision, enabled=precision != torch.float32):
        gradients(net, lambda: net(x, t, condition).float().square().mean())
    assert all(parameter.grad.any() for parameter in net.parameters())  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", ["structure", "image"])
@pytest.mark.parametrize(("network", "side"), [(SMALL, 16), pytest.param(PAPER, 64, marks=pytest.mark.slow)])
def test_the_published_loss_reaches_every_parameter(kind: str, network: ADMSettings, side: int) -> None:
    x, given = torch.rand(2, 3, side, side) * 2 - 1, torch.rand(2, 4, side, side)
    stage: StructureStage | MaskToImageStage
    torch.manual_seed(3)
    if kind == "structure":
        sampling = StructureSampling(history=0)
        stage = StructureStage(kind, StructureSettings(network=network, denoising=PUBLISHED, sampling=sampling), 3)
        rest: tuple[Any, ...] = (torch.ones_like(x),)
    else:
        stage = MaskToImageStage(kind, MaskToImageSettings(network=network, denoising=PUBLISHED), 4)
        rest = given, 0.5
    stage.setup(fabric_for("cpu", "32-true"))
    for weight in stage.net.parameters():
        if not weight.any():
            nn.init.normal_(weight, std=0.02)  # new heads and branches pass nothing back
    gradients(stage.net, lambda: stage._loss(x, *rest))
    assert [name for name, part in stage.net.named_parameters() if not part.grad.any()] == []  # type: ignore[union-attr]
