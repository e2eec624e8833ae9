"""PanNuke's arrays and their traps: ids that repeat across channels, folders of many spellings, arrays of gigabytes."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.lib import format as npy
from numpy.testing import assert_array_equal

from drawn import assert_same, full_sample
from nucleosynth.data.findings import REPAIRS, Finding
from nucleosynth.data.meta import Meta, tile_of
from nucleosynth.data.pannuke import CLASS_NAMES, read, tissue_name
from nucleosynth.errors import UserError
from nucleosynth.instances.canvas import CLAIMED_TWICE, COVERED
from nucleosynth.sample import Sample
from releases.pannuke import channels_of, make

SIZE = (20, 30)


def masks_of(*nuclei: tuple[int, int, slice, slice], background: float = 0) -> np.ndarray:
    """The channels of a tile with nuclei (id, channel, rows, columns)."""
    masks = np.zeros((*SIZE, 6))
    for number, channel, rows, columns in nuclei:
        masks[rows, columns, channel] = number
    masks[:, :, 5] = background
    return masks


ONE = masks_of((3, 0, slice(2, 6), slice(2, 8)), background=1)


def write_fold(root: Path, fold: int = 1, masks: object = (ONE, ONE), **changes: object) -> dict[str, Path]:
    """A fold in the release's layout: noise, the given masks, breast; other arrays by name, None for none."""
    count = len(np.asarray(masks))
    images = np.random.default_rng(fold).integers(0, 256, (count, *SIZE, 3)).astype(np.float64)
    arrays = {"images": images, "masks": masks, "types": np.array(["Breast"] * count, "U6")} | changes
    paths = {}
    for part, array in arrays.items():
        folder = root / f"Fold {fold}" / ("masks" if part == "masks" else "images") / f"fold{fold}"
        folder.mkdir(parents=True, exist_ok=True)
        paths[part] = folder / f"{part}.npy"
        if array is not None:
            np.save(paths[part], array)
    return paths


def read_one(root: Path, *nuclei: tuple[int, int, slice, slice]) -> Sample:
    write_fold(root, masks=[masks_of(*nuclei)])
    (tile,) = read(str(root))
    return tile


def test_a_tile_is_what_the_arrays_say(tmp_path: Path) -> None:
    paths = write_fold(tmp_path, types=np.array(["HeadNeck", "Bile-duct"]))
    first, second = read(str(tmp_path))
    assert_array_equal(first.image, np.load(paths["images"])[0])
    assert_array_equal(first.instances, ONE[:, :, 0] > 0)
    assert first.classes.tolist() == [1]
    assert (first.sample_id, second.sample_id) == ("fold1_0000", "fold1_0001")
    assert (first.source, first.split, first.mpp) == ("pannuke/fold1_0000", "fold1", 0.25)
    assert (first.tissue, second.tissue) == ("head and neck", "bile duct")
    assert (first.class_names, first.licence) == (CLASS_NAMES, "CC BY-NC-SA 4.0")


def test_an_id_in_two_channels_is_two_nuclei(tmp_path: Path) -> None:
    left, right = (slice(2, 6), slice(2, 8)), (slice(2, 6), slice(20, 28))
    tile = read_one(tmp_path, (7, 0, *left), (7, 3, *right))
    assert tile.classes.tolist() == [1, 4]
    assert [int(tile.instances[2, x]) for x in (2, 20)] == [1, 2]
    assert REPAIRS not in tile.quality


def test_nuclei_follow_their_ids_whatever_their_channels(tmp_path: Path) -> None:
    places = [(slice(2, 6), slice(x, x + 4)) for x in (0, 10, 20)]
    tile = read_one(tmp_path, (9, 0, *places[0]), (2, 4, *places[1]), (5, 2, *places[2]))
    assert tile.classes.tolist() == [5, 3, 1]
    assert [int(tile.instances[2, x]) for x in (0, 10, 20)] == [3, 1, 2]


def test_pixels_claimed_twice_go_to_the_later_nucleus_and_are_counted(tmp_path: Path) -> None:
    tile = read_one(tmp_path, (4, 0, slice(0, 4), slice(0, 6)), (3, 2, slice(0, 4), slice(4, 9)))
    assert tile.classes.tolist() == [3, 1]
    assert_array_equal(tile.instances[0, :10], [2, 2, 2, 2, 2, 2, 1, 1, 1, 0])
    assert tile.quality[REPAIRS] == {CLAIMED_TWICE: 8}


def test_a_nucleus_that_another_covers_is_counted(tmp_path: Path) -> None:
    tile = read_one(tmp_path, (1, 0, slice(1, 3), slice(1, 3)), (1, 1, slice(0, 4), slice(0, 6)))
    assert tile.classes.tolist() == [2]
    assert tile.quality[REPAIRS] == {CLAIMED_TWICE: 4, COVERED: 1}


@pytest.mark.parametrize("background", [0, 1, 77])
def test_the_background_channel_is_not_read(tmp_path: Path, background: float) -> None:
    write_fold(tmp_path, masks=[masks_of(background=background)])
    (tile,) = read(str(tmp_path))
    assert not tile.instances.any()
    assert len(tile.classes) == 0


@pytest.mark.parametrize("dtype", ["u1", "<i2", ">i4", "i8", "f2", "f4", ">f8"])
def test_whole_numbers_of_any_type_are_read(tmp_path: Path, dtype: str) -> None:
    paths = write_fold(tmp_path)
    expected = list(read(str(tmp_path)))
    for part in ("images", "masks"):
        np.save(paths[part], np.load(paths[part]).astype(dtype if dtype != "u1" or part == "masks" else "u1"))
    for one, two in zip(expected, read(str(tmp_path)), strict=True):
        assert_same(two, one)


def test_ids_may_be_huge(tmp_path: Path) -> None:
    tile = read_one(tmp_path, (2**31 - 1, 1, slice(0, 4), slice(0, 6)), (1, 1, slice(8, 9), slice(0, 6)))
    assert tile.classes.tolist() == [2, 2]
    assert int(tile.instances[0, 0]) == 2


def test_fortran_order_is_read(tmp_path: Path) -> None:
    paths = write_fold(tmp_path)
    expected = list(read(str(tmp_path)))
    for part in ("images", "masks"):
        np.save(paths[part], np.asfortranarray(np.load(paths[part])))
    for one, two in zip(expected, read(str(tmp_path)), strict=True):
        assert_same(two, one)


LAYOUTS = [
    ("Fold 1/images/fold1", "Fold 1/masks/fold1"),
    ("fold1/images/fold1", "fold1/masks/fold1"),
    ("release/Fold 1/images/fold1", "release/Fold 1/masks/fold1"),
    ("FOLD_1", "FOLD_1"),
    ("fold 1", "fold 1"),
    ("fold-1/images", "fold-1/masks"),
    ("images/fold1", "masks/fold1"),
    ("Fold 1/images", "Fold 1/masks"),
]


@pytest.mark.parametrize(("images", "masks"), LAYOUTS)
def test_folders_may_be_spelt_in_many_ways(tmp_path: Path, images: str, masks: str) -> None:
    paths = write_fold(tmp_path / "release")
    expected = list(read(str(tmp_path / "release")))
    for part, path in paths.items():
        folder = tmp_path / "other" / (masks if part == "masks" else images)
        folder.mkdir(parents=True, exist_ok=True)
        path.rename(folder / path.name)
    for one, two in zip(expected, read(str(tmp_path / "other")), strict=True):
        assert_same(two, one)


def test_one_folds_folder_is_read_alone_and_nothing_is_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = make(tmp_path)
    expected = [tile for tile in read(whole) if tile.split == "fold2"]
    flat = tmp_path / "fold2"
    flat.mkdir()
    for path in (tmp_path / "Fold 2").rglob("*.npy"):
        (flat / path.name).write_bytes(path.read_bytes())
    monkeypatch.chdir(flat)
    found: list[Finding] = []
    for where in (str(tmp_path / "Fold 2"), str(flat), "."):
        (tile,) = read(where, found.append)
        assert_same(tile, expected[0])
    assert not found


def test_folds_come_in_order_and_absent_ones_are_told_once(tmp_path: Path) -> None:
    write_fold(tmp_path, 10)
    write_fold(tmp_path, 2)
    (tmp_path / "Fold 2").rename(tmp_path / "fold2")
    found: list[Finding] = []
    assert [tile.sample_id for tile in read(str(tmp_path), found.append)][1:3] == ["fold2_0001", "fold10_0000"]
    assert [(finding.kind, finding.what) for finding in found] == [("note", "fold1 and fold3 not there")]


@pytest.mark.parametrize(("lost", "read_on"), [("images", 2), ("masks", 2), ("types", 4)])
def test_what_a_fold_lacks_is_told_and_the_rest_read(tmp_path: Path, lost: str, read_on: int) -> None:
    for fold in (1, 2):
        paths = write_fold(tmp_path, fold)
    write_fold(tmp_path, 3, masks=np.zeros((0, *SIZE, 6)))
    paths[lost].unlink()
    found: list[Finding] = []
    tiles = list(read(str(tmp_path), found.append))
    assert len(tiles) == read_on
    assert [(finding.kind, lost in finding.what, "fold2" in finding.where) for finding in found] == [
        ("missing", True, True)
    ]
    if lost == "types":
        assert [tile.tissue for tile in tiles] == ["breast", "breast", "unknown", "unknown"]


FLAWS: list[tuple[dict[str, object], str]] = [
    ({"images": np.zeros((3, *SIZE, 3))}, "another form(.|\n)*masks.npy"),
    ({"types": np.array(["Breast"])}, "another form(.|\n)*types.npy"),
    ({"types": np.array([1, 2])}, "another form(.|\n)*types.npy"),
    ({"types": np.array(["Breast", None], object)}, "types.npy(.|\n)*could run code"),
    ({"types": np.full((2, 3), 0x7FFFFFFF, np.uint32).view("U3")[:, 0]}, "broken file(.|\n)*types.npy"),
    ({"types": np.array([b"\xff", b"a"])}, "broken file(.|\n)*types.npy"),
    ({"images": np.zeros((2, *SIZE, 4))}, "another form(.|\n)*images.npy"),
    ({"images": np.zeros((2, 3, *SIZE))}, "another form(.|\n)*images.npy"),
    ({"images": np.zeros((2, *SIZE, 3), object)}, "images.npy(.|\n)*could run code"),
    ({"images": np.full((2, *SIZE, 3), 0.5)}, "not the pixels(.|\n)*fold1_0000"),
    ({"images": np.full((2, *SIZE, 3), 256)}, "not the pixels(.|\n)*fold1_0000"),
    ({"images": np.full((2, *SIZE, 3), np.nan)}, "not the pixels(.|\n)*fold1_0000"),
    ({"masks": np.zeros((2, *SIZE, 5))}, "another form(.|\n)*masks.npy"),
    ({"masks": np.zeros((2, *SIZE))}, "another form(.|\n)*masks.npy"),
    ({"masks": np.zeros((2, *SIZE, 6), bool)}, "another form(.|\n)*masks.npy"),
    ({"masks": np.array([ONE, ONE], object)}, "masks.npy(.|\n)*could run code"),
    ({"masks": np.array([ONE, ONE]) / 2}, "not instance ids(.|\n)*fold1_0000"),
    ({"masks": -np.array([ONE, ONE])}, "not instance ids(.|\n)*fold1_0000"),
    ({"masks": np.where(np.array([ONE, ONE]) > 0, np.inf, 0)}, "not instance ids(.|\n)*fold1_0000"),
]


@pytest.mark.parametrize(("changes", "message"), FLAWS)
def test_arrays_that_do_not_fit_are_refused_by_name(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    write_fold(tmp_path)
    write_fold(tmp_path, **changes)
    with pytest.raises(UserError, match=message):
        list(read(str(tmp_path)))


def test_a_broken_fold_and_a_broken_tile_are_left_to_the_note(tmp_path: Path) -> None:
    write_fold(tmp_path, 1, types=np.array(["Breast"]))
    write_fold(tmp_path, 2, masks=[ONE / 2, ONE])
    write_fold(tmp_path, 3)
    found: list[Finding] = []
    assert [tile.sample_id for tile in read(str(tmp_path), found.append)] == ["fold2_0001", "fold3_0000", "fold3_0001"]
    assert [(finding.kind, finding.error is not None) for finding in found] == [("broken", True)] * 2
    assert "types.npy" in found[0].where
    assert "masks.npy, row 0 (fold2_0000)" in found[1].where


def test_a_tile_is_read_when_it_is_asked_for(tmp_path: Path) -> None:
    write_fold(tmp_path, masks=[ONE, ONE / 2])
    tiles = read(str(tmp_path))
    assert next(tiles).sample_id == "fold1_0000"
    with pytest.raises(UserError, match="not instance ids"):
        next(tiles)


@pytest.mark.parametrize("part", ["images", "masks"])
def test_a_file_that_changes_while_it_is_read_is_a_broken_one(tmp_path: Path, part: str) -> None:
    path = write_fold(tmp_path)[part]
    tiles = read(str(tmp_path))
    next(tiles)
    path.write_bytes(path.read_bytes()[:999])
    with pytest.raises(UserError, match=rf"broken file(.|\n)*{part}.npy"):
        next(tiles)


def claim(path: Path, shape: tuple[int, ...], dtype: str, size: int | None = None, fortran: bool = False) -> None:
    """A file whose header claims an array, and whose `size` in bytes (None: what it claims) is all holes."""
    with path.open("wb") as file:
        npy.write_array_header_1_0(file, {"descr": dtype, "fortran_order": fortran, "shape": shape})
        held = int(np.prod([float(length) for length in shape])) * np.dtype(dtype).itemsize
        file.truncate(file.tell() + (held if size is None else size))


@pytest.mark.parametrize("shape", [(10**5, *SIZE, 3), (2**62, 2**62, 2**62, 3), (2, *SIZE, 3)])
def test_an_array_that_claims_more_than_its_file_is_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    claim(write_fold(tmp_path, images=None)["images"], shape, "<f8", 99)
    with pytest.raises(UserError, match=r"broken file(.|\n)*images.npy"):
        list(read(str(tmp_path)))


def test_a_large_array_in_fortran_order_is_refused(tmp_path: Path) -> None:
    paths = write_fold(tmp_path)
    claim(paths["masks"], (2, *SIZE, 6), "<f8", fortran=True)
    assert len(list(read(str(tmp_path)))) == 2
    write_fold(tmp_path, images=None, types=None)
    claim(paths["images"], (2, 4096, 8192, 3), "<f8", fortran=True)
    with pytest.raises(UserError, match=r"Fortran order(.|\n)*images.npy"):
        list(read(str(tmp_path)))


@pytest.mark.parametrize("part", ["images", "masks", "types"])
def test_broken_files_are_named(tmp_path: Path, part: str) -> None:
    path = write_fold(tmp_path)[part]
    whole = path.read_bytes()
    contents = [whole[:cut] for cut in (0, 5, 60, len(whole) - 1)]
    contents += [b"no array at all", whole.replace(b"{", b"(", 1), whole[:6] + b"\x03" + whole[7:]]
    for content in contents:
        path.write_bytes(content)
        with pytest.raises(UserError, match=rf"broken file(.|\n)*{part}.npy"):
            list(read(str(tmp_path)))


MEASURE = """
import sys
from itertools import islice
from nucleosynth.data.pannuke import read
tiles = read(sys.argv[1])
count = sum(1 for _ in islice(tiles, 180))
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(count, int(peak.split()[1]) >> 10)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process's memory is read from /proc")
def test_memory_does_not_grow_with_what_has_been_read(tmp_path: Path) -> None:
    """180 tiles of 4.7 MB each, out of 12 GB of holes; what the process begins with is some 200 MB."""
    paths = write_fold(tmp_path, images=None, masks=np.zeros((0,)), types=None)
    claim(paths["images"], (2722, 256, 256, 3), "<f8")
    claim(paths["masks"], (2722, 256, 256, 6), "<f8")
    done = subprocess.run([sys.executable, "-c", MEASURE, str(tmp_path)], capture_output=True, text=True, check=True)
    count, peak_mib = map(int, done.stdout.split())
    assert count == 180
    assert peak_mib < 500


def test_a_folder_that_was_written_gives_every_field_back(tmp_path: Path) -> None:
    samples = [replace(tile, classes=np.maximum(tile.classes, 1)) for tile in (full_sample(2), full_sample(0))]
    folder = tmp_path / "Fold 1"
    folder.mkdir()
    np.save(folder / "images.npy", [sample.image for sample in samples])
    np.save(folder / "masks.npy", [channels_of(sample.instances, sample.classes, 3) for sample in samples])
    np.save(folder / "types.npy", [sample.tissue for sample in samples])
    meta = Meta(
        class_names=samples[0].class_names,
        tiles={sample.sample_id: tile_of(sample) for sample in samples},
        written_by="nucleosynth",
    )
    (tmp_path / "meta.json").write_text(meta.model_dump_json(exclude_none=True))
    found: list[Finding] = []
    for where in (tmp_path, tmp_path / "Fold 1"):
        for one, two in zip(samples, read(str(where), found.append), strict=True):
            assert_same(two, one)
    assert not found


def test_meta_toml_corrects_the_release_and_names_no_tile_that_is_not_there(tmp_path: Path) -> None:
    write_fold(tmp_path)
    (tmp_path / "meta.toml").write_text('stain = "IHC"\n[tiles.fold1_0001]\nsource = "patient 7"\n')
    first, second = read(str(tmp_path))
    assert (first.stain, first.source, first.mpp, first.tissue) == ("IHC", "pannuke/fold1_0000", 0.25, "breast")
    assert second.source == "patient 7"
    (tmp_path / "meta.toml").write_text('[tiles.fold1_0002]\nstain = "IHC"\n')
    with pytest.raises(UserError, match="fold1_0002"):
        list(read(str(tmp_path)))


def test_ones_own_classes_have_as_many_channels_and_nothing_is_assumed(tmp_path: Path) -> None:
    write_fold(tmp_path, masks=np.array([ONE[:, :, :3]]))
    (tmp_path / "meta.toml").write_text('class_names = ["round", "long"]')
    (tile,) = read(str(tmp_path))
    assert (tile.class_names, tile.mpp, tile.split, tile.licence) == (("round", "long"), None, "", "unknown")


def test_meta_json_for_another_number_of_tiles_is_refused(tmp_path: Path) -> None:
    write_fold(tmp_path)
    (tmp_path / "meta.json").write_text('{"written_by": "nucleosynth", "tiles": {"a": {}}}')
    with pytest.raises(UserError, match=r"1 tiles|2 tiles"):
        list(read(str(tmp_path)))


def test_other_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        list(read(str(tmp_path / "absent")))
    with pytest.raises(UserError, match="not the PanNuke folder"):
        list(read(str(tmp_path)))
    paths = write_fold(tmp_path)
    paths["masks"].unlink()
    with pytest.raises(UserError, match="no whole fold"):
        list(read(str(tmp_path)))


def test_a_fold_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    write_fold(tmp_path)
    write_fold(tmp_path / "copy")
    with pytest.raises(UserError, match="fold1 is there twice"):
        list(read(str(tmp_path)))


def test_files_outside_any_fold_are_told(tmp_path: Path) -> None:
    paths = write_fold(tmp_path)
    (tmp_path / "images.npy").write_bytes(paths["images"].read_bytes())
    found: list[Finding] = []
    assert len(list(read(str(tmp_path), found.append))) == 2
    assert ("left out", str(tmp_path / "images.npy")) in [(finding.kind, finding.where) for finding in found]


@pytest.mark.parametrize("dtype", ["<U9", ">U9", "S9"])
def test_tissues_are_texts_of_any_kind(tmp_path: Path, dtype: str) -> None:
    write_fold(tmp_path, types=np.array(["Colon", "Bile-duct"], dtype))
    assert [tile.tissue for tile in read(str(tmp_path))] == ["colon", "bile duct"]


def test_tissues_are_spelt_out() -> None:
    words = ("Adrenal_gland", "Bile-duct", "HeadNeck", "Head & Neck", "Head and neck", "Breast", "bile duct", "")
    plain = ["adrenal gland", "bile duct", *["head and neck"] * 3, "breast", "bile duct", "unknown"]
    assert [tissue_name(word) for word in words] == plain
