"""The rows of benchmarks/pairs.py that compare generators: distances and consistency, with intervals and floors."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nucleosynth.conditions.points import from_instances
from nucleosynth.data.reader import read
from nucleosynth.errors import UserError
from nucleosynth.run import Budget
from nucleosynth.sample import Condition, Sample
from nucleosynth.segmentation.fit import fit
from nucleosynth.segmentation.hovernet import HoVerNet

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))
import likeness
import pairs

DATA = "phantom:tiles=12&size=96&sources=12"
CONSISTENCY = ("dice", "aji", "pq", "f_d", "accuracy")


class Copier:
    """A method that makes windows of training tiles as they are; asked by points, images turned upside down."""

    name, size, mpp = "copier", (64, 64), 0.5
    takes, needs = frozenset({"points"}), frozenset[str]()

    def __init__(self) -> None:
        self.tiles = list(read(DATA, "train"))
        self.class_names = self.tiles[0].class_names

    def default_conditions(self, seed: int) -> Iterator[Condition]:
        return repeat(Condition(self.size, self.mpp, self.class_names))

    def generate(self, conditions: Iterator[Condition], seed: int, *, count: int, batch: int) -> Iterator[Sample]:
        self.asked = list(conditions)
        turned = any(asked.points for asked in self.asked)
        for k, window in enumerate(pairs.crops([pairs._at(self, tile) for tile in self.tiles], count, seed, self)):
            yield replace(window, sample_id=f"made_{k}", image=window.image[::-1].copy() if turned else window.image)


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("judge") / "run"
    small = HoVerNet.presets["tiny"].model_copy(update={"width": 8, "batch": 1, "crop": 64, "window": 128})
    fit(list(read(DATA, "train")), small, folder=folder, budget=Budget(steps=1), seed=0)
    return folder


def test_rows_have_intervals_and_floors() -> None:
    found = pairs.measure(Copier(), DATA, 12)
    for name in ("fd, texture-1", "kid, texture-1", "fsd"):
        assert found[f"{name}, low"] < found[name] < found[f"{name}, high"]
        assert {f"{name}, as many real crops", f"{name}, held-out crops"} <= found.keys()
    # Windows of training tiles lie no further from training crops than others do.
    assert found["fd, texture-1"] < 2 * found["fd, texture-1, as many real crops"]
    assert not any("consistency" in name for name in found)


def test_consistency_stands_beside_held_out_crops(judge: Path) -> None:
    found = pairs.measure(Copier(), DATA, 12, judge=judge)
    for name in CONSISTENCY:
        for side in ("", ", real", ", share"):
            assert {f"consistency, {name}{side}{end}" for end in ("", ", low", ", high")} <= found.keys()


def test_pairs_are_made_from_points_where_that_is_asked() -> None:
    model = Copier()
    asked = pairs.pointed(model, windows := pairs.crops(model.tiles, 5, 7, model))
    assert [len(each.points.xy) for each in asked if each.points] == [len(window.classes) for window in windows]
    np.testing.assert_array_equal(asked[0].points.xy, from_instances(windows[0]).xy)  # type: ignore[union-attr]
    assert {each.given() - {"points", "tissue", "stain"} for each in asked} == {frozenset()}
    model.takes = frozenset({"instances"})  # type: ignore[assignment]
    with pytest.raises(UserError, match="a method without points"):
        pairs.pointed(model, windows)


def test_what_a_segmenter_sees_is_scored_against_the_labels() -> None:
    model = Copier()
    windows = pairs.crops(model.tiles, 8, 0, model)

    def moved(tiles: Sequence[Sample]) -> list[Sample]:
        return [replace(tile, instances=np.roll(tile.instances, 16, (0, 1))) for tile in tiles]

    perfect = likeness.consistency(lambda tiles: iter(tiles), windows, windows)
    assert {perfect[f"consistency, {name}, share"] for name in CONSISTENCY} == {1.0}
    found = likeness.consistency(lambda tiles: iter(moved(tiles)), windows, windows)
    assert found["consistency, pq"] < 0.2


def test_a_judge_of_other_classes_or_of_the_test_tiles_is_refused(judge: Path) -> None:
    names, tests = Copier().class_names, list(read(DATA, "test"))
    assert likeness.judge_of(judge, names, tests)
    with pytest.raises(UserError, match="a judge of other classes"):
        likeness.judge_of(judge, names[:1], tests)
    with pytest.raises(UserError, match="seen the test tiles"):
        likeness.judge_of(judge, names, list(read(DATA, "train")))


def test_numbers_that_are_not_defined_are_null_in_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: Any = {"fsd": 1.5, "consistency, pq, share": float("nan")}
    monkeypatch.setattr(pairs, "measure", lambda *_given, **_named: made)
    monkeypatch.setattr(pairs, "changed", lambda *_given: None)
    monkeypatch.setattr(pairs.Run, "open", lambda _folder: None)
    monkeypatch.setattr(sys, "argv", ["pairs.py", "run", DATA, "--json", str(tmp_path / "found.json")])
    pairs.main()
    assert (tmp_path / "found.json").read_text() == '{\n "fsd": 1.5,\n "consistency, pq, share": null\n}\n'
