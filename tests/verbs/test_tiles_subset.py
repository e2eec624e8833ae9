"""tiles and subset as a user calls them: names, resolutions, refusals, shares and records."""

import json
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import nucleosynth
from drawn import assert_same, drawn_sample, full_sample
from nucleosynth.cli import main
from nucleosynth.data import store
from nucleosynth.data.reader import read
from nucleosynth.data.tiles import pad_to, resample
from nucleosynth.sample import Sample

subset = import_module("nucleosynth.verbs.subset")
CUT = ["--size", "24", "--stride", "12"]


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a store of six tiles (40 x 48 px, 16 nuclei) of three sources."""
    monkeypatch.chdir(tmp_path)
    store.write([drawn_sample(k, split="test" if k > 3 else "train") for k in range(6)], "data")
    return tmp_path


def only(sample: Sample) -> Sample:
    """A store of that tile alone, in `data`."""
    store.write([sample], "data", overwrite=True)
    return sample


@pytest.mark.usefixtures("work")
def test_windows_are_crops_that_keep_all_but_their_names() -> None:
    tile = only(full_sample())
    assert main(["tiles", "data", "out", *CUT]) == 0
    found = list(read("out"))
    corners = [(top, left) for top in (0, 12, 16) for left in (0, 12, 24)]
    assert [window.sample_id for window in found] == [f"tile_0_y{top}_x{left}" for top, left in corners]
    for window, (top, left) in zip(found, corners, strict=True):
        assert_same(window, replace(tile.crop(top, left, 24, 24), sample_id=window.sample_id))


def test_the_stride_is_the_size_unless_given(work: Path) -> None:
    only(drawn_sample(0))
    nucleosynth.tiles("data", work / "out", size=20)
    names = [window.sample_id for window in read("out")]
    assert names == [f"tile_0_y{top}_x{left}" for top in (0, 20) for left in (0, 20, 28)]


def test_what_borders_cut_is_counted(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = nucleosynth.tiles("data", work / "out", size=24, stride=24, split="train")
    # Nuclei are 5 x 6 px, every 10 px; windows begin at rows 0 and 16 and at columns 0 and 24.
    assert found["tiles"] == 4
    assert found["windows"] == 16
    assert found["nuclei"] == 64
    each = [len(window.classes) for window in list(read("out"))[:4]]
    assert found["shown"] == 4 * sum(each)
    whole = {(y, x) for top in (0, 16) for left in (0, 24) for y in (0, 10, 20, 30) for x in (2, 12, 22, 32)
             if top <= y <= top + 19 and left <= x <= left + 18}  # fmt: skip
    assert found["nowhere_whole"] == 4 * (16 - len(whole))
    assert f"{found['cut']} of them cut" in " ".join(capsys.readouterr().err.split())


@pytest.mark.usefixtures("work")
def test_tiles_are_brought_to_the_resolution_first() -> None:
    only(full_sample())
    assert main(["tiles", "data", "out", "--size", "20", "--mpp", "0.5"]) == 0
    found = list(read("out"))
    whole = resample(full_sample(), 0.5)
    assert [window.sample_id for window in found] == ["tile_0_y0_x0", "tile_0_y0_x4"]
    assert_same(found[1], replace(whole.crop(0, 4, 20, 20), sample_id="tile_0_y0_x4"))


@pytest.mark.usefixtures("work")
def test_a_resolution_that_is_stated_holds_for_tiles_that_state_none_alone(
    capsys: pytest.CaptureFixture[str],
) -> None:
    store.write([drawn_sample(0, mpp=None), drawn_sample(1, mpp=0.5)], "data", overwrite=True)
    assert main(["tiles", "data", "out", "--size", "20", "--mpp", "0.5"]) == 2
    assert "unknown resolution" in (said := capsys.readouterr().err)
    assert "tile_0" in said
    assert "--source-mpp" in said
    assert main(["tiles", "data", "out", "--size", "20", "--mpp", "0.5", "--source-mpp", "0.25"]) == 0
    assert "1 of 2 tiles state no resolution" in capsys.readouterr().err
    assert [window.sample_id for window in read("out")] == [
        *("tile_0_y0_x0", "tile_0_y0_x4"),
        *(f"tile_1_y{top}_x{left}" for top in (0, 20) for left in (0, 20, 28)),
    ]
    assert {window.mpp for window in read("out")} == {0.5}


def test_a_small_tile_is_refused_before_anything_is_written_or_mirrored_and_marked(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = drawn_sample(7, size=(20, 48))
    store.write([drawn_sample(0), small], "data", overwrite=True)
    assert main(["tiles", "data", "out", *CUT]) == 2
    said = capsys.readouterr().err
    assert "smaller than the window" in said
    assert "tile_7" in said
    assert {path.name for path in work.iterdir()} == {"data"}
    assert main(["tiles", "data", "out", *CUT, "--mirror"]) == 0
    first, *_, last = read("out")
    assert "mirrored_px" not in first.quality
    assert last.quality["mirrored_px"] == {"below": 4, "right": 0}
    assert_array_equal(last.image, pad_to(small, 24).image[:, 24:])


def test_a_scheme_a_split_and_another_format(work: Path) -> None:
    (work / "two.toml").write_text('[classes]\nround = ["round"]\nrest = ["*"]\n')
    arguments = ["tiles", "data", "out", *CUT, "--to", "folder", "--split", "test", "--classes", "two.toml"]
    assert main(arguments) == 0
    found = list(read("folder:out"))
    assert {window.split for window in found} == {"test"}
    assert {window.class_names for window in found} == {("round", "rest")}
    assert main(arguments) == 2
    assert main([*arguments, "--overwrite"]) == 0


@pytest.mark.parametrize(
    "option",
    [["--size", "0"], ["--stride", "0"], ["--mpp", "-1"], ["--source-mpp", "nan"], ["--to", "stor"]],
)
def test_numbers_and_names_are_checked_first(work: Path, option: list[str]) -> None:
    assert main(["tiles", "data", "out", *option]) == 2
    assert main(["subset", "data", "out", "--nuclei", "0.5", *option]) == 2
    assert {path.name for path in work.iterdir()} == {"data"}


@pytest.mark.parametrize("by", ["clusters", "random"])
def test_a_subset_is_windows_with_the_share_of_nuclei(work: Path, by: str) -> None:
    assert main(["tiles", "data", "all", *CUT]) == 0
    assert main(["subset", "data", "some", "--nuclei", "0.5", "--by", by, "--seed", "3", *CUT]) == 0
    windows = {window.sample_id: window for window in read("all")}
    found = list(read("some"))
    for window in found:
        assert_same(window, windows[window.sample_id])
    record = json.loads((work / "some" / "_subset.json").read_text())
    assert (record["windows"], record["windows_of"]) == (len(found), len(windows))
    assert record["nuclei"] == len(seen(found))
    assert record["nuclei_of"] == 6 * 16
    assert record["reached"] == pytest.approx(record["nuclei"] / 96)
    assert abs(record["reached"] - 0.5) <= 0.005
    assert record["met"] is True
    assert (record["asked"], record["by"], record["seed"], record["data"]) == (0.5, by, 3, "data")
    assert record["command"].startswith(f"nucleosynth subset data some --nuclei 0.5 --by {by} --seed 3 ")
    texture = {"name": "texture-1", "digest": "embedded, no weights"}
    assert record["encoder"] == (texture if by == "clusters" else None)
    assert (record["clusters"] is None) == (by == "random")
    assert record["nowhere_shown"] == 0


def seen(windows: list[Sample]) -> set[tuple[str, int, int]]:
    """The nuclei of windows of drawn tiles, by tile and place: they lie 10 px apart, at rows 0.. and columns 2.. ."""
    found = set()
    for window in windows:
        name, y, x = window.sample_id.rsplit("_", 2)
        for row, column in np.argwhere(window.instances > 0):
            found.add((name, (row + int(y[1:])) // 10, (column + int(x[1:]) - 2) // 10))
    return found


def test_the_same_seed_is_the_same_subset(work: Path) -> None:
    chosen = []
    for seed in (1, 1, 2):
        nucleosynth.subset("data", work / "out", nuclei=0.4, by="random", seed=seed, size=24, stride=12, overwrite=True)
        chosen.append([window.sample_id for window in read("out")])
    assert chosen[0] == chosen[1] != chosen[2]


def test_what_cannot_be_met_is_said(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = nucleosynth.subset("data", work / "out", nuclei=0.01, size=40, stride=40)
    assert (record["met"], record["windows"]) == (False, 1)
    assert "this is the nearest" in " ".join(capsys.readouterr().err.split())


def test_the_record_lies_beside_a_folder_which_may_be_overwritten(work: Path) -> None:
    arguments = ["subset", "data", "out", "--nuclei", "0.5", "--to", "folder", *CUT]
    assert main(arguments) == 0
    assert json.loads((work / "out_subset.json").read_text())["to"] == "folder"
    assert main(arguments) == 2
    assert main([*arguments, "--overwrite"]) == 0
    assert main(["subset", "data", "out", "--nuclei", "0.5", *CUT]) == 2
    assert len(list(read("folder:out"))) > 0


def test_a_subset_is_refused_before_any_work(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused = {
        "--nuclei 0": "not a share",
        "--nuclei 0.5 --by tissue": "tissue",
        "--nuclei 0.5 --seed -1": "--seed",
        "--nuclei 0.5 --seed -1 --by random": "--seed",
        "--nuclei 0.5 --encoder textur": "did you mean 'texture'",
        "--nuclei 0.5 --encoder resnet50:absent.pth": "absent.pth",
        "--nuclei 0.5 --clusters 0 --size 24": "no clusters",
        "--nuclei 0.5 --size 64": "smaller than the window",
    }
    for options, words in refused.items():
        assert main(["subset", "data", "out", *options.split()]) == 2, options
        assert words in capsys.readouterr().err
    assert {path.name for path in work.iterdir()} == {"data"}


@pytest.mark.usefixtures("work")
def test_a_subset_of_nothing_labelled_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    only(drawn_sample(0, instances=np.zeros((40, 48), np.int32), classes=np.zeros(0, np.uint8)))
    assert main(["subset", "data", "out", "--nuclei", "0.5", *CUT]) == 2
    assert "nothing is labelled\n" in capsys.readouterr().err
    only(points_alone())
    assert main(["subset", "data", "out", "--nuclei", "0.5", *CUT]) == 2
    said = capsys.readouterr().err
    assert "nothing is labelled by masks" in said
    assert "2 points alone" in said


def points_alone() -> Sample:
    """A tile of two points, one on its border, and no mask."""
    nothing = {"instances": np.zeros((40, 48), np.int32), "classes": np.zeros(0, np.uint8)}
    points = replace(full_sample().points, xy=np.array([[47.5, 39.5], [20, 10]], np.float32))  # type: ignore[type-var]
    return replace(full_sample(), sample_id="points", labelled_as="points", points=points, **nothing)


def test_points_of_tiles_without_masks_are_counted(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store.write([drawn_sample(0), points_alone()], "data", overwrite=True)
    found = nucleosynth.tiles("data", work / "out", size=24, stride=12)
    shown = sum(len(window.points.xy) for window in read("out") if window.points)
    assert (found["points"], found["points_shown"], found["nuclei"]) == (2, shown, 16)
    assert shown == 3  # one window of nine has the corner, two the other point
    assert "3 points in windows, of 2" in " ".join(capsys.readouterr().err.split())


def test_nuclei_of_no_window_are_part_of_the_whole(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    instances = np.zeros((40, 48), np.int32)
    for k, left in enumerate((1, 9, 17, 25, 33, 41)):
        instances[:5, left : left + 4] = k + 1
    only(drawn_sample(0, instances=instances, classes=np.ones(6, np.uint8)))
    record = nucleosynth.subset("data", work / "out", nuclei=1, size=16, stride=40)
    assert (record["nuclei"], record["nuclei_of"], record["nowhere_shown"]) == (4, 6, 2)
    assert record["reached"] == pytest.approx(4 / 6)
    assert record["met"] is False
    assert "2 of the nuclei are in no window" in " ".join(capsys.readouterr().err.split())


def test_a_taken_folder_is_refused_before_windows_are_looked_at(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (work / "out").mkdir()
    (work / "out" / "notes").touch()
    monkeypatch.setattr(subset, "_look", None)
    for form in ("store", "folder"):
        assert main(["subset", "data", "out", "--nuclei", "0.5", "--to", form, *CUT]) == 2
        assert "holds other things" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("by", ["clusters", "random"])
@pytest.mark.parametrize("share", [0.1, 0.2, 0.5])
def test_the_published_shares_are_met_on_real_tiles(by: str, share: float, shared: Path, tmp_path: Path) -> None:
    record = nucleosynth.subset(f"consep:{shared / 'data' / 'consep'}", tmp_path / "out", nuclei=share, by=by)  # type: ignore[arg-type]
    assert abs(record["reached"] - share) <= 0.01 * share
    assert record["windows_of"] == 34 * 49
