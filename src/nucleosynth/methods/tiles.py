"""The tiles that a method is trained on and makes: their side and resolution, and that the network can halve them."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Self

from pydantic import Field, model_validator

from nucleosynth.config import Settings
from nucleosynth.data.tiles import resample
from nucleosynth.sample import Sample


class TileSettings(Settings):
    """What a run of every method is decided by; a method's own settings extend it."""

    tile: int = Field(64, ge=1)
    """Side of a training window, and of a generated tile, in px."""
    mpp: float | None = 0.5
    """Resolution in micrometres per pixel; none = the data's own."""

    @property
    @abstractmethod
    def stride(self) -> int:
        """Sides of what the networks take are multiples of this, px."""

    @property
    def size(self) -> tuple[int, int]:
        """(h w) of a tile in px."""
        return self.tile, self.tile

    @model_validator(mode="after")
    def _tile_fits(self) -> Self:
        """A network halves a tile as often as it has levels."""
        if self.tile % self.stride:
            raise ValueError(
                f"a tile whose side is a multiple of {self.stride} px, as the network halves it (tile is {self.tile})"
            )
        return self

    def resampled(self, samples: Sequence[Sample]) -> list[Sample]:
        """The samples at the method's resolution.

        Raises:
            UserError: one is asked for and theirs is unknown.
        """
        return [sample if self.mpp is None else resample(sample, self.mpp) for sample in samples]
