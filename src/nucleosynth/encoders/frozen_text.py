"""What published text encoders share: a tokenizer, a network that nothing trains, and the captions that it has seen.

Captions go through one by one, without padding, and are kept: so a caption's tokens depend on it alone, to the last
bit, and what repeats from step to step costs nothing.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from hashlib import sha256
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from torch import Tensor, nn

from nucleosynth.encoders.hub import Model, not_settings
from nucleosynth.encoders.text import Tokens
from nucleosynth.encoders.weights import digest_of
from nucleosynth.errors import UserError
from nucleosynth.progress import say

KEPT = 4096
"""Captions whose tokens are kept; about 50 kB each."""
CPU = torch.device("cpu")
JUNK = (TypeError, ValueError, LookupError, AttributeError, RuntimeError, AssertionError, ArithmeticError)


class FrozenText:
    """A published text encoder (see encoders.text.TextEncoder): tokens are its network's last hidden state."""

    trained = False

    def __init__(self, model: Model, tokenizer: Any, network: nn.Module, width: int, length: int) -> None:
        """network: ids (1 n) to what has a last_hidden_state (1 n width).

        Raises:
            UserError: a tokenizer with more pieces than the network knows, or weights that give no finite tokens.
        """
        vocabulary = tokenizer.get_vocab()
        known = network.get_input_embeddings().num_embeddings  # type: ignore[operator]
        if max(vocabulary.values()) >= known:
            raise UserError(
                "tokenizer and network are of two models",
                expected=f"ids below {known}, as the network has rows",
                got=f"an id {max(vocabulary.values())}",
                where=str(model.folder),
            )
        self.name, self.width, self.length = model.name, width, length
        self.digest = _digest(network, vocabulary)
        self._tokenizer = tokenizer
        self._device = torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else CPU
        self._network = network.eval().requires_grad_(False).to(self._device)
        self._seen: Callable[[str], Tensor] = lru_cache(KEPT)(self._encode)
        if not self._encode("nucleus").isfinite().all():
            raise UserError(
                "tokens that are not finite",
                expected="finite numbers",
                got="NaN or infinity",
                where=str(model.weights),
                mend="take other weights: these overflow, or are broken",
            )

    def __call__(self, captions: Sequence[str]) -> Tokens:
        """Tokens (b length width) of some captions, those of their beginning and end among them.

        What is longer than `length` is cut, the end's token kept, and said.
        """
        values = torch.zeros(len(captions), self.length, self.width)
        mask = torch.zeros(len(captions), self.length, dtype=torch.bool)
        for k, caption in enumerate(captions):
            if caption.strip():
                tokens = self._seen(caption)
                values[k, : len(tokens)], mask[k, : len(tokens)] = tokens, True
        return Tokens(values, mask)

    def module(self) -> None:
        """Nothing of it is trained."""

    @torch.no_grad()
    def _encode(self, caption: str) -> Tensor:
        """(n width) on the CPU, in full precision whatever the model around it is computed in."""
        ids = self._tokenizer(caption, verbose=False)["input_ids"]
        if len(ids) > self.length:
            say(f"a caption of {len(ids)} tokens: the first {self.length} count, of {caption[:60]!r}...")
            ids = [*ids[: self.length - 1], ids[-1]]
        with torch.autocast(self._device.type, enabled=False):
            tokens: Tensor = self._network(input_ids=torch.tensor([ids], device=self._device)).last_hidden_state[0]
        return tokens.cpu()


@contextmanager
def making(model: Model) -> Iterator[None]:
    """In here networks and tokenizers are made of a model's files; torch's seed is left as it is.

    Raises:
        UserError: instead of whatever is raised at settings that do not fit.
    """
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    except UserError:
        raise
    except (*JUNK, OSError, StrictDataclassError) as error:
        raise not_settings(model.folder, str(error) or type(error).__name__) from error


def _digest(network: nn.Module, vocabulary: dict[str, int]) -> str:
    pieces: Iterable[tuple[str, int]] = sorted(vocabulary.items())
    return sha256(f"{digest_of(network.state_dict())} {list(pieces)}".encode()).hexdigest()[:16]
