"""SDM's own promises, beside the contract of all methods: which labels it paints, what it refuses, what it costs."""

from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lightning_fabric import Fabric
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from made_runs import record_of
from nucleosynth import config
from nucleosynth.data.reader import read
from nucleosynth.diffusion.samplers import evaluations
from nucleosynth.errors import UserError
from nucleosynth.methods.sdm import PRESETS, SDM
from nucleosynth.run import Run
from nucleosynth.sample import Condition, Sample, transform_array
from nucleosynth.training.device import fabric_for
from nucleosynth.verbs.cost import cost

MICRO: dict[str, Any] = {
    "tile": 16,
    "mpp": None,
    "network": {"width": 16, "multipliers": (1, 2), "attention": (False, False), "head_channels": 16, "groups": 8},
    "training": {"batch": 2, "learning_rate": 0.02, "warmup": 1},
    "sampling": {"steps": 2},
}
SETTINGS = config.resolve(PRESETS["tiny"], MICRO, "test")


@pytest.fixture(scope="module")
def fabric() -> Fabric:
    return fabric_for("cpu", "32-true")


@pytest.fixture(scope="module")
def tiles() -> list[Sample]:
    return list(read("phantom:tiles=3&size=48&sources=3"))


def fitted(tiles: list[Sample], folder: Path, fabric: Fabric) -> tuple[SDM, Run]:
    record = record_of("sdm", SETTINGS, tiles, seed=3, steps=6)
    run = Run.create(folder, record)
    return SDM.fit(tiles, SETTINGS, run, fabric), run


@pytest.fixture(scope="module")
def trained(tiles: list[Sample], fabric: Fabric, tmp_path_factory: pytest.TempPathFactory) -> tuple[SDM, Run]:
    return fitted(tiles, tmp_path_factory.mktemp("sdm") / "run", fabric)


def painted(method: SDM, condition: Condition) -> Sample:
    return next(method.generate(iter([condition]), 1, count=1, batch=1))


def kinds(instances: NDArray[np.int32], classes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Class of each pixel; background 0."""
    return np.concatenate([[0], classes]).astype(np.uint8)[instances]


def test_default_labels_are_windows_of_the_training_tiles(trained: tuple[SDM, Run], tiles: list[Sample]) -> None:
    method, _ = trained
    maps = {tile.source: kinds(tile.instances, tile.classes) for tile in tiles}
    found = list(islice(method.default_conditions(4), 12))
    for condition in found:
        assert condition.instances is not None
        assert condition.classes is not None
        window = kinds(condition.instances, condition.classes)
        turned = (transform_array(maps[condition.source], symmetry) for symmetry in range(8))
        assert any((sliding_window_view(tile, (16, 16)) == window).all(axis=(2, 3)).any() for tile in turned)
    assert len({condition.source for condition in found}) > 1
    assert len({condition.instances.tobytes() for condition in found if condition.instances is not None}) > 6


def test_labels_of_other_sizes_are_drawn_too(trained: tuple[SDM, Run]) -> None:
    condition = next(trained[0].default_conditions(4, size=(24, 48)))
    assert condition.instances is not None
    assert condition.instances.shape == (24, 48)
    assert painted(trained[0], condition).size == (24, 48)


def test_a_loaded_run_paints_as_the_fitted_one(trained: tuple[SDM, Run], fabric: Fabric) -> None:
    method, run = trained
    again = SDM.load(Run.open(run.folder), fabric)
    for first, second in zip(
        islice(method.default_conditions(1), 3), islice(again.default_conditions(1), 3), strict=True
    ):
        assert first.instances is not None
        np.testing.assert_array_equal(first.instances, second.instances)
    condition = next(again.default_conditions(1))
    np.testing.assert_array_equal(painted(method, condition).image, painted(again, condition).image)


def test_the_label_decides_the_image(trained: tuple[SDM, Run]) -> None:
    """Same noise, another label: even after six steps the image is another one."""
    method, _ = trained
    first, second = islice(method.default_conditions(1), 2)
    assert (painted(method, first).image != painted(method, second).image).any()
    np.testing.assert_array_equal(painted(method, first).image, painted(method, first).image)


def test_tiles_without_classes_are_of_one_slot(tiles: list[Sample], fabric: Fabric, tmp_path: Path) -> None:
    plain = [replace(tile, classes=np.zeros_like(tile.classes), class_names=(), class_scheme="") for tile in tiles]
    method, _ = fitted(plain, tmp_path / "run", fabric)
    sample = painted(method, next(method.default_conditions(0)))
    assert (sample.class_names, method.facts.slots.count) == ((), 1)
    assert not sample.classes.any()


def test_without_a_label_there_is_nothing_to_paint(trained: tuple[SDM, Run]) -> None:
    method, _ = trained
    with pytest.raises(UserError, match="no label to paint"):
        painted(method, Condition((16, 16), class_names=method.class_names))


def test_a_tile_that_cannot_be_halved_is_refused() -> None:
    with pytest.raises(UserError, match="multiple of 4 px"):
        config.resolve(SETTINGS, {"tile": 18}, "test")


def test_the_published_cost_and_the_default_path() -> None:
    found = cost("sdm", preset="paper")
    (stage,) = found["stages"]
    assert (found["classes"], found["size"]) == (149, 256)
    assert stage["parameters"] == pytest.approx(660.6e6, rel=0.03)
    assert stage["gflop_per_evaluation"] == pytest.approx(3634, rel=0.03)
    assert stage["evaluations"] <= 100
    assert found["gflop_per_pair"] < 0.05 * 2 * 1000 * 3634  # released: 1000 guided steps, nothing kept between them


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_default_paths_are_short(name: str) -> None:
    sampling = PRESETS[name].sampling
    assert evaluations(sampling.sampler, sampling.steps) <= 50
    assert sampling.guidance == (1 if name == "tiny" else 1.5)


def test_an_image_that_painting_did_not_begin_from_is_not_told(trained: tuple[SDM, Run], tiles: list[Sample]) -> None:
    method, tile = trained[0], tiles[0]
    asked = Condition(tile.size, tile.mpp, tile.class_names, instances=tile.instances, classes=tile.classes)
    found = painted(method, replace(asked, begin=tile.image, licence="MIT; CC0-1.0"))
    assert found.provenance["condition"]["given"] == ["instances"]
    assert found.licence == "CC0-1.0; MIT"
