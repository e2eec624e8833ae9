"""JointFlow: tiles that are known in part, and all that it is told beside the state."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from numpy.testing import assert_array_equal
from torch import nn

from made_runs import record_of
from nucleosynth import config
from nucleosynth.conditions.counts import from_classes
from nucleosynth.conditions.holes import rectangle
from nucleosynth.conditions.points import from_instances
from nucleosynth.conditions.proportions import from_label
from nucleosynth.data.reader import read
from nucleosynth.diffusion.prediction import State
from nucleosynth.errors import UserError
from nucleosynth.methods.jointflow import JointFlow, JointFlowSettings
from nucleosynth.nets.blocks import matrices
from nucleosynth.run import Run
from nucleosynth.sample import Condition, Sample
from nucleosynth.seeds import generator_of
from nucleosynth.training.device import fabric_for

MICRO: dict[str, Any] = {
    "tile": 32,
    "network": {"widths": (16, 32), "blocks": (1, 1), "attention": (False, True), "embedding": 32},
    "training": {"batch": 4},
    "sampling": {"steps": 3, "guided_steps": 3},
}
SIDES = {"image": ("image",), "label": ("label",), "both": ("image", "label")}


@pytest.fixture(scope="module")
def fabric() -> Fabric:
    return fabric_for("cpu", "32-true")


@pytest.fixture(scope="module")
def tiles() -> list[Sample]:
    pair = read("phantom:tiles=2&size=64&sources=2")
    return [replace(tile, tissue=tissue) for tile, tissue in zip(pair, ("colon", "skin"), strict=True)]


@pytest.fixture(scope="module")
def run(tiles: list[Sample], fabric: Fabric, tmp_path_factory: pytest.TempPathFactory) -> Run:
    settings = config.resolve(JointFlowSettings(), MICRO, "test")
    found = Run.create(tmp_path_factory.mktemp("jointflow") / "run", record_of("jointflow", settings, tiles))
    JointFlow.fit(tiles, settings, found, fabric)
    return found


@pytest.fixture
def model(run: Run, fabric: Fabric) -> JointFlow:
    """Two steps have changed next to nothing: every weight is drawn, so that all that is told shows."""
    found = JointFlow.load(run, fabric)
    torch.manual_seed(0)
    for weight in matrices(found._net):
        nn.init.normal_(weight, std=0.1)
    return found


def condition_of(tile: Sample, sides: tuple[str, ...] = (), **asked: Any) -> Condition:
    image = {"image": tile.image} if "image" in sides else {}
    label = {"instances": tile.instances, "classes": tile.classes} if "label" in sides else {}
    said = {"name": "given", "source": tile.source, "licence": "its own"} | image | label | asked
    return Condition(tile.size, tile.mpp, tile.class_names, **said)


def made(model: JointFlow, *conditions: Condition, seed: int = 1) -> list[Sample]:
    return list(model.generate(iter(conditions), seed, count=len(conditions), batch=4))


def typed(instances: Any, classes: Any) -> Any:
    """(h w) the class of each pixel's nucleus + 1, 0 in the background."""
    return np.concatenate([[0], classes + 1])[instances]


@pytest.mark.parametrize("mpp", [0.5, 0.25])
@pytest.mark.parametrize("sides", SIDES.values(), ids=SIDES)
def test_known_pixels_are_the_given_ones_to_the_byte(
    model: JointFlow, tiles: list[Sample], sides: tuple[str, ...], mpp: float
) -> None:
    """At the model's resolution and at another, of a size that is no multiple of its stride."""
    tile = replace(tiles[0].crop(3, 5, 50, 41), mpp=mpp)
    known = ~rectangle(tile.size, 0.3, generator_of(2))
    free, found = made(model, condition_of(tile), condition_of(tile, sides, known=known))
    assert (found.size, found.mpp) == (tile.size, mpp)
    if "image" in sides:
        assert_array_equal(found.image[known], tile.image[known])
    if "label" in sides:
        assert_array_equal(typed(found.instances, found.classes)[known], typed(tile.instances, tile.classes)[known])
        pairs = np.unique(np.stack([found.instances[known], tile.instances[known]]), axis=1)
        assert len(set(pairs[0])) == len(set(pairs[1])) == pairs.shape[1], "nuclei are the same ones"
    assert (found.image[~known] != tile.image[~known]).any()
    assert free.provenance["condition"]["given"] == []


def test_what_is_known_is_seen(model: JointFlow, tiles: list[Sample]) -> None:
    """The hole of an image is painted otherwise beside other pixels, and in a label's hole nuclei differ."""
    tile = tiles[0].crop(0, 0, 32, 32)
    known = ~rectangle(tile.size, 0.4, generator_of(2))
    dark = replace(tile, image=(tile.image // 2).astype(np.uint8))
    first, other = (made(model, condition_of(each, ("image",), known=known))[0] for each in (tile, dark))
    assert (first.image[~known] != other.image[~known]).any()
    empty = replace(tile, instances=0 * tile.instances, classes=tile.classes[:0])
    first, other = (made(model, condition_of(each, ("label",), known=known))[0] for each in (tile, empty))
    assert (first.image != other.image).any()


def test_a_tile_painted_in_part_is_synthetic_and_under_both_licences(model: JointFlow, tiles: list[Sample]) -> None:
    known = ~rectangle((64, 64), 0.25, generator_of(0))
    (found,) = made(model, condition_of(tiles[0], ("image", "label"), known=known))
    said = found.provenance["condition"]
    assert found.provenance["kind"] == "synthetic"
    assert found.source == model.origin.source
    assert set(found.licence.split("; ")) == {"its own", tiles[0].licence}
    assert said["given"] == ["image", "instances", "known"]
    assert (said["source"], said["known_share"]) == (tiles[0].source, round(float(known.mean()), 4))


def test_a_reference_is_followed_and_others_of_the_batch_are_not_told(model: JointFlow, tiles: list[Sample]) -> None:
    first, second = tiles[0].image, 255 - tiles[1].image
    asked = [condition_of(tiles[0].crop(0, 0, 32, 32), name=f"tile {k}") for k in range(3)]
    shown = [replace(asked[0], reference=first), asked[1], asked[2]]
    other = [replace(asked[0], reference=second), asked[1], asked[2]]
    plain, told, again, changed = (made(model, *conditions) for conditions in (asked, shown, shown, other))
    assert (told[0].image != plain[0].image).any()
    assert (told[0].image != changed[0].image).any()
    assert_array_equal(told[0].image, again[0].image)
    for k in (1, 2):
        assert_array_equal(told[k].image, plain[k].image)
        assert_array_equal(changed[k].image, plain[k].image)


def test_of_a_reference_the_middle_counts_at_the_model_s_resolution(model: JointFlow, tiles: list[Sample]) -> None:
    """The model's tiles are 32 px at .5 um."""
    framed = np.zeros((64, 64, 3), np.uint8)
    framed[16:48, 16:48] = tiles[0].image[16:48, 16:48]
    asked = condition_of(tiles[0].crop(0, 0, 32, 32))
    assert model.mpp == asked.mpp == 0.5
    whole, alone = made(model, replace(asked, reference=framed), replace(asked, reference=framed[16:48, 16:48]))
    (twice,) = made(model, replace(asked, mpp=1.0, size=(16, 16), reference=tiles[0].image[:16, :16]))
    first = made(model, replace(asked, reference=framed))[0]
    assert_array_equal(first.image, whole.image)
    assert made(model, replace(asked, reference=framed[16:48, 16:48]))[0].image.tobytes() == first.image.tobytes()
    assert alone.size == (32, 32)
    assert twice.size == (16, 16)


@pytest.mark.parametrize("name", ["caption", "tissue", "counts", "proportions"])
def test_what_is_told_is_heard(model: JointFlow, tiles: list[Sample], name: str) -> None:
    asked = condition_of(tiles[0].crop(0, 0, 32, 32))
    told: dict[str, tuple[Any, Any]] = {
        "caption": ("a gland", "dense stroma"),
        "tissue": ("colon", "skin"),
        "counts": (np.array([3, 0, 0, 0]), np.array([0, 9, 0, 0])),
        "proportions": (np.array([0.3, 0, 0, 0]), np.array([0, 0.1, 0, 0])),
    }
    first, second = told[name]
    images = [made(model, *each)[0].image for each in ([replace(asked, **{name: x})] for x in (None, first, second))]
    assert all((one != other).any() for one, other in zip(images, [*images[1:], images[0]], strict=True))
    assert_array_equal(images[1], made(model, replace(asked, **{name: first}))[0].image)


def test_points_say_how_many_nuclei_there_are(model: JointFlow, tiles: list[Sample]) -> None:
    """A layout by itself is the same as with its own counts beside it; other counts are heard."""
    layout = from_instances(tiles[0].crop(0, 0, 32, 32))
    counts = from_classes(layout.classes, len(tiles[0].class_names))
    alone, told, others = (
        made(model, condition_of(tiles[0].crop(0, 0, 32, 32), points=layout, counts=asked))[0]
        for asked in (None, counts, counts + 5)
    )
    assert_array_equal(alone.image, told.image)
    assert (alone.image != others.image).any()


def test_an_empty_caption_and_an_unknown_tissue_say_nothing(model: JointFlow, tiles: list[Sample]) -> None:
    asked = condition_of(tiles[0].crop(0, 0, 32, 32))
    (plain,) = made(model, asked)
    for silent in (replace(asked, caption=""), replace(asked, tissue="lung")):
        assert_array_equal(made(model, silent)[0].image, plain.image)


def test_a_guidance_interval_saves_evaluations(
    model: JointFlow, tiles: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[float] = []
    honest = model._net.forward

    def counting(state: State, t: torch.Tensor, *rest: Any) -> State:
        calls.append(float(t[0, 1]))
        return honest(state, t, *rest)

    monkeypatch.setattr(model._net, "forward", counting)
    asked = condition_of(tiles[0].crop(0, 0, 32, 32), ("label",))
    steps = model.settings.sampling.guided_steps
    evaluations = {}
    for interval in ((0.0, 1.0), (2.0, 3.0), (0.0, 0.0)):
        sampling = model.settings.sampling.model_copy(update={"interval": interval})
        model.settings = model.settings.model_copy(update={"sampling": sampling})
        calls.clear()
        made(model, asked)
        evaluations[interval] = len(calls), calls.count(0.0)
    assert evaluations == {(0.0, 1.0): (2 * steps, steps), (2.0, 3.0): (steps, 0), (0.0, 0.0): (steps + 1, 1)}


def test_proportions_of_a_class_that_training_never_saw_are_refused(model: JointFlow, tiles: list[Sample]) -> None:
    names = (*tiles[0].class_names, "martian")
    asked = condition_of(tiles[0], proportions=np.array([0, 0, 0, 0, 0.2]))
    with pytest.raises(UserError, match="never saw") as caught:
        made(model, replace(asked, class_names=names))
    assert "martian" in caught.value.got


def test_a_pair_from_nothing_is_as_crowded_as_a_training_crop(model: JointFlow) -> None:
    facts = model.facts
    for k, asked in zip(range(8), model.default_conditions(5), strict=False):
        assert asked.counts is not None
        assert asked.proportions is not None
        at = facts.counts.index(tuple(asked.counts.tolist()))
        rows = [j for j, counts in enumerate(facts.counts) if counts == facts.counts[at]]
        assert any(
            tuple(asked.proportions) == facts.proportions[j] and asked.tissue == facts.crop_tissues[j] for j in rows
        ), k


def test_the_facts_of_crops_agree_with_the_tiles(model: JointFlow, tiles: list[Sample]) -> None:
    assert model.facts.tissues == ("colon", "skin")
    shares = np.array(model.facts.proportions)
    whole = [from_label(tile.instances, tile.classes, len(tile.class_names)).sum() for tile in tiles]
    assert min(whole) / 2 < shares.sum(axis=1).mean() < 2 * max(whole)
    counts = [from_classes(tile.classes, len(tile.class_names)).sum() for tile in tiles]
    assert np.array(model.facts.counts).sum(axis=1).max() <= max(counts)
