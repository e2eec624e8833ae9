"""The tiles that a method is trained on and makes: their side and resolution, and that the network can halve them."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Self

from pydantic import Field, model_validator

from nucleosynth.config import Settings
from nucleosynth.data.tiles import resample
from nucleosynth.errors import UserError
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

    def check_files(self) -> None:
        """Refuse settings that need files which are not there, before any work.

        Raises:
            UserError: see above.
        """

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
        """The training tiles at the method's resolution.

        Raises:
            UserError: one is asked for and theirs is unknown, or none is and theirs differ; or they show no nucleus.
        """
        if not any(len(sample.classes) for sample in samples):
            raise UserError(
                "no nuclei to learn from",
                expected="labelled tiles",
                got=f"{len(samples)} tiles without a nucleus",
                mend="train on tiles with nuclei",
            )
        if self.mpp is not None:
            return [resample(sample, self.mpp) for sample in samples]
        found = sorted({str(sample.mpp or "unknown") for sample in samples})
        if len(found) > 1:
            raise UserError(
                "tiles of several resolutions",
                expected="one, as the method has none of its own",
                got=f"{', '.join(found)} um per px",
                where="mpp",
                mend=f"state the one to train at, as --set mpp={found[0]}",
            )
        return list(samples)
