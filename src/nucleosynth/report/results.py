"""What study.json holds: all numbers of a study, so that the report needs nothing but them and the pictures beside it.

Flat tables that refer to each other by name, so that each is a CSV as it stands: parts (the real tiles of a fold at a
labelled fraction), makers (where synthetic tiles come from, in each part), arms, judgements (one trained judge each),
and what follows from them: scores, comparisons, and whether the arms without synthetic tiles were trained enough.
A number that is not defined (a score without nuclei, an interval from two seeds) is None.
"""

from pathlib import Path
from typing import Any, Literal

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
    class_name: str = ""
    """The class that it scores; "" = all of them."""


class Picture(Record):
    """A PNG beside study.json, and the words under it."""

    file: str
    words: str


class Row(Record):
    """A row of a gallery: what it is called, and its pictures in the order of the columns."""

    label: str
    pictures: tuple[Picture, ...]
    words: str = ""
    """Under the row: the caption of the tile, if it has one."""


class Gallery(Record):
    """A table of pictures: its name in the report, what it shows in a sentence or two, heads of its columns, rows."""

    name: str
    title: str
    words: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


class Colour(Record):
    """The colour of one set of tiles of a tissue: `of` "real" or a maker's label; mean RGB 0..255, mean optical density
    of haematoxylin and eosin."""

    tissue: str
    of: str
    tiles: int
    rgb: tuple[float, float, float]
    haematoxylin: float
    eosin: float


class Estimate(Record):
    """A distance between synthetic and training windows with its 95 % interval, and the same between test windows and
    training windows (`floor`); `metric` as in tables, its encoder included ("FD-texture-1")."""

    metric: str
    value: float | None
    low: float | None
    high: float | None
    floor: float | None
    better: Literal["lower", "higher"]


class Interval(Record):
    """A number with its 95 % interval."""

    value: float | None
    low: float | None
    high: float | None


class Agreement(Record):
    """By one score, how well what the witness sees agrees with the labels: of synthetic windows, of held-out real ones,
    and the first as a share of the second."""

    metric: str
    synthetic: Interval
    real: Interval
    share: Interval


class Consistency(Record):
    """Whether images and labels belong together: the witness, a segmentation network that judges nothing, has learnt
    from the real training tiles alone and is shown windows of one size."""

    seed: int
    """No judge's."""
    steps: int
    windows: dict[str, int]
    """How many it was shown: synthetic, test."""
    scores: tuple[Agreement, ...]


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
    encoder: str = ""
    """What `distances` were measured by: its name and the digest of its weights."""
    distances: tuple[Estimate, ...] = ()
    consistency: Consistency | None = None
    """None: measured before there was a witness."""


class Part(Record):
    """The real tiles of one fold at one labelled fraction; what judges are trained and scored on."""

    fold: str
    fraction: float
    """Asked."""
    reached: float
    """Share of the available training nuclei that is used."""
    available: Tiles
    """All training tiles of the fold, of which `training` are used."""
    training: Tiles
    test: Tiles
    ceiling: dict[str, float | None]
    """What perfect maps would reach on the test tiles."""
    truths: tuple[Picture, ...]
    """Test tiles; the pictures of judgements are of the same ones."""
    pairs: tuple[Picture, ...]
    """Windows of the training tiles."""


class Maker(Record):
    """Where synthetic tiles of a part come from: a recipe that was fitted there, or a store."""

    name: str
    """As in arms: METHOD:preset, or the path of a store."""
    label: str
    """As in tables."""
    fold: str
    fraction: float
    made_by: str
    """In words, the generator's checkpoint included."""
    inherited: int = 0
    """On how many sources of other data the run was trained that fitting began from; 0 where it began anew."""
    synthetic: Tiles
    """All that were made: as many as the largest ratio needs."""
    fit_seconds: float | None
    make_seconds: float | None
    evidence: Evidence
    pairs: tuple[Picture, ...]
    galleries: tuple[Gallery, ...] = ()
    """One point map through many samples, panels in the papers' layout ..."""
    diversity: float | None = None
    """Mean difference of images made for one layout, as a share of that of different real tiles; None: not made."""


class Arm(Record):
    """One way to train the judge."""

    name: str
    """As on the command line, and the ratio where there are several: real+jointflow x0.5."""
    label: str
    """As in tables."""
    reference: str
    """The arm that it is compared with; "" for those that are compared with none."""
    classic: bool
    """Windows are varied by the conventional augmentation."""
    maker: str
    """"" = no synthetic tiles."""
    ratio: float | None
    """Asked: synthetic area for each real one; None: all of the store."""
    compute_of: str
    """The maker whose compute the judge gets in further steps on real tiles; "" = the steps of all."""


class Judgement(Record):
    """One judge: its arm, fold, fraction and seed, its training, its scores on the test tiles."""

    arm: str
    fold: str
    fraction: float
    seed: int
    steps: int
    seconds: float
    ratio: float | None
    """Synthetic area for each real one, as it was."""
    share: float
    """Of the windows of a batch, the synthetic ones."""
    losses: tuple[tuple[int, float | None], ...]
    """Logged, by step; None: not finite, the judge has diverged."""
    curve: tuple[tuple[int, dict[str, float | None]], ...]
    """Scores on the test tiles along the training, by step; nothing is chosen by them."""
    images: tuple[dict[str, Any], ...]
    """sample_id and the scores of metrics/instance.py."""
    scores: dict[str, float | None]
    """By metric."""
    left_out: dict[str, int]
    """Images on which a metric is not defined, by metric; absent = none."""
    confusion: tuple[tuple[int, ...], ...] = ()
    """(C+1, C+1) nuclei: rows true classes, the first false alarms; columns predicted ones, the first missed."""
    pictures: tuple[Picture, ...] = ()
    """Its predictions on the shown test tiles; of the first seed alone."""


class Score(Record):
    """A metric of an arm at a fraction over folds and seeds: each value, mean, and spreads (n - 1)."""

    arm: str
    fraction: float
    metric: str
    each: tuple[float | None, ...]
    """Fold by fold, in each seed by seed."""
    mean: float | None
    sd: float | None
    """Of all values."""
    seed_sd: float | None
    """Of the seeds within a fold: the root of the mean variance over folds."""


class Comparison(Record):
    """The differences of a metric between an arm and a reference at equal fold and seed.

    Besides its own reference, an arm with a recipe's pairs is compared with the control of equal compute, where the
    study has one.
    """

    arm: str
    reference: str
    fraction: float
    metric: str
    each: tuple[float | None, ...]
    """Fold by fold, in each seed by seed."""
    mean: float | None
    sd: float | None
    """Of what is tested."""
    low: float | None
    """Of the 95 % interval, not corrected."""
    high: float | None
    p: float | None
    p_corrected: float | None
    """Holm's, over all comparisons of this metric in the study."""
    n: int | None = None
    """How many differences are tested: judges of the one fold, or folds, each the mean of its judges."""


class Enough(Record):
    """Whether an arm was trained enough: what the last fifth of its steps gained, against the spread of the seeds."""

    arm: str
    fraction: float
    metric: str
    gain: float | None
    """Mean over judges."""
    spread: float | None
    """Standard deviation of the seeds at the end."""
    enough: bool | None
    """The gain is below the spread; None where one is not defined."""


class Results(Record):
    """A finished study."""

    data: str
    data_set: str
    """The reader's name, by which published rows are found: consep, pannuke ...; "" for others."""
    split: str
    """How training and test tiles were told apart, in words."""
    class_names: tuple[str, ...]
    class_scheme: str = ""
    """What was merged into the classes, in words; "" = nothing."""
    folds: tuple[str, ...]
    fractions: tuple[float, ...]
    seeds: tuple[int, ...]
    steps: int
    """Of every judge, but those that are given a maker's compute."""
    metrics: tuple[Metric, ...]
    """The first one is the primary outcome."""
    judge: dict[str, Any]
    """Its preset and settings."""
    parts: tuple[Part, ...]
    makers: tuple[Maker, ...]
    arms: tuple[Arm, ...]
    """References before what is compared with them."""
    judgements: tuple[Judgement, ...]
    scores: tuple[Score, ...]
    comparisons: tuple[Comparison, ...]
    enough: tuple[Enough, ...]
    galleries: tuple[Gallery, ...] = ()
    """Of all makers together: one mask through each method ..."""
    colours: tuple[Colour, ...] = ()
    command: str
    versions: dict[str, str]
    hardware: str
    finished: str

    def arm(self, name: str) -> Arm:
        """The arm of that name."""
        return next(arm for arm in self.arms if arm.name == name)

    def part(self, fold: str, fraction: float) -> Part:
        """The part of that fold and fraction."""
        return next(part for part in self.parts if (part.fold, part.fraction) == (fold, fraction))

    def score(self, arm: str, fraction: float, metric: str) -> Score:
        """The score of that arm, fraction and metric."""
        wanted = (arm, fraction, metric)
        return next(each for each in self.scores if (each.arm, each.fraction, each.metric) == wanted)

    def comparison(self, arm: str, fraction: float, metric: str) -> Comparison | None:
        """The comparison of that arm with its own reference; None for an arm that has none."""
        return self.against(arm, fraction, metric, self.arm(arm).reference)

    def against(self, arm: str, fraction: float, metric: str, reference: str) -> Comparison | None:
        """The comparison of that arm with a reference; None where there is none."""
        wanted = (arm, fraction, metric, reference)
        found = (each for each in self.comparisons if (each.arm, each.fraction, each.metric, each.reference) == wanted)
        return next(found, None)

    def judged(self, arm: str, fraction: float) -> tuple[Judgement, ...]:
        """The judges of an arm at a fraction, fold by fold, in each seed by seed."""
        return tuple(each for each in self.judgements if (each.arm, each.fraction) == (arm, fraction))

    def write(self, folder: Path) -> None:
        """Write study.json."""
        write_whole(folder / FILE, self.model_dump_json(indent=1))

    @classmethod
    def read(cls, folder: Path) -> "Results":
        """What `write` wrote."""
        return cls.model_validate_json((folder / FILE).read_text())
