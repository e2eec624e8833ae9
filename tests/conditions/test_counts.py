"""Nuclei of each class as a condition."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from nucleosynth.conditions.counts import amounts, from_classes
from nucleosynth.errors import UserError
from nucleosynth.sample import Condition


def test_nuclei_of_unknown_type_count_among_all_alone():
    found = from_classes(np.array([1, 3, 3, 0, 0], np.uint8), 4)
    assert_array_equal(found, [1, 0, 2, 0, 2])
    assert_allclose(amounts(found, (1, 3)), np.log2([6, 2, 3]) / 3, rtol=1e-6)
    assert_array_equal(from_classes(np.empty(0, np.uint8), 2), [0, 0, 0])


def test_where_all_types_are_known_amounts_need_no_more_than_the_classes():
    found = from_classes(np.array([1, 2, 2], np.uint8), 2)
    assert_array_equal(amounts(found, (1, 2)), amounts(found[:2], (1, 2)))


def test_amounts_are_of_all_nuclei_then_of_each_class_asked_for():
    assert_allclose(amounts(np.array([7, 0, 1]), (1, 3)), [np.log2(9) / 3, 1, 1 / 3])
    assert_allclose(amounts(np.array([7]), ()), [1])


def test_as_many_nuclei_on_twice_the_area_are_half_as_many():
    assert_array_equal(amounts(np.array([14, 6]), (1, 2), share=2.0), amounts(np.array([7, 3]), (1, 2)))
    assert_array_equal(amounts(np.array([0, 0]), (1, 2)), 0)


@pytest.mark.parametrize("counts", [[1], [1, 2, 3, 4], [1, -1], [1, 2, -3]])
def test_counts_that_do_not_fit_the_classes_are_refused(counts):
    with pytest.raises(UserError, match="counts do not fit"):
        Condition((8, 8), class_names=("a", "b"), counts=np.array(counts))
