"""`fit --without`, and `generate --caption` by itself and beside a given side."""

from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

import nucleosynth
from nucleosynth import catalog
from nucleosynth.cli import main
from nucleosynth.config import read_toml
from nucleosynth.data import store
from nucleosynth.data.reader import read
from nucleosynth.errors import UserError
from nucleosynth.run import Run
from nucleosynth.verbs.fit import ablated, with_file

fit_module = import_module("nucleosynth.verbs.fit")  # the package's own name `fit` is the verb

DATA = "phantom:tiles=3&size=64&sources=3"
MICRO = (
    "tile=32",
    "network.width=16",
    "network.multipliers=[1, 2]",
    "network.blocks=[0, 0]",
    "network.attention=[false, true]",
    "network.heads=2",
    "network.head_channels=8",
    "network.context=16",
    "network.stem=16",
    "network.latents=2",
    "network.points.width=8",
    "network.points.growth=4",
    "training.batch=2",
    "sampling.steps=2",
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fit") / "run"
    nucleosynth.fit("cosyn", data=DATA, run=folder, steps=2, set=MICRO, without="distance, counts")
    return folder


def test_parts_are_left_out(run: Path) -> None:
    assert Run.open(run).record.settings["without"] == ["distance", "counts"]


def test_a_file_may_name_the_parts(tmp_path: Path) -> None:
    lines = ['method = "cosyn"', f'data = "{DATA}"', 'without = "points,text"', "steps = 1", "[settings]"]
    (tmp_path / "x.toml").write_text("\n".join(lines))
    made = nucleosynth.fit(config=tmp_path / "x.toml", run=tmp_path / "run", set=MICRO)
    assert made.record.settings["without"] == ["points", "text"]


@pytest.mark.parametrize(
    ("preset", "parts", "whole"),
    [
        ("paper", "points", ("counts", "points")),
        ("gcdp", "counts", ("points", "distance", "counts")),
        ("gcdp", "text,points", ("points", "distance", "counts", "text")),
        ("tiny", "", ()),
    ],
)
def test_parts_are_left_out_beside_those_of_the_preset(preset: str, parts: str, whole: tuple[str, ...]) -> None:
    settings = catalog.load("method", "cosyn").presets[preset]
    assert ablated("cosyn", settings, parts).model_dump()["without"] == whole


def test_parts_are_left_out_beside_those_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text('without = ["distance"]')
    assert with_file(tmp_path / "x.toml", {"without": "points, text"})[0]["without"] == ["distance", "points", "text"]


@pytest.mark.parametrize("preset", ["tiny", "base", "paper", "gcdp"])
def test_the_config_of_gcdp_is_gcdp_at_every_preset(preset: str) -> None:
    table = read_toml(Path(__file__).parents[2] / "configs" / "gcdp_pannuke.toml")
    settings = catalog.load("method", "cosyn").presets[preset]
    assert set(ablated("cosyn", settings, table["without"]).model_dump()["without"]) == {"points", "distance", "counts"}


@pytest.mark.parametrize(
    ("method", "parts", "words"),
    [
        ("jointflow", "points", "no parts that it can do without"),
        ("cosyn", "points,image", "unknown part 'image'"),
        ("cosyn", "point", "did you mean 'points'"),
        ("gcdp", "points", "cosyn --preset gcdp"),
    ],
)
def test_refused_before_training(
    method: str, parts: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["fit", method, "--data", DATA, "--run", str(tmp_path / "run"), "--without", parts]
    assert main(arguments) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_caption_by_itself_asks_for_nothing_else(run: Path, tmp_path: Path) -> None:
    out = nucleosynth.generate(run, out=tmp_path / "out", n=2, caption="a gland", batch=2)
    found = list(read(str(out)))
    assert [sample.caption for sample in found] == ["a gland"] * 2
    assert [sample.provenance["condition"]["given"] for sample in found] == [["caption"]] * 2
    assert np.any(found[0].image != found[1].image)
    with pytest.raises(UserError, match="another"):
        nucleosynth.generate(run, out=tmp_path / "out", n=4, caption="another", batch=2)


def test_a_caption_goes_beside_points(run: Path, tmp_path: Path) -> None:
    out = nucleosynth.generate(run, out=tmp_path / "out", points=DATA, split="test", caption="a gland", batch=2)
    for sample in read(str(out)):
        assert sample.caption == "a gland"
        assert {"caption", "points"} <= set(sample.provenance["condition"]["given"])


@pytest.fixture
def captioned(tmp_path: Path) -> str:
    """A store of three tiles; the last has no caption of its own."""
    (tile,) = read(DATA, "test")
    own = enumerate(("mine", "yours", ""))
    store.write([replace(tile, sample_id=f"tile_{k}", caption=caption) for k, caption in own], tmp_path / "own")
    return str(tmp_path / "own")


def test_a_tile_s_own_caption_goes_first(run: Path, captioned: str, tmp_path: Path) -> None:
    first, second, bare = read(str(nucleosynth.generate(run, out=tmp_path / "out", points=captioned, batch=2)))
    assert (first.caption, second.caption) == ("mine", "yours")
    assert bare.caption.startswith("high quality histopathology")
    given = [sample.provenance["condition"]["given"] for sample in (first, second, bare)]
    assert [("caption" in each, "points" in each) for each in given] == [(True, True), (True, True), (False, True)]


def test_windows_have_their_tile_s_caption(run: Path, captioned: str, tmp_path: Path) -> None:
    out = nucleosynth.generate(run, out=tmp_path / "out", points=captioned, size=32, n=5, batch=2)
    assert [sample.caption for sample in read(str(out))] == [*["mine"] * 4, "yours"]


def test_a_caption_of_the_command_line_goes_before_the_tiles_own(run: Path, captioned: str, tmp_path: Path) -> None:
    out = nucleosynth.generate(run, out=tmp_path / "out", points=captioned, caption="a gland", batch=2)
    assert [sample.caption for sample in read(str(out))] == ["a gland"] * 3


def test_a_model_without_text_is_told_no_tile_s_caption(captioned: str, tmp_path: Path) -> None:
    nucleosynth.fit("cosyn", data=DATA, run=tmp_path / "run", steps=1, set=MICRO, without="text")
    out = nucleosynth.generate(tmp_path / "run", out=tmp_path / "out", points=captioned, batch=2)
    assert ["caption" in sample.provenance["condition"]["given"] for sample in read(str(out))] == [False] * 3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--counts", DATA], "a model without counts"),
        (["--labels", DATA], "a method that does: jointflow, nudiff, sdm, diffmix"),
        (["--caption", " "], "an empty caption"),
        (["--size", "80"], "at most 64 px"),
    ],
)
def test_generate_refuses_before_it_writes_or_works(
    run: Path, options: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["generate", str(run), "--out", str(tmp_path / "out"), "--n", "1", *options]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_what_a_model_was_built_without_needs_no_checkpoint_to_be_refused(run: Path, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_bytes((run / "run.json").read_bytes())
    with pytest.raises(UserError, match="no --counts"):
        nucleosynth.generate(tmp_path, out=tmp_path / "out", counts=DATA)


def test_pairs_tell_which_parts_their_model_lacks(run: Path, tmp_path: Path) -> None:
    (pair,) = read(str(nucleosynth.generate(run, out=tmp_path / "out", n=1, batch=1)))
    assert (pair.provenance["preset"], pair.provenance["without"]) == ("tiny", ["distance", "counts"])


ABSENT = "absent-owner/absent-model"


def test_files_that_are_not_there_are_missed_before_the_tiles_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(fit_module, "training_tiles", lambda *_: pytest.fail("tiles are read"))
    words = ["fit", "cosyn", "--data", DATA, "--run", str(tmp_path / "run"), "--set", f"text=t5:{ABSENT}"]
    assert main(words) == 2
    assert f"no files for t5:{ABSENT}" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_study_misses_a_recipe_s_files_before_it_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kind = catalog.load("method", "cosyn")
    absent = kind.presets["gcdp"].model_copy(update={"text": f"t5:{ABSENT}"})
    monkeypatch.setattr(kind, "presets", {**kind.presets, "gcdp": absent})
    words = ["study", "--data", DATA, "--arm", "real", "--arm", "real+cosyn:gcdp", "--run", str(tmp_path / "study")]
    assert main(words) == 2
    assert f"no files for t5:{ABSENT}" in capsys.readouterr().err
    assert not (tmp_path / "study").exists()
