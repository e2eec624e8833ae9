"""Training that begins from another run's weights, on other classes and tissues."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import nucleosynth
from made_runs import DRAWN as DATA
from made_runs import SMALL_JOINTFLOW as SMALL
from nucleosynth.data.reader import read
from nucleosynth.errors import UserError
from nucleosynth.methods.jointflow import JointFlow
from nucleosynth.methods.jointflow_transfer import ChannelNames
from nucleosynth.run import Run
from nucleosynth.sample import Condition
from nucleosynth.training.device import fabric_for


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return nucleosynth.fit("jointflow", data=DATA, run=tmp_path_factory.mktemp("b") / "run", steps=3, set=SMALL)


@pytest.fixture(scope="module")
def fewer(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Tiles of two of the classes, under names that the run before has and has not."""
    out = tmp_path_factory.mktemp("fewer") / "store"
    from nucleosynth.data.store import open_for_writing

    tiles = []
    for tile in read(DATA):
        names = (tile.class_names[1], "martian")
        kinds = np.where(tile.classes == 2, 1, 2).astype(np.uint8)
        tiles.append(replace(tile, classes=kinds, class_names=names, points=None))
    with open_for_writing(out, {"made": "for a test"}, len(tiles), len(tiles), False) as store:
        store.write(store.missing()[0], tiles)
    return str(out)


def test_the_same_tiles_begin_where_the_run_ended(before: Run, tmp_path: Path) -> None:
    """At a learning rate of nearly nothing the network still says what it said."""
    slow = ("training.learning_rate=1e-12",)
    after = nucleosynth.fit(
        "jointflow", data=DATA, run=tmp_path / "run", from_=str(before.folder), steps=1, set=slow, seed=9
    )
    assert after.record.settings["network"] == before.record.settings["network"]
    assert after.record.begun_from
    first, second = (JointFlow.load(run, fabric_for("cpu", "32-true")) for run in (before, after))
    for name, weight in first._net.state_dict().items():
        torch.testing.assert_close(second._net.state_dict()[name], weight, atol=1e-6, rtol=0)


def test_other_classes_begin_with_what_is_common(before: Run, fewer: str, tmp_path: Path) -> None:
    slow = ("training.learning_rate=1e-12",)
    after = nucleosynth.fit("jointflow", data=fewer, run=tmp_path / "run", from_=str(before.folder), steps=1, set=slow)
    fabric = fabric_for("cpu", "32-true")
    old, new = (JointFlow.load(run, fabric) for run in (before, after))
    names = [ChannelNames.of(model._asking, model.class_names) for model in (old, new)]
    assert "class martian" in names[1].state
    assert f"class {old.class_names[1]}" in names[1].state
    area = new.settings.network.patch**2
    heads = [model._net.unet.head.weight.detach() for model in (old, new)]
    stems = [model._net.unet.stem.weight.detach() for model in (old, new)]
    for place, name in enumerate(names[1].state):
        rows = heads[1][place * area : (place + 1) * area]
        taps = stems[1].reshape(len(stems[1]), 9, -1, area)[:, :, place]
        if name == "class martian":
            assert rows.abs().max() < 1e-6
            assert taps.abs().max() < 1e-6
            continue
        was = names[0].state.index(name)
        torch.testing.assert_close(rows, heads[0][was * area : (was + 1) * area], atol=1e-6, rtol=0)
        torch.testing.assert_close(taps, stems[0].reshape(len(stems[0]), 9, -1, area)[:, :, was], atol=1e-6, rtol=0)
    assert {source.source for source in before.record.training_sources} <= {
        source.source for source in after.record.training_sources
    }
    made = next(new.generate(iter([Condition((32, 32), 0.5, new.class_names)]), 1, count=1))
    assert len(made.provenance["training_sources"]) == len(after.record.training_sources)


def test_what_cannot_be_begun_from_is_refused(before: Run, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with pytest.raises(UserError, match="a preset beside"):
        nucleosynth.fit("jointflow", data=DATA, run=folder, from_=str(before.folder), preset="tiny", steps=1)
    with pytest.raises(UserError, match="random weights"):
        nucleosynth.fit("nudiff", data=DATA, run=folder, from_=str(before.folder), steps=1)
    with pytest.raises(UserError, match="pretrained model"):
        nucleosynth.fit("jointflow", data=DATA, run=folder, from_="pretrained:nobody", steps=1)
    with pytest.raises(UserError, match="no setting") as caught:
        nucleosynth.fit("jointflow", data=DATA, run=folder, set=(f"begin={before.folder}",), steps=1)
    assert "--from" in caught.value.mend
    with pytest.raises(UserError, match="another network"):
        nucleosynth.fit(
            "jointflow", data=DATA, run=folder, from_=str(before.folder), set=("network.embedding=64",), steps=1
        )
    assert not folder.exists()


def test_a_run_that_was_begun_from_another_teaches_too(before: Run, fewer: str, tmp_path: Path) -> None:
    """Its own tiles are asked for, not those that it inherited; the student's record has both."""
    after = nucleosynth.fit("jointflow", data=fewer, run=tmp_path / "run", from_=str(before.folder), steps=1)
    taught = ("student.batch=4", "student.steps=2")
    student = nucleosynth.distil(after.folder, run=tmp_path / "student", steps=1, set=taught)
    assert student.record.training_sources == after.record.training_sources
    assert set(before.record.training_sources) <= set(student.record.training_sources)
