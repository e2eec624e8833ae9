"""PUMA's layout and its traps: RGBA, .tiff, MultiPolygons with holes, vertices on the border, classes by name."""

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.testing import assert_array_equal

from nucleosynth.data.findings import Finding, repairs_of
from nucleosynth.data.puma import CLASS_NAMES, UNNAMED, read
from nucleosynth.errors import UserError
from nucleosynth.instances.canvas import CLAIMED_TWICE, COVERED
from nucleosynth.sample import Sample
from releases.puma import IMAGES, NUCLEI, feature, make, square, write_region

NAME = "metastatic_roi_007"


def one(root: Path, *nuclei: dict[str, Any], suffix: str = ".tif") -> Sample:
    """The sample of a region with these nuclei."""
    write_region(root, NAME, nuclei, suffix)
    (tile,) = read(str(root))
    return tile


def test_a_region_says_where_it_comes_from(tmp_path: Path) -> None:
    tiles = {tile.sample_id: tile for tile in read(make(tmp_path))}
    assert list(tiles) == ["metastatic_roi_009", "metastatic_roi_010", "primary_roi_001", "primary_roi_002"]
    primary = tiles["primary_roi_001"]
    assert (primary.tissue, primary.mpp, primary.licence) == ("skin, primary melanoma", 0.23, "CC0-1.0")
    assert tiles["metastatic_roi_009"].tissue == "skin, metastatic melanoma"
    assert primary.source == "puma/primary_roi_001"


@pytest.mark.parametrize("suffix", [".tif", ".tiff", ".TIF"])
def test_alpha_is_dropped_from_a_tif_of_any_spelling(tmp_path: Path, suffix: str) -> None:
    tile = one(tmp_path, square("nuclei_tumor", 2, 2), suffix=suffix)
    stored = tifffile.imread(tmp_path / IMAGES / f"training_set_{NAME}{suffix}")
    assert stored.shape[2] == 4
    assert_array_equal(tile.image, stored[:, :, :3])


def test_classes_are_matched_by_name_whatever_its_case(tmp_path: Path) -> None:
    names = ("nuclei_plasma_cell", "Nuclei_Tumor", "neutrophil", "melanophage", "")
    tile = one(tmp_path, *(square(name, 2 + 9 * k, 3) for k, name in enumerate(names)))
    assert [tile.class_names[kind - 1] if kind else "" for kind in tile.classes] == [
        "plasma cell",
        "tumor",
        "neutrophil",
        "melanophage",
        "",
    ]
    assert repairs_of(tile) == {UNNAMED: 1}


def test_an_unknown_class_is_named_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"lymphocite(.|\n)*007_nuclei.geojson, outline 2(.|\n)*'lymphocyte'"):
        one(tmp_path, square("nuclei_tumor", 2, 2), square("nuclei_lymphocite", 20, 20))


def test_parts_and_holes_are_one_nucleus(tmp_path: Path) -> None:
    outer, hole, far = (
        [[x, y], [x + s, y], [x + s, y + s], [x, y + s]] for x, y, s in ((1, 1, 8), (3, 3, 2), (20, 20, 3))
    )
    tile = one(tmp_path, feature("nuclei_stroma", {"type": "MultiPolygon", "coordinates": [[outer, hole], [far]]}))
    expected = np.zeros(tile.size, np.int32)
    expected[1:9, 1:9] = 1
    expected[3:5, 3:5] = 0
    expected[20:23, 20:23] = 1
    assert_array_equal(tile.instances, expected)


def test_a_vertex_on_the_border_is_inside(tmp_path: Path) -> None:
    tile = one(tmp_path, square("nuclei_tumor", 42, 34))
    assert tile.size == (40, 48)
    assert (int(tile.instances.sum()), int(tile.instances[39, 47]), tile.quality) == (36, 1, {})


def test_the_later_outline_has_the_pixel_and_it_is_counted(tmp_path: Path) -> None:
    nuclei = [square("nuclei_tumor", 2, 2), square("nuclei_lymphocyte", 6, 2), square("nuclei_tumor", 30, 30, side=2)]
    tile = one(tmp_path, *nuclei, square("nuclei_stroma", 28, 28))
    assert (tile.instances[3, 7], tile.classes.tolist()) == (2, [1, 2, 4])
    assert repairs_of(tile) == {CLAIMED_TWICE: 2 * 6 + 2 * 2, COVERED: 1}


def test_flat_folders_and_single_parts_are_read(tmp_path: Path) -> None:
    make(tmp_path / "release")
    flat = tmp_path / "flat"
    flat.mkdir()
    for part in (IMAGES, NUCLEI):
        shutil.copytree(tmp_path / "release" / part, flat, dirs_exist_ok=True)
    for folder in (flat, tmp_path / "release" / IMAGES, tmp_path / "release" / NUCLEI):
        assert len(list(read(str(folder)))) == 4
    with pytest.raises(UserError, match="two files of one tile"):
        list(read(str(tmp_path)))


def test_what_else_the_release_holds_is_not_read(tmp_path: Path) -> None:
    make(tmp_path)
    for name in ("geojson_tissue/training_set_{}_tissue.geojson", "tif_context_ROIs/training_set_{}_context.tif"):
        path = tmp_path / f"01_training_dataset_{name.format('primary_roi_001')}"
        path.parent.mkdir()
        path.write_bytes(b"not read")
    (tmp_path / IMAGES / "training_set_primary_roi_001_nuclei.png").write_bytes(b"a picture of them")
    found: list[Finding] = []
    assert len(list(read(str(tmp_path), found.append))) == 4
    assert not found


def test_a_file_without_its_partner_is_told(tmp_path: Path) -> None:
    make(tmp_path)
    (tmp_path / IMAGES / "training_set_primary_roi_001.png").unlink()
    (tmp_path / NUCLEI / "training_set_primary_roi_002_nuclei.geojson").unlink()
    found: list[Finding] = []
    assert len(list(read(str(tmp_path), found.append))) == 2
    assert [(finding.kind, finding.what) for finding in found] == [
        ("missing", "an image without its label"),
        ("missing", "a label without its image"),
    ]


def test_another_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not the PUMA folder"):
        list(read(str(tmp_path)))


def test_a_real_region_accounts_for_every_feature(shared: Path) -> None:
    (tile,) = read(str(shared / "data" / "puma"))
    kinds = Counter(tile.class_names[kind - 1] for kind in tile.classes)
    assert kinds == {
        "lymphocyte": 475,
        "tumor": 180,
        "histiocyte": 10,
        "apoptosis": 3,
        "plasma cell": 2,
        "endothelium": 1,
    }
    assert sum(kinds.values()) == 671
    assert (tile.sample_id, tile.size, set(repairs_of(tile))) == ("metastatic_roi_094", (1024, 1024), {CLAIMED_TWICE})
    assert len(CLASS_NAMES) == 10
