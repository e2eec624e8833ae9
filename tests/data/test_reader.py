"""DATA: names and paths become readers, splits are kept by source."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from drawn import drawn_sample
from nucleosynth import catalog
from nucleosynth.data import store
from nucleosynth.data.findings import REPAIRS
from nucleosynth.data.reader import read, resolve, split_by_source
from nucleosynth.errors import UserError
from nucleosynth.formats import geojson
from nucleosynth.sample import Sample


def test_names_and_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve(f"folder:{tmp_path}") == (catalog.load("data set", "folder"), str(tmp_path))
    assert resolve(str(tmp_path)) == (store.read, str(tmp_path))
    assert resolve("phantom:") == (catalog.load("data set", "phantom"), "")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a:b").mkdir()
    assert resolve("a:b") == (store.read, "a:b")


def test_unknown_names_and_paths() -> None:
    with pytest.raises(UserError, match="did you mean 'folder'"):
        resolve("foldr:x")
    with pytest.raises(UserError, match="write folder:some/where"):
        resolve("some/where")


def test_a_split_is_kept(tmp_path: Path) -> None:
    samples = [drawn_sample(0, split="train"), drawn_sample(2, split="test"), drawn_sample(4, split="")]
    store.write(samples, tmp_path / "out")
    assert [tile.sample_id for tile in read(str(tmp_path / "out"), "test")] == ["tile_2"]
    assert len(list(read(str(tmp_path / "out")))) == 3


def test_several_splits_are_kept_whatever_the_blanks_between_them(tmp_path: Path) -> None:
    store.write([drawn_sample(2 * k, split=name) for k, name in enumerate(("train", "test", "val"))], tmp_path / "out")
    for asked in ("train,val", "train, val", " val ,train "):
        assert [tile.split for tile in read(str(tmp_path / "out"), asked)] == ["train", "val"]


@pytest.mark.parametrize("asked", ["tset", "train,tset", "tset, train"])
def test_a_split_that_no_tile_has_is_refused(tmp_path: Path, asked: str) -> None:
    store.write([drawn_sample(0), drawn_sample(2, split="test")], tmp_path / "out")
    with pytest.raises(UserError, match=r"tiles of split 'tset'\n(.|\n)*test, train") as caught:
        list(read(str(tmp_path / "out"), asked))
    assert caught.value.mend


def test_repairs_of_this_reading_are_told_and_those_of_before_are_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    geojson.write([drawn_sample(0, quality={REPAIRS: {"px mended before": 5}})], tmp_path / "out")
    label = tmp_path / "out/labels/tile_0.geojson"
    content = json.loads(label.read_text())
    content["features"].append({**content["features"][0], "geometry": {"type": "Point", "coordinates": [1, 1]}})
    label.write_text(json.dumps(content))
    (tile,) = read(f"geojson:{tmp_path / 'out'}")
    told = capsys.readouterr()
    assert "px mended before" in tile.quality[REPAIRS]
    assert "px mended before" not in told.out + told.err
    assert "repaired: Point features, which outline nothing, left out: 1: tile_0" in " ".join(
        (told.out + told.err).split()
    )


def test_a_source_in_two_splits_is_refused(tmp_path: Path) -> None:
    store.write([drawn_sample(0, split="train"), drawn_sample(1, split="test")], tmp_path / "out")
    with pytest.raises(UserError, match="a source in two splits"):
        list(read(str(tmp_path / "out"), "train"))


@pytest.mark.parametrize("seed", range(5))
def test_splits_by_source_cut_no_source_and_lose_no_tile(seed: int) -> None:
    samples = [drawn_sample(k) for k in range(12)]

    def once() -> Iterator[Sample]:
        yield from samples

    train, test = split_by_source(once(), 0.3, seed)
    assert {tile.source for tile in train}.isdisjoint(tile.source for tile in test)
    assert {tile.sample_id for tile in [*train, *test]} == {tile.sample_id for tile in samples}
    assert len({tile.source for tile in test}) == 2
    again = split_by_source(samples, 0.3, seed)[1]
    assert [tile.sample_id for tile in again] == [tile.sample_id for tile in test]


def test_one_source_cannot_be_split() -> None:
    with pytest.raises(UserError, match="two sources"):
        split_by_source([drawn_sample(0), drawn_sample(1)], 0.5, 0)
