"""The published network: its names, sizes and cost, and that its three modes are one network."""

from itertools import product

import pytest
import released_forward
import torch
from torch.testing import assert_close

from nucleosynth.nets.count import gflop, parameters
from nucleosynth.segmentation.hovernet import HoVerNet
from nucleosynth.segmentation.networks.published import Mode, PublishedHoVerNet, Unit, lost_px

NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
NARROW = {"width": 8, "blocks": (2, 1, 1, 1), "dense": (2, 1)}


def released_names(blocks: tuple[int, ...], dense: tuple[int, int], branches: tuple[str, ...]) -> set[str]:
    """The state dict's keys as the released code names its layers."""
    convs, norms = {"conv0./", "conv_bot"}, {"conv0.bn"}
    for d, count in enumerate(blocks):
        convs.add(f"d{d}.shortcut")
        norms.add(f"d{d}.blk_bna.bn")
        for unit in range(count):
            head = f"d{d}.units.{unit}"
            convs |= {f"{head}.conv{k}" for k in (1, 2, 3)}
            norms |= {f"{head}.conv{k}/bn" for k in (1, 2)} | ({f"{head}.preact/bn"} if unit else set())
    biased = set()
    for branch in branches:
        head = f"decoder.{branch}"
        convs |= {f"{head}.{layer}" for layer in ("u3.conva", "u3.convf", "u2.conva", "u2.convf", "u1.conva")}
        biased.add(f"{head}.u0.conv")
        norms |= {f"{head}.u0.bn", f"{head}.u3.dense.blk_bna.bn", f"{head}.u2.dense.blk_bna.bn"}
        for level, units in zip(("u3", "u2"), dense, strict=True):
            for unit in range(units):
                convs |= {f"{head}.{level}.dense.units.{unit}.conv{k}" for k in (1, 2)}
                norms |= {f"{head}.{level}.dense.units.{unit}.{name}/bn" for name in ("preact_bna", "conv1")}
    return (
        {f"{name}.weight" for name in convs | biased}
        | {f"{name}.bias" for name in biased}
        | {f"{name}.{part}" for name, part in product(norms, NORM)}
    )


def test_names_and_shapes_are_the_released_ones() -> None:
    with torch.device("meta"):
        state = HoVerNet.build(HoVerNet.presets["resnet50"], 4).state_dict()
    assert set(state) == released_names((3, 4, 6, 3), (8, 4), ("tp", "np", "hv"))
    shapes = {
        "conv0./.weight": (64, 3, 7, 7),
        "d0.units.0.conv1.weight": (64, 64, 1, 1),
        "d0.units.2.preact/bn.weight": (256,),
        "d0.shortcut.weight": (256, 64, 1, 1),
        "d2.units.5.conv2.weight": (256, 256, 3, 3),
        "d3.units.2.conv3.weight": (2048, 512, 1, 1),
        "conv_bot.weight": (1024, 2048, 1, 1),
        "decoder.np.u3.conva.weight": (256, 1024, 3, 3),
        "decoder.np.u3.dense.units.7.conv1.weight": (128, 480, 1, 1),
        "decoder.hv.u2.dense.units.0.conv2.weight": (32, 32, 3, 3),
        "decoder.hv.u2.convf.weight": (256, 256, 1, 1),
        "decoder.tp.u1.conva.weight": (64, 256, 3, 3),
        "decoder.tp.u0.conv.weight": (5, 64, 1, 1),
        "decoder.tp.u0.conv.bias": (5,),
    }
    assert {name: tuple(state[name].shape) for name in shapes} == shapes


def test_size_and_cost_are_the_published_ones() -> None:
    with torch.device("meta"):
        network = HoVerNet.build(HoVerNet.presets["resnet50"], 5)
        assert round(parameters(network) / 1e6, 1) == 37.6
        assert round(gflop(lambda: network(torch.zeros(1, 3, 256, 256))) / 2) == 149
        smaller = HoVerNet.build(HoVerNet.presets["resnet34"], 5)
    assert 20e6 < parameters(smaller) < 30e6


@pytest.mark.parametrize("preset", ["resnet50", "resnet34"])
@pytest.mark.parametrize(
    ("mode", "side", "maps"),
    [("fast", 256, 164), ("fast", 264, 172), ("original", 270, 80), ("same", 256, 256), ("same", 72, 72)],
)
def test_maps_are_as_large_as_published(preset: str, mode: Mode, side: int, maps: int) -> None:
    settings = HoVerNet.presets[preset].model_copy(update={"mode": mode})
    with torch.device("meta"):
        outputs = HoVerNet.build(settings, 4)(torch.zeros(1, 3, side, side))
    shapes = {name: tuple(found.shape) for name, found in outputs.items()}
    assert shapes == {"nuclei": (1, 2, maps, maps), "field": (1, 2, maps, maps), "type": (1, 5, maps, maps)}
    assert settings.output_px(side) == maps


@pytest.mark.parametrize(("mode", "side"), [("fast", 120), ("original", 214)])
def test_what_it_says_is_what_the_published_forward_pass_says(mode: Mode, side: int) -> None:
    torch.manual_seed(0)
    network = PublishedHoVerNet(4, width=8, mode=mode).double().eval()
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):  # ones that have seen something, so that none is overlooked
            torch.nn.init.uniform_(layer.weight, 0.5, 1.5)
            torch.nn.init.normal_(layer.bias)
            torch.nn.init.normal_(layer.running_mean, 0, 0.3)
            torch.nn.init.uniform_(layer.running_var, 0.5, 2)
    image = torch.randint(0, 256, (1, 3, side, side)).double()
    with torch.no_grad():
        found, expected = network(image), released_forward.forward(network.state_dict(), image, mode)
    for name, branch in (("type", "tp"), ("nuclei", "np"), ("field", "hv")):
        assert expected[branch].std() > 0.1
        assert_close(found[name], expected[branch])


@pytest.mark.parametrize("unit", ["bottleneck", "basic"])
@pytest.mark.parametrize("size", [(64, 96), (33, 47), (8, 8), (1, 5)])
def test_mode_same_gives_any_size_back(unit: Unit, size: tuple[int, int]) -> None:
    network = PublishedHoVerNet(2, unit=unit, mode="same", **NARROW).eval()
    outputs = network(torch.randint(0, 256, (1, 3, *size), dtype=torch.uint8))
    assert {tuple(maps.shape[-2:]) for maps in outputs.values()} == {size}


@pytest.mark.parametrize("unit", ["bottleneck", "basic"])
def test_mode_same_says_in_its_middle_what_fast_says(unit: Unit) -> None:
    torch.manual_seed(0)
    same, fast = (PublishedHoVerNet(2, unit=unit, mode=mode, **NARROW).double().eval() for mode in ("same", "fast"))
    fast.load_state_dict(same.state_dict())
    image = torch.randint(0, 256, (1, 3, 104, 120)).double()
    lost = lost_px((2, 1), "fast") // 2
    whole = same(image)
    for name, maps in fast(image).items():
        assert maps.shape[-2:] == (104 - 2 * lost, 120 - 2 * lost)
        assert maps.std() > 0
        # The last 3x3 convolution, padded in both, sees zeros round the maps of fast.
        inner = whole[name][..., lost + 1 : -lost - 1, lost + 1 : -lost - 1]
        assert_close(inner, maps[..., 1:-1, 1:-1])


@pytest.mark.parametrize("mode", ["fast", "original", "same"])
def test_a_dot_is_seen_where_it_is(mode: Mode) -> None:
    """The maps are those of the image's middle: the response to a dot lies around it, wherever it is."""
    torch.manual_seed(0)
    network = PublishedHoVerNet(0, width=8, blocks=(1, 1, 1, 1), dense=(1, 1), mode=mode).double().eval()
    side = 166 if mode == "original" else 160
    lost = lost_px((1, 1), mode) // 2
    image = torch.full((1, 3, side, side), 100.0, dtype=torch.float64)
    dotted = image.clone()
    dotted[..., 70, 90] = 255
    with torch.no_grad():
        moved = (network(dotted)["nuclei"] - network(image)["nuclei"]).abs().sum(dim=(0, 1))
    assert moved.max() > 0
    y, x = (float((moved.sum(dim=axis) * torch.arange(len(moved))).sum() / moved.sum()) + lost for axis in (1, 0))
    assert abs(y - 70) < 4
    assert abs(x - 90) < 4


def test_a_tile_s_maps_are_its_own() -> None:
    torch.manual_seed(0)
    network = PublishedHoVerNet(2, mode="same", **NARROW).eval()
    images = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8)
    together, again = network(images), network(images)
    for name, maps in network(images[1:2]).items():
        assert torch.equal(together[name], again[name])
        assert_close(together[name][1:2], maps, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("unit", ["bottleneck", "basic"])
def test_what_learns_while_the_encoder_is_frozen(unit: Unit) -> None:
    torch.manual_seed(0)
    network = PublishedHoVerNet(2, unit=unit, mode="same", **NARROW)
    image = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)

    def learners() -> set[str]:
        network.zero_grad()
        torch.stack([(maps**2).mean() for maps in network(image).values()]).sum().backward()
        return {name for name, each in network.named_parameters() if each.grad is not None and each.grad.any()}

    every = {name for name, _ in network.named_parameters()}
    assert learners() == every
    network.frozen = True
    still = {name for name in every if name.startswith(("d0.units.", "d1.", "d2.", "d3."))}
    assert learners() == every - still
    assert network.d2.blk_bna.bn.num_batches_tracked == 2


def test_every_convolution_begins_by_kaiming_s_rule() -> None:
    torch.manual_seed(0)
    network = PublishedHoVerNet(4, width=32, blocks=(1, 1, 1, 1), dense=(1, 1))
    for name, layer in network.named_modules():
        if isinstance(layer, torch.nn.Conv2d) and layer.weight.numel() > 4000:
            fan_out = layer.out_channels // layer.groups * layer.kernel_size[0] ** 2
            groups = layer.groups  # torch counts the fan of the whole layer
            assert abs(layer.weight.std() / (2 / (fan_out * groups)) ** 0.5 - 1) < 0.1, name
