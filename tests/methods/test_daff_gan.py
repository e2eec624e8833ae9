"""What DAFF-GAN promises beside the contract."""

from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lightning_fabric import Fabric
from numpy.testing import assert_array_equal

import nucleosynth
from made_runs import record_of
from nucleosynth import config
from nucleosynth.conditions.points import from_instances
from nucleosynth.data.reader import read
from nucleosynth.encoders import vgg
from nucleosynth.errors import UserError
from nucleosynth.layouts import table
from nucleosynth.methods.daff_gan import LIBRARY, DaffGan
from nucleosynth.methods.daff_gan_presets import PRESETS, DaffGanSettings
from nucleosynth.run import Run
from nucleosynth.sample import Condition, Layout, Sample
from nucleosynth.training.device import fabric_for
from nucleosynth.verbs.cost import cost

PART: dict[str, Any] = {
    "network": {"width": 8, "downs": 2, "blocks": 1, "local_width": 4, "local_blocks": 1, "noise": 2},
    "critic": {"width": 8, "layers": 2, "scales": 1},
    "training": {"batch": 4},
}
MICRO: dict[str, Any] = {"tile": 32, "mask": PART, "image": PART}


@pytest.fixture(scope="module")
def fabric() -> Fabric:
    return fabric_for("cpu", "32-true")


@pytest.fixture(scope="module")
def tiles() -> list[Sample]:
    return [tile for tile in read("phantom:tiles=6&size=64&sources=3") if tile.split == "train"]


def settings_of(changes: dict[str, Any]) -> DaffGanSettings:
    return config.resolve(config.resolve(PRESETS["tiny"], MICRO, "test"), changes, "test")


def fitted(tiles: list[Sample], fabric: Fabric, folder: Path, steps: int = 4, **changes: Any) -> DaffGan:
    settings = settings_of(changes)
    run = Run.create(folder / "run", record_of("daff_gan", settings, tiles, steps=steps))
    return DaffGan.fit(tiles, settings, run, fabric)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("daff_gan")


@pytest.fixture(scope="module")
def model(tiles: list[Sample], fabric: Fabric, folder: Path) -> DaffGan:
    return fitted(tiles, fabric, folder)


def made(model: DaffGan, asked: list[Condition], seed: int = 1) -> list[Sample]:
    return list(model.generate(iter(asked), seed, count=len(asked), batch=4))


def test_the_library_in_the_run_holds_the_training_tiles_and_no_other(
    model: DaffGan, tiles: list[Sample], folder: Path
) -> None:
    found = table.read(folder / "run" / LIBRARY)
    assert [each.name for each in found] == [tile.sample_id for tile in tiles]
    assert {each.source for each in found} == {tile.source for tile in tiles}
    assert {tile.source for tile in read("phantom:tiles=6&size=64&sources=3")} > {each.source for each in found}
    sources = {source for asked in islice(model.default_conditions(3), 30) for source in asked.source.split("; ")}
    assert sources <= {tile.source for tile in tiles}


def test_sampled_layouts_stand_in_the_provenance_of_what_is_made(model: DaffGan) -> None:
    asked = list(islice(model.default_conditions(5), 4))
    for condition, sample in zip(asked, made(model, asked, seed=5), strict=True):
        told = sample.provenance["condition"]
        assert told["operations"] == list(condition.operations)
        assert told["operations"][-1]["name"] in ("flip", "cover", "thin")
        assert (told["source"], told["given"]) == (condition.source, ["points"])
        assert sample.points is condition.points


def test_every_point_gets_a_nucleus_of_its_class(model: DaffGan, tiles: list[Sample]) -> None:
    """At the method's resolution and at another one, whatever an untrained mask says."""
    for mpp in (0.5, 0.25):
        points = replace(from_instances(tiles[0]), mpp=mpp)
        points = replace(points, classes=np.arange(len(points.classes)).astype(np.uint8) % 3)
        asked = Condition(points.size, mpp, points.class_names, points=points, name="asked")
        (found,) = made(model, [asked])
        assert_array_equal(found.classes, points.classes)
        if mpp == model.mpp:
            columns, rows = np.floor(points.xy + 0.5).astype(int).T
            assert_array_equal(found.instances[rows, columns], np.arange(1, len(points.xy) + 1))


def test_a_layout_without_a_point_is_a_tile_without_a_nucleus(model: DaffGan) -> None:
    names = model.class_names
    empty = Layout(np.zeros((0, 2), np.float32), np.zeros(0, np.uint8), (32, 32), names, 0.5)
    (found,) = made(model, [Condition((32, 32), 0.5, names, points=empty)])
    assert not found.instances.any()


def test_a_condition_that_asks_for_nothing_gets_a_layout_of_its_own_size(model: DaffGan) -> None:
    asked = [Condition((48, 40), mpp, model.class_names) for mpp in (0.5, 0.25, None)]
    for sample, condition in zip(made(model, asked), asked, strict=True):
        assert sample.size == (48, 40)
        assert sample.mpp == (condition.mpp or 0.5)
        assert sample.points is not None
        assert len(sample.points.xy) > 0
        assert sample.provenance["condition"]["operations"]


@pytest.mark.parametrize("side", ["points", "instances"])
def test_noise_gives_one_layout_and_one_mask_many_images(model: DaffGan, tiles: list[Sample], side: str) -> None:
    tile = tiles[0]
    give: dict[str, Any] = {
        "points": {"points": from_instances(tile)},
        "instances": {"instances": tile.instances, "classes": tile.classes},
    }
    asked = Condition(tile.size, tile.mpp, tile.class_names, **give[side])
    one, again, other = (made(model, [asked], seed)[0].image.astype(float) for seed in (1, 1, 2))
    assert_array_equal(one, again)
    assert np.abs(one - other).mean() > 0


def test_without_noise_a_mask_has_one_image_as_published(tiles: list[Sample], fabric: Fabric, tmp_path: Path) -> None:
    silent = fitted(tiles, fabric, tmp_path, 2, **{"mask.network.noise": 0, "image.network.noise": 0})
    tile = tiles[0]
    asked = Condition(tile.size, tile.mpp, tile.class_names, points=from_instances(tile))
    one, other = made(silent, [asked], 1)[0], made(silent, [asked], 2)[0]
    assert_array_equal(one.image, other.image)
    assert_array_equal(one.instances, other.instances)


@pytest.mark.parametrize(("preset", "millions", "gflop"), [("paper", 184.03, 39.4), ("paper-global", 183.76, 111.4)])
def test_the_published_cost(preset: str, millions: float, gflop: float) -> None:
    """Of each of its two networks."""
    found = cost("daff_gan", preset=preset)
    assert (found["classes"], found["size"]) == (4, 256)
    for stage in found["stages"]:
        assert stage["parameters"] / 1e6 == pytest.approx(millions, rel=0.001)
        assert stage["gflop_per_evaluation"] == pytest.approx(gflop, rel=0.01)


@pytest.mark.parametrize(("preset", "scales"), [("paper", 3), ("paper-global", 2)])
def test_the_published_critics_sum_over_their_scales(preset: str, scales: int) -> None:
    for game in (PRESETS[preset].mask, PRESETS[preset].image):
        assert game.critic.scales == game.training.adversarial == scales


def test_its_networks_have_attention_and_a_long_skip() -> None:
    for preset in PRESETS.values():
        for network in (preset.mask.network, preset.image.network):
            assert (network.attention, network.long_skip) == (2, True)


def test_both_games_are_in_the_checkpoints(model: DaffGan, folder: Path) -> None:
    assert model.origin.checkpoint.count("-") == 1
    for name in ("mask", "image"):
        assert (folder / "run" / "checkpoints" / f"{name}.safetensors").is_file()
    assert list((folder / "run" / "pictures").glob("mask_*.png"))
    assert list((folder / "run" / "pictures").glob("pair_*.png"))


def test_a_table_of_layouts_goes_through_the_command_line(model: DaffGan, folder: Path, tmp_path: Path) -> None:
    out = nucleosynth.layouts.sample(folder / "run" / LIBRARY, out=tmp_path / "new.parquet", n=3, size=32, mpp=0.5)
    assert model.class_names == table.read(out)[0].class_names
    pairs = nucleosynth.generate(folder / "run", out=tmp_path / "pairs", points=str(out), batch=2)
    for sample, asked in zip(read(str(pairs)), table.read(out), strict=True):
        assert_array_equal(sample.classes, asked.classes)
        assert sample.provenance["condition"]["operations"] == list(asked.operations)


def test_a_run_of_two_games_goes_on_by_no_other_perceptual_loss(
    model: DaffGan, tiles: list[Sample], fabric: Fabric, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run.open(folder / "run")
    again, facts = Run.create(run.folder, run.record, resume=True), run.read_facts()
    monkeypatch.setattr(vgg, "digest", lambda *_: "11")
    with pytest.raises(UserError, match="another perceptual loss"):
        DaffGan.fit(tiles, model.settings, again, fabric)
    assert run.read_facts() == facts


def test_a_perceptual_loss_of_masks_is_refused() -> None:
    """VGG19 compares images."""
    assert settings_of({"image.training.perceptual": 2.0}).image.training.perceptual == 2
    with pytest.raises(UserError, match="images alone") as caught:
        settings_of({"mask.training.perceptual": 2.0})
    assert caught.value.got == "mask.training.perceptual is 2; image.training.perceptual takes one"
