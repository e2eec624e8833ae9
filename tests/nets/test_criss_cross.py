"""Criss-cross attention against a loop that is read off the paper, and what it costs."""

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from nucleosynth.nets.criss_cross import CrissCross, criss_cross


def naive(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Each pixel in turn: its row, then its column without itself."""
    out = torch.zeros_like(value)
    for b in range(query.shape[0]):
        for y in range(query.shape[2]):
            for x in range(query.shape[3]):
                places = [(y, j) for j in range(query.shape[3])] + [(i, x) for i in range(query.shape[2]) if i != y]
                energies = torch.stack([query[b, :, y, x] @ key[b, :, i, j] for i, j in places])
                values = torch.stack([value[b, :, i, j] for i, j in places])
                out[b, :, y, x] = energies.softmax(0) @ values
    return out


@pytest.mark.parametrize("size", [(5, 7), (6, 6), (1, 4), (4, 1)])
def test_it_equals_a_naive_loop(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    query, key, value = (2 * torch.randn(2, width, *size) for width in (3, 3, 8))
    torch.testing.assert_close(criss_cross(query, key, value), naive(query, key, value), rtol=0, atol=1e-5)


def test_the_module_is_that_loop_twice_with_the_same_weights() -> None:
    torch.manual_seed(0)
    module, x = CrissCross(16, 2), torch.randn(1, 16, 4, 5)
    torch.testing.assert_close(module(x), x, rtol=0, atol=0)  # gamma is 0 at the start
    with torch.no_grad():
        module.gamma.fill_(0.7)
    expected = x
    for _ in range(2):
        parts = module.query(expected), module.key(expected), module.value(expected)
        expected = expected + 0.7 * naive(*parts)
    torch.testing.assert_close(module(x), expected, rtol=0, atol=1e-5)
    assert (module.query.out_channels, module.value.out_channels) == (2, 16)


def test_once_reaches_row_and_column_and_twice_every_pixel() -> None:
    torch.manual_seed(0)
    for recurrence, reached in ((1, 4 + 5 - 1), (2, 20)):
        module, x = CrissCross(8, recurrence), torch.randn(1, 8, 4, 5, requires_grad=True)
        with torch.no_grad():
            module.gamma.fill_(1)
        module(x)[0, :, 1, 2].sum().backward()
        assert x.grad is not None
        assert int((x.grad.abs().sum(1) > 0).sum()) == reached


class Largest(TorchDispatchMode):
    """The most numbers of any tensor that is made."""

    numbers = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        made = func(*args, **(kwargs or {}))
        if isinstance(made, Tensor):
            self.numbers = max(self.numbers, made.numel())
        return made


def test_memory_is_linear_in_height_and_width_a_pixel() -> None:
    for side in (32, 64):
        with torch.device("meta"), Largest() as largest:
            criss_cross(torch.empty(1, 2, side, side), torch.empty(1, 2, side, side), torch.empty(1, 16, side, side))
        assert largest.numbers == side * side * 2 * side


def test_every_weight_learns_once_gamma_is_not_zero() -> None:
    torch.manual_seed(0)
    module = CrissCross(8)
    with torch.no_grad():
        module.gamma.fill_(0.5)
    module(torch.randn(2, 8, 6, 6)).square().sum().backward()
    for name, weight in module.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.isfinite().all(), name
        if name != "key.bias":  # the same for all places of a pixel: softmax takes it away
            assert weight.grad.abs().sum() > 0, name
