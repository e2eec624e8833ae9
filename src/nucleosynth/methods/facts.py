"""What a run learns of its training tiles before training, and keeps for generation."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Self

import numpy as np

from nucleosynth.conditions.slots import Slots
from nucleosynth.config import Settings
from nucleosynth.errors import UserError
from nucleosynth.sample import Condition, Sample


class Facts(Settings):
    """What every method wants to know later; one that wants more extends it."""

    classes: tuple[int, ...]
    """Class ids that occur; only these are made."""
    tissue: str
    """The tissue of the training tiles, "mixed" where there are several."""
    stain: str
    """Their stain, likewise."""
    mpp: float | None = None
    """Their resolution, micrometres per pixel; none where it is unknown."""

    @classmethod
    def of(cls, tiles: Sequence[Sample]) -> Self:
        """The facts of some tiles."""
        return cls(**common(tiles))

    @property
    def slots(self) -> Slots:
        """The classes as a network numbers them."""
        return Slots(self.classes)

    def known(self, conditions: Iterable[Condition]) -> Iterator[Condition]:
        """The conditions as they come, if their labels, points and amounts are of classes that were trained on.

        Where it was trained on one class, or on none, all nuclei are of it, and nothing is refused.

        Raises:
            UserError: a nucleus of a class that the training tiles did not show; unknown types are none.
        """
        for condition in conditions:
            strange = _kinds(condition) - {0, *self.classes}
            if strange and self.slots.typed:
                names = ("", *condition.class_names)
                raise UserError(
                    "a class that training never saw",
                    expected=f"nuclei of {_named(self.classes, names)}",
                    got=_named(sorted(strange), names),
                    where=f"condition {condition.name!r}",
                    mend="read it in a scheme that merges them (--classes), or train on tiles that show them",
                )
            yield condition


def common(tiles: Sequence[Sample]) -> dict[str, object]:
    """The fields of `Facts`, for a method's own facts to be made of."""
    return {
        "classes": Slots.of(tiles).classes,
        "tissue": _one_of({tile.tissue for tile in tiles}),
        "stain": _one_of({tile.stain for tile in tiles}),
        "mpp": tiles[0].mpp if len({tile.mpp for tile in tiles}) == 1 else None,
    }


def _kinds(condition: Condition) -> set[int]:
    """Class ids that a condition asks for."""
    kinds: set[int] = set()
    if condition.classes is not None:
        kinds.update(np.unique(condition.classes).tolist())
    if condition.points is not None:
        kinds.update(np.unique(condition.points.classes).tolist())
    for amounts in (condition.counts, condition.proportions):
        if amounts is not None:
            kinds.update((np.flatnonzero(amounts[: len(condition.class_names)]) + 1).tolist())
    return kinds


def _named(kinds: Sequence[int], names: Sequence[str]) -> str:
    return ", ".join(names[kind] if kind < len(names) else f"class {kind}" for kind in kinds)


def _one_of(names: set[str]) -> str:
    return next(iter(names)) if len(names) == 1 else "mixed"
