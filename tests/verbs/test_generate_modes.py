"""`generate --mode`: the four directions, tiles painted anew in part, and what goes along with any side."""

from dataclasses import replace
from itertools import count as naturals
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import nucleosynth
from made_runs import SMALL_JOINTFLOW
from nucleosynth import catalog
from nucleosynth.cli import main
from nucleosynth.conditions.proportions import from_label
from nucleosynth.data import store
from nucleosynth.data.reader import read
from nucleosynth.errors import UserError
from nucleosynth.run import Run
from nucleosynth.sample import Condition, Sample
from nucleosynth.training.device import fabric_for
from nucleosynth.verbs.generate_checks import check, check_tissue
from nucleosynth.verbs.generate_conditions import Wishes, conditions, references, sizes


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store of two tiles of 48 x 40 px, of a slide and a tissue each."""
    folder = tmp_path_factory.mktemp("data") / "tiles"
    pair = zip(read("phantom:tiles=2&size=64&sources=2"), ("colon", "skin"), strict=True)
    store.write([replace(tile.crop(0, 0, 40, 48), tissue=tissue, split="train") for tile, tissue in pair], folder)
    return str(folder)


@pytest.fixture(scope="module")
def run(data: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fit") / "run"
    nucleosynth.fit("jointflow", data=data, run=folder, steps=1, set=SMALL_JOINTFLOW)
    return folder


@pytest.fixture(scope="module")
def model(run: Path) -> Any:
    opened = Run.open(run)
    return catalog.load("method", "jointflow").load(opened, fabric_for("cpu", "32-true"))


def first(model: Any, n: int, seed: int = 0, **asked: Any) -> list[Condition]:
    sides = {name: asked.pop(name) for name in ("labels", "images", "tiles", "proportions") if name in asked}
    return [each for _, each in zip(range(n), conditions(Wishes(sides, **asked), model, seed), strict=False)]


@pytest.fixture(scope="module")
def masks(data: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """White on the right of the first tile; on the left of the second, in colours, antialiased."""
    folder = tmp_path_factory.mktemp("masks")
    names = [tile.sample_id for tile in read(data)]
    grey = np.zeros((40, 48), np.uint8)
    grey[:, 30:] = 255
    colour = np.zeros((40, 48, 3), np.uint8)
    colour[:, :10], colour[:, 10], colour[:, 11], colour[:, 20:, 0] = 255, 140, 100, 255
    for name, mask in zip(names, (grey, colour), strict=True):
        assert cv2.imwrite(str(folder / f"{name}.png"), mask)
    return folder


@pytest.mark.parametrize("repaint", ["both", "image", "label"])
def test_what_lies_outside_the_hole_stays(run: Path, data: str, tmp_path: Path, repaint: Any) -> None:
    arguments: dict[str, Any] = {"tiles": data, "repaint": repaint, "hole": 0.4, "batch": 2, "seed": 3}
    out = nucleosynth.generate(run, out=tmp_path / "out", mode="inpaint", **arguments)
    made, given = list(read(str(out))), list(read(data))
    assert [sample.sample_id for sample in made] == [sample.sample_id for sample in given]
    for sample, tile in zip(made, given, strict=True):
        said = sample.provenance["condition"]
        sides = {"both": {"image", "instances"}, "image": {"image"}, "label": {"instances"}}[repaint]
        assert set(said["given"]) & {"image", "instances", "known"} == sides | {"known"}
        assert said["known_share"] == pytest.approx(0.6, abs=0.05)
        assert (sample.provenance["kind"], said["source"]) == ("synthetic", tile.source)
        assert tile.licence in sample.licence.split("; ")
        same = (sample.image == tile.image).all(axis=2)
        assert (same.mean() >= said["known_share"] - 1e-4) == ("image" in sides)
        assert not same.all()


def test_masks_say_what_is_painted_anew(run: Path, data: str, masks: Path, tmp_path: Path) -> None:
    out = nucleosynth.generate(run, out=tmp_path / "out", tiles=data, masks=masks, batch=2)
    for sample, tile, kept in zip(read(str(out)), read(data), (np.s_[:, :30], np.s_[:, 11:]), strict=True):
        assert_array_equal(sample.image[kept], tile.image[kept])
        assert sample.provenance["condition"]["known_share"] == pytest.approx(
            tile.image[kept].size / tile.image.size, abs=1e-4
        )


def test_holes_are_drawn_by_seed_and_k(model: Any, data: str) -> None:
    """Later rounds of the same tiles have other holes; where both sides are given both are."""
    four, again, other = (first(model, 4, seed, tiles=data, hole=0.2) for seed in (1, 1, 2))
    assert [condition.name.partition("~")[2] for condition in four] == ["", "", "1", "1"]
    holes = [condition.known for condition in four]
    for hole, same in zip(holes, again, strict=True):
        assert hole is not None
        assert (~hole).mean() == pytest.approx(0.2, abs=0.05)
        assert_array_equal(hole, same.known)
    assert len({hole.tobytes() for hole in holes if hole is not None}) == 4
    assert_array_equal(four[2].image, four[0].image)
    assert any((one.known != two.known).any() for one, two in zip(four, other, strict=True))


def test_windows_have_masks_of_their_own(model: Any, data: str, tmp_path: Path) -> None:
    mask = np.full((32, 32), 255, np.uint8)
    mask[:8] = 0
    wishes = Wishes({"tiles": data}, size=32, masks=tmp_path)
    with pytest.raises(UserError, match="a tile without a mask"):
        sizes(wishes, model)
    for condition in first(model, 8, tiles=data, size=32):
        cv2.imwrite(str(tmp_path / f"{condition.name.partition('~')[0]}.png"), mask)
    assert len(sizes(wishes, model)) == 8
    assert all(
        condition.known is not None and condition.known[:8].all()
        for condition in first(model, 8, tiles=data, size=32, masks=tmp_path)
    )


def test_proportions_are_those_of_each_tile(model: Any, data: str) -> None:
    for condition, tile in zip(first(model, 2, proportions=data), read(data), strict=True):
        assert condition.given() == {"proportions", "tissue", "stain", "caption"}
        assert condition.proportions is not None
        assert_allclose(condition.proportions, from_label(tile.instances, tile.classes, len(tile.class_names)))


def test_a_tissue_goes_before_the_tiles_own_or_chooses_among_the_crops(model: Any, data: str) -> None:
    assert [each.tissue for each in first(model, 2, labels=data)] == ["colon", "skin"]
    assert [each.tissue for each in first(model, 2, labels=data, tissue="skin")] == ["skin"] * 2
    alone = first(model, 20, tissue="skin")
    assert {each.tissue for each in alone} == {"skin"}
    assert all(each.counts is not None and each.proportions is not None for each in alone)
    usual = first(model, 60)
    kept = [each for each in usual if each.tissue == "skin"]
    for one, two in zip(alone, kept, strict=False):
        assert_array_equal(one.counts, two.counts)
    (bare,) = first(model, 1, caption="a gland", tissue="skin")
    assert bare.given() == {"caption", "tissue"}


def test_a_rare_tissue_has_its_own_crop_s_counts(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """One crop of 2048 has it, which most seeds draw late."""
    rare = len(model.facts.crop_tissues) // 2
    tissues = tuple("skin" if k == rare else "colon" for k in range(len(model.facts.crop_tissues)))
    monkeypatch.setattr(model, "facts", model.facts.model_copy(update={"crop_tissues": tissues}))
    for seed in (0, 1):
        found = first(model, 3, seed, tissue="skin")
        assert len(found) == 3
        for condition in found:
            assert condition.tissue == "skin"
            assert condition.counts is not None
            assert tuple(condition.counts) == model.facts.counts[rare]


def test_a_tissue_that_no_condition_has_is_refused(model: Any, data: str, monkeypatch: pytest.MonkeyPatch) -> None:
    colon = ("colon",) * len(model.facts.crop_tissues)
    monkeypatch.setattr(model, "facts", model.facts.model_copy(update={"crop_tissues": colon}))
    with pytest.raises(UserError, match="no condition of that tissue") as caught:
        first(model, 1, tissue="skin")
    assert "none of 2048 has" in caught.value.got
    assert [each.tissue for each in first(model, 1, labels=data, tissue="skin")] == ["skin"]
    assert [each.tissue for each in first(model, 1, caption="a gland", tissue="skin")] == ["skin"]


@pytest.mark.parametrize("known", ["mixed", "colon"])
def test_a_method_whose_facts_do_not_name_crops_is_looked_at(known: str) -> None:
    """Where training had one tissue, all conditions are of it, whatever they say."""

    class Other:
        facts = SimpleNamespace(tissue=known)

        def default_conditions(self, seed: int, size: Any = None) -> Any:
            return (Condition((8, 8), 0.5, ("a",), tissue=("", "skin")[k % 2]) for k in naturals(seed))

    assert [each.tissue for each in first(Other(), 2, tissue="skin")] == ["skin"] * 2
    if known == "colon":
        assert len(first(Other(), 2, tissue="colon")) == 2
    else:
        with pytest.raises(UserError, match="no condition of that tissue"):
            first(Other(), 2, tissue="colon")


def test_only_a_tissue_of_the_training_is_taken(model: Any) -> None:
    check_tissue("skin", model)
    check_tissue(None, model)
    with pytest.raises(UserError, match="unknown tissue 'skinn'") as caught:
        check_tissue("skinn", model)
    assert "did you mean 'skin'" in caught.value.mend


def picture(folder: Path, tile: Sample) -> Path:
    path = folder / "wanted stain.png"
    assert cv2.imwrite(str(path), tile.image[:, :, ::-1])
    return path


def test_a_picture_is_taken_to_be_at_the_method_s_resolution(model: Any, data: str, tmp_path: Path) -> None:
    (tile, _) = read(data)
    path = picture(tmp_path, tile)
    (asked,) = first(model, 1, reference=str(path))
    assert asked.mpp == model.mpp
    assert_array_equal(asked.reference, tile.image)
    assert (asked.source, asked.licence) == ("picture/wanted stain.png", "unknown")
    fine = replace(tile, mpp=0.25)
    store.write([fine], tmp_path / "fine")
    (asked,) = first(model, 1, labels=str(tmp_path / "fine"), reference=str(path))
    assert asked.reference is not None
    assert asked.reference.shape == (80, 96, 3), "twice as many pixels where they are half as large"


def test_tiles_are_references_in_turn_at_their_own_resolution(model: Any, data: str, tmp_path: Path) -> None:
    own = [replace(tile, mpp=0.25, source=f"far/{k}", licence="CC BY") for k, tile in enumerate(read(data))]
    store.write(own, tmp_path / "own")
    three = first(model, 3, labels=data, reference=str(tmp_path / "own"))
    for k, (asked, given) in enumerate(zip(three, (*read(data), *read(data)), strict=False)):
        assert asked.reference is not None
        assert asked.reference.shape == (20, 24, 3)
        assert asked.source == f"far/{k % 2}; {given.source}"
        assert set(asked.licence.split("; ")) == {"CC BY", given.licence}
        assert asked.operations[-1]["of"] == own[k % 2].sample_id
    store.write([replace(own[0], mpp=None)], tmp_path / "unknown")
    with pytest.raises(UserError, match="unknown resolution"):
        next(references(str(tmp_path / "unknown"), 0.5))


def test_references_follow_the_split_or_leave_out_what_is_held_out(
    model: Any, data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def shown(splits: tuple[str, str], split: str | None = None) -> set[str]:
        folder = tmp_path / "_".join(splits)
        if not folder.exists():
            store.write([replace(tile, split=name) for tile, name in zip(read(data), splits, strict=True)], folder)
        asked = first(model, 4, reference=str(folder), split=split)
        return {each.operations[-1]["of"] for each in asked}

    one, two = ({tile.sample_id} for tile in read(data))
    assert shown(("train", "test")) == one
    assert "references are its tiles without those of 'test'" in " ".join(capsys.readouterr().err.split())
    assert shown(("train", "test"), "test") == two
    assert shown(("train", "test"), "train, test") == one | two
    assert shown(("", "fold1")) == one | two
    assert "without those of" not in capsys.readouterr().err
    with pytest.raises(UserError, match="none but held-out tiles") as caught:
        shown(("test", "valid"))
    assert "--split test" in caught.value.mend
    with pytest.raises(UserError, match="no tile to read"):
        shown(("train", "test"), "fold1")


def test_a_reference_s_story_is_told(run: Path, data: str, tmp_path: Path) -> None:
    (tile, _) = read(data)
    path = picture(tmp_path, tile)
    (pair,) = read(str(nucleosynth.generate(run, out=tmp_path / "out", n=1, batch=1, reference=str(path))))
    said = pair.provenance["condition"]
    assert said["operations"] == [
        {"name": "reference", "of": "wanted stain.png", "source": "picture/wanted stain.png", "mpp": 0.5}
    ]
    assert {"reference", "counts", "proportions"} <= set(said["given"])
    assert "unknown" in pair.licence.split("; ")


@pytest.mark.parametrize(
    "changes", [{"hole": 0.4}, {"repaint": "image"}, {"tissue": "skin"}, {"masks": True}, {"reference": True}]
)
def test_what_was_wished_for_is_stated(data: str, masks: Path, changes: dict[str, Any]) -> None:
    asked = Wishes({"tiles": data})
    values = {"masks": masks, "reference": data}
    changed = replace(asked, **{name: values.get(name, value) for name, value in changes.items()})
    (name,) = changes
    assert asked.stated() == {"tiles": data}
    assert changed.stated() == {"tiles": data, name: str(values[name]) if name in values else changes[name]}


def test_wishes_are_in_the_identity_of_a_store(run: Path, data: str, tmp_path: Path) -> None:
    nucleosynth.generate(run, out=tmp_path / "out", tiles=data, batch=2, n=1)
    plan = (tmp_path / "out" / "_store.json").read_text()
    (tmp_path / "out" / "_store.json").write_text(plan.replace('"finished": true', '"finished": false'))
    with pytest.raises(UserError, match=r"hole 0\.4"):
        nucleosynth.generate(run, out=tmp_path / "out", tiles=data, batch=2, n=1, hole=0.4)


def test_a_split_needs_tiles_that_it_applies_to(run: Path, data: str, tmp_path: Path) -> None:
    (tile, _) = read(data)
    opened, kind = Run.open(run), catalog.load("method", "jointflow")
    table = tmp_path / "layouts.parquet"
    table.touch()
    for wishes, got in (
        (Wishes({}, split="train", reference=str(picture(tmp_path, tile))), "a picture"),
        (Wishes({"points": str(table)}, split="train"), "a table of layouts"),
    ):
        with pytest.raises(UserError, match="--split without data") as caught:
            check(wishes, opened, kind)
        assert caught.value.got == got
    check(Wishes({}, split="train", reference=data), opened, kind)
    check(Wishes({"labels": data}, split="train", classes="pannuke"), opened, kind)


DATA = "phantom:tiles=1&size=64"
REFUSED = {
    "image without labels": (["--mode", "image"], "--mode image needs labels", "give --labels DATA"),
    "label without images": (["--mode", "label"], "--mode label needs images", "give --images DATA"),
    "inpaint without tiles": (["--mode", "inpaint"], "--mode inpaint needs tiles", "give --tiles DATA"),
    "image of images": (
        ["--mode", "image", "--images", DATA],
        "contradicts",
        "give --labels DATA, or take --mode label",
    ),
    "pair of labels": (["--mode", "pair", "--labels", DATA], "contradicts", "leave --labels out, or take --mode image"),
    "label of points": (
        ["--mode", "label", "--points", DATA],
        "contradicts",
        "give --images DATA, or take --mode pair",
    ),
    "no such mode": (["--mode", "both"], "the command line cannot be read", "both"),
    "two sides": (["--tiles", DATA, "--labels", DATA], "more than one side", "--labels and --tiles"),
    "a hole in a label": (["--labels", DATA, "--hole", "0.3"], "--hole without tiles", "or leave --hole out"),
    "repaint of nothing": (["--repaint", "image"], "--repaint without tiles", "give --tiles DATA"),
    "a hole and masks": (["--tiles", DATA, "--hole", "0.3", "--masks", "."], "--hole beside --masks", "leave one"),
    "all of a tile": (["--tiles", DATA, "--hole", "1"], "--hole is no share", "below 1"),
    "no masks": (["--tiles", DATA, "--masks", "absent"], "no such folder", "a folder of masks"),
    "an unknown tissue": (["--tissue", "liver"], "unknown tissue 'liver'", "colon, skin"),
    "a reference of images": (
        ["--images", DATA, "--reference", DATA],
        "a reference beside images",
        "leave --reference",
    ),
    "no such picture": (["--reference", "absent.png"], "no such picture", "check the path"),
    "a split of nothing": (["--split", "train"], "--split without data", "leave --split out"),
    "classes of nothing": (["--classes", "pannuke"], "--classes without data", "leave --classes out"),
    "classes of a reference": (
        ["--reference", DATA, "--classes", "pannuke"],
        "--classes without data",
        "tiles for --reference alone",
    ),
    "no such reference": (["--reference", "absent:"], "unknown data set", "absent"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_one_message_and_nothing_written(
    name: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options, words, mend = REFUSED[name]
    assert main(["generate", str(run), "--out", str(tmp_path / "out"), "--n", "1", *options]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert mend in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--tiles", DATA], "spade does not take tiles"),
        (["--mode", "inpaint"], "spade does not take tiles"),
        (["--proportions", DATA], "spade does not take proportions"),
        (["--reference", DATA], "spade does not take reference"),
        (["--tissue", "colon"], "spade does not take tissue"),
        (["--caption", "a gland"], "spade does not take caption"),
    ],
)
def test_a_method_that_does_not_is_named_beside_those_that_do(
    options: list[str], words: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = (run / "run.json").read_text().replace('"jointflow"', '"spade"')
    (tmp_path / "run.json").write_text(record)
    assert main(["generate", str(tmp_path), "--out", str(tmp_path / "out"), *options]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert "a method that does: " in said
    assert "jointflow" in said.partition("a method that does")[2]


@pytest.mark.parametrize(
    ("size", "values", "words"), [((40, 48), 0, "a mask of nothing"), ((48, 40), 255, "a mask of another size")]
)
def test_a_mask_that_does_not_fit_is_named_before_any_work(
    run: Path, data: str, tmp_path: Path, size: tuple[int, int], values: int, words: str
) -> None:
    for tile in read(data):
        cv2.imwrite(str(tmp_path / f"{tile.sample_id}.png"), np.full(size, values, np.uint8))
    with pytest.raises(UserError, match=words) as caught:
        nucleosynth.generate(run, out=tmp_path / "out", tiles=data, masks=tmp_path, n=4)
    assert caught.value.where.endswith(".png")
    assert not (tmp_path / "out").exists()
