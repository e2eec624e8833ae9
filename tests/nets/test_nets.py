"""Networks: equal to plain formulas where there are some, and what they promise elsewhere."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from nucleosynth.nets import blocks
from nucleosynth.nets.blocks import Conv2d, ResidualBlock, SelfAttention, matrices
from nucleosynth.nets.conditioning import ConditionShape, Given
from nucleosynth.nets.count import gflop, parameters
from nucleosynth.nets.joint import JointNet
from nucleosynth.nets.text import TextShape
from nucleosynth.nets.unet import UNet, UNetSettings

SMALL = UNetSettings(widths=(16, 32), blocks=(1, 2), attention=(False, True), embedding=32)
STATE = {"image": 3, "label": 4}


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


def joint(ends: bool = False) -> nn.Module:
    """A network over a small state, told two maps, three numbers and tokens of five channels."""
    return lively(JointNet(SMALL, STATE, ConditionShape(2, 3, 2, TextShape(5, 6)), ends))


def drawn_state(side: int = 16) -> dict[str, torch.Tensor]:
    return {name: torch.randn(2, width, side, side) for name, width in STATE.items()}


def everything(side: int = 16) -> Given:
    """A condition that tells all there is."""
    return Given(
        maps=torch.rand(2, 2, side, side),
        amounts=torch.rand(2, 3),
        known=torch.zeros(2, 2, side, side),
        text=torch.randn(2, 6, 5),
        mask=torch.arange(6) < torch.tensor([[3], [6]]),
        reference=torch.randn(2, 3, 8, 8),
        told=torch.ones(2, 2),
    )


def test_features_of_the_condition_are_computed_once() -> None:
    net, state, t, given = joint(), drawn_state(), torch.rand(2, 2), everything()
    changes = {
        **{name: 0 * getattr(given, name) for name in ("maps", "amounts", "text", "reference")},
        "mask": given.mask.roll(1, 1),
    }
    silenced = [given.told * torch.tensor([side, 1 - side]) for side in (0.0, 1.0)]
    with torch.no_grad():
        plain, cached = net(state, t, given), net(state, t, net.encode(given))
        others = [net(state, t, given._replace(**{name: value})) for name, value in changes.items()]
        others += [net(state, t, given._replace(told=told)) for told in silenced]
    for name in state:
        torch.testing.assert_close(cached[name], plain[name])
        assert not any(torch.allclose(other[name], plain[name]) for other in others)


def test_what_is_not_told_is_not_heard() -> None:
    """Of a caption or a reference that is not given nothing gets through, nor of tokens behind the mask."""
    net, state, t = joint(), drawn_state(), torch.rand(2, 2)
    given = everything()._replace(told=torch.zeros(2, 2))
    behind = everything()
    padded = torch.where(behind.mask[..., None], behind.text, 7.0)
    with torch.no_grad():
        first = net(state, t, given)
        again = net(state, t, given._replace(text=given.text + 1, reference=given.reference - 1))
        masked = [net(state, t, behind._replace(text=text)) for text in (behind.text, padded)]
    for name in state:
        torch.testing.assert_close(again[name], first[name])
        torch.testing.assert_close(masked[0][name], masked[1][name])


def test_a_known_side_passes_untouched() -> None:
    net, state = joint(), drawn_state()
    t = torch.tensor([[1.0, 0.5], [0.5, 0.5]])
    with torch.no_grad():
        found = net(state, t, everything())
    torch.testing.assert_close(found["image"][0], state["image"][0], rtol=0, atol=0)
    assert not torch.allclose(found["image"][1], state["image"][1])
    assert not torch.allclose(found["label"][0], state["label"][0])


def test_known_pixels_pass_untouched_and_are_at_clock_one() -> None:
    """All pixels of a side known one by one is the side known as a whole, but for what the clocks' vector says."""
    net, state, given = joint(), drawn_state(), everything()
    known = given.known.clone()
    known[0, 0, :, :5] = 1
    with torch.no_grad():
        found = net(state, torch.full((2, 2), 0.5), given._replace(known=known))
        free = net(state, torch.full((2, 2), 0.5), given)
    torch.testing.assert_close(found["image"][0, :, :, :5], state["image"][0, :, :, :5], rtol=0, atol=0)
    assert not torch.allclose(found["image"][0, :, :, 5:], state["image"][0, :, :, 5:])
    assert not torch.allclose(found["label"][0], free["label"][0])
    torch.testing.assert_close(found["label"][1], free["label"][1])


def test_each_clock_is_heard() -> None:
    net, state, given = joint(), drawn_state(), everything()
    with torch.no_grad():
        features = net.encode(given)  # type: ignore[operator]
        first, *others = (net(state, torch.tensor([t, t]), features) for t in ([0.3, 0.3], [0.3, 0.6], [0.6, 0.3]))
    for other in others:
        assert not torch.allclose(other["image"], first["image"])


def test_a_student_begins_as_its_teacher_and_hears_where_a_step_ends() -> None:
    student, state, t, given = joint(ends=True), drawn_state(), torch.rand(2, 2), everything()
    with torch.no_grad():
        plain = student(state, t, given)
        told = [student(state, t, given, torch.full((2, 2), end)) for end in (0.5, 1.0)]
        for name in state:
            torch.testing.assert_close(told[0][name], plain[name])
        nn.init.normal_(student.ends.layers[-1].weight)  # type: ignore[union-attr,index]
        heard = [student(state, t, given, torch.full((2, 2), end)) for end in (0.5, 1.0)]
    assert not torch.allclose(heard[0]["image"], heard[1]["image"])


def test_any_multiple_of_its_stride_goes_in() -> None:
    net = UNet(SMALL, 3, 2)
    assert net.stride == 4
    assert net(torch.randn(1, 3, 20, 12), torch.zeros(1, 16, 10, 6), torch.rand(1, 32)).shape == (1, 2, 20, 12)


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
