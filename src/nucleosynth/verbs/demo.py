"""`nucleosynth demo`: the whole street on drawn tissue, in minutes and without a network connection.

    generator/            the trained method
    pairs/, pairs.png     what it made
    judges/, study.json   the study of judges with and without the pairs
    report.html           what came of it

Each part that is finished is kept when the demo is run again.
"""

import time
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

from nucleosynth import catalog
from nucleosynth.config import Settings
from nucleosynth.data.reader import read
from nucleosynth.data.shards import read_manifest
from nucleosynth.data.splits import TRAIN
from nucleosynth.errors import Interrupted, UserError
from nucleosynth.pictures import contact_sheet, write_png
from nucleosynth.progress import say
from nucleosynth.report.page import FILE as REPORT
from nucleosynth.run import RECORD, Budget, write_whole
from nucleosynth.studies.plan import FILE as PLAN
from nucleosynth.verbs.fit import fit, training_tiles
from nucleosynth.verbs.generate import generate
from nucleosynth.verbs.study import study

FILE = "demo.json"
METHOD, JUDGE = "jointflow", "hovernet"
GENERATOR, JUDGES = 0.45, 0.4
"""Shares of the time; the rest is for drawing, generating, scoring and the report."""
PAIRS_A_MINUTE = 16
COLUMNS, SHOWN, CELL_PX = 4, 24, 192
ARMS = 2
WITNESSES = 1
"""Segmenters that a study trains beside the judges (studies.witness)."""
TIMED = (5, 25)
"""Steps of two short trainings, the difference of which tells how long a step takes; more than are prepared ahead."""


class Course(Settings):
    """What a demo does; kept in demo.json, and the same when the demo is run again."""

    minutes: float
    """Of all, on this machine."""
    seed: int
    data: str = "phantom:tiles=24&size=256&sources=8"
    """The drawn tissue: 18 tiles to train on, 6 of other slides to test on."""
    seeds: int = 3
    """Judges of each arm."""
    least_pairs: int = 64
    least_steps: int = 10
    """Training steps of a judge, however little time there is."""

    @property
    def pairs(self) -> int:
        """How many are made."""
        return max(self.least_pairs, round(PAIRS_A_MINUTE * self.minutes))

    def judge_steps(self, seconds_a_step: float, elapsed_s: float) -> int:
        """As many as fit in a judge's share of the time, or of what is left of it, in tens."""
        share = min(JUDGES, GENERATOR + JUDGES - elapsed_s / (60 * self.minutes))
        seconds = 60 * self.minutes * share / (ARMS * self.seeds + WITNESSES)
        return max(int(seconds / seconds_a_step) // 10 * 10, self.least_steps)


def demo(*, minutes: float = 10.0, run: Path = Path("runs/demo"), seed: int = 0) -> Path:
    """Draw tissue, train a generator on it, make pairs, and judge what they are worth. Needs no data and no network.

    Prints where the report, the picture of the pairs and the pairs are; returns the report's path. Run again after a
    stop, it goes on; finished parts are kept.

    Args:
        minutes: how long all of it may take.
        run: the folder for all of it.
        seed: of all randomness.

    Raises:
        UserError: not a positive time, or a folder that holds another demo or other things.
        Interrupted: stopped; the same command goes on.
    """
    if not minutes > 0:
        raise UserError("no time", expected="--minutes above 0", got=str(minutes))
    try:
        return walk(Course(minutes=minutes, seed=seed), run)
    except Interrupted as error:
        raise Interrupted(f"stopped; finished parts are kept in {run}; run the same command to go on") from error


def walk(course: Course, folder: Path) -> Path:
    """Go through all parts of a demo, or those that are missing."""
    began = time.monotonic()
    _begin(course, folder)
    pairs, sheet = folder / "pairs", folder / "pairs.png"
    say(f"demo on drawn tissue, {course.minutes:g} minutes in all: a generator, {course.pairs} pairs, judges, a report")
    if not (read_manifest(pairs) or {}).get("finished"):
        _make_pairs(course, folder, pairs)
    if not sheet.exists():
        write_png(sheet, contact_sheet(list(islice(read(str(pairs)), SHOWN)), COLUMNS, CELL_PX))
    if not (folder / REPORT).exists():
        arms = ["real+classic", f"real+classic+{pairs}"]
        steps = _judge_steps(course, folder, pairs, began)
        say(f"{ARMS * course.seeds} judges of {steps} steps, half of them with the pairs")
        again = (folder / PLAN).exists()
        study(data=course.data, arm=arms, run=folder, seeds=course.seeds, steps=steps, seed=course.seed, resume=again)
    print(f"report  {folder / REPORT}\npicture {sheet}\npairs   {pairs}")
    return folder / REPORT


def seconds_a_step(course: Course, pairs: Path) -> float:
    """How long a judge's training step takes here and now."""
    from nucleosynth.segmentation.fit import fit as fit_judge
    from nucleosynth.training.device import fabric_for

    fabric, budgets = fabric_for(), [Budget(steps=steps) for steps in TIMED]
    real, made = training_tiles(course.data, TRAIN), list(read(str(pairs)))
    settings = catalog.load("judge", JUDGE).presets["tiny"]
    ends = []
    for budget in budgets:
        with TemporaryDirectory() as place:
            began = time.monotonic()
            fit_judge(real, settings, folder=Path(place), budget=budget, seed=0, synthetic=made, fabric=fabric)
            ends.append(time.monotonic() - began)
    return step_seconds(*ends)


def step_seconds(short: float, long: float) -> float:
    """Seconds a step, from how long trainings of `TIMED` steps took: by their difference, which begins and ends do not
    count in; but at least half of what all of the long one took a step, as another load may have ended in between.

    Example:
        >>> step_seconds(2.0, 6.0), step_seconds(5.0, 5.0)
        (0.2, 0.1)
    """
    return max((long - short) / (TIMED[1] - TIMED[0]), long / TIMED[1] / 2)


def _begin(course: Course, folder: Path) -> None:
    """Write demo.json, or see that it is the same."""
    path = folder / FILE
    wanted = course.model_dump_json(indent=1)
    if path.exists() and path.read_text() != wanted:
        raise UserError(
            "another demo is there",
            expected=" ".join(path.read_text().split()),
            got=" ".join(wanted.split()),
            where=str(folder),
            mend="give another --run, or the same options to go on",
        )
    if not path.exists():
        if folder.exists() and any(folder.iterdir()):
            raise UserError(
                "the folder is taken", expected="a new or empty folder", got=str(folder), mend="--run OTHER"
            )
        write_whole(path, wanted)


def _make_pairs(course: Course, folder: Path, pairs: Path) -> None:
    """Train the generator on the split "train" alone, then make pairs."""
    place, minutes = folder / "generator", GENERATOR * course.minutes
    again = (place / RECORD).exists()
    say(f"{METHOD} is trained for {minutes:.1f} minutes, on the training slides alone")
    fit(METHOD, data=course.data, run=place, split=TRAIN, minutes=minutes, seed=course.seed, resume=again)
    generate(place, out=pairs, n=course.pairs, seed=course.seed)


def _judge_steps(course: Course, folder: Path, pairs: Path, began: float) -> int:
    """Measured once, then kept."""
    kept = folder / "judge_steps.txt"
    if not kept.exists():
        seconds = seconds_a_step(course, pairs)
        write_whole(kept, str(course.judge_steps(seconds, time.monotonic() - began)))
    return int(kept.read_text())
