"""The contract of every generator, run for a few steps on drawn tissue.

A new method needs one line in MICRO: changes to its preset "tiny" that let it train in a second.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lightning_fabric import Fabric

import made_runs
from nucleosynth import catalog, config
from nucleosynth.conditions.counts import from_classes
from nucleosynth.conditions.points import from_instances
from nucleosynth.conditions.proportions import from_label
from nucleosynth.data.reader import read
from nucleosynth.errors import Interrupted, UserError
from nucleosynth.methods.label_painter import LabelPainter
from nucleosynth.methods.method import Method
from nucleosynth.run import Budget, Run, RunRecord
from nucleosynth.sample import Condition, Layout, Sample
from nucleosynth.training import checkpoint, loop
from nucleosynth.training.device import fabric_for

MICRO: dict[str, dict[str, Any]] = {
    "jointflow": {
        "tile": 32,
        "network": {"widths": (16, 32), "blocks": (1, 1), "attention": (False, True), "embedding": 32},
        "training": {"batch": 4},
        "sampling": {"steps": 2, "guided_steps": 2},
    },
    "nudiff": {
        "tile": 32,
        **{
            f"{stage}.{part}": value
            for stage in ("structure", "image")
            for part, value in {
                "network": {"width": 16, "multipliers": (1, 2), "attention": (False, True), "head_channels": 16},
                "network.groups": 8,
                "training.batch": 4,
                "sampling.steps": 2,
            }.items()
        },
    },
    "sdm": {
        "tile": 32,
        "network": {"width": 16, "multipliers": (1, 2), "attention": (False, True), "head_channels": 16, "groups": 8},
        "training": {"batch": 4},
        "sampling": {"steps": 2},
    },
    "diffmix": {
        "tile": 32,
        "network": {"width": 16, "multipliers": (1, 2), "attention": (False, True), "head_channels": 16, "groups": 8},
        "training": {"batch": 4},
        "sampling": {"steps": 2},
    },
    "cosyn": {
        "tile": 32,
        "network": {
            "width": 16,
            "multipliers": (1, 2),
            "blocks": (0, 0),
            "attention": (False, True),
            "heads": 2,
            "head_channels": 8,
            "context": 16,
            "stem": 16,
            "latents": 2,
            "points": {"width": 8, "growth": 4},
        },
        "training": {"batch": 4},
        "sampling": {"steps": 2},
    },
    "pix2pixhd": {
        "tile": 32,
        "network": {"width": 8, "downs": 2, "blocks": 1, "local_width": 4, "local_blocks": 1, "noise": 2},
        "critic": {"width": 8, "layers": 2, "scales": 1},
        "training": {"batch": 4},
    },
    "daff_gan": {
        "tile": 32,
        **{
            f"{stage}.{part}": value
            for stage in ("mask", "image")
            for part, value in {
                "network": {"width": 8, "downs": 2, "blocks": 1, "local_width": 4, "local_blocks": 1, "noise": 2},
                "critic": {"width": 8, "layers": 2, "scales": 1},
                "training.batch": 4,
            }.items()
        },
    },
    "spade": {
        "tile": 32,
        "network": {
            "width": 8,
            "multipliers": (2, 2, 1),
            "doubled": (False, True, True),
            "modulation": 8,
            "style": 4,
            "encoder": (1, 2),
        },
        "critic": {"width": 8, "scales": 1},
        "training": {"batch": 4},
    },
    "cgpn_gan": {
        "tile": 32,
        "own": {"network": {"channels": 16, "width": 16}, "training": {"batch": 4}},
        "network": {"width": 32, "coarse": 1, "modulation": 8, "noise": 8, "seed": 8, "mapping": 1},
        "critic": {"width": 8, "layers": 1, "scales": 1},
        "training": {"batch": 4, "hidden": 8, "joint": 4},
    },
}
METHODS = [entry.name for entry in catalog.CATALOG["method"]]
STEPS = 4


@pytest.fixture(scope="module")
def fabric() -> Fabric:
    return fabric_for("cpu", "32-true")


@pytest.fixture(scope="module")
def tiles() -> list[Sample]:
    return list(read("phantom:tiles=4&size=64&sources=2"))


@pytest.fixture(scope="module", params=METHODS)
def kind(request: pytest.FixtureRequest) -> Any:
    return catalog.load("method", request.param)


def settings_of(kind: Any) -> config.Settings:
    return config.resolve(kind.presets["tiny"], MICRO[kind.name], "test")


def record_of(kind: Any, tiles: list[Sample]) -> RunRecord:
    return made_runs.record_of(kind.name, settings_of(kind), tiles, seed=5, steps=STEPS)


@pytest.fixture(scope="module")
def run(kind: Any, tiles: list[Sample], fabric: Fabric, tmp_path_factory: pytest.TempPathFactory) -> Run:
    found = Run.create(tmp_path_factory.mktemp(kind.name) / "run", record_of(kind, tiles))
    kind.fit(tiles, settings_of(kind), found, fabric)
    return found


@pytest.fixture(scope="module")
def method(kind: Any, run: Run, fabric: Fabric) -> Method:
    model: Method = kind.load(run, fabric)
    return model


def made(method: Method, count: int, seed: int = 1, start: int = 0, batch: int = 4) -> list[Sample]:
    conditions = islice(method.default_conditions(seed), start, None)
    return list(method.generate(conditions, seed, count=count, start=start, batch=batch))


def assert_same(first: Sample | Layout, second: Sample | Layout) -> None:
    for field in fields(first):
        left, right = getattr(first, field.name), getattr(second, field.name)
        if isinstance(left, Layout):
            assert_same(left, right)
        elif isinstance(left, np.ndarray):
            np.testing.assert_array_equal(left, right, err_msg=field.name)
        else:
            assert left == right, field.name


def psnr(first: Sample, second: Sample) -> float:
    error = np.mean((first.image.astype(float) - second.image) ** 2)
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


def test_what_it_declares(kind: Any) -> None:
    names = {field.name for field in fields(Condition)}
    assert kind.name in METHODS
    assert kind.needs <= kind.takes <= names
    assert "tiny" in kind.presets
    assert kind.stages
    with pytest.raises(UserError, match="did you mean"):
        config.resolve(kind.presets["tiny"], {f"{next(iter(type(kind.presets['tiny']).model_fields))}x": 1}, "test")


def test_valid_samples_with_their_provenance(method: Method, run: Run, kind: Any) -> None:
    samples = made(method, 3)
    assert [sample.size for sample in samples] == [method.size] * 3
    assert len({sample.sample_id for sample in samples}) == 3
    for k, sample in enumerate(samples):
        story = sample.provenance
        assert (story["kind"], story["generator"], story["seed"], story["k"]) == ("synthetic", kind.name, 1, k)
        sources = {(entry["source"], entry["licence"]) for entry in story["training_sources"]}
        assert sources == {(entry.source, entry.licence) for entry in run.record.training_sources}
        assert (story["preset"], "without" in story) == ("tiny", False)
        assert sample.class_names == run.record.class_names
        assert sample.mpp == method.mpp


def fitted_without_mpp(kind: Any, tiles: list[Sample], fabric: Fabric, folder: Path) -> Method:
    settings = config.resolve(settings_of(kind), {"mpp": None}, "test")
    record = record_of(kind, tiles).model_copy(
        update={"settings": settings.model_dump(mode="json"), "budget": Budget(steps=1)}
    )
    run = Run.create(folder / "run", record)
    kind.fit(tiles, settings, run, fabric)
    model: Method = kind.load(run, fabric)
    return model


def test_without_a_resolution_of_its_own_it_makes_the_data_s(
    kind: Any, tiles: list[Sample], fabric: Fabric, tmp_path: Path
) -> None:
    model = fitted_without_mpp(kind, [replace(tile, mpp=0.4) for tile in tiles], fabric, tmp_path)
    assert model.mpp is None
    assert [sample.mpp for sample in made(model, 2)] == [0.4] * 2
    if not kind.needs and not issubclass(kind, LabelPainter):
        free = Condition(model.size, None, tiles[0].class_names)
        assert next(model.generate(iter([free]), 1, count=1)).mpp == 0.4


def test_tiles_of_several_resolutions_need_one_to_train_at(
    kind: Any, tiles: list[Sample], fabric: Fabric, tmp_path: Path
) -> None:
    mixed = [replace(tile, mpp=mpp) for tile, mpp in zip(tiles, (0.4, 0.5, 0.5, None), strict=True)]
    with pytest.raises(UserError, match="several resolutions") as caught:
        fitted_without_mpp(kind, mixed, fabric, tmp_path)
    assert "0.4, 0.5, unknown" in str(caught.value)


def test_tiles_without_a_nucleus_are_refused(kind: Any, tiles: list[Sample], fabric: Fabric, tmp_path: Path) -> None:
    bare = [
        replace(tile, instances=np.zeros_like(tile.instances), classes=tile.classes[:0], points=None) for tile in tiles
    ]
    run = Run.create(tmp_path / "run", record_of(kind, bare))
    with pytest.raises(UserError, match="no nuclei to learn from"):
        kind.fit(bare, settings_of(kind), run, fabric)
    assert not list(run.folder.rglob("*.safetensors"))


@pytest.mark.parametrize("side", ["points", "counts", "proportions", "instances"])
def test_a_class_that_training_never_saw_is_refused(method: Method, kind: Any, tiles: list[Sample], side: str) -> None:
    if side not in kind.takes:
        pytest.skip(f"{kind.name} does not take {side}")
    tile = tiles[0].crop(0, 0, 32, 32)
    names = (*tile.class_names, "martian")
    strange = replace(tile, class_names=names, classes=np.full_like(tile.classes, len(names)))
    give = {
        "points": {"points": from_instances(strange)},
        "counts": {"counts": from_classes(strange.classes, len(names))},
        "proportions": {"proportions": from_label(strange.instances, strange.classes, len(names))},
        "instances": {"instances": strange.instances, "classes": strange.classes},
    }
    asked = Condition(tile.size, tile.mpp, names, name="far", **give[side])
    with pytest.raises(UserError, match="never saw") as caught:
        next(method.generate(iter([asked]), 1, count=1))
    assert "martian" in caught.value.got


def test_sample_k_depends_on_seed_and_k_alone(method: Method) -> None:
    three, nine, later = made(method, 3), made(method, 9), made(method, 5, start=4)
    for first, second in zip(three, nine[:3], strict=True):
        assert_same(first, second)
    for first, second in zip(later, nine[4:], strict=True):
        assert_same(first, second)
    assert np.any(made(method, 1, seed=2)[0].image != three[0].image)
    assert np.any(nine[0].image != nine[1].image)


def test_other_batch_sizes_agree_up_to_rounding(method: Method) -> None:
    for first, second in zip(made(method, 6, batch=2), made(method, 6, batch=4), strict=True):
        assert psnr(first, second) > 40


def test_a_resumed_run_equals_an_uninterrupted_one(
    kind: Any, tiles: list[Sample], run: Run, fabric: Fabric, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0

    @contextmanager
    def stop_at_half() -> Iterator[Any]:
        def stop() -> bool:
            nonlocal asked
            asked += 1
            return asked == STEPS // 2

        yield stop

    record, settings = record_of(kind, tiles), settings_of(kind)
    monkeypatch.setattr(loop, "_stop_flag", stop_at_half)
    with pytest.raises(Interrupted):
        kind.fit(tiles, settings, Run.create(tmp_path / "run", record), fabric)
    monkeypatch.undo()
    again = Run.create(tmp_path / "run", record, resume=True)
    kind.fit(tiles, settings, again, fabric)
    for stage in kind.stages:
        assert checkpoint.fingerprint(again.checkpoint(stage)) == checkpoint.fingerprint(run.checkpoint(stage))


def test_a_checkpoint_of_another_method_is_refused(kind: Any, run: Run, fabric: Fabric, tmp_path: Path) -> None:
    other = Run(tmp_path, run.record)
    other.write_facts(run.read_facts())
    for stage in kind.stages:
        checkpoint.save(other.checkpoint(stage), f"other/{stage}", {}, {}, checkpoint.Moment())
    with pytest.raises(UserError, match="another method"):
        kind.load(other, fabric)


@pytest.mark.parametrize("side", ["points", "counts", "proportions", "instances", "image", "known"])
def test_a_given_side_is_kept(method: Method, kind: Any, tiles: list[Sample], side: str) -> None:
    if side not in kind.takes:
        pytest.skip(f"{kind.name} does not take {side}")
    tile = tiles[0].crop(0, 0, 50, 41)
    known = np.arange(tile.size[1])[None].repeat(tile.size[0], axis=0) < 20
    asked = Condition(tile.size, 0.25, tile.class_names, name="given", source=tile.source, licence="its own")
    give = {
        "points": {"points": replace(from_instances(tile), mpp=0.25)},
        "counts": {"counts": from_classes(tile.classes, len(tile.class_names))},
        "proportions": {"proportions": from_label(tile.instances, tile.classes, len(tile.class_names))},
        "known": {"known": known, "image": tile.image, "instances": tile.instances, "classes": tile.classes},
        "instances": {"instances": tile.instances, "classes": tile.classes},
        "image": {"image": tile.image},
    }
    found = next(method.generate(iter([replace(asked, **give[side])]), 1, count=1))
    assert (found.sample_id, found.size, found.mpp) == ("given", tile.size, 0.25)
    assert found.provenance["condition"]["source"] == tile.source
    if side == "instances":
        np.testing.assert_array_equal(found.instances, tile.instances)
        np.testing.assert_array_equal(found.classes, tile.classes)
    if side == "known":
        np.testing.assert_array_equal(found.image[known], tile.image[known])
        np.testing.assert_array_equal(found.instances[known] > 0, tile.instances[known] > 0)
        assert found.provenance["condition"]["known_share"] == round(float(known.mean()), 4)
        assert found.source != tile.source
    licences = {"its own"} if side == "image" else {"its own", tile.licence}
    assert set(found.licence.split("; ")) == licences
    if side == "image":
        np.testing.assert_array_equal(found.image, tile.image)
        assert found.source == tile.source


def test_default_conditions_start_anywhere_and_at_any_size(method: Method) -> None:
    whole, rest = list(islice(method.default_conditions(3), 6)), list(islice(method.default_conditions(3, 4), 2))
    for first, second in zip(whole[4:], rest, strict=True):
        assert first.given() == second.given()
        np.testing.assert_array_equal(first.counts, second.counts)
    assert next(method.default_conditions(3, size=(48, 64))).size == (48, 64)


def test_a_size_above_all_that_it_draws_from_is_refused_at_once(method: Method) -> None:
    found: object = "made"
    try:
        conditions = method.default_conditions(3, size=(48, 80))
    except UserError as error:
        found = str(error)
    assert next(conditions).size == (48, 80) if found == "made" else "at most 64 px" in str(found)


def test_its_cost_is_counted(kind: Any) -> None:
    costs = kind.cost(kind.presets["tiny"], 64, 4)
    assert tuple(cost.name for cost in costs) == kind.stages
    for cost in costs:
        assert cost.parameters > 0 < cost.evaluations
        assert cost.peak_mb > 0
        assert 0 < cost.gflop_cached <= cost.gflop_per_evaluation
        assert cost.gflop_once + cost.gflop_cached == pytest.approx(cost.gflop_per_evaluation)
    larger = kind.cost(kind.presets["tiny"], 128, 4)
    assert larger[-1].gflop_per_evaluation > 3.5 * costs[-1].gflop_per_evaluation
    assert larger[-1].peak_mb > 3.5 * costs[-1].peak_mb
