"""Which encoder a model was trained with: what its checkpoint says of it, and the refusal of another."""

from collections.abc import Mapping
from typing import Protocol

from nucleosynth.errors import UserError


class Named(Protocol):
    """What an encoder is told by."""

    @property
    def name(self) -> str:
        """What records call it."""

    @property
    def digest(self) -> str:
        """Of its weights and whatever else decides what it says."""


def record(kind: str, encoder: Named) -> dict[str, str]:
    """What the checkpoint of a model that was trained with an encoder of that kind ("text encoder") says of it."""
    return {kind: encoder.name, f"{kind}'s digest": encoder.digest}


def check(kind: str, encoder: Named, recorded: Mapping[str, str], where: str) -> None:
    """Refuse an encoder that is not the one a model was trained with; recorded: what its checkpoint, at `where`, says.

    Raises:
        UserError: another digest; the same weights under another name will do.
    """
    digest = recorded.get(f"{kind}'s digest")
    if encoder.digest != digest:
        raise UserError(
            f"another {kind} than the model was trained with",
            expected=f"{recorded[kind]}, digest {digest}" if kind in recorded else "one that the checkpoint names",
            got=f"{encoder.name}, digest {encoder.digest}",
            where=where,
            mend="give the files that it was trained with, or train anew",
        )
