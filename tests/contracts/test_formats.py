"""Every format of the catalog gives back exactly what was written into it, or refuses before anything is written.

A new format needs one catalog line; where its reader has another name, a line of READERS; where it cannot hold
everything, a line of LACKS.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from drawn import CLASS_NAMES, assert_same, drawn_sample, full_sample
from nucleosynth import catalog
from nucleosynth.data.findings import REPAIRS
from nucleosynth.errors import UserError
from nucleosynth.sample import Layout, Sample, without_gaps

FORMATS = [entry.name for entry in catalog.CATALOG["format"]]
FOLDERS = [name for name in FORMATS if name != "store"]
"""Those that write a folder with meta.json; tests/data/test_store.py has the store's own refusals."""
READERS = {
    "tiff": "folder",
    "geojson-annotations": "geojson",
    "coco-rle": "coco",
    "hovernet-npy": "hovernet",
}
"""The data set that reads a format, where it is not named alike."""
LACKS = {
    "unknown type": {"pannuke"},
    "several sizes": {"pannuke"},
    "class 255": {"hovernet-npy"},
    "classes of one name": {"geojson", "geojson-annotations", "coco", "coco-rle", "csv"},
}
"""What a format cannot hold, and so refuses."""
Write = Callable[..., int]


@pytest.fixture(params=FORMATS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def round_trip(name: str, samples: Iterable[Sample], folder: Path) -> list[Sample]:
    catalog.load("format", name)(samples, folder)
    return list(catalog.load("data set", READERS.get(name, name))(str(folder)))


def assert_held(name: str, samples: list[Sample], folder: Path, lacks: str = "") -> None:
    """The samples come back as they were; or, where the format lacks something, are refused without a trace."""
    if name in LACKS.get(lacks, ()):
        with pytest.raises(UserError) as caught:
            catalog.load("format", name)(iter(samples), folder)
        assert caught.value.mend
        assert not folder.exists()
        return
    for found, expected in zip(round_trip(name, iter(samples), folder), samples, strict=True):
        assert_same(found, expected)


def known(sample: Sample) -> Sample:
    """The sample with all nuclei of a class."""
    return replace(sample, classes=np.maximum(sample.classes, 1))


def shaped(
    rows: list[str], classes: list[int], sample_id: str = "tile_0", class_names: tuple[str, ...] = CLASS_NAMES
) -> Sample:
    """A tile drawn in digits, "." being background."""
    instances = np.array([[0 if letter == "." else int(letter) for letter in row] for row in rows], np.int32)
    image = np.random.default_rng(0).integers(0, 256, (*instances.shape, 3), np.uint8)
    return Sample(sample_id, image, instances, np.array(classes, np.uint8), class_names, source="drawn/1")


SHAPES = {
    "a hole": ["1111.", "1..1.", "1111."],
    "a nucleus inside a hole": ["11111", "1...1", "1.2.1", "1...1", "11111"],
    "several parts": ["11..11", "......", "1....2"],
    "diagonal contacts": ["1.1.2", ".1.2.", "1.1.1"],
    "holes that touch at a corner": ["11111", "1.111", "11.11", "11111"],
    "touching nuclei": ["112233", "112233", "332211"],
    "one-pixel nuclei": ["1.2", "...", "3.."],
    "a whole tile": ["11", "11"],
    "ids against reading order": ["3.2", "...", "1.."],
    "one row": ["1.22.3"],
    "one column": ["1", ".", "2"],
}


def test_every_field_comes_back(name: str, tmp_path: Path) -> None:
    samples = [full_sample(k) for k in range(3)]
    assert_held(name, [known(sample) for sample in samples] if name == "pannuke" else samples, tmp_path / "out")


def test_nuclei_of_unknown_type_are_held_or_refused(name: str, tmp_path: Path) -> None:
    sample = drawn_sample(0)
    assert not sample.classes.all()
    assert_held(name, [sample], tmp_path / "out", "unknown type")


def test_what_is_known_of_the_quality_comes_back_whole(name: str, tmp_path: Path) -> None:
    quality = {"ratio": float("inf"), "none": None, "list": [1, {"none": None}], REPAIRS: {"px mended": 3}}
    assert_held(name, [known(drawn_sample(0, quality=quality))], tmp_path / "out")


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_come_back_pixel_for_pixel(name: str, shape: str, tmp_path: Path) -> None:
    rows = SHAPES[shape]
    nuclei = max(int(letter) for row in rows for letter in row if letter != ".")
    assert_held(name, [shaped(rows, [1 + k % 3 for k in range(nuclei)])], tmp_path / "out")


def test_tiles_without_nuclei_and_nested_names_come_back(name: str, tmp_path: Path) -> None:
    empty = shaped(["....", "...."], [], "slide_1/tile_7")
    full = shaped(["1111", "..22"], [3, 1], "slide_1/tile_10.5")
    assert_held(name, [empty, full, replace(full, sample_id="slide_2/tile_7")], tmp_path / "out")


def test_tiles_without_any_nucleus_come_back(name: str, tmp_path: Path) -> None:
    assert_held(name, [shaped(["....", "...."], [])], tmp_path / "out")


def test_points_without_masks_come_back(name: str, tmp_path: Path) -> None:
    xy = np.array([[0.1, 0.7], [-0.5, 1.5], [1e-20, 1 / 3]], np.float32)
    points = Layout(xy, np.array([0, 3, 1], np.uint8), (2, 4), CLASS_NAMES)
    tile = replace(shaped(["....", "...."], []), labelled_as="points", points=points)
    none = replace(tile, sample_id="tile_1", points=Layout(xy[:0], points.classes[:0], (2, 4), CLASS_NAMES))
    assert_held(name, [tile, none, replace(tile, sample_id="tile_2", labelled_as="masks")], tmp_path / "out")


def test_tiles_of_several_sizes_are_held_or_refused(name: str, tmp_path: Path) -> None:
    tiles = [shaped(["1111"], [1]), shaped(["11"], [2], "tile_1")]
    assert_held(name, tiles, tmp_path / "out", "several sizes")


def test_what_is_not_known_stays_so(name: str, tmp_path: Path) -> None:
    (tile,) = round_trip(name, [shaped(["1.", ".."], [2])], tmp_path / "out")
    assert (tile.mpp, tile.tissue, tile.split, tile.licence) == (None, "unknown", "", "unknown")


def test_odd_class_names_come_back(name: str, tmp_path: Path) -> None:
    names = ("unknown", "=1+1", 'a "b", c;d', "7", "Größe\n2", " ")
    tile = shaped(["123456"], [1, 2, 3, 4, 5, 6], class_names=names)
    assert_held(name, [tile], tmp_path / "out")


def test_classes_without_names_of_their_own_are_held_or_refused(name: str, tmp_path: Path) -> None:
    for k, names in enumerate((("a", "a"), ("", "a"))):
        tile = shaped(["1.2"], [1, 2], class_names=names)
        assert_held(name, [tile], tmp_path / str(k), "classes of one name")


def test_as_many_classes_as_a_sample_may_have_are_held_or_refused(name: str, tmp_path: Path) -> None:
    tile = shaped(["1.2"], [255, 254], class_names=tuple(f"type {k}" for k in range(255)))
    assert_held(name, [tile], tmp_path / "out", "class 255")


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    label=st.tuples(st.integers(1, 9), st.integers(1, 9)).flatmap(
        lambda size: arrays(np.int32, size, elements=st.integers(0, 6))
    ),
    seed=st.integers(0, 99),
)
def test_any_label_map_comes_back(name: str, label: np.ndarray, seed: int) -> None:
    kinds = np.random.default_rng(seed).integers(1 if name == "pannuke" else 0, 4, 6).astype(np.uint8)
    instances, classes = without_gaps(label, kinds)
    tile = replace(drawn_sample(0, label.shape, instances=instances, classes=classes))
    with TemporaryDirectory() as folder:
        assert_held(name, [tile], Path(folder) / "out")


def test_writing_twice_gives_the_same_files(name: str, tmp_path: Path) -> None:
    for copy in ("one", "two"):
        catalog.load("format", name)([known(full_sample(k)) for k in range(2)], tmp_path / copy)
    ones, twos = (sorted(path for path in (tmp_path / copy).rglob("*") if path.is_file()) for copy in ("one", "two"))
    for one, two in zip(ones, twos, strict=True):
        assert one.relative_to(tmp_path / "one") == two.relative_to(tmp_path / "two")
        assert undated(one) == undated(two)


def undated(path: Path) -> bytes:
    """A file's content; a MATLAB file begins with the date."""
    content = path.read_bytes()
    return content[128:] if path.suffix == ".mat" else content


def refused(name: str, samples: Iterable[Sample], folder: Path, match: str, **options: bool) -> None:
    before = {path: path.is_file() and path.read_bytes() for path in folder.parent.rglob("*")}
    with pytest.raises(UserError, match=match):
        catalog.load("format", name)(samples, folder, **options)
    assert {path: path.is_file() and path.read_bytes() for path in folder.parent.rglob("*")} == before


@pytest.mark.parametrize("name", FOLDERS)
def test_refusals_leave_everything_as_it_was(name: str, tmp_path: Path) -> None:
    one = known(drawn_sample(0))
    other = replace(known(drawn_sample(1)), class_names=("a", "b", "c"))
    points = Layout(np.zeros((1, 2), np.float32), np.ones(1, np.uint8), one.size, ("a",))
    folder = tmp_path / "out"
    refused(name, [], folder, "nothing to write")
    refused(name, [one, one], folder, "two samples of one name")
    refused(name, [one, other], folder, "different classes")
    refused(name, [replace(one, points=points)], folder, "different classes")
    for odd in ("../a", "/a", "a//b", ".a", "a/../b", "a\\b", "a\nb", "C:/a"):
        refused(name, [replace(one, sample_id=odd)], folder, "no file name")


@pytest.mark.parametrize("name", FOLDERS)
def test_only_what_was_written_here_is_overwritten(name: str, tmp_path: Path) -> None:
    write: Write = catalog.load("format", name)
    one, two = known(drawn_sample(0)), known(drawn_sample(1))
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "thesis.txt").write_text("mine")
    for overwrite in (False, True):
        refused(name, [one], folder, "holds other things", overwrite=overwrite)
    (folder / "thesis.txt").unlink()
    write([one], folder)
    refused(name, [two], folder, "is there already")
    write([two], folder, overwrite=True)
    (found,) = catalog.load("data set", READERS.get(name, name))(str(folder))
    assert_same(found, two)
    (folder / "thesis.txt").write_text("mine")
    refused(name, [one], folder, "holds other things", overwrite=True)
