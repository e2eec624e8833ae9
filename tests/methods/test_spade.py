"""SPADE's own promises, beside the contract of all methods: diversity, what it follows and refuses, what it costs."""

from dataclasses import replace
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lightning_fabric import Fabric
from safetensors import safe_open

from made_runs import record_of
from nucleosynth import config
from nucleosynth.data.reader import read
from nucleosynth.errors import UserError
from nucleosynth.methods.spade import PRESETS, Spade, SpadeSettings
from nucleosynth.run import Run
from nucleosynth.sample import Condition, Sample
from nucleosynth.training.device import fabric_for
from nucleosynth.verbs.cost import cost

MICRO: dict[str, Any] = {
    "tile": 32,
    "mpp": None,
    "network": {
        "width": 8,
        "multipliers": (2, 2, 1),
        "doubled": (False, True, True),
        "modulation": 8,
        "style": 4,
        "encoder": (1, 2),
    },
    "critic": {"width": 8, "scales": 1},
    "training": {"batch": 2},
}
SETTINGS = config.resolve(PRESETS["tiny"], MICRO, "test")


@pytest.fixture(scope="module")
def fabric() -> Fabric:
    return fabric_for("cpu", "32-true")


@pytest.fixture(scope="module")
def tiles() -> list[Sample]:
    return list(read("phantom:tiles=3&size=48&sources=3"))


def fitted(tiles: list[Sample], folder: Path, fabric: Fabric, settings: SpadeSettings = SETTINGS) -> tuple[Spade, Run]:
    run = Run.create(folder, record_of("spade", settings, tiles, seed=3, steps=3))
    return Spade.fit(tiles, settings, run, fabric), run


@pytest.fixture(scope="module")
def trained(tiles: list[Sample], fabric: Fabric, tmp_path_factory: pytest.TempPathFactory) -> tuple[Spade, Run]:
    return fitted(tiles, tmp_path_factory.mktemp("spade") / "run", fabric)


def painted(method: Spade, condition: Condition, seed: int = 1, count: int = 1) -> list[Sample]:
    return list(method.generate(iter([condition] * count), seed, count=count, batch=4))


def test_images_of_one_mask_differ(trained: tuple[Spade, Run]) -> None:
    """By the seed, and by k under one seed; each is the same again."""
    method, _ = trained
    condition = next(method.default_conditions(4))
    found = [painted(method, condition, seed)[0].image.astype(float) for seed in (1, 2, 3)]
    found += [sample.image.astype(float) for sample in painted(method, condition, 1, count=4)[1:]]
    for first, second in pairwise(found):
        assert np.abs(first - second).mean() > 0.5
    np.testing.assert_array_equal(painted(method, condition)[0].image, found[0])


def test_the_label_decides_the_image(trained: tuple[Spade, Run]) -> None:
    """Same style, another label."""
    method, _ = trained
    first, second = (painted(method, condition)[0] for condition in islice(method.default_conditions(1), 2))
    assert (first.image != second.image).any()
    assert not np.array_equal(first.instances, second.instances)


def test_without_texture_styles_alone_make_the_difference(tiles: list[Sample], fabric: Fabric, tmp_path: Path) -> None:
    method, _ = fitted(tiles, tmp_path / "run", fabric, config.resolve(SETTINGS, {"texture": 0}, "test"))
    condition = next(method.default_conditions(4))
    assert (painted(method, condition, 1)[0].image != painted(method, condition, 2)[0].image).any()


def test_labels_of_other_sizes_are_painted(trained: tuple[Spade, Run]) -> None:
    condition = next(trained[0].default_conditions(4, size=(20, 48)))
    assert painted(trained[0], condition)[0].size == (20, 48)


def test_a_loaded_run_paints_as_the_fitted_one(trained: tuple[Spade, Run], fabric: Fabric) -> None:
    method, run = trained
    condition = next(method.default_conditions(1))
    again = Spade.load(Run.open(run.folder), fabric)
    np.testing.assert_array_equal(painted(method, condition)[0].image, painted(again, condition)[0].image)


def test_everything_that_learns_is_in_the_checkpoint(trained: tuple[Spade, Run]) -> None:
    with safe_open(trained[1].checkpoint("image"), "pt") as file:  # type: ignore[no-untyped-call]
        keys = " ".join(file.keys())
    modules = ("generator.encoder", "generator.generator", "critic.scales", "average.module.encoder")
    for word in (*modules, "critic.scales.0.hidden.0.parametrizations.weight.0._u"):
        assert f"module.{word}" in keys, word
    assert "optimiser.generator." in keys
    assert "optimiser.critic." in keys


def test_without_a_label_there_is_nothing_to_paint(trained: tuple[Spade, Run]) -> None:
    method, _ = trained
    with pytest.raises(UserError, match="no label to paint"):
        painted(method, Condition((32, 32), class_names=method.class_names))


def test_labels_out_of_range_are_refused(trained: tuple[Spade, Run], tiles: list[Sample]) -> None:
    """A class that the names do not hold, and one that training never saw."""
    method, tile = trained[0], tiles[0]
    asked = Condition(tile.size, tile.mpp, tile.class_names, instances=tile.instances, classes=tile.classes)
    with pytest.raises(UserError) as caught:
        painted(method, replace(asked, classes=np.full_like(tile.classes, 200)))
    assert "200" in str(caught.value)
    names = (*tile.class_names, "martian")
    with pytest.raises(UserError, match="never saw"):
        painted(method, replace(asked, class_names=names, classes=np.full_like(tile.classes, len(names))))


def test_tiles_without_classes_are_of_one_slot(tiles: list[Sample], fabric: Fabric, tmp_path: Path) -> None:
    plain = [replace(tile, classes=np.zeros_like(tile.classes), class_names=(), class_scheme="") for tile in tiles]
    method, _ = fitted(plain, tmp_path / "run", fabric)
    sample = painted(method, next(method.default_conditions(0)))[0]
    assert (sample.class_names, method.facts.slots.count) == ((), 1)


def test_a_tile_that_cannot_be_halved_is_refused() -> None:
    with pytest.raises(UserError, match="multiple of 4 px"):
        config.resolve(SETTINGS, {"tile": 18}, "test")


def test_the_published_cost() -> None:
    found = cost("spade", preset="paper")
    (stage,) = found["stages"]
    assert (found["classes"], found["size"]) == (4, 256)
    assert stage["parameters"] == pytest.approx(92.15e6, rel=0.01)
    assert stage["gflop_per_evaluation"] == pytest.approx(274.5, rel=0.001)
    assert (stage["evaluations"], stage["gflop_once"]) == (1, 0)


@pytest.mark.parametrize("size", [64, 96])
def test_all_presets_take_small_tiles(size: int) -> None:
    for settings in PRESETS.values():
        assert config.resolve(settings, {"tile": size}, "test").size == (size, size)
