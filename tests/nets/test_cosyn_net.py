"""CoSyn's network: its published size, what is computed once, and that each condition is heard."""

import numpy as np
import pytest
import torch
from torch import nn

from nucleosynth.methods.cosyn import PRESETS, CoSyn
from nucleosynth.nets.attention import Perceiver, SelfAttention, attended
from nucleosynth.nets.cosyn import CoSynNet, CoSynNetSettings, Given
from nucleosynth.nets.points import PointEncoder, PointsSettings
from nucleosynth.nets.text import TextShape
from nucleosynth.stages.cosyn import CoSynStage, JointBatch, JointSizes
from nucleosynth.training.device import fabric_for

SMALL = CoSynNetSettings(
    width=16,
    multipliers=(1, 2),
    blocks=(0, 1),
    attention=(False, True),
    heads=2,
    head_channels=8,
    context=16,
    stem=16,
    latents=3,
    kernels=(1, 3),
    points=PointsSettings(width=8, blocks=1, growth=4),
)
LABELS, WORDS, AMOUNTS = 4, 5, 3


def lively(net: nn.Module) -> nn.Module:
    """The same network with no weight at zero, so that every part shows."""
    for weight in net.parameters():
        if weight.ndim > 1:
            nn.init.normal_(weight, std=0.2)
    return net.eval()


def network(**parts: object) -> CoSynNet:
    torch.manual_seed(3)
    net = CoSynNet(SMALL, LABELS, text=TextShape(6, WORDS), amounts=AMOUNTS, **parts)  # type: ignore[arg-type]
    lively(net)
    return net


def state_of(batch: int = 2, side: int = 16) -> dict[str, torch.Tensor]:
    return {
        "image": torch.randn(batch, 3, side, side),
        "distance": torch.randn(batch, 1, side, side),
        "label": torch.randint(LABELS, (batch, side, side)),
    }


def given_of(batch: int = 2, side: int = 16) -> Given:
    return Given(
        torch.randint(LABELS, (batch, side, side)),
        torch.randn(batch, WORDS, 6),
        torch.arange(WORDS).expand(batch, -1) < 3,
        torch.ones(batch, dtype=torch.bool),
        torch.rand(batch, AMOUNTS),
    )


def test_it_is_as_large_as_published() -> None:
    (cost,) = CoSyn.cost(PRESETS["paper"], 256, 6)
    assert cost.parameters == pytest.approx(700.3e6, rel=0.03)
    assert cost.gflop_per_evaluation == pytest.approx(1276, rel=0.03)
    assert cost.gflop_cached == pytest.approx(970, rel=0.03)
    assert cost.gflop_once / cost.gflop_per_evaluation == pytest.approx(0.24, abs=0.01)
    assert cost.gflop < 0.12e6


@torch.no_grad()
def test_features_of_the_condition_are_computed_once() -> None:
    net, state, t, given = network(), state_of(), torch.tensor([3.0, 900.0]), given_of()
    plain, features = net(state, t, given), net.encode(given)
    cached = net(state, t, features)
    shared = net(state, t, net.encode(given._replace(points=None), features.points))
    for name in state:
        torch.testing.assert_close(cached[name], plain[name], rtol=0, atol=0)
        torch.testing.assert_close(shared[name], plain[name], rtol=0, atol=0)


@torch.no_grad()
def test_every_part_of_state_clock_and_condition_is_heard() -> None:
    net, state, t, given = network(), state_of(), torch.tensor([500.0, 500.0]), given_of()
    plain = net(state, t, given)

    def differs(*arguments: object) -> bool:
        found = net(*arguments)
        return all(not torch.allclose(found[name], plain[name], atol=1e-5) for name in plain)

    assert differs(state, t + 1, given)
    for name in state:
        assert differs(state | {name: (state[name] + 1) % LABELS}, t, given)
    assert given.points is not None
    changes = {
        "points": (given.points + 1) % LABELS,
        "text": 0.5 * torch.randn(2, WORDS, 6),
        "mask": torch.ones(2, WORDS, dtype=torch.bool),
        "told": torch.zeros(2, dtype=torch.bool),
        "amounts": torch.rand(2, AMOUNTS),
    }
    for name, value in changes.items():
        assert differs(state, t, given._replace(**{name: value})), name


@torch.no_grad()
def test_points_are_added_to_the_stem_and_joined_at_the_end() -> None:
    net, state, t, seen = network(), state_of(), torch.tensor([500.0, 500.0]), []
    net.unet.register_forward_pre_hook(lambda _, inputs: seen.append((inputs[0], inputs[3])))
    features = net.encode(given_of())
    assert features.points is not None
    for points in (features.points, torch.zeros_like(features.points)):
        net(state, t, features._replace(points=points))
    torch.testing.assert_close(seen[0][0] - seen[1][0], features.points, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(seen[0][1], features.points)
    x, embedding, context = torch.randn(2, 16, 8, 8), torch.randn(2, 64), torch.randn(2, 3, 16)
    ends = [net.unet(x, embedding, context, features.points[..., :8, :8] * share) for share in (0, 1)]
    assert not torch.allclose(*ends)


@torch.no_grad()
def test_samples_do_not_see_each_other() -> None:
    net, state, t, given = network(), state_of(3), torch.tensor([1.0, 500.0, 1000.0]), given_of(3)
    whole = net(state, t, given)
    alone = net({name: x[1:2] for name, x in state.items()}, t[1:2], Given(*(part[1:2] for part in given)))  # type: ignore[index]
    for name in state:
        torch.testing.assert_close(alone[name], whole[name][1:2], rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_what_stands_where_no_word_is_says_nothing() -> None:
    net, given = network(), given_of()
    assert given.text is not None
    assert given.mask is not None
    first = net.encode(given)
    other = net.encode(given._replace(text=torch.where(given.mask[..., None], given.text, 9.0)))
    shorter = net.encode(given._replace(text=given.text[:, :3], mask=given.mask[:, :3]))
    untold = net.encode(given._replace(told=torch.zeros(2, dtype=torch.bool)))
    for found in (other, shorter):
        torch.testing.assert_close(found.tokens, first.tokens)
        torch.testing.assert_close(found.embedding, first.embedding)
    assert not torch.allclose(untold.tokens, first.tokens)
    torch.testing.assert_close(untold.tokens[0], untold.tokens[1])


@torch.no_grad()
def test_no_points_and_none_given_are_told_apart() -> None:
    encoder = PointEncoder(SMALL.points, LABELS, 5, patch=2)
    empty, absent = (encoder(torch.full((1, 8, 8), kind)) for kind in (0, encoder.absent))
    assert empty.shape == (1, 5, 4, 4)
    assert not torch.allclose(empty, absent)


@pytest.mark.parametrize("patch", [1, 2])
def test_a_point_is_seen_where_it_is(patch: int) -> None:
    """Far from a point all is as without it."""
    encoder = PointEncoder(PointsSettings(width=4, blocks=1, growth=2), LABELS, 5, patch)
    empty = torch.zeros(1, 128, 16, dtype=torch.int64)
    pointed = empty.clone()
    pointed[0, 8, 8] = 2
    with torch.no_grad():
        changed = (encoder(pointed) - encoder(empty)).abs().amax(dim=(0, 1, 3)) > 0
    assert changed[8 // patch]
    assert not changed[64 // patch :].any()


@pytest.mark.parametrize("parts", [{"distance": False}, {"points": False}, {"distance": False, "points": False}])
def test_built_without_a_part(parts: dict[str, bool]) -> None:
    net, given = network(**parts), given_of()
    state = {name: part for name, part in state_of().items() if name in {**net.groups, "label": 0}}
    found = net(state, torch.tensor([5.0, 5.0]), given if net.points is not None else given._replace(points=None))
    assert {name: part.shape[1] for name, part in found.items()} == {**net.groups, "label": LABELS}
    assert ("distance" in found) == parts.get("distance", True)


def test_built_without_any_condition() -> None:
    net = CoSynNet(SMALL, LABELS, points=False)
    found = net(state_of(3), torch.tensor([5.0, 6.0, 7.0]), Given())
    assert found["image"].shape == (3, 3, 16, 16)


@torch.no_grad()
def test_any_multiple_of_its_stride_goes_in() -> None:
    net = network()
    assert net.stride == 4
    state = {name: part[..., :12, :] for name, part in state_of().items()}
    given = given_of()
    assert given.points is not None
    found = net(state, torch.tensor([5.0, 5.0]), given._replace(points=given.points[:, :12]))
    assert found["label"].shape == (2, LABELS, 12, 16)


def test_all_parameters_learn() -> None:
    net, given = network(), given_of()
    found = net(state_of(), torch.tensor([5.0, 700.0]), given._replace(told=torch.tensor([True, False])))
    sum(part.square().sum() for part in found.values()).backward()
    idle = [name for name, part in net.named_parameters() if part.grad is None or not part.grad.isfinite().all()]
    still = [name for name, part in net.named_parameters() if name not in idle and not part.grad.any()]  # type: ignore[union-attr]
    assert not idle
    assert not [name for name in still if "null" not in name]


def test_new_heads_say_nothing() -> None:
    found = CoSynNet(SMALL, LABELS, points=False)(state_of(), torch.tensor([5.0, 5.0]), Given())
    assert not any(part.any() for part in found.values())


def test_attention_equals_the_formula() -> None:
    q, k, v = torch.randn(2, 3, 5, 8), torch.randn(2, 1, 7, 8), torch.randn(2, 1, 7, 8)
    expected = torch.softmax(4.0 * torch.einsum("bhnc,bmc->bhnm", q, k[:, 0]), dim=-1) @ v
    torch.testing.assert_close(attended(q, k, v, 4.0), expected)
    many = torch.randn(1, 2, 300, 8)
    expected = torch.softmax(many @ many.transpose(-1, -2) / 8**0.5, dim=-1) @ many
    torch.testing.assert_close(attended(many, many, many), expected)


@torch.no_grad()
def test_attention_may_look_at_nothing() -> None:
    """A null key that every query is nearest to takes their whole attention: all tokens get the null's value."""
    layer = SelfAttention(16, 4, heads=2, head=8)
    for weight in (layer.q.weight, layer.kv.weight[:8], layer.context[1].weight[:8], layer.context[1].bias[:8]):
        weight.zero_()
    layer.q.weight[:, 0] = layer.null[0] = 1.0
    layer.look.scale.fill_(9.0)
    x = torch.randn(1, 6, 16)
    x[..., 0] = 9.0
    found = layer(x, torch.randn(1, 2, 4))
    torch.testing.assert_close(found, layer.look.out(layer.null[1].repeat(2)).expand(1, 6, -1))
    layer.null[0] = -1.0
    assert not torch.allclose(layer(x, torch.randn(1, 2, 4)), found)


def test_a_perceiver_has_as_many_tokens_whatever_the_length() -> None:
    net = Perceiver(16, 2, 8, length=9, latents=3, pooled=4)
    assert [net(torch.randn(2, n, 16)).shape for n in (1, 9)] == [(2, 7, 16)] * 2


def batch_of(labels: int, side: int) -> JointBatch:
    drawn = np.random.default_rng(3)
    ids = [drawn.integers(labels, size=(2, side, side)).astype(np.uint8) for _ in range(2)]
    image, distance = (drawn.uniform(-1, 1, (2, width, side, side)).astype(np.float32) for width in (3, 1))
    words, mask = torch.randn(2, 77, 512), torch.ones(2, 77, dtype=torch.bool)
    return JointBatch(image, distance, *ids, np.zeros((2, 0), np.float32), words, mask)


@pytest.mark.parametrize(
    ("network", "side"), [(SMALL, 16), pytest.param(PRESETS["paper"].network, 64, marks=pytest.mark.slow)]
)
def test_the_published_loss_reaches_every_parameter(network: CoSynNetSettings, side: int) -> None:
    """But what stands where no text is given: both sentences are."""
    torch.manual_seed(3)
    paper, labels, fabric = PRESETS["paper"], 7, fabric_for("cpu", "32-true")
    training = paper.training.model_copy(update={"drop_points": 0.0, "drop_text": 0.0})
    sizes = JointSizes(labels, 0, TextShape(512, 77), True, True)
    stage = CoSynStage("joint", network, paper.diffusion, training, sizes)
    stage.setup(fabric)
    for weight in stage.net.parameters():
        if not weight.any():
            nn.init.normal_(weight, std=0.02)  # new heads pass nothing back
    losses = stage._losses(fabric.device, batch_of(labels, side))
    torch.stack(list(losses.values())).sum().backward()
    assert losses.keys() == {"image", "distance", "label"}
    learns = {name: part.grad for name, part in stage.net.named_parameters()}
    assert [name for name, grad in learns.items() if grad is None or not grad.isfinite().all()] == []
    idle = {name for name, grad in learns.items() if not grad.any()}  # type: ignore[union-attr]
    assert idle == {"text.null_tokens", "text.null_vector"}
