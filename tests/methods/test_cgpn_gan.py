"""CGPN-GAN's own promises, beside the contract of all methods: its CLIP, its sentences, its noise, what it costs."""

from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

from encoders.small_clips import SETTINGS as CLIP_SETTINGS
from encoders.small_clips import folder
from made_runs import record_of
from nucleosynth import config
from nucleosynth.conditions.pathology_captions import PathologyCaptions
from nucleosynth.data.crops import Crops
from nucleosynth.data.reader import read
from nucleosynth.encoders import clip_pair, identity, vgg
from nucleosynth.errors import UserError
from nucleosynth.methods.cgpn_gan import CGPNGAN
from nucleosynth.methods.cgpn_presets import PRESETS, CGPNGANSettings
from nucleosynth.methods.clip import every_window
from nucleosynth.nets.cgpn import CGPN
from nucleosynth.run import Run
from nucleosynth.sample import Condition, Sample
from nucleosynth.seeds import generator_of
from nucleosynth.stages.cgpn import CGPNStage
from nucleosynth.training import checkpoint
from nucleosynth.training.checkpoint import Moment
from nucleosynth.training.device import fabric_for
from nucleosynth.verbs.cost import cost

MICRO: dict[str, Any] = {
    "tile": 32,
    "mpp": None,
    "clip_share": 0.5,
    "own": {"network": {"channels": 16, "width": 16}, "training": {"batch": 4}},
    "network": {"width": 32, "coarse": 1, "modulation": 8, "noise": 8, "seed": 8, "mapping": 1},
    "critic": {"width": 4, "layers": 1, "scales": 1},
    "training": {"batch": 4, "hidden": 8, "joint": 4, "generator_rate": 0.02},
}


@pytest.fixture(scope="module")
def fabric() -> Fabric:
    return fabric_for("cpu", "32-true")


@pytest.fixture(scope="module")
def tiles() -> list[Sample]:
    """Without captions of their own."""
    return [replace(tile, caption="") for tile in read("phantom:tiles=3&size=64&sources=3")]


def settings_of(**changes: Any) -> CGPNGANSettings:
    return config.resolve(config.resolve(PRESETS["tiny"], MICRO, "test"), changes, "test")


def fitted(tiles: list[Sample], place: Path, fabric: Fabric, **changes: Any) -> tuple[CGPNGAN, Run]:
    settings = settings_of(**changes)
    run = Run.create(place, record_of("cgpn_gan", settings, tiles, seed=3, steps=4))
    return CGPNGAN.fit(tiles, settings, run, fabric), run


@pytest.fixture(scope="module")
def trained(tiles: list[Sample], fabric: Fabric, tmp_path_factory: pytest.TempPathFactory) -> tuple[CGPNGAN, Run]:
    return fitted(tiles, tmp_path_factory.mktemp("cgpn") / "run", fabric)


def painted(method: CGPNGAN, condition: Condition, seed: int = 1) -> Sample:
    return next(method.generate(iter([condition]), seed, count=1, batch=1))


def test_without_a_clip_it_trains_its_own_first_and_says_so(
    tiles: list[Sample], fabric: Fabric, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, run = fitted(tiles, tmp_path / "run", fabric)
    assert "a small one is trained first" in capsys.readouterr().err
    assert [run.read_log(stage)[-1]["step"] for stage in ("clip", "image")] == [2, 2]
    said = checkpoint.beside(run.checkpoint("image"))
    assert said[clip_pair.KIND] == "own:run"
    assert said == identity.record(clip_pair.KIND, clip_pair.load(f"own:{run.folder}"))


def test_a_given_clip_is_taken_instead(tiles: list[Sample], fabric: Fabric, tmp_path: Path) -> None:
    given = f"open_clip:{folder(tmp_path / 'small')}"
    method, run = fitted(tiles, tmp_path / "run", fabric, clip=given)
    assert not run.checkpoint("clip").exists()
    assert run.read_log("image")[-1]["step"] == 4
    condition = next(method.default_conditions(1))
    again = CGPNGAN.load(Run.open(run.folder), fabric)
    np.testing.assert_array_equal(painted(method, condition).image, painted(again, condition).image)


def test_another_clip_than_in_training_is_refused(tiles: list[Sample], fabric: Fabric, tmp_path: Path) -> None:
    place = folder(tmp_path / "small")
    _, run = fitted(tiles, tmp_path / "run", fabric, clip=f"open_clip:{place}")
    folder(place, CLIP_SETTINGS | {"text_cfg": CLIP_SETTINGS["text_cfg"] | {"layers": 2}})
    with pytest.raises(UserError, match="another CLIP"):
        CGPNGAN.load(Run.open(run.folder), fabric)
    again = Run.create(run.folder, run.record, resume=True)
    with pytest.raises(UserError, match="another CLIP"):
        CGPNGAN.fit(tiles, CGPNGANSettings.model_validate(run.record.settings), again, fabric)


def test_a_run_goes_on_by_no_other_perceptual_loss_either(
    trained: tuple[CGPNGAN, Run], tiles: list[Sample], fabric: Fabric, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trained[1]
    monkeypatch.setattr(vgg, "digest", lambda *_: "11")
    again = Run.create(run.folder, run.record, resume=True)
    with pytest.raises(UserError, match="another perceptual loss"):
        CGPNGAN.fit(tiles, trained[0].settings, again, fabric)


def test_a_small_clip_that_has_seen_other_tiles_is_refused(
    trained: tuple[CGPNGAN, Run], tiles: list[Sample], fabric: Fabric, tmp_path: Path
) -> None:
    """Samples tell what their run was trained on; a CLIP of test tiles would be told nowhere."""
    given = f"own:{trained[1].folder}"
    method, _ = fitted(tiles, tmp_path / "same", fabric, clip=given)
    assert method.name == "cgpn_gan"
    with pytest.raises(UserError, match="seen other tiles") as caught:
        fitted(tiles[1:], tmp_path / "fewer", fabric, clip=given)
    assert caught.value.got == tiles[0].source


def test_a_gradient_of_the_similarity_runs_through_open_clip_s_tower(
    tiles: list[Sample], fabric: Fabric, tmp_path: Path
) -> None:
    settings = settings_of(clip=f"open_clip:{folder(tmp_path / 'small')}")
    facts, pair = CGPNGAN.facts_of(tiles, settings), clip_pair.load(settings.clip)
    stage = CGPNStage("image", settings, 2 + facts.slots.count, pair)
    stage.setup(fabric)
    batch = stage.received(fabric, CGPNGAN.batch_of(Crops(tiles, 32), settings, facts, generator_of(0)), Moment())
    loss = stage.generator_losses(batch, stage.fake(batch))["similarity"]
    (gradient,) = torch.autograd.grad(loss, stage.generator.out.weight)
    assert gradient.isfinite().all()
    assert gradient.abs().max() > 1e-6


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_another_s_sentence_counts_as_fake_unless_told_otherwise(name: str) -> None:
    assert PRESETS[name].training.mismatched


def test_a_clip_that_is_not_there_is_missed_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no weights"):
        settings_of(clip=f"quiltnet:{tmp_path}").check_files()
    settings_of().check_files()


def test_few_and_many_are_counted_in_windows_of_the_training_s_size(
    trained: tuple[CGPNGAN, Run], tiles: list[Sample]
) -> None:
    assert trained[0].facts.captions == PathologyCaptions.fit(every_window(tiles, 32))
    assert trained[0].facts.captions != PathologyCaptions.fit(tiles)
    again = CGPNGAN.read_facts(trained[1])
    assert again == trained[0].facts


def test_a_sample_tells_its_sentence(trained: tuple[CGPNGAN, Run]) -> None:
    method, _ = trained
    for sample in method.generate(method.default_conditions(2), 2, count=3, batch=4):
        assert sample.caption == method.facts.captions.of_sample(replace(sample, caption=""))
    own = replace(next(method.default_conditions(2)), caption="a caption of my own")
    assert painted(method, own).caption == "a caption of my own"


def test_the_sentence_the_label_and_the_noise_each_decide_the_image(trained: tuple[CGPNGAN, Run]) -> None:
    method, _ = trained
    first, second = islice(method.default_conditions(1), 2)
    image = painted(method, first).image
    np.testing.assert_array_equal(painted(method, first).image, image)
    assert (painted(method, replace(first, caption="nothing but goblet cells")).image != image).any()
    assert (painted(method, second).image != image).any()
    assert (painted(method, first, seed=2).image != image).any()


def test_a_caption_alone_is_told_beside_a_default_label(trained: tuple[CGPNGAN, Run], fabric: Fabric) -> None:
    method = CGPNGAN.load(Run.open(trained[1].folder), fabric)
    alone = Condition((32, 32), None, method.class_names, caption="many goblet cells")
    found = list(method.generate(iter([alone] * 2), 1, count=2, start=4, batch=4))
    for sample, label in zip(found, islice(method.default_conditions(1, 4), 2), strict=True):
        np.testing.assert_array_equal(sample.instances, label.instances)
        assert sample.caption == "many goblet cells"
        assert sample.provenance["condition"]["source"] == label.source
    with pytest.raises(UserError, match="no label to paint"):
        painted(method, replace(alone, caption=None))


def test_tiles_with_captions_of_their_own_keep_them(tiles: list[Sample], fabric: Fabric, tmp_path: Path) -> None:
    named = [replace(tile, caption=f"tile {k}") for k, tile in enumerate(tiles)]
    method, _ = fitted(named, tmp_path / "run", fabric)
    told = {tile.source: tile.caption for tile in named}
    found = list(islice(method.default_conditions(1, 2), 6))
    assert [condition.caption for condition in found] == [told[condition.source] for condition in found]
    assert len({condition.caption for condition in found}) > 1
    batch = CGPNGAN.batch_of(Crops(named, 32), method.settings, method.facts, generator_of(0))
    assert set(batch.sentences) <= set(told.values())


def test_a_batch_is_windows_in_the_range_that_clip_is_shown(tiles: list[Sample], trained: tuple[CGPNGAN, Run]) -> None:
    """CLIP's pair takes [-1, 1]; the release scaled its images twice."""
    black = [replace(tile, image=np.zeros_like(tile.image)) for tile in tiles]
    white = [replace(tile, image=np.full_like(tile.image, 255)) for tile in tiles]
    for drawn, value in ((black, -1), (white, 1)):
        method = trained[0]
        batch = CGPNGAN.batch_of(Crops(drawn, 32), method.settings, method.facts, generator_of(0))
        assert (batch.image == value).all()
        assert batch.labels.shape == (4, method.facts.slots.count + 2, 32, 32)


def test_any_table_of_classes(tiles: list[Sample], fabric: Fabric, tmp_path: Path) -> None:
    plain = [replace(tile, classes=np.zeros_like(tile.classes), class_names=(), class_scheme="") for tile in tiles]
    method, _ = fitted(plain, tmp_path / "run", fabric)
    assert painted(method, next(method.default_conditions(0))).caption


@pytest.mark.parametrize(
    ("preset", "parameters", "gflop"), [("paper", (31.4e6, 32.4e6), (244.4, 252)), ("narrow", (0, 32.4e6), (0, 126))]
)
def test_the_published_cost(preset: str, parameters: tuple[float, float], gflop: tuple[float, float]) -> None:
    """And 6 GFLOP of text."""
    found = cost("cgpn_gan", preset=preset)
    text, image = found["stages"]
    assert (found["classes"], found["size"]) == (5, 256)
    assert text["gflop_per_evaluation"] == pytest.approx(6, rel=0.03)
    assert parameters[0] < image["parameters"] <= parameters[1]
    assert gflop[0] < image["gflop_per_evaluation"] <= gflop[1]


@pytest.mark.parametrize("given", [lambda run, _: f"own:{run}", lambda _, place: f"open_clip:{folder(place)}"])
def test_a_given_clip_is_counted_as_it_is(
    given: Callable[[Path, Path], str], trained: tuple[CGPNGAN, Run], tmp_path: Path
) -> None:
    spec = given(trained[1].folder, tmp_path / "small")
    text, image = CGPNGAN.cost(settings_of(clip=spec), 32, 4)
    width = clip_pair.load(spec).width
    with torch.device("meta"):
        net = CGPN(settings_of().network, 6, width)
    assert image.parameters == sum(part.numel() for part in net.parameters())
    assert 0 < text.gflop < CGPNGAN.cost(PRESETS["paper"], 32, 4)[0].gflop
