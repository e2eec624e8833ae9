"""fit and generate as a user calls them: options, files, refusals, stops and continuations."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nucleosynth
from drawn import drawn_sample
from nucleosynth import catalog
from nucleosynth.cli import main
from nucleosynth.config import resolve
from nucleosynth.data.reader import read
from nucleosynth.data.store import write
from nucleosynth.errors import MachineError, UserError
from nucleosynth.methods.jointflow import JointFlow
from nucleosynth.methods.pix2pixhd import Pix2PixHD
from nucleosynth.run import Run
from nucleosynth.sample import Sample
from nucleosynth.verbs.cost import _flop
from nucleosynth.verbs.fit import assignments, training_tiles

MICRO = (
    "tile=32",
    "network.widths=[16, 32]",
    "network.blocks=[1, 1]",
    "network.attention=[false, true]",
    "network.embedding=32",
    "training.batch=4",
    "sampling.steps=2",
    "sampling.guided_steps=2",
)
DATA = "phantom:tiles=4&size=64&sources=4"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fit") / "run"
    nucleosynth.fit("jointflow", data=DATA, run=folder, steps=2, set=MICRO)
    return folder


def test_the_record_says_all(run: Path) -> None:
    record = Run.open(run).record
    assert (record.method, record.preset, record.data, record.seed) == ("jointflow", "tiny", DATA, 0)
    assert record.settings["network"]["widths"] == [16, 32]
    assert {entry.source for entry in record.training_sources} == {f"phantom/s0{k}" for k in range(3)}
    assert (run / "checkpoints" / "flow.safetensors").is_file()
    assert list((run / "pictures").glob("*.png"))


def test_pairs_land_in_a_store_with_a_sheet(run: Path, tmp_path: Path) -> None:
    out = nucleosynth.generate(run, out=tmp_path / "out", n=5, seed=7, batch=4)
    samples = list(read(str(out)))
    assert [sample.sample_id for sample in samples] == [f"jointflow_7_{k:06d}" for k in range(5)]
    assert (out / "_contact_sheet.png").is_file()


def test_the_same_sample_whatever_n(run: Path, tmp_path: Path) -> None:
    few = nucleosynth.generate(run, out=tmp_path / "few", n=3, seed=7, batch=4)
    many = nucleosynth.generate(run, out=tmp_path / "many", n=9, seed=7, batch=4)
    for first, second in zip(read(str(few)), list(read(str(many)))[:3], strict=True):
        np.testing.assert_array_equal(first.image, second.image)
        np.testing.assert_array_equal(first.instances, second.instances)


@pytest.mark.parametrize("side", ["points", "counts", "labels", "images"])
def test_a_given_side_is_kept(run: Path, tmp_path: Path, side: str) -> None:
    given = list(read(DATA, "test"))
    arguments: dict[str, Any] = {side: DATA, "split": "test"}
    out = nucleosynth.generate(run, out=tmp_path / "out", batch=2, **arguments)
    found = list(read(str(out)))
    assert [sample.sample_id for sample in found] == [sample.sample_id for sample in given]
    for sample, asked in zip(found, given, strict=True):
        assert sample.size == asked.size
        assert (sample.caption, "caption" in sample.provenance["condition"]["given"]) == (
            asked.caption,
            bool(asked.caption),
        )
        if side == "labels":
            np.testing.assert_array_equal(sample.instances, asked.instances)
        if side == "images":
            np.testing.assert_array_equal(sample.image, asked.image)
        if side == "points":
            assert sample.points is not None
            assert len(sample.points.xy) == len(asked.classes)


def test_given_tiles_are_cut_and_used_again(run: Path, tmp_path: Path) -> None:
    out = nucleosynth.generate(run, out=tmp_path / "out", n=6, labels=DATA, split="test", size=32, batch=2)
    found = list(read(str(out)))
    assert [sample.size for sample in found] == [(32, 32)] * 6
    assert found[0].sample_id.endswith("_y0_x0")
    assert found[4].sample_id == f"{found[0].sample_id}~1"
    np.testing.assert_array_equal(found[4].instances, found[0].instances)


def test_an_unfinished_store_is_continued(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = nucleosynth.generate(run, out=tmp_path / "whole", n=70, batch=16)
    honest = JointFlow.generate

    def failing(self: JointFlow, *arguments: Any, **options: Any) -> Iterator[Sample]:
        for k, sample in enumerate(honest(self, *arguments, **options)):
            if k == 66:
                raise OSError(28, "No space left on device")
            yield sample

    monkeypatch.setattr(JointFlow, "generate", failing)
    with pytest.raises(MachineError, match="64 of 70 samples are whole"):
        nucleosynth.generate(run, out=tmp_path / "parts", n=70, batch=16)
    monkeypatch.undo()
    with pytest.raises(UserError, match="seed"):
        nucleosynth.generate(run, out=tmp_path / "parts", n=70, batch=16, seed=8)
    first = (tmp_path / "parts" / "part-00000000.parquet").stat().st_mtime_ns
    parts = nucleosynth.generate(run, out=tmp_path / "parts", n=70, batch=16)
    assert (tmp_path / "parts" / "part-00000000.parquet").stat().st_mtime_ns == first
    for made, again in zip(read(str(whole)), read(str(parts)), strict=True):
        np.testing.assert_array_equal(made.image, again.image)


def test_settings_from_a_file_and_the_command_line(tmp_path: Path) -> None:
    lines = ['method = "jointflow"', f'data = "{DATA}"', "steps = 1", "seed = 4", "[settings]", "tile = 32"]
    lines += ["network = {widths = [16, 32], blocks = [1, 1], attention = [false, true], embedding = 32}"]
    (tmp_path / "x.toml").write_text("\n".join(lines))
    changes = ("training.batch=2", "mpp=none")
    run = nucleosynth.fit(config=tmp_path / "x.toml", run=tmp_path / "run", seed=6, set=changes)
    assert (run.record.seed, run.record.settings["training"]["batch"], run.record.settings["mpp"]) == (6, 2, None)


def test_without_a_split_held_out_tiles_are_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No split is called "train"; "Test" says what it is, "one" does not."""
    tiles = [drawn_sample(k, split=split, source=f"drawn/{k}") for k, split in enumerate(("one", "Test", ""))]
    write(iter(tiles), tmp_path / "all")
    assert {tile.split for tile in training_tiles(str(tmp_path / "all"))} == {"one", ""}
    assert "without those of 'Test'" in capsys.readouterr().err
    assert {tile.split for tile in training_tiles(str(tmp_path / "all"), "Test")} == {"Test"}
    write(iter(tiles[1:2]), tmp_path / "held")
    with pytest.raises(UserError, match=r"none but held-out tiles(.|\n)*--split Test"):
        training_tiles(str(tmp_path / "held"))
    write(
        (replace(tile, split=split) for tile, split in zip(tiles, ("train", "one", ""), strict=True)),
        tmp_path / "named",
    )
    assert [tile.split for tile in training_tiles(str(tmp_path / "named"))] == ["train"]


def test_none_is_nothing_or_a_name() -> None:
    """`mpp` takes no resolution, the critic's norm is one of its names; a number is neither."""
    changes = assignments(["mpp=none", "critic.norm=none"])
    chosen = resolve(Pix2PixHD.presets["tiny"], changes, "--set")
    assert (chosen.mpp, chosen.critic.norm) == (None, "none")  # type: ignore[attr-defined]
    with pytest.raises(UserError, match=r"bad value for 'critic\.width'"):
        resolve(Pix2PixHD.presets["tiny"], assignments(["critic.width=none"]), "--set")


FIT = ["fit", "jointflow", "--data", DATA, "--run", "R"]
REFUSED = {
    "unknown method": (["fit", "jointflo", *FIT[2:]], "did you mean 'jointflow'"),
    "unknown part": (["fit", "clp", *FIT[2:]], "did you mean 'clip'"),
    "unknown preset": ([*FIT, "--preset", "tinny"], "did you mean 'tiny'"),
    "unknown setting": ([*FIT, "--set", "tyle=3"], "did you mean 'tile'"),
    "bad setting": ([*FIT, "--set", "tile=big"], "bad value for 'tile'"),
    "tile that cannot be halved": ([*FIT, "--set", "tile=33"], "got:      tile is 33"),
    "no data": (["fit", "jointflow", "--run", "R"], "no data"),
    "missing data": (["fit", "jointflow", "--data", "consep:/nowhere", "--run", "R"], "/nowhere"),
    "two budgets": ([*FIT, "--steps", "1", "--minutes", "1"], "budget"),
    "nothing to resume": ([*FIT, "--steps", "1", "--resume"], "nothing to resume"),
    "no run": (["generate", "R", "--n", "4", "--out", "O"], "nucleosynth fit METHOD --data DATA --run R"),
    "unknown config": (["fit", "--config", "absent.toml", "--run", "R"], "absent.toml"),
    "a preset as a method": (["cost", "gcdp"], "mend:     cosyn --preset gcdp"),
    "no such cost": (["cost", "jointflo"], "did you mean 'jointflow'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_one_message_and_nothing_written(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments, words = REFUSED[name]
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert words in said
    assert "Traceback" not in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--n", "0"], "--n is too small"),
        (["--n", "2", "--labels", DATA, "--images", DATA], "more than one side"),
        (["--n", "2", "--labels", "consep:/nowhere"], "/nowhere"),
    ],
)
def test_generate_refuses_before_it_writes(
    options: list[str], words: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["generate", str(run), "--out", str(tmp_path / "out"), *options]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_generate_says_what_a_method_needs(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(JointFlow, "needs", frozenset({"instances"}))
    assert main(["generate", str(run), "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert "jointflow needs labels" in said
    assert "mend:     give tiles, as --labels" in said


def test_a_run_is_not_overwritten(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (run / "run.json").read_bytes()
    assert main(["fit", "jointflow", "--data", DATA, "--run", str(run), "--steps", "1"]) == 2
    assert "holds a run already" in capsys.readouterr().err
    assert main(["fit", "jointflow", "--data", DATA, "--run", str(run), "--steps", "2", "--seed", "9", "--resume"]) == 2
    assert "not the same run" in capsys.readouterr().err
    assert (run / "run.json").read_bytes() == before


def test_a_finished_store_is_refused_without_overwrite(run: Path, tmp_path: Path) -> None:
    out = nucleosynth.generate(run, out=tmp_path / "out", n=2, batch=2)
    with pytest.raises(UserError, match="--overwrite"):
        nucleosynth.generate(run, out=out, n=2, batch=2)
    nucleosynth.generate(run, out=out, n=3, batch=2, overwrite=True)
    assert len(list(read(str(out)))) == 3


def test_cost_of_a_run_and_of_a_preset(run: Path, tmp_path: Path) -> None:
    found = nucleosynth.cost("jointflow", size=64, classes=4, json=tmp_path / "cost.json")
    assert found["gflop_per_pair"] == pytest.approx(
        sum(stage["gflop_once"] + stage["gflop_cached"] * stage["evaluations"] for stage in found["stages"])
    )
    assert json.loads((tmp_path / "cost.json").read_text()) == found
    own = nucleosynth.cost(str(run))
    assert own["stages"][0]["parameters"] < found["stages"][0]["parameters"]
    assert (own["size"], nucleosynth.cost(str(run), size=64)["size"]) == (32, 64)


@pytest.mark.parametrize(("role", "most"), [("teacher", 1000), ("student", 100)])
def test_a_pair_of_jointflow_small_costs_what_was_promised(role: str, most: float) -> None:
    """GFLOP at 256^2: 16 evaluations of the flow, at most 4 of its student."""
    found = nucleosynth.cost("jointflow", preset="small", size=256, set=(f"role={role}",))
    assert found["gflop_per_pair"] <= most
    assert found["stages"][0]["evaluations"] <= (4 if role == "student" else 16)


def test_cost_counts_the_preset_s_own_tile_in_units_that_can_be_read(capsys: pytest.CaptureFixture[str]) -> None:
    found, said = nucleosynth.cost("jointflow"), capsys.readouterr().out
    assert found["size"] == 64
    assert "64^2, 5 classes" in said
    assert f"{found['stages'][0]['peak_mb']:.1f} MB" in said
    assert [_flop(number) for number in (0.5, 999.94, 98213.4, 2.5e6)] == [
        "0.500 GFLOP",
        "999.9 GFLOP",
        "98.2 TFLOP",
        "2.500 PFLOP",
    ]


@pytest.mark.parametrize("entry", catalog.CATALOG["method"], ids=lambda entry: entry.name)
def test_a_size_that_a_network_cannot_halve_is_refused(entry: catalog.Entry) -> None:
    stride = entry.load().presets["base"].stride
    with pytest.raises(UserError, match=rf"multiple of {stride} px(.|\n)*--size {2 * stride},"):
        nucleosynth.cost(entry.name, preset="base", size=2 * stride + 1)
    with pytest.raises(UserError, match="multiple of"):
        nucleosynth.cost(entry.name, preset="base", size=0)
