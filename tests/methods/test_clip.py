"""The small CLIP in training: the data's own captions first, same seed same bytes, resumed equals uninterrupted."""

import json
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

from made_runs import record_of
from nucleosynth import config
from nucleosynth.cli import main
from nucleosynth.conditions.pathology_captions import PathologyCaptions
from nucleosynth.data.crops import Crops
from nucleosynth.data.reader import read
from nucleosynth.encoders.clip_pair import load
from nucleosynth.encoders.own_clip import of_run
from nucleosynth.encoders.words import Words
from nucleosynth.errors import Interrupted
from nucleosynth.methods import clip
from nucleosynth.methods.clip import ClipSettings, OwnClip, _batch, every_window, train_clip
from nucleosynth.run import Budget, Run
from nucleosynth.sample import Sample
from nucleosynth.seeds import generator_of
from nucleosynth.stages.contrast import ContrastStage
from nucleosynth.training import checkpoint
from nucleosynth.training.device import fabric_for

DATA = "phantom:tiles=4&size=64&sources=2"
MICRO = {"tile": 32, "network.channels": 16, "network.width": 8, "training.batch": 4}


@pytest.fixture(scope="module")
def tiles() -> list[Sample]:
    """Drawn tissue without captions of its own."""
    return [replace(tile, caption="") for tile in read(DATA)]


@pytest.fixture(scope="module")
def fabric() -> Fabric:
    return fabric_for("cpu", "32-true")


def settings(**changes: Any) -> ClipSettings:
    return config.resolve(OwnClip.presets["tiny"], MICRO | changes, "test")


def begun(folder: Path, tiles: list[Sample], given: ClipSettings, resume: bool = False, steps: int = 4) -> Run:
    return Run.create(folder, record_of("clip", given, tiles, steps=steps), resume)


def test_the_same_seed_gives_the_same_bytes_and_the_run_holds_all(
    tmp_path: Path, tiles: list[Sample], fabric: Fabric
) -> None:
    runs = [begun(tmp_path / name, tiles, settings()) for name in "ab"]
    first, second = (OwnClip.fit(tiles, settings(), run, fabric) for run in runs)
    assert len({checkpoint.fingerprint(run.checkpoint("clip")) for run in runs}) == 1
    assert first.digest == second.digest == load(f"own:{tmp_path / 'a'}").digest
    assert first.side == 32
    assert {"contrast", "right"} <= runs[0].read_log("clip")[-1].keys()
    kept = PathologyCaptions.model_validate(runs[0].read_facts()["captions"])
    assert kept == PathologyCaptions.fit(every_window(tiles, 32))


def test_resumed_equals_uninterrupted(
    tmp_path: Path, tiles: list[Sample], fabric: Fabric, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = begun(tmp_path / "whole", tiles, settings())
    OwnClip.fit(tiles, settings(), whole, fabric)
    step = ContrastStage.step

    def stopping(stage: ContrastStage, *given: Any) -> Any:
        if given[2].step == 1:
            signal.raise_signal(signal.SIGINT)
        return step(stage, *given)

    with monkeypatch.context() as patch:
        patch.setattr(ContrastStage, "step", stopping)
        run = begun(tmp_path / "cut", tiles, settings())
        with pytest.raises(Interrupted, match="go on with the same command and --resume"):
            OwnClip.fit(tiles, settings(), run, fabric)
    cut = begun(tmp_path / "cut", tiles, settings(), resume=True)
    OwnClip.fit(tiles, settings(), cut, fabric)
    assert of_run(cut).digest == of_run(whole).digest
    assert len(cut.read_log("clip")) == 1


def test_a_method_may_have_it_as_a_stage(tmp_path: Path, tiles: list[Sample], fabric: Fabric) -> None:
    run = Run.create(tmp_path / "run", record_of("cgpn_gan", settings(), tiles))
    said: list[str] = []

    def tell(window: Sample, _: np.random.Generator) -> str:
        said.append(f"{len(window.classes)} nuclei")
        return said[-1]

    pair = train_clip(tiles, tell, settings(), 32, run, fabric, Budget(steps=1))
    assert pair.digest == load(f"own:{tmp_path / 'run'}").digest
    assert len(said) >= 4


def test_windows_are_told_by_seed_and_step_alone_and_equal_captions_have_one_number(tiles: list[Sample]) -> None:
    def told(step: int) -> Any:
        words = {True: "many", False: "few"}
        return _batch(Crops(tiles, 32), lambda window, _: words[len(window.classes) > 5], Words(), 3, 6, step)

    first, again, other = told(0), told(0), told(1)
    assert all(torch.equal(one, two) for one, two in zip(first, again, strict=True))
    assert not torch.equal(first.images, other.images)
    assert (first.images.shape, first.images.dtype) == ((6, 3, 32, 32), torch.float32)
    assert -1 <= first.images.min() < first.images.max() <= 1
    same = (first.ids[:, None] == first.ids).all(dim=2)
    assert torch.equal(first.captions[:, None] == first.captions, same)


def test_own_captions_go_first_and_cosyn_s_sentence_is_the_other_choice(
    tmp_path: Path, tiles: list[Sample], fabric: Fabric, monkeypatch: pytest.MonkeyPatch
) -> None:
    def heard(tiles: list[Sample], tell: Any, *_: Any) -> list[str]:
        return [tell(tile, generator_of(0)) for tile in tiles]

    monkeypatch.setattr(clip, "train_clip", heard)
    mixed = [replace(tiles[0], caption="mine"), *tiles[1:]]
    for style, begins in (("cgpn", "Drawn colon image of"), ("cosyn", "high quality histopathology drawn colon")):
        given = settings(captions=style)
        own, *others = OwnClip.fit(mixed, given, begun(tmp_path / style, tiles, given), fabric)  # type: ignore[misc]
        assert own == "mine"
        assert all(each.startswith(begins) for each in others)


def test_fit_clip_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    words = ["fit", "clip", "--data", DATA, "--run", str(run), "--steps", "2", "--device", "cpu", "--seed", "5"]
    small = [word for key, value in MICRO.items() for word in ("--set", f"{key}={value}")]
    assert main([*words, *small]) == 0
    assert f"own:{run}" in capsys.readouterr().err
    record = Run.open(run).record
    assert (record.method, record.seed, record.settings["network"]["channels"]) == ("clip", 5, 16)
    assert {each.source for each in record.training_sources} == {
        tile.source for tile in read(DATA) if tile.split == "train"
    }
    before = load(f"own:{run}").digest
    assert main([*words, *small]) == 2
    assert main([*words, *small, "--resume"]) == 0
    assert load(f"own:{run}").digest == before
    assert json.loads((run / "facts.json").read_text())["captions"]["spreads"]
    assert main(["fit", "clip", "--data", DATA, "--run", str(tmp_path / "b"), "--without", "text"]) == 2
    assert main(["fit", "clip", "--data", DATA, "--run", str(tmp_path / "b"), "--set", "tile=36"]) == 2
    assert main(["generate", str(run), "--out", str(tmp_path / "out")]) == 2
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("name", OwnClip.presets)
def test_presets_fit_together(name: str) -> None:
    preset = OwnClip.presets[name]
    assert ClipSettings.model_validate(preset.model_dump(mode="json")) == preset
    assert preset.tile % preset.stride == 0
