"""Networks: equal to plain formulas where there are some, and what they promise elsewhere."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from nucleosynth.nets import blocks
from nucleosynth.nets.blocks import Conv2d, ResidualBlock, SelfAttention, matrices
from nucleosynth.nets.count import gflop, parameters
from nucleosynth.nets.joint import JointNet
from nucleosynth.nets.unet import Given, UNet, UNetSettings

SMALL = UNetSettings(widths=(16, 32), blocks=(1, 2), attention=(False, True), embedding=32)


@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (3, 1), (3, 2)])
def test_a_convolution_equals_torch_s(kernel: int, stride: int) -> None:
    ours, plain = Conv2d(3, 5, kernel, stride), nn.Conv2d(3, 5, kernel, stride, kernel // 2)
    with torch.no_grad():
        plain.weight.copy_(ours.weight.view(5, kernel, kernel, 3).permute(0, 3, 1, 2))
        ours.bias.uniform_()  # type: ignore[union-attr]
        plain.bias.copy_(ours.bias)  # type: ignore[union-attr,arg-type]
    x = torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(ours(x), plain(x))


def test_new_blocks_are_the_identity() -> None:
    x, clocks = torch.randn(2, 32, 4, 4), torch.randn(2, 8)
    torch.testing.assert_close(ResidualBlock(32, 32, 8)(x, clocks), x)
    torch.testing.assert_close(SelfAttention(32)(x), x)


@pytest.mark.parametrize("few", [0, 12])
def test_attention_equals_the_formula(few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "FEW_PIXELS", few)
    layer = SelfAttention(32, head=16)
    nn.init.normal_(layer.out.weight)
    x = torch.randn(2, 32, 3, 4)
    q, k, v = layer.qkv(layer.norm(x)).reshape(2, 3, 2, 16, 12).unbind(1)
    weight = torch.softmax(torch.einsum("b n c i, b n c j -> b n i j", q, k) / 4, dim=-1)
    seen = torch.einsum("b n i j, b n c j -> b n c i", weight, v).reshape(2, 32, 3, 4)
    torch.testing.assert_close(layer(x), x + layer.out(seen))


def lively(net: nn.Module) -> nn.Module:
    """The same network with no weight at zero, so that every part shows."""
    for weight in matrices(net):
        nn.init.normal_(weight, std=0.1)
    return net.eval()


def test_features_of_the_condition_are_computed_once() -> None:
    net = lively(JointNet(SMALL, {"image": 3, "label": 4}, 2, 3))
    state = {"image": torch.randn(2, 3, 16, 16), "label": torch.randn(2, 4, 16, 16)}
    t, given = torch.rand(2, 2), Given(torch.rand(2, 2, 16, 16), torch.rand(2, 3))
    with torch.no_grad():
        plain = net(state, t, given)
        cached = net(state, t, net.encode(given))
        others = [net(state, t, given._replace(**{name: 0 * getattr(given, name)})) for name in given._fields]
    for name in state:
        torch.testing.assert_close(cached[name], plain[name])
        assert not any(torch.allclose(other[name], plain[name]) for other in others)


def test_a_known_side_passes_untouched() -> None:
    net = lively(JointNet(SMALL, {"image": 3, "label": 4}, 2, 3))
    state = {"image": torch.randn(2, 3, 16, 16), "label": torch.randn(2, 4, 16, 16)}
    t = torch.tensor([[1.0, 0.5], [0.5, 0.5]])
    with torch.no_grad():
        found = net(state, t, Given(torch.zeros(2, 2, 16, 16), torch.zeros(2, 3)))
    torch.testing.assert_close(found["image"][0], state["image"][0], rtol=0, atol=0)
    assert not torch.allclose(found["image"][1], state["image"][1])
    assert not torch.allclose(found["label"][0], state["label"][0])


def test_each_clock_is_heard() -> None:
    net = lively(UNet(SMALL, 3, 1, 1, 3, 2))
    x, features = torch.randn(1, 3, 16, 16), net.encode(Given(torch.zeros(1, 1, 16, 16), torch.zeros(1, 1)))
    with torch.no_grad():
        first = net(x, torch.tensor([[0.3, 0.3]]), features)
        assert not torch.allclose(net(x, torch.tensor([[0.3, 0.6]]), features), first)
        assert not torch.allclose(net(x, torch.tensor([[0.6, 0.3]]), features), first)


def test_any_multiple_of_its_stride_goes_in() -> None:
    net = UNet(SMALL, 3, 1, 1, 2, 2)
    assert net.stride == 4
    features = net.encode(Given(torch.rand(1, 1, 20, 12), torch.rand(1, 1)))
    assert net(torch.randn(1, 3, 20, 12), torch.rand(1, 2), features).shape == (1, 2, 20, 12)


def test_counting() -> None:
    with torch.device("meta"):
        layer, x = nn.Conv2d(3, 8, 3, padding=1), torch.empty(1, 3, 10, 10)
    assert gflop(lambda: layer(x)) == pytest.approx(2 * 9 * 3 * 8 * 100 / 1e9)
    assert parameters(layer) == 8 * 3 * 9 + 8


def test_silu_is_what_the_blocks_use() -> None:
    block = ResidualBlock(16, 16, 4)
    nn.init.normal_(block.conv2.weight)
    x, clocks = torch.randn(1, 16, 4, 4), torch.randn(1, 4)
    scale, shift = block.modulation(clocks)[..., None, None].chunk(2, dim=1)
    hidden = block.norm2(block.conv1(functional.silu(block.norm1(x)))) * (1 + scale) + shift
    torch.testing.assert_close(block(x, clocks), x + block.conv2(functional.silu(hidden)))
