"""The table of nuclei: what it says, what spreadsheets make of it, and rows that are refused by line."""

import csv
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import shapely
from numpy.testing import assert_allclose, assert_array_equal

from drawn import CLASS_NAMES, drawn_sample
from nucleosynth.data.findings import REPAIRS, Finding
from nucleosynth.data.meta import own_source
from nucleosynth.errors import UserError
from nucleosynth.formats.nuclei_csv import COLUMNS, read, write
from nucleosynth.instances.canvas import CLAIMED_TWICE
from nucleosynth.sample import Layout, Sample, without_gaps

HEADER = "tile,id,class,polygon"
SQUARE = '"POLYGON ((2 1, 6 1, 6 5, 2 5, 2 1))"'
RIGHT = '"POLYGON ((10 1, 14 1, 14 5, 10 5, 10 1))"'


def put(root: Path, rows: list[str], file: str = "nuclei.csv", end: str = "\n", encoding: str = "utf-8") -> None:
    """A table beside tiles a, b and c of 16 x 20 px."""
    (root / "images").mkdir(parents=True)
    for name in "abc":
        cv2.imwrite(str(root / "images" / f"{name}.png"), np.zeros((16, 20, 3), np.uint8))
    (root / file).write_bytes((end.join(rows) + end).encode(encoding))


def first(root: Path) -> Sample:
    return next(iter(read(str(root))))


def test_rows_say_what_a_nucleus_is(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).random((40, 48)) > 0.4
    instances, classes = without_gaps(np.where(noise, np.arange(48) // 12 + 1, 0), np.arange(4).astype(np.uint8))
    sample = drawn_sample(0, instances=instances, classes=classes)
    write([sample, replace(sample, sample_id="b", mpp=None)], tmp_path / "out")
    with (tmp_path / "out/nuclei.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert [(row["tile"], row["id"]) for row in rows] == [
        (tile, str(k)) for tile in ("tile_0", "b") for k in range(1, 5)
    ]
    assert [row["class"] for row in rows[:4]] == ["", *CLASS_NAMES]
    for k, row in enumerate(rows[:4], start=1):
        shape, (ys, xs) = shapely.from_wkt(row["polygon"]), np.nonzero(instances == k)
        assert shape.is_valid
        assert shape.area == int(row["area_px"]) == len(xs)
        assert_allclose([float(row["x_px"]), float(row["y_px"])], [xs.mean() + 0.5, ys.mean() + 0.5], atol=5e-4)
        assert_allclose(float(row["area_um2"]), len(xs) / 16)
    assert {row["area_um2"] for row in rows[4:]} == {""}


@pytest.mark.parametrize(
    ("delimiter", "end", "encoding"),
    [(",", "\n", "utf-8"), (",", "\r\n", "utf-8-sig"), (";", "\r\n", "utf-8-sig"), ("\t", "\n", "utf-8")],
)
def test_tables_of_any_spreadsheet_are_read(tmp_path: Path, delimiter: str, end: str, encoding: str) -> None:
    rows = [("a", "2", "größe", SQUARE), ("a", "1", "", RIGHT), ("c", "7", "b", RIGHT)]
    lines = [delimiter.join(row) for row in [tuple(HEADER.split(",")), *rows]]
    put(tmp_path, lines, "of_any_name.csv", end, encoding)
    a, b, c = read(str(tmp_path))
    assert a.class_names == ("b", "größe")
    assert (a.classes.tolist(), b.classes.tolist(), c.classes.tolist()) == ([0, 2], [], [1])
    assert [int(a.instances[place]) for place in ((1, 2), (4, 13))] == [2, 1]
    assert (a.mpp, a.source, a.labelled_as) == (None, own_source("csv", "a", a.image), "masks")


def test_numbers_as_classes_are_numbered_and_unknown_is_none(tmp_path: Path) -> None:
    put(tmp_path, [HEADER, f"a,1,3,{SQUARE}", f"a,2,0,{RIGHT}", f"b,1,unknown,{RIGHT}"])
    a, b, _ = read(str(tmp_path))
    assert a.class_names == ("class 1", "class 2", "class 3")
    assert (a.classes.tolist(), b.classes.tolist()) == ([3, 0], [0])


@pytest.mark.parametrize("word", ["²", "1" * 5000])
def test_words_that_are_no_plain_numbers_are_names(tmp_path: Path, word: str) -> None:
    put(tmp_path, [HEADER, f"a,1,{word},{SQUARE}", f"a,2,x,{RIGHT}"])
    tile = first(tmp_path)
    assert set(tile.class_names) == {word, "x"}
    assert [tile.class_names[kind - 1] for kind in tile.classes] == [word, "x"]


def test_without_ids_nuclei_go_by_row_and_without_classes_they_are_nuclei(tmp_path: Path) -> None:
    put(tmp_path, ["tile,class,polygon", f"a,,{RIGHT}", f"a,,{SQUARE}"])
    tile = first(tmp_path)
    assert (int(tile.instances[1, 10]), int(tile.instances[1, 2])) == (1, 2)
    assert (tile.class_names, tile.classes.tolist()) == (("nucleus",), [1, 1])


def test_wkt_of_other_programs_is_read(tmp_path: Path) -> None:
    ring = "((0 0,8 0,8 8,0 8),(2 2,2 6,6 6,6 2))"
    forms = [f"polygon{ring}", f" MultiPolygon ( {ring} , ((10.0 1, 14 1.0, 1.4e1 5., 10 5)) ) "]
    put(tmp_path, [HEADER, *(f'{tile},1,x,"{form}"' for tile, form in zip("ab", forms, strict=True))])
    a, b, _ = read(str(tmp_path))
    assert (np.count_nonzero(a.instances), np.count_nonzero(b.instances)) == (48, 64)
    assert a.instances[3, 3] == b.instances[3, 3] == 0


def test_overlaps_go_to_the_later_id_and_are_counted(tmp_path: Path) -> None:
    put(tmp_path, [HEADER, f"a,9,x,{SQUARE}", 'a,3,x,"POLYGON ((0 0, 9 0, 9 9, 0 9, 0 0))"'])
    found: list[Finding] = []
    tile, *_ = read(str(tmp_path), found.append)
    assert (tile.instances[1, 2], tile.instances[0, 0]) == (2, 1)
    assert tile.quality[REPAIRS] == {CLAIMED_TWICE: 16}
    assert [(each.kind, each.where, each.what, each.count) for each in found] == [("repaired", "a", CLAIMED_TWICE, 16)]


def test_rows_without_polygons_are_points_at_corner_coordinates(tmp_path: Path) -> None:
    put(tmp_path, ["tile,class,x_px,y_px", "a,x,3.5,0", "a,,20,16"])
    a, b, _ = read(str(tmp_path))
    assert (a.labelled_as, b.labelled_as) == ("points", "points")
    assert a.points is not None
    assert a.points.xy.tolist() == [[3, -0.5], [19.5, 15.5]]
    assert a.points.classes.tolist() == [1, 0]
    assert not a.instances.any()
    assert b.points is not None
    assert len(b.points.xy) == 0


def test_points_that_meta_has_otherwise_are_refused(tmp_path: Path) -> None:
    points = Layout(np.ones((1, 2), np.float32), np.ones(1, np.uint8), (40, 48), CLASS_NAMES)
    none = np.zeros((40, 48), np.int32)
    sample = drawn_sample(0, instances=none, classes=np.zeros(0, np.uint8), points=points, labelled_as="points")
    write([sample], tmp_path / "out")
    table = tmp_path / "out/nuclei.csv"
    text = table.read_text()
    for changed in (text.replace(",1.5,", ",1.6,"), text.splitlines()[0]):
        table.write_text(changed)
        with pytest.raises(UserError, match=r"points that meta.json has otherwise(.|\n)*tile_0"):
            list(read(str(tmp_path / "out")))


def test_names_that_look_like_formulas_are_written_as_they_are(tmp_path: Path) -> None:
    sample = drawn_sample(0, sample_id="-1", class_names=("=A1", "+", "@x"))
    write([sample], tmp_path / "out")
    with (tmp_path / "out/nuclei.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["tile"] for row in rows} == {"-1"}
    assert {row["class"] for row in rows} <= {"", "=A1", "+", "@x"}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (f"a,1,y,{SQUARE}", "id 1 of a again"),
        (f"a,0,x,{SQUARE}", "an id from 1"),
        (f"a,1.0,x,{SQUARE}", "an id from 1"),
        (f"a,²,x,{SQUARE}", "an id from 1"),
        (f"a,{'2' * 5000},x,{SQUARE}", "an id from 1"),
        ("a,2,x", "fewer"),
        (f"a,2,x,{SQUARE},more", "more"),
        ('a,2,x,"POINT (1 1)"', "POLYGON or MULTIPOLYGON"),
        ('a,2,x,"POLYGON EMPTY"', "POLYGON or MULTIPOLYGON"),
        ('a,2,x,"POLYGON ((1 1, 2 2, 3))"', "POLYGON or MULTIPOLYGON"),
        ('a,2,x,"POLYGON ((1 1 1, 2 2 2, 3 3 3))"', "POLYGON or MULTIPOLYGON"),
        ('a,2,x,"POLYGON ((1 1, 2 2, nan 3))"', "an outline of no place"),
        ('a,2,x,"POLYGON ((1 1, 2 2, inf 3))"', "an outline of no place"),
        ('a,2,x,"POLYGON ((1 1, 2 2, 1e300 3))"', "an outline of no place"),
        ('a,2,x,"POLYGON ((1 1, 2 2, 3 3)(4 4, 5 5, 6 6))"', "POLYGON or MULTIPOLYGON"),
        ('a,2,x,"POLYGON ((1 1, 2 2, 3 3)),((4 4, 5 5, 6 6))"', "POLYGON or MULTIPOLYGON"),
        ('a,2,x,"MULTIPOLYGON (((1 1, 2 2, 3 3)),(4 4, 5 5, 6 6))"', "POLYGON or MULTIPOLYGON"),
        ('a,2,x,"POLYGON (())"', "POLYGON or MULTIPOLYGON"),
        ('a,2,x,"POLYGON ((1 1, 2 2, x 3))"', "POLYGON or MULTIPOLYGON"),
        ('a,2,x,"POLYGON ((1 1, 2 2, 3 3)"', "POLYGON or MULTIPOLYGON"),
        ('a,2,x,"POLYGON (((1 1, 2 2, 3 3)))"', "POLYGON or MULTIPOLYGON"),
        ('a,2,x,"MULTIPOLYGON ((1 1, 2 2, 3 3))"', "POLYGON or MULTIPOLYGON"),
        (f'a,2,x,"{"(" * 100000}"', "POLYGON or MULTIPOLYGON"),
        ("a,2,x,", "a polygon for every nucleus"),
    ],
)
def test_a_bad_row_is_refused_by_its_line(tmp_path: Path, row: str, message: str) -> None:
    put(tmp_path, [HEADER, f"a,1,x,{RIGHT}", row])
    with pytest.raises(UserError, match=message) as caught:
        list(read(str(tmp_path)))
    assert caught.value.where == f"{tmp_path / 'nuclei.csv'}, line 3"


@pytest.mark.parametrize("position", ["nan,1", "1,inf", "x,1", '"1,5",1', ",1", "-0.1,1", "1,16.1"])
def test_a_bad_position_is_refused_by_its_line(tmp_path: Path, position: str) -> None:
    put(tmp_path, ["tile,class,x_px,y_px", f"a,x,{position}"])
    with pytest.raises(UserError, match=r"a bad row(.|\n)*nuclei.csv, line 2"):
        list(read(str(tmp_path)))


def test_a_class_out_of_range_is_refused(tmp_path: Path) -> None:
    put(tmp_path, [])
    for number in (256, 2**31 - 1, 99999999999):
        (tmp_path / "nuclei.csv").write_text(f"{HEADER}\na,1,{number},{SQUARE}\n")
        with pytest.raises(UserError, match=r"1..255(.|\n)*line 2"):
            list(read(str(tmp_path)))
    (tmp_path / "meta.toml").write_text('class_names = ["tumor"]')
    (tmp_path / "nuclei.csv").write_text(f"{HEADER}\na,1,tumour,{SQUARE}\n")
    with pytest.raises(UserError, match=r"unknown class 'tumour'(.|\n)*line 2"):
        list(read(str(tmp_path)))


@pytest.mark.parametrize("content", [b"", b"tile,id,polygon\n", b"tile,class\n", b"tile,class,polygon\na,\xff,\n"])
def test_what_is_no_table_of_nuclei_is_refused(tmp_path: Path, content: bytes) -> None:
    put(tmp_path, [])
    (tmp_path / "nuclei.csv").write_bytes(content)
    with pytest.raises(UserError, match=r"table(.|\n)*nuclei.csv"):
        list(read(str(tmp_path)))
    (tmp_path / "nuclei.csv").unlink()
    with pytest.raises(UserError, match="no table of nuclei"):
        list(read(str(tmp_path)))


def test_a_table_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    put(tmp_path, [HEADER, f"a,1,x,{SQUARE[:20]}"])
    with pytest.raises(UserError, match=r"a broken table(.|\n)*nuclei.csv"):
        list(read(str(tmp_path)))


def test_an_outline_of_any_length_is_read_and_the_limit_left_as_it_was(tmp_path: Path) -> None:
    limit = csv.field_size_limit()
    comb = np.zeros((9000, 6), np.int32)
    comb[::2], comb[:, 0] = 1, 1
    sample = drawn_sample(0, instances=comb, classes=np.ones(1, np.uint8), image=np.zeros((9000, 6, 3), np.uint8))
    write([sample], tmp_path / "out")
    assert (tmp_path / "out/nuclei.csv").stat().st_size > limit
    (found,) = read(str(tmp_path / "out"))
    assert_array_equal(found.instances, comb)
    assert csv.field_size_limit() == limit


def test_a_broken_tile_is_left_to_the_note(tmp_path: Path) -> None:
    put(tmp_path, [HEADER, "a,1,x,POLYGON", f"b,1,x,{SQUARE}"])
    found: list[Finding] = []
    assert [tile.sample_id for tile in read(str(tmp_path), found.append)] == ["b", "c"]
    assert [finding.kind for finding in found] == ["broken"]
