"""What CoSyn promises beside the contract."""

from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

from made_runs import record_of
from nucleosynth import config
from nucleosynth.conditions.counts import from_classes
from nucleosynth.conditions.points import from_instances
from nucleosynth.data.reader import read
from nucleosynth.data.tiles import resize_points
from nucleosynth.diffusion.prediction import State
from nucleosynth.encoders import text as texts
from nucleosynth.errors import UserError
from nucleosynth.methods import cosyn as method
from nucleosynth.methods.cosyn import CoSyn, CoSynSettings
from nucleosynth.nets.cosyn import CoSynNet, Given
from nucleosynth.run import Run
from nucleosynth.sample import Condition, Sample
from nucleosynth.training import checkpoint
from nucleosynth.training.device import fabric_for

MICRO: dict[str, Any] = {
    "tile": 32,
    "mpp": 0.5,
    "text": "words",
    "network": {
        "width": 16,
        "multipliers": (1, 2),
        "blocks": (0, 0),
        "attention": (False, True),
        "heads": 2,
        "head_channels": 8,
        "context": 16,
        "shrink_first": False,
        "patch": 2,
        "stem": 16,
        "kernels": (3,),
        "latents": 2,
        "points": {"width": 8, "blocks": 1, "growth": 4},
    },
    "training": {"batch": 4},
    "sampling": {"steps": 2},
}
TILES = list(read("phantom:tiles=2&size=64&sources=1"))


@pytest.fixture(scope="module")
def fabric() -> Fabric:
    return fabric_for("cpu", "32-true")


def fitted(
    folder: Path, fabric: Fabric, preset: str = "tiny", tiles: list[Sample] = TILES, **changes: Any
) -> tuple[CoSyn, Run]:
    settings = config.resolve(config.resolve(CoSyn.presets[preset], MICRO, "test"), changes, "test")
    assert isinstance(settings, CoSynSettings)
    run = Run.create(folder / "run", record_of("cosyn", settings, tiles))
    return CoSyn.fit(tiles, settings, run, fabric), run


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, fabric: Fabric) -> CoSyn:
    return fitted(tmp_path_factory.mktemp("cosyn"), fabric)[0]


def asked(**fields: Any) -> Condition:
    return Condition((32, 32), 0.5, TILES[0].class_names, **fields)


def generated(model: CoSyn, *conditions: Condition, seed: int = 1) -> list[Sample]:
    return list(model.generate(iter(conditions), seed, count=len(conditions), batch=4))


class Told:
    """What the network is told, kept in place of its work; the label that it answers."""

    def __init__(self, label: np.ndarray | None = None) -> None:
        self.given: list[Given] = []
        self.label = label

    def __call__(self, fabric: Fabric, net: CoSynNet, given: Given, *_: object) -> State:
        assert fabric.device.type == "cpu"
        self.given.append(given)
        size = (32, 32) if given.points is None else given.points.shape[1:]
        ids = torch.zeros(*size, dtype=torch.int64) if self.label is None else torch.from_numpy(self.label).long()
        state = {name: torch.zeros(4, width, *size) for name, width in net.groups.items()}
        return state | {"label": ids.expand(4, -1, -1)}


def test_points_caption_and_counts_reach_the_network(model: CoSyn, monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told()
    monkeypatch.setattr(method, "synthesise", told)
    tile = TILES[0].crop(0, 0, 32, 32)
    layout, counts = replace(from_instances(tile), mpp=0.5), from_classes(tile.classes, len(tile.class_names))
    generated(model, asked(points=layout))
    generated(model, asked(counts=counts))
    generated(model, asked(caption="a blue gland"))
    generated(model, asked())
    points, counted, captioned, free = told.given
    assert model._net.points is not None
    absent = model._net.points.absent
    np.testing.assert_array_equal(points.points[0], model.coding.points(layout))
    assert all((given.points == absent).all() for given in (counted, captioned, free))
    np.testing.assert_allclose(counted.amounts[0, :-1], model.coding.amounts(counts))
    assert counted.amounts[0, -1] == 1
    assert not any(given.amounts.any() for given in (points, captioned, free))
    assert [bool(given.told[0]) for given in told.given] == [True, True, True, False]
    encoder = texts.load("words")
    assert torch.equal(captioned.text[0], encoder(["a blue gland"]).values[0])
    assert not points.told[1:].any(), "empty places are told nothing"


def test_a_point_pattern_of_another_resolution_is_brought_to_the_method_s(
    model: CoSyn, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = Told()
    monkeypatch.setattr(method, "synthesise", told)
    tile = TILES[0]
    layout = replace(from_instances(tile), mpp=0.25)
    found = generated(model, Condition((64, 64), 0.25, tile.class_names, points=layout))
    assert told.given[0].points.shape == (4, 32, 32)
    np.testing.assert_array_equal(told.given[0].points[0], model.coding.points(resize_points(layout, (32, 32), 0.5)))
    assert found[0].size == (64, 64)


def test_nuclei_lie_at_the_given_points(model: CoSyn, monkeypatch: pytest.MonkeyPatch) -> None:
    """The label is one piece; the points part it."""
    label = np.zeros((32, 32), np.uint8)
    label[8:16, 4:28] = 1
    monkeypatch.setattr(method, "synthesise", Told(label))
    tile = TILES[0].crop(0, 0, 32, 32)
    xy = np.array([[8, 12], [23, 12], [16, 25]], np.float32)
    layout = replace(from_instances(tile), xy=xy, classes=np.array([1, 2, 1], np.uint8), mpp=0.5)
    pointed, free = generated(model, asked(points=layout))[0], generated(model, asked())[0]
    assert (pointed.instances.max(), free.instances.max()) == (2, 1)
    assert pointed.instances[12, 8] != pointed.instances[12, 23]
    np.testing.assert_array_equal(pointed.classes, model.facts.classes[:1] * 2)


def test_default_conditions_are_layouts_of_the_training_tiles_with_their_sentence(
    fabric: Fabric, tmp_path: Path
) -> None:
    model, _ = fitted(tmp_path, fabric, tiles=[replace(tile, caption="") for tile in TILES])
    for condition in islice(model.default_conditions(4), 3):
        assert condition.points is not None
        assert condition.caption is not None
        assert condition.caption.startswith("high quality histopathology")
        named = {condition.class_names[kind - 1] for kind in condition.points.classes}
        assert all((name in condition.caption) == (name in named) for name in condition.class_names)
    sizes = [next(model.default_conditions(4, size=size)).points.size for size in ((48, 64), (60, 20))]  # type: ignore[union-attr]
    assert sizes == [(48, 64), (60, 20)]


@pytest.mark.parametrize(
    ("without", "given"),
    [
        (("points",), {"tissue", "stain", "counts", "caption"}),
        (("text",), {"tissue", "stain", "points"}),
        (("distance", "counts"), {"tissue", "stain", "points", "caption"}),
        (("distance", "text"), {"tissue", "stain", "points"}),
        (("text", "counts"), {"tissue", "stain", "points"}),
        (("distance", "text", "counts"), {"tissue", "stain", "points"}),
        (("points", "text"), {"tissue", "stain", "counts"}),
        (("points", "distance", "text", "counts"), {"tissue", "stain"}),
    ],
)
def test_each_ablation_trains_and_generates(
    without: tuple[str, ...], given: set[str], fabric: Fabric, tmp_path: Path
) -> None:
    model, run = fitted(tmp_path, fabric, without=without)
    assert next(model.default_conditions(0)).given() == given
    again = CoSyn.load(run, fabric)
    first, second = (list(each.generate(each.default_conditions(2), 2, count=2, batch=4)) for each in (model, again))
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.image, other.image)
        np.testing.assert_array_equal(one.instances, other.instances)
    groups = set(model._net.heads)
    assert groups == {"image", "label"} | ({"distance"} - set(without))


def test_what_a_model_was_built_without_is_refused(fabric: Fabric, tmp_path: Path) -> None:
    model, _ = fitted(tmp_path, fabric, without=("points", "text", "counts"))
    tile = TILES[0].crop(0, 0, 32, 32)
    values = {
        "points": replace(from_instances(tile), mpp=0.5),
        "caption": "words",
        "counts": from_classes(tile.classes, len(tile.class_names)),
    }
    for field, value in values.items():
        with pytest.raises(UserError, match="without"):
            generated(model, asked(**{field: value}))


def test_guidance_is_by_what_the_model_has(model: CoSyn) -> None:
    assert model.settings.effective_sampling.guidance > 1
    settings = model.settings.model_copy(update={"without": ("text",)})
    both = settings.sampling.model_copy(update={"guided_by": ("text", "points")})
    assert settings.model_copy(update={"sampling": both}).effective_sampling.guided_by == ("points",)
    alone = settings.sampling.model_copy(update={"guided_by": ("text",)})
    assert settings.model_copy(update={"sampling": alone}).effective_sampling.guidance == 1


@pytest.mark.parametrize("preset", ["gcdp", "gcdp-tiny"])
def test_gcdp_is_text_alone_on_image_and_label(fabric: Fabric, tmp_path: Path, preset: str) -> None:
    model, _ = fitted(tmp_path, fabric, preset)
    assert set(model._net.heads) == {"image", "label"}
    assert model._net.points is None
    assert model._net.amounts is None
    assert model._net.text is not None
    assert next(model.default_conditions(0)).given() == {"tissue", "stain", "caption"}


def test_gcdp_as_published_weighs_image_and_label_alike() -> None:
    training = CoSyn.presets["gcdp"].training  # type: ignore[attr-defined]
    assert (training.image, training.label) == (1, 1)


def test_tiles_without_classes(fabric: Fabric, tmp_path: Path) -> None:
    tiles = [replace(tile, classes=np.zeros_like(tile.classes), class_names=("nucleus",)) for tile in TILES]
    model, _ = fitted(tmp_path, fabric, tiles=tiles)
    condition = next(model.default_conditions(0))
    assert condition.caption is not None
    found = next(model.generate(iter([condition]), 0, count=1))
    assert not found.classes.any()
    assert model.coding.labels == 2


def test_nuclei_of_unknown_type_train(fabric: Fabric, tmp_path: Path) -> None:
    tiles = [
        replace(tile, classes=tile.classes * (np.arange(len(tile.classes)) % 2).astype(np.uint8)) for tile in TILES
    ]
    assert any((tile.classes == 0).any() for tile in tiles)
    _, run = fitted(tmp_path, fabric, tiles=tiles)
    assert all(np.isfinite(line["label"]) for line in run.read_log("joint"))


def test_what_was_never_dropped_must_be_given(fabric: Fabric, tmp_path: Path) -> None:
    drops = {f"training.drop_{part}": 0.0 for part in ("points", "text", "counts")}
    model, _ = fitted(tmp_path, fabric, **drops, **{"sampling.guidance": 1.0})
    tile = TILES[0].crop(0, 0, 32, 32)
    parts = {
        "points": replace(from_instances(tile), mpp=0.5),
        "caption": "words",
        "counts": from_classes(tile.classes, len(tile.class_names)),
    }
    assert next(model.default_conditions(0)).given() >= set(parts)
    assert generated(model, asked(**parts))
    for name in ("points", "counts"):
        with pytest.raises(UserError, match=rf"expected: +conditions with {name}"):
            generated(model, asked(**{field: part for field, part in parts.items() if field != name}))
    assert generated(model, asked(points=parts["points"], counts=parts["counts"])), "points make a sentence"


def test_a_sentence_that_was_never_dropped_must_be_there(fabric: Fabric, tmp_path: Path) -> None:
    model, _ = fitted(tmp_path, fabric, **{"training.drop_text": 0.0, "sampling.guided_by": ("points",)})
    with pytest.raises(UserError, match=r"expected: +conditions with caption"):
        generated(model, asked())


def test_the_text_encoder_travels_in_the_checkpoint_and_another_is_refused(
    fabric: Fabric, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, run = fitted(tmp_path, fabric)
    encoder, path = texts.load("words"), run.checkpoint("joint")
    assert checkpoint.beside(path) == {"text encoder": encoder.name, "text encoder's digest": encoder.digest}
    before = checkpoint.fingerprint(path)
    monkeypatch.setattr(type(encoder), "digest", "0123456789abcdef", raising=False)
    with pytest.raises(UserError, match="another text encoder"):
        CoSyn.load(run, fabric)
    again = Run.create(run.folder, run.record, resume=True)
    with pytest.raises(UserError, match=f"expected: +{encoder.name}, digest "):
        CoSyn.fit(TILES, CoSynSettings.model_validate(run.record.settings), again, fabric)
    assert checkpoint.fingerprint(path) == before


def test_without_text_no_encoder_is_named(fabric: Fabric, tmp_path: Path) -> None:
    _, run = fitted(tmp_path, fabric, without=("text",))
    assert checkpoint.beside(run.checkpoint("joint")) == {}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tile": 34}, "multiple of 4 px"),
        ({"without": ("points", "image")}, "without"),
        ({"sampling": {"steps": 2000}}, "1 to 1000"),
        ({"training": {"drop_points": 0.0}}, "training.drop_points above 0"),
        ({"training": {"drop_text": 1.5}}, "less than or equal to 1"),
        ({"training": {"ema": 1.0}}, "less than 1"),
        ({"sampling": {"threshold": 0.0}}, "greater than 0"),
        ({"network.blocks": (1,)}, "as many multipliers"),
        ({"network.width": 20}, "multiple of 8"),
        ({"text": "word"}, "did you mean 'words'"),
    ],
)
def test_refused_before_training(changes: dict[str, Any], words: str, fabric: Fabric, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        fitted(tmp_path, fabric, **changes)
    assert words in str(caught.value)
    assert not list(tmp_path.rglob("*.safetensors"))


@pytest.mark.parametrize("preset", CoSyn.presets)
def test_every_preset_is_counted(preset: str) -> None:
    settings = CoSyn.presets[preset]
    (cost,) = CoSyn.cost(settings, settings.tile, 3)  # type: ignore[attr-defined]
    assert cost.evaluations <= 100
    assert cost.parameters > 1e6
