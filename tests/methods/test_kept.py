"""Windows that conditions are drawn from: of the training's size from all tiles, larger ones from those as large."""

import numpy as np
import pytest

from drawn import drawn_sample
from nucleosynth.errors import UserError
from nucleosynth.methods.kept import kept_windows

TILES = [drawn_sample(0, size=(40, 40)), drawn_sample(1, size=(64, 90)), drawn_sample(2, size=(24, 100))]


@pytest.mark.parametrize(("size", "drawn_from"), [((32, 32), {0, 1, 2}), ((36, 20), {0, 1}), ((64, 48), {1})])
def test_windows_come_from_tiles_that_are_large_enough(size: tuple[int, int], drawn_from: set[int]) -> None:
    windows, generator = kept_windows(TILES, size, (32, 32)), np.random.default_rng(0)
    drawn = [windows.draw(generator) for _ in range(60)]
    assert {tile.sample_id for tile in drawn} == {TILES[k].sample_id for k in drawn_from}
    assert {tile.size for tile in drawn} == {(max(size), max(size))}


def test_a_border_is_drawn_beside_the_window() -> None:
    assert kept_windows(TILES, (64, 48), (32, 32), border=5).draw(np.random.default_rng(0)).size == (74, 74)


@pytest.mark.parametrize(("usual", "most"), [(32, 64), (80, 80)])
def test_larger_windows_than_any_tile_are_refused(usual: int, most: int) -> None:
    with pytest.raises(UserError, match=f"at most {most} px"):
        kept_windows(TILES, (20, 81), (usual, usual))
