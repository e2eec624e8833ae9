"""A CLIP with both towers: captions and images as vectors of one space, and what the image tower sees on its way.

Named in settings as in the catalog, with what it is made of after a colon: "own:RUN" (the small one, which
`nucleosynth fit clip` trains), "quiltnet", "open_clip:FOLDER", "open_clip:MODEL:FILE", "open_clip:OWNER/NAME". It is
frozen: it is no part of the model that uses it, its weights are in no checkpoint of another; `record` and `check` keep
name and digest in theirs, and refuse another pair.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from nucleosynth import catalog
from nucleosynth.encoders.network import Preparation
from nucleosynth.errors import UserError

BLOCKS = (1, 4, 8)
"""Of twelve, counted from 0, whose outputs CGPN-GAN's discriminator sees; of other depths those at the same shares."""
KEPT = 4096
"""Captions whose vectors are kept."""
KIND = "CLIP"
"""What a checkpoint calls it."""


class Seen(NamedTuple):
    """What the image tower makes of images (b 3 h w).

    embedding: float32 (b width); maps: the outputs of three blocks, float32 (b map_width map_side map_side) each.
    """

    embedding: Tensor
    maps: tuple[Tensor, ...]


class ClipPair(Protocol):
    """The contract of every pair; tests/encoders/test_clip_pairs.py holds all of them to it.

    name: what records call it; digest: of its weights; width: of a vector; side: px that images are resized to;
    map_width, map_side: channels and side of a block's map. What an item gives does not depend on its batch mates.
    """

    name: str
    digest: str
    width: int
    side: int
    map_width: int
    map_side: int

    def to(self, device: torch.device) -> "ClipPair":
        """The same pair, moved there."""

    def text(self, captions: Sequence[str], /) -> Tensor:
        """Vectors (b width) of captions, float32, on the pair's device, not normalised, without a gradient."""

    def image(self, images: Tensor, /) -> Seen:
        """What is seen in images (b 3 h w) in [-1, 1], with a gradient to them: in whatever precision autocast says.

        They are resized once to side^2, bicubic with averaging, and normalised once, from [0, 1].
        """


class FrozenPair:
    """What all pairs share: nothing is trained, captions go through one by one and are kept."""

    def __init__(
        self,
        name: str,
        digest: str,
        net: nn.Module,
        prepare: Preparation,
        encode: Callable[[str, torch.device], Tensor],
        look: Callable[[Tensor], Seen],
    ) -> None:
        """encode: a caption to its vector (width,), on the device that is asked for; look: prepared images to what is
        seen in them; both by `net`.

        Raises:
            UserError: weights that give no finite vector.
        """
        self.name, self.digest, self.side = name, digest, prepare.side
        self._net = net.eval().requires_grad_(False)
        self._prepare, self._encode, self._look = prepare, encode, look
        self._device = torch.device("cpu")
        self._seen: Callable[[str], Tensor] = lru_cache(KEPT)(self._of_caption)
        with torch.no_grad():
            tried = self.image(torch.zeros(1, 3, self.side, self.side))
        self.width = tried.embedding.shape[1]
        self.map_width, self.map_side = tried.maps[0].shape[1:3]
        if not (tried.embedding.isfinite().all() and self.text(["nucleus"]).isfinite().all()):
            raise UserError(
                "vectors that are not finite",
                expected="finite numbers",
                got="NaN or infinity",
                where=name,
                mend="take other weights: these overflow, or are broken",
            )

    def to(self, device: torch.device) -> "FrozenPair":
        """The same pair, moved there."""
        self._net.to(device)
        self._device = device
        return self

    def text(self, captions: Sequence[str]) -> Tensor:
        """(see ClipPair)"""
        if not captions:
            return torch.zeros(0, self.width, device=self._device)
        return torch.stack([self._seen(caption) for caption in captions]).to(self._device)

    def image(self, images: Tensor) -> Seen:
        """(see ClipPair)"""
        embedding, maps = self._look(self._prepare((images.float() + 1) * 127.5))
        return Seen(embedding.float(), tuple(each.float() for each in maps))

    @torch.no_grad()
    def _of_caption(self, caption: str) -> Tensor:
        """On the CPU, in full precision whatever the model around it is computed in."""
        with torch.autocast(self._device.type, enabled=False):
            return self._encode(caption, self._device).float().cpu()


def at_shares(depth: int) -> tuple[int, ...]:
    """The blocks of a tower of that depth that stand where `BLOCKS` do in one of twelve.

    Example:
        >>> at_shares(12), at_shares(24), at_shares(3)
        ((1, 4, 8), (2, 8, 16), (0, 1, 2))
    """
    return tuple(block * depth // 12 for block in BLOCKS)


def load(spec: str) -> ClipPair:
    """The pair of that name, made of what stands after the colon.

    Raises:
        UserError: an unknown name, or files that are not there, are broken, or do not fit.
    """
    name, _, where = spec.partition(":")
    pair: ClipPair = catalog.load("clip", name)(where)
    return pair
