"""DSB2018's layout and its traps: RGBA, fluorescence among the tiles, a mask for each nucleus, overlaps."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from nucleosynth.data import dsb2018
from nucleosynth.data.dsb2018 import read
from nucleosynth.data.findings import Finding, repairs_of
from nucleosynth.errors import UserError
from nucleosynth.instances.canvas import CLAIMED_TWICE, NO_PIXEL
from releases.dsb2018 import SIZE, coloured, make, square, write_tile


def test_the_stage_or_the_folder_above_is_read(tmp_path: Path) -> None:
    make(tmp_path)
    for folder in (tmp_path, tmp_path / "stage1_train"):
        found: list[Finding] = []
        tiles = list(read(str(folder), found.append))
        assert [tile.sample_id for tile in tiles] == ["0ab0", "1ab1", "2ab2", "3ab3"]
        assert [(finding.kind, finding.where[-4:]) for finding in found] == [("left out", "dark")]
    assert (tiles[0].source, tiles[0].mpp, tiles[0].tissue) == ("dsb2018/0ab0", None, "unknown")
    assert_array_equal(tiles[0].image, coloured(0))


def test_masks_are_nuclei_in_natural_order_and_the_later_has_the_pixel(tmp_path: Path) -> None:
    masks = {"m10": square(6, 2), "m2": square(2, 2), "m3": np.zeros(SIZE, np.uint8)}
    write_tile(tmp_path, "a", coloured(), masks)
    (tile,) = read(str(tmp_path))
    assert (tile.instances[3, 3], tile.instances[3, 7], len(tile.classes)) == (1, 2, 2)
    assert repairs_of(tile) == {CLAIMED_TWICE: 4 * 8, NO_PIXEL: 1}


def test_only_light_tiles_with_colour_are_kept() -> None:
    grey = np.full((*SIZE, 3), 200, np.uint8)
    dark = np.zeros((*SIZE, 3), np.uint8)
    dark[5:20, 5:20] = [40, 255, 90]
    pale = np.full((*SIZE, 3), [236, 230, 240], np.uint8)
    assert [dsb2018.coloured(image) for image in (grey, dark, pale, coloured())] == [False, False, True, True]


def test_a_mask_of_another_size_is_refused(tmp_path: Path) -> None:
    write_tile(tmp_path, "a", coloured(), {"m1": np.full((9, 9), 255, np.uint8)})
    with pytest.raises(UserError, match=r"mask and image differ in size(.|\n)*m1.png"):
        list(read(str(tmp_path)))


@pytest.mark.parametrize("part", ["images", "masks"])
def test_a_tile_of_which_a_part_is_missing_is_told_and_the_rest_read(tmp_path: Path, part: str) -> None:
    make(tmp_path)
    for path in (tmp_path / "stage1_train" / "1ab1" / part).iterdir():
        path.unlink()
    found: list[Finding] = []
    assert len(list(read(str(tmp_path), found.append))) == 3
    assert [finding.what for finding in found if finding.kind == "missing"] == [f"a tile without its {part}"]


def test_a_broken_mask_breaks_its_tile_alone(tmp_path: Path) -> None:
    make(tmp_path)
    (tmp_path / "stage1_train/1ab1/masks/m0.png").write_bytes(b"no image")
    found: list[Finding] = []
    assert len(list(read(str(tmp_path), found.append))) == 3
    assert [finding.where[-6:] for finding in found if finding.kind == "broken"] == ["m0.png"]


def test_a_tile_that_is_left_out_has_no_mask_decoded(tmp_path: Path) -> None:
    write_tile(tmp_path, "a", np.full((*SIZE, 3), 9, np.uint8), {"m1": square(2, 2)})
    cv2.imwrite(str(tmp_path / "stage1_train/a/masks/m2.png"), np.zeros((3, 3), np.uint8))
    found: list[Finding] = []
    assert not list(read(str(tmp_path), found.append))
    assert [finding.kind for finding in found] == ["left out"]


def test_another_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not the DSB2018 folder"):
        list(read(str(tmp_path)))


def test_of_the_real_tiles_the_80_coloured_ones_are_kept(shared: Path) -> None:
    found: list[Finding] = []
    tiles = list(read(str(shared / "data" / "dsb2018"), found.append))
    assert (len(tiles), [finding.kind for finding in found]) == (80, ["left out"] * 5)
    masks = sum(
        len(list((shared / "data/dsb2018/stage1_train" / tile.sample_id / "masks").iterdir())) for tile in tiles
    )
    assert sum(len(tile.classes) for tile in tiles) == masks
