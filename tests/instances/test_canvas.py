"""Nuclei drawn one by one: the later one wins, and everything lost is counted."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from nucleosynth.errors import UserError
from nucleosynth.instances import canvas as words
from nucleosynth.instances.canvas import Canvas


def square(left: float, top: float, side: float) -> np.ndarray:
    return np.array([[left, top], [left + side, top], [left + side, top + side], [left, top + side]])


def test_later_nuclei_cover_earlier_ones() -> None:
    canvas = Canvas((6, 6))
    for corner, kind in ((0, 2), (1, 0), (1, 1)):
        canvas.outline([[square(corner, corner, 3)]], kind, "")
    label = canvas.label()
    assert_array_equal(label.instances[:4, :4], [[1, 1, 1, 0], [1, 2, 2, 2], [1, 2, 2, 2], [0, 2, 2, 2]])
    assert label.classes.tolist() == [2, 1]
    assert label.repairs == {words.CLAIMED_TWICE: 13, words.COVERED: 1}


def test_what_leaves_no_pixel_is_counted() -> None:
    canvas = Canvas((6, 6))
    canvas.outline([[square(1, 1, 2)]], 1, "")
    canvas.outline([[square(2.6, 2.6, 0.3)]], 1, "")
    canvas.outline([[square(20, 20, 3)]], 1, "")
    canvas.outline([[square(4, 4, 5)]], 1, "")
    canvas.outline([[np.array([[0, 0], [3, 3]])]], 1, "")
    canvas.outline([[np.array([[0, 0], [3, 3], [3, 0], [0, 3]])]], 1, "")
    label = canvas.label()
    assert len(label.classes) == 3
    assert {name: label.repairs[name] for name in (words.NO_PIXEL, words.BEYOND, words.TOO_FEW, words.CROSSES)} == {
        words.NO_PIXEL: 2,
        words.BEYOND: 1,
        words.TOO_FEW: 1,
        words.CROSSES: 1,
    }


def test_holes_are_cut_out_and_what_they_take_whole_is_counted() -> None:
    canvas = Canvas((8, 8))
    for ring in (square(0, 0, 4), square(5, 5, 1), square(5, 5, 2), square(5, 0, 2)):
        canvas.outline([[ring]], 1, "")
    for ring in (square(1, 1, 2), square(4, 4, 9), square(0, 0, 1)[:2]):
        canvas.erase([[ring]], "")
    label = canvas.label()
    assert (label.instances.max(), np.count_nonzero(label.instances)) == (2, 12 + 4)
    assert label.repairs == {
        words.CLAIMED_TWICE: 1,
        words.COVERED: 1,
        words.HOLES: 2,
        words.EMPTIED: 1,
        words.TOO_FEW: 1,
    }


def test_a_hole_in_nothing_empties_no_nucleus() -> None:
    canvas = Canvas((2, 2))
    canvas.erase([[square(0, 0, 2)]], "")
    canvas.outline([[square(0, 0, 2)]], 1, "")
    assert canvas.label().repairs == {words.HOLES: 1}


def test_a_part_of_two_points_is_no_outline_left_out() -> None:
    canvas = Canvas((8, 8))
    canvas.outline([[square(0, 0, 2)], [square(4, 4, 2)[:2]], [np.zeros((0, 2))]], 1, "")
    canvas.outline([[square(0, 0, 2)[:2]], [square(4, 4, 2)[:2]]], 1, "")
    canvas.outline([], 1, "")
    label = canvas.label()
    assert label.repairs == {words.PARTS: 2, words.TOO_FEW: 2}
    assert len(label.classes) + sum(label.repairs.get(reason, 0) for reason in words.WITHOUT_NUCLEUS) == 3


@pytest.mark.parametrize("odd", [float("nan"), float("inf")])
def test_coordinates_that_are_no_number_are_refused(odd: float) -> None:
    with pytest.raises(UserError, match=r"a\.xml"):
        Canvas((4, 4)).outline([[np.array([[0, 0], [odd, 1], [2, 2]])]], 1, "a.xml")
    with pytest.raises(UserError, match=r"a\.xml"):
        Canvas((4, 4)).erase([[np.array([[0, 0], [odd, 1], [2, 2]])]], "a.xml")


def test_nothing_drawn_is_nothing() -> None:
    label = Canvas((3, 2)).label()
    assert label.instances.shape == (3, 2)
    assert not label.instances.any()
    assert label.repairs == {}
