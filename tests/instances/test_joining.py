"""A partly known label and what was made for the rest, drawn by hand."""

import numpy as np
from numpy.testing import assert_array_equal

from nucleosynth.instances.joining import completed
from nucleosynth.sample import Classes, Instances

KNOWN = np.zeros((6, 8), bool)
KNOWN[:, :4] = True
"""The left half is known."""


def label(*nuclei: tuple[slice, slice, int]) -> tuple[Instances, Classes]:
    """Rectangles with their classes, numbered in order."""
    instances = np.zeros((6, 8), np.int32)
    for k, (rows, columns, _) in enumerate(nuclei):
        instances[rows, columns] = k + 1
    return instances, np.array([kind for *_, kind in nuclei], np.uint8)


def test_a_nucleus_that_goes_on_beyond_what_is_known_keeps_its_id_and_class() -> None:
    given = label((slice(0, 2), slice(0, 2), 1), (slice(3, 6), slice(2, 6), 2))
    made = label((slice(3, 5), slice(2, 7), 3))
    instances, classes = completed(KNOWN, given, made)
    expected = label((slice(0, 2), slice(0, 2), 1), (slice(3, 6), slice(2, 4), 2))[0]
    expected[3:5, 4:7] = 2
    assert_array_equal(instances, expected)
    assert_array_equal(classes, [1, 2])


def test_given_pixels_are_untouched_whatever_was_made_over_them() -> None:
    given = label((slice(1, 3), slice(1, 3), 4), (slice(4, 5), slice(0, 1), 0))
    made = label((slice(0, 6), slice(0, 4), 1), (slice(0, 2), slice(5, 8), 2))
    instances, classes = completed(KNOWN, given, made)
    assert_array_equal(instances[KNOWN], given[0][KNOWN])
    assert_array_equal(classes, [4, 0, 2])
    assert_array_equal(instances[0:2, 5:8], 3)


def test_what_lies_mostly_on_known_background_is_a_new_nucleus() -> None:
    """It lost its known pixels; another that touches a given one with few of them is no part of that."""
    given = label((slice(0, 2), slice(3, 4), 1))
    made = label((slice(4, 6), slice(2, 7), 2), (slice(0, 4), slice(3, 6), 3))
    made[0][1:4, 2] = 2
    instances, classes = completed(KNOWN, given, made)
    assert_array_equal(classes, [1, 2, 3])
    assert_array_equal(np.unique(instances[KNOWN]), [0, 1])
    assert_array_equal(instances[4:6, 4:7], 2)
    assert_array_equal(instances[0:4, 4:6], 3)


def test_of_two_given_nuclei_the_one_that_holds_more_of_it_goes_on() -> None:
    given = label((slice(0, 1), slice(2, 4), 1), (slice(1, 4), slice(2, 4), 2))
    made = label((slice(0, 4), slice(2, 6), 3))
    instances, classes = completed(KNOWN, given, made)
    assert_array_equal(classes, [1, 2])
    assert_array_equal(instances[0:4, 4:6], 2)


def test_specks_are_left_out_but_no_part_of_a_given_nucleus() -> None:
    given = label((slice(0, 1), slice(0, 1), 1), (slice(3, 4), slice(3, 4), 2))
    made = label((slice(0, 1), slice(6, 8), 1), (slice(3, 4), slice(3, 5), 1), (slice(5, 6), slice(5, 8), 3))
    instances, classes = completed(KNOWN, given, made, smallest=3)
    assert_array_equal(classes, [1, 2, 3])
    assert not instances[0, 4:].any()
    assert (instances[0, 0], instances[3, 4]) == (1, 2)
    assert_array_equal(instances[5, 5:8], 3)


def test_a_given_nucleus_of_which_nothing_is_known_is_gone_and_ids_have_no_gaps() -> None:
    given = label((slice(0, 2), slice(5, 8), 1), (slice(3, 5), slice(1, 3), 2))
    nothing = np.zeros((6, 8), np.int32), np.zeros(0, np.uint8)
    instances, classes = completed(KNOWN, given, nothing)
    assert_array_equal(instances, label((slice(3, 5), slice(1, 3), 2))[0])
    assert_array_equal(classes, [2])
    made = label((slice(0, 2), slice(5, 8), 3))
    for pair in (completed(np.zeros_like(KNOWN), given, made), completed(~np.zeros_like(KNOWN), made, given)):
        assert_array_equal(pair[0], made[0])
        assert_array_equal(pair[1], made[1])
