"""Captions as words, by a small encoder that is trained with the model: no weights, no vocabulary, no download.

A word's id is a hash of its letters, 1..2^20, so that any caption can be read at any time, a word that training never
saw too. Its vector is the sum of a row for the id's quotient and one for its remainder by 1024, so that each id has its
own (Shi et al., Compositional embeddings using complementary partitions, KDD 2020): two of 100 words share an id with a
chance of .5 %. A small transformer puts the words into context.
"""

import math
import re
from collections.abc import Sequence
from hashlib import sha256

import torch
from torch import Tensor, nn

from nucleosynth.encoders.text import Tokens
from nucleosynth.errors import UserError
from nucleosynth.progress import say

ROWS = 1024
"""Of each of the two tables; their product is the number of ids."""
WIDTH, LENGTH, LAYERS, HEADS = 64, 64, 2, 4
WORD = re.compile(r"[^\W_]+|&")


class Words:
    """The embedded default (see encoders.text.TextEncoder)."""

    name = "words"
    digest = sha256(f"{WORD.pattern} {ROWS} {WIDTH} {LENGTH} {LAYERS} {HEADS}".encode()).hexdigest()[:16]
    width, length, trained = WIDTH, LENGTH, True

    def __call__(self, captions: Sequence[str]) -> Tokens:
        """Ids (b length) of the words of some captions; case and punctuation do not count.

        What is beyond the 64th word is cut, and said.
        """
        ids = torch.zeros(len(captions), LENGTH, dtype=torch.int64)
        for row, caption in zip(ids, captions, strict=True):
            words = WORD.findall(caption.lower())
            if len(words) > LENGTH:
                say(f"a caption of {len(words)} words: the first {LENGTH} count, of {caption[:60]!r}...")
            found = [id_of(word) for word in words[:LENGTH]]
            row[: len(found)] = torch.tensor(found, dtype=torch.int64)
        return Tokens(ids, ids > 0)

    def module(self) -> nn.Module:
        """The network, untrained; its weights come from torch's seed."""
        return WordsNet()


class WordsNet(nn.Module):
    """Ids (b n) to tokens (b n width), 0 where there is no word; n is at most LENGTH."""

    def __init__(self) -> None:
        super().__init__()
        self.quotients, self.remainders = nn.Embedding(ROWS, WIDTH), nn.Embedding(ROWS, WIDTH)
        self.places = nn.Embedding(LENGTH, WIDTH)
        for table in (self.quotients, self.remainders, self.places):
            nn.init.normal_(table.weight, std=0.5)
        self.blocks = nn.ModuleList(_Block() for _ in range(LAYERS))
        self.norm = nn.LayerNorm(WIDTH)

    def forward(self, ids: Tensor) -> Tensor:
        """(b n) -> (b n width). What follows the last word changes nothing."""
        mask, number = ids > 0, (ids - 1).clamp_min(0)
        places = self.places(torch.arange(ids.shape[1], device=ids.device))
        x = self.quotients(number // ROWS) + self.remainders(number % ROWS) + places
        for block in self.blocks:
            x = block(x, mask)
        return self.norm(x) * mask[..., None]  # type: ignore[no-any-return]


class _Block(nn.Module):
    """A layer of a transformer: attention, then two linear layers, each after a norm and beside the identity."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.between = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.inwards, self.outwards = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.wide = nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (b n width), mask (b n)."""
        x = x + self.outwards(self._attended(self.before(x), mask))
        return x + self.wide(self.between(x))  # type: ignore[no-any-return]

    def _attended(self, x: Tensor, mask: Tensor) -> Tensor:
        q, k, v = (part.unflatten(-1, (HEADS, -1)).transpose(1, 2) for part in self.inwards(x).chunk(3, dim=-1))
        scores = q @ k.transpose(-1, -2) / math.sqrt(WIDTH // HEADS)
        # The lowest number, not minus infinity: a caption without words has nothing to look at, and is 0 in the end.
        scores = scores.masked_fill(~mask[:, None, None], torch.finfo(scores.dtype).min)
        found: Tensor = scores.softmax(dim=-1).to(v.dtype) @ v
        return found.transpose(1, 2).flatten(2)


def id_of(word: str) -> int:
    """1..2^20, from the letters alone, on every machine."""
    return 1 + int.from_bytes(sha256(word.encode()).digest()[:8], "big") % ROWS**2


def load(where: str = "") -> Words:
    """The encoder; it is made of nothing.

    Raises:
        UserError: something is given after the colon.
    """
    if where:
        raise UserError("words takes no file", expected="words", got=f"words:{where}", mend="leave it out")
    return Words()
