"""COCO as programs export it: one file, splits in folders, and categories that are not listed or not told apart."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from nucleosynth.data.findings import Finding
from nucleosynth.errors import UserError
from nucleosynth.formats.coco import read
from nucleosynth.sample import Sample


def nucleus(left: int, kind: Any, image: int = 1) -> dict[str, Any]:
    ring = [left, 1, left + 4, 1, left + 4, 5, left, 5]
    return {"id": left, "image_id": image, "category_id": kind, "segmentation": [ring]}


def put(file: Path, image: Path | None, name: str = "a.png", **lists: Any) -> None:
    """An annotation file of one image of 16 x 20 px, and that image."""
    content = {"images": [{"id": 1, "file_name": name}], "annotations": [], "categories": []} | lists
    for path in (file, *([image] if image else [])):
        path.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content))
    if image:
        cv2.imwrite(str(image), np.zeros((16, 20, 3), np.uint8))


def heard(where: Path) -> tuple[list[Sample], list[Finding]]:
    found: list[Finding] = []
    return list(read(str(where), found.append)), found


def test_categories_that_are_not_listed_are_classes_by_their_ids(tmp_path: Path) -> None:
    for split, kinds in (("train", (12, 3)), ("test", (12, 7))):
        nuclei = [nucleus(4 * k, kind) for k, kind in enumerate(kinds)]
        put(tmp_path / f"annotations/{split}.json", tmp_path / f"{split}/a.png", annotations=nuclei)
    (test, train), found = heard(tmp_path)
    assert test.class_names == train.class_names == ("class 1", "class 2", "class 3")
    assert (train.classes.tolist(), test.classes.tolist()) == ([3, 1], [3, 2])
    told = "no category is listed: ids 3, 7, 12 are read as class 1, class 2, class 3"
    assert [(each.kind, each.what) for each in found] == [("note", told)]


def test_categories_that_are_not_listed_may_be_named_in_meta(tmp_path: Path) -> None:
    nuclei = [nucleus(0, 1), nucleus(4, 3)]
    put(tmp_path / "annotations.json", tmp_path / "a.png", annotations=nuclei)
    (tmp_path / "meta.toml").write_text('class_names = ["x", "y"]')
    ((tile,), _) = heard(tmp_path)
    assert (tile.class_names, tile.classes.tolist()) == (("x", "y"), [1, 2])
    (tmp_path / "meta.toml").write_text('class_names = ["x", "y", "z"]')
    with pytest.raises(UserError, match=r"categories that are not listed(.|\n)*ids 1, 3(.|\n)*annotations.json"):
        heard(tmp_path)


def test_a_file_without_categories_beside_one_that_has_some_is_refused(tmp_path: Path) -> None:
    put(tmp_path / "annotations/a.json", tmp_path / "a/a.png", categories=[{"id": 1, "name": "x"}])
    put(tmp_path / "annotations/b.json", tmp_path / "b/a.png", annotations=[nucleus(0, 1)])
    tiles, found = heard(tmp_path)
    assert [tile.sample_id for tile in tiles] == ["a/a"]
    assert ["a category that is not listed" in each.what for each in found] == [True]


def test_two_categories_of_one_name_are_told(tmp_path: Path) -> None:
    categories = [{"id": 1, "name": "x"}, {"id": 2, "name": "y"}, {"id": 5, "name": "x"}]
    nuclei = [nucleus(0, 1), nucleus(4, 5), nucleus(8, 2)]
    put(tmp_path / "annotations.json", tmp_path / "a.png", annotations=nuclei, categories=categories)
    (tile,), found = heard(tmp_path)
    assert (tile.class_names, tile.classes.tolist()) == (("x", "y"), [1, 1, 2])
    assert [(each.kind, each.what) for each in found] == [("note", "2 categories are named 'x', read as one class")]


@pytest.mark.parametrize("file", ["two.json", "two.JSON", "annotations/two.json"])
def test_one_file_of_several_may_be_named(tmp_path: Path, file: str) -> None:
    put(tmp_path / "one.json", tmp_path / "images/b.png", "b.png")
    put(tmp_path / file, tmp_path / "images/a.png", annotations=[nucleus(0, 1)], categories=[{"id": 1, "name": "x"}])
    (tile,), found = heard(tmp_path / file)
    assert (tile.sample_id, tile.classes.tolist(), tile.split, found) == ("a", [1], "", [])


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    for where in (tmp_path / "no.json", tmp_path / f"{'a' * 200}.json"):
        with pytest.raises(UserError, match=r"no such folder(.|\n)*json"):
            heard(where)


def test_splits_may_be_folders(tmp_path: Path) -> None:
    for split in ("valid", "train", "test"):
        put(tmp_path / split / "_annotations.coco.json", tmp_path / split / "a.png")
    tiles, found = heard(tmp_path)
    assert sorted((tile.sample_id, tile.split) for tile in tiles) == [
        ("test/a", "test"),
        ("train/a", "train"),
        ("valid/a", "valid"),
    ]
    assert found == []
    assert [tile.split for tile in heard(tmp_path / "valid")[0]] == [""]


@pytest.mark.parametrize("name", ["a" * 300, "x/" * 3000 + "a.png", "a\0.png", "\x1b[2J.png", "é\u202e.png"])
def test_a_name_that_no_file_has_is_told(tmp_path: Path, name: str) -> None:
    images = [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": name}]
    put(tmp_path / "annotations.json", tmp_path / "a.png", images=images)
    tiles, (found,) = heard(tmp_path)
    assert len(tiles) == 1
    assert found.kind == "missing"
    assert found.what.startswith("an image is not there")
    assert found.what.isprintable()
    assert len(found.what) < 120


def test_an_image_that_is_lost_may_still_be_in_meta(tmp_path: Path) -> None:
    images = [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "b.png"}]
    put(tmp_path / "annotations.json", tmp_path / "images/a.png", images=images)
    (tmp_path / "meta.toml").write_text("[tiles.a]\nmpp = 0.5\n[tiles.b]\nmpp = 0.25")
    (tile,), found = heard(tmp_path)
    assert (tile.mpp, [each.kind for each in found]) == (0.5, ["missing"])
