"""The run folder: everything that one training leaves behind, and all that is needed to go on or to generate from it.

run.json            resolved settings, seed, budget, versions, training sources (the record)
log.jsonl           one line per logged step: stage, step, seconds, values
checkpoints/        <stage>.safetensors
pictures/           contact sheets and curves as training goes
"""

import json
import os
import platform
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from nucleosynth import catalog
from nucleosynth.errors import UserError

RECORD = "run.json"
PRETRAINED = "pretrained:"


class Budget(BaseModel):
    """How long to train: a number of steps, or minutes of wall time. Exactly one is given."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    steps: int | None = None
    minutes: float | None = None

    def model_post_init(self, _context: Any) -> None:
        """Refuse a budget that is none.

        Raises:
            UserError: neither or both are given, or not above 0.
        """
        if (self.steps is None) == (self.minutes is None):
            raise UserError(
                "no clear budget", expected="either --steps or --minutes", got=repr(self), mend="give one of them"
            )
        amount = self.steps if self.steps is not None else self.minutes
        if amount is None or not amount > 0:
            raise UserError(
                "an empty budget", expected="a number above 0", got=str(amount), mend="raise --steps or --minutes"
            )

    def part(self, share: float) -> "Budget":
        """A stage's share (0..1) of this budget."""
        if self.steps is not None:
            return Budget(steps=max(round(self.steps * share), 1))
        assert self.minutes is not None, "a Budget has steps or minutes"
        return Budget(minutes=self.minutes * share)


class TrainingSource(BaseModel):
    """One slide or patient that a model has seen, and under which licence its tiles came."""

    model_config = ConfigDict(frozen=True)
    source: str
    licence: str


class RunRecord(BaseModel):
    """What run.json holds. `settings` are those of the method, resolved: preset, then TOML, then command line."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    method: str
    preset: str
    settings: dict[str, Any]
    data: str
    split: str | None
    seed: int
    budget: Budget
    class_names: tuple[str, ...]
    class_scheme: str = ""
    training_sources: tuple[TrainingSource, ...]
    versions: dict[str, str]
    started: str
    begun_from: str = ""
    """The checkpoint that training began from, a teacher's or a pretrained model's: its fingerprint ("" = none)."""
    inherited_sources: tuple[TrainingSource, ...] = ()
    """Those of the training sources that a run to begin from was trained on, and maybe this one was not."""


class Run:
    """A run folder that is open: its record, its log, and where its files lie."""

    def __init__(self, folder: Path, record: RunRecord, resume: bool = False) -> None:
        self.folder, self.record, self.resume = folder, record, resume

    @classmethod
    def create(cls, folder: Path, record: RunRecord, resume: bool = False) -> "Run":
        """Start a run, or open the same one to go on with it.

        Raises:
            UserError: the folder holds a run and `resume` is off; or it is resumed with other settings.
        """
        if (folder / RECORD).exists():
            before = cls.open(folder).record
            if not resume:
                raise UserError(
                    "the folder holds a run already",
                    expected="a new folder, or --resume",
                    got=f"a run of {before.method} begun {before.started}",
                    where=str(folder),
                    mend="give another --run, or --resume to go on with this one",
                )
            _same_run(before, record, folder)
            return cls(folder, record.model_copy(update={"started": before.started}), resume=True)
        if resume:
            raise UserError(
                "nothing to resume", expected=f"a run in {folder}", got=f"no {RECORD}", mend="leave --resume out"
            )
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / RECORD, record.model_dump_json(indent=1))
        return cls(folder, record)

    @classmethod
    def open(cls, folder: Path | str) -> "Run":
        """Open a run that exists; pretrained:NAME is one that comes with the package.

        Raises:
            UserError: no run there, no pretrained model of that name, or a record that cannot be read.
        """
        folder = pretrained(str(folder)) or Path(folder)
        if not (folder / RECORD).is_file():
            raise UserError(
                "no run there",
                expected=f"a folder with {RECORD}, as `nucleosynth fit` leaves it",
                got="a folder without it" if folder.is_dir() else "no such folder",
                where=str(folder),
                mend=f"give the folder of a run, or train one: nucleosynth fit METHOD --data DATA --run {folder}",
            )
        try:
            return cls(folder, RunRecord.model_validate_json((folder / RECORD).read_text()), resume=True)
        except ValueError as error:
            raise UserError(
                "a broken run record",
                expected="the record of a run",
                got=str(error).splitlines()[0],
                where=str(folder / RECORD),
            ) from error

    @contextmanager
    def taken_back_if_refused(self) -> Iterator[None]:
        """Take back a run that is refused before it trains: its record, and its folder if nothing else is in it."""
        try:
            yield
        except UserError:
            self._forget()
            raise

    def _forget(self) -> None:
        if not self.resume and {path.name for path in self.folder.iterdir()} <= {RECORD}:
            (self.folder / RECORD).unlink(missing_ok=True)
            self.folder.rmdir()

    def checkpoint(self, stage: str) -> Path:
        """Where a stage's checkpoint lies (whether it exists or not)."""
        return self.folder / "checkpoints" / f"{stage}.safetensors"

    def picture(self, name: str) -> Path:
        """Where a picture of this run goes; its folder is made."""
        (self.folder / "pictures").mkdir(parents=True, exist_ok=True)
        return self.folder / "pictures" / name

    def write_facts(self, facts: dict[str, Any]) -> None:
        """Keep what the method learned of its training tiles before training (facts.json)."""
        write_whole(self.folder / "facts.json", json.dumps(facts, indent=1))

    def read_facts(self) -> dict[str, Any]:
        """What `write_facts` kept.

        Raises:
            UserError: there is none; the run was stopped before it began to train.
        """
        path = self.folder / "facts.json"
        if not path.is_file():
            raise UserError(
                "an unfinished run", expected="facts.json, as training leaves it", got="nothing there", where=str(path)
            )
        facts: dict[str, Any] = json.loads(path.read_text())
        return facts

    def log(self, stage: str, step: int, values: dict[str, float]) -> None:
        """Append one line to log.jsonl."""
        line = json.dumps({"stage": stage, "step": step, **values})
        with (self.folder / "log.jsonl").open("ab+") as file:
            if file.tell():
                file.seek(-1, os.SEEK_END)
                line = line if file.read(1) == b"\n" else f"\n{line}"  # the last line may have been cut off
            file.write(f"{line}\n".encode())

    def read_log(self, stage: str) -> list[dict[str, Any]]:
        """The logged lines of a stage; of steps logged twice (after a resume) the later line counts.

        A line that was cut off, as the process was ended while it was written, is passed over.
        """
        path = self.folder / "log.jsonl"
        lines = map(_logged, path.read_text().splitlines() if path.exists() else ())
        return list({line["step"]: line for line in lines if line and line["stage"] == stage}.values())


def pretrained(text: str) -> Path | None:
    """The folder of pretrained:NAME, a run that comes with the package; None for any other text.

    Raises:
        UserError: no model of that name.
    """
    if not text.startswith(PRETRAINED):
        return None
    folder: Path = catalog.load("pretrained model", text.removeprefix(PRETRAINED))
    return folder


def _logged(text: str) -> dict[str, Any] | None:
    """A logged line, or None for one that was cut off."""
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        return None
    return found if isinstance(found, dict) and {"stage", "step"} <= found.keys() else None


def file_name(text: str) -> str:
    """A name that every file system takes, another for each text: odd characters become "_", and a digest is added.

    Example:
        >>> file_name("real+classic"), file_name("fold 1 of 3")
        ('real+classic', 'fold_1_of_3-6d5873')
    """
    plain = re.sub(r"[^\w.+@-]+", "_", text, flags=re.ASCII).lstrip(".")[:80]
    return plain if plain == text and plain else f"{plain}-{sha256(text.encode()).hexdigest()[:6]}"


def write_whole(path: Path, text: str | bytes) -> None:
    """Write a file under a temporary name, then rename: it is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"_{path.name}.tmp")
    try:
        temporary.write_bytes(text.encode() if isinstance(text, str) else text)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def versions() -> dict[str, str]:
    """Versions of what decides a result."""
    found = {"python": platform.python_version()}
    for package in ("nucleosynth", "torch", "numpy", "lightning-fabric"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "absent"
    return found


def now() -> str:
    """The time of day in UTC, to the second, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _same_run(before: RunRecord, after: RunRecord, folder: Path) -> None:
    for name in (
        "method",
        "settings",
        "data",
        "split",
        "seed",
        "class_names",
        "class_scheme",
        "training_sources",
        "begun_from",
    ):
        old, new = getattr(before, name), getattr(after, name)
        if old != new:
            raise UserError(
                "not the same run",
                expected=f"{name} {old}",
                got=f"{name} {new}",
                where=str(folder),
                mend="resume with the settings that the run was begun with, or begin a new one in another folder",
            )
