"""validate: every problem in one verdict, nothing in a sound data set; census: the numbers are those of the tiles."""

import errno
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drawn import CLASS_NAMES, drawn_sample, full_sample
from nucleosynth.curation import validation
from nucleosynth.curation.census import Census
from nucleosynth.curation.validation import Verdict, examine
from nucleosynth.data.findings import REPAIRS, Finding, Note, alike
from nucleosynth.data.phantom import read as drawn
from nucleosynth.data.stain import REFERENCE
from nucleosynth.errors import UserError
from nucleosynth.formats import folder, geojson
from nucleosynth.sample import Sample

Change = Callable[[list[Sample], Path], None]


@pytest.fixture
def tiles() -> list[Sample]:
    return list(drawn("tiles=4&size=128&sources=4"))


def kinds(path: Path) -> list[tuple[str, str]]:
    return [(finding.kind, finding.where) for finding in examine(f"folder:{path}").findings]


def test_sound_data_have_no_problem(tiles: list[Sample], tmp_path: Path) -> None:
    folder.write(tiles, tmp_path / "data")
    verdict = examine(f"folder:{tmp_path / 'data'}")
    assert (verdict.problems, verdict.exit_code, verdict.images) == ((), 0, 4)
    assert verdict.nuclei == sum(len(tile.classes) for tile in tiles)


def test_all_broken_tiles_are_listed_and_the_rest_is_read(tiles: list[Sample], tmp_path: Path) -> None:
    folder.write(tiles, tmp_path)
    names = [tile.sample_id for tile in tiles]
    (tmp_path / "labels" / f"{names[0]}.png").write_bytes(b"")
    np.save(tmp_path / "classes" / f"{names[2]}.npy", np.zeros(1, np.uint8))
    verdict = examine(f"folder:{tmp_path}")
    assert [(each.kind, Path(each.where).name) for each in verdict.problems] == [
        ("broken", f"{names[0]}.png"),
        ("broken", f"{names[2]}.npy"),
    ]
    assert all(each.mend for each in verdict.problems)
    assert (verdict.exit_code, verdict.images) == (2, 2)


def test_a_folder_that_cannot_be_read_at_all_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    verdict = examine(f"folder:{tmp_path}")
    assert verdict.exit_code == 2
    assert "not a folder of tiles" in verdict.problems[0].what
    with pytest.raises(UserError, match="unknown data set"):
        examine("foldr:x")


def test_leaks_between_splits_are_found(tiles: list[Sample], tmp_path: Path) -> None:
    one, two, three, four = tiles
    twice = replace(one, sample_id="again", source="folder/again", split="test")
    folder.write(
        [
            replace(one, split="train"),
            replace(two, source="s", split="train"),
            replace(three, source="s", split="test"),
            four,
            twice,
        ],
        tmp_path,
    )
    problems = examine(f"folder:{tmp_path}").problems
    assert {(each.kind, each.where) for each in problems} == {
        ("suspicious", three.sample_id),
        ("suspicious", one.sample_id),
    }
    assert any("in splits test and train" in each.what for each in problems)


def test_a_label_of_another_tile_is_suspected(tiles: list[Sample], tmp_path: Path) -> None:
    dense = max(tiles, key=lambda tile: len(tile.classes))
    inverted = replace(dense, sample_id="negative", image=255 - dense.image)
    folder.write([dense, inverted], tmp_path)
    (problem,) = examine(f"folder:{tmp_path}").problems
    assert problem.where == "negative"
    assert "no darker" in problem.what


def test_what_was_mended_or_is_unknown_is_told_and_is_no_problem(tmp_path: Path) -> None:
    tile = drawn_sample(mpp=None, stain="IHC", quality={REPAIRS: {"px lost": 3}})
    other = drawn_sample(1, stain="IHC", quality={REPAIRS: {"px lost": 4}})
    folder.write([tile, other], tmp_path)
    verdict = examine(f"folder:{tmp_path}")
    assert verdict.exit_code == 0
    told = {(each.kind, each.text, number) for each, number in alike(verdict.findings)}
    assert ("repaired", "px lost: 7", 2) in told
    assert any(kind == "note" and "1 of 2 tiles" in text for kind, text, _ in told)


def judged(monkeypatch: pytest.MonkeyPatch, *met: Sample | Finding | Exception) -> Verdict:
    """What is said of a reader that meets these, in this order."""

    def read(_where: str, note: Note, /) -> Iterator[Sample]:
        for each in met:
            if isinstance(each, Finding):
                note(each)
            elif isinstance(each, Sample):
                yield each
            else:
                raise each

    monkeypatch.setattr(validation, "resolve", lambda data: (read, data))
    return examine("some:data")


def plain(seed: int = 0, size: tuple[int, int] = (40, 48), **changes: Any) -> Sample:
    """A tile of which there is nothing to say."""
    return drawn_sample(seed, size, stain="IHC", **changes)


def points_alone(seed: int) -> Sample:
    nothing = {"instances": np.zeros((40, 48), np.int32), "classes": np.zeros(0, np.uint8)}
    return replace(full_sample(seed), sample_id=f"points_{seed}", labelled_as="points", **nothing)


def test_facts_of_a_release_are_listed_and_are_no_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    verdict = judged(monkeypatch, Finding("note", "labels/", "tiles without a label", count=40), plain())
    assert ("note", "labels/") in [(each.kind, each.where) for each in verdict.findings]
    assert (verdict.problems, verdict.exit_code) == ((), 0)


def test_a_finding_without_a_file_names_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    nameless = UserError("bad", expected="a", got="b")
    verdict = judged(monkeypatch, Finding("missing", "", "a part"), plain(), nameless)
    assert [each.where for each in verdict.problems] == ["some:data", "some:data"]


@pytest.mark.parametrize(
    ("error", "where", "what"),
    [
        (MemoryError(), "some:data", "memory"),
        (PermissionError(errno.EACCES, "Permission denied", "a.png"), "a.png", "Permission denied"),
        (OSError(errno.EIO, "Input/output error"), "some:data", "Input/output error"),
        (OSError("no codec"), "some:data", "no codec"),
    ],
)
def test_what_the_machine_refuses_is_a_row(
    monkeypatch: pytest.MonkeyPatch, error: Exception, where: str, what: str
) -> None:
    verdict = judged(monkeypatch, plain(0), plain(1), error)
    (problem,) = verdict.problems
    assert (problem.kind, problem.where, verdict.images) == ("broken", where, 2)
    assert what in problem.what
    assert "what follows was not looked at" in problem.what


def test_a_tile_that_the_memory_does_not_hold_is_a_row_and_the_next_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    add = Census.add

    def adding(census: Census, sample: Sample) -> None:
        if sample.sample_id == "tile_0":
            raise MemoryError
        add(census, sample)

    monkeypatch.setattr(Census, "add", adding)
    verdict = judged(monkeypatch, plain(0), plain(1))
    assert [(each.kind, each.where) for each in verdict.problems] == [("broken", "tile_0")]
    assert verdict.images == 1


def test_a_region_and_a_slip_of_units_are_suspected(monkeypatch: pytest.MonkeyPatch) -> None:
    instances = np.zeros((64, 64), np.int32)
    instances[:33, :32], instances[40:, 40:] = 1, 2
    region = plain(0, (64, 64), instances=instances, classes=np.ones(2, np.uint8))
    quarter = np.where(np.arange(64)[:, None] == 0, 0, instances)
    smaller = plain(1, (64, 64), instances=quarter, classes=np.ones(2, np.uint8))
    patch = plain(2, (20, 20), instances=np.ones((20, 20), np.int32), classes=np.ones(1, np.uint8))
    units = [plain(3 + k, mpp=mpp) for k, mpp in enumerate((0.02, 0.05, 4, 250))]
    problems = judged(monkeypatch, region, smaller, patch, *units).problems
    assert [(each.where, each.kind) for each in problems] == [
        ("tile_0", "suspicious"),
        ("tile_3", "suspicious"),
        ("tile_6", "suspicious"),
    ]
    assert "over 25 % of the tile: is it a region?" in problems[0].what
    assert "250 um per px" in problems[2].what


def test_points_are_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    verdict = judged(monkeypatch, points_alone(0), points_alone(1))
    assert (verdict.problems, verdict.nuclei) == ((), 4)
    assert ("note", "2 of 4 nuclei are of unknown type") in [(each.kind, each.what) for each in verdict.findings]


def test_the_census_counts_points_of_tiles_without_masks_alone() -> None:
    census = Census()
    census.add(points_alone(0))
    found = census.numbers()
    assert found["classes"] == {"round": 0, "long": 0, "other": 1, "unknown": 1}
    assert (found["labelled_as"], found["area_px"], found["median_diameter_px"]) == ({"points": 1}, {}, None)
    census.add(full_sample(1))
    assert census.nuclei == 2 + len(full_sample(1).classes)


def test_a_scheme_without_a_place_is_a_broken_tile(tmp_path: Path) -> None:
    folder.write([drawn_sample()], tmp_path)
    verdict = examine(f"folder:{tmp_path}", "consep4")
    assert verdict.problems[0].kind == "broken"
    assert "'round' has no place" in verdict.problems[0].what


def test_the_census_counts_what_is_there() -> None:
    census = Census()
    tile = drawn_sample()
    image = np.broadcast_to(REFERENCE.mix(np.array([0.4, 0.2])).round().astype(np.uint8), tile.image.shape)
    census.add(replace(tile, image=np.ascontiguousarray(image)))
    census.add(
        drawn_sample(1, stain="IHC", mpp=None, instances=np.zeros((40, 48), np.int32), classes=np.zeros(0, np.uint8))
    )
    found = census.numbers()
    kinds = np.bincount(tile.classes, minlength=4)
    assert {name: found["classes"][name] for name in CLASS_NAMES} == dict(
        zip(CLASS_NAMES, kinds[1:].tolist(), strict=True)
    )
    assert (found["images"], found["nuclei"], found["classes"]["unknown"]) == (2, len(tile.classes), kinds[0])
    assert found["area_px"]["round"]["50%"] == 30
    assert found["area_um2"]["round"]["50%"] == 30 * 0.25**2
    assert found["stain"]["haematoxylin"]["mean"] == pytest.approx(0.4, abs=0.02)
    assert found["stain"]["eosin"]["mean"] == pytest.approx(0.2, abs=0.02)
    assert found["median_diameter_px"] == pytest.approx(2 * np.sqrt(30 / np.pi))


def test_a_mask_without_ids_is_suspected(tiles: list[Sample], tmp_path: Path) -> None:
    dense = max(tiles, key=lambda tile: len(tile.classes))
    mask = (dense.instances > 0).astype(np.int32)
    folder.write([replace(dense, instances=mask, classes=np.ones(1, np.uint8))], tmp_path)
    assert any("mask without ids" in problem.what for problem in examine(f"folder:{tmp_path}").problems)


def test_a_flat_image_is_suspected(tiles: list[Sample], tmp_path: Path) -> None:
    dense = max(tiles, key=lambda tile: len(tile.classes))
    folder.write([replace(dense, image=np.full_like(dense.image, 180))], tmp_path)
    assert any("no darker" in problem.what for problem in examine(f"folder:{tmp_path}").problems)


def test_what_this_reading_mends_is_counted_once(tmp_path: Path) -> None:
    geojson.write([drawn_sample(stain="IHC")], tmp_path)
    path = tmp_path / "labels" / "tile_0.geojson"
    content = json.loads(path.read_text())
    content["features"].append(content["features"][0] | {"id": "again"})
    path.write_text(json.dumps(content))
    counts = {each.what: each.count for each in examine(f"geojson:{tmp_path}").findings if each.kind == "repaired"}
    assert counts["nuclei covered by later ones, left out"] == 1
