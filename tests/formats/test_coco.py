"""COCO: pycocotools sees our nuclei, and files of other programs are read, or refused by name."""

import json
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from pycocotools import mask as masks
from pycocotools.coco import COCO

from drawn import drawn_sample
from nucleosynth.data.findings import REPAIRS, Finding
from nucleosynth.data.meta import own_source
from nucleosynth.errors import UserError
from nucleosynth.formats.coco import BOXES, CROWDS, read, write, write_rle
from nucleosynth.instances.canvas import CLAIMED_TWICE, COVERED
from nucleosynth.sample import Sample, without_gaps

OF_PYCOCOTOOLS = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
SQUARE = [2, 1, 6, 1, 6, 5, 2, 5]
IMAGE = {"id": 7, "file_name": "a.png", "height": 16, "width": 20}


def noisy(share: float, seed: int = 0) -> Sample:
    """A tile whose nuclei have holes, several parts and contacts of every kind."""
    generator = np.random.default_rng(seed)
    label = np.where(generator.random((30, 40)) < share, generator.integers(1, 9, (30, 40)), 0)
    instances, classes = without_gaps(label, np.arange(8).astype(np.uint8) % 4)
    return drawn_sample(seed, instances=instances, classes=classes, image=np.zeros((30, 40, 3), np.uint8))


def annotation(number: int = 1, **changes: Any) -> dict[str, Any]:
    return {"id": number, "image_id": 7, "category_id": 3, "segmentation": [SQUARE], "iscrowd": 0} | changes


def put(
    root: Path, document: dict[str, Any], file: str = "annotations.json", image: str | None = "images/a.png"
) -> None:
    """An annotation file, and an image of 16 x 20 px."""
    whole = {"images": [IMAGE], "annotations": [], "categories": [{"id": 3, "name": "x"}]} | document
    for path in (root / file, *([root / image] if image else [])):
        path.parent.mkdir(parents=True, exist_ok=True)
    (root / file).write_text(json.dumps(whole))
    if image:
        cv2.imwrite(str(root / image), np.zeros((16, 20, 3), np.uint8))


def opened(folder: Path) -> COCO:
    with redirect_stdout(StringIO()):
        return COCO(folder / "annotations.json")


@OF_PYCOCOTOOLS
@pytest.mark.parametrize("form", [write, write_rle])
@pytest.mark.parametrize("share", [0.05, 0.3, 0.9])
def test_pycocotools_sees_the_same_nuclei(tmp_path: Path, form: Any, share: float) -> None:
    samples = [noisy(share), drawn_sample(1)]
    form(samples, tmp_path / "out")
    coco = opened(tmp_path / "out")
    assert coco.getImgIds() == [1, 2]
    names = {0: "unknown", 1: "round", 2: "long", 3: "other"}
    assert {entry["id"]: entry["name"] for entry in coco.loadCats(coco.getCatIds())} == names
    for number, sample in enumerate(samples, start=1):
        for k, nucleus in enumerate(coco.imgToAnns[number], start=1):
            mask = sample.instances == k
            assert_array_equal(coco.annToMask(nucleus), mask)
            assert nucleus["category_id"] == sample.classes[k - 1]
            assert nucleus["area"] == mask.sum() == masks.area(coco.annToRLE(nucleus))
            assert_array_equal(nucleus["bbox"], masks.toBbox(coco.annToRLE(nucleus)))
        assert k == len(sample.classes)


def test_polygons_are_written_but_for_nuclei_with_holes(tmp_path: Path) -> None:
    ring = np.zeros((40, 48), np.int32)
    ring[2:7, 2:7], ring[4, 4], ring[20:22, 20:22], ring[20:22, 30:33] = 1, 0, 2, 2
    sample = drawn_sample(0, instances=ring, classes=np.array([1, 2], np.uint8))
    for form, kinds in ((write, [dict, list]), (write_rle, [dict, dict])):
        form([sample], tmp_path / form.__name__)
        found = json.loads((tmp_path / form.__name__ / "annotations.json").read_text())
        assert [type(nucleus["segmentation"]) for nucleus in found["annotations"]] == kinds
        assert [category["id"] for category in found["categories"]] == [1, 2, 3]
        assert found["licenses"] == [{"id": 1, "name": "CC0-1.0", "url": ""}]
    write([sample], tmp_path / "out")
    parts = json.loads((tmp_path / "out/annotations.json").read_text())["annotations"][1]["segmentation"]
    assert parts == [[20, 20, 22, 20, 22, 22, 20, 22], [30, 20, 33, 20, 33, 22, 30, 22]]


def test_categories_of_any_ids_are_classes_in_the_order_of_ids(tmp_path: Path) -> None:
    categories = [{"id": 90, "name": "a"}, {"id": 3, "name": "z"}]
    nuclei = [annotation(1, category_id=90), annotation(2, segmentation=[[10, 1, 14, 1, 14, 5, 10, 5]])]
    put(tmp_path, {"annotations": nuclei, "categories": categories})
    (tile,) = read(str(tmp_path))
    assert (tile.class_names, tile.classes.tolist()) == (("z", "a"), [2, 1])
    assert (tile.sample_id, tile.source, tile.mpp) == ("a", own_source("coco", "a", tile.image), None)


def test_without_categories_every_nucleus_is_a_nucleus(tmp_path: Path) -> None:
    put(tmp_path, {"annotations": [annotation(category_id=None)], "categories": []})
    (tile,) = read(str(tmp_path))
    assert (tile.class_names, tile.classes.tolist()) == (("nucleus",), [1])


def test_run_lengths_are_read_in_both_forms(tmp_path: Path) -> None:
    mask = np.zeros((16, 20), np.uint8, order="F")
    mask[3:9, 4:11] = 1
    packed = masks.encode(mask)
    text = {"size": [16, 20], "counts": packed["counts"].decode()}
    flat = mask.ravel(order="F")
    bounds = np.flatnonzero(np.diff(np.r_[0, flat, 1 - flat[-1]]))
    numbers = {"size": [16, 20], "counts": np.diff(np.r_[0, bounds]).tolist()}
    for k, segmentation in enumerate((text, numbers)):
        put(tmp_path / str(k), {"annotations": [annotation(segmentation=segmentation)]})
        (tile,) = read(str(tmp_path / str(k)))
        assert_array_equal(tile.instances, mask)


def test_crowds_and_boxes_are_left_out_and_overlaps_counted(tmp_path: Path) -> None:
    nuclei = [annotation(1), annotation(2, iscrowd=1), annotation(3, segmentation=[]), annotation(4)]
    put(tmp_path, {"annotations": nuclei})
    found: list[Finding] = []
    (tile,) = read(str(tmp_path), found.append)
    repairs = {CROWDS: 1, BOXES: 1, CLAIMED_TWICE: 16, COVERED: 1}
    assert tile.quality[REPAIRS] == {each.what: each.count for each in found} == repairs
    assert {(each.kind, each.where) for each in found} == {("repaired", "a")}


def test_an_image_without_annotations_is_a_tile_without_nuclei(tmp_path: Path) -> None:
    put(tmp_path, {})
    (tile,) = read(str(tmp_path))
    assert len(tile.classes) == 0


def test_cocos_own_layout_has_splits_and_other_files(tmp_path: Path) -> None:
    put(tmp_path, {}, "annotations/instances_train2017.json", "train2017/a.png")
    put(tmp_path, {"annotations": [annotation()]}, "annotations/instances_val2017.json", "val2017/a.png")
    put(tmp_path, {}, "annotations/captions_val2017.json", None)
    found: list[Finding] = []
    train, val = read(str(tmp_path), found.append)
    assert [(finding.kind, finding.where[-22:]) for finding in found] == [("left out", "/captions_val2017.json")]
    assert [(tile.sample_id, tile.split) for tile in (train, val)] == [("train2017/a", "train"), ("val2017/a", "val")]
    assert len(val.classes) == 1


@pytest.mark.parametrize("file", ["_annotations.coco.json", "annotations/instances_default.json"])
def test_one_file_of_any_name_is_found_and_tells_no_split(tmp_path: Path, file: str) -> None:
    put(tmp_path, {}, file, "a.png")
    (tile,) = read(str(tmp_path))
    assert tile.split == ""


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    put(tmp_path, {})
    file = tmp_path / "annotations.json"
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert len(list(read(str(tmp_path)))) == 1


def test_backslashes_are_folders(tmp_path: Path) -> None:
    put(tmp_path, {"images": [IMAGE | {"file_name": "slide_1\\a.png"}]}, image="images/slide_1/a.png")
    (tile,) = read(str(tmp_path))
    assert tile.sample_id == "slide_1/a"


@pytest.mark.parametrize(
    "file_name", ["../a.png", "x/../../a.png", "/etc/a.png", "..\\a.png", "C:\\a.png", "", "link.png"]
)
def test_a_name_that_leads_out_of_the_folder_is_refused(tmp_path: Path, file_name: str) -> None:
    put(tmp_path / "data", {"images": [IMAGE | {"file_name": file_name}]})
    put(tmp_path, {}, image="a.png")
    (tmp_path / "data/images/link.png").symlink_to(tmp_path / "a.png")
    with pytest.raises(UserError, match=r"leads out of the folder(.|\n)*annotations.json"):
        list(read(str(tmp_path / "data")))


def test_a_link_may_lead_to_another_place_of_the_folder(tmp_path: Path) -> None:
    put(tmp_path, {"images": [IMAGE | {"file_name": "link.png"}]}, image="pool/a.png")
    (tmp_path / "images").mkdir()
    (tmp_path / "images/link.png").symlink_to(tmp_path / "pool/a.png")
    (tile,) = read(str(tmp_path))
    assert tile.sample_id == "link"


def test_a_folder_that_is_a_link_out_is_refused(tmp_path: Path) -> None:
    put(tmp_path / "data", {}, image=None)
    put(tmp_path / "other", {})
    (tmp_path / "data/images").symlink_to(tmp_path / "other/images")
    with pytest.raises(UserError, match=r"leads out of the folder(.|\n)*annotations.json"):
        list(read(str(tmp_path / "data")))


def told(root: Path) -> Iterator[tuple[str, str]]:
    found: list[Finding] = []
    tiles = list(read(str(root), found.append))
    assert len(tiles) == 1
    yield from ((finding.kind, finding.what) for finding in found)


def test_what_does_not_belong_together_is_told(tmp_path: Path) -> None:
    images = [IMAGE, {"id": 8, "file_name": "lost.png"}]
    put(tmp_path, {"images": images, "annotations": [annotation(1), annotation(1), annotation(2, image_id=99)]})
    assert list(told(tmp_path)) == [
        ("suspicious", "1 annotations of images that are not listed, left out"),
        ("suspicious", "1 annotation ids that occur more than once, all read"),
        ("missing", "an image is not there: lost.png"),
        ("repaired", CLAIMED_TWICE),
        ("repaired", COVERED),
    ]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"images": [IMAGE, IMAGE | {"file_name": "b.png"}]}, "an image id twice"),
        ({"images": [IMAGE, IMAGE | {"id": 8}]}, "an image twice"),
        ({"categories": [{"id": 3, "name": "x"}, {"id": 3, "name": "y"}]}, "a category id twice"),
        ({"images": None}, "not a COCO file"),
        ({"images": [{"id": 7}]}, r"not a COCO file(.|\n)*images.0.file_name"),
        ({"images": [IMAGE | {"height": 99}]}, "another size"),
        ({"annotations": [annotation(category_id=4)]}, "a category that is not listed"),
        ({"annotations": [annotation(category_id=None)]}, "a category that is not listed"),
        ({"annotations": [annotation(segmentation=[[1, 2, 3]])]}, "a segmentation that is none"),
        ({"annotations": [annotation(segmentation=[SQUARE, ["x"]])]}, "a segmentation that is none"),
        ({"annotations": [annotation(segmentation="0")]}, "a segmentation that is none"),
        ({"annotations": [annotation(segmentation=[[10**400, 1, 2, 3, 4, 5]])]}, "a segmentation that is none"),
        ({"annotations": [annotation(segmentation=[[0, 0, 1e300, 0, 5, 5]])]}, "an outline of no place"),
        ({"annotations": [annotation(segmentation=[[0, 0, float("nan"), 0, 5, 5]])]}, "an outline of no place"),
        ({"annotations": [annotation(segmentation={"size": [20, 16], "counts": [320]})]}, "broken run lengths"),
        ({"annotations": [annotation(segmentation={"size": [16, 20], "counts": [300]})]}, "broken run lengths"),
        ({"annotations": [annotation(segmentation={"size": [16, 20], "counts": [330, -10]})]}, "broken run lengths"),
        ({"annotations": [annotation(segmentation={"size": [16, 20], "counts": [[1], 2]})]}, "broken run lengths"),
        ({"annotations": [annotation(segmentation={"size": [16, 20], "counts": "~~"})]}, "broken run lengths"),
        ({"annotations": [annotation(segmentation={"counts": [320]})]}, "broken run lengths"),
    ],
)
def test_what_contradicts_itself_is_refused(tmp_path: Path, document: dict[str, Any], message: str) -> None:
    put(tmp_path, document)
    with pytest.raises(UserError, match=rf"{message}(.|\n)*(annotations.json|a.png)"):
        list(read(str(tmp_path)))


@pytest.mark.parametrize("content", ["", "{", "[]", '{"images": ' + "[" * 5000, "\xff"])
def test_what_is_no_coco_file_is_refused(tmp_path: Path, content: str) -> None:
    put(tmp_path, {})
    (tmp_path / "annotations.json").write_bytes(content.encode("latin1"))
    with pytest.raises(UserError, match=r"not a COCO file(.|\n)*annotations.json"):
        list(read(str(tmp_path)))


def test_no_annotations_and_several_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    with pytest.raises(UserError, match="no COCO annotations"):
        list(read(str(tmp_path)))
    for name in ("a.json", "b.json"):
        put(tmp_path, {}, name)
    with pytest.raises(UserError, match="no COCO annotations"):
        list(read(str(tmp_path)))


def test_a_broken_tile_is_left_to_the_note(tmp_path: Path) -> None:
    images = [IMAGE, IMAGE | {"id": 8, "file_name": "b.png"}]
    put(tmp_path, {"images": images, "annotations": [annotation(segmentation=[[1, 2, 3]])]})
    put(tmp_path, {"images": images, "annotations": [annotation(segmentation=[[1, 2, 3]])]}, image="images/b.png")
    found: list[Finding] = []
    assert [tile.sample_id for tile in read(str(tmp_path), found.append)] == ["b"]
    assert [finding.kind for finding in found] == ["broken"]


def test_what_was_written_is_read_without_meta_but_for_what_coco_lacks(tmp_path: Path) -> None:
    sample = replace(noisy(0.3), split="test")
    write([sample], tmp_path / "out")
    (tmp_path / "out/meta.json").unlink()
    (found,) = read(str(tmp_path / "out"))
    assert_array_equal(found.instances, sample.instances)
    assert_array_equal(found.classes, sample.classes)
    assert (found.class_names, found.mpp, found.split) == (sample.class_names, None, "")
