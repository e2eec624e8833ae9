"""The user's own folder: read as it is laid out, written and read back, refused with the file named."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from numpy.testing import assert_array_equal

from drawn import assert_same, drawn_sample, full_sample
from nucleosynth.data.folder import read
from nucleosynth.data.meta import own_source
from nucleosynth.errors import UserError
from nucleosynth.formats.folder import write

LABEL = np.zeros((16, 20), np.uint16)
LABEL[2:6, 2:8], LABEL[10:14, 3:9], LABEL[4:9, 12:18] = 9, 2, 5


def put(root: Path, name: str, label: np.ndarray | None = LABEL, suffix: str = ".png") -> None:
    """An image and its label; ids 2, 5 and 9."""
    for kind in ("images", "labels"):
        (root / kind).mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(root / "images" / f"{name}.png"), np.random.default_rng(0).integers(0, 256, (16, 20, 3), np.uint8))
    if label is None:
        return
    path = root / "labels" / f"{name}{suffix}"
    if suffix == ".npy":
        np.save(path, label)
    elif suffix == ".tif":
        tifffile.imwrite(path, label, compression="zlib")
    else:
        cv2.imwrite(str(path), label)


def put_classes(root: Path, name: str, classes: list[int] | list[float]) -> None:
    (root / "classes").mkdir(exist_ok=True)
    np.save(root / "classes" / f"{name}.npy", np.array(classes))


@pytest.mark.parametrize("suffix", [".png", ".tif", ".npy"])
def test_gaps_are_closed_and_classes_follow(tmp_path: Path, suffix: str) -> None:
    put(tmp_path, "a", LABEL.astype(np.int64 if suffix == ".npy" else np.uint16), suffix)
    put_classes(tmp_path, "a", [3, 0, 1])
    (tile,) = read(str(tmp_path))
    assert [int(tile.instances[place]) for place in ((10, 3), (4, 12), (2, 2))] == [1, 2, 3]
    assert tile.classes.tolist() == [3, 0, 1]
    assert tile.class_names == ("class 1", "class 2", "class 3")
    assert tile.source == own_source("folder", "a", tile.image)
    assert tile.mpp is None


def test_without_classes_every_nucleus_is_a_nucleus(tmp_path: Path) -> None:
    put(tmp_path, "a")
    (tile,) = read(str(tmp_path))
    assert (tile.class_names, tile.classes.tolist()) == (("nucleus",), [1, 1, 1])


def test_colours_are_not_swapped_and_alpha_is_dropped(tmp_path: Path) -> None:
    put(tmp_path, "a")
    red = np.zeros((16, 20, 4), np.uint8)
    red[..., 2], red[..., 3] = 200, 255
    cv2.imwrite(str(tmp_path / "images" / "a.png"), red)
    put(tmp_path, "b")
    (tmp_path / "images" / "b.png").unlink()
    tifffile.imwrite(tmp_path / "images" / "b.tif", red[..., [2, 1, 0]], compression="lzw", photometric="rgb")
    for tile in read(str(tmp_path)):
        assert_array_equal(tile.image.reshape(-1, 3).mean(axis=0), [200, 0, 0])


def test_a_list_of_classes_takes_numbers_names_and_unknown(tmp_path: Path) -> None:
    put(tmp_path, "a")
    put(tmp_path, "b", np.zeros((16, 20), np.uint16))
    (tmp_path / "classes.csv").write_text("name,id,class\na,5,tumor\na,9,unknown\na,2,immune\n")
    first, second = read(str(tmp_path))
    assert first.class_names == ("immune", "tumor")
    assert first.classes.tolist() == [1, 2, 0]
    assert len(second.classes) == 0
    (tmp_path / "classes.csv").write_text("name,id,class\na,5,1\na,9,0\na,2,2\n")
    assert next(read(str(tmp_path))).classes.tolist() == [2, 1, 0]


def test_meta_speaks_for_all_tiles_and_a_tile_for_itself(tmp_path: Path) -> None:
    put(tmp_path, "a")
    put(tmp_path, "b")
    put_classes(tmp_path, "a", [1, 1, 1])
    put_classes(tmp_path, "b", [1, 1, 1])
    (tmp_path / "meta.toml").write_text(
        'mpp = 0.5\ntissue = "skin"\nstain = "IHC"\nlicence = "CC0"\nclass_names = ["tumor", "rest"]\n'
        '[tiles.b]\nsource = "patient 7"\nsplit = "test"\nmpp = 0.25\n'
    )
    a, b = read(str(tmp_path))
    assert (a.mpp, a.tissue, a.stain, a.licence, a.class_names) == (0.5, "skin", "IHC", "CC0", ("tumor", "rest"))
    assert (b.mpp, b.source, b.split, b.tissue) == (0.25, "patient 7", "test", "skin")


def test_tiles_in_folders_and_natural_order(tmp_path: Path) -> None:
    for name in ("slide_2/t", "slide_10/t"):
        for kind in ("images", "labels"):
            (tmp_path / kind / name).parent.mkdir(parents=True, exist_ok=True)
        put(tmp_path, name)
    assert [tile.sample_id for tile in read(str(tmp_path))] == ["slide_2/t", "slide_10/t"]


def test_written_and_read_back_identically(tmp_path: Path) -> None:
    samples = [full_sample(0), drawn_sample(1, mpp=None), drawn_sample(2, sample_id="deep/tile.v2")]
    assert write(samples, tmp_path / "out") == 3
    for found, sample in zip(read(str(tmp_path / "out")), samples, strict=True):
        assert_same(found, sample)


def test_only_what_was_written_here_is_overwritten(tmp_path: Path) -> None:
    write([drawn_sample(0)], tmp_path / "out")
    with pytest.raises(UserError, match="--overwrite"):
        write([drawn_sample(1)], tmp_path / "out")
    write([drawn_sample(1)], tmp_path / "out", overwrite=True)
    assert [tile.sample_id for tile in read(str(tmp_path / "out"))] == ["tile_1"]
    put(tmp_path / "own", "a")
    with pytest.raises(UserError, match="other things"):
        write([drawn_sample(1)], tmp_path / "own", overwrite=True)
    assert next(read(str(tmp_path / "own"))).sample_id == "a"


@pytest.mark.parametrize("name", ["../up", "/root", "a//b", ".hidden", "a/..", "a\\b"])
def test_names_that_leave_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="no file name"):
        write([drawn_sample(0, sample_id=name)], tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_two_samples_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="two samples of one name"):
        write([drawn_sample(0), drawn_sample(0)], tmp_path / "out")


def test_the_plain_layout_of_real_tiles(shared: Path) -> None:
    tiles = list(read(str(shared / "data" / "nucls")))
    index = {entry["stem"]: entry for entry in json.loads((shared / "data" / "nucls" / "index.json").read_text())}
    assert [tile.sample_id for tile in tiles] == [f"train_{k}" for k in range(1, 11)]
    for tile in tiles:
        counts = {str(kind): int(n) for kind, n in enumerate(np.bincount(tile.classes)) if n}
        assert counts == index[tile.sample_id]["class_counts"]


class TestRefused:
    """Every one names what is wrong and where."""

    def refuse(self, root: Path, message: str, where: str) -> None:
        with pytest.raises(UserError, match=message) as caught:
            list(read(str(root)))
        assert where in str(caught.value)

    def test_missing_folder(self, tmp_path: Path) -> None:
        self.refuse(tmp_path / "absent", "no such folder", "absent")
        self.refuse(tmp_path, "not a folder of tiles", str(tmp_path))

    def test_unpaired(self, tmp_path: Path) -> None:
        put(tmp_path, "a")
        put(tmp_path, "b", None)
        self.refuse(tmp_path, "an image without its label", "images/b.png")
        (tmp_path / "images" / "b.png").unlink()
        (tmp_path / "images" / "a.png").rename(tmp_path / "images" / "c.png")
        self.refuse(tmp_path, "an image without its label", "images/c.png")
        (tmp_path / "images" / "c.png").unlink()
        self.refuse(tmp_path, "a label without its image", "labels/a.png")

    def test_unpaired_classes(self, tmp_path: Path) -> None:
        put(tmp_path, "a")
        put(tmp_path, "b")
        put_classes(tmp_path, "a", [1, 1, 1])
        self.refuse(tmp_path, "an image without its list of classes", "images/b.png")

    def test_two_of_a_name(self, tmp_path: Path) -> None:
        put(tmp_path, "a")
        put(tmp_path, "a", suffix=".npy")
        self.refuse(tmp_path, "two files of one name", "labels")

    def test_sizes_differ(self, tmp_path: Path) -> None:
        put(tmp_path, "a", LABEL[:10])
        self.refuse(tmp_path, "differ in size", "'a'")

    @pytest.mark.parametrize("label", [LABEL / np.float32(2), -LABEL.astype(np.int32), LABEL.astype(np.int64) << 40])
    def test_bad_ids(self, tmp_path: Path, label: np.ndarray) -> None:
        put(tmp_path, "a", label, ".npy")
        self.refuse(tmp_path, "not instance ids", "labels/a.npy")

    def test_a_colour_picture_as_label(self, tmp_path: Path) -> None:
        put(tmp_path, "a", np.zeros((16, 20, 3), np.uint8))
        self.refuse(tmp_path, "not an instance map", "labels/a.png")

    def test_a_grey_image(self, tmp_path: Path) -> None:
        put(tmp_path, "a")
        cv2.imwrite(str(tmp_path / "images" / "a.png"), LABEL.astype(np.uint8))
        self.refuse(tmp_path, "not an RGB image", "images/a.png")

    @pytest.fixture
    def opencv_4(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A decoder that takes a part for the whole, as OpenCV 4 does."""
        monkeypatch.setattr(cv2, "imdecode", lambda *_: np.zeros((16, 20, 3), np.uint8))

    @pytest.mark.usefixtures("opencv_4")
    @pytest.mark.parametrize("cut", [0, 4, 60, -20, -4])
    def test_truncated_png(self, tmp_path: Path, cut: int) -> None:
        put(tmp_path, "a", LABEL, ".npy")
        path = tmp_path / "images" / "a.png"
        path.write_bytes(path.read_bytes()[:cut])
        self.refuse(tmp_path, "a broken file", "images/a.png")

    @pytest.mark.usefixtures("opencv_4")
    def test_damaged_png(self, tmp_path: Path) -> None:
        put(tmp_path, "a", LABEL, ".npy")
        path = tmp_path / "images" / "a.png"
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 255
        path.write_bytes(data)
        self.refuse(tmp_path, "a broken file", "images/a.png")

    @pytest.mark.parametrize("cut", [2, 300, -30, -1])
    def test_truncated_jpeg(self, tmp_path: Path, cut: int, request: pytest.FixtureRequest) -> None:
        put(tmp_path, "a", LABEL, ".npy")
        image = tmp_path / "images" / "a.png"
        jpeg = image.with_suffix(".jpg")
        cv2.imwrite(str(jpeg), cv2.imread(str(image)))
        image.unlink()
        assert len(list(read(str(tmp_path)))) == 1
        jpeg.write_bytes(jpeg.read_bytes()[:cut])
        request.getfixturevalue("opencv_4")
        self.refuse(tmp_path, "a broken file", "images/a.jpg")

    def test_truncated_tiff_and_npy(self, tmp_path: Path) -> None:
        put(tmp_path, "a", suffix=".tif")
        label = tmp_path / "labels" / "a.tif"
        whole = label.read_bytes()
        label.write_bytes(whole[: len(whole) - 8])
        self.refuse(tmp_path, "a broken file", "labels/a.tif")
        label.unlink()
        label.with_suffix(".npy").write_bytes(b"\x93NUMPY")
        self.refuse(tmp_path, "a broken file", "labels/a.npy")

    def test_class_out_of_range_before_any_pixel_is_read(self, tmp_path: Path) -> None:
        put(tmp_path, "a")
        put_classes(tmp_path, "a", [1, 4, 1])
        (tmp_path / "meta.toml").write_text('class_names = ["x", "y"]')
        (tmp_path / "images" / "a.png").write_bytes(b"")
        self.refuse(tmp_path, "a class out of range", "classes/a.npy")

    @pytest.mark.parametrize(
        ("classes", "message"),
        [([1, 1], "do not fit"), ([1, 1.5, 1], "not instance ids"), ([1, -1, 1], "not instance ids")],
    )
    def test_bad_classes(self, tmp_path: Path, classes: list[float], message: str) -> None:
        put(tmp_path, "a")
        put_classes(tmp_path, "a", classes)
        self.refuse(tmp_path, message, "classes/a.npy")

    @pytest.mark.parametrize(
        ("rows", "message", "where"),
        [
            ("a,2,1\na,5,1\n", "do not fit", "id 9 has no row"),
            ("a,2,1\na,5,1\na,9,1\na,10,1\n", "do not fit", "id 10 is in no pixel"),
            ("a,2,1\na,2,1\n", "a bad row", "line 3"),
            ("a,two,1\n", "a bad row", "line 2"),
            ("b,2,1\n", "unknown tile 'b'", "line 2"),
            ("a,2,tumour\n", "unknown class 'tumour'", "did you mean 'tumor'"),
            ("a,2,3\n", "a class out of range", "line 2"),
            ("a,²,1\n", "a bad row", "line 2"),
            ("a,٢,1\n", "a bad row", "line 2"),
            (f"a,{'2' * 5000},1\n", "a bad row", "line 2"),
            ("a,2,²\n", "unknown class '²'", "line 2"),
            (f"a,2,{2**31 - 1}\n", "a class out of range", "line 2"),
            (f"a,2,{'1' * 5000}\n", "unknown class '111", "line 2"),
        ],
    )
    def test_bad_rows(self, tmp_path: Path, rows: str, message: str, where: str) -> None:
        put(tmp_path, "a")
        (tmp_path / "classes.csv").write_text(f"name,id,class\n{rows}")
        (tmp_path / "meta.toml").write_text('class_names = ["tumor", "rest"]')
        self.refuse(tmp_path, message, where)

    def test_classes_that_are_no_byte(self, tmp_path: Path) -> None:
        put(tmp_path, "a")
        for number in (256, 2**31 - 1):
            (tmp_path / "classes.csv").write_text(f"name,id,class\na,2,1\na,5,1\na,9,{number}\n")
            self.refuse(tmp_path, rf"a class out of range(.|\n)*1..255(.|\n)*class {number}", "classes.csv")
        (tmp_path / "classes.csv").unlink()
        put_classes(tmp_path, "a", [1, 1, 2**31 - 1])
        self.refuse(tmp_path, r"a class out of range(.|\n)*1..255", "classes")

    def test_bad_header(self, tmp_path: Path) -> None:
        put(tmp_path, "a")
        (tmp_path / "classes.csv").write_text("name;id;klass\n")
        self.refuse(tmp_path, "not the table that is wanted", "classes.csv")

    @pytest.mark.parametrize(
        ("meta", "message"),
        [
            ("mmp = 0.5", "did you mean 'mpp'"),
            ("mpp = 'fine'", "a bad value for 'mpp'"),
            ("mpp = ", "not a TOML file"),
            ("[tiles.A]\nmpp = 1.0", "unknown tile"),
            ("[tiles.a]\nsorce = 'x'", "sorce"),
            ("mpp = -1.0", "a bad value for 'mpp'"),
            ("mpp = 0", "a bad value for 'mpp'"),
            ("mpp = inf", "a bad value for 'mpp'"),
            ("mpp = nan", "a bad value for 'mpp'"),
            ("[tiles.a]\nmpp = inf", "a bad value for 'tiles.a.mpp'"),
            ("[tiles.a]\npoints = [[1.0, 2.0, 257]]", "a bad value for 'tiles.a.points.0.2'"),
            ("[tiles.a]\npoints = [[1.0, 2.0, -1]]", "a bad value for 'tiles.a.points.0.2'"),
            (f"mpp = {'[' * 5000}", "not a TOML file"),
        ],
    )
    def test_bad_meta(self, tmp_path: Path, meta: str, message: str) -> None:
        put(tmp_path, "a")
        (tmp_path / "meta.toml").write_text(meta)
        self.refuse(tmp_path, message, "")
