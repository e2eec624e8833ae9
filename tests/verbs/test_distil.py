"""Teaching a student, on drawn tissue: from a trained run to few evaluations, or a refusal that says why."""

from pathlib import Path
from typing import Any

import pytest

import nucleosynth
from made_runs import DRAWN as DATA
from made_runs import SMALL_JOINTFLOW as SMALL
from nucleosynth.data.reader import read
from nucleosynth.errors import Interrupted, UserError
from nucleosynth.run import Run
from nucleosynth.training import checkpoint, loop

TAUGHT = ("student.batch=4", "student.every=2", "student.keep=2", "student.steps=2")


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return nucleosynth.fit("jointflow", data=DATA, run=tmp_path_factory.mktemp("t") / "run", steps=2, set=SMALL)


def taught(teacher: Run, folder: Path, **options: Any) -> Run:
    return nucleosynth.distil(teacher.folder, run=folder, **({"steps": 4, "set": TAUGHT} | options))


def test_a_student_makes_pairs_in_few_evaluations(teacher: Run, tmp_path: Path) -> None:
    student = taught(teacher, tmp_path / "student")
    assert student.record.begun_from == checkpoint.fingerprint(teacher.checkpoint("flow"))
    assert student.record.training_sources == teacher.record.training_sources
    nucleosynth.generate(student.folder, out=tmp_path / "pairs", n=3)
    made = list(read(str(tmp_path / "pairs")))
    assert len(made) == 3
    assert made[0].provenance["checkpoint"] == checkpoint.fingerprint(student.checkpoint("student"))
    assert (student.folder / "pictures").is_dir()


def test_labels_and_images_are_painted_too(teacher: Run, tmp_path: Path) -> None:
    student = taught(teacher, tmp_path / "student")
    tile = next(iter(read(DATA)))
    for side in ("labels", "images"):
        nucleosynth.generate(student.folder, out=tmp_path / side, n=1, size=32, **{side: DATA})
    assert (next(iter(read(str(tmp_path / "images")))).image == tile.image[:32, :32]).all()


def test_a_stopped_student_goes_on_as_if_it_had_not_been(
    teacher: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from contextlib import contextmanager

    whole, asked = taught(teacher, tmp_path / "whole"), 0

    @contextmanager
    def stop_at_half() -> Any:
        def stop() -> bool:
            nonlocal asked
            asked += 1
            return asked == 3

        yield stop

    monkeypatch.setattr(loop, "_stop_flag", stop_at_half)
    with pytest.raises(Interrupted):
        taught(teacher, tmp_path / "half")
    monkeypatch.undo()
    again = taught(teacher, tmp_path / "half", resume=True)
    prints = [checkpoint.fingerprint(run.checkpoint("student")) for run in (whole, again)]
    assert prints[0] == prints[1]


def test_what_cannot_be_taught_is_refused_before_anything_is_written(teacher: Run, tmp_path: Path) -> None:
    folder = tmp_path / "student"
    with pytest.raises(UserError, match="its teacher's settings") as caught:
        taught(teacher, folder, set=("network.patch=4",))
    assert "network.patch" in caught.value.got
    with pytest.raises(UserError, match="other tiles than the teacher's"):
        taught(teacher, folder, data="phantom:tiles=6&size=64&sources=3")
    with pytest.raises(UserError, match="no run there"):
        nucleosynth.distil(tmp_path / "nobody", run=folder)
    assert not folder.exists()


def test_only_rungs_of_the_ladder_are_asked_for(teacher: Run, tmp_path: Path) -> None:
    folder = tmp_path / "student"
    for asked in ("student.steps=3", "student.finest=12", "student.steps=32"):
        with pytest.raises(UserError, match="student"):
            taught(teacher, folder, set=(asked,))
    uneven = nucleosynth.fit("jointflow", data=DATA, run=tmp_path / "t", steps=1, set=(*SMALL, "sampling.steps=12"))
    with pytest.raises(UserError, match="do not fit together"):
        taught(uneven, folder, set=("student.objective=trajectory",))
    assert not folder.exists()


def test_a_stopped_student_keeps_its_teacher(teacher: Run, tmp_path: Path) -> None:
    other = nucleosynth.fit("jointflow", data=DATA, run=tmp_path / "other", steps=1, set=SMALL, seed=4)
    taught(teacher, tmp_path / "student", steps=1)
    with pytest.raises(UserError, match="not the same run") as caught:
        taught(other, tmp_path / "student", steps=1, resume=True)
    assert "begun_from" in caught.value.expected


def test_a_student_teaches_nobody_and_is_not_fitted(teacher: Run, tmp_path: Path) -> None:
    student = taught(teacher, tmp_path / "student", steps=1)
    with pytest.raises(UserError, match="teaches nobody"):
        taught(student, tmp_path / "other")
    with pytest.raises(UserError, match="taught by a trained run"):
        nucleosynth.fit("jointflow", data=DATA, run=tmp_path / "run", steps=1, set=(*SMALL, "role=student"))
    assert not (tmp_path / "run").exists()
