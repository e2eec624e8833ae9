"""Nuclei cut out of labelled tiles with the tissue around them, to be set in elsewhere.

Only whole nuclei of known type are cut out, and only where there is room around them: none that a tile's border cuts.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from nucleosynth.sample import Image, Sample, Symmetry, transform_array


@dataclass(frozen=True, eq=False)
class Donor:
    """A nucleus in its own small picture (h w), `room` px wider than the nucleus on each side.

    mask: True on its pixels; others: True on those of other nuclei; kind: its class id; tile, nucleus: its origin.
    """

    image: Image
    mask: NDArray[np.bool_]
    others: NDArray[np.bool_]
    kind: int
    tile: str
    nucleus: int

    @property
    def area(self) -> int:
        """Pixels of the nucleus."""
        return int(np.count_nonzero(self.mask))

    def turned(self, symmetry: Symmetry) -> "Donor":
        """One of the square's eight symmetries."""
        image, mask, others = (transform_array(each, symmetry) for each in (self.image, self.mask, self.others))
        return replace(self, image=image, mask=mask, others=others)


class _Place(NamedTuple):
    tile: int
    nucleus: int
    window: tuple[slice, slice]


class Donors:
    """The nuclei of some tiles by class, each class sorted by area; pixels are cut out when they are asked for."""

    def __init__(self, tiles: Sequence[Sample], room: int) -> None:
        """tiles: at one resolution; room: px of tissue around each nucleus.

        Where no nucleus of any tile has a known type, all are of one kind, class 0.
        """
        self.room, self._tiles = room, tiles
        typed = any(tile.classes.any() for tile in tiles)
        found: dict[int, list[tuple[int, _Place]]] = {}
        for index, tile in enumerate(tiles):
            for kind, area, place in _whole(tile, index, room):
                if kind or not typed:
                    found.setdefault(kind, []).append((area, place))
        ordered = {kind: sorted(found[kind], key=lambda pair: pair[0]) for kind in sorted(found)}
        self._places = {kind: [place for _, place in pairs] for kind, pairs in ordered.items()}
        self._areas = {kind: np.array([area for area, _ in pairs]) for kind, pairs in ordered.items()}

    @property
    def kinds(self) -> tuple[int, ...]:
        """Class ids of which there is at least one, ascending; (0,) where no type is known."""
        return tuple(self._places)

    def count(self, kind: int, largest: float = np.inf) -> int:
        """How many there are of a class with at most `largest` px."""
        return int(np.searchsorted(self._areas[kind], largest, side="right"))

    def draw(self, kind: int, generator: np.random.Generator, largest: float = np.inf) -> Donor | None:
        """Any nucleus of a class with at most `largest` px, under any symmetry of the square; None if there is none."""
        count = self.count(kind, largest)
        if not count:
            return None
        place = self._places[kind][generator.integers(count)]
        tile = self._tiles[place.tile]
        label = tile.instances[place.window]
        mask = label == place.nucleus
        donor = Donor(tile.image[place.window], mask, (label > 0) & ~mask, kind, tile.sample_id, place.nucleus)
        return donor.turned(int(generator.integers(8)))


def _whole(tile: Sample, index: int, room: int) -> Iterator[tuple[int, int, _Place]]:
    """Class, area and place of each nucleus with room around it."""
    areas = np.bincount(tile.instances.ravel(), minlength=len(tile.classes) + 1)
    for k, box in enumerate(ndimage.find_objects(tile.instances), 1):
        rows, columns = (slice(side.start - room, side.stop + room) for side in box)
        if min(rows.start, columns.start) >= 0 and rows.stop <= tile.size[0] and columns.stop <= tile.size[1]:
            yield int(tile.classes[k - 1]), int(areas[k]), _Place(index, k, (rows, columns))
