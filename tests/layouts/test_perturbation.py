"""DiffMix's perturbed labels: what changes, what is told of it, and what never changes."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drawn import CLASS_NAMES, drawn_sample
from nucleosynth.data.reader import read
from nucleosynth.errors import UserError
from nucleosynth.layouts.donors import Donors
from nucleosynth.layouts.perturbation import PerturbationSettings, Perturbed, perturbed, shares_of, whole_numbers
from nucleosynth.sample import Sample

MPP, BORDER = 0.5, 15


@pytest.fixture(scope="module")
def tiles() -> list[Sample]:
    return list(read("phantom:tiles=6&size=128&sources=2"))


@pytest.fixture(scope="module")
def donors(tiles: list[Sample]) -> Donors:
    return Donors(tiles, PerturbationSettings().room(MPP))


def change(sample: Sample, donors: Donors, seed: int = 0, **settings: Any) -> Perturbed:
    asked = PerturbationSettings(**settings)
    shares = shares_of(asked, sample.class_names, donors)
    return perturbed(sample, donors, shares, asked, np.random.default_rng(seed))


def counts(samples: list[Sample]) -> np.ndarray[Any, Any]:
    return sum(np.bincount(sample.classes, minlength=len(sample.class_names) + 1)[1:] for sample in samples)  # type: ignore[return-value]


def grid(sides: list[int], rare: int = 1, mpp: float = 0.25) -> Sample:
    """Squares of class 2 of these sides, far apart, and of class 1 of 3 px; nuclei near no border."""
    label = np.zeros((220, 220), np.int32)
    for k, side in enumerate([*sides, *[3] * rare]):
        top, left = 40 + 24 * (k // 6), 40 + 24 * (k % 6)
        label[top : top + side, left : left + side] = k + 1
    kinds = np.array([2] * len(sides) + [1] * rare, np.uint8)
    return drawn_sample(
        size=label.shape, image=np.full((*label.shape, 3), 150, np.uint8), instances=label, classes=kinds, mpp=mpp
    )


@given(st.lists(st.integers(0, 9), min_size=1, max_size=6).filter(any), st.integers(0, 50), st.integers(0, 2**32 - 1))
def test_whole_numbers_are_the_shares_rounded(parts: list[int], total: int, seed: int) -> None:
    shares = np.array(parts) / sum(parts)
    found = whole_numbers(shares, total, np.random.default_rng(seed))
    assert found.sum() == total
    assert (np.abs(found - shares * total) < 1 + 1e-9).all()
    assert (found[shares == 0] == 0).all()


def test_whole_numbers_are_exact_on_average() -> None:
    class Even:
        """Numbers in 0..1 one after the other, evenly."""

        def __init__(self) -> None:
            self.at = 0

        def random(self) -> float:
            self.at += 1
            return (self.at - 0.5) / 1000

    generator, shares = Even(), np.array([0.5, 0.3, 0.2])
    mean = np.mean([whole_numbers(shares, 7, generator) for _ in range(1000)], axis=0)  # type: ignore[arg-type]
    np.testing.assert_allclose(mean, shares * 7, atol=2e-3)


@pytest.mark.parametrize("seed", range(4))
def test_the_record_tells_all_that_changed(tiles: list[Sample], donors: Donors, seed: int) -> None:
    before = tiles[seed]
    found, changes = change(before, donors, seed)
    assert {each.kind for each in changes} == {"replaced", "added"}
    added = [each for each in changes if each.kind == "added"]
    assert len(found.classes) == len(before.classes) + len(added)
    replaced = {int(found.instances[each.y, each.x]) for each in changes if each.kind == "replaced"}
    assert len(replaced) == len(changes) - len(added)
    areas, before_areas = (np.bincount(sample.instances.ravel()) for sample in (found, before))
    by_name = {tile.sample_id: tile for tile in tiles}
    for each in changes:
        k = int(found.instances[each.y, each.x])
        assert found.class_names[found.classes[k - 1] - 1] == each.after
        assert areas[k] == each.area_after
        origin = by_name[each.tile]
        assert np.count_nonzero(origin.instances == each.nucleus) == each.area_after
        assert origin.class_names[origin.classes[each.nucleus - 1] - 1] == each.after
        if each.kind == "replaced":
            assert before.instances[each.y, each.x] == k
            assert before.class_names[before.classes[k - 1] - 1] == each.before != each.after
            assert before_areas[k] == each.area_before
        else:
            assert (each.before, each.area_before) == ("", 0)
            assert k > len(before.classes)
    still = ~np.isin(before.instances, [0, *replaced])
    np.testing.assert_array_equal(found.instances[still], before.instances[still])
    np.testing.assert_array_equal(found.image[still], before.image[still])
    others = [k for k in range(1, len(before.classes) + 1) if k not in replaced]
    np.testing.assert_array_equal(found.classes[np.array(others) - 1], before.classes[np.array(others) - 1])
    np.testing.assert_array_equal(areas[others], before_areas[others])


def test_changes_keep_away_from_the_border(tiles: list[Sample], donors: Donors) -> None:
    for k, tile in enumerate(tiles):
        for each in change(tile, donors, k).changes:
            assert min(each.x, each.y) >= BORDER
            assert max(each.x, each.y) <= 127 - BORDER


def test_classes_come_near_to_the_shares_that_are_aimed_at(tiles: list[Sample], donors: Donors) -> None:
    names = tiles[0].class_names
    wide = {"border_um": 0.0, "added": 0.3}
    for proportions in ({}, {names[1]: 3.0, names[0]: 1.0}):
        aim = np.array([proportions.get(name, 0.0) for name in names]) if proportions else counts(tiles) > 0
        found = [change(tile, donors, k, proportions=proportions, **wide).sample for k, tile in enumerate(tiles)]
        far, near = (np.abs(n / n.sum() - aim / aim.sum()).sum() for n in (counts(tiles), counts(found)))
        assert near < 0.55 * far


def test_the_same_generator_makes_the_same_changes(tiles: list[Sample], donors: Donors) -> None:
    first, again, other = (change(tiles[0], donors, seed) for seed in (1, 1, 2))
    assert first.changes == again.changes != other.changes
    np.testing.assert_array_equal(first.sample.image, again.sample.image)
    np.testing.assert_array_equal(first.sample.instances, again.sample.instances)


def test_nothing_asked_nothing_changed(tiles: list[Sample], donors: Donors) -> None:
    found, changes = change(tiles[0], donors, replaced=0, added=0)
    assert not changes
    np.testing.assert_array_equal(found.image, tiles[0].image)
    np.testing.assert_array_equal(found.instances, tiles[0].instances)


def test_the_smallest_of_a_class_go_first() -> None:
    tile = grid([7, 12, 5, 9, 11, 6, 8, 10])
    _, changes = change(tile, Donors([tile], 6), proportions={"round": 1}, replaced=1, added=0)
    assert [each.area_before for each in changes] == [side**2 for side in range(5, 13)]
    assert {(each.before, each.after, each.kind) for each in changes} == {("long", "round", "replaced")}


def test_where_a_share_of_a_class_goes_it_is_the_smallest() -> None:
    tile = grid([7, 12, 5, 9, 11, 6, 8, 10])
    for seed in range(4):
        _, changes = change(tile, Donors([tile], 6), seed, proportions={"round": 1}, replaced=0.5, added=0)
        assert [each.area_before for each in changes] == [25, 36, 49, 64]


def test_no_more_than_a_share_of_a_class_goes() -> None:
    tile = grid([8] * 10)
    _, changes = change(tile, Donors([tile], 6), proportions={"round": 1}, added=0)
    assert len(changes) == 8


@pytest.mark.parametrize("kinds", [(1, 2), (1, 2, 3)])
def test_classes_become_as_frequent_as_is_aimed_at(kinds: tuple[int, ...]) -> None:
    tile = grid([8] * 10, rare=2)
    if 3 in kinds:
        tile.classes[-1] = 3
    donors = Donors([tile], 6)
    balanced, changes = change(tile, donors, replaced=1, added=0)
    assert {each.before for each in changes} == {"long"}
    assert sorted(counts([balanced])[:3].tolist()) == ([0, 6, 6] if kinds == (1, 2) else [4, 4, 4])
    grown, changes = change(tile, donors, replaced=1, added=0.5)
    assert sum(each.kind == "added" for each in changes) == 6
    assert sorted(counts([grown])[:3].tolist()) == ([0, 9, 9] if kinds == (1, 2) else [6, 6, 6])
    only_grown, _ = change(tile, donors, replaced=0, added=1)
    assert counts([only_grown])[1] == (12 if kinds == (1, 2) else 10)


def test_one_class_does_not_stand_in_for_another() -> None:
    """Nothing fits in place of the two small nuclei that are too many: no third large one goes for them."""
    tile = grid([3] * 8 + [9] * 8, rare=2)
    tile.classes[8:16] = 3
    _, changes = change(
        tile, Donors([tile], 6), proportions=dict.fromkeys(CLASS_NAMES, 1.0), ratio=3, rim_um=0, added=0
    )
    assert [(each.area_before, each.before) for each in changes] == [(81, "other")] * 2


def test_nuclei_near_the_border_do_not_count() -> None:
    tile = grid([8] * 4, rare=4)
    label = tile.instances.copy()
    for k in range(10):
        label[2:8, 20 * k + 4 : 20 * k + 10] = 9 + k
    edged = replace(tile, instances=label, classes=np.array([2] * 4 + [1] * 4 + [2] * 10, np.uint8))
    assert not change(edged, Donors([edged], 6), replaced=1, added=0).changes


def test_what_comes_keeps_away_from_the_border_as_well() -> None:
    """A nucleus of 5 px just far enough, a neighbour below it: whatever fits in its place lies nearer to the border."""
    label = np.zeros((60, 60), np.int32)
    label[8:13, 28:33], label[13:20, 20:40], label[40:45, 28:33] = 1, 2, 3
    tile = drawn_sample(
        size=(60, 60), image=np.full((60, 60, 3), 150, np.uint8), instances=label, classes=np.array([2, 3, 1], np.uint8)
    )
    asked = {"proportions": {"round": 1, "other": 1}, "replaced": 1, "added": 0, "rim_um": 0}
    donors = Donors([tile], 6)
    assert not change(tile, donors, border_um=2.5, **asked).changes
    (nearer,) = change(tile, donors, border_um=2.25, **asked).changes
    assert (nearer.y, nearer.before, nearer.after) == (9, "long", "round")


def test_more_go_only_where_too_few_would() -> None:
    """One of the two nuclei that might go is too small for the ratio: the other goes instead."""
    tile = grid([3, 9])
    for seed in range(6):
        _, changes = change(
            tile, Donors([tile], 6), seed, proportions={"round": 2, "long": 1}, replaced=1, ratio=3, rim_um=0, added=0
        )
        assert [each.area_before for each in changes] == [81]


def test_the_ratio_of_sizes_is_kept_to(tiles: list[Sample], donors: Donors) -> None:
    changes = [
        each
        for k, tile in enumerate(tiles)
        for each in change(tile, donors, k, ratio=2.3, rim_um=0, added=0, border_um=0).changes
    ]
    assert changes
    assert min(each.area_before / each.area_after for each in changes) >= 2.3
    free = [each for k, tile in enumerate(tiles) for each in change(tile, donors, k, added=0, border_um=0).changes]
    assert min(each.area_before / each.area_after for each in free) < 1


@pytest.mark.parametrize("kind", [0, 1])
def test_one_class_has_nothing_to_balance_but_grows(tiles: list[Sample], kind: int) -> None:
    alike = [replace(tile, classes=np.full_like(tile.classes, kind)) for tile in tiles]
    found, changes = change(alike[0], Donors(alike, PerturbationSettings().room(MPP)))
    assert changes
    assert {each.kind for each in changes} == {"added"}
    assert set(found.classes.tolist()) == {kind}
    assert {each.after for each in changes} == {tiles[0].class_names[0] if kind else ""}


def test_nuclei_of_unknown_type_stay(tiles: list[Sample], donors: Donors) -> None:
    kinds = tiles[0].classes.copy()
    kinds[::2] = 0
    found, changes = change(replace(tiles[0], classes=kinds), donors)
    assert any(each.kind == "replaced" for each in changes)
    np.testing.assert_array_equal(found.classes[: len(kinds)] == 0, kinds == 0)


def test_a_tile_without_nuclei_stays_as_it_is(donors: Donors) -> None:
    empty = drawn_sample(instances=np.zeros((40, 48), np.int32), classes=np.zeros(0, np.uint8), mpp=MPP)
    named = replace(empty, class_names=("a", "b", "c", "d", "e"))
    found, changes = change(named, donors)
    assert not changes
    np.testing.assert_array_equal(found.image, empty.image)


def test_where_no_nucleus_fits_the_old_one_stays() -> None:
    tile = grid([3] * 6, rare=0)
    large = replace(grid([40]), classes=np.array([3, 3], np.uint8))
    donors = Donors(
        [replace(large, instances=np.minimum(large.instances, 1), classes=np.array([3], np.uint8)), tile], 6
    )
    crowded = tile.crop(36, 36, 60, 150)
    _, changes = change(crowded, donors, proportions={"other": 1}, added=0, border_um=0)
    assert not changes


def test_a_change_is_seen_from_a_window(tiles: list[Sample], donors: Donors) -> None:
    found, changes = change(tiles[0], donors)
    window = found.crop(BORDER, BORDER, 128 - 2 * BORDER, 128 - 2 * BORDER)
    for each in changes:
        seen = each.seen_from(BORDER, BORDER)
        kind = window.classes[window.instances[seen.y, seen.x] - 1]
        assert window.class_names[kind - 1] == seen.after


def test_lengths_follow_the_resolution() -> None:
    settings = PerturbationSettings()
    assert [settings.px(settings.border_um, mpp) for mpp in (0.25, 0.5, None)] == [30, 15, 30]


@pytest.mark.parametrize(
    ("proportions", "message"),
    [
        ({"rond": 1.0}, "did you mean 'round'"),
        ({"round": -1.0, "long": 2.0}, "cannot be aimed at"),
        ({"round": 0.0}, "cannot be aimed at"),
        ({"round": float("nan")}, "cannot be aimed at"),
        ({"other": 1.0}, "no nucleus of a class(.|\n)*other"),
    ],
)
def test_proportions_that_cannot_be_are_refused(proportions: dict[str, float], message: str) -> None:
    donors = Donors([grid([5])], 6)
    with pytest.raises(UserError, match=message):
        shares_of(PerturbationSettings(proportions=proportions), CLASS_NAMES, donors)


def test_shares_sum_to_one_and_name_every_kind() -> None:
    donors = Donors([grid([5])], 6)
    assert shares_of(PerturbationSettings(), CLASS_NAMES, donors) == {1: 0.5, 2: 0.5}
    asked = PerturbationSettings(proportions={"long": 4, "other": 0})
    assert shares_of(asked, CLASS_NAMES, donors) == {1: 0, 2: 1}


def test_whole_numbers_sum_up_whatever_is_drawn() -> None:
    class Zero:
        def random(self) -> float:
            return 0.0

    shares = np.full(10, 0.1)  # whose sum is a little less than 1 in floating point
    assert whole_numbers(shares, 1, Zero()).sum() == 1  # type: ignore[arg-type]


def test_no_nuclei_no_perturbation() -> None:
    empty = drawn_sample(instances=np.zeros((40, 48), np.int32), classes=np.zeros(0, np.uint8))
    with pytest.raises(UserError, match="no nucleus to perturb"):
        shares_of(PerturbationSettings(), CLASS_NAMES, Donors([empty], 2))
