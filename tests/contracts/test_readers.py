"""Every data set of the catalog keeps the contract of a reader, on a tiny copy that the test makes.

A new reader needs one file, tests/releases/NAME.py, with `make(root)`: it writes four tiles in the release's own layout
below a folder, and returns what stands after the colon of `name:where`. One of a format of that name needs none.
"""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import cv2
import pytest

import releases
from drawn import assert_same
from nucleosynth import catalog
from nucleosynth.data.findings import PROBLEMS, Finding
from nucleosynth.data.reader import Reader
from nucleosynth.errors import UserError
from nucleosynth.sample import Sample

NAMES = [entry.name for entry in catalog.CATALOG["data set"]]
TILES = 4
KEEP_SOURCES = ("folder", "store", "geojson", "coco", "hovernet", "csv")
"""What was converted keeps the name of the data set that it came from."""
ARRAYS = ("pannuke",)
"""Data in arrays, which decode nothing; tests/data has their own test of laziness."""
ON_DISK = [name for name in NAMES if name != "phantom"]


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def reader(name: str) -> Reader:
    found: Reader = catalog.load("data set", name)
    return found


@pytest.fixture
def where(name: str, tmp_path: Path) -> str:
    return releases.make(name, tmp_path / "data")


def test_reading_twice_gives_equal_samples_in_equal_order(reader: Reader, where: str) -> None:
    first, second = list(reader(where)), list(reader(where))
    assert len(first) == TILES
    for one, two in zip(first, second, strict=True):
        assert_same(one, two)


def test_samples_are_valid_and_named_once(reader: Reader, where: str) -> None:
    samples = list(reader(where))
    assert all(isinstance(sample, Sample) for sample in samples)
    assert len({sample.sample_id for sample in samples}) == len(samples)
    assert len({sample.class_names for sample in samples}) == 1
    assert all(sample.provenance["kind"] in ("real", "drawn", "synthetic") for sample in samples)


def test_sources_carry_the_name_and_lie_in_one_split(name: str, reader: Reader, where: str) -> None:
    splits: dict[str, set[str]] = {}
    for sample in reader(where):
        prefix, _, rest = sample.source.partition("/")
        assert prefix == ("consep" if name in KEEP_SOURCES else name)
        assert rest
        splits.setdefault(sample.source, set()).add(sample.split)
    assert all(len(found) == 1 for found in splits.values())


def test_a_whole_release_has_no_problem(reader: Reader, where: str) -> None:
    found: list[Finding] = []
    list(reader(where, found.append))
    assert not [finding for finding in found if finding.kind in PROBLEMS]


def test_reading_is_an_iterator(reader: Reader, where: str) -> None:
    samples = reader(where)
    assert isinstance(samples, Iterator)
    next(samples)


@pytest.mark.parametrize("name", [name for name in ON_DISK if name not in ARRAYS])
def test_the_first_tile_comes_before_the_last_is_decoded(
    reader: Reader, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Decoded images are counted at the one place where bytes become pixels."""
    decoded = 0
    decode = cv2.imdecode

    def counting(*arguments: object) -> object:
        nonlocal decoded
        decoded += 1
        return decode(*arguments)

    monkeypatch.setattr(cv2, "imdecode", counting)
    counts = []
    for _ in reader(where):
        counts.append(decoded)
    assert len(counts) == TILES
    assert all(one < two for one, two in pairwise(counts))


@pytest.mark.parametrize("name", ON_DISK)
def test_a_missing_folder_is_the_users_error(name: str, reader: Reader, tmp_path: Path) -> None:
    for where in (str(tmp_path / "absent"), ""):
        with pytest.raises(UserError) as caught:
            list(reader(where))
        assert caught.value.exit_code == 2
        assert caught.value.mend, name
