"""`layouts fit`, `layouts sample` and `generate --points TABLE`, as a user calls them."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import nucleosynth
from drawn import drawn_sample
from nucleosynth.cli import main
from nucleosynth.data import store
from nucleosynth.data.reader import read
from nucleosynth.errors import UserError
from nucleosynth.layouts import table
from nucleosynth.layouts.asking import layout_conditions

DATA = "phantom:tiles=4&size=64&sources=4"
MICRO = ("tile=32", "network.widths=[16, 32]", "network.blocks=[1, 1]", "network.attention=[false, true]")
MICRO += ("network.embedding=32", "training.batch=4", "sampling.steps=2", "sampling.guided_steps=2")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library, and layouts made from it."""
    folder = tmp_path_factory.mktemp("layouts")
    assert main(["layouts", "fit", DATA, "--out", str(folder / "library.parquet")]) == 0
    sample = ["layouts", "sample", str(folder / "library.parquet"), "--out", str(folder / "made.parquet")]
    assert main([*sample, "--n", "5", "--size", "40", "--mpp", "0.5", "--seed", "3"]) == 0
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("fit") / "run"
    nucleosynth.fit("jointflow", data=DATA, run=run, steps=2, set=MICRO)
    return run


def test_the_library_is_of_the_training_split_alone(folder: Path) -> None:
    wanted = {tile.source for tile in read(DATA, "train")}
    assert {each.source for each in table.read(folder / "library.parquet")} == wanted
    assert wanted < {tile.source for tile in read(DATA)}


def test_a_test_split_is_refused_even_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["layouts", "fit", DATA, "--split", "test", "--out", str(tmp_path / "l.parquet")]) == 2
    assert "held-out tile" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("splits", [("fold1", "fold2", "fold3"), ("Train", "Test"), ("", "fold1"), ("Test", "Val")])
def test_without_a_split_called_train_the_splits_must_be_told(
    splits: tuple[str, ...], write: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write("tiles", *splits)
    assert main(["layouts", "fit", data, "--out", "l.parquet"]) == 2
    said = capsys.readouterr().err
    assert ", ".join(repr(name) for name in sorted(splits) if name) in said
    assert ("--split " in said.partition("mend:")[2]) == (splits[0] != "Test")
    assert not (tmp_path / "l.parquet").exists()


def test_folds_that_are_told_are_the_library(write: Callable[..., str]) -> None:
    data = write("tiles", "fold1", "fold2", "fold3")
    assert main(["layouts", "fit", data, "--split", "fold1,fold3", "--out", "l.parquet"]) == 0
    assert [each.source for each in table.read(Path("l.parquet"))] == ["tiles/0", "tiles/2"]


def test_data_without_splits_are_all_the_library(write: Callable[..., str]) -> None:
    assert main(["layouts", "fit", write("tiles", "", ""), "--out", "l.parquet"]) == 0
    assert len(table.read(Path("l.parquet"))) == 2


def test_layouts_have_their_size_their_picture_and_their_seed(folder: Path, tmp_path: Path) -> None:
    made = table.read(folder / "made.parquet")
    assert [each.name for each in made] == [f"layout_3_{k:06d}" for k in range(5)]
    assert {each.size_um for each in made} == {(20.0, 20.0)}
    picture = cv2.imread(str(folder / "made.png"))
    assert picture is not None
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 10
    more = nucleosynth.layouts.sample(
        folder / "library.parquet", out=tmp_path / "m.parquet", n=7, size=40, mpp=0.5, seed=3
    )
    for one, two in zip(made, table.read(more)[:5], strict=True):
        assert_array_equal(one.xy_um, two.xy_um)


def test_shares_of_transforms_are_settings(folder: Path, tmp_path: Path) -> None:
    out = nucleosynth.layouts.sample(folder / "library.parquet", out=tmp_path / "m.parquet", n=6, set=["generate=1"])
    names = [[record["name"] for record in each.operations] for each in table.read(out)]
    assert all("generate" in each for each in names)
    with pytest.raises(UserError, match="did you mean 'generate'"):
        nucleosynth.layouts.sample(folder / "library.parquet", out=tmp_path / "n.parquet", set=["generat=1"])


def test_a_library_of_a_store_and_one_of_a_table(tmp_path: Path) -> None:
    tile = drawn_sample(0)
    store.write([tile], tmp_path / "tiles")
    assert main(["layouts", "fit", str(tmp_path / "tiles"), "--out", str(tmp_path / "a.parquet")]) == 0
    again = nucleosynth.layouts.fit(str(tmp_path / "a.parquet"), out=tmp_path / "b.parquet")
    assert_array_equal(table.read(again)[0].classes, tile.classes)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fit", DATA, "--out", "l.txt"], "a file *.parquet"),
        (["fit", "t.parquet", "--split", "x", "--out", "l.parquet"], "neither splits nor schemes"),
        (["sample", "absent.parquet", "--out", "l.parquet"], "no such file"),
        (["sample", "t.parquet", "--out", "l.parquet", "--n", "0"], "--n is too small"),
        (["sample", "t.parquet", "--out", "t.parquet"], "there already"),
    ],
)
def test_refused_with_one_message(
    arguments: list[str], words: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    (tmp_path / "t.parquet").write_bytes((folder / "library.parquet").read_bytes())
    monkeypatch.chdir(tmp_path)
    assert main(["layouts", *arguments]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert "where:" in said
    assert "mend:" in said
    assert [path.name for path in tmp_path.iterdir()] == ["t.parquet"]


def test_pairs_for_sampled_layouts_keep_their_record(folder: Path, run: Path, tmp_path: Path) -> None:
    made = table.read(folder / "made.parquet")
    out = nucleosynth.generate(run, out=tmp_path / "out", points=str(folder / "made.parquet"), batch=2)
    found = list(read(str(out)))
    assert [sample.sample_id for sample in found] == [each.name for each in made]
    for sample, asked in zip(found, made, strict=True):
        assert (sample.size, sample.mpp) == ((40, 40), 0.5)
        assert sample.points is not None
        assert_allclose(sample.points.xy, asked.layout(0.5).xy)
        told = sample.provenance["condition"]
        assert told["operations"] == list(asked.operations)
        assert (told["source"], told["given"]) == (asked.source, ["points"])
        assert set(asked.licence.split("; ")) <= set(sample.licence.split("; "))


def test_windows_of_layouts(folder: Path, run: Path, tmp_path: Path) -> None:
    layouts = str(folder / "made.parquet")
    out = nucleosynth.generate(run, out=tmp_path / "out", points=layouts, size=32, n=6, batch=2)
    found = list(read(str(out)))
    assert {sample.size for sample in found} == {(32, 32)}
    assert [sample.sample_id[-6:] for sample in found[:4]] == [f"_y{top}_x{left}" for top in (0, 8) for left in (0, 8)]
    with pytest.raises(UserError, match="windows do not fit"):
        nucleosynth.generate(run, out=tmp_path / "none", points=layouts, size=64)


def test_classes_that_the_model_does_not_know_and_no_resolution(folder: Path) -> None:
    with pytest.raises(UserError, match="not known here"):
        list(layout_conditions(folder / "made.parquet", ("martian",), 0.5))
    with pytest.raises(UserError, match="unknown resolution"):
        list(layout_conditions(folder / "made.parquet", ("martian",), None))
