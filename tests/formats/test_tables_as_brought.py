"""Tables of nuclei as spreadsheets and QuPath write them."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from nucleosynth.data.findings import Finding
from nucleosynth.errors import UserError
from nucleosynth.formats.nuclei_csv import NO_IMAGE, read
from nucleosynth.sample import Sample

SQUARE = '"POLYGON ((2 1, 6 1, 6 5, 2 5, 2 1))"'


def heard(
    root: Path, table: str, file: str = "nuclei.csv", encoding: str = "utf-8"
) -> tuple[list[Sample], list[Finding]]:
    """What is read, and told, of a table beside tiles a and b of 16 x 20 px."""
    (root / "images").mkdir(parents=True, exist_ok=True)
    for name in "ab":
        cv2.imwrite(str(root / "images" / f"{name}.png"), np.zeros((16, 20, 3), np.uint8))
    (root / file).write_bytes(table.encode(encoding))
    found: list[Finding] = []
    return list(read(str(root), found.append)), found


def points(tile: Sample) -> list[list[float]]:
    assert tile.points is not None
    return (tile.points.xy + np.float32(0.5)).tolist()


def test_blank_rows_are_passed_over(tmp_path: Path) -> None:
    rows = ["", "tile;class;x_px;y_px", "", ";;;", "a;x;1;2", "   ", "b;y;3;4", "; ;;", ""]
    (a, b), found = heard(tmp_path, "\r\n".join(rows))
    assert (points(a), points(b), found) == ([[1, 2]], [[3, 4]], [])
    with pytest.raises(UserError, match=r"fewer(.|\n)*line 4"):
        heard(tmp_path, "tile;class;x_px;y_px\n;;;\n\nb;y\n")


@pytest.mark.parametrize(
    "header",
    [
        "Tile, CLASS ,X_px,Y_PX",
        "image,type,x,y",
        "File,Type,centroid_x,Centroid_Y",
        "filename,class,Centroid X px,Centroid Y px",
        "name,classification,X,Y",
    ],
)
def test_columns_are_known_by_other_names(tmp_path: Path, header: str) -> None:
    (a, _), _ = heard(tmp_path, f"{header}\na,x,1,2\n")
    assert (points(a), a.class_names) == ([[1, 2]], ("x",))


def test_qupaths_measurements_are_read(tmp_path: Path) -> None:
    header = ["Image", "Object ID", "Object type", "Name", "Classification", "Parent", "ROI"]
    header += ["Centroid X px", "Centroid Y px", "Nucleus: Area px^2"]
    one = ["a.png", "8fdd8870", "Detection", "x 1", "Tumor", "Root object (Image)", "Polygon", "1.5", "2", "31"]
    two = ["a.png", "8fdd8871", "Detection", "", "", "Root object (Image)", "Polygon", "3", "4", ""]
    (a, b), found = heard(tmp_path, "\n".join("\t".join(row) for row in (header, one, two)), "measurements.tsv")
    assert (points(a), points(b), found) == ([[1.5, 2], [3, 4]], [], [])
    assert a.points is not None
    assert (a.class_names, a.points.classes.tolist()) == (("Tumor",), [1, 0])


@pytest.mark.parametrize("unit", ["µm", "μm", "um"])
def test_positions_in_micrometres_need_the_resolution(tmp_path: Path, unit: str) -> None:
    table = f"Image,Class,Centroid X {unit},Centroid Y {unit}\na.png,x,5,2.5\n"
    _, (found,) = heard(tmp_path, table)
    assert (found.kind, found.where) == ("broken", f"{tmp_path / 'nuclei.csv'}, line 2")
    assert "resolution that is not known" in found.what
    assert "into meta.toml, such as mpp = 0.25" in found.mend
    (tmp_path / "meta.toml").write_text("mpp = 0.25")
    assert points(heard(tmp_path, table)[0][0]) == [[20, 10]]
    (tmp_path / "meta.toml").write_text("[tiles.a]\nmpp = 0.5")
    assert points(heard(tmp_path, table)[0][0]) == [[10, 5]]
    (tmp_path / "meta.toml").write_text("mpp = 0.2")
    with pytest.raises(UserError, match=r"x_um in 0..4 and y_um in 0..3.2"):
        list(read(str(tmp_path)))


def test_px_go_before_micrometres(tmp_path: Path) -> None:
    table = "tile,class,Centroid X µm,Centroid Y µm,Centroid X px,Centroid Y px\na,x,9,9,1,2\n"
    assert points(heard(tmp_path, table)[0][0]) == [[1, 2]]


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_a_comma_is_a_decimal_point_where_it_divides_no_fields(tmp_path: Path, delimiter: str) -> None:
    rows = [["tile", "class", "x", "y"], ["a", "x", "1,5", "2.25"]]
    assert points(heard(tmp_path, "\n".join(delimiter.join(row) for row in rows))[0][0]) == [[1.5, 2.25]]
    rows[1][2] = "1.234,5"
    _, (found,) = heard(tmp_path, "\n".join(delimiter.join(row) for row in rows))
    assert "finite numbers" in found.what


def test_a_tile_may_have_the_suffix_of_its_image(tmp_path: Path) -> None:
    (a, b), found = heard(tmp_path, "tile,class,x,y\na.png,x,1,2\nA.b,x,1,2\n b.TIF ,x,3,4\na,x,5,6\n")
    assert (points(a), points(b)) == ([[1, 2], [5, 6]], [[3, 4]])
    assert [each.where for each in found] == [f"{tmp_path / 'nuclei.csv'}, A.b"]


def test_rows_of_tiles_that_are_not_there_are_told(tmp_path: Path) -> None:
    (tmp_path / "meta.toml").write_text("[tiles.z]\nmpp = 0.5")
    (a, b), found = heard(tmp_path, f"tile,class,polygon\nz.png,x,{SQUARE}\na,x,{SQUARE}\ny,,\nz,x,{SQUARE}\n")
    assert (len(a.classes), len(b.classes)) == (1, 0)
    told = [(each.kind, each.where.rpartition(", ")[2], each.what, each.count) for each in found]
    assert told == [("missing", "z", NO_IMAGE, 2), ("missing", "y", NO_IMAGE, 1)]


def test_a_table_of_other_tiles_alone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"unknown tile 'c'(.|\n)*nuclei.csv, line 2"):
        heard(tmp_path, f"tile,class,polygon\nc,x,{SQUARE}\nd,x,{SQUARE}\n")


@pytest.mark.parametrize("file", ["NUCLEI.CSV", "Export.Csv", "export.tsv"])
def test_the_suffix_of_the_table_may_be_of_any_case(tmp_path: Path, file: str) -> None:
    (a, _), _ = heard(tmp_path, f"tile,class,polygon\na,x,{SQUARE}\n", file)
    assert len(a.classes) == 1


def test_another_encoding_is_told_with_a_way_to_mend_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"UTF-8(.|\n)*nuclei.csv(.|\n)*in Excel: Save As, CSV UTF-8"):
        heard(tmp_path, f"tile,class,polygon\na,größe,{SQUARE}\n", encoding="cp1252")


def test_a_column_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a column twice(.|\n)*nuclei.csv"):
        heard(tmp_path, "tile,class,Class,x,y\na,x,y,1,2\n")
