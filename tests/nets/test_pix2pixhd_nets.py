"""pix2pixHD's generators: the published costs, sizes, how the enhancer uses the global one, and noise."""

import pytest
import torch
from pydantic import ValidationError

from nucleosynth.nets.count import gflop, parameters
from nucleosynth.nets.patchgan import halved
from nucleosynth.nets.pix2pixhd import GlobalGenerator, LocalEnhancer, Pix2PixHDSettings, beside, generator, head

SMALL = Pix2PixHDSettings(width=8, downs=2, blocks=2, local_width=4, local_blocks=1)
GLOBAL = SMALL.model_copy(update={"local_width": 0})
DAFF = {"attention": 2, "long_skip": True}


@pytest.mark.parametrize(
    ("changes", "millions", "cost"),
    [
        ({"local_width": 0}, 182.45, 110.0),
        ({}, 182.72, 37.5),
        ({"local_width": 0, **DAFF}, 183.76, 111.4),
        (DAFF, 184.03, 39.4),
    ],
    ids=["global", "local", "daff global", "daff local"],
)
def test_published_costs(changes: dict[str, object], millions: float, cost: float) -> None:
    with torch.device("meta"):
        net = generator(Pix2PixHDSettings.model_validate(changes), 6, 3)
        x = torch.empty(1, 6, 256, 256)
    assert parameters(net) / 1e6 == pytest.approx(millions, abs=0.005)
    assert gflop(lambda: net(x)) == pytest.approx(cost, abs=0.05)


@pytest.mark.parametrize(
    "settings", [SMALL, GLOBAL, SMALL.model_copy(update=DAFF), SMALL.model_copy(update={"upsampling": "nearest"})]
)
def test_any_whole_stride(settings: Pix2PixHDSettings) -> None:
    net, stride = generator(settings, 5, 4), settings.stride
    assert stride == (16 if settings.local_width else 8)
    assert net(torch.randn(2, 5, stride, 3 * stride)).shape == (2, 4, stride, 3 * stride)
    with pytest.raises(ValueError, match="more than 1 spatial element"):
        net(torch.randn(2, 5, stride // 2, stride // 2))


def test_a_sample_does_not_depend_on_its_neighbours() -> None:
    net = generator(SMALL.model_copy(update=DAFF), 3, 3).eval()
    x = torch.randn(3, 3, 32, 32)
    torch.testing.assert_close(net(x)[1:2], net(x[1:2]), rtol=1e-5, atol=1e-6)


def test_the_enhancer_sees_the_halved_condition_through_the_global_one() -> None:
    torch.manual_seed(0)
    net, x = LocalEnhancer(SMALL, 3, 3), torch.randn(1, 3, 32, 32)
    features = net.features(x)
    torch.testing.assert_close(features, net.coarse(halved(x)))
    assert features.shape == (1, 8, 16, 16)
    torch.testing.assert_close(net(x), net.enhanced(features, x))
    assert not torch.allclose(net.enhanced(torch.zeros_like(features), x), net(x))


def test_a_global_generator_is_its_features_and_a_head() -> None:
    torch.manual_seed(0)
    whole, bare = GlobalGenerator(GLOBAL, 3, 2), GlobalGenerator(GLOBAL, 3, 0)
    bare.load_state_dict({key: value for key, value in whole.state_dict().items() if not key.startswith("last")})
    last = head(GLOBAL, 2)
    last.load_state_dict(whole.last.state_dict())
    x = torch.randn(1, 3, 16, 16)
    torch.testing.assert_close(last(bare(x)), whole(x))


def test_the_long_skip_goes_around_attention_and_blocks() -> None:
    torch.manual_seed(0)
    net = GlobalGenerator(GLOBAL.model_copy(update=DAFF), 3, 2)
    x = torch.randn(1, 32, 8, 8)
    torch.testing.assert_close(net.middle(x), net.middle.blocks(net.middle.attention(x)) + x)


def test_every_parameter_learns_but_the_biases_that_norms_take_away() -> None:
    torch.manual_seed(0)
    net = LocalEnhancer(SMALL.model_copy(update={**DAFF, "noise": 2}), 3, 3)
    with torch.no_grad():
        net.coarse.middle.attention.gamma.fill_(0.5)  # type: ignore[union-attr]
        net.middle.attention.gamma.fill_(0.5)  # type: ignore[union-attr]
    net(torch.randn(2, 3, 32, 32), torch.randn(2, 2, 32, 32)).square().mean().backward()
    for name, weight in net.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.isfinite().all(), name
        if not name.endswith("bias"):
            assert weight.grad.abs().sum() > 0, name


def test_group_norm_leaves_what_is_the_same_everywhere() -> None:
    """Two flat conditions are one to instance norm, which takes every channel's mean away."""
    flat = torch.eye(3)[[0, 2], :, None, None].expand(2, 3, 32, 32).double()  # norms make much of rounding
    apart = {}
    for norm in ("instance", "group"):
        torch.manual_seed(0)
        first, second = generator(GLOBAL.model_copy(update={"norm": norm}), 3, 3).double()(flat)
        apart[norm] = float((first - second).detach().abs().mean())
    assert apart["instance"] < 0.02 < 0.1 < apart["group"]


def test_noise_gives_a_condition_many_outputs() -> None:
    torch.manual_seed(0)
    net = generator(SMALL.model_copy(update={"noise": 2}), 3, 3)
    x, noise, other = torch.randn(1, 3, 32, 32), torch.randn(1, 2, 32, 32), torch.randn(1, 2, 32, 32)
    assert (net(x, noise) - net(x, other)).abs().mean() > 0
    torch.testing.assert_close(net(x), net(x, torch.zeros_like(noise)))


def test_noise_is_of_octaves_with_unit_cells() -> None:
    noise = torch.randn(8, 5, 64, 64, generator=torch.Generator().manual_seed(0))
    told = beside(torch.zeros(8, 1, 64, 64), noise, 5)[:, 1:]
    torch.testing.assert_close(told[:, 0], noise[:, 0])
    torch.testing.assert_close(told[:, 4], noise[:, 4])  # the fifth begins again
    rough = [float((told[..., 1:] - told[..., :-1])[:, k].abs().mean()) for k in range(4)]
    assert rough[0] > 2 * rough[1] > 4 * rough[2] > 0
    assert rough[3] == pytest.approx(0, abs=1e-7)  # one cell of 64 px is flat


@pytest.mark.parametrize("changes", [{"local_width": 16}, {"width": 48}, {"downs": 0}])
def test_what_does_not_fit_is_refused(changes: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        Pix2PixHDSettings.model_validate(changes)
