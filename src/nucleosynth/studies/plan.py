"""What a study is: everything that decides its result, written down before it starts.

A study that goes on after a stop must be the same one: plan.json is compared field by field, the tiles by a digest of
their pixels and labels.
"""

from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from nucleosynth.errors import UserError
from nucleosynth.run import Budget, write_whole
from nucleosynth.sample import Sample

FILE = "plan.json"
OWN = ("parts", "study.json")
"""What a study leaves beside its plan."""


class Plan(BaseModel):
    """The settings of a study, resolved; see verbs.study for what they mean."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    data: str
    split: str
    """How training and test tiles are told apart, in words."""
    class_scheme: str = ""
    """What was merged into the classes, in words; "" = nothing."""
    arms: tuple[str, ...]
    """In words, with ratio and maker; see arms.Arm.words."""
    methods: dict[str, dict[str, Any]]
    """The settings of each recipe, by its name."""
    fractions: tuple[float, ...]
    folds: tuple[str, ...]
    seeds: tuple[int, ...]
    steps: int
    generator: Budget
    preset: str
    judge_preset: str
    judge: dict[str, Any]
    """The judge's settings."""
    encoder: str
    """Its name and the digest of its weights."""
    hardware: str
    """And precision: a judge does not go on elsewhere."""
    versions: dict[str, str]
    seed: int
    digests: dict[str, str]
    """Of the training and test tiles of each part, the tiles of each store, the weights of each run to begin from."""

    def begin(self, folder: Path, resume: bool) -> None:
        """Write the plan, or see that the one that is there is the same.

        Raises:
            UserError: a study is there and `resume` is off, or it is another one; or there is none to resume.
        """
        path = folder / FILE
        if not path.exists():
            if resume:
                raise UserError(
                    "nothing to resume", expected=f"a study in {folder}", got=f"no {FILE}", mend="leave --resume out"
                )
            _check_empty(folder)
            write_whole(path, self.model_dump_json(indent=1))
            return
        if not resume:
            raise UserError(
                "the folder holds a study already",
                expected="a new folder, or --resume",
                got=FILE,
                where=str(folder),
                mend="give another --run, or --resume to go on with this one",
            )
        before = type(self).model_validate_json(path.read_text())
        for name in type(self).model_fields:
            if getattr(before, name) != getattr(self, name):
                raise UserError(
                    "not the same study",
                    expected=f"{name} {getattr(before, name)}",
                    got=f"{name} {getattr(self, name)}",
                    where=str(folder),
                    mend="resume with what the study was begun with, or begin a new one in another folder",
                )


def digest(samples: Iterable[Sample]) -> str:
    """16 hex digits that change with any pixel, label, class, name, source or other field of the samples, or their
    order; of provenance and quality nothing but what makers were trained on is read."""
    whole = sha256()
    for sample in samples:
        names = (sample.sample_id, sample.source, sample.split, sample.class_names, sample.class_scheme)
        shown = (sample.mpp, sample.size, sample.tissue, sample.stain, sample.caption, sample.labelled_as)
        whole.update(repr((names, shown, sample.provenance.get("training_sources"))).encode())
        for array in (sample.image, sample.instances, sample.classes):
            whole.update(array.tobytes())
    return whole.hexdigest()[:16]


def _check_empty(folder: Path) -> None:
    """Other files may lie in the folder (a demo's do), but none that this study would take for its own."""
    if folder.is_file():
        raise UserError("not a folder", expected="a new folder", got="a file", where=str(folder), mend="another --run")
    for name in OWN:
        if (folder / name).exists():
            raise UserError(
                "the folder holds parts of a study without its plan",
                expected="a new folder",
                got=name,
                where=str(folder),
                mend=f"give another --run, or move {name} away",
            )
