"""HoVer-Net's labels: rows follow inst_uid, types may be in pixels alone, and patches hold their image."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import scipy.io
from numpy.testing import assert_allclose, assert_array_equal

from drawn import drawn_sample
from nucleosynth.data import consep
from nucleosynth.data.findings import REPAIRS, Finding
from nucleosynth.data.meta import own_source
from nucleosynth.errors import UserError
from nucleosynth.formats.hovernet import SEVERAL, TYPELESS, read, write, write_npy

INST_MAP = np.zeros((16, 20), np.int32)
INST_MAP[2:6, 2:8], INST_MAP[10:14, 3:9], INST_MAP[4:9, 12:18] = 9, 2, 5
TYPE_MAP = np.select([INST_MAP == 9, INST_MAP == 2, INST_MAP == 5], [3, 1, 2])
AT = [(10, 3), (4, 12), (2, 2)]


def put(root: Path, label: Any, name: str = "a", labels: str = "labels", images: str = "images") -> None:
    """A tile of 16 x 20 px with nuclei 2, 5 and 9 of types 1, 2 and 3."""
    for folder in (labels, images):
        (root / folder).mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(root / images / f"{name}.png"), np.zeros((16, 20, 3), np.uint8))
    if isinstance(label, dict):
        scipy.io.savemat(root / labels / f"{name}.mat", label)
    else:
        np.save(root / labels / f"{name}.npy", label)


def test_everything_of_hovernet_is_in_the_mat(tmp_path: Path) -> None:
    sample = drawn_sample(0)
    write([sample], tmp_path / "out")
    mat = scipy.io.loadmat(tmp_path / "out/labels/tile_0.mat")
    count = len(sample.classes)
    assert mat["inst_map"].dtype == np.int32
    assert_array_equal(mat["inst_map"], sample.instances)
    assert_array_equal(mat["inst_type"], sample.classes[:, None])
    assert_array_equal(mat["inst_uid"], np.arange(1, count + 1)[:, None])
    assert_array_equal(mat["type_map"], np.append(0, sample.classes)[sample.instances])
    assert_allclose(mat["inst_centroid"][:2], [[4.5, 2], [14.5, 2]])
    assert mat["inst_centroid"].shape == (count, 2)


def test_the_npy_has_ids_and_types(tmp_path: Path) -> None:
    sample = drawn_sample(0)
    write_npy([sample], tmp_path / "out")
    label = np.load(tmp_path / "out/labels/tile_0.npy")
    assert (label.shape, label.dtype) == ((40, 48, 2), np.int32)
    assert_array_equal(label[..., 1], np.append(0, sample.classes)[label[..., 0]])


LABELS = {
    "rows of inst_uid": {"inst_map": INST_MAP, "inst_type": [[3], [1], [2]], "inst_uid": [[9], [2], [5]]},
    "rows in ascending order": {"inst_map": INST_MAP.astype(float), "inst_type": [[1.0], [2.0], [3.0]]},
    "types of pixels alone": {"inst_map": INST_MAP, "type_map": TYPE_MAP},
    "npy": np.stack([INST_MAP, TYPE_MAP], axis=2),
    "npy of floats": np.stack([INST_MAP, TYPE_MAP], axis=2).astype(float),
}


@pytest.mark.parametrize("kind", LABELS)
def test_types_are_found_and_gaps_closed(tmp_path: Path, kind: str) -> None:
    put(tmp_path, LABELS[kind])
    (tile,) = read(str(tmp_path))
    assert [int(tile.instances[place]) for place in AT] == [1, 2, 3]
    assert tile.classes.tolist() == [1, 2, 3]
    assert tile.class_names == ("class 1", "class 2", "class 3")
    assert (tile.mpp, tile.source) == (None, own_source("hovernet", "a", tile.image))
    assert REPAIRS not in tile.quality


@pytest.mark.parametrize(("labels", "images"), [("mat", "images"), ("Labels", "Images"), ("labels", "labels")])
def test_labels_are_found_where_other_programs_put_them(tmp_path: Path, labels: str, images: str) -> None:
    root = tmp_path / "labels" if labels == images else tmp_path
    put(tmp_path, {"inst_map": INST_MAP}, labels=labels, images=images)
    (tile,) = read(str(root))
    assert (tile.class_names, tile.classes.tolist()) == (("nucleus",), [1, 1, 1])


@pytest.mark.parametrize("above", ["", "run_1/"])
def test_hovernets_pictures_with_outlines_are_no_images(tmp_path: Path, above: str) -> None:
    put(tmp_path, {"inst_map": INST_MAP}, labels=f"{above}mat", images=f"{above}overlay")
    (tmp_path / above / "json").mkdir()
    (tmp_path / above / "json/a.json").write_text("{}")
    with pytest.raises(UserError, match=r"a label without its image(.|\n)*a.mat(.|\n)*put the images .* into images/"):
        list(read(str(tmp_path)))


@pytest.mark.parametrize("suffixes", [(".PNG", ".MAT"), (".TIF", ".Npy"), (".Jpeg", ".NPY")])
def test_suffixes_may_be_of_any_case(tmp_path: Path, suffixes: tuple[str, str]) -> None:
    label: Any = {"inst_map": INST_MAP} if suffixes[1] == ".MAT" else INST_MAP
    put(tmp_path, label)
    (path,) = (tmp_path / "labels").iterdir()
    path.rename(path.with_suffix(suffixes[1]))
    (tmp_path / "images/a.png").rename(tmp_path / f"images/a{suffixes[0]}")
    (tile,) = read(str(tmp_path))
    assert len(tile.classes) == 3


@pytest.mark.parametrize("channels", [4, 5])
def test_training_patches_hold_their_image(tmp_path: Path, channels: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (16, 20, 3))
    np.save(tmp_path / "patch_1.npy", np.dstack([image, INST_MAP, TYPE_MAP])[..., :channels].astype(np.int32))
    (tile,) = read(str(tmp_path))
    assert_array_equal(tile.image, image)
    assert tile.classes.tolist() == ([1, 2, 3] if channels == 5 else [1, 1, 1])


def test_the_largest_type_counts_the_classes_and_zero_is_unknown(tmp_path: Path) -> None:
    put(tmp_path, {"inst_map": INST_MAP, "inst_type": [[0], [4], [1]]})
    (tile,) = read(str(tmp_path))
    assert (len(tile.class_names), tile.classes.tolist()) == (4, [0, 4, 1])


def test_a_file_without_types_among_others_has_unknown_ones(tmp_path: Path) -> None:
    put(tmp_path, {"inst_map": INST_MAP, "inst_type": [[1], [2], [2]]}, "a")
    put(tmp_path, {"inst_map": INST_MAP}, "b")
    found: list[Finding] = []
    _, tile = read(str(tmp_path), found.append)
    assert (tile.classes.tolist(), tile.quality[REPAIRS]) == ([0, 0, 0], {TYPELESS: 3})
    assert [(each.kind, each.where, each.what, each.count) for each in found] == [("repaired", "b", TYPELESS, 3)]


def test_a_nucleus_of_several_types_takes_the_most_frequent_and_is_counted(tmp_path: Path) -> None:
    types = TYPE_MAP.copy()
    types[2, 2:8], types[10, 3], types[0, :5] = 2, 0, 1
    put(tmp_path, np.stack([INST_MAP, types], axis=2))
    (tile,) = read(str(tmp_path))
    assert (tile.classes.tolist(), tile.quality[REPAIRS]) == ([1, 2, 3], {SEVERAL: 2})


@pytest.mark.parametrize("odd", [float("nan"), 2e9])
def test_types_that_are_none_spoil_no_other_tile(tmp_path: Path, odd: float) -> None:
    put(tmp_path, LABELS["npy"], "a")
    put(tmp_path, {"inst_map": INST_MAP, "inst_type": [[1.0], [2.0], [odd]]}, "b")
    put(tmp_path, np.stack([INST_MAP, np.where(INST_MAP == 9, odd, TYPE_MAP)], axis=2), "c")
    found: list[Finding] = []
    (tile,) = read(str(tmp_path), found.append)
    assert (tile.sample_id, tile.class_names) == ("a", ("class 1", "class 2", "class 3"))
    assert [finding.kind for finding in found] == ["broken", "broken"]


def test_large_ids_need_no_memory(tmp_path: Path) -> None:
    put(tmp_path, np.where(INST_MAP, INST_MAP + 2_000_000_000, 0))
    (tile,) = read(str(tmp_path))
    assert [int(tile.instances[place]) for place in AT] == [1, 2, 3]


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ({"inst_map": INST_MAP, "inst_type": [[1], [2]]}, "rows that do not fit"),
        ({"inst_map": INST_MAP, "inst_type": [[1], [2], [3]], "inst_uid": [[2], [5], [8]]}, "rows that do not fit"),
        ({"inst_map": INST_MAP, "inst_type": [[1], [2], [3]], "inst_uid": [[2], [5], [5]]}, "rows that do not fit"),
        ({"inst_map": INST_MAP, "inst_type": [[1], [2], [1.5]]}, "not instance ids"),
        ({"inst_map": INST_MAP / 2}, "not instance ids"),
        ({"inst_map": INST_MAP[:9]}, "label and image differ in size"),
        ({"inst_map": INST_MAP, "type_map": TYPE_MAP[:9]}, "maps of different sizes"),
        ({"type_map": TYPE_MAP}, "a broken file"),
        (INST_MAP[..., None].repeat(3, axis=2), "not a HoVer-Net label"),
        (np.stack([INST_MAP, TYPE_MAP * 100], axis=2), "a type out of range"),
        (np.stack([INST_MAP, -TYPE_MAP], axis=2), "not instance ids"),
        (np.array([[None]]), "a broken file"),
    ],
)
def test_a_label_that_contradicts_itself_is_refused(tmp_path: Path, label: Any, message: str) -> None:
    put(tmp_path, label)
    with pytest.raises(UserError, match=rf"{message}(.|\n)*labels/a\.(mat|npy)"):
        list(read(str(tmp_path)))


def test_a_type_that_is_not_named_is_refused(tmp_path: Path) -> None:
    put(tmp_path, {"inst_map": INST_MAP, "inst_type": [[1], [2], [3]]})
    (tmp_path / "meta.toml").write_text('class_names = ["a", "b"]')
    with pytest.raises(UserError, match=r"a type out of range(.|\n)*1..2(.|\n)*labels/a.mat"):
        list(read(str(tmp_path)))


def test_real_labels_of_consep_are_read_as_its_own_reader_reads_them(shared: Path) -> None:
    root = shared / "data" / "consep"
    expected = next(consep.read(str(root)))
    found = next(read(str(root / "Train")))
    assert found.sample_id == expected.sample_id == "train_1"
    assert_array_equal(found.instances, expected.instances)
    assert_array_equal(found.classes, expected.classes)
