"""DiffMix's own promises, beside the contract of all methods: what it perturbs, begins from, tells and costs."""

import json
import shutil
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
from nucleosynth.conditions.slots import Slots
from nucleosynth.data.crops import Crops
from nucleosynth.data.reader import read
from nucleosynth.diffusion.schedule import Chain
from nucleosynth.errors import UserError
from nucleosynth.methods import diffusion_painter
from nucleosynth.methods.diffmix import PRESETS, DiffMix, PerturbedLabel
from nucleosynth.methods.painting import network_image, rgb, training_batch
from nucleosynth.run import Run
from nucleosynth.sample import Condition, Sample
from nucleosynth.training.device import fabric_for
from nucleosynth.verbs.generate import generate

MICRO: dict[str, Any] = {
    "tile": 16,
    "network": {"width": 16, "multipliers": (1, 2), "attention": (False, False), "head_channels": 16, "groups": 8},
    "denoising": {"target": "v"},
    "training": {"batch": 2},
    "sampling": {"steps": 2},
}


@pytest.fixture(scope="module")
def fabric() -> Fabric:
    return fabric_for("cpu", "32-true")


@pytest.fixture(scope="module")
def tiles() -> list[Sample]:
    return list(read("phantom:tiles=4&size=96&sources=2"))


def fitted(tiles: list[Sample], folder: Path, fabric: Fabric, **changes: Any) -> tuple[DiffMix, Run]:
    settings = config.resolve(PRESETS["tiny"], MICRO | changes, "test")
    run = Run.create(folder, record_of("diffmix", settings, tiles))
    return DiffMix.fit(tiles, settings, run, fabric), run


@pytest.fixture(scope="module")
def trained(tiles: list[Sample], fabric: Fabric, tmp_path_factory: pytest.TempPathFactory) -> tuple[DiffMix, Run]:
    return fitted(tiles, tmp_path_factory.mktemp("diffmix") / "run", fabric)


@pytest.fixture(scope="module")
def method(trained: tuple[DiffMix, Run]) -> DiffMix:
    return trained[0]


def asked(method: DiffMix, count: int, seed: int = 1, size: tuple[int, int] | None = None) -> list[PerturbedLabel]:
    found = list(islice(method.default_conditions(seed, size=size), count))
    return [each for each in found if isinstance(each, PerturbedLabel)]


def made(method: DiffMix, conditions: list[Any], batch: int = 4) -> list[Sample]:
    return list(method.generate(iter(conditions), 1, count=len(conditions), batch=batch))


def plain(condition: Condition) -> Condition:
    """The same label, with no image to begin from."""
    return Condition(
        condition.size,
        condition.mpp,
        condition.class_names,
        condition.tissue,
        condition.stain,
        instances=condition.instances,
        classes=condition.classes,
        name="mine",
    )


@pytest.mark.parametrize("size", [(48, 48), (40, 24)])
def test_its_own_conditions_are_windows_with_what_was_changed(
    method: DiffMix, tiles: list[Sample], size: tuple[int, int]
) -> None:
    conditions = asked(method, 12, size=size)
    assert len(conditions) == 12
    by_name, kinds = {tile.sample_id: tile for tile in tiles}, set()
    for condition in conditions:
        assert condition.size == size
        assert condition.image is None
        assert condition.begin is not None
        assert condition.begin.shape == (*condition.size, 3)
        assert condition.source == by_name[condition.record["tile"]].source
        assert condition.instances is not None
        assert condition.classes is not None
        for change in condition.record["changes"]:
            nucleus = condition.instances[change["y"], change["x"]]
            assert condition.class_names[condition.classes[nucleus - 1] - 1] == change["after"]
            kinds.add(change["kind"])
    assert kinds == {"replaced", "added"}


def test_classes_are_balanced_to_the_border_of_a_window(method: DiffMix, tiles: list[Sample]) -> None:
    """The border that stays as it is is that of a wider window."""
    found = asked(method, 100, size=(32, 32))
    places = [change for each in found for change in each.record["changes"]]
    assert min(min(each["x"], each["y"], 31 - each["x"], 31 - each["y"]) for each in places) == 0
    before, after = (np.zeros(len(tiles[0].class_names) + 1) for _ in range(2))
    for each in found:
        assert each.classes is not None
        after += np.bincount(each.classes, minlength=len(after))
    for tile in tiles:
        before += np.bincount(tile.classes, minlength=len(before))
    far, near = (np.abs(n / n.sum() - (before > 0) / np.count_nonzero(before)).sum() for n in (before, after))
    assert near < 0.8 * far


def test_a_sample_has_the_label_and_tells_what_was_changed(method: DiffMix) -> None:
    conditions = asked(method, 6)
    for condition, sample in zip(conditions, made(method, conditions), strict=True):
        np.testing.assert_array_equal(sample.instances, condition.instances)
        np.testing.assert_array_equal(sample.classes, condition.classes)
        story = sample.provenance
        assert json.loads(json.dumps(story["perturbation"])) == condition.record
        assert (story["condition"]["source"], story["condition"]["given"][0]) == (condition.source, "begin")
        assert sample.source.startswith("synthetic/diffmix-")
        assert np.any(sample.image != condition.begin)
    (painted,) = made(method, [plain(conditions[0])])
    assert "perturbation" not in painted.provenance
    assert "begin" not in painted.provenance["condition"]["given"]


def test_painting_begins_from_the_image_part_of_the_way(method: DiffMix, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[torch.Tensor | None, float]] = []

    def spy(*_: Any, start: torch.Tensor | None, share: float) -> torch.Tensor:
        seen.append((start, share))
        return torch.zeros(4, 3, 16, 16) if start is None else start

    monkeypatch.setattr(diffusion_painter, "paint", spy)
    conditions: list[Any] = asked(method, 3)
    conditions[1] = plain(conditions[1])
    found = made(method, conditions)
    (start, share), (nothing, whole) = seen
    assert (share, nothing, whole) == (method.settings.begin, None, 1.0)
    assert start is not None
    np.testing.assert_array_equal(start[2].numpy(), network_image(conditions[2].begin))
    assert not start[[1, 3]].any()
    np.testing.assert_array_equal(found[0].image, conditions[0].begin)
    np.testing.assert_array_equal(found[1].image, 128)


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_begins_from_as_much_noise_as_published(preset: str) -> None:
    settings, published = PRESETS[preset], Chain.linear(1000).signal[550]
    signal = settings.denoising.chain.signal[round(settings.begin * settings.denoising.steps)]
    assert signal == pytest.approx(float(published), abs=0.002)


def test_the_image_that_it_begins_from_matters(method: DiffMix) -> None:
    (condition,) = asked(method, 1)
    assert condition.begin is not None
    darker = replace(condition, begin=condition.begin // 2)
    images = [made(method, [each])[0].image.astype(int) for each in (condition, darker, plain(condition))]
    for first, second in ((0, 1), (0, 2), (1, 2)):
        assert np.abs(images[first] - images[second]).mean() > 0.5


def test_labels_with_and_without_an_image_share_a_batch_unseen(method: DiffMix) -> None:
    first, second = asked(method, 2)
    together = made(method, [first, plain(second)])
    alone = [made(method, [first, second])[0], made(method, [plain(first), plain(second)])[1]]
    for left, right in zip(together, alone, strict=True):
        np.testing.assert_array_equal(left.image, right.image)


def test_a_begin_of_another_resolution_is_brought_to_the_network(method: DiffMix) -> None:
    (condition,) = asked(method, 1, size=(40, 24))
    (found,) = made(method, [replace(condition, mpp=0.25)])
    assert (found.size, found.mpp) == ((40, 24), 0.25)


def test_given_labels_need_no_tiles(trained: tuple[DiffMix, Run], fabric: Fabric, tmp_path: Path) -> None:
    model, run = trained
    shutil.copytree(run.folder, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "tiles")
    moved = DiffMix.load(Run.open(tmp_path / "run"), fabric)
    asked_of = plain(asked(model, 1)[0])
    np.testing.assert_array_equal(made(moved, [asked_of])[0].image, made(model, [asked_of])[0].image)
    with pytest.raises(UserError):
        next(moved.default_conditions(0))


def test_a_condition_without_a_label_is_refused(method: DiffMix) -> None:
    with pytest.raises(UserError, match=r"no label to paint an image for(.|\n)*--labels"):
        made(method, [Condition((16, 16), 0.5, method.class_names)])


@pytest.mark.parametrize("kind", [0, 1])
def test_tiles_without_classes_work(tiles: list[Sample], fabric: Fabric, tmp_path: Path, kind: int) -> None:
    alike = [replace(tile, classes=np.full_like(tile.classes, kind), class_names=("nucleus",)) for tile in tiles]
    method, _ = fitted(alike, tmp_path / "run", fabric)
    samples = made(method, list(asked(method, 8, size=(48, 48))))
    changes = [change for sample in samples for change in sample.provenance["perturbation"]["changes"]]
    assert {change["kind"] for change in changes} == {"added"}
    assert {int(each) for sample in samples for each in sample.classes} == {kind}


@pytest.mark.parametrize(
    ("proportions", "message"), [({"epithelal": 1.0}, "did you mean"), ({"glass": 1.0}, "none of glass")]
)
def test_proportions_are_refused_before_training(
    tiles: list[Sample], fabric: Fabric, tmp_path: Path, proportions: dict[str, float], message: str
) -> None:
    named = [replace(tile, class_names=(*tile.class_names, "glass")) for tile in tiles]
    with pytest.raises(UserError, match=message):
        fitted(named, tmp_path / "run", fabric, perturbation={"proportions": proportions})
    assert not list(tmp_path.rglob("*.safetensors"))
    assert not (tmp_path / "run" / "tiles").exists()


def test_tiles_that_the_network_cannot_halve_are_refused() -> None:
    with pytest.raises(UserError, match="multiple of 4 px"):
        config.resolve(PRESETS["tiny"], MICRO | {"tile": 18}, "test")


def test_it_costs_what_was_published() -> None:
    """The released network: 652.3 M parameters and 3423 GFLOP for 6 channels; 55 guided steps of 100."""
    (cost,) = DiffMix.cost(PRESETS["paper"], 256, DiffMix.published_classes)
    assert cost.parameters / 1e6 == pytest.approx(652.3, rel=0.03)
    assert cost.gflop_per_evaluation == pytest.approx(3423, rel=0.03)
    assert cost.evaluations == 2 * 28
    released = config.resolve(PRESETS["paper"], {"sampling.steps": 100}, "test")
    assert DiffMix.cost(released, 256, 4)[0].evaluations == 2 * 55
    assert all(DiffMix.cost(preset, 256, 4)[0].evaluations <= 2 * 50 for preset in PRESETS.values())


def test_training_batches_are_images_with_their_labels(tiles: list[Sample]) -> None:
    slots = Slots.of(tiles)
    images, labels = training_batch(Crops(tiles, 32), slots, np.random.default_rng(0), 5)
    assert (images.shape, labels.shape) == ((5, 3, 32, 32), (5, slots.count + 2, 32, 32))
    assert (images.dtype, labels.dtype) == (np.float32, np.float32)
    np.testing.assert_array_equal(labels[:, :-1].sum(axis=1), 1)
    nuclei, background = (images.mean(axis=1)[where] for where in (labels[:, 0] == 0, labels[:, 0] == 1))
    assert nuclei.mean() < background.mean() - 0.2


def test_images_come_back_from_a_network(tiles: list[Sample]) -> None:
    image = tiles[0].image
    found = network_image(image)
    assert (found.min() >= -1, found.max() <= 1, found.shape) == (True, True, (3, 96, 96))
    np.testing.assert_array_equal(rgb(torch.from_numpy(found)[None])[0], image)


def test_given_labels_begin_from_their_own_images(
    trained: tuple[DiffMix, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, paint, starts = trained[1], diffusion_painter.paint, []

    def spied(*parts: Any, start: Any, share: float) -> Any:
        starts.append(start)
        return paint(*parts, start=start, share=share)

    monkeypatch.setattr(diffusion_painter, "paint", spied)
    data = "phantom:tiles=1&size=32&sources=1"
    generate(run.folder, out=tmp_path / "out", labels=data, batch=1, device="cpu", precision="32-true")
    tile = next(iter(read(data)))
    assert tile.mpp == run.record.settings["mpp"]
    np.testing.assert_array_equal(starts[0][0].numpy(), network_image(tile.image))
