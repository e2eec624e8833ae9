"""Layouts sampled from real ones keep their counts and distances: a small benchmarks/layouts.py, which can fail."""

from dataclasses import replace
from itertools import islice, product
from pathlib import Path

import numpy as np
import pytest

from nucleosynth.layouts.library import Library, SamplingSettings
from nucleosynth.layouts.pattern import Pattern
from nucleosynth.metrics.layout import layout_distances, within

SIDE_UM = 58.0
"""Of a layout; four of them beside each other fit into a region."""
COUNT = 400
"""Sampled layouts."""
MPP = 0.25


@pytest.fixture(scope="module")
def library(shared: Path) -> Library:
    """All regions of PUMA."""
    path = shared / "data" / "puma_layouts" / "layouts.parquet"
    if not path.is_file():
        pytest.skip(f"no layouts of PUMA at {path}")
    return Library.read(path)


@pytest.fixture(scope="module")
def made(library: Library) -> list[Pattern]:
    """Layouts as they are sampled unless settings are changed."""
    return list(islice(library.sample(0, (SIDE_UM, SIDE_UM), SamplingSettings()), COUNT))


def kept(library: Library, patterns: list[Pattern], halvings: int) -> dict[str, bool]:
    """Which counts and distances of some layouts lie within the spread of the windows of real regions."""
    corners = SIDE_UM * np.array(list(product(range(4), repeat=2)))
    real = [each.crop(top, left, SIDE_UM, SIDE_UM) for each in library.patterns for top, left in corners]
    groups = np.repeat(np.arange(len(library.patterns)), len(corners))
    one, other = ([each.layout(MPP) for each in side] for side in (real, patterns))
    return within(layout_distances(one, other, library.class_names, groups=groups, halvings=halvings))


def test_counts_and_distances_are_those_of_real_layouts(library: Library, made: list[Pattern]) -> None:
    """Of all and of each class; ten halvings are too few to know the limits of rare classes."""
    found = kept(library, made, 20)
    assert len(found) == 2 + 3 * len(library.class_names)
    assert [name for name, inside in found.items() if not inside] == []


def test_nuclei_anywhere_have_other_distances(library: Library, made: list[Pattern]) -> None:
    generator = np.random.default_rng(0)
    anywhere = [replace(each, xy_um=generator.uniform(0, SIDE_UM, each.xy_um.shape)) for each in made]
    found = kept(library, anywhere, 4)
    assert found["all.count"]
    assert not any(found[f"{name}.neighbour_um"] for name in ("all", "tumor", "lymphocyte"))


def test_half_of_the_nuclei_have_other_counts(library: Library, made: list[Pattern]) -> None:
    found = kept(library, [replace(each, xy_um=each.xy_um[::2], classes=each.classes[::2]) for each in made], 4)
    assert not any(found[f"{name}.count"] for name in ("all", "tumor"))
