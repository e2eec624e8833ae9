"""NuInsSeg's layout and its traps: which of the label folders counts, alpha, vague areas wherever they lie."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from numpy.testing import assert_array_equal

from drawn import drawn_sample
from nucleosynth.data.findings import Finding
from nucleosynth.data.nuinsseg import read
from nucleosynth.errors import UserError
from releases.nuinsseg import make, write_tile

NAME = "human_bladder_01"


def write_mask(path: Path, mask: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), mask)


def test_a_tile_says_its_organ_and_no_resolution(tmp_path: Path) -> None:
    tiles = list(read(make(tmp_path)))
    assert [tile.sample_id for tile in tiles][1:3] == [
        "human bladder/human_bladder_02",
        "mouse muscle_tibia/mouse_muscle_tibia_03",
    ]
    assert [tile.tissue for tile in tiles][1:3] == ["human bladder", "mouse muscle tibia"]
    assert {tile.source for tile in tiles} == {"nuinsseg/human bladder", "nuinsseg/mouse muscle tibia"}
    assert {(tile.mpp, tile.quality.get("vague_px"), tile.class_names) for tile in tiles} == {
        (None, None, ("nucleus",))
    }


def test_the_release_the_folder_above_and_one_organ_are_read(tmp_path: Path) -> None:
    release = Path(make(tmp_path / "above" / "NuInsSeg"))
    assert [len(list(read(str(folder)))) for folder in (release.parent, release, release / "human bladder")] == [
        4,
        4,
        2,
    ]
    (one, _) = read(str(release / "human bladder"))
    assert one.source == "nuinsseg/human bladder"


def test_modified_labels_are_read_alpha_dropped_and_gaps_closed(tmp_path: Path) -> None:
    write_tile(tmp_path / "human bladder", NAME)
    summed = tmp_path / "human bladder" / "label masks"
    summed.mkdir()
    tifffile.imwrite(summed / f"{NAME}.tif", np.ones((40, 48), np.uint16))
    (tile,) = read(str(tmp_path))
    assert_array_equal(tile.instances, drawn_sample(0).instances)
    assert_array_equal(tile.image[:, :, ::-1], drawn_sample(0).image)
    assert set(tile.classes.tolist()) == {1}


@pytest.mark.parametrize("folder", ["vague areas", "vague areas/mask binary", "mask binary vague", "Vague/masks"])
def test_vague_areas_are_counted_wherever_their_mask_lies(tmp_path: Path, folder: str) -> None:
    write_tile(tmp_path / "human bladder", NAME)
    mask = np.zeros((40, 48), np.uint8)
    mask[:2, :5] = 255
    write_mask(tmp_path / "human bladder" / folder / f"{NAME}.png", mask)
    write_mask(tmp_path / "human bladder" / "vague areas" / "overlay" / f"{NAME}.png", np.ones((40, 48, 3), np.uint8))
    (tile,) = read(str(tmp_path))
    assert tile.quality == {"vague_px": 10}


def test_a_vague_mask_of_another_size_is_refused(tmp_path: Path) -> None:
    write_tile(tmp_path / "human bladder", NAME)
    write_mask(tmp_path / "human bladder" / "vague areas" / f"{NAME}.png", np.zeros((9, 9), np.uint8))
    with pytest.raises(UserError, match=r"vague areas of another size(.|\n)*human_bladder_01"):
        list(read(str(tmp_path)))


def test_a_missing_label_is_told_and_the_summed_one_not_taken(tmp_path: Path) -> None:
    release = Path(make(tmp_path))
    labels = release / "human bladder" / "label masks modify"
    labels.rename(release / "human bladder" / "label masks")
    found: list[Finding] = []
    assert len(list(read(str(tmp_path), found.append))) == 2
    assert [finding.kind for finding in found] == ["missing"] * 2
    assert "human_bladder_01" in found[0].mend


def test_another_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not the NuInsSeg folder"):
        list(read(str(tmp_path)))
