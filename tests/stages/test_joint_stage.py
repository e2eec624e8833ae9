"""What a step of JointFlow learns on: what is told, what is known, what carries loss."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from numpy.testing import assert_array_equal

from nucleosynth.conditions.coding import LabelCoding
from nucleosynth.data.crops import CodedTiles, colours_of
from nucleosynth.data.reader import read
from nucleosynth.diffusion.flow import noised
from nucleosynth.sample import Sample
from nucleosynth.seeds import generator_of
from nucleosynth.stages.joint import Drawn, FlowBatch, FlowTraining, draw, kept, restored, standardised

COUNT = 24
SHARES = ("points", "counts", "proportions", "tissue", "caption", "reference", "inpainting")
CLASSES = (1, 2, 3, 4)


@pytest.fixture(scope="module")
def tiles() -> list[Sample]:
    pair = list(read("phantom:tiles=2&size=64&sources=2"))
    return [replace(tile, tissue=tissue) for tile, tissue in zip(pair, ("colon", "skin"), strict=True)]


@pytest.fixture(scope="module")
def batch(tiles: list[Sample]) -> FlowBatch:
    crops = CodedTiles(tiles, LabelCoding(CLASSES), 32, 1.5).batch(generator_of(1), COUNT)
    return FlowBatch(crops, torch.randn(COUNT, 6, 5), torch.ones(COUNT, 6, dtype=torch.bool))


def drawn(batch: FlowBatch, tiles: list[Sample], share: float = 0.0, **changes: Any) -> Drawn:
    torch.manual_seed(3)
    shares: dict[str, Any] = dict.fromkeys(SHARES, share) | changes
    return draw(batch, FlowTraining(**shares), colours_of(tiles), torch.device("cpu"))


def flags(found: Drawn) -> dict[str, torch.Tensor]:
    """(b,) of what is told, read from where the network reads it."""
    kinds = 1 + len(CLASSES)
    amounts = found.given.amounts
    return {
        "points": found.given.maps[:, -1].amax((1, 2)),
        "counts": amounts[:, kinds],
        "proportions": amounts[:, 2 * kinds + 1],
        "tissue": amounts[:, 2 * kinds + 2 :].sum(1),
        "caption": found.given.told[:, 0],
        "reference": found.given.told[:, 1],
        "inpainting": found.given.known.amax((1, 2, 3)),
    }


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_shares_of_nothing_and_of_all(batch: FlowBatch, tiles: list[Sample], share: float) -> None:
    found = drawn(batch, tiles, share)
    for name, told in flags(found).items():
        assert_array_equal(told, share, err_msg=name)
    nothing = found.given.maps[:, :-1], found.given.amounts, found.given.known
    assert all(bool(part.any()) == bool(share) for part in nothing)


@pytest.mark.parametrize("name", SHARES)
def test_each_share_is_that_of_one_part(batch: FlowBatch, tiles: list[Sample], name: str) -> None:
    told = flags(drawn(batch, tiles, **{name: 1.0}))
    assert {each: float(flag.mean()) for each, flag in told.items()} == {each: float(each == name) for each in SHARES}
    some = flags(drawn(batch, tiles, **{name: 0.5}))[name]
    assert 0.2 < float(some.mean()) < 0.8


def test_what_is_told_is_the_crop_s_own(batch: FlowBatch, tiles: list[Sample]) -> None:
    given = drawn(batch, tiles, 1.0).given
    kinds = 1 + len(CLASSES)
    assert_array_equal(given.maps[:, :-1], batch.crops.points)
    assert_array_equal(given.amounts[:, :kinds], batch.crops.counts)
    assert_array_equal(given.amounts[:, kinds + 1 : 2 * kinds + 1], batch.crops.proportions)
    assert_array_equal(given.amounts[:, 2 * kinds + 2 :], batch.crops.tissue)
    assert_array_equal(given.text, batch.text)


def test_known_pixels_carry_no_loss_and_are_clean(batch: FlowBatch, tiles: list[Sample]) -> None:
    found = drawn(batch, tiles, inpainting=1.0)
    state = noised(found.x0, {name: torch.full_like(part, 9.0) for name, part in found.x0.items()}, found.t)
    shown = kept(found, state)
    hole = torch.from_numpy(batch.crops.hole) > 0
    for name, known in zip(found.x0, found.given.known.chunk(2, dim=1), strict=True):
        assert not (known.bool() & hole).any()
        assert not (found.learned[name] * known).any()
        everywhere = known.bool().expand_as(shown[name])
        assert_array_equal(shown[name][everywhere], found.x0[name][everywhere])
        assert_array_equal(shown[name][~everywhere], state[name][~everywhere])


def test_image_label_or_both_are_known_outside_the_hole(batch: FlowBatch, tiles: list[Sample]) -> None:
    known = drawn(batch, tiles, inpainting=1.0).given.known
    outside = 1 - torch.from_numpy(batch.crops.hole)
    sides = {tuple(known.amax((2, 3))[k].tolist()) for k in range(COUNT)}
    assert sides == {(1.0, 0.0), (0.0, 1.0), (1.0, 1.0)}
    for k in range(COUNT):
        for part in known[k]:
            assert not part.any() or part.equal(outside[k, 0])


def test_the_class_of_a_nucleus_of_unknown_type_carries_no_loss(tiles: list[Sample]) -> None:
    untyped = [replace(tile, classes=0 * tile.classes) for tile in tiles]
    crops = CodedTiles(untyped, LabelCoding(CLASSES), 32, 1.5).batch(generator_of(1), COUNT)
    found = drawn(FlowBatch(crops, torch.zeros(COUNT, 1, 5), torch.ones(COUNT, 1, dtype=torch.bool)), tiles)
    inside = torch.from_numpy(crops.typed) == 0
    assert inside.any()
    learned = found.learned["label"]
    assert not learned[:, 1:-2][inside.expand(-1, len(CLASSES), -1, -1)].any()
    assert learned[:, 1:-2][~inside.expand(-1, len(CLASSES), -1, -1)].all()
    assert learned[:, :1].all()
    assert learned[:, -2:].all()


def test_standardised_and_back(tiles: list[Sample]) -> None:
    colours = colours_of(tiles)
    image = torch.rand(2, 3, 8, 8) * 2 - 1
    torch.testing.assert_close(restored(standardised(image, colours), colours), image)
    stack = torch.stack([torch.from_numpy(tile.image).permute(2, 0, 1) / 127.5 - 1 for tile in tiles])
    found = standardised(stack, colours)
    torch.testing.assert_close(found.mean((0, 2, 3)), torch.zeros(3), atol=0.05, rtol=0)
    torch.testing.assert_close(found.std((0, 2, 3)), torch.ones(3), atol=0.05, rtol=0)
