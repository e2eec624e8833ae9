"""Layers of a tile lie on each other, in colours that mean something."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from drawn import drawn_sample, full_sample
from nucleosynth.pictures import class_colours
from nucleosynth.sample import Layout
from nucleosynth.studies.layers import (
    MOST_PX,
    PANEL_PX,
    SLATE,
    discs,
    distances,
    distinct_colours,
    filled,
    panel,
    shown_image,
    shown_mask,
    shown_points,
)


@pytest.mark.parametrize("size", [(40, 48), (200, 200), (300, 400), (7, 9)])
def test_all_layers_of_a_tile_have_one_size(size: tuple[int, int]) -> None:
    tile = drawn_sample(size=size)
    layers = panel(tile)
    assert {layer.shape for layer in layers} == {layers.image.shape}
    assert {layer.dtype for layer in layers} == {np.dtype(np.uint8)}
    assert max(layers.image.shape) >= PANEL_PX
    assert max(layers.image.shape) <= max(MOST_PX, PANEL_PX + max(size))
    assert_array_equal(shown_image(tile), layers.image)
    assert shown_mask(tile).shape == layers.image.shape


def test_semantic_has_the_colour_of_each_class_and_nothing_else() -> None:
    tile = drawn_sample()
    colours = {tuple(colour) for colour in panel(tile).semantic.reshape(-1, 3).tolist()}
    wanted = {tuple(class_colours(3)[kind].tolist()) for kind in np.unique(tile.classes)}
    assert colours == wanted | {tuple(SLATE.tolist())}


def test_nuclei_are_filled_by_their_number() -> None:
    label = np.array([[0, 2], [1, 1]], np.int32)
    picture = filled(label, np.array([[1, 2, 3], [4, 5, 6]], np.uint8))
    assert_array_equal(picture, [[SLATE, [4, 5, 6]], [[1, 2, 3], [1, 2, 3]]])


def test_every_nucleus_has_a_colour_of_its_own_and_touching_ones_differ_much() -> None:
    # A chequerboard: colours 89 steps apart, those of vertical neighbours, have nearly the same hue on a golden wheel.
    label = np.arange(1, 6 * 89 + 1, dtype=np.int32).reshape(6, 89).repeat(3, axis=0).repeat(3, axis=1)
    colours = distinct_colours(label).astype(int)
    assert len(np.unique(colours, axis=0)) == 6 * 89
    grid = colours.reshape(6, 89, 3)
    for axis in (0, 1):
        assert np.abs(np.diff(grid, axis=axis)).sum(axis=2).min() > 100
    assert distinct_colours(np.zeros((4, 4), np.int32)).shape == (0, 3)


def test_touching_nuclei_are_seen_apart() -> None:
    label = np.zeros((32, 32), np.int32)
    label[8:24, 4:16], label[8:24, 16:28] = 1, 2
    tile = drawn_sample(size=(32, 32), instances=label, classes=np.ones(2, np.uint8))
    row = shown_mask(tile)[PANEL_PX // 2]
    nuclei = (row == class_colours(3)[1]).all(axis=1).astype(int)
    assert np.abs(np.diff(nuclei)).sum() == 4, "two bars, each with a begin and an end"
    row = panel(tile).instances[PANEL_PX // 2]
    assert len(np.unique(row, axis=0)) == 3


def test_a_disc_lies_on_its_point_in_the_colour_of_its_class() -> None:
    layout = Layout(np.array([[10.5, 4.0], [30.0, 20.25]], np.float32), np.array([1, 0], np.uint8), (24, 40), ("a",))
    picture = discs(layout, 5)
    assert picture.shape == (120, 200, 3)
    for (x, y), kind in zip(layout.xy, layout.classes, strict=True):
        disc = (picture == class_colours(1)[kind]).all(axis=2)
        found = np.argwhere(disc).mean(axis=0)
        np.testing.assert_allclose(found, (np.array([y, x]) + 0.5) * 5 - 0.5, atol=0.2)
    assert_array_equal(discs(Layout(np.zeros((0, 2), np.float32), np.zeros(0, np.uint8), (4, 4), ()), 2)[0, 0], SLATE)


def test_the_points_that_were_given_are_shown() -> None:
    tile = full_sample()
    assert tile.points is not None
    assert_array_equal(panel(tile).points, shown_points(tile.points))


def test_of_a_large_layout_the_middle_is_shown() -> None:
    tile = drawn_sample(
        size=(300, 400), points=Layout(np.array([[200, 150]], np.float32), np.ones(1, np.uint8), (300, 400), ("a",))
    )
    assert tile.points is not None
    picture = shown_points(tile.points)
    assert picture.shape == (MOST_PX, MOST_PX, 3)
    assert_array_equal(picture, panel(tile).points)
    assert_array_equal(picture[MOST_PX // 2, MOST_PX // 2], class_colours(1)[1])


def test_distance_is_dark_at_the_centre_and_bright_at_the_rim() -> None:
    label = np.zeros((50, 41), np.int32)
    y, x = np.mgrid[-20:30, -20:21]
    label[x**2 + y**2 <= 15**2] = 1
    light = distances(label).astype(int).sum(axis=2)
    assert (np.diff(light[20, 20:36]) >= 0).all()
    assert light[20, 35] > light[20, 20] + 200
    assert_array_equal(distances(label)[label == 0], np.tile(SLATE, ((label == 0).sum(), 1)))
