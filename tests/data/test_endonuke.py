"""EndoNuke's layout and its traps: lists of lists, several people a tile, points on the border, derived masks."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from nucleosynth.data.endonuke import CLIPPED, NO_POINT, OUTLIERS, PASSED_OVER, SHARED, nuclei_of, read
from nucleosynth.data.findings import Finding, repairs_of
from nucleosynth.errors import UserError
from nucleosynth.sample import Layout, Sample
from releases.endonuke import POINTS, RADIUS_PX, make, write_label, write_lists, write_tile

PERSON = "bulk/ptg1"


def one(root: Path, points: object, side: int = 200) -> Sample:
    """The sample of a tile with such a label."""
    write_tile(root, "7", PERSON, points, side)
    write_lists(root, [f"{PERSON}/7"])
    (tile,) = read(str(root))
    return tile


def layout(xy: list[tuple[float, float]], side: int) -> Layout:
    kinds = np.ones(len(xy), np.uint8)
    return Layout(np.array(xy, np.float32).reshape(-1, 2), kinds, (side, side), ("stroma", "epithelium", "other"))


@pytest.mark.parametrize(("side", "mpp"), [(200, 0.5), (400, 0.25), (256, 100 / 256)])
def test_points_and_derived_masks_are_one_sample(tmp_path: Path, side: int, mpp: float) -> None:
    points = [(x * side // 200, y * side // 200, kind) for x, y, kind in POINTS]
    tile = one(tmp_path, points, side)
    assert tile.points is not None
    assert_array_equal(tile.points.xy, [(x, y) for x, y, _ in points])
    assert tile.points.classes.tolist() == tile.classes.tolist() == [1, 2, 3, 2]
    assert [int(tile.instances[y, x]) for x, y, _ in points] == [1, 2, 3, 4]
    assert (tile.mpp, tile.points.mpp, tile.labelled_as, tile.stain) == (mpp, mpp, "derived", "IHC")
    assert (tile.tissue, tile.source, tile.split) == ("endometrium", "endonuke/7", "")
    assert tile.quality == {"derived_mask": "marker watershed, multi-Otsu"}


def test_the_watershed_follows_the_drawn_nuclei(tmp_path: Path) -> None:
    tile = one(tmp_path, POINTS)
    y, x = np.mgrid[:200, :200]
    for number, (column, row, _) in enumerate(POINTS, start=1):
        disc = (x - column) ** 2 + (y - row) ** 2 <= RADIUS_PX**2
        found = tile.instances == number
        assert (disc & found).sum() / (disc | found).sum() > 0.8


def test_dataset_itself_data_and_the_folder_above_are_read(tmp_path: Path) -> None:
    make(tmp_path / "release" / "data")
    for folder in ("release", "release/data", "release/data/dataset"):
        assert [tile.sample_id for tile in read(str(tmp_path / folder))] == ["9", "10", "11", "12"]


def test_floats_blank_lines_and_windows_files_are_read(tmp_path: Path) -> None:
    tile = one(tmp_path, "\ufeff30.0 40.0 0.0\r\n\r\n  100.5\t60 1\r\n")
    assert tile.points is not None
    assert_array_equal(tile.points.xy, [[30, 40], [100.5, 60]])
    assert tile.classes.tolist() == [1, 2]


@pytest.mark.parametrize(
    "line", ["1 2", "1 2 0 4", "1 2 3", "1 2 -1", "1 2 0.5", "a 2 1", "nan 2 1", "201 2 1", "2 -1.5 1"]
)
def test_a_bad_line_is_named(tmp_path: Path, line: str) -> None:
    with pytest.raises(UserError, match=r"not a point in the tile(.|\n)*7.txt, line 2"):
        one(tmp_path, f"30 40 0\n{line}\n")


def test_points_on_the_border_are_moved_in_and_counted(tmp_path: Path) -> None:
    tile = one(tmp_path, [(200, 60, 1), (30, 200, 0), (199.5, -1, 2), (0, 199, 0)])
    assert tile.points is not None
    assert_array_equal(tile.points.xy, [[199, 60], [30, 199], [199, 0], [0, 199]])
    assert repairs_of(tile)[CLIPPED] == 3


def test_every_point_is_accounted_for(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    points = [(int(x), int(y), int(x + y) % 3) for x, y in generator.integers(0, 60, (900, 2))]
    tile = one(tmp_path, points)
    distinct = len({(x, y) for x, y, _ in points})
    assert len(tile.classes) == distinct < len(points)
    assert repairs_of(tile)[SHARED] == len(points) - distinct
    first = {(x, y): kind + 1 for x, y, kind in reversed(points)}
    assert all(tile.classes[tile.instances[y, x] - 1] == kind for (x, y), kind in first.items())


@pytest.mark.parametrize("side", [200, 400])
def test_an_outlier_becomes_a_disc_that_spares_its_neighbours(side: int) -> None:
    image = np.full((side, side, 3), 128, np.uint8)
    # Without any edge each point would take half the tile.
    repairs: Counter[str] = Counter()
    middle = side // 2
    instances, classes = nuclei_of(image, layout([(middle - 2, middle), (middle + 3, middle)], side), repairs)
    assert (repairs[OUTLIERS], len(classes)) == (2, 2)
    sizes = np.bincount(instances.ravel())[1:]
    full = 163 * side**2 / 256**2
    assert (sizes < full).all()
    assert (sizes > full / 2).all()
    assert [instances[middle, middle - 2], instances[middle, middle + 3]] == [1, 2]
    assert (instances[:, : middle + 1] != 2).all()


def test_a_disc_takes_no_pixel_of_a_whole_neighbour() -> None:
    image = np.full((200, 200, 3), 128, np.uint8)
    image[90:103, 90:103] = 40
    repairs: Counter[str] = Counter()
    instances, _ = nuclei_of(image, layout([(96, 96), (105, 96)], 200), repairs)
    assert repairs[OUTLIERS] == 1
    assert (instances[91:102, 91:102] == 1).all()
    assert instances[96, 110] == 2


def test_a_point_on_light_ground_keeps_its_nucleus(tmp_path: Path) -> None:
    tile = one(tmp_path, [(10, 100, 2), *POINTS])
    assert (tile.instances[100, 10], tile.classes.tolist()) == (1, [3, 1, 2, 3, 2])
    assert repairs_of(tile) == {OUTLIERS: 1}


def test_a_label_without_a_point_is_told(tmp_path: Path) -> None:
    tile = one(tmp_path, "\n")
    assert (len(tile.classes), repairs_of(tile)) == (0, {NO_POINT: 1})


def test_one_label_a_tile_is_chosen_by_the_lists(tmp_path: Path) -> None:
    make(tmp_path)
    write_label(tmp_path, "9", "agreement/stud1", POINTS[:2])
    assert [len(tile.classes) for tile in read(str(tmp_path))] == [4] * 4
    write_lists(tmp_path, ["agreement/stud1/9", "bulk/ptg2/10"])
    found: list[Finding] = []
    assert [len(tile.classes) for tile in read(str(tmp_path), found.append)] == [2, 4]
    assert [(finding.kind, finding.what) for finding in found] == [
        ("left out", "2 labelled tiles that it does not list")
    ]


def test_without_lists_the_first_person_is_taken_and_it_is_told(tmp_path: Path) -> None:
    make(tmp_path)
    write_label(tmp_path, "9", "agreement/stud1", POINTS[:2])
    (tmp_path / "master_ymls" / "unique.yaml").unlink()
    found: list[Finding] = []
    tiles = list(read(str(tmp_path), found.append))
    assert [len(tile.classes) for tile in tiles] == [2, 4, 4, 4]
    assert [repairs_of(tile)[PASSED_OVER] for tile in tiles] == [1, 0, 0, 0]
    assert [(finding.kind, finding.where[-11:]) for finding in found] == [("missing", "unique.yaml")]


def test_tiles_without_labels_are_told_once(tmp_path: Path) -> None:
    make(tmp_path)
    for name in ("9", "11"):
        (tmp_path / "dataset/labels/bulk/ptg1" / f"{name}.txt").unlink()
    found: list[Finding] = []
    assert [tile.sample_id for tile in read(str(tmp_path), found.append)] == ["10", "12"]
    assert [(finding.kind, finding.what) for finding in found] == [("note", "the labels of 2 tiles are not there")]


def test_a_listed_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    make(tmp_path)
    (tmp_path / "dataset/images/10.png").unlink()
    found: list[Finding] = []
    assert [tile.sample_id for tile in read(str(tmp_path), found.append)] == ["9", "11", "12"]
    assert [(finding.kind, finding.where[-6:]) for finding in found] == [("missing", "10.png")]


def test_a_tile_listed_twice_is_told(tmp_path: Path) -> None:
    write_tile(tmp_path, "7", PERSON, POINTS)
    write_label(tmp_path, "7", "bulk/ptg2", POINTS[:1])
    write_lists(tmp_path, [f"{PERSON}/7", "bulk/ptg2/7"])
    found: list[Finding] = []
    assert [len(tile.classes) for tile in read(str(tmp_path), found.append)] == [4]
    assert [finding.kind for finding in found] == ["suspicious"]


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("master_ymls/unique.yaml", "images_lists: 3", "not a list of EndoNuke's tiles"),
        ("master_ymls/unique.yaml", "- a\n- b", "not a list of EndoNuke's tiles"),
        ("master_ymls/unique.yaml", "a: [", "not a list of EndoNuke's tiles"),
        ("master_ymls/unique.yaml", "images_lists: !!python/object/apply:os.getcwd []", "not a list of EndoNuke's"),
        ("master_ymls/unique.yaml", "images_lists: [a.txt]\nlabels_lists: [b.txt]", "no such list of files"),
        ("master_ymls/unique.yaml", "images_lists: [../../a]\nlabels_lists: []", "a path out of the data folder"),
        ("dataset/files_lists/unique/images.txt", "../../../../secret.png", "a path out of the data folder"),
        ("dataset/files_lists/unique/images.txt", "/etc/7.png", "a path out of the data folder"),
        ("dataset/files_lists/unique/images.txt", "a\0b.png", "a path out of the data folder"),
        ("dataset/files_lists/unique/images.txt", "../../images/8.png", "lists that do not pair"),
        ("dataset/files_lists/unique/labels.txt", "", "lists that do not pair"),
    ],
)
def test_broken_lists_are_named(tmp_path: Path, file: str, content: str, message: str) -> None:
    write_tile(tmp_path, "7", PERSON, POINTS)
    write_lists(tmp_path, [f"{PERSON}/7"])
    (tmp_path / file).write_text(content)
    with pytest.raises(UserError, match=message) as caught:
        list(read(str(tmp_path)))
    assert str(tmp_path) in caught.value.where


def test_another_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not the EndoNuke folder"):
        list(read(str(tmp_path)))
