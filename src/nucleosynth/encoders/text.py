"""A text encoder turns captions into tokens, a vector for each piece of text, that a network attends to.

Named in settings as in the catalog, with what it is made of after a colon: "words" (embedded, trained with the model),
"plip", "clip-text:FOLDER", "t5:google/t5-v1_1-base". Published encoders are frozen and come from a folder or from the
hub's cache; ":download" at the end fetches them. A checkpoint keeps an encoder's name and digest
(encoders.identity).
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from torch import Tensor, nn

from nucleosynth import catalog
from nucleosynth.nets.text import TextShape

KIND = "text encoder"
"""What a checkpoint calls it."""
PUBLISHED = {"plip": (512, 77), "clip-text": (512, 77), "t5": (768, 256)}
"""Width and length of tokens, so that a network can be counted without the encoder's files."""


class Tokens(NamedTuple):
    """Captions as tokens, on the CPU. A caption's tokens depend on that caption alone; the empty one has none.

    values: of a frozen encoder float32 (b n width), 0 where there is no token; of a trained one int64 ids (b n), 0
    where there is no token, for `TextEncoder.module`. mask: bool (b n), True where there is a token; n is the
    encoder's `length`, and tokens stand at the front.
    """

    values: Tensor
    mask: Tensor


class TextEncoder(Protocol):
    """The contract of every text encoder; tests/encoders/test_text.py holds all of them to it.

    name: what records call it; digest: of its weights and its vocabulary (of a trained one, of how it reads words);
    width: of a token; length: the most tokens of a caption, what is longer is cut, and said; trained: whether it is
    trained with the model.
    """

    name: str
    digest: str
    width: int
    length: int
    trained: bool

    def __call__(self, captions: Sequence[str], /) -> Tokens:
        """The tokens of some captions, in their order."""

    def module(self) -> nn.Module | None:
        """A new network from ids (b n) to (b n width), to be part of the model's; None of a frozen encoder."""


def load(spec: str) -> TextEncoder:
    """The text encoder of that name, made of what stands after the colon if there is something.

    Raises:
        UserError: an unknown name, or files that are not there, are broken, or do not fit.
    """
    name, _, where = spec.partition(":")
    encoder: TextEncoder = catalog.load("text encoder", name)(where)
    return encoder


def shape_of(encoder: TextEncoder) -> TextShape:
    """What a network is told of an encoder; the module of one that is trained with it is new."""
    return TextShape(encoder.width, encoder.length, encoder.module())


def published_shape(spec: str) -> TextShape:
    """What a network is told of the encoder of that name; no file is read."""
    name = spec.partition(":")[0]
    return TextShape(*PUBLISHED[name]) if name in PUBLISHED else shape_of(load(spec))
