"""Captions say what a tile shows: tissue, stain, types that occur and no others."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from drawn import CLASS_NAMES, drawn_sample
from nucleosynth.conditions import captions
from nucleosynth.conditions.captions import caption, names_of
from nucleosynth.conditions.points import from_instances
from nucleosynth.data.reader import read
from nucleosynth.sample import Condition, Layout, Sample
from nucleosynth.seeds import generator_of
from releases import make

START = "high quality histopathology"


def bare(sample: Sample, *classes: int) -> Sample:
    """The sample without a nucleus but some small ones of these classes."""
    instances = np.zeros(sample.size, np.int32)
    for k in range(len(classes)):
        instances[4 * k : 4 * k + 2, :2] = k + 1
    return replace(sample, instances=instances, classes=np.array(classes, np.uint8))


@pytest.mark.parametrize(
    ("names", "end"),
    [
        ((), "with no nucleus"),
        (("a",), "including nuclei types of a"),
        (("a", "b"), "including nuclei types of a and b"),
        (("a", "b", "c"), "including nuclei types of a, b, and c"),
        (("nucleus",), "including nuclei"),
        (("a", "nucleus"), "including nuclei types of a and nucleus"),
    ],
)
def test_the_sentence_of_the_paper(names: tuple[str, ...], end: str) -> None:
    assert caption("colon", "H&E", names) == f"{START} colon tissue image {end}"


@pytest.mark.parametrize(
    ("tissue", "stain", "words"),
    [
        ("bile duct", "H&E", "bile duct tissue"),
        ("endometrium", "IHC", "IHC stained endometrial tissue"),
        ("unknown", "H&E", "tissue"),
        ("mixed", "mixed", "tissue"),
        (None, None, "tissue"),
        ("", "IHC", "IHC stained tissue"),
    ],
)
def test_what_is_not_known_is_left_out(tissue: str | None, stain: str | None, words: str) -> None:
    assert caption(tissue, stain, ()) == f"{START} {words} image with no nucleus"


def test_a_generator_shuffles_the_types_and_loses_none() -> None:
    names = ("a", "b", "c")
    said = {caption("colon", "H&E", names, generator_of(k)) for k in range(60)}
    orders = {sentence.rpartition("of ")[2].replace("and ", "") for sentence in said}
    assert orders == {"a, b, c", "a, c, b", "b, a, c", "b, c, a", "c, a, b", "c, b, a"}
    assert caption("colon", "H&E", names, generator_of(3)) == caption("colon", "H&E", names, generator_of(3))


def test_the_types_that_occur_in_the_order_of_the_classes() -> None:
    assert names_of(np.array([3, 0, 1, 3], np.uint8), CLASS_NAMES) == ("round", "other")
    assert names_of(np.array([0, 0], np.uint8), CLASS_NAMES) == ("nucleus",)
    assert names_of(np.array([], np.uint8), CLASS_NAMES) == ()
    assert names_of(np.array([0], np.uint8), ()) == ("nucleus",)


def test_of_a_sample() -> None:
    tile = drawn_sample()
    assert captions.of_sample(bare(tile, 2, 0, 2)) == f"{START} colon tissue image including nuclei types of long"
    assert captions.of_sample(bare(tile, 0)) == f"{START} colon tissue image including nuclei"
    assert captions.of_sample(bare(tile)) == f"{START} colon tissue image with no nucleus"
    assert captions.of_sample(replace(bare(tile), caption="mine")) == "mine"


def test_a_sample_of_points_alone_is_told_by_its_points() -> None:
    tile = bare(drawn_sample())
    points = Layout(np.zeros((1, 2), np.float32), np.array([3], np.uint8), tile.size, CLASS_NAMES, tile.mpp)
    assert captions.of_sample(replace(tile, points=points)).endswith("with no nucleus")
    pointed = replace(tile, points=points, labelled_as="points")
    assert captions.of_sample(pointed) == f"{START} colon tissue image including nuclei types of other"


def test_of_a_condition_the_first_that_it_gives() -> None:
    tile = bare(drawn_sample(), 1, 3)
    asked = Condition(tile.size, class_names=CLASS_NAMES)
    counts = np.array([0, 4, 0])
    label = {"instances": tile.instances, "classes": tile.classes}
    ends = {
        "mine": replace(asked, caption="mine", points=from_instances(tile)),
        "of round and other": replace(asked, points=from_instances(tile), counts=counts),
        "types of round and other": replace(asked, **label, counts=counts),
        "of long": replace(asked, counts=counts),
        "types of long": replace(asked, counts=np.array([0, 4, 0, 2])),
        "including nuclei": replace(asked, counts=np.array([0, 0, 0, 2])),
        "with no nucleus": replace(asked, counts=0 * counts),
    }
    for end, condition in ends.items():
        assert str(captions.of_condition(condition, "colon", "H&E")).endswith(end)
    assert captions.of_condition(asked, "colon", "H&E") is None
    told = replace(asked, counts=counts, tissue="skin", stain="IHC")
    assert "IHC stained skin tissue" in str(captions.of_condition(told, "colon", "H&E"))


@pytest.mark.parametrize(
    ("release", "words"),
    [
        ("lizard", {"colon"}),
        ("pannuke", {"adrenal gland", "bile duct", "head and neck", "colon"}),
        ("endonuke", {"IHC stained endometrial"}),
        ("monuseg", {"kidney", "colon", "liver"}),
    ],
)
def test_the_releases_are_called_as_in_the_papers(release: str, words: set[str], tmp_path: Path) -> None:
    tiles = list(read(f"{release}:{make(release, tmp_path)}"))
    said = [captions.of_sample(tile) for tile in tiles]
    named = {sentence.removeprefix(f"{START} ").partition(" tissue image")[0] for sentence in said}
    assert words <= named
    if release == "monuseg":
        assert all(sentence.endswith("including nuclei") for sentence in said)
