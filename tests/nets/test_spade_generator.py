"""SPADE's generator: the published size, its formulas, the sizes and channels that it takes, what it refuses."""

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.nn import functional

from nucleosynth.errors import UserError
from nucleosynth.nets.count import gflop, parameters
from nucleosynth.nets.spade_generator import (
    PAPER,
    TINY,
    SpadeAutoencoder,
    SpadeBlock,
    SpadeGenerator,
    SpadeGeneratorSettings,
    StyledModulator,
    StyledNorm,
    StyleEncoder,
)

SMALL = SpadeGeneratorSettings(
    width=4, multipliers=(4, 4, 2), doubled=(False, True, True), modulation=8, groups=4, style=6, encoder=(1, 2)
)


def asked(channels: int = 5, size: tuple[int, int] = (16, 16)) -> Tensor:
    """Labels of a batch of two."""
    torch.manual_seed(3)
    return torch.rand(2, channels, *size)


def style(settings: SpadeGeneratorSettings = SMALL, seed: int = 4) -> Tensor:
    return torch.randn(2, settings.style, generator=torch.Generator().manual_seed(seed))


def test_the_published_size() -> None:
    """With six label channels; the style's own layers, which are ours, are counted apart."""
    with torch.device("meta"):
        net = SpadeGenerator(PAPER, 6)
        label, z = torch.empty(1, 6, 256, 256), torch.empty(1, PAPER.style)
    styles = sum(part.style.weight.numel() for part in net.modules() if isinstance(part, StyledModulator))
    assert parameters(net) - styles == pytest.approx(92.149e6, rel=1e-4)
    assert styles == 18 * 256 * 128
    assert gflop(lambda: net(label, z)) == pytest.approx(274.51, rel=1e-4)
    assert PAPER.stride == 32
    assert [block.conv2.weight.shape[0] for block in net.blocks] == [1024, 1024, 1024, 512, 256, 128, 64]


def test_the_tiny_one_is_no_larger_than_others_for_two_cores() -> None:
    with torch.device("meta"):
        net, label, z = SpadeGenerator(TINY, 6), torch.empty(1, 6, 64, 64), torch.empty(1, TINY.style)
    assert gflop(lambda: net(label, z)) < 1.8
    assert TINY.stride == 8


@pytest.mark.parametrize("size", [(64, 64), (96, 96), (64, 128), (4, 4)])
@pytest.mark.parametrize(("inputs", "outputs"), [(3, 3), (9, 1), (40, 5)])
def test_any_size_and_number_of_channels(size: tuple[int, int], inputs: int, outputs: int) -> None:
    net = SpadeGenerator(SMALL, inputs, outputs)
    assert net(asked(inputs, size), style()).shape == (2, outputs, *size)


@pytest.mark.parametrize("size", [(64, 64), (96, 96)])
def test_the_published_depth_takes_small_tiles(size: tuple[int, int]) -> None:
    narrow = PAPER.model_copy(update={"width": 2, "modulation": 4, "style": 3})
    found = SpadeGenerator(narrow, 6)(asked(6, size), style(narrow))
    assert found.shape == (2, 3, *size)
    assert found.isfinite().all()


@pytest.mark.parametrize(("channels", "size"), [(6, (16, 16)), (5, (18, 16)), (5, (16, 17))])
def test_other_labels_are_refused(channels: int, size: tuple[int, int]) -> None:
    with pytest.raises(UserError, match="not built for") as caught:
        SpadeGenerator(SMALL, 5)(asked(channels, size), style())
    assert caught.value.expected == "5 channels, sides that are multiples of 4 px"
    assert caught.value.got == f"{channels} channels, {size[0]} x {size[1]} px"


def test_blocks_say_whether_they_double() -> None:
    with pytest.raises(ValidationError, match="an entry of doubled for each of the 3 blocks"):
        SpadeGeneratorSettings(multipliers=(4, 4, 2), doubled=(True, True))


def test_a_modulated_norm_is_the_formula() -> None:
    norm, x, label, z = StyledNorm(SMALL, 5, 8).eval(), torch.randn(2, 8, 6, 6), asked(size=(6, 6)), style()
    part = norm.modulator
    seen, out = (layer.weight.view(layer.shape).permute(0, 3, 1, 2) for layer in (part.seen, part.out))
    hidden = functional.conv2d(label, seen, part.seen.bias, padding=1) + (z @ part.style.weight.T)[:, :, None, None]
    both = functional.conv2d(hidden.relu(), out, part.out.bias, padding=1)
    groups = x.view(2, 4, -1)
    normed = (groups - groups.mean(2, keepdim=True)) / (groups.var(2, keepdim=True, correction=0) + 1e-5).sqrt()
    torch.testing.assert_close(norm(x, label, z), normed.view_as(x) * (1 + both[:, :8]) + both[:, 8:])


@pytest.mark.parametrize("width", [8, 4])
def test_a_block_is_the_formula(width: int) -> None:
    block, x, label, z = SpadeBlock(SMALL, 5, 8, width).eval(), torch.randn(2, 8, 6, 6), asked(size=(6, 6)), style()
    hidden = block.conv1(functional.leaky_relu(block.norm1(x, label, z), 0.2))
    hidden = block.conv2(functional.leaky_relu(block.norm2(hidden, label, z), 0.2))
    skip = x if width == 8 else block.skip(block.skip_norm(x, label, z))  # type: ignore[misc]
    torch.testing.assert_close(block(x, label, z), hidden + skip)


def test_convolutions_of_blocks_have_spectral_norm_one() -> None:
    torch.manual_seed(0)
    net = SpadeAutoencoder(SMALL, 5)
    for _ in range(30):
        net(asked(), torch.rand(2, 3, 16, 16), style())
    assert net.encoder is not None
    held = [block.conv1 for block in net.generator.blocks] + [block.conv2 for block in net.generator.blocks]
    held += [block.skip for block in net.generator.blocks if block.skip is not None] + list(net.encoder.halvings)
    assert len(held) == 3 + 3 + 1 + 2
    for layer in held:
        assert float(torch.linalg.matrix_norm(layer.weight.detach(), 2)) == pytest.approx(1, abs=0.02)


def test_label_and_style_both_show() -> None:
    net, label, z = SpadeGenerator(SMALL, 5).eval(), asked(), style()
    first = net(label, z)
    assert (net(label, style(seed=5)) - first).abs().mean() > 1e-3
    assert (net(label.flip(0), z) - first).abs().mean() > 1e-3
    torch.testing.assert_close(net(label, z), first, rtol=0, atol=0)


def test_the_style_shows_where_every_channel_is_a_group_of_its_own() -> None:
    """InstanceNorm takes every constant away: a style that only shifted the first map would be lost."""
    net, label = SpadeGenerator(SMALL.model_copy(update={"groups": 1024}), 5).eval(), asked()
    assert all(part.groups > 4 for part in net.modules() if isinstance(part, StyledNorm))
    assert (net(label, style()) - net(label, style(seed=5))).abs().mean() > 1e-3


def test_no_sample_depends_on_its_neighbours() -> None:
    net, label, z = SpadeGenerator(SMALL, 5).eval(), asked(), style()
    torch.testing.assert_close(net(label, z)[:1], net(label[:1], z[:1]))


def test_a_label_is_seen_at_its_nearest_pixels() -> None:
    net, label, z = SpadeGenerator(SMALL, 5).eval(), asked(), style()
    seen = []
    for block in net.blocks:
        block.register_forward_pre_hook(lambda _, given: seen.append(given[1]))
    net(label, z)
    for map_, size in zip(seen, (4, 8, 16), strict=True):
        torch.testing.assert_close(map_, functional.interpolate(label, size=size, mode="nearest"), rtol=0, atol=0)


def test_an_autoencoder_draws_its_style_around_the_mean() -> None:
    net, label, image, noise = SpadeAutoencoder(SMALL, 5).eval(), asked(), torch.rand(2, 3, 16, 16), style()
    found = net(label, image, noise)
    assert net.encoder is not None
    mean, log_variance = net.encoder(image)
    torch.testing.assert_close(found.mean, mean)
    torch.testing.assert_close(
        found.image, net.generator(label, mean + torch.sqrt(torch.exp(log_variance)) * noise), rtol=1e-4, atol=1e-5
    )
    assert (net(label, image.flip(0), noise).mean - mean).abs().max() > 1e-4


def test_without_an_encoder_the_style_is_noise() -> None:
    net, label, noise = SpadeAutoencoder(SMALL.model_copy(update={"encoder": ()}), 5).eval(), asked(), style()
    found = net(label, torch.rand(2, 3, 16, 16), noise)
    assert net.encoder is None
    assert not found.mean.any()
    assert not found.log_variance.any()
    torch.testing.assert_close(found.image, net.generator(label, noise), rtol=0, atol=0)


def test_the_encoder_sees_the_stain() -> None:
    """A cast over the whole image changes the style: the norm of all channels does not take it away."""
    encoder, image = StyleEncoder(SMALL, 3).eval(), 0.2 * torch.rand(1, 3, 20, 28)
    mean, _ = encoder(image)
    cast, _ = encoder(image + torch.tensor([0.3, -0.2, 0.1])[:, None, None])
    assert mean.shape == (1, SMALL.style)
    assert (cast - mean).abs().max() > 0.1


def test_every_parameter_learns() -> None:
    net = SpadeAutoencoder(SMALL, 5)
    found = net(asked(), torch.rand(2, 3, 16, 16), style())
    (found.image.square().mean() + found.mean.square().sum() + found.log_variance.square().sum()).backward()
    for name, weight in net.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.isfinite().all(), name
        assert weight.grad.any(), name
