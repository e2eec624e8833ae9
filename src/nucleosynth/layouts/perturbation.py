"""DiffMix's perturbed labels: real tiles in which rare classes are made more frequent, image and label together.

Two changes, both with real nuclei of the training tiles (layouts.donors):
    replaced   nuclei of a class that the tile has too many of, each by a nucleus of a class that it has too few of;
    added      further nuclei at random free places of the tissue, of the classes that are still too few.
Too many and too few are measured against shares of the classes that are aimed at. Where there is one class there is
nothing to balance and nothing is replaced; nuclei are added all the same. No nucleus is lost: one that goes is in the
record of the one that came, and those that nothing fits in place of stay.

The release replaces 80 % of the nuclei of all classes but one, the smallest first, by nuclei of that one which are at
most 1/2.3 of their size, each used once; that is `ratio=2.3` and shares of 1 for the rare class. Here donors are drawn
anew each time, and need only fit between the neighbours.
Source: Oh and Jeong, DiffMix, MICCAI 2023.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from nucleosynth.conditions.points import centroids
from nucleosynth.config import Settings
from nucleosynth.errors import UserError, unknown_name
from nucleosynth.layouts.donors import Donor, Donors
from nucleosynth.layouts.grafting import Grafting
from nucleosynth.sample import Sample

MPP_40X = 0.25
"""Micrometres per pixel that lengths are measured at where a tile states none."""


class PerturbationSettings(Settings):
    """How labels are perturbed."""

    proportions: Mapping[str, float] = {}
    """Shares of the classes to aim at, by name, of any sum; classes that are not named get none. All alike if empty."""
    replaced: float = Field(default=0.8, ge=0, le=1)
    """Share of the nuclei of a class that may be replaced: its smallest."""
    added: float = Field(default=0.2, ge=0)
    """Nuclei that are added, over those that there are."""
    ratio: float = Field(default=0, ge=0)
    """Least area of a nucleus with its rim over that of what replaces it; 2.3 as released, 0 = whatever fits."""
    border_um: float = Field(default=7.5, ge=0)
    """Nuclei whose centre lies nearer to the border of a tile stay as they are."""
    rim_um: float = Field(default=0.5, ge=0)
    """What goes with a nucleus around its outline."""
    ramp_um: float = Field(default=1.0, ge=0)
    """Over this distance a nucleus's own surroundings fade into the tile's."""
    tint: float = Field(default=0.5, ge=0, le=1)
    """How far a nucleus's mean colour moves towards that of the tile's own; half of the way as released."""
    tries: int = Field(default=8, ge=1)
    """Nuclei that are tried in a place, or for a place, before it is given up."""

    def px(self, length_um: float, mpp: float | None) -> int:
        """A length in whole px."""
        return round(length_um / (mpp or MPP_40X))

    def room(self, mpp: float | None) -> int:
        """Tissue that donors bring, px."""
        return self.px(self.ramp_um, mpp) + 1


@dataclass(frozen=True)
class Change:
    """One nucleus that came, and the one that went for it.

    x, y: a pixel of the new nucleus, its centre; before, after: names of classes ("" for unknown type, and before an
    addition); area_before, area_after: px; tile, nucleus: where the new one is from.
    """

    kind: Literal["replaced", "added"]
    x: int
    y: int
    before: str
    after: str
    area_before: int
    area_after: int
    tile: str
    nucleus: int

    def seen_from(self, top: int, left: int) -> "Change":
        """The same change in a window of the tile."""
        return replace(self, x=self.x - left, y=self.y - top)


class Perturbed(NamedTuple):
    """A tile after its changes, in the order in which they were made."""

    sample: Sample
    changes: tuple[Change, ...]


def shares_of(settings: PerturbationSettings, class_names: Sequence[str], donors: Donors) -> dict[int, float]:
    """The share of each class of the donors that is aimed at; they sum to 1.

    Raises:
        UserError: no nucleus to cut out; or proportions of an unknown class, below 0, of no sum, or of a class of which
            there is no whole nucleus.
    """
    if not donors.kinds:
        raise UserError(
            "no nucleus to perturb labels with",
            expected="a nucleus of known type that no tile's border cuts",
            got="none",
            mend="train on tiles that show whole nuclei",
        )
    wanted = dict(settings.proportions)
    for name in wanted:
        if name not in class_names:
            raise unknown_name("class", name, class_names, "perturbation.proportions")
    total = sum(wanted.values())
    if wanted and (min(wanted.values()) < 0 or not 0 < total < np.inf):
        raise UserError(
            "proportions that cannot be aimed at",
            expected="numbers from 0, one of them above 0",
            got=str(wanted),
            where="perturbation.proportions",
        )
    absent = [name for name, share in wanted.items() if share and class_names.index(name) + 1 not in donors.kinds]
    if absent:
        raise UserError(
            "no nucleus of a class that is wanted",
            expected="a whole nucleus of each in the training tiles",
            got=f"none of {', '.join(absent)}",
            where="perturbation.proportions",
            mend="leave it out",
        )
    if not wanted:
        return dict.fromkeys(donors.kinds, 1 / len(donors.kinds))
    return {kind: wanted.get(class_names[kind - 1], 0.0) / total for kind in donors.kinds}


def perturbed(
    sample: Sample,
    donors: Donors,
    shares: Mapping[int, float],
    settings: PerturbationSettings,
    generator: np.random.Generator,
) -> Perturbed:
    """A tile with other nuclei: some replaced, then some added (see the module).

    shares: as `shares_of`; donors: with `settings.room` around them, at the tile's resolution. Nuclei of classes
    without donors, of unknown type, and near the border stay, and do not count.
    """
    work = _Work(sample, donors, shares, settings, generator)
    work.balance()
    work.enlarge()
    return Perturbed(work.grafting.sample(), tuple(work.changes))


def whole_numbers(shares: NDArray[np.float64], total: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """`total` dealt out by shares that sum to 1: each rounded up or down, and exact on average."""
    edges = np.cumsum(shares) * total
    edges[-1] = total
    return np.diff(np.floor(edges + generator.random()), prepend=0).astype(np.int64)


class _Work:
    """A tile on the way from its own classes to the shares."""

    def __init__(
        self,
        sample: Sample,
        donors: Donors,
        shares: Mapping[int, float],
        settings: PerturbationSettings,
        generator: np.random.Generator,
    ) -> None:
        self.donors, self.shares, self.settings, self.generator = donors, shares, settings, generator
        self.grafting = Grafting(sample, donors.room)
        self.changes: list[Change] = []
        self._names, self._size = ("", *sample.class_names), sample.size
        self._border, self._rim, self._ramp = (
            settings.px(length, sample.mpp) for length in (settings.border_um, settings.rim_um, settings.ramp_um)
        )
        self._areas = np.bincount(sample.instances.ravel(), minlength=len(sample.classes) + 1)[1:]
        inner = self._inside(*centroids(sample.instances).T[::-1])
        self._nuclei = {kind: np.flatnonzero((sample.classes == kind) & inner) + 1 for kind in shares}
        self._counts = {kind: len(nuclei) for kind, nuclei in self._nuclei.items()}

    def balance(self) -> None:
        """Replace what is too many by what is too few."""
        kinds, total = list(self.shares), sum(self._counts.values())
        wanted = whole_numbers(np.array(list(self.shares.values())), total, self.generator)
        missing = {kind: int(number) - self._counts[kind] for kind, number in zip(kinds, wanted, strict=True)}
        for nucleus, kind in self._candidates(missing):
            if missing[kind] < 0:
                for other in sorted((k for k in kinds if missing[k] > 0), key=lambda k: -missing[k]):
                    if self._replace(nucleus, other):
                        missing[kind] += 1
                        missing[other] -= 1
                        break

    def enlarge(self) -> None:
        """Add nuclei of what is too few."""
        number = int(self.settings.added * sum(self._counts.values()) + self.generator.random())
        for _ in range(number):
            total = sum(self._counts.values()) + 1
            self._add(max(self.shares, key=lambda kind: self.shares[kind] * total - self._counts[kind]))

    def _candidates(self, missing: Mapping[int, int]) -> Iterator[tuple[int, int]]:
        """Nuclei that may go and their classes: as many as should, the smallest first; then others, if those stay."""
        first: list[tuple[int, int]] = []
        rest: list[tuple[int, int]] = []
        for kind, nuclei in self._nuclei.items():
            allowed = int(self.settings.replaced * len(nuclei) + self.generator.random())
            shuffled = self.generator.permutation(nuclei)
            smallest = shuffled[np.argsort(self._areas[shuffled - 1], kind="stable")][:allowed]
            drawn = [(int(nucleus), kind) for nucleus in smallest]
            needed = max(-missing[kind], 0)
            first += drawn[:needed]
            rest += drawn[needed:]
        for part in (first, rest):
            yield from sorted(part, key=lambda pair: self._areas[pair[0] - 1])

    def _replace(self, nucleus: int, kind: int) -> bool:
        """Put a nucleus of a class in the place of another; False if none of some fits."""
        ratio, area = self.settings.ratio, np.count_nonzero(self.grafting.hole(nucleus, self._rim))
        for donor in self._tried(kind, area / ratio if ratio else np.inf):
            at = self.grafting.room_instead(nucleus, donor)
            if at is not None and self._inside(*at):
                before = self.grafting.classes[nucleus - 1]
                self.grafting.take_out(nucleus, self._rim)
                self.grafting.set_in(donor, at, self._ramp, self.settings.tint, nucleus)
                self._counts[before] -= 1
                self._note("replaced", donor, at, before, int(self._areas[nucleus - 1]))
                return True
        return False

    def _add(self, kind: int) -> None:
        """Put a nucleus of a class anywhere; nothing where none of some finds room."""
        for donor in self._tried(kind):
            y, x = np.nonzero(self.grafting.room_for(donor))
            y, x = (axis[self._inside(y, x)] for axis in (y, x))
            if len(y):
                place = self.generator.integers(len(y))
                at = int(y[place]), int(x[place])
                self.grafting.set_in(donor, at, self._ramp, self.settings.tint)
                self._note("added", donor, at)
                return

    def _tried(self, kind: int, largest: float = np.inf) -> Iterator[Donor]:
        for _ in range(self.settings.tries):
            donor = self.donors.draw(kind, self.generator, largest)
            if donor is not None:
                yield donor

    def _note(
        self, kind: Literal["replaced", "added"], donor: Donor, at: tuple[int, int], before: int = 0, area: int = 0
    ) -> None:
        self._counts[donor.kind] += 1
        names = self._names[before], self._names[donor.kind]
        self.changes.append(Change(kind, at[1], at[0], *names, area, donor.area, donor.tile, donor.nucleus))

    def _inside(self, y: ArrayLike, x: ArrayLike) -> NDArray[np.bool_]:
        """Whether places are far enough from the border."""
        height, width = self._size
        beyond = np.maximum(
            np.abs(np.subtract(y, (height - 1) / 2)) - (height - 1) / 2,
            np.abs(np.subtract(x, (width - 1) / 2)) - (width - 1) / 2,
        )
        return np.asarray(-beyond >= self._border)
