"""The peak of live tensors: of chains of operations whose peak is known to the byte, and of a real network."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from nucleosynth.methods.nudiff import PRESETS
from nucleosynth.nets.memory import Living, peak_mb
from nucleosynth.stages import structure

KB = 1000
"""Bytes of 250 numbers in float32."""


def numbers(count: int = 250) -> Tensor:
    return torch.empty(count, device="meta")


def released(x: Tensor) -> Tensor:
    """1 KB beside 1 KB, then one of them gone, then 1.2 KB beside the other."""
    y = x + 1
    z = y * 2
    del y
    return torch.cat([z, z[:50]])


def held(x: Tensor) -> Tensor:
    """The same with nothing gone."""
    y = x + 1
    z = y * 2
    return torch.cat([z, z[:50]]) + y[0]


def nested(x: Tensor) -> Tensor:
    """1 KB that a view holds while others come and go."""
    y = (x + 1)[0]
    return y + released(x)


def viewed(x: Tensor) -> Tensor:
    """1 KB, whoever looks at it in whatever shape."""
    y = x + 1
    parts = y.view(10, 25).t().unbind(0)
    return parts[3][None].expand(7, -1)


def written(x: Tensor) -> Tensor:
    """1 KB, written over and over; the input has its storage already."""
    y = x + 1
    y.mul_(2).add_(x)
    y[:5] = 3
    x.zero_()
    return functional.relu_(y)


CHAINS: list[tuple[Callable[[Tensor], Any], float]] = [
    (released, 2.2 * KB),
    (held, 3.2 * KB + 1.2 * KB),
    (nested, 3.4 * KB),
    (viewed, KB),
    (written, KB),
    (lambda x: x.view(25, 10).t(), 0),
    (lambda x: x.sort(), 3 * KB),
    (lambda x: x.double(), 2 * KB),
    (lambda x: (x + 1, x + 2), 2 * KB),
    (lambda x: [x + k for k in range(9)], 9 * KB),
    (lambda x: [torch.zeros_like(x).sum() for _ in range(9)], KB + 9 * 4),
]


@pytest.mark.parametrize(("call", "peak"), CHAINS)
def test_a_chain_whose_peak_is_known(call: Callable[[Tensor], Any], peak: float) -> None:
    assert peak_mb(partial(call, numbers())) == pytest.approx(peak / 1e6, abs=1e-12)


def test_nothing_that_is_gone_is_counted() -> None:
    x, living = numbers(), Living()
    with living:
        kept = nested(x)
        assert (living.now, living.peak) == (1.2 * KB, 3.4 * KB)
        del kept
    assert living.now == 0


def test_parameters_are_there_before() -> None:
    with torch.device("meta"):
        net, x = nn.Sequential(nn.Linear(10, 50), nn.ReLU(), nn.Linear(50, 10)), torch.empty(5, 10)
    assert peak_mb(lambda: net(x)) == pytest.approx(2 * 5 * 50 * 4 / 1e6)


def test_attention_has_no_square() -> None:
    tokens = torch.empty(1, 2, 500, 8, device="meta")
    attend = functional.scaled_dot_product_attention
    assert peak_mb(lambda: attend(tokens, tokens, tokens[..., :4])) == pytest.approx(2 * 500 * 4 * 4 / 1e6)


def drawing(batch: int, size: int, device: str) -> Callable[[], Tensor]:
    """A pass of a diffusion network of structures."""
    settings = PRESETS["tiny"].structure
    with torch.device(device):
        net, x, t = structure.build(settings, 3).eval(), torch.zeros(batch, 3, size, size), torch.zeros(batch)
    return lambda: net(x, t)


def test_a_network_takes_as_much_more_as_there_are_more_samples_and_pixels() -> None:
    one, more, larger = (peak_mb(drawing(*shape, "meta")) for shape in ((1, 32), (6, 32), (1, 64)))
    assert more / one == pytest.approx(6, rel=0.01)
    assert larger / one == pytest.approx(4, rel=0.01)


@torch.inference_mode()
def test_shapes_alone_count_what_real_tensors_take() -> None:
    living, real = Living(), drawing(2, 64, "cpu")
    with living:
        real()
    assert living.peak / 1e6 == pytest.approx(peak_mb(drawing(2, 64, "meta")), rel=1e-6)
