"""CoNSeP's layout and its traps: ids with gaps, maps stored as floats, rows that follow ascending ids."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import scipy.io
from numpy.testing import assert_array_equal

from nucleosynth.data.consep import CLASS_NAMES, read
from nucleosynth.data.findings import Finding
from nucleosynth.errors import UserError
from nucleosynth.sample import Sample

TILES = (("Train", "train_1"), ("Test", "test_1"))


def write_tile(root: Path, split: str, name: str, **changes: object) -> None:
    """A tile of 20 x 30 px with nuclei 2, 5 and 9 of classes 7, 1 and 3; the image is RGBA."""
    for kind in ("Images", "Labels"):
        (root / split / kind).mkdir(parents=True, exist_ok=True)
    inst_map = np.zeros((20, 30))
    inst_map[2:6, 2:8], inst_map[10:15, 3:9], inst_map[4:9, 20:26] = 9, 2, 5
    generator = np.random.default_rng(len(name))
    cv2.imwrite(str(root / split / "Images" / f"{name}.png"), generator.integers(0, 256, (20, 30, 4), np.uint8))
    mat = {"inst_map": inst_map, "inst_type": np.array([[7.0], [1.0], [3.0]])} | changes
    scipy.io.savemat(root / split / "Labels" / f"{name}.mat", mat)


def test_rows_follow_ascending_ids_and_floats_are_read(tmp_path: Path) -> None:
    write_tile(tmp_path, "Train", "train_1")
    (tile,) = read(str(tmp_path))
    assert tile.instances.dtype == np.int32
    at = [(10, 3), (4, 20), (2, 2)]
    assert [int(tile.instances[place]) for place in at] == [1, 2, 3]
    assert tile.classes.tolist() == [7, 1, 3]
    assert (tile.class_names, tile.mpp, tile.source, tile.tissue) == (CLASS_NAMES, 0.25, "consep/train_1", "colon")
    stored = cv2.imread(str(tmp_path / "Train/Images/train_1.png"), cv2.IMREAD_UNCHANGED)
    assert_array_equal(tile.image, stored[:, :, 2::-1])


def test_order_is_natural_and_train_comes_first(tmp_path: Path) -> None:
    for split, name in (("Test", "test_1"), ("Train", "train_10"), ("Train", "train_2")):
        write_tile(tmp_path, split, name)
    tiles = list(read(str(tmp_path)))
    assert [tile.sample_id for tile in tiles] == ["train_2", "train_10", "test_1"]
    assert [tile.split for tile in tiles] == ["train", "train", "test"]


def test_train_alone_is_read_and_no_problem(tmp_path: Path) -> None:
    write_tile(tmp_path, "Train", "train_1")
    found: list[Finding] = []
    assert len(list(read(str(tmp_path), found.append))) == 1
    assert [(finding.kind, finding.where) for finding in found] == [("note", str(tmp_path / "Test"))]
    write_tile(tmp_path, "Test", "test_1")
    assert len(list(read(str(tmp_path), found.append))) == 2
    assert len(found) == 1


def test_a_tile_without_nuclei_is_read(tmp_path: Path) -> None:
    write_tile(tmp_path, "Train", "train_1", inst_map=np.zeros((20, 30)), inst_type=np.zeros((0, 1)))
    (tile,) = read(str(tmp_path))
    assert len(tile.classes) == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"inst_map": np.full((20, 30), 0.5)}, "not instance ids"),
        ({"inst_map": np.full((20, 30), -1.0)}, "not instance ids"),
        ({"inst_map": np.eye(20)}, "classes do not fit"),
        ({"inst_map": np.ones((9, 9)), "inst_type": np.ones((1, 1))}, "differ in size"),
        ({"inst_type": np.array([[8.0], [1.0], [3.0]])}, "classes do not fit"),
        ({"inst_type": np.array([[0.0], [1.0], [3.0]])}, "classes do not fit"),
        ({"inst_type": np.array([[1.5], [1.0], [3.0]])}, "not instance ids"),
    ],
)
def test_a_label_that_contradicts_itself_is_refused(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    write_tile(tmp_path, "Train", "train_1", **changes)
    with pytest.raises(UserError, match=rf"{message}(.|\n)*train_1"):
        list(read(str(tmp_path)))


def test_broken_files_are_named(tmp_path: Path) -> None:
    write_tile(tmp_path, "Train", "train_1")
    label = tmp_path / "Train/Labels/train_1.mat"
    whole = label.read_bytes()
    for cut in (0, 128, 200, len(whole) // 2):
        label.write_bytes(whole[:cut])
        with pytest.raises(UserError, match=r"broken file(.|\n)*train_1.mat"):
            list(read(str(tmp_path)))


@pytest.mark.parametrize(("lost", "kept"), [("Labels/train_1.mat", ".png"), ("Images/train_1.png", ".mat")])
def test_a_tile_of_which_a_part_is_missing_is_told_and_the_rest_read(tmp_path: Path, lost: str, kept: str) -> None:
    for split, name in TILES:
        write_tile(tmp_path, split, name)
    (tmp_path / "Train" / lost).unlink()
    found: list[Finding] = []
    assert [tile.sample_id for tile in read(str(tmp_path), found.append)] == ["test_1"]
    assert [(finding.kind, Path(finding.where).name) for finding in found] == [("missing", f"train_1{kept}")]


def test_a_broken_tile_is_left_to_the_note(tmp_path: Path) -> None:
    for split, name in TILES:
        write_tile(tmp_path, split, name)
    (tmp_path / "Train/Labels/train_1.mat").write_bytes(b"no matrix")
    found: list[Finding] = []
    assert [tile.sample_id for tile in read(str(tmp_path), found.append)] == ["test_1"]
    assert [(finding.kind, finding.where[-11:]) for finding in found] == [("broken", "train_1.mat")]


def test_another_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "Images").mkdir()
    with pytest.raises(UserError, match="not the CoNSeP folder"):
        list(read(str(tmp_path)))
    with pytest.raises(UserError, match="no such folder"):
        list(read(str(tmp_path / "absent")))


def test_real_tiles_agree_with_their_type_maps_and_centroids(shared: Path) -> None:
    root = shared / "data" / "consep"
    for tile in read(str(root)):
        if tile.sample_id in ("train_1", "train_25", "test_2"):
            _agrees(tile, scipy.io.loadmat(root / tile.split.title() / "Labels" / f"{tile.sample_id}.mat"))
    assert tile.sample_id == "test_7"


def _agrees(tile: Sample, mat: dict[str, np.ndarray]) -> None:
    rows, columns = np.nonzero(tile.instances)
    ids = tile.instances[rows, columns]
    pixels = np.bincount(ids)[1:]
    centroids = np.stack([np.bincount(ids, weights=w)[1:] / pixels for w in (columns, rows)], axis=1)
    np.testing.assert_allclose(centroids, mat["inst_centroid"], atol=1e-6)
    votes = np.zeros((len(pixels) + 1, 8), int)
    np.add.at(votes, (ids, mat["type_map"][rows, columns].astype(int)), 1)
    assert_array_equal(votes[1:].argmax(axis=1), tile.classes)
