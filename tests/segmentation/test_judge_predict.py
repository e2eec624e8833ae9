"""Prediction: windows leave no seam, tiles keep their size and resolution, perfect maps give perfect nuclei."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from nucleosynth.config import resolve
from nucleosynth.data.tiles import resample
from nucleosynth.errors import UserError
from nucleosynth.metrics import instance
from nucleosynth.sample import Sample
from nucleosynth.segmentation.hovernet import HoVerNet, in_mode
from nucleosynth.segmentation.judge import Judge
from nucleosynth.segmentation.predict import ceiling, enlarge, predict, raw_maps
from nucleosynth.segmentation.targets import targets

SETTINGS = resolve(HoVerNet.presets["tiny"], {"width": 8, "window": 96, "margin": 16, "offset_px": 2.0}, "test")
Discs = Callable[..., Sample]


class Mean(nn.Module):
    """Answers with the mean of the surrounding 9^2 px, so that a seam or a shift shows."""

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        padded = nn.functional.pad(image.double() / 255, (4, 4, 4, 4), mode="reflect")
        smooth = nn.functional.avg_pool2d(padded, 9, 1)
        return {"nuclei": smooth[:, :2], "field": smooth[:, 1:]}


def judge_of(network: nn.Module, fabric: Fabric) -> Judge:
    return Judge(fabric.setup_module(network).eval(), SETTINGS, ("small", "large"), fabric)


@pytest.mark.parametrize("size", [(200, 140), (64, 64), (65, 30), (5, 300)])
def test_windows_leave_no_seam(size: tuple[int, int], fabric: Fabric) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    maps = raw_maps(judge_of(Mean().requires_grad_(False), fabric), image)
    whole = Mean()(torch.from_numpy(np.pad(image, ((8, 8), (8, 8), (0, 0)), mode="reflect")).movedim(-1, 0)[None])
    whole = {name: value[0, :, 8:-8, 8:-8].movedim(0, -1) for name, value in whole.items()}
    np.testing.assert_allclose(maps["field"], 2.0 * whole["field"], atol=1e-6)
    np.testing.assert_allclose(maps["nuclei"], whole["nuclei"].softmax(dim=-1)[..., 1:], atol=1e-6)


@pytest.mark.parametrize("mpp", [0.25, 0.5, 0.7])
def test_a_tile_keeps_size_resolution_and_name(discs: Discs, fabric: Fabric, mpp: float) -> None:
    torch.manual_seed(1)
    network = HoVerNet.build(SETTINGS, 2)
    for decoder in network.decoders:
        torch.nn.init.normal_(decoder.head[0].weight)
    sample = discs(0, (200, 140), mpp=mpp)
    found = next(predict(judge_of(network, fabric), [sample]))
    assert found.size == (200, 140)
    assert (found.sample_id, found.mpp, found.labelled_as) == (sample.sample_id, mpp, "derived")
    np.testing.assert_array_equal(found.image, sample.image)
    assert len(found.classes) > 0
    assert set(found.classes) <= {1, 2}


@pytest.mark.parametrize("mpp", [0.25, 1.0])
def test_offsets_grow_with_the_map_and_nothing_else_does(discs: Discs, mpp: float) -> None:
    sample = discs(0, (80, 60), mpp=mpp)
    small = (round(80 * mpp / 0.5), round(60 * mpp / 0.5))
    maps = {
        name: np.full((*small, depth), 0.75, np.float32) for name, depth in (("nuclei", 1), ("field", 2), ("type", 3))
    }
    larger = enlarge(maps, sample, SETTINGS)
    assert {name: array.shape for name, array in larger.items()} == {
        "nuclei": (80, 60, 1),
        "field": (80, 60, 2),
        "type": (80, 60, 3),
    }
    np.testing.assert_allclose(larger["nuclei"], 0.75)
    np.testing.assert_allclose(larger["type"], 0.75)
    np.testing.assert_allclose(larger["field"], 0.75 * 0.5 / mpp)


def test_the_labels_of_a_tile_are_not_looked_at(discs: Discs, fabric: Fabric) -> None:
    torch.manual_seed(1)
    network = HoVerNet.build(SETTINGS, 2)
    for decoder in network.decoders:
        torch.nn.init.normal_(decoder.head[0].weight)
    sample = discs(0)
    bare = replace(sample, instances=np.zeros(sample.size, np.int32), classes=np.zeros(0, np.uint8))
    first, second = predict(judge_of(network, fabric), [sample, bare])
    np.testing.assert_array_equal(first.instances, second.instances)


def test_resolution_is_never_guessed(discs: Discs, fabric: Fabric) -> None:
    with pytest.raises(UserError, match="unknown resolution"):
        next(predict(judge_of(HoVerNet.build(SETTINGS, 2), fabric), [replace(discs(0), mpp=None)]))


def test_perfect_offsets_give_back_the_nuclei(discs: Discs) -> None:
    samples = [discs(seed, (128, 100), 60) for seed in range(3)]
    for score in ceiling(samples, SETTINGS):
        assert score["aji"] >= 0.99


def test_the_ceiling_says_what_a_coarser_judge_loses(discs: Discs) -> None:
    samples = [discs(seed, (128, 128), 60, mpp=0.25) for seed in range(3)]
    for score in ceiling(samples, SETTINGS):
        assert 0.5 < score["aji"] < 0.99


def test_hover_coding_goes_the_same_way(discs: Discs) -> None:
    """Its published sizes belong to 40x; on discs of 16 px radius the extraction is nearly whole."""
    sample = discs(0, (96, 96))
    large = replace(
        sample, image=sample.image.repeat(2, 0).repeat(2, 1), instances=sample.instances.repeat(2, 0).repeat(2, 1)
    )
    (score,) = ceiling([large], resolve(SETTINGS, {"coding": "hover"}, "test"))
    assert score["aji"] > 0.8


def test_hv_maps_are_read_at_the_judge_s_resolution(discs: Discs) -> None:
    """The published sizes in px belong to .25 um: at .5 they would lose every one of these pairs of 4 um squares."""
    instances = np.zeros((128, 128), np.int32)
    places = [(top, left + beside) for top in range(4, 112, 32) for left in range(4, 100, 32) for beside in (0, 8)]
    for k, (top, left) in enumerate(places, 1):
        instances[top : top + 8, left : left + 8] = k
    pairs = replace(discs(0, (128, 128)), instances=instances, classes=np.ones(len(places), np.uint8))
    (score,) = ceiling([pairs], HoVerNet.presets["resnet50"])
    assert score["aji"] > 0.95


class Told(nn.Module):
    """Answers with the maps that it was told, whatever the image."""

    def __init__(self, maps: dict[str, Tensor]) -> None:
        super().__init__()
        self.maps = maps

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {name: value[None, ..., : image.shape[-2], : image.shape[-1]] for name, value in self.maps.items()}


def test_types_stay_with_their_nuclei_on_a_coarser_tile(discs: Discs, fabric: Fabric) -> None:
    sample = discs(1, (96, 96), 40)
    fine = resample(sample, 0.25)
    true = targets(fine.instances, fine.classes, "hover", 1.0)
    nuclei, kinds = torch.from_numpy(true["nuclei"]), torch.from_numpy(true["type"])
    logits = {
        name: 9.0 * nn.functional.one_hot(each).movedim(-1, 0) for name, each in (("nuclei", nuclei), ("type", kinds))
    }
    field = torch.from_numpy(true["hover"])
    changes = {"coding": "hover", "mpp": 0.25, "window": 192, "margin": 0}
    settings = resolve(SETTINGS, changes, "test")
    network = fabric.setup_module(Told({**logits, "field": field}).requires_grad_(False))
    found = next(predict(Judge(network, settings, ("small", "large"), fabric), [sample]))
    assert found.size == sample.size
    assert instance.scores(sample.instances, found.instances)["pq"] > 0.9
    both = (sample.instances > 0) & (found.instances > 0)
    kinds_of = [np.append(0, each.classes)[each.instances][both] for each in (sample, found)]
    assert (kinds_of[0] == kinds_of[1]).mean() > 0.97


class ValidMean(nn.Module):
    """Answers as Mean with the middle of its window alone, as a network without padding does."""

    def __init__(self, lost_px: int) -> None:
        super().__init__()
        self.cut = slice(lost_px // 2, -(lost_px // 2))

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {name: maps[..., self.cut, self.cut] for name, maps in Mean()(image).items()}


@pytest.mark.parametrize("mode", ["fast", "original"])
@pytest.mark.parametrize("spare", [0, 8])
def test_windows_of_smaller_maps_leave_no_seam(mode: str, spare: int, fabric: Fabric) -> None:
    settings = in_mode(HoVerNet.presets["resnet50"], mode)
    settings = settings.model_copy(update={"margin": settings.margin + spare})
    network = fabric.setup_module(ValidMean(settings.lost_px).requires_grad_(False)).eval()
    image = np.random.default_rng(0).integers(0, 256, (190, 300, 3), dtype=np.uint8)
    maps = raw_maps(Judge(network, settings, ("a", "b"), fabric), image, at_once=2)
    whole = Mean()(torch.from_numpy(np.pad(image, ((8, 8), (8, 8), (0, 0)), mode="reflect")).movedim(-1, 0)[None])
    np.testing.assert_allclose(maps["field"], whole["field"][0, :, 8:-8, 8:-8].movedim(0, -1), atol=1e-6)


def test_how_many_windows_go_together_changes_nothing(discs: Discs, fabric: Fabric) -> None:
    torch.manual_seed(1)
    network = HoVerNet.build(SETTINGS, 2)
    for decoder in network.decoders:  # type: ignore[union-attr]
        torch.nn.init.normal_(decoder.head[0].weight)
    judge = judge_of(network, fabric)
    some, one = (raw_maps(judge, discs(0, (200, 140)).image, at_once) for at_once in (8, 1))
    for name, maps in some.items():
        np.testing.assert_allclose(one[name], maps, rtol=1e-4, atol=1e-2)  # of values up to 100
