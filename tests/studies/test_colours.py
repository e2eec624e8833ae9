"""Colours by tissue: known mixtures are measured back, glass is left out, and every tile stands in one row."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from drawn import drawn_sample
from nucleosynth.data.stain import RUIFROK_JOHNSTON, unit
from nucleosynth.metrics.contrast import haematoxylin
from nucleosynth.sample import Sample
from nucleosynth.studies.colours import ALL, NOT_STATED, REAL, SIDE_PX, WINDOWS, by_tissue, colours, organs


def flat(rgb: tuple[int, int, int], glass: float = 0.0, **changes: object) -> Sample:
    """A tile of one colour, some of its rows glass."""
    image = np.full((40, 48, 3), rgb, np.uint8)
    image[: round(40 * glass)] = 250
    return drawn_sample(image=image, **changes)


def test_means_are_those_of_tissue_alone() -> None:
    (found,) = colours([flat((200, 100, 150), glass=0.5), flat((100, 100, 150), glass=0.75)], {})
    # Half of a tile and a quarter of another.
    assert found.rgb == pytest.approx(((2 * 200 + 100) / 3, 100, 150))
    assert (found.tissue, found.of, found.tiles) == ("colon", REAL, 2)


def test_haematoxylin_is_that_of_the_contrast() -> None:
    generator = np.random.default_rng(0)
    tile = drawn_sample(image=generator.integers(30, 200, (40, 48, 3)).astype(np.uint8))
    (found,) = colours([tile], {})
    assert found.haematoxylin == pytest.approx(float(haematoxylin(tile.image).mean()), rel=1e-4)


def test_pure_stains_are_told_apart() -> None:
    for k, amounts in enumerate(((0.6, 0.0), (0.0, 0.6))):
        rgb = 255 * 10 ** -(np.array(amounts) @ unit(RUIFROK_JOHNSTON))
        (found,) = colours([flat(tuple(rgb.round().astype(int).tolist()))], {})
        assert (found.haematoxylin, found.eosin)[k] == pytest.approx(0.6, abs=0.01)
        assert (found.haematoxylin, found.eosin)[1 - k] == pytest.approx(0.0, abs=0.01)


def test_glass_has_no_colour() -> None:
    assert colours([flat((245, 245, 245))], {"a": [flat((200, 100, 150))]})[0].of == "a"


def test_every_tile_stands_in_one_row() -> None:
    real = [flat((200, 100, 150), tissue=name) for name in ("skin", "colon", "colon")]
    made = {
        "one": [flat((190, 90, 150), tissue=name) for name in ("colon", "mixed", "", "liver")],
        "two": [flat((190, 90, 150), tissue="skin")],
    }
    rows = by_tissue(real, made)
    assert list(rows) == ["colon", "skin", ALL]
    counts = {tissue: {of: len(tiles) for of, tiles in kinds.items()} for tissue, kinds in rows.items()}
    assert counts["colon"] == {REAL: 2, "one": 1, "two": 0}
    assert counts["skin"] == {REAL: 1, "one": 0, "two": 1}
    assert counts[ALL] == {REAL: 3, "one": 3, "two": 0}
    found = [(colour.tissue, colour.of, colour.tiles) for colour in colours(real, made)]
    assert found == [(tissue, of, n) for tissue, kinds in counts.items() for of, n in kinds.items() if n]


def test_tissues_that_nobody_states_are_one_row() -> None:
    rows = by_tissue([flat((200, 100, 150), tissue="")], {"a": [flat((200, 100, 150), tissue="unknown")]})
    assert list(rows) == [NOT_STATED]
    assert len(rows[NOT_STATED]["a"]) == 1


def test_the_gallery_has_a_strip_for_each_tissue_and_maker(tmp_path: Path) -> None:
    real = [drawn_sample(k, size=(100, 100), tissue=name) for k, name in enumerate(("skin", "colon", "skin"))]
    made = {"a": [drawn_sample(9, size=(80, 100), tissue="skin", mpp=0.5)]}
    gallery = organs(real, made, tmp_path, "p", 0)
    assert gallery.columns == (REAL, "a")
    assert [row.label for row in gallery.rows] == ["colon", "skin"]
    assert [[picture.words for picture in row.pictures] for row in gallery.rows] == [
        ["1 tile", "none"],
        ["2 tiles", "1 tile"],
    ]
    files = {picture.file for row in gallery.rows for picture in row.pictures}
    assert len(files) == 4
    shapes = {cv2.imread(str(tmp_path / file)).shape for file in files}
    assert len(shapes) == 1
    ((height, width, _),) = shapes
    assert height >= SIDE_PX
    assert width == WINDOWS * height + 3 * (WINDOWS - 1)
    before = {file: (tmp_path / file).read_bytes() for file in files}
    assert organs(real, made, tmp_path, "p", 0) == gallery
    assert before == {file: (tmp_path / file).read_bytes() for file in files}


def test_windows_show_as_much_tissue_of_each(tmp_path: Path) -> None:
    # The finer tile is brought to the coarser one's resolution: 60 px at 1 um of each, three times enlarged.
    fine = drawn_sample(0, size=(160, 140), mpp=0.5)
    gallery = organs([fine], {"a": [drawn_sample(1, size=(60, 60), mpp=1.0)]}, tmp_path, "p", 0)
    assert "60 um" in gallery.words
    for picture in gallery.rows[0].pictures:
        assert len(cv2.imread(str(tmp_path / picture.file))) == 180


def test_black_is_finite() -> None:
    (found,) = colours([flat((0, 0, 0))], {})
    assert np.isfinite([*found.rgb, found.haematoxylin, found.eosin]).all()
