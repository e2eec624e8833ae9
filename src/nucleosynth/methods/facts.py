"""What a run learns of its training tiles before training, and keeps for generation."""

from collections.abc import Sequence
from typing import Self

from nucleosynth.conditions.slots import Slots
from nucleosynth.config import Settings
from nucleosynth.sample import Sample


class Facts(Settings):
    """What every method wants to know later; one that wants more extends it."""

    classes: tuple[int, ...]
    """Class ids that occur; only these are made."""
    tissue: str
    """The tissue of the training tiles, "mixed" where there are several."""
    stain: str
    """Their stain, likewise."""

    @classmethod
    def of(cls, tiles: Sequence[Sample]) -> Self:
        """The facts of some tiles."""
        return cls(**common(tiles))

    @property
    def slots(self) -> Slots:
        """The classes as a network numbers them."""
        return Slots(self.classes)


def common(tiles: Sequence[Sample]) -> dict[str, object]:
    """The fields of `Facts`, for a method's own facts to be made of."""
    return {
        "classes": Slots.of(tiles).classes,
        "tissue": _one_of({tile.tissue for tile in tiles}),
        "stain": _one_of({tile.stain for tile in tiles}),
    }


def _one_of(names: set[str]) -> str:
    return next(iter(names)) if len(names) == 1 else "mixed"
