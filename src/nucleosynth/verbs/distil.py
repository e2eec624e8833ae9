"""`nucleosynth distil`: teach a student of few steps what a trained run makes in many."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nucleosynth import catalog
from nucleosynth.config import resolve as resolved
from nucleosynth.errors import UserError
from nucleosynth.progress import say
from nucleosynth.run import Budget, Run, now, versions
from nucleosynth.verbs.fit import assignments, checkpoint_of, joined_sources, sources_of, training_tiles
from nucleosynth.verbs.options import RunFolder


def distil(
    teacher: RunFolder,
    *,
    run: Path,
    data: str | None = None,
    split: str | None = None,
    classes: str | None = None,
    steps: int | None = None,
    minutes: float | None = None,
    seed: int = 0,
    set: Sequence[str] = (),
    resume: bool = False,
    device: str = "auto",
    precision: str = "auto",
) -> Run:
    """Teach a student to make in a few evaluations what a trained run makes in many; `generate` takes it like any run.

    Ctrl-C saves and says how to go on. Returns the student's run.

    Args:
        teacher: the folder of a trained run of jointflow.
        run: the folder of the student's run, new unless --resume is given.
        data: the tiles that the teacher was trained on, where they lie elsewhere now.
        split: their split, where the teacher's record does not name it.
        classes: the class scheme that they are read in, as for the teacher.
        steps: train for so many steps.
        minutes: train for so many minutes (5 unless steps are given).
        seed: of all randomness.
        set: change one setting of the student, as student.steps=2; may be repeated.
        resume: go on with a run that was stopped.
        device: auto, cpu, cuda, or cuda:N for N of them.
        precision: auto, 32-true, bf16-mixed or 16-mixed.

    Raises:
        UserError: no trained run, one of a method without students, or a student's; other tiles than the teacher's.
        Interrupted: stopped; everything is saved.
    """
    from nucleosynth.training.device import fabric_for

    taught = Run.open(teacher)
    kind = _teachable(taught)
    tiles = training_tiles(data or taught.record.data, split or taught.record.split, classes)
    _check_tiles(taught, tiles)
    settings = _student_of(kind, taught, assignments(set))
    record = taught.record.model_copy(
        update={
            "settings": settings.model_dump(mode="json"),
            "seed": seed,
            "budget": Budget(steps=steps, minutes=5.0 if steps is None and minutes is None else minutes),
            "versions": versions(),
            "started": now(),
            "begun_from": checkpoint_of(taught),
        }
    )
    student = Run.create(run, record, resume)
    evaluations = settings.student.steps
    say(f"{record.method}: a student of {evaluations} evaluations, taught by {taught.folder} on {len(tiles)} tiles")
    with student.taken_back_if_refused():
        kind.distil(taught, tiles, student, fabric_for(device, precision))
    say(f"taught; pictures in {run / 'pictures'}; next: nucleosynth generate {run} --n 64 --out OUT")
    return student


def _teachable(run: Run) -> Any:
    """The method of a run, if it can be taught to a student."""
    kind = catalog.load("method", run.record.method)
    if not hasattr(kind, "distil"):
        raise UserError(
            f"{run.record.method} has no students",
            expected="a run of jointflow",
            got=f"a run of {run.record.method}",
            where=str(run.folder),
            mend="its steps are a setting of sampling: see `nucleosynth cost`",
        )
    if run.record.settings.get("role") == "student":
        raise UserError(
            "a student teaches nobody",
            expected="the run that the student was taught by",
            got="a student's run",
            where=str(run.folder),
            mend="give the teacher's folder; --set student.steps=2 is a student of fewer steps",
        )
    return kind


def _student_of(kind: Any, taught: Run, changes: dict[str, Any]) -> Any:
    """The teacher's settings, changed, as those of a student; what decides the network stays."""
    strange = [key for key in changes if not key.startswith("student.")]
    if strange:
        raise UserError(
            "a student has its teacher's settings",
            expected="settings of the student, as student.steps=2",
            got=", ".join(strange),
            where="--set",
            mend="train a teacher with these settings",
        )
    own = type(kind.presets["tiny"]).model_validate(taught.record.settings)
    return resolved(own, {**changes, "role": "student"}, "--set")


def _check_tiles(taught: Run, tiles: Sequence[Any]) -> None:
    """The tiles must be the teacher's: their sources and licences go into the student's record unread."""
    record = taught.record
    whole = joined_sources(sources_of(tiles), record.inherited_sources)
    if tiles[0].class_names != record.class_names or whole != record.training_sources:
        raise UserError(
            "other tiles than the teacher's",
            expected=f"{len(record.training_sources)} sources, classes {', '.join(record.class_names)}",
            got=f"{len(sources_of(tiles))} sources, classes {', '.join(tiles[0].class_names)}",
            where=str(taught.folder),
            mend="give --data, --split and --classes as they were for the teacher",
        )
