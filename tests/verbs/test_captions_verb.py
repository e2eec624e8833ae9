"""`nucleosynth captions`: sentences for tiles, learned from training tiles alone; users' own go first."""

import json
from pathlib import Path

import numpy as np
import pytest

import nucleosynth
from drawn import CLASS_NAMES, drawn_sample
from nucleosynth.cli import main
from nucleosynth.conditions import captions as cosyn
from nucleosynth.conditions.pathology_captions import PathologyCaptions
from nucleosynth.data import store
from nucleosynth.data.reader import read


@pytest.fixture(autouse=True)
def tiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store of three training tiles, the last with a caption, and a test tile full of one type."""
    monkeypatch.chdir(tmp_path)
    made = [drawn_sample(k, source=f"s/{k}", caption="mine" if k == 2 else "") for k in range(3)]
    tests = drawn_sample(3, source="s/3", split="test")
    object.__setattr__(tests, "classes", np.full_like(tests.classes, 2))
    store.write([*made, tests], tmp_path / "tiles")
    return tmp_path


def test_the_percentiles_are_those_of_the_training_tiles(tiles: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["captions", "tiles", "--out", "told", "--json", "captions.json"]) == 0
    train = PathologyCaptions.fit(read("tiles", "train"))
    assert train != PathologyCaptions.fit(read("tiles"))
    expected = {tile.sample_id: train.of_sample(tile) for tile in read("tiles")}
    found = json.loads((tiles / "captions.json").read_text())
    assert found["captions"] == expected == {tile.sample_id: tile.caption for tile in read("told")}
    assert found["percentiles"] == train.model_dump(mode="json")["spreads"]
    assert expected["tile_2"] == "mine"
    assert expected["tile_3"].endswith("image of long tissue, many long")
    said = capsys.readouterr()
    assert "mine" in said.out
    assert "4 tiles with captions written to told" in said.err
    assert nucleosynth.captions("tiles", split="test") == {"tile_3": expected["tile_3"]}


@pytest.mark.parametrize(("asked", "counted"), [("fold1,fold2", (0, 1)), ("fold3", (2,)), (None, (0, 1, 2))])
def test_without_a_training_split_those_asked_for_are_counted(
    asked: str | None, counted: tuple[int, ...], tiles: Path
) -> None:
    folds = [drawn_sample(k, (40, 48 + 40 * k), source=f"s/{k}", split=f"fold{k + 1}") for k in range(3)]
    store.write(folds, tiles / "folds")
    spreads = PathologyCaptions.fit([folds[k] for k in counted])
    found = nucleosynth.captions("folds", split=asked, json=tiles / "captions.json")
    assert found == {folds[k].sample_id: spreads.of_sample(folds[k]) for k in counted}
    told = json.loads((tiles / "captions.json").read_text())
    assert told["percentiles"] == spreads.model_dump(mode="json")["spreads"]
    others = PathologyCaptions.fit(folds) if asked else PathologyCaptions.fit(folds[:2])
    assert spreads != others


def test_cosyn_s_sentence() -> None:
    found = nucleosynth.captions("tiles", style="cosyn", anew=True)
    assert found["tile_3"] == "high quality histopathology colon tissue image including nuclei types of long"
    assert found["tile_2"].startswith("high quality")
    assert nucleosynth.captions("tiles", style="cosyn")["tile_2"] == "mine"
    assert found["tile_0"] == cosyn.of_sample(next(read("tiles")))
    assert set(CLASS_NAMES) & set(found["tile_0"].replace(",", "").split())


def test_a_user_s_own_column_goes_first(tiles: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tiles / "own.csv").write_text('caption;sample_id\n"glands; many";tile_0\n"";tile_1\nother;tile_2\n')
    found = nucleosynth.captions("tiles", table=Path("own.csv"), out=Path("told"))
    assert (found["tile_0"], found["tile_2"]) == ("glands; many", "other")
    assert found["tile_1"].startswith("Colon image of")
    assert [tile.caption for tile in read("told")] == list(found.values())
    (tiles / "own.csv").write_text("sample_id,caption\ntile_0,a\nslide_9,b\ntile_8,b\n")
    assert main(["captions", "tiles", "--table", "own.csv", "--out", "others"]) == 2
    assert "'slide_9' and 1 more" in capsys.readouterr().err
    assert not (tiles / "others").exists()
    (tiles / "own.csv").write_text("sample_id,caption\ntile_0,a\ntile_0,b\n")
    assert main(["captions", "tiles", "--table", "own.csv"]) == 2
    assert "own.csv, line 3" in capsys.readouterr().err


def test_a_store_is_replaced_only_if_asked() -> None:
    assert main(["captions", "tiles", "--out", "told"]) == 0
    assert main(["captions", "tiles", "--out", "told", "--style", "cosyn"]) == 2
    assert main(["captions", "tiles", "--out", "told", "--style", "cosyn", "--overwrite"]) == 0
    assert next(read("told")).caption.startswith("high quality")
