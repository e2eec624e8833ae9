"""The network's shapes, size and number of parameters."""

import pytest
import torch

from nucleosynth.config import resolve
from nucleosynth.errors import UserError
from nucleosynth.segmentation.hovernet import HoVerNet, HoVerNetSettings

NARROW = resolve(HoVerNet.presets["tiny"], {"width": 8}, "test")


def test_tiny_is_as_small_as_said() -> None:
    network = HoVerNet.build(HoVerNet.presets["tiny"], classes=4)
    assert 3.5e6 < sum(parameter.numel() for parameter in network.parameters()) < 3.65e6


@pytest.mark.parametrize("size", [(64, 96), (33, 47), (16, 8), (1, 1)])
@pytest.mark.parametrize("stem_stride", [1, 2])
def test_any_size_comes_back(size: tuple[int, int], stem_stride: int) -> None:
    network = HoVerNet.build(NARROW.model_copy(update={"stem_stride": stem_stride}), classes=3).eval()
    outputs = network(torch.zeros(2, 3, *size, dtype=torch.uint8))
    shapes = {name: tuple(maps.shape) for name, maps in outputs.items()}
    assert shapes == {"nuclei": (2, 2, *size), "field": (2, 2, *size), "type": (2, 4, *size)}


@pytest.mark.parametrize("classes", [0, 1])
def test_no_type_decoder_where_there_is_nothing_to_tell_apart(classes: int) -> None:
    assert list(HoVerNet.build(NARROW, classes)(torch.zeros(1, 3, 32, 32))) == ["nuclei", "field"]


def test_whole_bytes_and_floats_are_the_same_image() -> None:
    network = HoVerNet.build(NARROW, 2).eval()
    torch.nn.init.normal_(network.decoders[0].head[0].weight)
    image = torch.randint(0, 256, (1, 3, 32, 32), dtype=torch.uint8)
    bytes_, floats = network(image)["nuclei"], network(image.float())["nuclei"]
    assert bytes_.std() > 0
    torch.testing.assert_close(bytes_, floats)


def test_a_window_without_a_middle_is_refused() -> None:
    with pytest.raises(UserError, match="margin below half"):
        resolve(NARROW, {"window": 64, "margin": 32}, "test")


def test_padding_is_even_so_the_network_has_no_preferred_side() -> None:
    """A far change of the image moves nothing: the response to a dot is centred on it to within the stride."""
    settings = HoVerNetSettings(width=8, blocks=(1, 1, 1, 1), dense=(1, 1))
    torch.manual_seed(0)
    network = HoVerNet.build(settings, 0).double().eval()
    torch.nn.init.normal_(network.decoders[0].head[0].weight)
    image = torch.full((1, 3, 256, 256), 100.0, dtype=torch.float64)
    dotted = image.clone()
    dotted[..., 128, 128] = 255
    moved = (network(dotted)["nuclei"] - network(image)["nuclei"]).abs().sum(dim=(0, 1))
    rows = moved.sum(dim=1).nonzero().flatten()
    assert moved.max() > 0
    assert abs((rows[0] + rows[-1]).item() / 2 - 128) <= 16


def test_tiny_is_the_same_network_as_ever() -> None:
    """What its seeds give is fixed: sums worked out before the published networks came beside it."""
    torch.manual_seed(0)
    network = HoVerNet.build(HoVerNet.presets["tiny"], 4).eval()
    torch.manual_seed(1)
    with torch.no_grad():
        outputs = network(torch.randint(0, 256, (1, 3, 64, 64)))
    means = {name: float(maps.double().abs().mean()) for name, maps in outputs.items()}
    assert means == pytest.approx({"nuclei": 2.169673, "field": 2.127493, "type": 2.935612}, rel=1e-4)
