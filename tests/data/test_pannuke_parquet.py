"""PanNuke's mirror as Parquet files: 1-bit masks, numbers that the schema explains, rows in small batches."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.testing import assert_array_equal

from drawn import assert_same
from nucleosynth.data.findings import REPAIRS, Finding
from nucleosynth.data.pannuke import CLASS_NAMES, read
from nucleosynth.data.pannuke_parquet import TISSUES
from nucleosynth.errors import UserError
from nucleosynth.instances.canvas import CLAIMED_TWICE, NO_PIXEL
from releases.pannuke import make

SIZE = (20, 30)
IMAGE = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
FILE = pa.struct({"bytes": pa.binary(), "path": pa.string()})
NAME = "fold1-00000-of-00001.parquet"


def png(array: np.ndarray, *options: int) -> dict[str, Any]:
    return {"bytes": cv2.imencode(".png", array, options)[1].tobytes(), "path": None}


def mask(rows: slice, columns: slice, size: tuple[int, int] = SIZE) -> dict[str, Any]:
    """A 1-bit PNG."""
    array = np.zeros(size, np.uint8)
    array[rows, columns] = 255
    cell = png(array, cv2.IMWRITE_PNG_BILEVEL, 1)
    assert cell["bytes"][24] == 1, "the PNG's bit depth"
    return cell


def row(**changes: Any) -> dict[str, Any]:
    """A dead nucleus of the breast, later overlapped by 8 px of a neoplastic one."""
    return {
        "image": png(IMAGE[:, :, ::-1]),
        "instances": [mask(slice(0, 4), slice(0, 6)), mask(slice(0, 4), slice(4, 9))],
        "categories": [3, 0],
        "tissue": 3,
    } | changes


def write(path: Path, *rows: dict[str, Any], features: Any = None, **types: pa.DataType) -> None:
    columns = {"image": FILE, "instances": pa.list_(FILE), "categories": pa.list_(pa.int64()), "tissue": pa.int64()}
    columns |= types
    metadata = {} if features is None else {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(list(rows), schema=pa.schema(columns, metadata=metadata)), path)


def test_a_tile_is_what_the_row_says(tmp_path: Path) -> None:
    write(tmp_path / "data" / NAME, row())
    (tile,) = read(str(tmp_path))
    assert_array_equal(tile.image, IMAGE)
    assert tile.classes.tolist() == [4, 1]
    assert_array_equal(tile.instances[0, :10], [1, 1, 1, 1, 2, 2, 2, 2, 2, 0])
    assert tile.instances[:4, :9].all()
    assert np.count_nonzero(tile.instances) == 36
    assert tile.quality[REPAIRS] == {CLAIMED_TWICE: 8}
    assert (tile.sample_id, tile.source, tile.split) == ("fold1_0000", "pannuke/fold1_0000", "fold1")
    assert (tile.tissue, tile.mpp, tile.licence) == ("breast", 0.25, "CC BY-NC-SA 4.0")


def test_the_arrays_and_the_parquet_files_give_the_same_samples(tmp_path: Path) -> None:
    expected = list(read(make(tmp_path / "arrays")))
    for fold in (1, 2, 3):
        samples = [sample for sample in expected if sample.split == f"fold{fold}"]
        rows = []
        for sample in samples:
            masks = [png((sample.instances == k + 1) * np.uint8(255)) for k in range(len(sample.classes))]
            tissue = {"adrenal gland": 0, "bile duct": 1, "colon": 5, "head and neck": 7}[sample.tissue]
            image = png(np.ascontiguousarray(sample.image[:, :, ::-1]))
            rows.append(row(image=image, instances=masks, categories=(sample.classes - 1).tolist(), tissue=tissue))
        write(tmp_path / "parquet" / "data" / f"fold{fold}-00000-of-00001.parquet", *rows)
    for one, two in zip(expected, read(str(tmp_path / "parquet")), strict=True):
        assert_same(two, one)


def test_the_published_tissues_are_nineteen_in_order() -> None:
    assert len(TISSUES) == 19
    assert list(TISSUES) == sorted(TISSUES)


@pytest.mark.parametrize("form", ["Sequence", "List", "plain"])
def test_the_schema_says_what_numbers_stand_for(tmp_path: Path, form: str) -> None:
    label = {"names": ["Epithelial", "Dead cells", "Connective/Soft tissue", "Neoplastic"], "_type": "ClassLabel"}
    categories = [label] if form == "plain" else {"feature": label, "_type": form}
    tissue = {"names": ["Lung", "Adrenal Gland"], "_type": "ClassLabel"}
    cells = row(tissue=1, categories=[1, 2])
    write(tmp_path / NAME, cells, features={"categories": categories, "tissue": tissue})
    (tile,) = read(str(tmp_path))
    assert [CLASS_NAMES[kind - 1] for kind in tile.classes] == ["dead", "connective"]
    assert tile.tissue == "adrenal gland"


def test_words_may_stand_for_numbers(tmp_path: Path) -> None:
    cells = row(tissue="HeadNeck", categories=["Epithelial", "inflammatory"])
    write(tmp_path / NAME, cells, tissue=pa.string(), categories=pa.list_(pa.string()))
    (tile,) = read(str(tmp_path))
    assert [CLASS_NAMES[kind - 1] for kind in tile.classes] == ["epithelial", "inflammatory"]
    assert tile.tissue == "head and neck"


def test_a_tile_without_nuclei_and_an_empty_mask_are_read(tmp_path: Path) -> None:
    empty = mask(slice(0, 0), slice(0, 0))
    write(tmp_path / NAME, row(instances=[], categories=[]), row(instances=[empty], categories=[0]))
    first, second = read(str(tmp_path))
    assert len(first.classes) == len(second.classes) == 0
    assert second.quality[REPAIRS] == {NO_PIXEL: 1}


def test_files_of_a_fold_follow_each_other_and_folds_come_in_order(tmp_path: Path) -> None:
    write(tmp_path / "fold2" / "0000.parquet", row())
    write(tmp_path / "b" / "fold1-00000-of-00002.parquet", *[row()] * 11)
    write(tmp_path / "a" / "fold1-00001-of-00002.parquet", row(tissue=0))
    found: list[Finding] = []
    tiles = list(read(str(tmp_path), found.append))
    assert [tile.sample_id for tile in tiles] == [*(f"fold1_{k:04d}" for k in range(12)), "fold2_0000"]
    assert [tile.tissue for tile in tiles[10:12]] == ["breast", "adrenal gland"]
    assert [(finding.kind, finding.what) for finding in found] == [("note", "fold3 not there")]


def test_the_same_rows_in_two_files_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "data" / NAME, row())
    for other in ("copy/" + NAME, "default/fold1/0000.parquet"):
        write(tmp_path / other, row())
        with pytest.raises(UserError, match="follow each other"):
            list(read(str(tmp_path)))
        (tmp_path / other).unlink()
    for folder in ("a/fold2", "b/fold2"):
        write(tmp_path / folder / "0000.parquet", row())
    with pytest.raises(UserError, match="follow each other"):
        list(read(str(tmp_path)))


def test_a_fold_of_which_a_file_is_missing_has_no_numbers(tmp_path: Path) -> None:
    write(tmp_path / "fold1-00001-of-00002.parquet", row())
    write(tmp_path / "fold2.parquet", row())
    found: list[Finding] = []
    assert [tile.sample_id for tile in read(str(tmp_path), found.append)] == ["fold2_0000"]
    assert [finding.kind for finding in found] == ["note", "broken"]
    with pytest.raises(UserError, match=r"follow each other(.|\n)*fold1-00001-of-00002"):
        list(read(str(tmp_path)))


WRONG_SIZE = [mask(slice(0, 4), slice(0, 6)), mask(slice(0, 4), slice(0, 6), (20, 31))]
FLAWS: list[tuple[dict[str, Any], str]] = [
    ({"categories": [1]}, "2 instances, 1 categories"),
    ({"categories": None}, "no list"),
    ({"categories": [1, 5]}, "instance 1"),
    ({"categories": [-1, 0]}, "instance 0"),
    ({"categories": [None, 0]}, "instance 0"),
    ({"tissue": 19}, "Adrenal_gland"),
    ({"tissue": None}, "Adrenal_gland"),
    ({"instances": WRONG_SIZE}, "size"),
    ({"instances": [png(IMAGE), png(IMAGE)]}, "grey mask"),
    ({"instances": [png(np.zeros(SIZE, np.uint16))] * 2}, "grey mask"),
    ({"instances": [{"bytes": row()["instances"][0]["bytes"][:-20], "path": ""}] * 2}, "instance 0"),
    ({"instances": [{"bytes": None, "path": "a.png"}] * 2}, "only its path"),
    ({"image": {"bytes": b"no image", "path": "a.png"}}, "PNG"),
    ({"image": None}, "PNG"),
    ({"image": png(IMAGE[:, :, 0])}, "not an RGB image"),
]


@pytest.mark.parametrize(("changes", "message"), FLAWS)
def test_a_broken_row_is_named_and_the_rest_read(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    write(tmp_path / NAME, row(), row(**changes), row())
    found: list[Finding] = []
    tiles = list(read(str(tmp_path), found.append))
    assert [tile.sample_id for tile in tiles] == ["fold1_0000", "fold1_0002"]
    (broken,) = (finding for finding in found if finding.kind == "broken")
    assert f"{NAME}, row 1" in broken.where
    assert message in broken.what + broken.where


def test_an_unknown_class_is_named(tmp_path: Path) -> None:
    label = {"names": ["Neoplastic", "Mitosis", "c", "d"], "_type": "ClassLabel"}
    write(tmp_path / NAME, row(categories=[0, 1]), features={"categories": [label]})
    with pytest.raises(UserError, match=r"class 'Mitosis'(.|\n)*row 0"):
        list(read(str(tmp_path)))


@pytest.mark.parametrize("features", [[], "words", {"categories": [], "tissue": {"names": 3}}])
def test_features_of_another_form_leave_the_published_order(tmp_path: Path, features: Any) -> None:
    write(tmp_path / NAME, row(), features=features)
    (tile,) = read(str(tmp_path))
    assert (tile.classes.tolist(), tile.tissue) == ([4, 1], "breast")


def test_a_damaged_file_is_named_and_the_next_read(tmp_path: Path) -> None:
    write(tmp_path / "fold1.parquet", *[row()] * 40)
    write(tmp_path / "fold2.parquet", row())
    whole = bytearray((tmp_path / "fold1.parquet").read_bytes())
    (tmp_path / "fold1.parquet").write_bytes(b"PAR1" + bytes(len(whole) // 2) + whole[len(whole) // 2 + 4 :])
    found: list[Finding] = []
    assert [tile.split for tile in read(str(tmp_path), found.append)][-1] == "fold2"
    assert ("broken", True) in [(finding.kind, "fold1.parquet" in finding.where) for finding in found]
    (tmp_path / "fold1.parquet").write_bytes(whole[:-9])
    with pytest.raises(UserError, match=r"broken file(.|\n)*fold1.parquet"):
        list(read(str(tmp_path)))


def test_rows_are_read_as_they_are_asked_for(tmp_path: Path) -> None:
    write(tmp_path / NAME, row(), row(image=None))
    tiles = read(str(tmp_path))
    assert next(tiles).sample_id == "fold1_0000"
    with pytest.raises(UserError, match="row 1"):
        next(tiles)


def test_other_columns_and_files_without_a_fold_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "part-00000000.parquet"
    write(path, row())
    with pytest.raises(UserError, match="not the PanNuke folder"):
        list(read(str(tmp_path)))
    pq.write_table(pa.table({"image": [1]}), tmp_path / NAME)
    with pytest.raises(UserError, match=r"columns image, instances(.|\n)*fold1"):
        list(read(str(tmp_path)))


def test_arrays_and_parquet_files_in_one_folder_are_refused(tmp_path: Path) -> None:
    make(tmp_path)
    write(tmp_path / "data" / NAME, row())
    with pytest.raises(UserError, match=rf"Fold 1/images/fold1/images.npy and data/{NAME}"):
        list(read(str(tmp_path)))
