"""`compare`: distances of two data, windows brought together, every number with its encoder, interval and floor."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nucleosynth import compare
from nucleosynth.cli import main
from nucleosynth.data.reader import read
from nucleosynth.data.store import write as write_store
from nucleosynth.encoders.encoder import load
from nucleosynth.encoders.texture import Texture
from nucleosynth.errors import UserError
from nucleosynth.formats.folder import write
from nucleosynth.metrics.counts import class_counts, count_distances
from nucleosynth.metrics.distribution import HELD
from nucleosynth.metrics.frechet import frechet_distance
from nucleosynth.metrics.proportions import class_proportions, fsd
from nucleosynth.metrics.shapes import DENSITY, FEATURES, Label, shape_distances

ONE, OTHER = "phantom:tiles=12&size=64&sources=12", "phantom:tiles=14&size=64&seed=5&sources=2"


def test_the_scores_are_those_of_the_windows_features(tmp_path: Path) -> None:
    found = compare(ONE, OTHER, metrics=("fd", "fsd"), draws=12, json=tmp_path / "found.json")
    tiles = [list(read(data)) for data in (ONE, OTHER)]
    features = [load("texture")(np.stack([tile.image for tile in part])) for part in tiles]
    distance = found["scores"]["FD-texture-1"]
    assert distance["value"] == pytest.approx(frechet_distance(*features))
    shares = [
        np.array([class_proportions(s.instances, s.classes, len(s.class_names), background=True) for s in part])
        for part in tiles
    ]
    assert found["scores"]["FSD"]["value"] == pytest.approx(fsd(*shares))
    assert (distance["encoder"], distance["digest"]) == ("texture-1", "embedded, no weights")
    assert found["scores"]["FSD"]["encoder"] is None
    assert (distance["real"], distance["synthetic"]) == (12, 14)
    assert distance["low"] <= distance["value"] <= distance["high"]
    assert 0 < distance["floor"] < distance["floor_high"]
    assert (found["side_px"], found["mpp"], found["drawn"]) == (64, 0.5, {"real": "sources", "synthetic": "tiles"})
    assert json.loads((tmp_path / "found.json").read_text()) == found


def test_the_background_may_be_left_out() -> None:
    found = compare(ONE, OTHER, metrics=("fsd",), without_background=True, draws=0)["scores"]["FSD"]
    shares = [
        np.array([class_proportions(s.instances, s.classes, len(s.class_names), background=False) for s in read(data)])
        for data in (ONE, OTHER)
    ]
    assert found["value"] == pytest.approx(fsd(*shares))
    assert found["low"] is None


def test_tiles_of_other_sizes_and_resolutions_are_brought_together(tmp_path: Path) -> None:
    fine = str(tmp_path / "fine")
    write_store((replace(tile, mpp=0.25) for tile in read("phantom:tiles=3&size=128")), Path(fine), overwrite=False)
    found = compare(fine, OTHER, metrics=("kid",), draws=0)
    assert (found["side_px"], found["mpp"]) == (64, 0.5)
    assert found["scores"]["KID-texture-1"]["real"] == 3
    found = compare(fine, OTHER, metrics=("kid",), draws=0, size=32, n=9)
    assert [found["scores"]["KID-texture-1"][side] for side in ("real", "synthetic")] == [9, 9]


def test_windows_are_drawn_by_the_seed() -> None:
    def found(seed: int) -> object:
        return compare(ONE, OTHER, metrics=("fd",), n=6, seed=seed, draws=4)["scores"]

    assert found(1) == found(1) != found(2)


def test_classes_are_asked_for_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"texture-1 knows no classes(.|\n)*--encoder inception"):
        compare("folder:nowhere", OTHER, metrics=("is",))
    monkeypatch.setattr(Texture, "classes", 3)
    monkeypatch.setattr(Texture, "classify", lambda _, rows: np.eye(3)[np.arange(len(rows)) % 3], raising=False)
    found = compare("phantom:tiles=30&size=64", "phantom:tiles=60&size=64&seed=1", metrics=("is",), draws=4)
    assert found["scores"]["IS-texture-1"]["value"] == pytest.approx(2.78, abs=0.3)


def test_unknown_resolutions_beside_known_ones_are_refused(tmp_path: Path) -> None:
    write(iter(list(read(OTHER))), tmp_path / "tiles", overwrite=False)
    meta = tmp_path / "tiles" / "meta.toml"
    path = next(path for path in (meta, tmp_path / "tiles" / "meta.json") if path.is_file())
    assert "mpp" in path.read_text()
    path.write_text("\n".join(line for line in path.read_text().splitlines() if "mpp" not in line))
    with pytest.raises(UserError, match="14 of 26 tiles state none"):
        compare(ONE, f"folder:{tmp_path / 'tiles'}", metrics=("kid",))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"metrics": ("fid",)}, r"unknown measure 'fid'(.|\n)*--metrics"),
        ({"metrics": ("fd_infinity",), "n": 12}, "too few windows(.|\n)*at least 20"),
        ({"metrics": ("kid", "prdc"), "n": 3}, "too few windows(.|\n)*at least 6"),
        ({"n": 1}, "no n"),
        ({"seed": -1}, "no seed"),
        ({"draws": -1}, "no draws"),
        ({"size": 0}, "--size is no length"),
        ({"size": 65}, "smaller than the window"),
        ({"encoder": "inception:nowhere.pth"}, "no such file(.|\n)*nowhere.pth"),
        ({"classes": "pannuke"}, "scheme"),
    ],
)
def test_what_cannot_be_compared_is_refused(given: dict[str, object], words: str) -> None:
    with pytest.raises(UserError, match=words):
        compare(ONE, OTHER, **({"metrics": ("kid",)} | given))  # type: ignore[arg-type]


def test_the_command_line_prints_a_table_and_says_what_is_biased(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", ONE, OTHER, "--metrics", "fd", "--metrics", "kid", "--draws", "4"]) == 0
    said = capsys.readouterr()
    assert "12 real and 14 synthetic windows of 64 px at 0.5 um per px" in said.out
    assert "FD-texture-1" in said.out
    assert "KID-texture-1" in said.out
    assert "biased upwards" in said.err
    assert "weights: embedded, no weights" in said.err


def test_nuclei_are_compared_class_by_class(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, other = (f"phantom:tiles=8&size=96&sources=8&seed={seed}" for seed in (0, 7))
    found = compare(one, other, metrics=("shapes", "counts"), json=tmp_path / "found.json")
    assert json.loads((tmp_path / "found.json").read_text()) == found
    assert found["scores"] == {}
    tiles = [list(read(data)) for data in (one, other)]
    labels = [[Label(s.instances, s.classes, 0.5) for s in part] for part in tiles]
    names = tiles[0][0].class_names
    groups = np.arange(8)
    distances = shape_distances(labels[0], labels[1], names, groups=groups)
    area = found["shapes"]["all"]["area_um2"]
    assert area == {"distance": distances["all.area_um2"], "floor": distances["all.area_um2.floor"]}
    assert list(found["shapes"]) == ["all", *names]
    assert list(found["shapes"][names[0]]) == [*FEATURES, DENSITY]
    counts = count_distances(*(class_counts([s.classes for s in part], len(names)) for part in tiles), names)
    assert list(found["counts"]) == ["mix", "all", *names]
    assert {name: each["distance"] for name, each in found["counts"].items()} == {
        name: counts[name] for name in found["counts"]
    }
    said = capsys.readouterr().out
    assert f"{area['distance']:.3g} ({area['floor']:.3g})" in said
    assert "Total variation of class counts" in said


def test_shapes_need_a_resolution_and_counts_do_not(tmp_path: Path) -> None:
    write_store((replace(tile, mpp=None) for tile in read(ONE)), tmp_path / "plain", overwrite=False)
    plain = str(tmp_path / "plain")
    with pytest.raises(UserError, match=r"unknown resolution(.|\n)*--source-mpp"):
        compare(plain, plain, metrics=("shapes",))
    assert compare(plain, plain, metrics=("counts",))["counts"]["mix"]["distance"] == 0
    assert compare(plain, plain, metrics=("shapes",), source_mpp=0.5, mpp=0.5)["shapes"]["all"]["area_um2"]


def test_every_interval_says_how_it_was_made_and_how_often_it_holds() -> None:
    scores = compare(ONE, OTHER, metrics=("prdc", "fsd"), draws=4)["scores"]
    assert {each["interval"] for each in scores.values()} == {"delete-half"}
    assert {name.partition("-")[0]: each["holds"] for name, each in scores.items()} == {
        **{name: HELD[name] for name in ("precision", "recall", "density", "coverage")},
        "FSD": HELD["fsd"],
    }
    without = compare(ONE, OTHER, metrics=("fsd",), draws=0)["scores"]["FSD"]
    assert (without["interval"], without["holds"]) == (None, None)
