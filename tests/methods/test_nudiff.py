"""NuDiff: what its two stages are given, what they hand on, what is refused, what a pair costs."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count as naturals
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from numpy.testing import assert_array_equal

from drawn import drawn_sample
from made_runs import record_of
from nucleosynth import config
from nucleosynth.data.reader import read
from nucleosynth.errors import Interrupted, UserError
from nucleosynth.methods import nudiff
from nucleosynth.methods.nudiff import PRESETS, NuDiff, NuDiffSettings
from nucleosynth.run import Run
from nucleosynth.sample import Condition, Sample
from nucleosynth.training import loop
from nucleosynth.training.device import fabric_for

NETWORK = {"width": 16, "multipliers": (1, 2), "attention": (False, True), "head_channels": 16, "groups": 8}
MICRO = {
    "tile": 32,
    "structure": {"network": NETWORK, "training": {"batch": 4}, "sampling": {"steps": 2}},
    "image": {"network": NETWORK, "training": {"batch": 4}, "sampling": {"steps": 2}},
}


@pytest.fixture(scope="module")
def fabric() -> Fabric:
    return fabric_for("cpu", "32-true")


def settings(**changes: Any) -> NuDiffSettings:
    return config.resolve(NuDiffSettings(), MICRO | changes, "test")


def fitted(tiles: list[Sample], folder: Path, fabric: Fabric, resume: bool = False) -> tuple[NuDiff, Run]:
    chosen = settings()
    record = record_of("nudiff", chosen, tiles, seed=5, steps=4)
    run = Run.create(folder, record, resume)
    return NuDiff.fit(tiles, chosen, run, fabric), run


@pytest.fixture(scope="module")
def tiles() -> list[Sample]:
    return list(read("phantom:tiles=3&size=64&sources=3"))


@pytest.fixture(scope="module")
def trained(tiles: list[Sample], fabric: Fabric, tmp_path_factory: pytest.TempPathFactory) -> tuple[NuDiff, Run]:
    return fitted(tiles, tmp_path_factory.mktemp("nudiff") / "run", fabric)


@pytest.fixture
def model(trained: tuple[NuDiff, Run]) -> Iterator[NuDiff]:
    found, _ = trained
    before = found.settings
    yield found
    found.settings = before


def pair(model: NuDiff, *conditions: Condition) -> list[Sample]:
    asked = conditions or tuple(model.default_conditions(0))[:1]
    return list(model.generate(iter(asked), 3, count=len(asked), batch=2))


def test_both_stages_leave_a_checkpoint_and_sheets(trained: tuple[NuDiff, Run]) -> None:
    model, run = trained
    assert [run.checkpoint(stage).is_file() for stage in model.stages] == [True, True]
    names = {path.name for path in (run.folder / "pictures").glob("*.png")}
    assert names == {"structure_000001.png", "structure_000002.png", "pair_000001.png", "pair_000002.png"}
    assert model.origin.checkpoint.count("-") == 1


@pytest.mark.parametrize("stopped_at", [1, 3])
def test_either_stage_goes_on_where_it_was_stopped(
    stopped_at: int,
    trained: tuple[NuDiff, Run],
    tiles: list[Sample],
    fabric: Fabric,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    steps = naturals(1)

    @contextmanager
    def flag() -> Iterator[Any]:
        yield lambda: next(steps) == stopped_at

    monkeypatch.setattr(loop, "_stop_flag", flag)
    with pytest.raises(Interrupted):
        fitted(tiles, tmp_path / "run", fabric)
    monkeypatch.undo()
    half = Run.open(tmp_path / "run")
    assert half.checkpoint("image").exists() == (stopped_at > 2)
    again, _ = fitted(tiles, tmp_path / "run", fabric, resume=True)
    assert again.origin.checkpoint == trained[0].origin.checkpoint


def test_sampled_nuclei_are_read_and_painted(
    model: NuDiff, tiles: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    tile = tiles[0].crop(0, 0, 32, 32)
    maps = model.coding.encode(tile.instances, tile.classes)
    noisy = maps + np.random.default_rng(0).normal(0, 0.05, maps.shape).astype(np.float32)
    given: list[torch.Tensor] = []
    monkeypatch.setattr(nudiff.structure, "draw", lambda *_: torch.from_numpy(noisy)[None].repeat(2, 1, 1, 1))

    def paint(_fabric: Any, _net: Any, condition: torch.Tensor, *_: Any) -> torch.Tensor:
        given.append(condition)
        return torch.zeros(2, 3, 32, 32)

    monkeypatch.setattr(nudiff.mask_to_image, "paint", paint)
    asked = Condition((32, 32), 0.5, model.class_names)
    read_from = model.coding.decode(noisy)
    for painted_from in ("nuclei", "structure"):
        model.settings = settings(painted_from=painted_from)
        [sample] = pair(model, asked)
        assert_array_equal(sample.instances, read_from[0])
        assert_array_equal(sample.classes, read_from[1])
        assert len(sample.classes) > 0
    clean, raw = (np.asarray(condition[0]) for condition in given)
    assert_array_equal(clean, model.coding.as_condition(model.coding.encode(*read_from)))
    assert_array_equal(raw, model.coding.as_condition(noisy))
    assert np.any(clean != raw)
    assert not given[0][1].any()  # the empty place of the batch


def test_given_labels_go_straight_to_the_painter(
    model: NuDiff, tiles: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any) -> None:
        raise AssertionError("no structure is sampled for a label")

    monkeypatch.setattr(nudiff.structure, "draw", never)
    window = tiles[0].crop(0, 0, 40, 37)
    asked = Condition((40, 37), 0.5, model.class_names, instances=window.instances, classes=window.classes)
    empty = replace(asked, instances=np.zeros((40, 37), np.int32), classes=np.zeros(0, np.uint8))
    full, bare = pair(model, asked, empty)
    assert_array_equal(full.instances, window.instances)
    assert (bare.instances.max(), len(bare.classes)) == (0, 0)
    assert full.image.shape == bare.image.shape == (40, 37, 3)


def test_data_without_classes(fabric: Fabric, tmp_path: Path) -> None:
    drawn = [drawn_sample(k, (40, 40), mpp=0.5) for k in range(2)]
    tiles = [replace(tile, classes=np.zeros_like(tile.classes), class_names=()) for tile in drawn]
    model, run = fitted(tiles, tmp_path / "run", fabric)
    assert model.coding.channels == 3
    again = NuDiff.load(run, fabric)
    for sample in pair(again, *[Condition((32, 32), 0.5)] * 2):
        assert not sample.classes.any()


def test_nuclei_of_unknown_type_are_masked() -> None:
    tile = drawn_sample(1, (32, 32), mpp=0.5)
    crops = nudiff.Crops([tile], 32)
    coding = nudiff.coding_of(settings(), nudiff.Slots((1, 2, 3)))
    windows = nudiff._Windows(crops, coding, settings(), 0)
    structures, known = windows.structures(0)
    assert structures.shape == known.shape == (4, 6, 32, 32)
    assert_array_equal(known[:, 1:4] == 0, (structures[:, 1:4] == 0))
    assert 0 < known[:, 1:4].mean() < 1
    images, given = windows.images(0)
    assert (images.min(), images.max()) == pytest.approx((-1, 1), abs=0.05)
    assert set(np.unique(given[:, :4])) == {0, 1}


def test_what_cannot_work_is_refused_first(fabric: Fabric, tmp_path: Path) -> None:
    for changes, words in (
        ({"tile": 33}, "multiple of"),
        ({"hypotheses": 8}, "eight readings"),
        ({"structure_share": 1.0}, "less than 1"),
        ({"structure.sampling.steps": 1001}, "1 to 1000"),
        ({"structure.denoising": {"target": "eps", "learned_variance": True}}, "history 0"),
        ({"codin": "hv"}, "did you mean 'coding'"),
    ):
        with pytest.raises(UserError, match=words):
            settings(**changes)
    empty = drawn_sample(0, mpp=0.5)
    empty = replace(empty, instances=np.zeros_like(empty.instances), classes=np.zeros(0, np.uint8))
    with pytest.raises(UserError, match="no nuclei"):
        fitted([empty], tmp_path / "run", fabric)
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_a_published_pair_costs_a_twenty_fifth_of_the_release() -> None:
    structures, images = NuDiff.cost(PRESETS["paper"], 256, NuDiff.published_classes)
    assert structures.parameters == pytest.approx(552.8e6, rel=0.03)
    assert structures.gflop_per_evaluation == pytest.approx(2240, rel=0.03)
    assert images.parameters == pytest.approx(652.1e6, rel=0.03)
    assert images.gflop_per_evaluation == pytest.approx(3418, rel=0.03)
    assert structures.evaluations <= 50
    assert images.evaluations <= 100
    assert structures.gflop + images.gflop <= 350_000 < 9.08e6 / 25
