"""The course of a study: part by part, pairs of every maker, a judge for every arm and seed, what follows from them.

    parts/<fold>-<fraction>/part.json            the real tiles: counts, the judge's ceiling
    parts/<fold>-<fraction>/makers/<name>/       a recipe's run and pairs; maker.json: what they look like
    parts/<fold>-<fraction>/judges/<arm>/seed_<s>/    see trials.py
    parts/<fold>-<fraction>/witness/             see witness.py
    pictures/                                    what the report shows
    study.json                                   everything, see report/results.py

What is finished is read back, so that a study that was stopped goes on at the next maker, arm or seed. How judges are
trained and pairs are made is handed in: the course knows no network.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

from nucleosynth.encoders.encoder import Encoder
from nucleosynth.report import results as report
from nucleosynth.report.results import Judgement, Record, Results
from nucleosynth.run import now, write_whole
from nucleosynth.sample import Sample
from nucleosynth.studies import findings
from nucleosynth.studies.arms import Arm, Maker, makers
from nucleosynth.studies.evidence import area_mm2
from nucleosynth.studies.fairness import check_stores, check_usable
from nucleosynth.studies.looks import Ceiling, Look, Made, Together
from nucleosynth.studies.parts import Part
from nucleosynth.studies.plan import Plan
from nucleosynth.studies.scoring import metrics
from nucleosynth.studies.trials import Place, Spent, TrainJudge, first_pairs, trial
from nucleosynth.studies.witness import Witness

PART, MAKER, TOGETHER = "part.json", "maker.json", "together.json"
Kept = TypeVar("Kept", bound=Record)


class MakePairs(Protocol):
    """The pairs of a maker: fitted on tiles, as large an area as asked (mm^2); or read back what is made."""

    def __call__(self, maker: Maker, tiles: Sequence[Sample], wanted_mm2: float, folder: Path) -> Made:
        """The pairs."""


@dataclass(frozen=True)
class Tools:
    """What knows networks: how judges are trained and pairs made; what perfect maps would score on some tiles; the
    encoder that windows are compared by."""

    train: TrainJudge
    make: MakePairs
    ceiling: Ceiling
    encoder: Encoder


@dataclass(frozen=True)
class Frame:
    """What the report says of a study as a whole: the reader's name and the command."""

    data_set: str
    command: str


def conduct(
    plan: Plan, arms: Sequence[Arm], parts: Sequence[Part], folder: Path, *, tools: Tools, frame: Frame
) -> Results:
    """Carry out a plan and write study.json."""
    walked = [_walk(plan, arms, part, folder, tools, first=part is parts[0]) for part in parts]
    judgements = tuple(judgement for each in walked for judgement in each.judgements)
    measured = metrics(
        {name: sum(each.real.test.classes[name] for each in walked) for name in walked[0].real.test.classes}
    )
    found = Results(
        data=plan.data,
        data_set=frame.data_set,
        split=plan.split,
        class_names=parts[0].training[0].class_names,
        class_scheme=plan.class_scheme,
        folds=plan.folds,
        fractions=plan.fractions,
        seeds=plan.seeds,
        steps=plan.steps,
        metrics=measured,
        judge={"preset": plan.judge_preset, **plan.judge},
        parts=tuple(each.real for each in walked),
        makers=tuple(maker for each in walked for maker in each.makers),
        arms=tuple(_described(arm) for arm in arms),
        judgements=judgements,
        scores=findings.scores(judgements, arms, plan.fractions, measured),
        comparisons=findings.comparisons(judgements, arms, measured, _test_shares(parts)),
        enough=findings.enough(judgements, arms, plan.fractions, measured[0].name),
        galleries=walked[0].together.galleries,
        colours=walked[0].together.colours,
        command=frame.command,
        versions=plan.versions,
        hardware=plan.hardware,
        finished=now(),
    )
    found.write(folder)
    return found


@dataclass(frozen=True)
class _Walked:
    """What came of a part."""

    real: report.Part
    makers: tuple[report.Maker, ...]
    together: Together
    judgements: tuple[Judgement, ...]


def _walk(plan: Plan, arms: Sequence[Arm], part: Part, folder: Path, tools: Tools, *, first: bool) -> _Walked:
    """All that a part needs: its makers' pairs, its judges, what all look like; in the first, makers side by side."""
    place = folder / "parts" / part.slug
    made = {maker: _made(maker, arms, part, place, tools.make) for maker in makers(arms)}
    judgements: list[Judgement] = []
    for seed in plan.seeds:
        for arm in arms:
            judgements.append(_judgement(arm, part, seed, made, judgements, plan, folder, tools.train))
    witness = Witness(plan, part, place / "witness", tools.train)
    look = Look(plan, part, made, folder, tools.ceiling, tools.encoder, witness)
    return _Walked(
        _kept(place / PART, report.Part, look.real),
        tuple(_kept(place / "makers" / maker.slug / MAKER, report.Maker, partial(look.maker, maker)) for maker in made),
        _kept(place / TOGETHER, Together, look.together) if first else Together(galleries=(), colours=()),
        tuple(judgements),
    )


def _made(maker: Maker, arms: Sequence[Arm], part: Part, place: Path, make: MakePairs) -> Made:
    """A maker's pairs, as many as the largest ratio of its arms needs; refused where they are unfair."""
    ratios = [arm.ratio for arm in arms if arm.maker == maker and arm.ratio] or [1.0]
    wanted = max(ratios) * area_mm2(part.training)
    made = make(maker, part.training, wanted, place / "makers" / maker.slug)
    check_usable(made.samples, f"pairs of {maker.name}")
    check_stores(maker.name, made.samples, part.training, part.tests, part.available)
    return made


def _judgement(
    arm: Arm,
    part: Part,
    seed: int,
    made: Mapping[Maker, Made],
    before: Sequence[Judgement],
    plan: Plan,
    folder: Path,
    train: TrainJudge,
) -> Judgement:
    """One trial; the judges that it depends on stand before it, as arms are sorted."""
    synthetic: Sequence[Sample] = ()
    if arm.maker:
        wanted = None if arm.ratio is None else arm.ratio * area_mm2(part.training)
        synthetic = first_pairs(made[arm.maker].samples, wanted)
    spent = None
    if arm.compute_of:
        pace = next(each for each in before if (each.arm, each.seed) == (arm.reference, seed))
        spent = Spent(made[arm.compute_of].seconds, pace)
    place = Place(folder, part.slug, shown=seed == plan.seeds[0], watched_by=plan.seed)
    return trial(arm, part, seed, synthetic, steps=plan.steps, spent=spent, place=place, train=train)


def _kept(path: Path, kind: type[Kept], compute: Callable[[], Kept]) -> Kept:
    """What a file holds, or what is computed and then kept there."""
    if not path.exists():
        write_whole(path, compute().model_dump_json(indent=1))
    return kind.model_validate_json(path.read_text())


def _test_shares(parts: Sequence[Part]) -> dict[float, float]:
    """Of each fraction: test tiles for each training tile."""
    by_fraction: dict[float, list[Part]] = {}
    for part in parts:
        by_fraction.setdefault(part.fraction, []).append(part)
    return {
        fraction: findings.test_share([len(part.training) for part in each], [len(part.tests) for part in each])
        for fraction, each in by_fraction.items()
    }


def _described(arm: Arm) -> report.Arm:
    return report.Arm(
        name=arm.name,
        label=arm.label,
        reference=arm.reference,
        classic=arm.classic,
        maker=arm.maker.name if arm.maker else "",
        ratio=arm.ratio,
        compute_of=arm.compute_of.name if arm.compute_of else "",
    )
