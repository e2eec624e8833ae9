"""Galleries of what methods make, with methods that are no networks; diversity of images with known truth."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from drawn import CLASS_NAMES, drawn_sample
from nucleosynth.metrics.diversity import diversity
from nucleosynth.report.results import Gallery
from nucleosynth.sample import Condition, Sample
from nucleosynth.seeds import generator_of
from nucleosynth.studies.held_out import condition_of, full, windows
from nucleosynth.studies.layers import LAYERS
from nucleosynth.studies.painting import FOLDER
from nucleosynth.studies.panels import LAYOUTS, PANELS, SAMPLES, of_maker, one_mask, panels


class Drawer:
    """Draws noise with a square at each given point, or keeps the given label; `asked` lists its conditions."""

    def __init__(self, takes: str = "points", needs: str = "", size: int = 20, mpp: float | None = 0.25) -> None:
        self.takes, self.needs = frozenset(takes.split()), frozenset(needs.split())
        self.size, self.mpp = (size, size), mpp
        self.asked: list[Condition] = []

    def generate(
        self, conditions: Iterator[Condition], seed: int, *, count: int, start: int = 0, batch: int = 16
    ) -> Iterator[Sample]:
        """One sample a condition."""
        for k in range(start, start + count):
            condition = next(conditions)
            self.asked.append(condition)
            instances, classes = condition.instances, condition.classes
            if condition.points is not None:
                instances = np.zeros(condition.size, np.int32)
                for n, (x, y) in enumerate(condition.points.xy.round().astype(int), start=1):
                    instances[y, x] = n
                classes = condition.points.classes
            noise = generator_of(seed, k).integers(0, 2, (*condition.size, 3), np.uint8) * np.uint8(255)
            yield drawn_sample(
                image=noise,
                instances=instances,
                classes=classes,
                sample_id=condition.name,
                mpp=condition.mpp,
                caption=f"made of {condition.name}",
                points=condition.points,
            )


def held_out(count: int = 4, **changes: Any) -> list[Sample]:
    """Tiles of noise, black and white in each channel, each of a source of its own."""
    drawn = (drawn_sample(k, source=f"drawn/{k}", **changes) for k in range(count))
    return [replace(tile, image=(tile.image > 127).astype(np.uint8) * np.uint8(255)) for tile in drawn]


def check(gallery: Gallery, folder: Path) -> None:
    """Each row has a picture for each column, each picture a file of its own."""
    files = [picture.file for row in gallery.rows for picture in row.pictures]
    assert len(files) == len(set(files))
    for row in gallery.rows:
        assert len(row.pictures) == len(gallery.columns)
    for file in files:
        assert cv2.imread(str(folder / file)) is not None


def test_images_that_are_the_same_have_no_diversity() -> None:
    real = [tile.image for tile in held_out()]
    assert diversity([[real[0]] * 3, [real[1]] * 2], real) == 0


def test_as_different_as_different_tiles_is_one() -> None:
    # Tiles of noise around a mean of their own, and "made" images drawn anew in the same way.
    def draw(k: int) -> np.ndarray:
        generator = generator_of(5, k)
        mean = generator.uniform(80, 170)
        return (mean + generator.normal(0, 10, (10, 10, 3))).clip(0, 255).astype(np.uint8)

    real, made = [draw(k) for k in range(150)], [[draw(200 + 80 * n + k) for k in range(80)] for n in range(3)]
    found = diversity(made, real)
    assert found == pytest.approx(1, abs=0.1)
    half = [[(image // 2) for image in images] for images in made]
    assert diversity(half, real) == pytest.approx(found / 2, rel=0.03)  # type: ignore[operator]


def test_diversity_by_hand() -> None:
    def flat(value: int) -> np.ndarray:
        return np.full((4, 4, 3), value, np.uint8)

    # Pairs of one layout differ by 10, 20 and 10 grey levels, those of the other by 30; real ones by 100.
    made = [[flat(0), flat(10), flat(20)], [flat(200), flat(230)]]
    assert diversity(made, [flat(50), flat(150)]) == pytest.approx((10 + 20 + 10 + 30) / 4 / 100)


def test_where_diversity_is_not_defined() -> None:
    images = [tile.image for tile in held_out(2)]
    assert diversity([images[:1]], images) is None
    assert diversity([images], images[:1]) is None
    assert diversity([images], [images[0], images[0]]) is None
    assert diversity([], images) is None


def test_windows_have_the_methods_size_and_resolution() -> None:
    tiles = [drawn_sample(0), drawn_sample(1, size=(16, 90)), drawn_sample(2, size=(80, 60), mpp=0.125)]
    found = windows(tiles, 20, 0.25, 0)
    assert {(window.size, window.mpp) for window in found} == {((20, 20), 0.25)}
    assert {window.sample_id.partition("_y")[0] for window in found} == {"tile_0", "tile_2"}
    assert len({window.sample_id for window in found}) == len(found)


def test_layouts_are_drawn_among_the_fuller_half() -> None:
    empty = drawn_sample(instances=np.zeros((40, 48), np.int32), classes=np.zeros(0, np.uint8))
    tiles = [*held_out(3), *(replace(empty, sample_id=f"empty_{k}") for k in range(9))]
    for seed in range(5):
        chosen = full(tiles, 2, seed)
        assert len(chosen) == 2
        assert all(len(tile.classes) for tile in chosen)
    assert full([empty], 2, 0) == []
    assert full([], 2, 0) == []


def test_a_condition_holds_what_is_asked_and_needed_and_no_more() -> None:
    tile = drawn_sample(caption="a caption")
    assert condition_of(tile, "points", Drawer()).given() == {"points", "tissue", "stain"}
    assert condition_of(tile, "instances", Drawer("instances")).given() == {"instances", "tissue", "stain"}
    asked = condition_of(tile, "points", Drawer("points", "points caption counts"))
    assert asked.given() == {"points", "tissue", "stain", "caption", "counts"}
    assert asked.counts is not None
    kinds = (*range(1, len(CLASS_NAMES) + 1), 0)
    assert asked.counts.tolist() == [int((tile.classes == kind).sum()) for kind in kinds]


def test_panels_show_layers_reference_and_caption(tmp_path: Path) -> None:
    made = [replace(tile, caption=f"tile {k}") for k, tile in enumerate(held_out(9))]
    references = [replace(tile, sample_id=f"real_{k}") for k, tile in enumerate(held_out(9))]
    gallery = panels("turner", made, references, tmp_path, "p", 0)
    check(gallery, tmp_path)
    assert gallery.columns == (*LAYERS, "real reference")
    assert len(gallery.rows) == PANELS
    for row in gallery.rows:
        k = int(row.label.removeprefix("tile_"))
        assert row.words == f"tile {k}"
        assert row.pictures[-1].words.startswith(f"real_{k}: ")
        assert row.pictures[2].words == f"{len(made[k].classes)} nuclei"
        shown = cv2.imread(str(tmp_path / row.pictures[0].file))
        real = cv2.imread(str(tmp_path / row.pictures[-1].file))
        assert (shown == real).all(), "the reference is that of the row"
    bare = panels("turner", made, None, tmp_path, "q", 0)
    check(bare, tmp_path)
    assert bare.columns == LAYERS
    assert [row.label for row in bare.rows] == [row.label for row in gallery.rows]
    assert [row.label for row in panels("turner", made, None, tmp_path, "q", 1).rows] != [
        row.label for row in bare.rows
    ]


def test_one_layout_through_many_samples(tmp_path: Path) -> None:
    method = Drawer()
    (_, gallery), different = of_maker("drawer", method, held_out(2), held_out(), tmp_path, "p", 0)
    check(gallery, tmp_path)
    assert len(gallery.rows) == LAYOUTS
    assert len(gallery.columns) == 2 + SAMPLES
    assert [condition.name for condition in method.asked] == [row.label for row in gallery.rows for _ in range(SAMPLES)]
    for row in gallery.rows:
        assert len({(tmp_path / picture.file).read_bytes() for picture in row.pictures}) == 2 + SAMPLES
    # Held-out tiles are the same noise.
    assert different == pytest.approx(1, abs=0.05)


def test_pictures_of_one_seed_are_the_same_bytes(tmp_path: Path) -> None:
    both = [of_maker("a", Drawer(), held_out(2), held_out(), tmp_path / name, "p", 3) for name in "xy"]
    assert both[0] == both[1]
    files = sorted((tmp_path / "x" / FOLDER).iterdir())
    assert len(files) == LAYOUTS * (2 + SAMPLES + len(LAYERS) + 1)
    for file in files:
        assert file.read_bytes() == (tmp_path / "y" / FOLDER / file.name).read_bytes()


@pytest.mark.parametrize(
    "method",
    [Drawer("instances"), Drawer("points image", "image"), Drawer(size=64)],
    ids=["no points", "needs an image", "larger than every tile"],
)
def test_methods_that_no_layout_can_be_given(method: Drawer, tmp_path: Path) -> None:
    galleries, different = of_maker("a", method, held_out(2), held_out(), tmp_path, "p", 0)
    assert [gallery.name for gallery in galleries] == ["panels"]
    assert galleries[0].columns == LAYERS
    assert different is None
    assert not method.asked


def test_a_store_has_panels_alone(tmp_path: Path) -> None:
    galleries, different = of_maker("a", None, held_out(2), held_out(), tmp_path, "p", 0)
    assert ([gallery.name for gallery in galleries], different) == (["panels"], None)
    assert [row.label for row in galleries[0].rows] == ["tile_0", "tile_1"]


def test_a_maker_shows_what_it_makes_for_held_out_points(tmp_path: Path) -> None:
    galleries, different = of_maker("a", Drawer(), held_out(2), held_out(), tmp_path, "p", 0)
    assert [gallery.name for gallery in galleries] == ["panels", "one layout"]
    for gallery in galleries:
        check(gallery, tmp_path)
    assert different is not None
    assert sorted(row.label for row in galleries[0].rows) == sorted(row.label for row in galleries[1].rows)
    for row in galleries[0].rows:
        assert row.words == f"made of {row.label}"
        assert row.pictures[-1].words.startswith(row.label)


def test_one_mask_through_each_method(tmp_path: Path) -> None:
    methods = {
        "a": Drawer("instances points", size=40),
        "b": Drawer("points"),
        "c": Drawer("instances", size=16, mpp=0.5),
    }
    gallery = one_mask(methods, held_out(size=(64, 64)), tmp_path, "p", 0)
    assert gallery is not None
    check(gallery, tmp_path)
    assert gallery.columns == ("mask", "real image", "a", "c")
    assert not methods["b"].asked
    (first,), (second,) = methods["a"].asked, methods["c"].asked
    # The finer resolution, and as much tissue as the smaller of 40 px at 0.25 um and 16 px at 0.5 um.
    assert (first.size, first.mpp) == ((32, 32), 0.25)
    assert first.instances is not None
    assert first.instances.any()
    np.testing.assert_array_equal(first.instances, second.instances)  # type: ignore[arg-type]
    assert one_mask({"b": methods["b"]}, held_out(), tmp_path, "p", 0) is None
    assert one_mask({}, held_out(), tmp_path, "p", 0) is None
    assert one_mask({"a": Drawer("instances", size=64)}, held_out(), tmp_path, "p", 0) is None
