"""Taking nuclei out of a tile and setting others in."""

from itertools import product

import numpy as np
import pytest

from drawn import drawn_sample
from nucleosynth.layouts.donors import Donor
from nucleosynth.layouts.grafting import Grafting
from nucleosynth.sample import Sample

ROOM, TISSUE, NUCLEUS = 3, 180, 60


def tile(*boxes: tuple[int, int, int, int], size: tuple[int, int] = (24, 30)) -> Sample:
    """Dark rectangles (top, left, height, width) of class 1 on even tissue."""
    label, image = np.zeros(size, np.int32), np.full((*size, 3), TISSUE, np.uint8)
    for k, (top, left, height, width) in enumerate(boxes, 1):
        label[top : top + height, left : left + width] = k
    image[label > 0] = NUCLEUS
    return drawn_sample(size=size, image=image, instances=label, classes=np.ones(len(boxes), np.uint8))


def donor(height: int = 3, width: int = 4, grey: int = 100, around: int = 140) -> Donor:
    """A grey rectangle of class 2 on lighter tissue, a corner missing so that it has no symmetry."""
    mask = np.zeros((height + 2 * ROOM, width + 2 * ROOM), bool)
    mask[ROOM:-ROOM, ROOM:-ROOM] = True
    mask[ROOM, ROOM] = height * width == 1
    image = np.where(mask, grey, around)[..., None].repeat(3, axis=2).astype(np.uint8)
    return Donor(image, mask, np.zeros_like(mask), 2, "elsewhere", 7)


def test_a_hole_has_a_rim_that_no_neighbour_loses() -> None:
    grafting = Grafting(tile((5, 5, 4, 4), (5, 9, 4, 4)), ROOM)
    hole = grafting.hole(1, 1)
    assert hole.sum() == 16 + 3 * 4
    assert not hole[5:9, 9:13].any()
    assert grafting.hole(1, 0).sum() == 16


def test_tissue_flows_into_a_hole() -> None:
    sample = tile((5, 5, 6, 6), (5, 11, 4, 4))
    grafting = Grafting(sample, ROOM)
    grafting.take_out(1, 1)
    grafting.set_in(donor(1, 1), (8, 8), 0, nucleus=1)
    found = grafting.sample()
    kept = sample.instances != 1
    kept[8, 8] = False
    np.testing.assert_array_equal(found.image[kept], sample.image[kept])
    hole = sample.instances == 1
    hole[8, 8] = False
    np.testing.assert_array_equal(found.image[hole], TISSUE)
    np.testing.assert_array_equal(np.argwhere(found.instances == 1), [[8, 8]])
    assert found.classes.tolist() == [2, 1]


def test_a_nucleus_without_background_can_go() -> None:
    grafting = Grafting(tile((0, 0, 12, 12), size=(12, 12)), ROOM)
    grafting.take_out(1, 2)
    grafting.set_in(donor(), (5, 5), 1, nucleus=1)
    np.testing.assert_array_equal(grafting.sample().image[9:], NUCLEUS)


def test_room_is_where_nothing_is_met() -> None:
    sample, guest = tile((4, 4, 5, 6), (14, 20, 6, 3)), donor()
    y, x = np.nonzero(guest.mask)
    middle = 1 + ROOM, 2 + ROOM  # the mean (1.09, 1.64) of the 11 px lies in this one
    taken = np.pad(sample.instances > 0, 1, constant_values=False)
    near = np.max([taken[1 + dy : 25 + dy, 1 + dx : 31 + dx] for dy, dx in product((-1, 0, 1), repeat=2)], axis=0)
    expected = np.zeros(sample.size, bool)
    for at in product(range(24), range(30)):
        rows, columns = y - middle[0] + at[0], x - middle[1] + at[1]
        inside = rows.min() >= 1 and columns.min() >= 1 and rows.max() < 23 and columns.max() < 29
        expected[at] = inside and not near[rows, columns].any()
    found = Grafting(sample, ROOM).room_for(guest)
    np.testing.assert_array_equal(found, expected)
    assert found.any()


def test_there_is_no_room_on_glass() -> None:
    sample = tile((4, 4, 5, 6), size=(40, 60))
    sample.image[:, 30:] = 240
    room = Grafting(sample, ROOM).room_for(donor())
    assert room[:, :27].any()
    assert not room[:, 33:].any()


def test_room_instead_is_nearest_to_the_old_centre() -> None:
    grafting = Grafting(tile((8, 8, 5, 5)), ROOM)
    assert grafting.room_instead(1, donor()) == (10, 10)
    # a neighbour at column 13 leaves it the columns up to 11
    assert Grafting(tile((8, 8, 5, 5), (7, 13, 9, 3)), ROOM).room_instead(1, donor(3, 6)) == (10, 9)
    assert Grafting(tile((8, 8, 5, 5), (7, 13, 9, 3)), ROOM).room_instead(1, donor(3, 14)) is None


@pytest.mark.parametrize("ramp", [0, 2])
def test_surroundings_fade_over_the_ramp(ramp: int) -> None:
    sample = tile()
    grafting = Grafting(sample, ROOM)
    guest = donor(grey=100, around=120)
    grafting.set_in(guest, (10, 12), ramp)
    found = grafting.sample()
    assert found.classes.tolist() == [2]
    assert np.count_nonzero(found.instances == 1) == guest.area
    assert found.instances[10, 12] == 1
    np.testing.assert_array_equal(found.image[found.instances == 1], 100)
    row = found.image[11, 13:17, 0].tolist()  # from its last column rightwards
    assert row == ([100, 140, 160, 180] if ramp else [100, 180, 180, 180])


def test_a_ramp_leaves_other_nuclei_alone() -> None:
    sample, guest = tile((8, 16, 6, 6)), donor()
    guest.others[:, :ROOM] = True
    grafting = Grafting(sample, ROOM)
    grafting.set_in(guest, (10, 12), 3)
    found = grafting.sample()
    np.testing.assert_array_equal(found.image[8:14, 16:22], NUCLEUS)
    np.testing.assert_array_equal(found.image[9:12, 7:10], TISSUE)


def test_a_tint_moves_the_mean_colour() -> None:
    grafting = Grafting(tile((2, 2, 4, 4)), ROOM)
    grafting.set_in(donor(grey=100), (12, 15), 0, 0.25)
    found = grafting.sample()
    np.testing.assert_array_equal(found.image[found.instances == 2], 90)


def test_a_tile_given_back_is_the_tile() -> None:
    sample = drawn_sample()
    found = Grafting(sample, ROOM).sample()
    np.testing.assert_array_equal(found.image, sample.image)
    np.testing.assert_array_equal(found.instances, sample.instances)
