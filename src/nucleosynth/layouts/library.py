"""DAFF-GAN's point library: the point set of each training tile, and new layouts made from them at random.

A layout is a window of the library under the transforms of `transforms`. Of its nuclei it keeps the places, or has
them put anew ("generate"), or is put together from several windows ("combine"); then it is turned by any angle or by
an affine map, flipped, and at times partly covered. Layout k depends on (seed, k) alone. Tiles of a test split never
enter. Source: Cheng et al., DAFF-GAN; the order and the shares are ours, chosen so that counts and distances stay those
of the library (benchmarks/layouts.py).
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import count as naturals
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from nucleosynth.conditions.points import from_instances
from nucleosynth.config import Settings
from nucleosynth.data.splits import is_held_out
from nucleosynth.errors import UserError
from nucleosynth.layouts import table
from nucleosynth.layouts.pattern import Pattern
from nucleosynth.layouts.spacing import CORE, Spacing
from nucleosynth.layouts.transforms import affine, combine, cover, flip, generate, mapped, rotate, thin
from nucleosynth.sample import Sample
from nucleosynth.seeds import generator_of

REACH = 2.0
"""A window is cut so many times as large as the layout, where the tile is, so that what is turned has corners."""
LAYOUT_KEY = 11
"""Beside (seed, k)."""


class SamplingSettings(Settings):
    """How often each transform is part of a layout."""

    generate: float = Field(0.2, ge=0, le=1)
    """Share of the layouts whose nuclei get new places."""
    combine: float = Field(0.15, ge=0, le=1)
    """Share of the layouts that are put together from 2 to 4 windows."""
    affine: float = Field(0.3, ge=0, le=1)
    """Share of windows under an affine map; the others are turned by any angle."""
    cover: float = Field(0.05, ge=0, le=1)
    """Share of the layouts in which rectangles are covered."""
    thin: float = Field(0.05, ge=0, le=1)
    """Share of the layouts that are thinned."""


@dataclass(frozen=True, eq=False)
class Library:
    """The patterns of training tiles, one each, of one list of classes.

    Raises:
        UserError: no pattern, no nucleus in any, or patterns of different classes.
    """

    patterns: tuple[Pattern, ...]

    def __post_init__(self) -> None:
        kinds = {pattern.class_names for pattern in self.patterns}
        if len(kinds) != 1 or not any(len(pattern.classes) for pattern in self.patterns):
            raise UserError(
                "no library of layouts",
                expected="the points of some tiles, of one list of classes",
                got=f"{len(self.patterns)} tiles, {len(kinds)} lists of classes"
                if len(kinds) != 1
                else f"{len(self.patterns)} tiles without a nucleus",
                where=", ".join(sorted({pattern.source for pattern in self.patterns})[:3]),
                mend="give labelled tiles with nuclei, read in one class scheme",
            )

    @classmethod
    def of(cls, tiles: Sequence[Sample], mpp: float | None = None, held_out: Collection[str] | None = None) -> Self:
        """The library of some training tiles: their points, or the centroids of their nuclei.

        mpp: micrometres per pixel of tiles that state none; held_out: splits that are refused, unless given those that
        `is_held_out` knows; () where a caller knows that no tile is held out.

        Raises:
            UserError: a tile of a held-out split, or of unknown resolution; and see the class.
        """
        for tile in tiles:
            if is_held_out(tile.split) if held_out is None else tile.split in held_out:
                raise UserError(
                    "a held-out tile in a library of layouts",
                    expected="training tiles",
                    got=f"split {tile.split!r}",
                    where=f"sample {tile.sample_id!r} of {tile.source}",
                    mend="make the library of the training split",
                )
        return cls(tuple(_pattern(tile, mpp) for tile in tiles))

    @classmethod
    def read(cls, path: Path) -> Self:
        """A library that `write` wrote, or any table of real layouts.

        Raises:
            UserError: no table of layouts (see layouts.table.read), or no nucleus in it.
        """
        patterns = tuple(table.read(path))
        try:
            return cls(patterns)
        except UserError as error:
            raise UserError(
                error.what,
                expected=error.expected,
                got=error.got,
                where=str(path),
                mend="take a table of layouts with nuclei",
            ) from None

    def write(self, path: Path) -> None:
        """Write it as a table of layouts."""
        table.write(path, self.patterns)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes of all patterns."""
        return self.patterns[0].class_names

    def sample(
        self, seed: int, size_um: tuple[float, float], settings: SamplingSettings, start: int = 0
    ) -> Iterator[Pattern]:
        """Endless new layouts start, start + 1, ... of an extent (h w): layout k from (seed, k) alone."""
        return (self._layout(seed, k, size_um, settings) for k in naturals(start))

    def _layout(self, seed: int, k: int, size_um: tuple[float, float], settings: SamplingSettings) -> Pattern:
        generator = generator_of(seed, k, LAYOUT_KEY)
        kind = generator.random()
        if kind < settings.generate:
            made = self._placed(generator, size_um)
        elif kind < settings.generate + settings.combine:
            made = self._combined(generator, size_um, settings)
        else:
            made = self._moved(generator, size_um, settings)
        made = flip(made, generator)
        if generator.random() < settings.cover:
            made = cover(made, generator)
        if generator.random() < settings.thin:
            made = thin(made, generator)
        return replace(made, name=f"layout_{seed}_{k:06d}")

    def _moved(
        self, generator: np.random.Generator, size_um: tuple[float, float], settings: SamplingSettings
    ) -> Pattern:
        """A window of a tile, turned or under an affine map."""
        window = _window(self.patterns[self._drawn(generator)], generator, size_um, REACH)
        if generator.random() < settings.affine:
            return affine(window, generator, size_um)
        return rotate(window, generator, size_um)

    def _placed(self, generator: np.random.Generator, size_um: tuple[float, float]) -> Pattern:
        """As many nuclei as a window of a tile has, put anew with that tile's distances."""
        chosen = self._drawn(generator)
        window = _window(self.patterns[chosen], generator, size_um, 1)
        if window.size_um != size_um:
            window = mapped(window, {"name": "mirror"}, np.eye(2), (0.0, 0.0), size_um)
        return generate(window, generator, self._spacings[chosen])

    def _combined(
        self, generator: np.random.Generator, size_um: tuple[float, float], settings: SamplingSettings
    ) -> Pattern:
        """Parts of 2 to 4 windows."""
        first, *others = (self._moved(generator, size_um, settings) for _ in range(int(generator.integers(2, 5))))
        by = "quadrants" if generator.random() < 0.5 else "mask"
        return combine(first, generator, others, by=by, gap_um=self._gap)  # type: ignore[arg-type]

    def _drawn(self, generator: np.random.Generator) -> int:
        """A tile, as likely as it is large."""
        return int(generator.choice(len(self.patterns), p=self._shares))

    @cached_property
    def _shares(self) -> NDArray[np.float64]:
        areas = np.array([np.prod(pattern.size_um) for pattern in self.patterns])
        return np.asarray(areas / areas.sum())

    @cached_property
    def _spacings(self) -> tuple[Spacing, ...]:
        return tuple(map(Spacing.of, self.patterns))

    @cached_property
    def _gap(self) -> float:
        """What all but the nearest of real nuclei keep between them, um."""
        known = np.concatenate([spacing.distances_um[:, 0] for spacing in self._spacings])
        known = known[np.isfinite(known)]
        return float(np.quantile(known, CORE)) if len(known) else 0.0


def _pattern(tile: Sample, mpp: float | None) -> Pattern:
    known = tile.mpp or mpp
    if known is None:
        raise UserError(
            "unknown resolution",
            expected="micrometres per pixel of every tile",
            got="none",
            where=f"sample {tile.sample_id!r}",
            mend="state mpp (meta.toml of a folder), or write tiles anew by `tiles --source-mpp`",
        )
    return Pattern.of(tile.points or from_instances(tile), known, tile.sample_id, tile.source, tile.licence)


def _window(pattern: Pattern, generator: np.random.Generator, size_um: tuple[float, float], reach: float) -> Pattern:
    """A window `reach` times as large as an extent, at a random place of the pattern; no larger than that is."""
    sides = tuple(min(side * reach, whole) for side, whole in zip(size_um, pattern.size_um, strict=True))
    top, left = (generator.uniform(0, whole - side) for side, whole in zip(sides, pattern.size_um, strict=True))
    window = pattern.crop(top, left, *sides)
    cut = {"name": "window", "top_um": round(top, 2), "left_um": round(left, 2), "of": pattern.name}
    return window.done(cut, window.xy_um, window.classes, window.size_um)
