"""What study.json holds: all numbers of a study, so that the report needs nothing but them and the pictures beside it.

A number that is not defined (a score without nuclei, an interval from two seeds) is None.
"""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from nucleosynth.run import write_whole

FILE = "study.json"
VERDICTS = (("found", (0, 225, 255)), ("missed", (255, 230, 0)), ("false alarms", (255, 70, 30)))
"""How the pictures of predictions are coloured: what a nucleus is, RGB; classes 1, 2 and 3 of the outlines."""


class Record(BaseModel):
    """Base of all parts: frozen, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Tiles(Record):
    """A set of tiles: nuclei by class name, millimetres squared of tissue, and where they come from."""

    tiles: int
    nuclei: int
    area_mm2: float
    classes: dict[str, int]
    sources: tuple[str, ...]
    licences: tuple[str, ...]
    labelled_as: tuple[str, ...]


class Metric(Record):
    """A score: its name in the tables, how it is put together, and what it means."""

    name: str
    label: str
    aggregation: str
    meaning: str


class Picture(Record):
    """A PNG beside study.json, and the words under it."""

    file: str
    words: str


class Judgement(Record):
    """One judge: its arm and seed, its training (steps, seconds, logged losses), its scores on the test tiles."""

    arm: str
    seed: int
    steps: int
    seconds: float
    losses: tuple[tuple[int, float], ...]
    images: tuple[dict[str, Any], ...]
    """sample_id and the scores of metrics/instance.py."""
    scores: dict[str, float | None]
    """By metric."""
    left_out: dict[str, int]
    """Images on which a metric is not defined, by metric; absent = none."""
    pictures: tuple[Picture, ...] = ()
    """Its predictions on the shown test tiles; of the first seed alone."""


class Summary(Record):
    """A metric over seeds: each value, mean, and standard deviation (n - 1)."""

    each: tuple[float | None, ...]
    mean: float | None
    sd: float | None


class Difference(Record):
    """A metric's differences to the real-only arm at equal seeds: mean, sd (n - 1), 95 % interval and p (t, n - 1)."""

    each: tuple[float | None, ...]
    mean: float | None
    sd: float | None
    low: float | None
    high: float | None
    p: float | None


class Evidence(Record):
    """What synthetic tiles look like beside real ones, in windows of one size and resolution."""

    windows: dict[str, int]
    """How many: training, test, synthetic."""
    side_px: int
    mpp: float
    fsd: float | None
    """Synthetic against training windows; background is one of the classes."""
    fsd_floor: float | None
    """Test windows against training windows, as many."""
    contrast: float | None
    """Mean haematoxylin of synthetic nuclei above their surroundings, optical density."""
    contrast_real: float | None
    copies: dict[str, float | None]
    """See metrics/copies.py; empty where windows are too small to be compared."""
    compared: int
    """Synthetic windows that were compared with every training crop; of the test windows as many at most."""


class Arm(Record):
    """One way to train the judge, over all seeds."""

    name: str
    """As on the command line."""
    label: str
    """As in tables."""
    made_by: str
    synthetic: Tiles | None
    ratio: float | None
    """Synthetic area for each real one."""
    generator_seconds: float | None
    evidence: Evidence | None
    judgements: tuple[Judgement, ...]
    summaries: dict[str, Summary]
    differences: dict[str, Difference]
    """Empty for the real-only arm."""
    pairs: tuple[Picture, ...]


class Results(Record):
    """A finished study."""

    data: str
    split: str
    """How training and test tiles were told apart, in words."""
    class_names: tuple[str, ...]
    class_scheme: str = ""
    """What was merged into the classes, in words; "" = nothing."""
    fraction: float
    fraction_reached: float
    """Share of the training nuclei that is used."""
    available: Tiles
    """All training tiles, of which `training` are used."""
    training: Tiles
    test: Tiles
    seeds: tuple[int, ...]
    steps: int
    synthetic_share: float
    """Of each batch, where there is something synthetic."""
    metrics: tuple[Metric, ...]
    """The first one is the primary outcome."""
    ceiling: dict[str, float | None]
    """What perfect maps would reach."""
    judge: dict[str, Any]
    arms: tuple[Arm, ...]
    """The real-only arm first."""
    truths: tuple[Picture, ...]
    """Test tiles; the pictures of judgements are of the same ones."""
    pairs: tuple[Picture, ...]
    """Windows of the training tiles."""
    command: str
    versions: dict[str, str]
    hardware: str
    finished: str

    def write(self, folder: Path) -> None:
        """Write study.json."""
        write_whole(folder / FILE, self.model_dump_json(indent=1))

    @classmethod
    def read(cls, folder: Path) -> "Results":
        """What `write` wrote."""
        return cls.model_validate_json((folder / FILE).read_text())
