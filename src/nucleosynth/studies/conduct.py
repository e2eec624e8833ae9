"""The course of a study: pairs for the recipes, a judge for every arm and seed, scores, numbers, pictures.

    arms/<arm>/generator, pairs       a recipe's run and store
    judges/<arm>/seed_<s>/            a judge's run folder; scores.json once it has been scored
    pictures/                         what the report shows
    study.json                        everything, see report/results.py

What is finished is read back, so that a study that was stopped goes on at the next arm or seed. How judges are trained
and pairs are made is handed in: the course knows no network.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from nucleosynth.progress import say
from nucleosynth.report import results as report
from nucleosynth.report.results import Judgement, Picture, Results
from nucleosynth.run import now, versions, write_whole
from nucleosynth.sample import Sample
from nucleosynth.studies import figures, statistics
from nucleosynth.studies.arms import REAL, Arm
from nucleosynth.studies.evidence import area_mm2, common_side, described, evidence, windows
from nucleosynth.studies.fairness import check_stores, check_usable
from nucleosynth.studies.plan import Plan
from nucleosynth.studies.scoring import metrics, scored

SCORES = "scores.json"


@dataclass(frozen=True)
class Material:
    """The tiles of a study: all that may be trained on, those that are, those that judges are scored on; and the
    synthetic ones of the arms that bring their own."""

    available: Sequence[Sample]
    training: Sequence[Sample]
    tests: Sequence[Sample]
    stores: dict[str, list[Sample]]

    def named(self) -> dict[str, Sequence[Sample]]:
        """Each set of tiles that decides the result, by what it is."""
        return {"training": self.training, "test": self.tests, **self.stores}


@dataclass(frozen=True)
class Trained:
    """A judge that can predict, and its training: steps, seconds, logged losses by step."""

    predict: Callable[[Sequence[Sample]], Iterator[Sample]]
    steps: int
    seconds: float
    losses: tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class Made:
    """Synthetic tiles, and for how many seconds their generator was trained, where that is known."""

    samples: Sequence[Sample]
    seconds: float | None


class TrainJudge(Protocol):
    """Train a judge on real and synthetic tiles in a run folder, or go on where it stopped."""

    def __call__(self, real: Sequence[Sample], synthetic: Sequence[Sample], seed: int, folder: Path) -> Trained:
        """The trained judge."""


class MakePairs(Protocol):
    """Fit an arm's method on tiles, and make pairs of as large an area as asked (mm^2), or read back what is made."""

    def __call__(self, arm: Arm, tiles: Sequence[Sample], area_mm2: float, folder: Path) -> Made:
        """The pairs."""


def conduct(
    plan: Plan,
    arms: Sequence[Arm],
    material: Material,
    folder: Path,
    *,
    train: TrainJudge,
    make: MakePairs,
    ceiling: dict[str, float | None],
    command: str,
    hardware: str,
) -> Results:
    """Carry out a plan and write study.json; `command` and `hardware` are what the report says of them."""
    arms = sorted(arms, key=lambda arm: arm.name != REAL)
    made = {arm.name: _made(arm, plan, material, folder, make) for arm in arms}
    judged = {
        (arm.name, seed): _judgement(arm, seed, plan, material, made[arm.name], folder, train)
        for seed in plan.seeds
        for arm in arms
    }
    assert {judgement.steps for judgement in judged.values()} == {plan.steps}, "every judge takes the same steps"
    judgements = {arm.name: tuple(judged[arm.name, seed] for seed in plan.seeds) for arm in arms}
    say("what the synthetic tiles look like beside real ones")
    looks = _Looks.at(plan, material, made, folder)
    test = described(material.tests)
    found = Results(
        data=plan.data,
        split=plan.split,
        class_names=material.training[0].class_names,
        class_scheme=plan.class_scheme,
        fraction=plan.fraction,
        fraction_reached=_nuclei(material.training) / _nuclei(material.available),
        available=described(material.available),
        training=described(material.training),
        test=test,
        seeds=plan.seeds,
        steps=plan.steps,
        synthetic_share=plan.judge["synthetic_share"],
        metrics=metrics(test.classes),
        ceiling=ceiling,
        judge={"preset": plan.judge_preset, **plan.judge},
        arms=tuple(_arm(arm, made[arm.name], judgements, looks, material) for arm in arms),
        truths=figures.write_truths(folder, material.tests),
        pairs=looks.write("real", looks.training),
        command=command,
        versions=versions(),
        hardware=hardware,
        finished=now(),
    )
    found.write(folder)
    return found


def _made(arm: Arm, plan: Plan, material: Material, folder: Path, make: MakePairs) -> Made:
    """An arm's synthetic tiles: none, those of its store, or those that its recipe makes."""
    if arm.name in material.stores:
        return Made(material.stores[arm.name], None)
    if not arm.method:
        return Made((), None)
    made = make(arm, material.training, plan.ratio * area_mm2(material.training), folder / "arms" / arm.slug)
    check_usable(made.samples, f"pairs of {arm.name}")
    check_stores(arm.name, made.samples, material.training, material.tests)
    return made


def _judgement(
    arm: Arm, seed: int, plan: Plan, material: Material, made: Made, folder: Path, train: TrainJudge
) -> Judgement:
    """Train and score one judge, or read back what it scored."""
    place = folder / "judges" / arm.slug / f"seed_{seed}"
    if (place / SCORES).exists():
        return Judgement.model_validate_json((place / SCORES).read_text())
    say(f"judge of {arm.name}, seed {seed}")
    trained = train(material.training, made.samples, seed, place)
    predictions = list(trained.predict(material.tests))
    scores = scored(material.tests, predictions)
    first = seed == plan.seeds[0]
    judgement = Judgement(
        arm=arm.name,
        seed=seed,
        steps=trained.steps,
        seconds=trained.seconds,
        losses=trained.losses,
        images=scores.images,
        scores=scores.values,
        left_out=scores.left_out,
        pictures=figures.write_predictions(folder, arm.slug, material.tests, predictions) if first else (),
    )
    write_whole(place / SCORES, judgement.model_dump_json(indent=1))
    return judgement


def _arm(
    arm: Arm, made: Made, judgements: dict[str, tuple[Judgement, ...]], looks: "_Looks", material: Material
) -> report.Arm:
    names = list(judgements[REAL][0].scores)
    values, reference = (
        {name: [judgement.scores[name] for judgement in judgements[key]] for name in names} for key in (arm.name, REAL)
    )
    is_real = arm.name == REAL
    own = looks.synthetic.get(arm.name)
    return report.Arm(
        name=arm.name,
        label=arm.label,
        made_by=_origin(arm, made),
        synthetic=described(made.samples) if own else None,
        ratio=area_mm2(made.samples) / area_mm2(material.training) if own else None,
        generator_seconds=made.seconds,
        evidence=evidence(own, looks.training, looks.tests, material.training, looks.seed) if own else None,
        judgements=judgements[arm.name],
        summaries={name: statistics.summary(values[name]) for name in names},
        differences={} if is_real else {name: statistics.paired(values[name], reference[name]) for name in names},
        pairs=looks.write(arm.slug, own) if own else (),
    )


def _origin(arm: Arm, made: Made) -> str:
    """Where an arm's synthetic tiles come from, in words."""
    makers = {(str(tile.provenance.get("generator")), str(tile.provenance.get("checkpoint"))) for tile in made.samples}
    return (
        f"{arm.made_by}: {', '.join(f'{name}, checkpoint {checkpoint}' for name, checkpoint in sorted(makers))}"
        if makers
        else ""
    )


@dataclass(frozen=True)
class _Looks:
    """Windows of one size and resolution of the training tiles, the test tiles and each arm's synthetic tiles."""

    training: list[Sample]
    tests: list[Sample]
    synthetic: dict[str, list[Sample]]
    seed: int
    folder: Path

    @classmethod
    def at(cls, plan: Plan, material: Material, made: dict[str, Made], folder: Path) -> "_Looks":
        """At the judge's resolution, as large as every tile can hold."""
        mpp = plan.judge["mpp"]
        parts = {name: each.samples for name, each in made.items() if each.samples}
        side = common_side((material.training, material.tests, *parts.values()), mpp)
        synthetic = {name: windows(part, mpp, side) for name, part in parts.items()}
        return cls(
            windows(material.training, mpp, side), windows(material.tests, mpp, side), synthetic, plan.seed, folder
        )

    def write(self, name: str, part: Sequence[Sample]) -> tuple[Picture, ...]:
        """Pictures of some windows, drawn by the seed."""
        return figures.write_pairs(self.folder, f"pairs_{name}", part, self.seed)


def _nuclei(samples: Sequence[Sample]) -> int:
    return sum(len(sample.classes) for sample in samples)
