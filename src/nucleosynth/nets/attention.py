"""Attention to a context, as Imagen's U-Net has it (Saharia et al., NeurIPS 2022), on tokens (b n c).

Queries and keys are of unit length with a learned scale, so that products stay bounded in half precision; each
attention also has one learned null key, to look at nothing.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from nucleosynth.nets.blocks import FEW_PIXELS

SHARPNESS = 8.0
"""Factor on the cosine of query and key."""


class CrossAttention(nn.Module):
    """Tokens (b n c) attend to a context (b m d)."""

    def __init__(self, width: int, context: int, heads: int, head: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width, bias=False)
        self.q = nn.Linear(width, heads * head, bias=False)
        self.kv = nn.Linear(context, 2 * heads * head, bias=False)
        self.null = nn.Parameter(torch.randn(2, head))
        self.look = _Look(heads * head, head, width)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """What to add to x."""
        q = _heads(self.q(self.norm(x)), self.heads)
        k, v = (_heads(part, self.heads) for part in self.kv(context).chunk(2, dim=-1))
        return self.look(q, _with_null(k, self.null[0]), _with_null(v, self.null[1]))  # type: ignore[no-any-return]


class SelfAttention(nn.Module):
    """Tokens attend to each other and to a context, with one key and value for all heads (Shazeer, 2019)."""

    def __init__(self, width: int, context: int, heads: int, head: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width, bias=False)
        self.q = nn.Linear(width, heads * head, bias=False)
        self.kv = nn.Linear(width, 2 * head, bias=False)
        self.context = nn.Sequential(nn.LayerNorm(context), nn.Linear(context, 2 * head))
        self.null = nn.Parameter(torch.randn(2, head))
        self.look = _Look(heads * head, head, width)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """What to add to x."""
        normed = self.norm(x)
        q = _heads(self.q(normed), self.heads)
        k, v = (part[:, None] for part in torch.cat([self.context(context), self.kv(normed)], dim=1).chunk(2, dim=-1))
        return self.look(q, _with_null(k, self.null[0]), _with_null(v, self.null[1]))  # type: ignore[no-any-return]


class FeedForward(nn.Sequential):
    """Two layers around a GELU, each behind a norm."""

    def __init__(self, width: int, factor: float) -> None:
        hidden = int(width * factor)
        super().__init__(
            nn.LayerNorm(width, bias=False),
            nn.Linear(width, hidden, bias=False),
            nn.GELU(),
            nn.LayerNorm(hidden, bias=False),
            nn.Linear(hidden, width, bias=False),
        )


class Transformer(nn.Module):
    """Self-attention with a context, then a feed-forward part, on a map (b c h w)."""

    def __init__(self, width: int, context: int, heads: int, head: int, factor: float) -> None:
        super().__init__()
        self.attention = SelfAttention(width, context, heads, head)
        self.feed_forward = FeedForward(width, factor)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """(b c h w), context (b m d) -> (b c h w)."""
        tokens = tokens_of(x)
        tokens = tokens + self.attention(tokens, context)
        return map_of(tokens + self.feed_forward(tokens), x)


class Perceiver(nn.Module):
    """A sequence (b n c) of at most `length` to a few tokens (b pooled + latents, c).

    Learned latents, and some made from the sequence's mean, look at the sequence and at each other
    (Jaegle et al., ICML 2021; Alayrac et al., NeurIPS 2022).
    """

    def __init__(
        self, width: int, heads: int, head: int, *, length: int, latents: int, pooled: int, depth: int = 2
    ) -> None:
        super().__init__()
        self.places = nn.Embedding(length, width)
        self.latents = nn.Parameter(torch.randn(latents, width))
        self.pooled = nn.Sequential(
            nn.LayerNorm(width, bias=False), nn.Linear(width, width * pooled), nn.Unflatten(-1, (pooled, width))
        )
        self.attention = nn.ModuleList(_LatentAttention(width, heads, head) for _ in range(depth))
        self.feed_forward = nn.ModuleList(FeedForward(width, 4) for _ in range(depth))

    def forward(self, x: Tensor) -> Tensor:
        """The tokens."""
        placed = x + self.places.weight[: x.shape[1]]
        latents = torch.cat([self.pooled(x.mean(dim=1)), self.latents.expand(len(x), -1, -1)], dim=1)
        for attention, feed_forward in zip(self.attention, self.feed_forward, strict=True):
            latents = latents + attention(latents, placed)
            latents = latents + feed_forward(latents)
        return latents


class _LatentAttention(nn.Module):
    """Latents (b m c) attend to a sequence (b n c) and to themselves."""

    def __init__(self, width: int, heads: int, head: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm, self.latent_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.q = nn.Linear(width, heads * head, bias=False)
        self.kv = nn.Linear(width, 2 * heads * head, bias=False)
        self.look = _Look(heads * head, head, width)

    def forward(self, latents: Tensor, x: Tensor) -> Tensor:
        own = self.latent_norm(latents)
        k, v = self.kv(torch.cat([self.norm(x), own], dim=1)).chunk(2, dim=-1)
        return self.look(_heads(self.q(own), self.heads), _heads(k, self.heads), _heads(v, self.heads))  # type: ignore[no-any-return]


class _Look(nn.Module):
    """Softmax attention of unit queries and keys (b heads n c), brought back to tokens (b n width) and normed."""

    def __init__(self, inner: int, head: int, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(2, head))
        self.out = nn.Sequential(nn.Linear(inner, width, bias=False), nn.LayerNorm(width, bias=False))

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k = functional.normalize(q, dim=-1) * self.scale[0], functional.normalize(k, dim=-1) * self.scale[1]
        seen = attended(q, k, v, SHARPNESS)
        return self.out(seen.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


def attended(q: Tensor, k: Tensor, v: Tensor, scale: float | None = None) -> Tensor:
    """softmax(scale q k') v for q (b heads n c), k and v (b heads or 1, m, c); scale: 1 / sqrt(c) unless given.

    For few pixels torch's kernel for CPUs takes several times as long as plain products.
    """
    scale = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    k, v = k.to(q.dtype), v.to(q.dtype)
    if q.device.type == "cpu" and q.shape[-2] <= FEW_PIXELS:
        return torch.softmax(scale * (q @ k.transpose(-1, -2)), dim=-1).to(v.dtype) @ v
    shape = (-1, q.shape[1], -1, -1)
    return functional.scaled_dot_product_attention(q, k.expand(shape), v.expand(shape), scale=scale)


def tokens_of(x: Tensor) -> Tensor:
    """(b c h w) -> (b hw c)."""
    return x.flatten(2).transpose(1, 2)


def map_of(tokens: Tensor, like: Tensor) -> Tensor:
    """(b hw c) -> (b c h w) of the size of `like`."""
    return tokens.transpose(1, 2).reshape(len(tokens), -1, *like.shape[2:])


def _heads(x: Tensor, heads: int) -> Tensor:
    """(b n heads c) in one -> (b heads n c)."""
    return x.reshape(*x.shape[:2], heads, -1).transpose(1, 2)


def _with_null(x: Tensor, null: Tensor) -> Tensor:
    """The null's row (c,) in front of (b heads m c)."""
    return torch.cat([null.to(x.dtype).expand(*x.shape[:2], 1, -1), x], dim=2)
