"""Nuclei cut out of tiles."""

from dataclasses import replace

import numpy as np
import pytest

from drawn import drawn_sample
from nucleosynth.layouts.donors import Donor, Donors
from nucleosynth.sample import Sample

ROOM = 2


def labelled_pixels(seed: int = 0) -> Sample:
    """A tile whose red channel is its label."""
    tile = drawn_sample(seed)
    image = tile.image.copy()
    image[..., 0] = tile.instances
    return replace(tile, image=image)


def drawn_often(donors: Donors, kind: int, times: int = 200) -> list[Donor]:
    generator = np.random.default_rng(0)
    found = [donors.draw(kind, generator) for _ in range(times)]
    return [donor for donor in found if donor is not None]


def test_a_donor_is_a_nucleus_with_its_surroundings() -> None:
    tile = labelled_pixels()
    donors = Donors([tile], ROOM)
    for kind in donors.kinds:
        for donor in drawn_often(donors, kind, 20):
            red = donor.image[..., 0]
            np.testing.assert_array_equal(donor.mask, red == donor.nucleus)
            np.testing.assert_array_equal(donor.others, (red > 0) & (red != donor.nucleus))
            assert tile.classes[donor.nucleus - 1] == donor.kind == kind
            assert (donor.area, donor.tile) == (30, tile.sample_id)
            assert sorted(donor.mask.shape) == [5 + 2 * ROOM, 6 + 2 * ROOM]
            rim = donor.mask.copy()
            rim[ROOM:-ROOM, ROOM:-ROOM] = False
            assert not rim.any()


def test_every_whole_nucleus_of_known_type_is_drawn_and_no_other() -> None:
    tile = drawn_sample()
    whole = [k for k in range(1, len(tile.classes) + 1) if np.nonzero(tile.instances == k)[0].min() >= ROOM]
    assert 0 < len(whole) < len(tile.classes)
    donors = Donors([tile], ROOM)
    for kind in donors.kinds:
        assert kind
        expected = {k for k in whole if tile.classes[k - 1] == kind}
        assert {donor.nucleus for donor in drawn_often(donors, kind)} == expected
        assert donors.count(kind) == len(expected)


def test_symmetries_are_drawn() -> None:
    shapes = {donor.mask.shape for donor in drawn_often(Donors([drawn_sample()], ROOM), 1)}
    assert shapes == {(9, 10), (10, 9)}


@pytest.mark.parametrize("kind", [0, 1])
def test_nuclei_without_types_are_of_one_kind(kind: int) -> None:
    tile = drawn_sample()
    donors = Donors([replace(tile, classes=np.full_like(tile.classes, kind))], ROOM)
    assert donors.kinds == (kind,)
    assert drawn_often(donors, kind)[0].kind == kind


def test_the_largest_area_is_kept_to() -> None:
    label = np.zeros((40, 60), np.int32)
    for k, side in enumerate((3, 5, 7), 1):
        label[10 : 10 + side, 15 * k : 15 * k + side] = k
    tile = drawn_sample(size=(40, 60), instances=label, classes=np.ones(3, np.uint8))
    donors, generator = Donors([tile], ROOM), np.random.default_rng(0)
    assert [donors.count(1, area) for area in (8, 9, 24.9, 25, np.inf)] == [0, 1, 1, 2, 3]
    assert donors.draw(1, generator, 8) is None
    found = [donors.draw(1, generator, 25) for _ in range(50)]
    assert {donor.area for donor in found if donor is not None} == {9, 25}


def test_no_nucleus_no_kind() -> None:
    empty = drawn_sample(instances=np.zeros((40, 48), np.int32), classes=np.zeros(0, np.uint8))
    assert Donors([empty], ROOM).kinds == ()
