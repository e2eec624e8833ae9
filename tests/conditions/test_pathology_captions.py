"""Captions that count: the published sentence, true percentiles of tissue and type, nothing that nobody has seen."""

import json
from dataclasses import replace

import numpy as np
import pytest

from drawn import CLASS_NAMES, drawn_sample
from nucleosynth.conditions.pathology_captions import PathologyCaptions, census, is_neoplastic
from nucleosynth.conditions.points import from_instances
from nucleosynth.errors import UserError
from nucleosynth.sample import Condition, Layout, Sample

PANNUKE = ("neoplastic", "inflammatory", "connective", "dead", "epithelial")
BREAST = PathologyCaptions(
    spreads={
        "": {"": (5, 20), "neoplastic": (10, 40), "dead": (2, 4), "nucleus": (3, 9)},
        "Breast": {"neoplastic": (10, 40), "dead": (2, 4)},
        "Colon": {"neoplastic": (1, 3)},
    }
)


def tile(tissue: str, counts: list[int], **changes: object) -> Sample:
    """A tile with so many one-pixel nuclei of each class, those of unknown type first."""
    classes = np.repeat(np.arange(len(counts)), counts).astype(np.uint8)
    instances = np.zeros((20, 40), np.int32)
    instances.reshape(-1)[: len(classes)] = np.arange(1, len(classes) + 1)
    image = np.zeros((20, 40, 3), np.uint8)
    given = {"sample_id": "a", "image": image, "instances": instances, "classes": classes, "class_names": PANNUKE}
    return Sample(**(given | {"source": "s", "tissue": tissue} | changes))  # type: ignore[arg-type]


def test_the_published_sentence() -> None:
    said = BREAST.of_sample(tile("Breast", [0, 80, 0, 0, 4, 0]))
    assert said == "Breast tumor image of neoplastic tissue, hundreds of neoplastic, many dead"
    assert BREAST.sentence("Breast", {}) == "Breast image of background"


@pytest.mark.parametrize(
    ("nuclei", "main"),
    [
        ({"a": 1, "b": 1}, "a tissue"),
        ({"b": 4, "a": 6}, "a tissue"),
        ({"a": 7, "b": 6, "c": 6}, "a, b and c tissue"),
        ({"a": 5, "b": 5, "c": 5}, "a and b tissue"),
        ({"a": 4, "b": 4, "c": 2}, "mixed tissue"),
        ({"a": 5, "b": 4, "c": 2}, "a and b tissue"),
        ({"a": 6, "b": 3, "c": 3, "d": 3}, "mixed tissue"),
        ({"nucleus": 9}, "tissue"),
        ({"a": 2, "nucleus": 90}, "a tissue"),
    ],
)
def test_what_it_is_made_of(nuclei: dict[str, int], main: str) -> None:
    first, *amounts = BREAST.sentence("liver", nuclei).split(", few")[0].split(", several")[0].split(" image of ")
    assert first == "Liver"
    assert amounts[0].split(", many")[0].split(", hundreds")[0] == main


@pytest.mark.parametrize(
    ("tissue", "count", "words"),
    [
        ("Breast", 10, "few"),
        ("Breast", 11, "several"),
        ("Breast", 39, "several"),
        ("Breast", 40, "many"),
        ("Breast", 74, "many"),
        ("Breast", 75, "hundreds of"),
        ("Colon", 2, "several"),
        ("Colon", 3, "many"),
        ("Lung", 11, "several"),
    ],
)
def test_few_and_many_are_the_tissue_s_own(tissue: str, count: int, words: str) -> None:
    assert BREAST.sentence(tissue, {"neoplastic": count}).endswith(f" tissue, {words} neoplastic")


def test_a_type_that_was_never_seen_is_told_by_all_types() -> None:
    assert [BREAST.amount("Breast", "new", count) for count in (5, 6, 20)] == ["few", "several", "many"]


def test_no_spread_is_few() -> None:
    assert PathologyCaptions(spreads={"": {"": (1, 1)}}).amount("", "a", 1) == "few"


@pytest.mark.parametrize("counts", [[0, 0, 3, 0, 0, 0], [0, 0, 0, 0, 0, 0], [4, 0, 0, 0, 0, 2]])
def test_no_diagnosis_is_invented(counts: list[int]) -> None:
    said = {BREAST.of_sample(tile("Breast", counts, sample_id=str(k))) for k in range(4)}
    assert len(said) == 1
    assert said.pop().startswith("Breast image of ")


def test_a_tissue_that_the_data_call_so_keeps_its_name() -> None:
    assert BREAST.sentence("benign breast", {"connective": 1}).startswith("Benign breast image of")
    assert BREAST.sentence("phyllodes tumor", {"neoplastic": 1}).startswith("Phyllodes tumor image of")
    for unknown in ("unknown", "mixed", ""):
        assert BREAST.sentence(unknown, {"connective": 1}).startswith("Image of connective tissue")
        assert BREAST.sentence(unknown, {"neoplastic": 1}).startswith("Tumor image of neoplastic tissue")


@pytest.mark.parametrize("name", ["neoplastic", "nuclei_tumor", "Tumour", "malignant epithelial", "tumor or malignant"])
def test_a_tumor_s_own_nuclei(name: str) -> None:
    assert is_neoplastic(name)


@pytest.mark.parametrize(
    "name",
    [
        "non-neoplastic epithelial",
        "dysplastic/malignant epithelial",
        "tumor-infiltrating lymphocyte",
        "tumor stroma",
        "x",
    ],
)
def test_nuclei_that_need_not_be_a_tumor_s(name: str) -> None:
    assert not is_neoplastic(name)


def test_the_most_frequent_type_goes_first_and_unknown_ones_are_called_so() -> None:
    said = BREAST.of_sample(tile("Breast", [12, 3, 0, 0, 11, 0]))
    assert said.endswith(", many nuclei of unknown type, many dead, few neoplastic")
    untyped = tile("Breast", [5, 0], class_names=("nucleus",))
    assert BREAST.of_sample(untyped) == "Breast image of tissue, several nuclei"
    typed = tile("Breast", [0, 5], class_names=("nucleus",))
    assert BREAST.of_sample(typed) == BREAST.of_sample(untyped)


def test_the_percentiles_are_those_of_the_images_that_show_the_type() -> None:
    tiles = [tile("Breast", [0, n, 0, 0, 0, 0]) for n in (0, *range(1, 12))]
    found = PathologyCaptions.fit([*tiles, tile("Colon", [0, 50, 0, 2, 0, 0])])
    assert found.spreads["Breast"] == {"": (4, 8), "neoplastic": (4, 8)}  # of 1..11, exactly
    assert {name: found.spreads["Colon"][name] for name in PANNUKE[:3:2]} == {
        "neoplastic": (50, 50),
        "connective": (2, 2),
    }
    assert found.spreads["Colon"][""] == pytest.approx((16.4, 35.6))  # of 2 and 50
    assert found.spreads[""]["neoplastic"] == pytest.approx((4.3, 8.7))  # of 1..11 and 50
    assert PathologyCaptions.fit(iter([tiles[3], tiles[3]])).spreads["Breast"]["neoplastic"] == (3, 3)
    with pytest.raises(UserError, match="no nuclei to count"):
        PathologyCaptions.fit([tiles[0]])


def test_it_is_kept_as_json() -> None:
    found = PathologyCaptions.fit([drawn_sample(k) for k in range(3)])
    assert PathologyCaptions.model_validate(json.loads(json.dumps(found.model_dump(mode="json")))) == found


def test_own_captions_and_points_go_first() -> None:
    sample = tile("Breast", [0, 3, 0, 0, 0, 0])
    assert BREAST.of_sample(replace(sample, caption="mine")) == "mine"
    points = Layout(np.zeros((1, 2), np.float32), np.array([4], np.uint8), sample.size, PANNUKE)
    assert BREAST.of_sample(replace(sample, points=points, labelled_as="points")).endswith("dead tissue, few dead")


def test_of_a_condition_the_first_that_it_gives() -> None:
    sample = drawn_sample()
    fitted = PathologyCaptions.fit([sample])
    asked = Condition(sample.size, class_names=CLASS_NAMES)
    label = {"instances": sample.instances, "classes": sample.classes}
    counts = census(sample.classes, CLASS_NAMES)
    same = np.array([counts.get(name, 0) for name in (*CLASS_NAMES, "nucleus")])
    own = fitted.of_sample(sample)
    assert own.startswith("Colon image of ")
    assert fitted.of_condition(replace(asked, caption="mine", **label), "colon") == "mine"
    assert fitted.of_condition(replace(asked, points=from_instances(sample)), "colon") == own
    assert fitted.of_condition(replace(asked, **label), "colon") == own
    assert fitted.of_condition(replace(asked, counts=same), "colon") == own
    told = fitted.of_condition(replace(asked, counts=same, tissue="lung"), "colon")
    assert told == own.replace("Colon", "Lung")
    assert fitted.of_condition(replace(asked, counts=np.array([0, 4, 0])), "colon") == (
        "Colon image of long tissue, few long"
    )
    assert fitted.of_condition(asked, "colon") is None
