"""`nucleosynth study`: what synthetic data are worth, by the judges that are trained with and without them."""

import shlex
from collections.abc import Mapping, Sequence
from inspect import signature
from pathlib import Path
from typing import Any, NamedTuple

from nucleosynth import catalog, config
from nucleosynth.data.new_folder import cut_short
from nucleosynth.data.reader import read, resolve, split_by_source
from nucleosynth.errors import UserError
from nucleosynth.progress import say
from nucleosynth.report import page
from nucleosynth.report.results import Results
from nucleosynth.run import Budget
from nucleosynth.sample import Sample
from nucleosynth.studies.arms import Arm, parse
from nucleosynth.studies.conduct import Material, conduct
from nucleosynth.studies.fairness import check_apart, check_stores, check_usable
from nucleosynth.studies.plan import Plan, digest
from nucleosynth.studies.statistics import LEAST_SEEDS
from nucleosynth.studies.subset import labelled

TRAIN, TEST = "train", "test"
TEST_SHARE = 0.25
"""Of the sources, where the data have no splits."""


def study(
    *,
    data: str,
    arm: Sequence[str],
    run: Path,
    fraction: float = 1.0,
    seeds: int = 3,
    steps: int = 400,
    ratio: float = 1.0,
    minutes: float | None = None,
    generator_steps: int | None = None,
    preset: str = "tiny",
    judge_preset: str = "tiny",
    test_data: str | None = None,
    split: str | None = None,
    classes: str | None = None,
    seed: int = 0,
    resume: bool = False,
    device: str = "auto",
    precision: str = "auto",
) -> Results:
    """Train judges with and without synthetic tiles, score them on test tiles, and write a report.

    All arms share the real training tiles, the seeds and the number of steps; with synthetic tiles half of each batch
    is synthetic. Every arm is compared with `real`, seed by seed. Returns what study.json holds; report.html lies
    beside it.

    Args:
        data: the labelled tiles: name:path, or the path of a store.
        arm: real, and at least one of real+METHOD, real+METHOD:preset (fitted inside, on the training tiles alone) and
            real+STORE (finished pairs, which must come from those tiles). Given once for each arm.
        run: the folder of the study, new unless --resume is given.
        fraction: share of the training nuclei that is used, in whole sources that show every class.
        seeds: judges for each arm; with fewer than 3 no test is made, and the report says so.
        steps: training steps of every judge.
        ratio: area of a recipe's synthetic tiles for each area of real ones. A store is used whole.
        minutes: train a recipe's generator for so many minutes (5 unless steps are given).
        generator_steps: train it for so many steps.
        preset: the method's settings where an arm names none.
        judge_preset: the judge's settings.
        test_data: take the test tiles from this data.
        split: the official split that judges are scored on; "test" unless given. Where the data have no splits, a
            quarter of their sources is set aside.
        classes: read data and test data in this class scheme: a name of `nucleosynth list`, or a TOML file.
        seed: the first judge's seed; of the generator and the choice of tiles as well.
        resume: go on with a study that was stopped, at the next arm or seed.
        device: auto, cpu, cuda, or cuda:N for N of them.
        precision: auto, 32-true, bf16-mixed or 16-mixed.

    Raises:
        UserError: an unknown name, data that cannot be read or judged, a store that has seen other tiles than the
            arm's own, a folder that holds another study; all before any training.
        Interrupted: stopped; what is finished is kept.
    """
    given = dict(locals())
    _check_numbers(given)
    arms = parse(arm, preset)
    settings = config.preset(catalog.load("judge", "hovernet").presets, judge_preset, "--judge-preset")
    budget = Budget(steps=generator_steps, minutes=5.0 if minutes is None and generator_steps is None else minutes)
    material, how = _material(_Data(data, test_data, split, classes), fraction, seed, arms)
    plan = Plan(
        data=data if test_data is None else f"{data}, tested on {test_data}",
        split=how,
        class_scheme=material.training[0].class_scheme,
        arms=tuple(each.name for each in arms),
        fraction=fraction,
        seeds=tuple(range(seed, seed + seeds)),
        steps=steps,
        ratio=ratio,
        generator=budget,
        preset=preset,
        judge_preset=judge_preset,
        judge=settings.model_dump(mode="json"),
        seed=seed,
        digests={name: digest(tiles) for name, tiles in material.named().items()},
    )
    plan.begin(run, resume)
    _announce(plan, material)
    with cut_short(f"finished parts are kept in {run}; go on with the same command and --resume"):
        found = _carry_out(plan, arms, material, run, settings, _command(given), device, precision)
        say(f"report: {page.write(run)}")
    return found


def _check_numbers(given: Mapping[str, Any]) -> None:
    for name, least in (("seeds", 1), ("steps", 1), ("seed", 0)):
        if given[name] < least:
            raise UserError(f"--{name} is too small", expected=f"at least {least}", got=str(given[name]))
    if not given["ratio"] > 0:
        raise UserError("no synthetic tiles", expected="--ratio above 0", got=str(given["ratio"]))


class _Data(NamedTuple):
    """What a study reads, as its options name it."""

    data: str
    test_data: str | None
    split: str | None
    classes: str | None


def _material(data: "_Data", fraction: float, seed: int, arms: Sequence[Arm]) -> tuple[Material, str]:
    """All tiles, read and found fair, and how training and test tiles were told apart."""
    for each in arms:
        if each.method:
            config.preset(catalog.load("method", each.method).presets, each.preset, f"--arm {each.name}")
    available, tests, how = _tiles(data.data, data.test_data, data.split, seed, data.classes)
    check_usable(available, "training tiles")
    check_usable(tests, "test tiles")
    check_apart(available, tests)
    training = labelled(available, fraction, seed)
    stores = {each.name: list(read(str(each.store))) for each in arms if each.store}
    for name, tiles in stores.items():
        check_usable(tiles, f"tiles of {name}")
        check_stores(name, tiles, training, tests)
    return Material(available, training, tests, stores), how


def _tiles(
    data: str, test_data: str | None, split: str | None, seed: int, classes: str | None = None
) -> tuple[list[Sample], list[Sample], str]:
    """Training tiles, test tiles, and how they were told apart.

    With test data of their own, the training tiles are the split "train" of `data`, or all where there is none.
    """
    wanted = split or TEST
    for each in (data, test_data or data):
        resolve(each)
    whole = list(read(data, None, classes))
    if test_data is not None:
        tests = list(read(test_data, None, classes))
        training = [tile for tile in whole if tile.split == TRAIN] or whole
        if split is not None or any(tile.split == TEST for tile in tests):
            tests = [tile for tile in tests if tile.split in ("", wanted)]
        how = "test tiles from other data"
    elif not any(tile.split for tile in whole):
        training, tests = split_by_source(whole, TEST_SHARE, seed)
        how = f"the data have no official split: {TEST_SHARE:.0%} of the sources were set aside by seed {seed}"
    else:
        tests = [tile for tile in whole if tile.split == wanted]
        others = [tile for tile in whole if tile.split != wanted]
        training = [tile for tile in others if tile.split == TRAIN] or others
        how = f"official split: judges are scored on {wanted!r}"
    for name, tiles in (("training", training), ("test", tests)):
        if not tiles:
            raise UserError(
                f"no {name} tile",
                expected=f"tiles of split {wanted!r} and others",
                got=f"no tile for {name}",
                where=test_data or data,
                mend="name the split with --split, or give --test-data",
            )
    return training, tests, how


def _announce(plan: Plan, material: Material) -> None:
    say(plan.split)
    used, of_all, tests = (
        f"{len(tiles)} tiles with {sum(len(tile.classes) for tile in tiles)} nuclei"
        for tiles in (material.training, material.available, material.tests)
    )
    say(f"training on {used}, of {of_all}; scored on {tests}")
    say(f"{len(plan.arms)} arms x {len(plan.seeds)} seeds, {plan.steps} steps each")
    if len(plan.seeds) < LEAST_SEEDS:
        say(f"fewer than {LEAST_SEEDS} seeds: no test can be made, and the report will say so")


def _carry_out(
    plan: Plan,
    arms: Sequence[Arm],
    material: Material,
    run: Path,
    settings: Any,
    command: str,
    device: str,
    precision: str,
) -> Results:
    # here and not above: networks need torch, which `--help` does not wait for
    from nucleosynth.studies.judges import hardware, judge_ceiling, judge_trainer
    from nucleosynth.studies.recipes import pair_maker
    from nucleosynth.training.device import fabric_for

    fabric = fabric_for(device, precision)
    return conduct(
        plan,
        arms,
        material,
        run,
        train=judge_trainer(settings, plan.steps, fabric),
        make=pair_maker(plan.data, plan.generator, plan.seed, device, precision),
        ceiling=judge_ceiling(material.tests, settings),
        command=command,
        hardware=hardware(fabric),
    )


def _command(given: Mapping[str, Any]) -> str:
    """The command line that asks for the same: what differs from the defaults, whether it is resumed apart."""
    words = ["nucleosynth", "study"]
    for name, parameter in signature(study).parameters.items():
        value = given[name]
        if name == "resume" or value == parameter.default:
            continue
        for each in value if name == "arm" else [value]:
            words += [f"--{name.replace('_', '-')}", str(each)]
    return shlex.join(words)
