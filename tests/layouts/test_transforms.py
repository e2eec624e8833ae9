"""The six transforms: by hand, exact symmetries, what the record says, and that nothing leaves the tile."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.spatial.distance import pdist

from nucleosynth.errors import UserError
from nucleosynth.layouts.pattern import Pattern
from nucleosynth.layouts.spacing import Spacing, arranged, nearest
from nucleosynth.layouts.transforms import affine, combine, cover, flip, generate, mapped, mirrored, rotate, thin
from nucleosynth.seeds import generator_of

SIZE = (60.0, 40.0)
WINDOW = (30.0, 20.0)


def drawn(seed: int = 0, count: int = 80, size_um: tuple[float, float] = SIZE, **changes: Any) -> Pattern:
    generator = np.random.default_rng(seed)
    xy_um = generator.uniform(0, 1, (count, 2)) * size_um[::-1]
    kinds = generator.integers(0, 3, count).astype(np.uint8)
    given = {"name": f"p{seed}", "source": f"s{seed}", "licence": "CC0-1.0"} | changes
    return Pattern(xy_um, kinds, size_um, ("a", "b"), **given)


def others(seed: int) -> list[Pattern]:
    return [drawn(seed + 1), drawn(seed + 2)]


PATTERN = drawn()
TRANSFORMS: dict[str, Callable[[Pattern, np.random.Generator], Pattern]] = {
    "cover": cover,
    "thin": thin,
    "flip": flip,
    "rotate": rotate,
    "rotate any": partial(rotate, size_um=WINDOW),
    "affine": partial(affine, size_um=WINDOW),
    "generate": lambda pattern, generator: generate(pattern, generator, Spacing.of(pattern)),
    "combine quadrants": lambda pattern, generator: combine(pattern, generator, others(3), by="quadrants", gap_um=1.0),
    "combine mask": lambda pattern, generator: combine(pattern, generator, others(3), by="mask", gap_um=1.0),
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_each_is_pure_seeded_and_records_what_it_did(name: str) -> None:
    before = PATTERN.xy_um.copy(), PATTERN.classes.copy()
    one, again, other = (TRANSFORMS[name](PATTERN, generator_of(seed)) for seed in (5, 5, 6))
    assert_array_equal(one.xy_um, again.xy_um)
    assert one.operations == again.operations
    assert one.operations != other.operations or name == "generate"
    assert not np.array_equal(one.xy_um, other.xy_um)
    assert_array_equal(PATTERN.xy_um, before[0])
    assert_array_equal(PATTERN.classes, before[1])
    assert PATTERN.operations == ()
    assert [each["name"] for each in one.operations] == [name.split()[0]]
    assert {"s0"} <= set(one.source.split("; "))
    assert one.size_um in (SIZE, SIZE[::-1], WINDOW)


def test_they_compose_and_the_record_has_their_order() -> None:
    generator = generator_of(1)
    made = cover(flip(affine(PATTERN, generator, WINDOW), generator), generator)
    assert [each["name"] for each in made.operations] == ["affine", "flip", "cover"]


def test_covered_rectangles_are_inside_of_the_shares_and_empty() -> None:
    pattern = drawn(count=4000)
    for seed in range(20):
        made = cover(pattern, generator_of(seed))
        record = made.operations[0]
        assert 1 <= len(record["left_top_width_height_um"]) <= 3
        inside = np.zeros(len(pattern.xy_um), bool)
        for left, top, width, height in record["left_top_width_height_um"]:
            assert 0.049 < width * height / (SIZE[0] * SIZE[1]) < 0.251
            assert left >= 0
            assert top >= 0
            assert left + width <= SIZE[1] + 0.02
            assert top + height <= SIZE[0] + 0.02
            box = (pattern.xy_um >= (left, top)) & (pattern.xy_um < (left + width, top + height))
            inside |= box.all(axis=1)
        assert record["dropped"] == len(pattern.xy_um) - len(made.xy_um)
        assert abs(record["dropped"] - np.count_nonzero(inside)) <= 3  # rectangles are told to .01 um


def test_thinning_drops_each_with_the_probability_that_it_tells() -> None:
    pattern = drawn(count=20000)
    for seed in range(5):
        made = thin(pattern, generator_of(seed))
        record = made.operations[0]
        assert 0 <= record["probability"] <= 0.3
        assert record["dropped"] / 20000 == pytest.approx(record["probability"], abs=0.012)


def test_flips_by_hand() -> None:
    pattern = Pattern(np.array([[1.0, 2.0]]), np.array([1], np.uint8), SIZE, ("a", "b"))
    seen = {}
    for seed in range(40):
        made = flip(pattern, generator_of(seed))
        seen[made.operations[0]["across"], made.operations[0]["down"]] = tuple(made.xy_um[0].tolist())
    assert seen == {(False, False): (1, 2), (True, False): (39, 2), (False, True): (1, 58), (True, True): (39, 58)}


def test_quarter_turns_are_those_of_layouts() -> None:
    """In pixels of 1 um, a pattern turned is the layout turned."""
    for seed in range(12):
        made = rotate(PATTERN, generator_of(seed))
        turns = round(made.operations[0]["degrees"] / 90)
        wanted = PATTERN.layout(1.0).transform(turns)
        assert made.layout(1.0).size == wanted.size
        assert_allclose(made.layout(1.0).xy, wanted.xy, atol=1e-4)


def test_any_angle_keeps_distances_and_agrees_with_a_quarter_turn() -> None:
    square = drawn(count=200, size_um=(80.0, 80.0))
    quarter = mapped(square, {"name": "turn"}, np.array([[0.0, 1.0], [-1.0, 0.0]]), (0.0, 0.0), (80.0, 80.0))
    exact = square.layout(1.0).transform(1)
    assert_allclose(quarter.layout(1.0).xy, exact.xy, atol=1e-4)
    rotated = rotate(square, generator_of(2), (50.0, 50.0))
    assert len(rotated.xy_um) > 30
    real = np.sort(pdist(square.xy_um))
    found = pdist(rotated.xy_um)
    assert np.abs(real[np.searchsorted(real, found).clip(max=len(real) - 1)] - found).max() < 0.01 * 80
    assert_allclose(np.sort(found)[:10], [real[np.argmin(abs(real - each))] for each in np.sort(found)[:10]], atol=1e-9)


def test_an_affine_map_scales_as_it_tells() -> None:
    pattern = drawn(count=20000, size_um=(200.0, 200.0))
    for seed in range(8):
        made = affine(pattern, generator_of(seed), (60.0, 60.0))
        record = made.operations[0]
        assert 0.8 <= record["scale"] <= 1.25
        assert abs(record["shear"]) <= 10
        assert max(abs(record["across"]), abs(record["down"])) <= 0.1
        assert len(made.xy_um) == pytest.approx(20000 * 0.09 / record["scale"] ** 2, rel=0.12)


def test_a_pattern_that_is_too_small_goes_on_as_its_mirror_image() -> None:
    """No corner of what is turned is left without nuclei, and none is there twice at the border."""
    pattern = drawn(count=600, size_um=(40.0, 40.0))
    made = rotate(pattern, generator_of(3), (40.0, 40.0))
    counts = np.histogram2d(*made.xy_um.T, bins=4, range=[[0, 40], [0, 40]])[0]
    assert counts.min() > 12
    grown = mirrored(pattern, np.array([5.0, 0.0]))
    assert grown.size_um == (40.0, 50.0)
    x = pattern.xy_um[:, 0]
    beyond = grown.xy_um[:, 0] - 5
    assert_allclose(np.sort(-beyond[beyond < 0]), np.sort(x[(x > 2) & (x <= 5)]))
    assert_allclose(np.sort(80 - beyond[beyond > 40]), np.sort(x[(x < 38) & (x >= 35)]))
    far = mirrored(pattern, np.array([100.0, -1.0]))
    assert far.size_um == (40.0, 240.0)
    assert len(far.xy_um) == pytest.approx(600 * 6, rel=0.15)


def test_new_places_keep_classes_and_no_two_are_nearer_than_the_core() -> None:
    pattern = drawn(count=60, size_um=(100.0, 100.0))
    spacing = Spacing.of(pattern)
    places, kinds = arranged(pattern.classes, pattern.size_um, spacing, generator_of(4))
    assert_array_equal(np.bincount(kinds, minlength=3), np.bincount(pattern.classes, minlength=3))
    assert nearest(places).min() >= min(spacing.core(kind) for kind in range(3))
    assert ((places >= 0) & (places <= 100)).all()
    assert not set(map(tuple, places)) & set(map(tuple, pattern.xy_um))


def test_new_places_crowd_as_the_model_does() -> None:
    """Pairs 2 um apart, far from each other: uniform places would have neighbours 12 um away on the median."""
    generator = np.random.default_rng(0)
    centres = np.stack(np.meshgrid(np.arange(10, 200, 25.0), np.arange(10, 200, 25.0)), axis=-1).reshape(-1, 2)
    angles = generator.uniform(0, 2 * np.pi, len(centres))
    xy_um = np.concatenate([centres, centres + 2 * np.stack([np.cos(angles), np.sin(angles)], axis=1)])
    pattern = Pattern(xy_um, np.ones(len(xy_um), np.uint8), (200.0, 200.0), ("a",))
    made = generate(pattern, generator_of(0), Spacing.of(pattern))
    uniform = nearest(generator.uniform(0, 200, xy_um.shape))
    assert np.median(nearest(made.xy_um)) < 0.7 * np.median(uniform)


def test_what_finds_no_place_is_left_out_and_told() -> None:
    packed = Spacing(np.ones(2, np.uint8), np.full((2, 2), 30.0))
    pattern = drawn(count=50, size_um=(40.0, 40.0))
    made = generate(pattern, generator_of(1), packed)
    assert made.operations[0]["dropped"] == 50 - len(made.xy_um) > 40
    empty = generate(drawn(count=0), generator_of(1), Spacing.of(drawn(count=0)))
    assert len(empty.xy_um) == 0


def test_distances_to_the_nearest_and_to_the_nearest_alike() -> None:
    xy_um = np.array([[0.0, 0.0], [3.0, 4.0], [0.0, 10.0]])
    found = Spacing.of(Pattern(xy_um, np.array([1, 2, 1], np.uint8), (20.0, 20.0), ("a", "b")))
    assert_allclose(found.distances_um, [[5, 10], [5, np.inf], [np.sqrt(45), 10]])


def test_a_combination_takes_each_place_from_one_pattern() -> None:
    patterns = [drawn(seed, 400, name=f"n{seed}") for seed in range(3)]
    made = combine(patterns[0], generator_of(2), patterns[1:], by="quadrants", gap_um=0.0)
    assert made.operations[0]["of"] == ["n0", "n1", "n2"]
    assert (made.source, made.licence) == ("s0; s1; s2", "CC0-1.0")
    owners = [{tuple(place) for place in each.xy_um} for each in patterns]
    of = np.array([[tuple(place) in owner for owner in owners].index(True) for place in made.xy_um])
    assert set(of) == {0, 1, 2}
    assert 300 < len(made.xy_um) < 500
    for k in (0, 1, 2):  # a quadrant of one pattern has no point of another, and all of its own
        box_low, box_high = made.xy_um[of == k].min(axis=0), made.xy_um[of == k].max(axis=0)
        corner = ((box_low < 2) | (box_high > np.array(SIZE[::-1]) - 2)).all()
        assert corner


def test_of_conflicting_points_the_earlier_pattern_s_stays() -> None:
    patterns = [drawn(seed, 300) for seed in range(2)]
    free = combine(patterns[0], generator_of(2), patterns[1:], by="mask", gap_um=0.0)
    apart = combine(patterns[0], generator_of(2), patterns[1:], by="mask", gap_um=3.0)
    first = {tuple(place) for place in patterns[0].xy_um}
    kept = [tuple(place) for place in free.xy_um if tuple(place) in first]
    assert set(kept) <= {tuple(place) for place in apart.xy_um}
    assert len(apart.xy_um) == len(free.xy_um) - apart.operations[0]["dropped"] < len(free.xy_um)
    mine = np.array([tuple(place) in first for place in apart.xy_um])
    gaps = np.linalg.norm(apart.xy_um[mine][:, None] - apart.xy_um[~mine][None], axis=2)
    assert gaps.min() > 3


@pytest.mark.parametrize("wrong", [[], [drawn(k) for k in range(4)], [drawn(1, size_um=(60.0, 41.0))]])
def test_patterns_that_cannot_be_combined_are_refused(wrong: list[Pattern]) -> None:
    with pytest.raises(UserError, match="cannot be combined"):
        combine(PATTERN, generator_of(0), wrong, by="mask", gap_um=1.0)
