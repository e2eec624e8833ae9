"""The table of layouts: there and back, as others write it, PUMA's, and everything that it refuses."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from nucleosynth.errors import UserError
from nucleosynth.layouts import table
from nucleosynth.layouts.pattern import Pattern
from nucleosynth.sample import Layout

SHARED = Path(os.environ.get("NUCLEOSYNTH_SHARED", Path(__file__).parents[3] / "shared"))
PUMA = SHARED / "data" / "puma_layouts" / "layouts.parquet"
PLAIN: dict[str, list[Any]] = {
    "layout": ["a", "b", "a"],
    "x_um": [0.0, 10.0, 20.0],
    "y_um": [5.0, 0.5, 30.0],
    "class": ["tumor", None, "stroma"],
    "height_um": [30.0, 10.0, 30.0],
    "width_um": [20.0, 10.0, 20.0],
}


def pattern(name: str = "one", count: int = 5, **changes: Any) -> Pattern:
    generator = np.random.default_rng(count)
    given: dict[str, Any] = {
        "xy_um": generator.uniform(0, 1, (count, 2)) * (64.0, 32.0),
        "classes": generator.integers(0, 3, count).astype(np.uint8),
        "size_um": (32.0, 64.0),
        "class_names": ("round", "long", "never seen"),
        "name": name,
        "source": "s/1; s/2",
        "licence": "CC0-1.0",
        "operations": ({"name": "flip", "across": True}, {"name": "thin", "probability": 0.1}),
    }
    return Pattern(**(given | changes))


def written(folder: Path, columns: dict[str, list[Any]], metadata: dict[bytes, bytes] | None = None) -> Path:
    path = folder / "t.parquet"
    pq.write_table(pa.table(columns).replace_schema_metadata(metadata), path)
    return path


def test_there_and_back_to_the_last_bit(tmp_path: Path) -> None:
    patterns = [pattern(), pattern("empty", 0, source="", operations=()), pattern("many", 300, size_um=(32.0, 64.5))]
    table.write(tmp_path / "t.parquet", patterns)
    for found, wanted in zip(table.read(tmp_path / "t.parquet"), patterns, strict=True):
        assert_array_equal(found.xy_um, wanted.xy_um)
        assert_array_equal(found.classes, wanted.classes)
        assert found.classes.dtype == np.uint8
        for field in ("size_um", "class_names", "name", "source", "licence", "operations"):
            assert getattr(found, field) == getattr(wanted, field), field


def test_it_is_a_plain_table_that_names_its_units(tmp_path: Path) -> None:
    table.write(tmp_path / "t.parquet", [pattern("one", 3)])
    rows = pq.read_table(tmp_path / "t.parquet")
    names = ["layout", "x_um", "y_um", "class", "height_um", "width_um", "source", "licence", "operations"]
    assert rows.column_names == names
    assert json.loads(rows["operations"][0].as_py())[0] == {"name": "flip", "across": True}
    assert not list(tmp_path.glob("_*"))


def test_a_table_of_another_program(tmp_path: Path) -> None:
    one, two = table.read(written(tmp_path, PLAIN))
    assert (one.name, two.name) == ("a", "b")
    assert one.class_names == ("stroma", "tumor")
    assert_array_equal(one.classes, [2, 1])
    assert_array_equal(two.classes, [0])
    assert_array_equal(one.xy_um, [[0, 5], [20, 30]])
    assert (one.size_um, one.source, one.operations) == ((30.0, 20.0), "", ())


def test_micrometres_from_the_edge_are_pixels_from_centres() -> None:
    layout = Layout(np.array([[-0.5, 0], [63.5, 31.5]], np.float32), np.array([1, 1], np.uint8), (32, 64), ("a",), 0.5)
    found = Pattern.of(layout, 0.5)
    assert_allclose(found.xy_um, [[0, 0.25], [32, 16]])
    assert found.size_um == (16.0, 32.0)
    back = found.layout(0.25)
    assert (back.size, back.mpp) == ((64, 128), 0.25)
    assert_allclose(back.xy, [[-0.5, 0.5], [127.5, 63.5]])
    assert_allclose(found.layout(0.5).xy, layout.xy)
    assert found.layout(0.5, stated=False).mpp is None


def test_puma_s_own_table(tmp_path: Path) -> None:
    columns = {
        "roi": ["m_1", "m_1"],
        "x": [0.0, 1024.0],
        "y": [1023.5, 3],
        "class": ["nuclei_plasma_cell", "nuclei_tumor"],
    }
    (found,) = table.read(written(tmp_path, columns | {"area": [1.0, 2.0]}))
    assert_allclose(found.xy_um, [[0.115, 235.52], [235.52, 0.805]])
    assert [found.class_names[kind - 1] for kind in found.classes] == ["plasma cell", "tumor"]
    assert (found.source, found.licence) == ("puma/m_1", "CC0-1.0")


@pytest.mark.skipif(not PUMA.exists(), reason="PUMA's layouts are not here")
def test_the_whole_of_puma_s_table() -> None:
    found = table.read(PUMA)
    assert (len(found), sum(len(each.classes) for each in found)) == (160, 77517)
    assert {each.size_um for each in found} == {(235.52, 235.52)}
    assert not any((each.classes == 0).any() for each in found)
    assert np.bincount(np.concatenate([each.classes for each in found]))[1:3].tolist() == [45755, 16797]


def changed(**columns: list[Any]) -> dict[str, list[Any]]:
    return PLAIN | columns


REFUSED: dict[str, tuple[dict[str, list[Any]], str]] = {
    "a column is missing": ({name: PLAIN[name] for name in PLAIN if name != "width_um"}, "add the column width_um"),
    "text for a number": (changed(x_um=["left", "right", "up"]), "x_um of numbers"),
    "no place": (changed(x_um=[0.0, None, 20.0]), "row 2"),
    "half a place": (changed(y_um=[5.0, float("nan"), 3.0]), "row 2"),
    "outside": (changed(x_um=[0.0, 10.0, 20.5]), "x in 0..20 um"),
    "no extent": (changed(height_um=[None, 10.0, None]), "height_um and width_um"),
    "an extent of 0": (changed(width_um=[20.0, 0.0, 20.0]), "without an extent"),
    "an extent beyond all tissue": (changed(width_um=[20.0, 1e9, 20.0]), "without an extent"),
    "two extents": (changed(width_um=[20.0, 10.0, 21.0]), "one width_um in all rows"),
    "two sources": (changed(source=["s", "s", "t"]), "one source in all rows"),
    "no name": (changed(layout=["a", None, "a"]), "row 2"),
    "operations that are no JSON": (changed(operations=["[]", "[", "[]"]), "JSON list"),
    "operations without a name": (changed(operations=["[]", '[{"x": 1}]', "[]"]), "JSON list"),
    "no row": ({name: [] for name in PLAIN}, "no layout in the table"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_broken_is_refused_with_its_place(name: str, tmp_path: Path) -> None:
    columns, words = REFUSED[name]
    path = written(tmp_path, columns)
    with pytest.raises(UserError) as caught:
        table.read(path)
    assert words in str(caught.value)
    assert str(path) in caught.value.where
    assert caught.value.mend


def test_names_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    for names in (b'["tumor"]', b'["tumor", "stroma", "tumor"]', b"[", b"{}"):
        with pytest.raises(UserError):
            table.read(written(tmp_path, PLAIN, {b"class_names": names}))


def test_no_file_and_no_parquet_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        table.read(tmp_path / "absent.parquet")
    (tmp_path / "cut.parquet").write_bytes(b"PAR1 and nothing more")
    with pytest.raises(UserError, match="a broken file"):
        table.read(tmp_path / "cut.parquet")


@pytest.mark.parametrize("wrong", [[], [pattern(), pattern()], [pattern(""), pattern()]])
def test_layouts_without_names_of_their_own_are_not_written(wrong: list[Pattern], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="make no table") as caught:
        table.write(tmp_path / "t.parquet", wrong)
    assert caught.value.mend
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("wrong", "words"),
    [({"classes": np.zeros(4, np.uint8)}, "not a list of x, y"), ({"class_names": ("round",)}, "class 2")],
)
def test_patterns_that_do_not_fit_say_how_to_mend_them(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        pattern("odd", 5, **wrong)
    assert (caught.value.where, bool(caught.value.mend)) == ("layout 'odd'", True)


def test_classes_are_renamed_by_name_and_never_merged() -> None:
    found = pattern(count=20).renamed(("long", "new", "round"))
    named = [("unknown", "round", "long")[kind] for kind in pattern(count=20).classes]
    assert [("unknown", "long", "new", "round")[kind] for kind in found.classes] == named
    with pytest.raises(UserError, match="not known here") as caught:
        pattern(count=20).renamed(("round",))
    assert caught.value.got == "long"
