"""Every data set of the catalog keeps the contract of a reader, on a tiny copy that the test makes.

A new reader needs one entry in MAKERS: a function that writes a few tiles in the data set's own layout below a folder,
and returns what stands after the colon of `name:where`.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
import scipy.io

from drawn import assert_same, drawn_sample
from nucleosynth import catalog
from nucleosynth.data import store
from nucleosynth.data.reader import Reader
from nucleosynth.errors import UserError
from nucleosynth.formats import folder
from nucleosynth.sample import Sample

NAMES = [entry.name for entry in catalog.CATALOG["data set"]]
TILES = 4


def make_consep(root: Path) -> str:
    for k in range(TILES):
        split, name = ("Train", f"train_{k + 8}") if k < 3 else ("Test", "test_1")
        sample = drawn_sample(k)
        for kind in ("Images", "Labels"):
            (root / split / kind).mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(root / split / "Images" / f"{name}.png"), sample.image)
        classes = np.maximum(sample.classes, 1)[:, None].astype(float)
        mat = {"inst_map": sample.instances.astype(float), "inst_type": classes}
        scipy.io.savemat(root / split / "Labels" / f"{name}.mat", mat)
    return str(root)


def make_folder(root: Path) -> str:
    folder.write((replace(drawn_sample(k), source=f"consep/train_{k}") for k in range(TILES)), root)
    return str(root)


def make_store(root: Path) -> str:
    store.write((replace(drawn_sample(k), source=f"consep/train_{k}") for k in range(TILES)), root)
    return str(root)


def make_phantom(_root: Path) -> str:
    return f"tiles={TILES}&size=64&sources=2"


MAKERS: dict[str, Callable[[Path], str]] = {
    "consep": make_consep,
    "folder": make_folder,
    "store": make_store,
    "phantom": make_phantom,
}
KEEP_SOURCES = ("folder", "store")
"""What was converted keeps the name of the data set that it came from."""
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
    assert name in MAKERS, f"give MAKERS a tiny copy of {name!r}"
    return MAKERS[name](tmp_path / "data")


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


def test_reading_is_an_iterator(reader: Reader, where: str) -> None:
    samples = reader(where)
    assert isinstance(samples, Iterator)
    next(samples)


@pytest.mark.parametrize("name", ON_DISK)
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
