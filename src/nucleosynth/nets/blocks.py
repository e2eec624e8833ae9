"""Parts that several networks share. Feature maps are (b c h w)."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

FEW_PIXELS = 256
"""Up to here all pairs of pixels are kept at once."""


class Conv2d(nn.Module):
    """A convolution that keeps its size (or halves it, with stride 2); its weight is one matrix (c_out, k k c_in).

    A matrix is what Muon orthogonalises; seen as (c_out c_in k k) it is channels-last as it lies.
    """

    def __init__(
        self, channels_in: int, channels_out: int, kernel: int = 3, stride: int = 1, bias: bool = True
    ) -> None:
        super().__init__()
        bound = 1 / math.sqrt(kernel**2 * channels_in)
        self.shape = (channels_out, kernel, kernel, channels_in)
        self.stride = stride
        self.weight = nn.Parameter(torch.empty(channels_out, kernel**2 * channels_in).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(channels_out)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """(b c_in h w) -> (b c_out h/stride w/stride)."""
        weight = self.weight.view(self.shape).permute(0, 3, 1, 2)
        return functional.conv2d(x, weight, self.bias, self.stride, self.shape[1] // 2)


def matrices(module: nn.Module) -> list[nn.Parameter]:
    """The weights of all convolutions inside, for Muon."""
    return [part.weight for part in module.modules() if isinstance(part, Conv2d)]


class ClockEmbedding(nn.Module):
    """Clocks t (b g) in 0..1 -> a vector (b width): sinusoids of each clock, then two layers, the last one linear.

    silent: it starts at zero.
    """

    frequencies: Tensor

    def __init__(self, groups: int, width: int, waves: int = 32, silent: bool = False) -> None:
        super().__init__()
        self.register_buffer("frequencies", math.tau * torch.logspace(-1, 2, waves, base=4.0), persistent=False)
        self.layers = nn.Sequential(nn.Linear(2 * groups * waves, width), nn.SiLU(), nn.Linear(width, width))
        if silent:
            for parameter in self.layers[-1].parameters():
                nn.init.zeros_(parameter)

    def forward(self, t: Tensor) -> Tensor:
        """(b g) -> (b width)."""
        phase = t[..., None] * self.frequencies
        waves = torch.cat([phase.cos(), phase.sin()], dim=-1).flatten(1)
        return self.layers(waves)  # type: ignore[no-any-return]


class ResidualBlock(nn.Module):
    """ADM's block (Dhariwal and Nichol, 2021): twice norm, SiLU, conv; a vector scales and shifts the second norm.

    The last convolution starts at zero, so that a new block is the identity.
    """

    def __init__(self, width_in: int, width: int, embedding: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(_groups(width_in), width_in)
        self.conv1 = Conv2d(width_in, width)
        self.modulation = nn.Linear(embedding, 2 * width)
        self.norm2 = nn.GroupNorm(_groups(width), width)
        self.conv2 = zero(Conv2d(width, width))
        self.skip = Conv2d(width_in, width, 1) if width_in != width else nn.Identity()

    def forward(self, x: Tensor, steer: Tensor) -> Tensor:
        """x (b c h w), steer (b embedding) -> (b width h w)."""
        hidden = self.conv1(functional.silu(self.norm1(x)))
        scale, shift = self.modulation(steer)[..., None, None].chunk(2, dim=1)
        hidden = self.conv2(functional.silu(torch.addcmul(shift, self.norm2(hidden), 1 + scale)))
        return hidden + self.skip(x)  # type: ignore[no-any-return]


class SelfAttention(nn.Module):
    """Every pixel attends to every pixel of its map, in heads of `head` channels; starts as the identity."""

    def __init__(self, width: int, head: int = 32) -> None:
        super().__init__()
        self.heads = width // head
        self.norm = nn.GroupNorm(_groups(width), width)
        self.qkv = Conv2d(width, 3 * width, 1)
        self.out = zero(Conv2d(width, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(b c h w) -> (b c h w)."""
        b, c, h, w = x.shape
        q, k, v = self.qkv(self.norm(x)).reshape(b, 3, self.heads, c // self.heads, h * w).transpose(-1, -2).unbind(1)
        seen = _attended(q, k, v)
        return x + self.out(seen.transpose(-1, -2).reshape(b, c, h, w))  # type: ignore[no-any-return]


def _attended(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Softmax attention (b heads n c). For few pixels torch's kernel for CPUs takes several times as long as this."""
    if q.device.type != "cpu" or q.shape[-2] > FEW_PIXELS:
        return functional.scaled_dot_product_attention(q, k, v)
    return torch.softmax(q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]), dim=-1).to(v.dtype) @ v


def zero(module: Conv2d) -> Conv2d:
    """The same layer with all weights zero."""
    nn.init.zeros_(module.weight)
    if module.bias is not None:
        nn.init.zeros_(module.bias)
    return module


def _groups(width: int) -> int:
    return math.gcd(width, max(width // 16, 1))
