"""pix2pixHD's own promises, beside the contract of all methods: many images of one label, labels followed, its cost."""

from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from safetensors import safe_open

from made_runs import record_of
from nucleosynth import config
from nucleosynth.data.reader import read
from nucleosynth.encoders import vgg
from nucleosynth.errors import UserError
from nucleosynth.methods.pix2pixhd import PRESETS, Pix2PixHD
from nucleosynth.metrics.diversity import diversity
from nucleosynth.nets.pix2pixhd import generator
from nucleosynth.run import Run
from nucleosynth.sample import Sample
from nucleosynth.training.device import fabric_for
from nucleosynth.verbs.cost import cost

MICRO: dict[str, Any] = {
    "tile": 32,
    "mpp": None,
    "network": {"width": 8, "downs": 2, "blocks": 1, "local_width": 0, "noise": 2},
    "critic": {"width": 8, "layers": 2, "scales": 1},
    "training": {"batch": 8, "generator_rate": 3e-3, "critic_rate": 1e-3, "decay": 0.3, "ema": 0.9},
}
SETTINGS = config.resolve(PRESETS["tiny"], MICRO, "test")
STEPS = 60


@pytest.fixture(scope="module")
def fabric() -> Fabric:
    return fabric_for("cpu", "32-true")


@pytest.fixture(scope="module")
def tiles() -> list[Sample]:
    return list(read("phantom:tiles=4&size=64&sources=4"))


@pytest.fixture(scope="module")
def trained(tiles: list[Sample], fabric: Fabric, tmp_path_factory: pytest.TempPathFactory) -> tuple[Pix2PixHD, Run]:
    run = Run.create(tmp_path_factory.mktemp("pix2pixhd") / "run", record_of("pix2pixhd", SETTINGS, tiles, steps=STEPS))
    return Pix2PixHD.fit(tiles, SETTINGS, run, fabric), run


def test_two_seeds_make_two_images_of_one_label(trained: tuple[Pix2PixHD, Run], tiles: list[Sample]) -> None:
    method, _ = trained
    labels = list(islice(method.default_conditions(2), 3))
    made = [
        [next(method.generate(iter([label]), seed, count=1, batch=1)).image for seed in range(3)] for label in labels
    ]
    for images in made:
        assert len({image.tobytes() for image in images}) == 3
    real = [tile.crop(0, 0, 32, 32).image for tile in tiles]
    found = diversity(made, real)
    assert found is not None
    assert found > 0.01


def test_without_noise_a_label_has_one_image(tiles: list[Sample], fabric: Fabric, tmp_path: Path) -> None:
    settings = config.resolve(SETTINGS, {"network.noise": 0}, "test")
    run = Run.create(tmp_path / "run", record_of("pix2pixhd", settings, tiles, steps=1))
    method = Pix2PixHD.fit(tiles, settings, run, fabric)
    label = next(method.default_conditions(2))
    first, second = (next(method.generate(iter([label]), seed, count=1, batch=1)).image for seed in (0, 1))
    np.testing.assert_array_equal(first, second)


def test_labels_are_followed_better_than_shuffled_ones(trained: tuple[Pix2PixHD, Run]) -> None:
    """Drawn nuclei are darker than what is around them: so are painted ones, in their own places."""
    method, _ = trained
    samples = list(method.generate(method.default_conditions(5), 5, count=16))
    others = samples[1:] + samples[:1]

    def contrast(image: Sample, label: Sample) -> float:
        inside = label.instances > 0
        return float(image.image[~inside].mean() - image.image[inside].mean())

    both = [each for each in zip(samples, others, strict=True) if (each[0].instances > 0).any()]
    own = np.mean([contrast(one, one) for one, _ in both])
    shuffled = np.mean([contrast(one, other) for one, other in both if (other.instances > 0).any()])
    assert own > 20
    assert own > 3 * abs(shuffled)


def test_the_log_tells_both_sides_and_the_checkpoint_holds_them(trained: tuple[Pix2PixHD, Run]) -> None:
    _, run = trained
    assert {"patch", "feature", "diversity", "critic", "critic_mean", "critic_won"} <= set(run.read_log("image")[-1])
    with safe_open(run.checkpoint("image"), "pt") as file:
        names = {tuple(key.split(".")[:2]) for key in file.keys()}  # noqa: SIM118
    networks = {("module", name) for name in ("generator", "average", "watch", "critic")}
    assert names == networks | {("optimiser", name) for name in ("generator", "critic")}


@pytest.mark.parametrize(("name", "millions", "gflop"), [("paper", 182.72, 37.5), ("paper-global", 182.45, 110.0)])
def test_the_published_cost(name: str, millions: float, gflop: float) -> None:
    found = cost("pix2pixhd", preset=name)
    (stage,) = found["stages"]
    assert (found["classes"], found["size"], stage["evaluations"]) == (4, 256, 1)
    assert stage["parameters"] / 1e6 == pytest.approx(millions, rel=0.03)
    assert found["gflop_per_pair"] == pytest.approx(gflop, rel=0.03)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_presets_can_be_built(name: str) -> None:
    settings = PRESETS[name]
    with torch.device("meta"):
        generator(settings.network, 6, 3)
        settings.critic.build(9)
    assert settings.tile % settings.stride == 0
    assert (settings.network.noise > 0) == (not name.startswith("paper"))


def test_a_tile_that_cannot_be_halved_is_refused() -> None:
    with pytest.raises(UserError, match="multiple of 8 px"):
        config.resolve(SETTINGS, {"tile": 36}, "test")


def test_a_file_of_vgg19_that_is_not_there_is_refused_before_any_work(tmp_path: Path) -> None:
    asked = {"training.perceptual": 1.0, "training.perceptual_weights": str(tmp_path / "none.pth")}
    with pytest.raises(UserError, match="no weights of VGG19"):
        config.resolve(SETTINGS, asked, "test").check_files()


def test_perceptual_weights_are_used_and_remembered(tiles: list[Sample], fabric: Fabric, tmp_path: Path) -> None:
    torch.manual_seed(0)
    torch.save(vgg.VGG19().state_dict(), tmp_path / "vgg.pth")
    asked = {"training.perceptual": 1.0, "training.perceptual_weights": str(tmp_path / "vgg.pth")}
    settings = config.resolve(SETTINGS, {**asked, "training.batch": 2}, "test")
    run = Run.create(tmp_path / "run", record_of("pix2pixhd", settings, tiles, steps=1))
    Pix2PixHD.fit(tiles, settings, run, fabric)
    assert run.read_log("image")[-1]["perceptual"] > 0
    assert run.read_facts()["perceptual"] == "vgg.pth"
    assert run.read_facts()["perceptual_digest"] == vgg.digest(1.0, str(tmp_path / "vgg.pth"))
    (tmp_path / "vgg.pth").unlink()
    Pix2PixHD.load(Run.open(run.folder), fabric)  # painting needs no VGG19


def test_a_run_goes_on_by_no_other_perceptual_loss(
    tiles: list[Sample], fabric: Fabric, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Begun without weights, which are in the cache when it is resumed; then the reverse, and others."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    settings = config.resolve(SETTINGS, {"training.perceptual": 1.0, "training.batch": 2}, "test")
    record = record_of("pix2pixhd", settings, tiles, steps=1)
    Pix2PixHD.fit(tiles, settings, Run.create(tmp_path / "run", record), fabric)
    kept = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}

    def resumed() -> Pix2PixHD:
        return Pix2PixHD.fit(tiles, settings, Run.create(tmp_path / "run", record, resume=True), fabric)

    for said in (("vgg.pth", "11"), ("vgg.pth", "22")):
        monkeypatch.setattr(vgg, "told", lambda *_, said=said: said[0])
        monkeypatch.setattr(vgg, "digest", lambda *_, said=said: said[1])
        with pytest.raises(UserError, match="another perceptual loss") as caught:
            resumed()
        assert caught.value.got == f"vgg.pth, digest {said[1]}"
        assert kept == {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
        run = Run.open(tmp_path / "run")
        run.write_facts(run.read_facts() | {"perceptual": "vgg.pth", "perceptual_digest": "33"})
        kept = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    monkeypatch.undo()
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(UserError, match="digest 33") as caught:
        resumed()
    assert caught.value.got == "off"
    run.write_facts(run.read_facts() | {"perceptual": "off", "perceptual_digest": ""})
    resumed()


def test_unknown_types_are_painted_by_their_edges(trained: tuple[Pix2PixHD, Run]) -> None:
    method, _ = trained
    label = next(method.default_conditions(1))
    assert label.classes is not None
    untyped = replace(label, classes=np.zeros_like(label.classes))
    sample = next(method.generate(iter([untyped]), 1, count=1, batch=1))
    assert not sample.classes.any()
