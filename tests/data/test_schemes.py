"""Class schemes: merges by name alone, in the order of the scheme, told in words that travel with the tiles."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import nucleosynth
from drawn import drawn_sample
from nucleosynth import catalog
from nucleosynth.data import consep, puma, store
from nucleosynth.data.reader import read
from nucleosynth.data.schemes import BINARY, CONSEP4, CONSEP_DAFF, LIZARD, PANNUKE, PUMA3, Scheme, scheme
from nucleosynth.errors import UserError
from nucleosynth.run import Run
from nucleosynth.sample import Layout, Sample

KINDS = np.array([0, 1, 2, 3, 4, 5, 6, 7], np.uint8)


def tile(class_names: tuple[str, ...], kinds: np.ndarray = KINDS) -> Sample:
    """One nucleus of each kind in turn, and a point at each."""
    instances = np.zeros((4, 2 * len(kinds)), np.int32)
    instances[1, ::2] = np.arange(1, len(kinds) + 1)
    xy = np.array([[2 * k, 1] for k in range(len(kinds))], np.float32)
    points = Layout(xy, kinds, instances.shape, class_names)
    return drawn_sample(
        size=instances.shape, instances=instances, classes=kinds, class_names=class_names, points=points
    )


@pytest.mark.parametrize(
    ("found", "names", "kinds"),
    [
        (CONSEP4, ("other", "inflammatory", "epithelial", "spindle"), [0, 1, 2, 3, 3, 4, 4, 4]),
        (CONSEP_DAFF, ("epithelial", "inflammatory", "spindle", "muscle"), [0, 0, 2, 1, 1, 3, 4, 3]),
        (BINARY, ("nucleus",), [1] * 8),
    ],
)
def test_consep_in_its_schemes(found: object, names: tuple[str, ...], kinds: list[int]) -> None:
    merged = found.apply(tile(consep.CLASS_NAMES))  # type: ignore[attr-defined]
    assert merged.class_names == names
    assert merged.classes.tolist() == kinds
    assert merged.points is not None
    assert (merged.points.classes.tolist(), merged.points.class_names) == (kinds, names)


def test_puma_in_three_classes_keeps_what_is_unknown() -> None:
    names = ("tumor", "lymphocyte", "histiocyte", "plasma cell")
    assert PUMA3.apply(tile(names, KINDS[:5])).classes.tolist() == [0, 1, 2, 3, 2]


def test_every_class_of_puma_has_a_place_in_three_and_no_other_has() -> None:
    assert {old for olds in PUMA3.classes.values() for old in olds} == set(puma.CLASS_NAMES)
    with pytest.raises(UserError, match="'inflammatory' has no place in the scheme 'puma3'"):
        PUMA3.apply(tile(consep.CLASS_NAMES))


def test_a_line_of_the_scheme_goes_before_an_equal_name() -> None:
    swapped = Scheme("swapped", {"round": ("long",), "long": ("round",), "other": ("*",)})
    assert swapped.apply(tile(("round", "long", "other"), KINDS[:4])).classes.tolist() == [0, 2, 1, 3]
    later = Scheme("later", {"round": ("*",), "long": ("round",)})
    assert later.apply(tile(("round", "long"), KINDS[:3])).classes.tolist() == [0, 2, 2]
    forgotten = Scheme("forgotten", {"round": ("long",)}, unknown=("round",))
    assert forgotten.apply(tile(("round", "long"), KINDS[:3])).classes.tolist() == [0, 0, 1]


def test_a_scheme_orders_classes_by_its_own_list() -> None:
    backwards = tuple(reversed(PANNUKE.class_names))
    assert PANNUKE.apply(tile(backwards, KINDS[:6])).classes.tolist() == [0, 5, 4, 3, 2, 1]
    assert LIZARD.class_names[0] == "neutrophil"


def test_applying_a_scheme_twice_changes_nothing() -> None:
    once = CONSEP4.apply(tile(consep.CLASS_NAMES))
    assert CONSEP4.apply(once) is once


def test_schemes_chain_through_their_lines_and_their_texts_are_kept() -> None:
    once = CONSEP4.apply(tile(consep.CLASS_NAMES))
    ours = Scheme("ours", {"long": ("spindle",), "rest": ("*",)})
    twice = ours.apply(once)
    assert twice.classes.tolist() == [2 if kind in (1, 2, 3) else 1 if kind == 4 else 0 for kind in once.classes]
    assert twice.class_scheme == f"ours: long = spindle; rest = * | after {CONSEP4.text}"
    assert ours.apply(twice) is twice
    thrice = BINARY.apply(twice)
    assert thrice.class_scheme == f"{BINARY.text} | after {twice.class_scheme}"
    assert thrice.classes.tolist() == [1] * 8


def test_a_merged_class_is_not_taken_for_one_of_an_equal_name() -> None:
    merged = CONSEP4.apply(tile(consep.CLASS_NAMES))
    with pytest.raises(UserError, match=r"'epithelial' has no place(.|\n)*merged by consep4: "):
        CONSEP_DAFF.apply(merged)
    assert LIZARD.apply(tile(("epithelial",), KINDS[:2])).classes.tolist() == [0, 2]


def test_a_class_without_a_place_is_refused_by_name() -> None:
    with pytest.raises(UserError, match=r"'tumor' has no place(.|\n)*healthy epithelial"):
        CONSEP4.apply(tile(("tumor",), KINDS[:2]))


def test_every_scheme_of_the_catalog_has_its_name() -> None:
    for entry in catalog.CATALOG["class scheme"]:
        assert scheme(entry.name).name == entry.name
    with pytest.raises(UserError, match="did you mean 'consep4'"):
        scheme("consep-4")


def test_the_users_own_scheme(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('what = "two"\nunknown = ["other"]\n[classes]\nlong = "long"\nrest = ["*"]\n')
    merged = scheme(str(path)).apply(tile(("round", "long", "other"), KINDS[:4]))
    assert (merged.class_names, merged.classes.tolist()) == (("long", "rest"), [0, 2, 1, 0])
    assert merged.class_scheme == "mine: long = long; rest = *; unknown = other"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[classes]\n", "0 classes"),
        ("", "0 classes"),
        ('[classes]\na = ["x"]\nb = ["x"]\n', "x twice"),
        ("[classes]\na = 3\n", "bad value"),
        ("klasses = 1\n", "did you mean 'classes'"),
        ("[classes\n", "not a TOML file"),
    ],
)
def test_a_bad_scheme_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        scheme(str(path))
    assert "mine.toml" in str(caught.value)


def test_nothing_is_merged_unless_asked_for(tmp_path: Path) -> None:
    store.write([replace(drawn_sample(), class_names=("other", "inflammatory", "fibroblast"))], tmp_path / "raw")
    (raw,), (merged,) = read(str(tmp_path / "raw")), read(str(tmp_path / "raw"), classes="consep4")
    assert (raw.class_names, raw.class_scheme) == (("other", "inflammatory", "fibroblast"), "")
    assert merged.class_scheme.startswith("consep4: other = other; inflammatory = inflammatory; epithelial = healthy")


def test_a_scheme_travels_into_stores_runs_and_pairs(tmp_path: Path) -> None:
    small = ("tile=32", "network.widths=[16, 32]", "network.blocks=[1, 1]", "network.attention=[false, true]")
    small = (*small, "network.embedding=32", "training.batch=4", "sampling.steps=2", "sampling.guided_steps=2")
    data = "phantom:tiles=4&size=64&sources=4"
    nucleosynth.convert(data, tmp_path / "store", classes="binary")
    assert {each.class_scheme for each in read(str(tmp_path / "store"))} == {"binary: nucleus = *"}
    nucleosynth.fit("jointflow", data=data, run=tmp_path / "run", classes="binary", steps=1, set=small)
    assert Run.open(tmp_path / "run").record.class_scheme == "binary: nucleus = *"
    nucleosynth.generate(tmp_path / "run", out=tmp_path / "pairs", n=2)
    assert {(each.class_scheme, each.class_names) for each in read(str(tmp_path / "pairs"))} == {
        ("binary: nucleus = *", ("nucleus",))
    }
    with pytest.raises(UserError, match="--classes"):
        nucleosynth.generate(tmp_path / "run", out=tmp_path / "given", labels=data)
    nucleosynth.generate(tmp_path / "run", out=tmp_path / "given", labels=data, classes="binary")
