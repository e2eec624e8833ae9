"""What is said of tiles beside their files: a tile's own source, the order of what was written, broken JSON."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from drawn import drawn_sample
from nucleosynth import catalog
from nucleosynth.data.meta import Meta, Tile, in_order, own_source, read_meta
from nucleosynth.errors import UserError
from nucleosynth.sample import Sample

FORMATS = ("folder", "geojson", "coco", "hovernet", "csv")
"""Those whose folders are read without meta.json too."""


def unsaid(name: str, samples: list[Sample], folder: Path) -> list[str]:
    """The sources of samples that were written in a format and lost their meta.json."""
    catalog.load("format", name)(samples, folder)
    (folder / "meta.json").unlink()
    return [tile.source for tile in catalog.load("data set", name)(str(folder))]


@pytest.mark.parametrize("name", FORMATS)
def test_a_tile_is_its_own_source_by_its_pixels_not_its_folder(name: str, tmp_path: Path) -> None:
    samples = [drawn_sample(0), drawn_sample(1)]
    here, there = (unsaid(name, samples, tmp_path / folder) for folder in ("here", "there"))
    assert here == there == [own_source(name, each.sample_id, each.image) for each in samples]
    assert here[0].startswith(f"{name}/tile_0@")
    assert len(here[0].partition("@")[2]) == 8


def test_tiles_of_one_name_and_different_pixels_are_different_sources() -> None:
    tile = drawn_sample(0)
    other = tile.image.copy()
    other[-1, -1, -1] ^= 1
    assert own_source("folder", "a", tile.image) == own_source("folder", "a", tile.image.copy())
    sources = {own_source("folder", "a", tile.image), own_source("folder", "a", other)}
    assert len(sources | {own_source("folder", "b", tile.image), own_source("coco", "a", tile.image)}) == 4
    assert own_source("folder", "a", np.zeros((1, 1, 3), np.uint8)) == "folder/a@709e80c8"


@pytest.mark.parametrize("name", FORMATS)
def test_a_folder_of_ours_is_read_in_the_order_in_which_it_was_written(name: str, tmp_path: Path) -> None:
    written = ["tile_10", "b/tile_3", "tile_2", "a/tile_1"]
    samples = [replace(drawn_sample(k), sample_id=each) for k, each in enumerate(written)]
    catalog.load("format", name)(samples, tmp_path / "out")
    assert [tile.sample_id for tile in catalog.load("data set", name)(str(tmp_path / "out"))] == written


def test_the_order_of_a_folder_of_others_is_natural() -> None:
    named = {"tile_10": Tile(), "tile_2": Tile()}
    assert in_order(["tile_2", "tile_10"], Meta(tiles=named)) == ["tile_2", "tile_10"]
    assert in_order(["tile_2", "tile_10"], Meta(tiles=named, written_by="nucleosynth")) == ["tile_10", "tile_2"]
    half = Meta(tiles={"tile_10": Tile()}, written_by="nucleosynth")
    assert in_order(["tile_2", "tile_10"], half) == ["tile_2", "tile_10"]


@pytest.mark.parametrize("said", ['"mpp": Infinity', '"mpp": NaN', '"mpp": -1', '"mpp": 0'])
def test_a_resolution_that_is_none_is_refused(tmp_path: Path, said: str) -> None:
    (tmp_path / "meta.json").write_text(f"{{{said}}}")
    with pytest.raises(UserError, match=r"a bad value for 'mpp'(.|\n)*meta.json"):
        read_meta(tmp_path)


@pytest.mark.parametrize(("file", "message"), [("meta.json", "not a JSON file"), ("meta.toml", "not a TOML file")])
@pytest.mark.parametrize("pair", ["[]", "{}"])
def test_what_is_nested_without_end_is_refused(tmp_path: Path, file: str, message: str, pair: str) -> None:
    opening, closing = pair
    inner = {"[": "", "{": "1"}[opening]
    before = '{"a": ' if file == "meta.json" else "a = "
    opened = {"[": "[", "{": '{"a": ' if file == "meta.json" else "{a = "}[opening]
    text = before + opened * 50000 + inner + closing * 50000 + ("}" if file == "meta.json" else "")
    (tmp_path / file).write_text(text)
    with pytest.raises(UserError, match=rf"{message}(.|\n)*{file}"):
        read_meta(tmp_path)
