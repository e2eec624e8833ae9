"""What networks are told of a text encoder (encoders.text)."""

from typing import NamedTuple

from torch import nn


class TextShape(NamedTuple):
    """What comes of a text encoder: tokens of `width` channels, at most `length` of them.

    words: for an encoder that is trained with the network, the module that makes them of ids (b n).
    """

    width: int
    length: int
    words: nn.Module | None = None
