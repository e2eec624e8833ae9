"""Lizard's layout and its traps: rows that follow ids, folds and slides of info.csv, tiles of other data sets."""

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from drawn import drawn_sample
from nucleosynth.data.findings import Finding, repairs_of
from nucleosynth.data.lizard import CLASS_NAMES, NO_PIXEL, NO_ROW, read
from nucleosynth.errors import UserError
from releases.lizard import INFO, make, write_info, write_tile


def three() -> np.ndarray:
    """A map of 20 x 30 px with nuclei 2, 5 and 9."""
    instances = np.zeros((20, 30), np.int32)
    instances[2:6, 2:8], instances[10:15, 3:9], instances[4:9, 20:26] = 9, 2, 5
    return instances


def one_tile(root: Path, listed: list[int], kinds: list[float], instances: np.ndarray | None = None) -> None:
    """A release of one tile."""
    write_tile(root, "glas_1", three() if instances is None else instances, np.array(listed), np.array(kinds))
    write_info(root, "glas_1,testB_10,1")


def test_classes_follow_the_ids_of_the_table_not_its_order(tmp_path: Path) -> None:
    one_tile(tmp_path, [9, 2, 5], [6, 1, 3])
    (tile,) = read(str(tmp_path))
    kind_at = [int(tile.classes[tile.instances[place] - 1]) for place in ((2, 2), (10, 3), (4, 20))]
    assert kind_at == [6, 1, 3]
    assert (tile.class_names, tile.mpp, tile.tissue, tile.split) == (CLASS_NAMES, 0.5, "colon", "fold1")
    assert CLASS_NAMES == ("neutrophil", "epithelial", "lymphocyte", "plasma", "eosinophil", "connective")
    assert not repairs_of(tile)


def test_rows_without_a_pixel_and_pixels_without_a_row_are_counted(tmp_path: Path) -> None:
    one_tile(tmp_path, [7, 9, 8, 2], [4, 6, 4, 1])
    (tile,) = read(str(tmp_path))
    assert tile.classes.tolist() == [1, 0, 6]
    assert repairs_of(tile) == {NO_PIXEL: 2, NO_ROW: 1}


def test_a_tile_without_nuclei_is_read(tmp_path: Path) -> None:
    one_tile(tmp_path, [], [], np.zeros((20, 30)))
    (tile,) = read(str(tmp_path))
    assert len(tile.classes) == 0


def test_a_map_without_background_is_read(tmp_path: Path) -> None:
    one_tile(tmp_path, [3], [2], np.full((20, 30), 3))
    (tile,) = read(str(tmp_path))
    assert (tile.instances == 1).all()
    assert tile.classes.tolist() == [2]


@pytest.mark.parametrize(
    ("listed", "kinds", "message"),
    [
        ([1, 3, 4], [1, 2, 3], "classes do not fit"),
        ([], [], "classes do not fit"),
        ([2, 5, 9], [1, 2], "classes do not fit"),
        ([2, 5, 9, 9], [1, 2, 3, 3], "classes do not fit"),
        ([2, 5, 9], [1, 2, 7], "classes do not fit"),
        ([2, 5, 9], [1, 2, 0], "classes do not fit"),
        ([2, 5, 9], [1, 2, 2.5], "not instance ids"),
    ],
)
def test_a_table_that_contradicts_its_map_is_refused(
    tmp_path: Path, listed: list[int], kinds: list[float], message: str
) -> None:
    one_tile(tmp_path, listed, kinds)
    with pytest.raises(UserError, match=rf"{message}(.|\n)*glas_1.mat"):
        list(read(str(tmp_path)))


def test_a_table_for_a_map_without_nuclei_is_refused(tmp_path: Path) -> None:
    one_tile(tmp_path, [1], [1], np.zeros((20, 30)))
    with pytest.raises(UserError, match="classes do not fit"):
        list(read(str(tmp_path)))


def test_folds_and_slides_come_from_the_table(tmp_path: Path) -> None:
    tiles = list(read(make(tmp_path)))
    assert [(tile.sample_id, tile.split, tile.source) for tile in tiles] == [
        ("crag_1", "fold3", "lizard/crag_1"),
        ("dpath_1", "fold2", "lizard/1902160001_2019-06-11 12_36_32"),
        ("dpath_2", "fold2", "lizard/1902160001_2019-06-11 12_36_32"),
        ("glas_1", "fold1", "lizard/glas_1"),
    ]


def test_a_slide_in_two_folds_is_told_and_its_tiles_stay_apart(tmp_path: Path) -> None:
    make(tmp_path)
    write_info(tmp_path, INFO[0], INFO[1][:-1] + "3", *INFO[2:])
    found: list[Finding] = []
    tiles = list(read(str(tmp_path), found.append))
    assert [tile.source for tile in tiles[1:3]] == ["lizard/dpath_1", "lizard/dpath_2"]
    assert [(finding.kind, finding.what[-16:]) for finding in found] == [("note", "dpath_1, dpath_2")]


def test_without_the_table_no_fold_is_known_and_that_is_told(tmp_path: Path) -> None:
    make(tmp_path)
    (tmp_path / "Lizard_Labels/info.csv").unlink()
    found: list[Finding] = []
    tiles = list(read(str(tmp_path), found.append))
    assert {(tile.split, tile.source == f"lizard/{tile.sample_id}") for tile in tiles} == {("", True)}
    assert [finding.kind for finding in found] == ["missing"]


def test_a_tile_without_a_row_and_a_row_without_a_tile_are_told(tmp_path: Path) -> None:
    make(tmp_path)
    write_info(tmp_path, *INFO[:3], "crag_64,train_30,2")
    found: list[Finding] = []
    assert len(list(read(str(tmp_path), found.append))) == 3
    assert [(finding.kind, finding.where.rpartition(" ")[2]) for finding in found] == [
        ("missing", "crag_1"),
        ("missing", "crag_64"),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Filename,Source,Split\nglas_1,testB_10,4\n", r"a bad row(.|\n)*line 2"),
        ("Filename,Source,Split\nglas_1,testB_10\n", r"a bad row(.|\n)*line 2"),
        ("Filename,Source,Split\nglas_1,a,1\nglas_1,a,2\n", r"a bad row(.|\n)*line 3"),
        ("name;split\nglas_1;1\n", "not the table that is wanted"),
        ("", "not the table that is wanted"),
        (b"Filename,Source,Split\nglas_1,\xff\xfe,1\n", "a broken table"),
    ],
)
def test_a_table_of_folds_that_cannot_be_right_is_refused(tmp_path: Path, text: str | bytes, message: str) -> None:
    one_tile(tmp_path, [2, 5, 9], [1, 2, 3])
    (tmp_path / "Lizard_Labels/info.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=message):
        list(read(str(tmp_path)))


def test_tiles_of_other_data_sets_are_told_once_each(tmp_path: Path) -> None:
    for name in ("consep_1", "consep_2", "pannuke_1"):
        write_tile(tmp_path, name, three(), np.array([2, 5, 9]), np.array([1, 2, 3]))
    write_info(tmp_path, "consep_1,test_14,3", "consep_2,train_23,3", "pannuke_1,None,3")
    found: list[Finding] = []
    assert len(list(read(str(tmp_path), found.append))) == 3
    assert [(finding.kind, finding.what) for finding in found] == [
        ("note", "tiles of CoNSeP: 2, consep_*"),
        ("note", "tiles of PanNuke: 1, pannuke_*"),
    ]
    assert "do not test on CoNSeP" in found[0].mend


def test_images_without_labels_are_told(tmp_path: Path) -> None:
    make(tmp_path)
    (tmp_path / "Lizard_Labels/Labels/glas_1.mat").unlink()
    found: list[Finding] = []
    assert len(list(read(str(tmp_path), found.append))) == 3
    assert [(finding.kind, Path(finding.where).name) for finding in found] == [("missing", "glas_1.png")]


def test_the_archives_own_folders_are_read(tmp_path: Path) -> None:
    make(tmp_path / "plain")
    for part in ("Lizard_Images1", "Lizard_Images2", "Lizard_Labels"):
        (tmp_path / "nested" / part.lower()).mkdir(parents=True)
        (tmp_path / "plain" / part).rename(tmp_path / "nested" / part.lower() / part)
    overlay = tmp_path / "nested" / "overlay" / "Overlay"
    overlay.mkdir(parents=True)
    (overlay / "glas_1.png").write_bytes(b"no image")
    assert len(list(read(str(tmp_path / "nested")))) == 4


def test_order_is_natural(tmp_path: Path) -> None:
    for name in ("glas_10", "glas_2"):
        write_tile(tmp_path, name, three(), np.array([2, 5, 9]), np.array([1, 2, 3]))
    write_info(tmp_path, "glas_10,a,1", "glas_2,b,1")
    assert [tile.sample_id for tile in read(str(tmp_path))] == ["glas_2", "glas_10"]


def test_broken_files_are_left_to_the_note(tmp_path: Path) -> None:
    make(tmp_path)
    (tmp_path / "Lizard_Labels/Labels/glas_1.mat").write_bytes(b"no matrix")
    found: list[Finding] = []
    tiles = list(read(str(tmp_path), found.append))
    assert [tile.sample_id for tile in tiles] == ["crag_1", "dpath_1", "dpath_2"]
    assert [(finding.kind, finding.where[-10:]) for finding in found] == [("broken", "glas_1.mat")]


def test_pixels_are_those_of_the_map(tmp_path: Path) -> None:
    *_, tile = read(make(tmp_path))
    assert_array_equal(tile.instances, drawn_sample(2).instances)


def test_another_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "Lizard_Images1").mkdir()
    with pytest.raises(UserError, match="not the Lizard folder"):
        list(read(str(tmp_path)))
