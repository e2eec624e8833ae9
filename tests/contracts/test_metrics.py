"""What every metric of the catalog keeps to: pure, documented, finite numbers or NaN, on empty images too.

A new metric needs one line in the catalog and one in EXAMPLES: its arguments on a small example, and the same with
images that hold no nucleus (or no content).
"""

import inspect
import re
from copy import deepcopy
from dataclasses import is_dataclass, replace
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from nucleosynth import catalog
from nucleosynth.metrics.aggregation import Aggregate, judge
from nucleosynth.metrics.classification import Nuclei
from nucleosynth.metrics.shapes import Label
from nucleosynth.sample import Layout

RNG = np.random.default_rng(0)
TRUE, PREDICTED = RNG.integers(0, 4, (2, 6, 6)).repeat(4, axis=1).repeat(4, axis=2).astype(np.int32)
EMPTY = np.zeros_like(TRUE)
NUCLEI = Nuclei(RNG.uniform(0, 24, (5, 2)), np.array([0, 1, 1, 2, 2], np.uint8))
NO_NUCLEI = Nuclei(np.empty((0, 2)), np.empty(0, np.uint8))
SHARES = RNG.dirichlet([1, 2, 3], (2, 8)) * 100
FEATURES = RNG.normal(size=(2, 24, 3))
BACKGROUND_ALONE = np.tile([100.0, 0, 0], (4, 1))
PICTURES = RNG.integers(0, 256, (3, 32, 32, 3)).astype(np.uint8)
GLASS = np.full((24, 24, 3), 244, np.uint8)
TYPES = (np.array([1, 2, 2], np.uint8), np.zeros(0, np.uint8))
IMAGES = [
    judge(np.roll(TRUE, 1, 0) % k, TRUE % k, np.array(types, np.uint8), np.array(types, np.uint8), 2)
    for k, types in ((3, (1, 2)), (4, (1, 1, 1)))
]
NO_IMAGE = [judge(EMPTY, EMPTY, TYPES[1], TYPES[1], 2)]
LABELS = [Label(np.pad(np.roll(TRUE, k, 0), 1), TYPES[0], 0.25) for k in range(3)]
LAYOUTS = [
    Layout(RNG.uniform(0, 23, (9, 2)).astype(np.float32), np.arange(9).astype(np.uint8) % 3, (24, 24), ("a", "b"), 0.5)
    for _ in range(4)
]

EXAMPLES: dict[str, tuple[tuple[Any, ...], tuple[Any, ...]]] = {
    "instance": ((TRUE, PREDICTED), (EMPTY, EMPTY)),
    "classification": (([(NUCLEI, NUCLEI)], ["a", "b"], 6.0), ([(NO_NUCLEI, NO_NUCLEI)], ["a", "b"], 6.0)),
    "pannuke": ((IMAGES, ["a", "b"]), (NO_IMAGE, ["a", "b"])),
    "conic": ((IMAGES, ["a", "b"]), (NO_IMAGE, ["a", "b"])),
    "micro": ((IMAGES, ["a", "b"]), (NO_IMAGE, ["a", "b"])),
    "separation": ((TRUE, TYPES[0]), (EMPTY, TYPES[1])),
    "consistency": (
        ([(LABELS[0], LABELS[1])], [(LABELS[1], LABELS[1])], ["a", "b"]),
        ([(Label(EMPTY, TYPES[1], 0.25),) * 2], [], ["a", "b"]),
    ),
    "shapes": ((LABELS, LABELS[1:], ["a", "b"]), ([Label(EMPTY, TYPES[1], 0.25)] * 2, [], ["a", "b"])),
    "counts": (
        (1 + np.eye(4, 2, dtype=int), np.ones((1, 2), int), ["a", "b"]),
        (np.zeros((0, 2)), np.zeros((0, 2)), "ab"),
    ),
    "layout": (
        (LAYOUTS, LAYOUTS[1:], ["a", "b"]),
        ([replace(LAYOUTS[0], xy=np.zeros((0, 2), np.float32), classes=TYPES[1])] * 2, [], ["a", "b"]),
    ),
    "fsd": (tuple(SHARES), (BACKGROUND_ALONE, BACKGROUND_ALONE)),
    "kid": (tuple(SHARES), (BACKGROUND_ALONE, BACKGROUND_ALONE)),
    "fd": (tuple(SHARES), (BACKGROUND_ALONE, BACKGROUND_ALONE)),
    "fd_infinity": (tuple(FEATURES), (FEATURES[0] * 0, FEATURES[1] * 0)),
    "precision_recall": (tuple(SHARES), (BACKGROUND_ALONE, BACKGROUND_ALONE)),
    "density_coverage": (tuple(SHARES), (FEATURES[0] * 0, FEATURES[1] * 0)),
    "retrieval": ((SHARES[0], SHARES[0] > 20), (SHARES[0], SHARES[0] > 100)),
    "is": ((np.repeat(SHARES[0] / 100, 2, axis=0),), (np.tile([1.0, 0, 0], (10, 1)),)),
    "copies": (([PICTURES[0][:24, :24]], [PICTURES[1][:24, :24]], PICTURES), ([GLASS], [GLASS], [GLASS])),
    "contrast": ((PICTURES[0][:24, :24], TRUE), (GLASS, EMPTY)),
}
METRICS = [entry.name for entry in catalog.CATALOG["metric"]]


def numbers(result: Any) -> list[float]:
    """The numbers of a result: one, an array of them, a dict of named ones, or those of an aggregate."""
    if isinstance(result, Aggregate):
        tables = [result.scores, *result.by_class.values(), *result.by_tissue.values(), result.left_out]
        assert all(type(value) in (float, int) for table in tables for value in table.values()), "ready for JSON"
        return [float(value) for table in tables for value in table.values()]
    if isinstance(result, dict):
        assert all(isinstance(name, str) for name in result)
        assert all(type(value) is float for value in result.values()), "plain floats, ready for JSON"
        return list(result.values())
    assert isinstance(result, float | np.ndarray)
    return np.atleast_1d(result).tolist()


def test_every_metric_has_an_example() -> None:
    assert sorted(EXAMPLES) == sorted(METRICS)


@pytest.mark.parametrize("name", METRICS)
def test_a_small_example_gives_finite_numbers_and_again_the_same(name: str) -> None:
    metric, (example, _) = catalog.load("metric", name), EXAMPLES[name]
    before = deepcopy(example)
    result = numbers(metric(*example))
    assert len(result) > 0
    assert np.isfinite(result).all()
    assert_array_equal(result, numbers(metric(*example)))
    assert_untouched(before, example)


@pytest.mark.parametrize("name", METRICS)
def test_empty_images_give_numbers_or_nan_and_never_crash(name: str) -> None:
    metric, (example, empty) = catalog.load("metric", name), EXAMPLES[name]
    result = metric(*empty)
    assert not np.isinf(numbers(result)).any()
    if isinstance(result, dict):
        assert result.keys() == metric(*example).keys()


@pytest.mark.parametrize("name", METRICS)
def test_the_docstring_names_source_and_edge_cases(name: str) -> None:
    metric = catalog.load("metric", name)
    assert callable(metric)
    documented = inspect.getdoc(metric) or ""
    assert re.search(r"Source: .*\b(19|20)\d\d\b", documented, re.DOTALL), "the paper, with its year"
    assert any(word in documented.lower() for word in ("empty", "nan", "without")), "what an empty image gives"
    assert "Raises:" in documented


def assert_untouched(before: Any, after: Any) -> None:
    """Arrays, in whatever lists and tuples, are as they were."""
    if isinstance(before, list | tuple):
        for one, other in zip(before, after, strict=True):
            assert_untouched(one, other)
    elif is_dataclass(before):
        assert_untouched(list(vars(before).values()), list(vars(after).values()))
    else:
        assert_array_equal(before, after)
