"""`nucleosynth fit`: train a method on labelled tiles."""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from nucleosynth import catalog, config
from nucleosynth.config import S
from nucleosynth.data.reader import read, resolve
from nucleosynth.data.splits import TRAIN, to_train_on
from nucleosynth.entries import Entry
from nucleosynth.errors import UserError, unknown_name
from nucleosynth.progress import say
from nucleosynth.run import Budget, Run, RunRecord, TrainingSource, now, versions
from nucleosynth.sample import Sample
from nucleosynth.verbs.options import MethodOrNone, RunToBegin

OPTIONS = ("method", "data", "run", "split", "classes", "preset", "from", "without", "steps", "minutes", "seed")
"""What a TOML file may give beside [settings]."""


def fit(
    method: MethodOrNone = None,
    *,
    data: str | None = None,
    run: Path | None = None,
    split: str | None = None,
    classes: str | None = None,
    preset: str | None = None,
    from_: RunToBegin = None,
    without: str | None = None,
    steps: int | None = None,
    minutes: float | None = None,
    seed: int | None = None,
    config: Path | None = None,
    set: Sequence[str] = (),
    resume: bool = False,
    device: str = "auto",
    precision: str = "auto",
) -> Run:
    """Train a method on labelled tiles; the run folder then holds all that `generate` needs.

    Ctrl-C saves and says how to go on. Returns the run.

    Args:
        method: the method, or a part that methods use, as clip; names are in `nucleosynth list`.
        data: the labelled tiles: name:path, or the path of a store.
        run: the folder of the run, new unless --resume is given; with most methods it also holds the training
            tiles (tiles/), with daff_gan their points (library.parquet).
        split: train on this official split, or on several (fold1,fold2); by default on "train" where there is one, else
            on all that are not held out by name.
        classes: read them in this class scheme: a name of `nucleosynth list`, or a TOML file.
        preset: named settings of the method; "tiny" unless given.
        from_: begin from the weights and settings of a trained run, given by its folder; its classes and tissues need
            not be these. jointflow can.
        without: parts that the method is to do without, beside those that the preset leaves out: points, distance, text
            or counts of cosyn; with commas.
        steps: train for so many steps.
        minutes: train for so many minutes (5 unless steps are given).
        seed: of all randomness; 0 unless given.
        config: a TOML file with any of these options and a table [settings]; the command line overrules it.
        set: change one setting, as training.batch=16; may be repeated.
        resume: go on with a run that was stopped.
        device: auto, cpu, cuda, or cuda:N for N of them.
        precision: auto, 32-true, bf16-mixed or 16-mixed.

    Raises:
        UserError: an unknown name or setting, data that cannot be read, or a folder that holds another run.
        Interrupted: stopped; everything is saved.
    """
    given: dict[str, Any] = {"method": method, "data": data, "run": run, "split": split, "classes": classes}
    given |= {"preset": preset, "from": from_, "without": without, "seed": seed, "steps": steps, "minutes": minutes}
    options, changes = with_file(config, given)
    changes |= assignments(set)
    kind = trained_by(_needed(options, "method"))
    if "begin" in changes:
        raise UserError(
            "a run to begin from is no setting",
            expected="--from RUN, which keeps its sources in the record",
            got=f"begin = {changes['begin']!r}",
            where=str(config or "--set"),
            mend="give --from instead",
        )
    begin = options.get("from") or ""
    if begin and options.get("preset"):
        raise UserError(
            "a preset beside a run to begin from",
            expected="one of --preset and --from",
            got=f"--preset {options['preset']} --from {begin}",
            mend="leave --preset out: the settings are those of the run, and --set changes them",
        )
    chosen = options.get("preset") or "tiny"
    settings, before = recipe(kind.name, chosen, begin, changes, str(config or "--set"))
    settings = ablated(kind.name, settings, options.get("without", ()))
    settings.check_files()
    resolve(_needed(options, "data"))
    tiles = training_tiles(options["data"], options.get("split"), options.get("classes"))
    record = RunRecord(
        method=kind.name,
        preset=before.record.preset if before else chosen,
        settings=settings.model_dump(mode="json"),
        data=options["data"],
        split=options.get("split"),
        seed=options.get("seed") or 0,
        budget=_budget(options),
        class_names=tiles[0].class_names,
        class_scheme=tiles[0].class_scheme,
        versions=versions(),
        started=now(),
        **lineage(tiles, before),
    )
    return train(record, tiles, Path(_needed(options, "run")), resume=resume, device=device, precision=precision)


def train(
    record: RunRecord,
    tiles: Sequence[Sample],
    folder: Path,
    *,
    resume: bool,
    device: str = "auto",
    precision: str = "auto",
) -> Run:
    """Train as a record says, on tiles that are at hand; a folder of the same, finished run is left as it is."""
    from nucleosynth.training.device import fabric_for

    kind = trained_by(record.method)
    settings = type(kind.presets["tiny"]).model_validate(record.settings)
    run = Run.create(folder, record, resume)
    nuclei = sum(len(tile.classes) for tile in tiles)
    sources = len(record.training_sources)
    say(f"{record.method}, preset {record.preset}: {len(tiles)} tiles, {nuclei} nuclei, {sources} sources")
    with run.taken_back_if_refused():
        kind.fit(tiles, settings, run, fabric_for(device, precision))
    say(f"trained; {_next(record.method, run.folder)}")
    return run


def training_tiles(data: str, split: str | None = None, classes: str | None = None) -> list[Sample]:
    """The tiles to train on: of `split`; or of "train" where there is one, else of all splits that are not held out.

    Raises:
        UserError: no tile, none but held-out ones, tiles without masks, or tiles of different classes.
    """
    tiles = list(read(data, split, classes))
    if split is None:
        tiles = _not_held_out(tiles, data)
    pointed = [tile.sample_id for tile in tiles if tile.labelled_as == "points"]
    if pointed:
        raise UserError("tiles without masks", expected="masks", got=f"points alone in {pointed[0]!r}", where=data)
    names = {(tile.class_names, tile.class_scheme) for tile in tiles}
    if len(names) > 1:
        raise UserError(
            "tiles of different classes",
            expected="one list of class names, merged by one scheme",
            got=f"{len(names)} lists",
            where=data,
            mend="read them in one scheme (--classes), or train on each kind apart",
        )
    return tiles


def _not_held_out(tiles: Sequence[Sample], data: str) -> list[Sample]:
    """Those of the splits to train on; what is left out is told."""
    there = {tile.split for tile in tiles}
    left_out = ", ".join(map(repr, sorted(there - to_train_on(there))))
    chosen = [tile for tile in tiles if tile.split in to_train_on(there)]
    if not chosen:
        raise UserError(
            "none but held-out tiles to train on",
            expected="tiles of no split, or of one to train on",
            got=f"{len(tiles)} tiles of {left_out}",
            where=data,
            mend=f"name the split if it is meant, as in --split {min(there)}",
        )
    if TRAIN in there:
        say(f"{data}: training on its split {TRAIN!r}, {len(chosen)} tiles")
    elif left_out:
        say(f"{data}: training on {len(chosen)} tiles, without those of {left_out}")
    return chosen


def sources_of(tiles: Sequence[Sample]) -> tuple[TrainingSource, ...]:
    """The sources of some tiles, each once, sorted."""
    return tuple(
        TrainingSource(source=source, licence=licence)
        for source, licence in sorted({(t.source, t.licence) for t in tiles})
    )


def joined_sources(*parts: Sequence[TrainingSource]) -> tuple[TrainingSource, ...]:
    """Sources of several trainings, each once, sorted."""
    return tuple(sorted({source for part in parts for source in part}, key=lambda each: (each.source, each.licence)))


def checkpoint_of(run: Run) -> str:
    """The fingerprint of the weights that a run makes tiles with."""
    from nucleosynth.methods.provenance import Origin

    return Origin.of(run).checkpoint


def recipe(
    name: str, preset: str, begin: str = "", changes: Mapping[str, Any] | None = None, where: str = "--set"
) -> tuple[Any, Run | None]:
    """The settings of what is trained under a name, and the run to begin from, if any, whose settings they then are.

    Raises:
        UserError: an unknown name, preset or setting; no such run, one of another method, or a student's.
    """
    kind = trained_by(name)
    if not begin:
        return resolve_settings(kind.presets, preset, changes or {}, where), None
    before = Run.open(begin)
    own = type(kind.presets["tiny"])
    can = "begin" in own.model_fields
    student = before.record.settings.get("role") == "student"
    if not can or before.record.method != kind.name or student:
        raise UserError(
            "this cannot be begun from" if can else f"{kind.name} always begins from random weights",
            expected=f"a trained run of {kind.name}" if can else "no --from",
            got=f"{'a student' if student else 'a run'} of {before.record.method}",
            where=str(before.folder),
            mend="leave --from out, or take jointflow and a run of it",
        )
    settings = own.model_validate(before.record.settings)
    return config.resolve(settings, {**(changes or {}), "begin": begin}, where), before


def lineage(tiles: Sequence[Sample], before: Run | None) -> dict[str, Any]:
    """What a record says of all that a training rests on: the tiles, and what the run to begin from has seen."""
    inherited = before.record.training_sources if before else ()
    return {
        "training_sources": joined_sources(sources_of(tiles), inherited),
        "begun_from": checkpoint_of(before) if before else "",
        "inherited_sources": inherited,
    }


def resolve_settings(presets: Mapping[str, S], preset: str, changes: Mapping[str, Any], where: str) -> S:
    """A preset with changes (see config.resolve)."""
    return config.resolve(config.preset(presets, preset), changes, where)


def with_file(
    path: Path | None, given: Mapping[str, Any], known: Sequence[str] = OPTIONS
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Options, the command line over the file, and the file's settings; of `without` the parts that either names.

    Raises:
        UserError: no TOML file there, or one with an option that is not `known`.
    """
    table = config.read_toml(path) if path else {}
    changes = table.pop("settings", {})
    for name in table:
        if name not in known:
            raise unknown_name("option", name, (*known, "settings"), str(path))
    stated = {name: value for name, value in given.items() if value is not None}
    if stated.keys() & {"steps", "minutes"}:
        table = {name: value for name, value in table.items() if name not in ("steps", "minutes")}
    parts = [*parts_in(table.get("without", ())), *parts_in(stated.get("without", ()))]
    return table | stated | ({"without": parts} if parts else {}), dict(changes)


def assignments(texts: Sequence[str]) -> dict[str, Any]:
    """key=value texts; a value is read as TOML, or else as a plain word; none = nothing (see config.resolve).

    Raises:
        UserError: a text without "=".
    """
    changes: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise UserError("not a setting", expected="KEY=VALUE, as training.batch=16", got=text, where="--set")
        try:
            changes[key] = None if value == "none" else tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            changes[key] = value
    return changes


def trained_by(name: str) -> Any:
    """What is trained under that name: a method, or a part that methods use.

    Raises:
        UserError: as `method_named`.
    """
    return catalog.load("part", name) if _is_part(name) else method_named(name, catalog.CATALOG["part"])


def method_named(name: str, others: Sequence[Entry] = ()) -> Any:
    """The method of that name; others: what might be meant beside methods.

    Raises:
        UserError: no such method; the message gives the nearest one, or those that have a preset of that name.
    """
    entries = catalog.CATALOG["method"]
    if name in (entry.name for entry in entries):
        return catalog.load("method", name)
    error = unknown_name("method", name, (entry.name for entry in (*entries, *others)))
    owners = [f"{entry.name} --preset {name}" for entry in entries if name in entry.load().presets]
    mend = ", or ".join(owners) or error.mend
    raise UserError(error.what, expected=error.expected, got=error.got, mend=mend)


def ablated(method: str, settings: S, without: str | Sequence[str]) -> S:
    """Settings of a method without these parts either, beside those that they leave out already.

    Raises:
        UserError: the method has no parts that it can do without, or not one of these.
    """
    parts = parts_in(without)
    if not parts:
        return settings
    field = type(settings).model_fields.get("without")
    if field is None:
        raise UserError(
            f"{method} has no parts that it can do without",
            expected="a method with such parts, as cosyn",
            got=f"--without {','.join(parts)}",
            mend="leave it out",
        )
    known = get_args(get_args(field.annotation)[0])
    for part in parts:
        if part not in known:
            raise unknown_name("part", part, known, "--without")
    own = settings.model_dump()["without"]
    return config.resolve(settings, {"without": tuple(dict.fromkeys([*own, *parts]))}, "--without")


def parts_in(text: str | Sequence[str]) -> list[str]:
    """The parts of a list, or of a text with commas between them.

    Example:
        >>> parts_in("points, text")
        ['points', 'text']
    """
    parts = text.split(",") if isinstance(text, str) else text
    return [part.strip() for part in parts if part.strip()]


def _needed(options: Mapping[str, Any], name: str) -> Any:
    if options.get(name) is None:
        option = "METHOD" if name == "method" else f"--{name}"
        raise UserError(
            f"no {name}",
            expected=option,
            got="nothing",
            where="nucleosynth fit",
            mend=f"give {option}, or a --config that has it",
        )
    return options[name]


def _is_part(name: str) -> bool:
    return name in (entry.name for entry in catalog.CATALOG["part"])


def _next(name: str, folder: Path) -> str:
    """What a run is good for once it is trained."""
    if _is_part(name):
        return f"next: nucleosynth fit cgpn_gan --set {name}=own:{folder}, on the same training tiles"
    return f"pictures in {folder / 'pictures'}; next: nucleosynth generate {folder} --n 64 --out OUT"


def _budget(options: Mapping[str, Any]) -> Budget:
    steps, minutes = options.get("steps"), options.get("minutes")
    return Budget(steps=steps, minutes=5.0 if steps is None and minutes is None else minutes)
