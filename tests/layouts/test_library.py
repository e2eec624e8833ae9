"""The point library: what enters, what never does, and that a layout depends on (seed, k) alone."""

from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from drawn import drawn_sample, full_sample
from nucleosynth.conditions.points import from_instances
from nucleosynth.data.splits import is_held_out
from nucleosynth.errors import UserError
from nucleosynth.layouts import table
from nucleosynth.layouts.library import Library, SamplingSettings
from nucleosynth.layouts.pattern import Pattern

EXTENT = (8.0, 8.0)
ALWAYS = dict.fromkeys(("generate", "combine", "affine", "cover", "thin"), 0.0)


def library(tiles: int = 4) -> Library:
    return Library.of([drawn_sample(k, source=f"drawn/{k}", licence=f"L{k}") for k in range(tiles)])


def taken(found: Library, count: int, seed: int = 3, start: int = 0, **settings: float) -> list[Pattern]:
    return list(islice(found.sample(seed, EXTENT, SamplingSettings(**settings), start), count))


def test_each_tile_gives_its_points_with_its_source() -> None:
    tile, pointed = drawn_sample(1), full_sample(2)
    one, two = Library.of([tile, pointed]).patterns
    assert (one.name, one.source, one.licence) == (tile.sample_id, tile.source, tile.licence)
    assert_array_equal(one.layout(0.25).xy, from_instances(tile).xy)
    assert_array_equal(one.classes, tile.classes)
    assert pointed.points is not None
    assert_array_equal(two.layout(0.25).xy, pointed.points.xy)


HELD = "test Test TEST testing tests test1 test_same stage1_test stage1test kumartest val Val val2017 VALIDATION valid"
HELD += " fold1-val eval Evaluation held_out heldout held-out hold-out Holdout dev DEV_2"


@pytest.mark.parametrize("split", [*HELD.split(), "held out"])
def test_no_held_out_tile_ever_enters(split: str) -> None:
    tiles = [drawn_sample(0), drawn_sample(1, split=split, source="drawn/held")]
    with pytest.raises(UserError, match="held-out") as caught:
        Library.of(tiles)
    assert "drawn/held" in caught.value.where


@pytest.mark.parametrize("split", ["", "train", "Train", "train37", "trainval", "fold3", "device", "interval", "1"])
def test_names_of_other_splits_do_not_say_that_they_are_held_out(split: str) -> None:
    assert not is_held_out(split)
    assert len(Library.of([drawn_sample(0, split=split)]).patterns) == 1


def test_who_chose_the_tiles_says_which_splits_are_held_out() -> None:
    tiles = [drawn_sample(0, split="fold1"), drawn_sample(1, split="Test")]
    assert len(Library.of(tiles, held_out=()).patterns) == 2
    with pytest.raises(UserError, match="'fold1'"):
        Library.of(tiles, held_out=("fold1",))


def test_sources_of_layouts_are_those_of_the_library() -> None:
    found = library()
    made = taken(found, 40)
    sources = {source for each in made for source in each.source.split("; ")}
    assert sources == {f"drawn/{k}" for k in range(4)}
    for each in made:
        tiles = {name[-1] for name in (source for source in each.source.split("; "))}
        assert {licence[-1] for licence in each.licence.split("; ")} == tiles


def test_tiles_without_a_resolution_are_refused_unless_it_is_told() -> None:
    tile = drawn_sample(0, mpp=None)
    with pytest.raises(UserError, match="unknown resolution"):
        Library.of([tile])
    assert Library.of([tile], mpp=0.5).patterns[0].size_um == (20.0, 24.0)


def test_there_must_be_nuclei_of_one_list_of_classes() -> None:
    bare = replace(drawn_sample(0), instances=np.zeros((40, 48), np.int32), classes=np.zeros(0, np.uint8))
    other = drawn_sample(1, class_names=("x", "y", "z"))
    for wrong in ([], [bare], [drawn_sample(0), other]):
        with pytest.raises(UserError, match="no library"):
            Library.of(wrong)


def test_a_table_without_a_nucleus_is_named(tmp_path: Path) -> None:
    path = tmp_path / "bare.parquet"
    table.write(path, [replace(library(1).patterns[0], xy_um=np.zeros((0, 2)), classes=np.zeros(0, np.uint8))])
    with pytest.raises(UserError, match="1 tiles without a nucleus") as caught:
        Library.read(path)
    assert (caught.value.where, bool(caught.value.mend)) == (str(path), True)


def test_layout_k_depends_on_seed_and_k_alone() -> None:
    found = library()
    whole, rest = taken(found, 12), taken(found, 4, start=8)
    for one, two in zip(whole[8:], rest, strict=True):
        assert_array_equal(one.xy_um, two.xy_um)
        assert (one.name, one.operations) == (two.name, two.operations)
    assert taken(found, 1, seed=4)[0].operations != whole[0].operations
    assert len({each.name for each in whole}) == 12


def test_layouts_have_the_extent_asked_for_and_tell_all_that_was_done() -> None:
    for each in taken(library(), 60):
        names = [record["name"] for record in each.operations]
        assert each.size_um == EXTENT
        assert names[0] in ("window", "combine")
        assert "flip" in names


@pytest.mark.parametrize(
    ("part", "word"),
    [("generate", "generate"), ("combine", "combine"), ("affine", "affine"), ("cover", "cover"), ("thin", "thin")],
)
def test_each_transform_is_used_as_often_as_asked(part: str, word: str) -> None:
    def used(each: Pattern) -> bool:
        return word in [record["name"] for record in each.operations]

    assert all(map(used, taken(library(), 20, **ALWAYS | {part: 1.0})))
    assert not any(map(used, taken(library(), 20, **ALWAYS)))


def test_a_layout_larger_than_every_tile_goes_on_as_mirror_images() -> None:
    for settings in (ALWAYS, ALWAYS | {"generate": 1.0}):
        made = next(library().sample(0, (40.0, 40.0), SamplingSettings(**settings)))
        counts = np.histogram2d(*made.xy_um.T, bins=2, range=[[0, 40], [0, 40]])[0]
        assert made.size_um == (40.0, 40.0)
        assert counts.min() > 0.4 * counts.max()


def test_there_and_back(tmp_path: Path) -> None:
    found = library()
    found.write(tmp_path / "library.parquet")
    again = Library.read(tmp_path / "library.parquet")
    assert [each.name for each in again.patterns] == [each.name for each in found.patterns]
    for one, two in zip(taken(found, 5), taken(again, 5), strict=True):
        assert_array_equal(one.xy_um, two.xy_um)
