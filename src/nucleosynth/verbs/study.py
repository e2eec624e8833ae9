"""`nucleosynth study`: what synthetic data are worth, by the judges that are trained with and without them."""

import shlex
from collections.abc import Mapping, Sequence
from inspect import signature
from pathlib import Path
from typing import Any, NamedTuple

from nucleosynth import catalog, config
from nucleosynth.data.new_folder import cut_short
from nucleosynth.data.reader import read
from nucleosynth.encoders import encoder as encoders
from nucleosynth.errors import UserError
from nucleosynth.progress import count_of, say
from nucleosynth.report import page
from nucleosynth.report.results import Results
from nucleosynth.run import Budget, Run, versions
from nucleosynth.sample import Sample
from nucleosynth.studies.arms import Arm, makers, parse
from nucleosynth.studies.conduct import Frame, Tools, conduct
from nucleosynth.studies.fairness import check_begun, check_stores, check_usable
from nucleosynth.studies.makers import Recipes, check_enough, pair_maker
from nucleosynth.studies.parts import Part, Source, folds, parts
from nucleosynth.studies.plan import Plan, digest
from nucleosynth.studies.statistics import LEAST
from nucleosynth.verbs.fit import checkpoint_of, recipe


def study(
    *,
    data: str,
    arm: Sequence[str],
    run: Path,
    fraction: Sequence[float] = (),
    ratio: Sequence[float] = (),
    seeds: int = 3,
    steps: int = 400,
    minutes: float | None = None,
    generator_steps: int | None = None,
    preset: str = "tiny",
    judge_preset: str = "tiny",
    test_data: str | None = None,
    split: str | None = None,
    folds: str | None = None,
    classes: str | None = None,
    encoder: str = "texture",
    seed: int = 0,
    resume: bool = False,
    device: str = "auto",
    precision: str = "auto",
) -> Results:
    """Train judges with and without synthetic tiles, score them on test tiles, and write a report.

    All arms share the real training tiles, the seeds and the number of steps; windows are drawn from real and synthetic
    tiles in proportion to their area. An arm is compared, judge by judge, with the one that lacks its last addition.
    Returns what study.json holds; report.html and tables/*.csv lie beside it.

    Args:
        data: the labelled tiles: name:path, or the path of a store.
        arm: given once for each: real; real+classic (windows varied by the conventional augmentation); either with
            +METHOD or +METHOD:preset (fitted inside, on the training tiles alone), +RUN or +pretrained:NAME (a trained
            run, fitted further in the same way) or +STORE (finished pairs, which must come from those tiles);
            real@METHOD (no pairs, but as many more steps as the method's compute would buy).
        run: the folder of the study, new unless --resume is given.
        fraction: share of the training nuclei that is used, in whole sources that show every class; given once for
            each, 1 unless given.
        ratio: area of synthetic tiles for each area of real ones, given once for each; unless given, 1 for methods, and
            all that a store holds.
        seeds: judges for each arm; with fewer than 3 no test is made, and the report says so.
        steps: training steps of every judge.
        minutes: train a method's generator for so many minutes (5 unless steps are given).
        generator_steps: train it for so many steps.
        preset: the method's settings where an arm names none.
        judge_preset: the judge's settings.
        test_data: take the test tiles from this data.
        split: the official split that judges are scored on; "test" unless given. Where the data have no splits, a
            quarter of their sources is set aside.
        folds: a number: so many folds of whole sources, each the test in turn; "official": each official split in turn.
        classes: read data and test data in this class scheme: a name of `nucleosynth list`, or a TOML file.
        encoder: what synthetic and real windows are compared by: a name of `nucleosynth list`, a file after a colon.
        seed: the first judge's seed; of the generator and the choice of tiles as well.
        resume: go on with a study that was stopped, at the next generator, arm or seed.
        device: auto, cpu, cuda, or cuda:N for N of them.
        precision: auto, 32-true, bf16-mixed or 16-mixed.

    Raises:
        UserError: an unknown name, data that cannot be read or judged, a store that has seen other tiles than the
            arm's own, a folder that holds another study; all before any training.
        Interrupted: stopped; what is finished is kept.
    """
    given = dict(locals())
    _check_numbers(given)
    arms = parse(arm, preset, ratio)
    methods = {
        each.name: recipe(each.method, each.preset, each.begin, where=f"--arm with {each.name}")[0]
        for each in makers(arms)
        if each.method
    }
    for own in methods.values():
        own.check_files()
    settings = config.preset(catalog.load("judge", "hovernet").presets, judge_preset, "--judge-preset")
    budget = Budget(steps=generator_steps, minutes=5.0 if minutes is None and generator_steps is None else minutes)
    material = _material(Source(data, test_data, split, folds, classes), tuple(fraction) or (1.0,), seed, arms)
    described = encoders.load(encoder)
    fabric, hardware = _machine(device, precision)
    plan = Plan(
        data=data if test_data is None else f"{data}, tested on {test_data}",
        split=material.how,
        class_scheme=material.parts[0].training[0].class_scheme,
        arms=tuple(each.words for each in arms),
        methods={name: own.model_dump(mode="json") for name, own in methods.items()},
        fractions=tuple(dict.fromkeys(part.fraction for part in material.parts)),
        folds=tuple(dict.fromkeys(part.fold for part in material.parts)),
        seeds=tuple(range(seed, seed + seeds)),
        steps=steps,
        generator=budget,
        preset=preset,
        judge_preset=judge_preset,
        judge=settings.model_dump(mode="json"),
        encoder=f"{described.name}, {described.digest}",
        hardware=hardware,
        versions=versions(),
        seed=seed,
        digests=material.digests(),
    )
    plan.begin(run, resume)
    _announce(plan, material)
    with cut_short(f"finished parts are kept in {run}; go on with the same command and --resume"):
        recipes = Recipes(plan.data, budget, seed, device, precision)
        tools = _tools(settings, fabric, recipes, material, described)
        found = conduct(plan, arms, material.parts, run, tools=tools, frame=Frame(material.data_set, _command(given)))
        say(f"report: {page.write(run)}")
    return found


def _check_numbers(given: Mapping[str, Any]) -> None:
    for name, least in (("seeds", 1), ("steps", 1), ("seed", 0)):
        if given[name] < least:
            raise UserError(f"--{name} is too small", expected=f"at least {least}", got=str(given[name]))


class _Material(NamedTuple):
    """All tiles, read and found fair: the parts, how they were made, the tiles of each store, the weights of each run
    that is begun from, the reader's name."""

    parts: tuple[Part, ...]
    how: str
    stores: dict[str, list[Sample]]
    weights: dict[str, str]
    data_set: str

    def digests(self) -> dict[str, str]:
        """Of each set of tiles that decides the result, and of weights."""
        found = {name: digest(tiles) for name, tiles in self.stores.items()} | self.weights
        for part in self.parts:
            found |= {f"{part.slug} training": digest(part.training), f"{part.slug} test": digest(part.tests)}
        return found


def _material(source: Source, fractions: tuple[float, ...], seed: int, arms: Sequence[Arm]) -> _Material:
    found, how = folds(source, seed)
    all_parts = parts(found, fractions, seed)
    stores = {each.name: list(read(str(each.store))) for each in makers(arms) if each.store}
    for name, tiles in stores.items():
        check_usable(tiles, f"tiles of {name}")
        for part in all_parts:
            check_stores(name, tiles, part.training, part.tests, part.available)
    begun = {each.name: Run.open(each.begin) for each in makers(arms) if each.begin}
    for name, run in begun.items():
        for part in all_parts:
            check_begun(name, run.record.training_sources, part.training, part.available, part.tests)
    check_enough(arms, all_parts, stores)
    name = source.data.partition(":")[0]
    known = {entry.name for entry in catalog.CATALOG["data set"]}
    return _Material(
        all_parts,
        how,
        stores,
        {name: checkpoint_of(run) for name, run in begun.items()},
        name if name in known else "",
    )


def _announce(plan: Plan, material: _Material) -> None:
    say(plan.split)
    for part in material.parts:
        used, of_all, tests = (
            f"{count_of(len(tiles), 'tile')} with {sum(len(tile.classes) for tile in tiles)} nuclei"
            for tiles in (part.training, part.available, part.tests)
        )
        say(f"{part.fold}, {part.fraction:.0%} of the labels: training on {used}, of {of_all}; scored on {tests}")
    arms, seeds, parts = len(plan.arms), len(plan.seeds), len(material.parts)
    each = f"{arms} arms x {seeds} seeds" + (f" x {parts} parts" if parts > 1 else "")
    say(f"{each}: {arms * seeds * parts} judges of {plan.steps} steps")
    if seeds * len(plan.folds) < LEAST:
        say(f"fewer than {LEAST} judges an arm: no test can be made, and the report will say so")


def _machine(device: str, precision: str) -> tuple[Any, str]:
    """What trains, and in words."""
    # here and not above: networks need torch, which `--help` does not wait for
    from nucleosynth.studies.judges import hardware
    from nucleosynth.training.device import fabric_for

    fabric = fabric_for(device, precision)
    return fabric, hardware(fabric)


def _tools(settings: Any, fabric: Any, recipes: Recipes, material: _Material, encoder: encoders.Encoder) -> Tools:
    from nucleosynth.studies.judges import judge_ceiling, judge_trainer

    make = pair_maker(recipes, material.stores)
    return Tools(judge_trainer(settings, fabric), make, judge_ceiling(settings), encoder)


def _command(given: Mapping[str, Any]) -> str:
    """The command line that asks for the same: what differs from the defaults, whether it is resumed apart."""
    words = ["nucleosynth", "study"]
    for name, parameter in signature(study).parameters.items():
        value = given[name]
        if name == "resume" or value == parameter.default:
            continue
        for each in value if name in ("arm", "fraction", "ratio") else [value]:
            words += [f"--{name.replace('_', '-')}", str(each)]
    return shlex.join(words)
