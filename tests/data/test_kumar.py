"""Kumar's layouts: the paper's three splits, labels as XML or as maps with gaps, found by the patient in the name."""

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from drawn import drawn_sample
from nucleosynth.data.findings import Finding, repairs_of
from nucleosynth.data.kumar import NO_MPP, ORGANS, SPLITS, by_patient, read
from nucleosynth.errors import UserError
from releases.kumar import make, write_map


def test_the_paper_s_splits_and_organs_are_whole() -> None:
    assert {split: len(patients.split()) for split, patients in SPLITS.items()} == {
        "train": 16,
        "test_same": 8,
        "test_other": 6,
    }
    assert set(by_patient(SPLITS)) == set(by_patient(ORGANS))
    organs = {split: {by_patient(ORGANS)[patient] for patient in SPLITS[split].split()} for split in SPLITS}
    assert organs["train"] == organs["test_same"] == {"breast", "kidney", "liver", "prostate"}
    assert organs["test_other"] == {"bladder", "colon", "stomach"}


def test_patients_say_split_organ_and_source_whatever_the_folder(tmp_path: Path) -> None:
    tiles = list(read(make(tmp_path)))
    assert [(tile.source, tile.split, tile.tissue) for tile in tiles] == [
        ("kumar/TCGA-18-5592", "train", "liver"),
        ("kumar/TCGA-21-5786", "test_same", "liver"),
        ("kumar/TCGA-AY-A8YK", "test_other", "colon"),
        ("kumar/TCGA-DK-A2I6", "test_other", "bladder"),
    ]
    assert [tile.mpp for tile in tiles] == [0.252, 0.252, 0.25, 0.25]
    assert [repairs_of(tile)[NO_MPP] for tile in tiles] == [0, 0, 1, 1]


def test_a_map_with_gaps_is_numbered_in_the_order_of_its_ids(tmp_path: Path) -> None:
    instances = np.zeros((20, 30))
    instances[2:6, 2:8], instances[10:15, 3:9], instances[4:9, 20:26] = 2_000_000_000, 2, 5
    write_map(tmp_path, "TCGA-HE-7130-01Z-00-DX1", instances)
    (tile,) = read(str(tmp_path))
    assert [int(tile.instances[place]) for place in ((0, 0), (10, 3), (4, 20), (2, 2))] == [0, 1, 2, 3]
    assert tile.classes.tolist() == [1, 1, 1]


@pytest.mark.parametrize("filled", [0, 1])
def test_a_map_of_one_value_is_read(tmp_path: Path, filled: int) -> None:
    write_map(tmp_path, "TCGA-HE-7130-01Z-00-DX1", np.full((20, 30), filled))
    (tile,) = read(str(tmp_path))
    assert len(tile.classes) == filled
    assert (tile.instances == filled).all()


def test_the_xml_goes_before_the_map(tmp_path: Path) -> None:
    make(tmp_path)
    first, *_ = read(str(tmp_path))
    write_map(tmp_path / "other", "TCGA-18-5592-01Z-00-DX1", np.zeros((40, 48)))
    (tmp_path / "other/Images/TCGA-18-5592-01Z-00-DX1.png").unlink()
    again, *_ = read(str(tmp_path))
    assert_array_equal(again.instances, first.instances)
    assert again.mpp == 0.252


def test_overlays_are_no_images(tmp_path: Path) -> None:
    make(tmp_path)
    before = [tile.image for tile in read(str(tmp_path))]
    (tmp_path / "test_diff" / "Overlay").mkdir()
    for path in (tmp_path / "test_diff" / "Images").iterdir():
        (tmp_path / "test_diff" / "Overlay" / path.name).write_bytes(b"no image")
    for one, two in zip(before, read(str(tmp_path)), strict=True):
        assert_array_equal(one, two.image)


def test_a_tile_of_no_list_is_told_as_left_out(tmp_path: Path) -> None:
    make(tmp_path)
    for name in ("TCGA-2Z-A9J9-01A-01-TS1", "TCGA-18-55921-01Z", "notes"):
        write_map(tmp_path / "more", name, drawn_sample(7).instances)
    found: list[Finding] = []
    assert len(list(read(str(tmp_path), found.append))) == 4
    left_out = [Path(finding.where).suffix for finding in found if finding.kind != "note"]
    assert left_out == [".png"] * 3


def test_patients_that_are_not_there_are_told_once_a_split(tmp_path: Path) -> None:
    found: list[Finding] = []
    list(read(make(tmp_path), found.append))
    assert [(finding.kind, finding.what.split("(")[0], finding.count) for finding in found] == [
        ("note", "tiles of train that are not there ", 15),
        ("note", "tiles of test_same that are not there ", 7),
        ("note", "tiles of test_other that are not there ", 4),
    ]
    absent = [SPLITS["train"].split()[k] for k in (1, 2, 3)]
    assert found[0].what.endswith(f"({', '.join(absent)}, ...)")


def test_a_map_that_does_not_fit_is_named(tmp_path: Path) -> None:
    write_map(tmp_path, "TCGA-HE-7130-01Z-00-DX1", np.full((20, 30), 0.5))
    with pytest.raises(UserError, match=r"not instance ids(.|\n)*TCGA-HE-7130"):
        list(read(str(tmp_path)))
    write_map(tmp_path, "TCGA-HE-7130-01Z-00-DX1", np.ones((20, 30)))
    (tmp_path / "Labels/TCGA-HE-7130-01Z-00-DX1.mat").write_bytes(b"no matrix")
    found: list[Finding] = []
    assert not list(read(str(tmp_path), found.append))
    assert [finding.kind for finding in found if finding.kind != "note"] == ["broken"]


def test_another_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    with pytest.raises(UserError, match="not the Kumar folder"):
        list(read(str(tmp_path)))
