"""MoNuSeg's layout and the traps of ImageScope's XML: no region of a file gets lost unheard."""

import codecs
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from nucleosynth.data import kumar
from nucleosynth.data.aperio import read_outlines
from nucleosynth.data.findings import PROBLEMS, Finding, repairs_of
from nucleosynth.data.kumar import NO_MPP
from nucleosynth.data.monuseg import ORGANS_OF_TEST, SPLITS, read
from nucleosynth.errors import UserError
from nucleosynth.instances.canvas import (
    BEYOND,
    CLAIMED_TWICE,
    COVERED,
    EMPTIED,
    HOLES,
    NO_PIXEL,
    TOO_FEW,
    WITHOUT_NUCLEUS,
)
from nucleosynth.metrics.contrast import nuclear_contrast
from releases.monuseg import MPP, TEST, TRAIN, make, vertices_of, write_tile, xml_of

SIZE = (20, 30)
REAL = {
    # patient: regions of the file, of fewer than 3 points, without a pixel, px claimed twice
    "A7-A13E": (314, 0, 0, 400),
    "AR-A1AK": (433, 0, 1, 3049),
    "AR-A1AS": (405, 0, 0, 330),
    "B0-5698": (357, 0, 0, 373),
    "B0-5710": (359, 0, 0, 1015),
    "21-5784": (398, 0, 0, 1718),
    "21-5786": (440, 0, 0, 6560),
    "50-5931": (445, 1, 0, 10038),
    "AC-A2FO": (521, 0, 0, 21),
    "CU-A0YN": (677, 0, 0, 569),
    "2Z-A9J9": (575, 0, 0, 148),
    "69-7764": (441, 0, 0, 1297),
}


def box(left: float, top: float, width: float, height: float) -> np.ndarray:
    """The corners of a rectangle."""
    return np.array([(left, top), (left + width, top), (left + width, top + height), (left, top + height)])


def outlined(folder: Path, text: str | bytes) -> tuple[np.ndarray, dict[str, int], float | None]:
    """Map, repairs and resolution of an XML."""
    path = folder / "tile.xml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    (instances, _, repairs), mpp = read_outlines(path, SIZE)
    return instances, repairs, mpp


def test_a_pixel_belongs_to_the_outline_round_its_centre(tmp_path: Path) -> None:
    instances, repairs, mpp = outlined(tmp_path, xml_of([box(2.4, 3.6, 4.2, 2.0), box(10, 10, 1, 1)]))
    expected = np.zeros(SIZE, np.int32)
    expected[4:6, 2:7], expected[10, 10] = 1, 2
    assert_array_equal(instances, expected)
    assert (repairs, mpp) == ({}, 0.252)


def test_the_later_region_wins_and_what_it_covers_is_counted(tmp_path: Path) -> None:
    instances, repairs, _ = outlined(tmp_path, xml_of([box(0, 0, 4, 4), box(10, 0, 2, 2), box(2, 0, 12, 4)]))
    assert [int(instances[0, column]) for column in (0, 2, 10, 13, 14)] == [1, 2, 2, 2, 0]
    assert repairs == {CLAIMED_TWICE: 8 + 4, COVERED: 1}


def test_regions_without_place_in_the_image_are_counted(tmp_path: Path) -> None:
    regions = [box(-3, -3, 5, 5), box(28.5, 18.5, 9, 9), box(50, 50, 4, 4), box(3, 3, 0, 0), box(5, 5, 2, 2)[:2], ""]
    instances, repairs, _ = outlined(tmp_path, xml_of(regions))
    assert (instances[:2, :2] == 1).all()
    assert (instances[-2:, -2:] == 2).all()
    assert repairs == {BEYOND: 2, NO_PIXEL: 2, TOO_FEW: 2}


def test_holes_are_cut_after_all_is_drawn(tmp_path: Path) -> None:
    nuclei, holes = [box(0, 0, 6, 6), box(10, 0, 3, 3)], [box(2, 2, 2, 2), box(9, 0, 9, 9), box(0, 0, 1, 1)[:2]]
    text = xml_of(nuclei, holes=holes).replace("<Vertices>", "\n<Vertices>")
    instances, repairs, _ = outlined(tmp_path, text)
    assert (instances[2:4, 2:4] == 0).all()
    assert np.count_nonzero(instances) == 36 - 4
    assert repairs == {HOLES: 2, EMPTIED: 1, TOO_FEW: 1}


def test_a_hole_may_stand_before_what_it_is_cut_from(tmp_path: Path) -> None:
    lines = xml_of([box(0, 0, 6, 6)], holes=[box(2, 2, 2, 2)]).splitlines()
    lines[2], lines[3] = lines[3], lines[2]
    assert 'NegativeROA="1"' in lines[2]
    assert np.count_nonzero(outlined(tmp_path, "\n".join(lines))[0]) == 36 - 4


@given(
    st.lists(
        st.tuples(
            st.lists(st.tuples(st.floats(-9, 39), st.floats(-9, 29)), max_size=5),
            st.booleans(),
        ),
        max_size=6,
    )
)
def test_every_region_is_a_nucleus_or_counted(
    tmp_path_factory: pytest.TempPathFactory, regions: list[tuple[list[tuple[float, float]], bool]]
) -> None:
    rings = [np.array(ring).reshape(-1, 2) for ring, hole in regions if not hole]
    holes = [np.array(ring).reshape(-1, 2) for ring, hole in regions if hole]
    instances, repairs, _ = outlined(tmp_path_factory.mktemp("tile"), xml_of(rings, holes=holes))
    assert len(regions) == instances.max() + sum(repairs.get(words, 0) for words in WITHOUT_NUCLEUS)


@pytest.mark.parametrize("mpp", ["", 'MicronsPerPixel=""', 'MicronsPerPixel="NaN"', 'MicronsPerPixel="0"'])
def test_a_resolution_that_is_not_stated_is_the_published_one_and_told(tmp_path: Path, mpp: str) -> None:
    make(tmp_path)
    path = tmp_path / TEST / "TCGA-2Z-A9J9-01A-01-TS1.xml"
    path.write_text(path.read_text().replace(MPP, mpp))
    *stated, tile = read(str(tmp_path))
    assert [sample.mpp for sample in stated] == [0.252] * 3
    assert (tile.mpp, repairs_of(tile)[NO_MPP]) == (0.25, 1)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_byte_order_marks_line_ends_and_document_types_are_read(tmp_path: Path, encoding: str) -> None:
    head = f'<?xml version="1.0" encoding="{encoding.removesuffix("-sig")}"?>\n<!DOCTYPE Annotations>\n'
    text = (head + xml_of([box(0, 0, 2, 2)])).replace("\n", "\r\n").encode(encoding)
    assert text.startswith((codecs.BOM_UTF8, codecs.BOM_UTF16))
    assert outlined(tmp_path, text)[0].max() == 1


@pytest.mark.parametrize(
    "vertex", ['X="nan" Y="1"', 'X="1" Y="inf"', 'X="1e300" Y="1"', 'X="1,5" Y="1"', 'X="" Y="1"', 'Y="1"']
)
def test_a_coordinate_that_is_no_place_names_file_and_region(tmp_path: Path, vertex: str) -> None:
    regions = [box(0, 0, 2, 2), vertices_of(box(4, 4, 2, 2)) + f"<Vertex {vertex}/>"]
    with pytest.raises(UserError, match=r"outline of no place(.|\n)*tile.xml, region 2"):
        outlined(tmp_path, xml_of(regions))


def test_xml_of_something_else_is_refused(tmp_path: Path) -> None:
    for text in ("<ASAP_Annotations><Annotations/></ASAP_Annotations>", "<Annotations/>", "<html><body/></html>"):
        with pytest.raises(UserError, match=r"not an ImageScope file(.|\n)*tile.xml"):
            outlined(tmp_path, text)


def test_xml_that_is_broken_or_a_bomb_is_refused(tmp_path: Path) -> None:
    whole = xml_of([box(0, 0, 2, 2)])
    laughs = "".join(f'<!ENTITY l{k} "{f"&l{k - 1};" * 10}">' for k in range(1, 10))
    bomb = f'<!DOCTYPE Annotations [<!ENTITY l0 "laugh">{laughs}]>{whole}'.replace("<Plots/>", "&l9;")
    outside = f'<!DOCTYPE Annotations [<!ENTITY file SYSTEM "{Path(__file__).as_uri()}">]>{whole}'
    outside = outside.replace("<Plots/>", "&file;")
    unknown = '<?xml version="1.0" encoding="klingon"?>' + whole
    for text in ("", whole[:200], whole.replace("</Region>", ""), "no markup", bomb, outside, unknown):
        with pytest.raises(UserError, match=r"a broken file(.|\n)*tile.xml"):
            outlined(tmp_path, text)


def test_patients_say_split_organ_and_source(tmp_path: Path) -> None:
    tiles = list(read(make(tmp_path)))
    assert [(tile.sample_id, tile.split, tile.tissue) for tile in tiles] == [
        ("TCGA-AY-A8YK-01A-01-TS1", "train", "colon"),
        ("TCGA-18-5592-01Z-00-DX1", "train", "liver"),
        ("TCGA-BC-A217-01Z-00-DX1", "train37", "unknown"),
        ("TCGA-2Z-A9J9-01A-01-TS1", "test", "kidney"),
    ]
    assert tiles[3].source == "monuseg/TCGA-2Z-A9J9"
    assert {tile.class_names for tile in tiles} == {("nucleus",)}
    assert all((tile.classes == 1).all() and len(tile.classes) for tile in tiles)


def test_the_published_lists_are_whole() -> None:
    patients = {split: listed.split() for split, listed in SPLITS.items()}
    assert {split: len(listed) for split, listed in patients.items()} == {"train": 30, "train37": 7, "test": 14}
    assert len({patient for listed in patients.values() for patient in listed}) == 51
    assert set(kumar.by_patient(ORGANS_OF_TEST)) == set(patients["test"])


@pytest.mark.parametrize("part", [TRAIN, TEST])
def test_either_folder_and_the_folder_above_are_read(tmp_path: Path, part: str) -> None:
    make(tmp_path / "above" / "data")
    every = [tile.sample_id for tile in read(str(tmp_path))]
    found = [tile.sample_id for tile in read(str(tmp_path / "above" / "data" / part))]
    assert len(every) == 4
    assert found == (every[:3] if part == TRAIN else every[3:])


def test_tiff_compressed_by_lzw_is_read_before_a_copy(tmp_path: Path) -> None:
    make(tmp_path)
    image = np.random.default_rng(1).integers(0, 256, (40, 48, 3), np.uint8)
    tifffile.imwrite(tmp_path / TEST / "TCGA-2Z-A9J9-01A-01-TS1.tif", image, compression="lzw")
    *_, tile = read(str(tmp_path))
    assert_array_equal(tile.image, image)


@pytest.mark.parametrize("lost", [".png", ".xml"])
def test_a_tile_of_which_a_part_is_missing_is_told_and_the_rest_read(tmp_path: Path, lost: str) -> None:
    make(tmp_path)
    (tmp_path / TEST / f"TCGA-2Z-A9J9-01A-01-TS1{lost}").unlink()
    found: list[Finding] = []
    assert len(list(read(str(tmp_path), found.append))) == 3
    problems = [finding for finding in found if finding.kind in PROBLEMS]
    assert [(finding.kind, "2Z-A9J9" in finding.where) for finding in problems] == [("missing", True)]


def test_a_tile_of_no_list_is_told_as_left_out(tmp_path: Path) -> None:
    make(tmp_path)
    write_tile(tmp_path / "TCGA-ZZ-9999-01Z.png", tmp_path / "TCGA-ZZ-9999-01Z.xml", 5)
    found: list[Finding] = []
    assert len(list(read(str(tmp_path), found.append))) == 4
    left_out = [Path(finding.where).name for finding in found if finding.kind == "left out"]
    assert left_out == ["TCGA-ZZ-9999-01Z.png"]
    assert {finding.kind for finding in found} == {"left out", "note"}


def test_patients_that_are_not_there_are_told_once_a_split(tmp_path: Path) -> None:
    found: list[Finding] = []
    list(read(make(tmp_path), found.append))
    assert [(finding.kind, finding.what.split()[2], finding.count) for finding in found] == [
        ("note", "train", 28),
        ("note", "train37", 6),
        ("note", "test", 13),
    ]


def test_a_patient_who_is_there_twice_is_refused(tmp_path: Path) -> None:
    make(tmp_path)
    make(tmp_path / "copy")
    with pytest.raises(UserError, match="two files of one tile"):
        list(read(str(tmp_path)))


def test_a_broken_tile_is_left_to_the_note(tmp_path: Path) -> None:
    make(tmp_path)
    (tmp_path / TEST / "TCGA-2Z-A9J9-01A-01-TS1.xml").write_text("<Annotations>")
    found: list[Finding] = []
    assert len(list(read(str(tmp_path), found.append))) == 3
    problems = [finding for finding in found if finding.kind in PROBLEMS]
    assert [(finding.kind, "TCGA-2Z" in finding.where) for finding in problems] == [("broken", True)]


def test_another_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "Annotations").mkdir()
    with pytest.raises(UserError, match="not the MoNuSeg folder"):
        list(read(str(tmp_path)))


def test_real_tiles_account_for_every_region_and_lie_on_nuclei(shared: Path) -> None:
    root = shared / "data" / "monuseg"
    regions = {path.stem: len(re.findall(rb"<Region ", path.read_bytes())) for path in root.rglob("*.xml")}
    found: dict[str, tuple[int, ...]] = {}
    for tile in read(str(root)):
        repairs = Counter(repairs_of(tile))
        lost = sum(repairs[words] for words in WITHOUT_NUCLEUS)
        assert regions[tile.sample_id] == len(tile.classes) + lost
        assert repairs[NO_MPP] == 0
        assert np.nanmean(nuclear_contrast(tile.image, tile.instances)) > 0.2
        counted = (repairs[words] for words in (TOO_FEW, NO_PIXEL, CLAIMED_TWICE))
        found[tile.sample_id[5:12]] = (regions[tile.sample_id], *counted)
    assert found == REAL
