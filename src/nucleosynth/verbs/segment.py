"""`nucleosynth segment fit` and `segment predict`: the judge by itself, HoVer-Net published or compact."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nucleosynth import catalog
from nucleosynth import config as toml
from nucleosynth.data.reader import read, resolve
from nucleosynth.data.schemes import scheme
from nucleosynth.errors import UserError
from nucleosynth.pictures import write_contact_sheet
from nucleosynth.progress import count_of, progress, say
from nucleosynth.run import Budget, Run
from nucleosynth.sample import Sample
from nucleosynth.verbs.fit import assignments, training_tiles, with_file
from nucleosynth.verbs.options import Data, RunOrWeights

if TYPE_CHECKING:
    from nucleosynth.segmentation.hovernet import HoVerNetSettings
    from nucleosynth.segmentation.judge import Judge

OPTIONS = (
    *("data", "run", "split", "classes", "synthetic", "preset", "mode", "weights", "augmentation"),
    *("steps", "minutes", "seed"),
)
"""What a TOML file may give beside [settings]."""
STEPS = 400
SHOWN, CELL_PX = 4, 512


def fit(
    *,
    data: str | None = None,
    run: Path | None = None,
    preset: str | None = None,
    mode: str | None = None,
    weights: str | None = None,
    augmentation: str | None = None,
    split: str | None = None,
    classes: str | None = None,
    synthetic: str | None = None,
    steps: int | None = None,
    minutes: float | None = None,
    seed: int | None = None,
    config: Path | None = None,
    set: Sequence[str] = (),
    resume: bool = False,
    device: str = "auto",
    precision: str = "auto",
) -> Run:
    """Train a judge, the network that finds nuclei and tells their types, on labelled tiles.

    Ctrl-C saves and says how to go on. Returns the run; its facts.json says which weights training started from.

    Args:
        data: the labelled tiles: name:path, or the path of a store.
        run: the folder of the run, new unless --resume is given.
        preset: tiny (a compact network for CPUs, the default), resnet50 (published, mended), released
            (the same with the released code's quirks) or resnet34.
        mode: fast (256 -> 164 px) or original (270 -> 80 px) as published, or same (maps as large as the image).
        weights: none, imagenet (torchvision's file where torch hub keeps it), imagenet:download, or a file: released
            weights, the authors' pre-activation ResNet50 encoder, torchvision's ResNets, a judge's checkpoint.
        augmentation: none (random windows alone), classic or released; the preset's unless given.
        split: train on this official split, or on several (fold1,fold2); by default on "train" where there is one, else
            on all that are not held out by name.
        classes: read them in this class scheme: a name of `nucleosynth list`, or a TOML file.
        synthetic: a store of synthetic tiles, which fill a share of each batch (synthetic_share).
        steps: train for so many steps; 400 unless given for preset tiny, needed where a preset trains in phases.
        minutes: train for so many minutes.
        seed: of all randomness; 0 unless given.
        config: a TOML file with any of these options and a table [settings]; the command line overrules it.
        set: change one setting, as batch=16; may be repeated.
        resume: go on with a run that was stopped.
        device: auto, cpu or cuda.
        precision: auto, 32-true, bf16-mixed or 16-mixed.

    Raises:
        UserError: an unknown name or setting, data that cannot be read, weights that are not there or do not fit, or a
            folder that holds another run; all before training.
        Interrupted: stopped; everything is saved.
    """
    options, changes = with_file(config, {name: value for name, value in locals().items() if name in OPTIONS}, OPTIONS)
    folder = Path(_needed(options, "run"))
    settings, chosen = _settings(options, changes | assignments(set), str(config or "--set"))
    budget = _budget(options, settings)
    for each in (_needed(options, "data"), options.get("synthetic")):
        if each:
            resolve(each)
    _check(settings, budget, folder, resume)
    tiles = training_tiles(options["data"], options.get("split"), options.get("classes"))
    made = list(read(options["synthetic"])) if options.get("synthetic") else []
    _train(options, settings, tiles, made, budget, folder, resume=resume, device=device, precision=precision)
    nuclei = sum(len(tile.classes) for tile in tiles)
    say(f"judge, preset {chosen}, trained on {count_of(len(tiles), 'tile')} with {nuclei} nuclei, in {folder}")
    say(f"next: nucleosynth segment predict {folder} DATA --out OUT, then nucleosynth score DATA OUT")
    return Run.open(folder)


def predict(
    judge: RunOrWeights,
    data: Data,
    *,
    out: Path,
    format: str = "store",
    split: str | None = None,
    names: str | None = None,
    mode: str | None = None,
    batch: int = 8,
    overwrite: bool = False,
    device: str = "auto",
    precision: str = "auto",
) -> Path:
    """Find the nuclei in tiles and tell their types; `nucleosynth score DATA OUT` compares them with the true ones.

    The tiles keep name, size and resolution; of their own labels nothing is looked at. Beside OUT lies a contact sheet
    of some of them. Labels are marked as derived, and every tile says which judge made them. Returns `out`.

    Args:
        judge: the folder of a run of `nucleosynth segment fit`, or a file of HoVer-Net's released weights.
        data: the tiles: name:path, or the path of a store; names are in `nucleosynth list`.
        out: the folder to write.
        format: how to write them; names are in `nucleosynth list`.
        split: only the tiles of this official split, or of several (fold1,fold2).
        names: the classes of released weights, in their order and comma-separated, or a class scheme (consep4,
            pannuke); "class 1", ... unless given.
        mode: of released weights: the one that they were trained in unless given; same runs those of fast on whole
            windows.
        batch: windows that go through the network together.
        overwrite: replace what this program has written there.
        device: auto, cpu or cuda.
        precision: auto, 32-true, bf16-mixed or 16-mixed.

    Raises:
        UserError: no judge there, data that cannot be read or whose resolution is unknown, or an output folder that is
            taken.
    """
    write = catalog.load("format", format)
    if batch < 1:
        raise UserError("no windows", expected="--batch of at least 1", got=str(batch), where="segment predict")
    resolve(data)
    count = _count(data, split)
    seer, provenance = _load(judge, names, mode, device, precision)
    shown: list[Sample] = []

    def found() -> Iterator[Sample]:
        from nucleosynth.segmentation.predict import predict as see

        with progress("predict", count) as report:
            for k, tile in enumerate(see(seer, read(data, split), batch), 1):
                tile = replace(tile, provenance={**provenance, "of": tile.provenance})
                shown.extend([tile] if len(shown) < SHOWN else [])
                report(k)
                yield tile

    write(found(), out, overwrite=overwrite)
    sheet = out.with_name(f"{out.name}_contact_sheet.png")
    write_contact_sheet(sheet, shown, cell_px=CELL_PX)
    say(f"{count_of(count, 'tile')} with the nuclei that were found in {out}; contact sheet: {sheet}")
    return out


def _train(
    options: dict[str, Any],
    settings: "HoVerNetSettings",
    tiles: Sequence[Sample],
    made: Sequence[Sample],
    budget: Budget,
    folder: Path,
    *,
    resume: bool,
    device: str,
    precision: str,
) -> None:
    from nucleosynth.segmentation.fit import fit as train
    from nucleosynth.training.device import fabric_for

    train(
        tiles,
        settings,
        folder=folder,
        budget=budget,
        seed=options.get("seed") or 0,
        synthetic=made,
        resume=resume,
        fabric=fabric_for(device, precision),
        data=options["data"] + (f" and {options['synthetic']}" if made else ""),
        split=options.get("split"),
    )


def _settings(options: dict[str, Any], changes: dict[str, Any], where: str) -> tuple["HoVerNetSettings", str]:
    """The judge's settings, resolved, and the preset's name."""
    from nucleosynth.segmentation.augment import AUGMENTATIONS
    from nucleosynth.segmentation.hovernet import in_mode

    chosen = options.get("preset") or "tiny"
    settings: HoVerNetSettings = toml.preset(catalog.load("judge", "hovernet").presets, chosen, "--preset")
    if options.get("mode"):
        if settings.network == "compact" and options["mode"] in ("fast", "original"):
            raise UserError(
                "a mode that this network does not have",
                expected="--mode same, or a published network",
                got=f"--mode {options['mode']} with preset {chosen}",
                where="nucleosynth segment fit",
                mend="add --preset resnet50",
            )
        settings = in_mode(settings, options["mode"])
    if options.get("augmentation"):
        picked = toml.preset(AUGMENTATIONS, options["augmentation"], "--augmentation")
        settings = settings.model_copy(update={"augmentation": picked})
    if options.get("weights"):
        settings = settings.model_copy(update={"weights": options["weights"]})
    return toml.resolve(settings, changes, where), chosen


def _check(settings: "HoVerNetSettings", budget: Budget, folder: Path, resume: bool) -> None:
    from nucleosynth.segmentation.fit import check

    check(settings, budget, folder, resume=resume)


def _budget(options: dict[str, Any], settings: "HoVerNetSettings") -> Budget:
    steps, minutes = options.get("steps"), options.get("minutes")
    if steps is None and minutes is None:
        if settings.phases:
            raise UserError(
                "no budget",
                expected="--steps: this preset trains in phases, which are counted in steps",
                got="nothing",
                where="nucleosynth segment fit",
                mend="CoNSeP as published is about 20700 steps; see configs/hovernet_consep.toml",
            )
        steps = STEPS
    return Budget(steps=steps, minutes=minutes)


def _load(
    place: Path, names: str | None, mode: str | None, device: str, precision: str
) -> tuple["Judge", dict[str, Any]]:
    """The judge of a run folder or of a file of weights, and what its predictions say of where they come from."""
    from nucleosynth.segmentation import judge as judges
    from nucleosynth.training.device import fabric_for

    if place.is_dir() or not place.exists():
        if names or mode:
            raise UserError(
                "a judge has its own classes and mode",
                expected="--names and --mode with a file of released weights alone",
                got=f"--{'names' if names else 'mode'}",
                where=str(place),
            )
        record = Run.open(place).record
        judge = judges.load(place, fabric_for(device, precision))
        sources = [source.model_dump() for source in record.training_sources]
    else:
        picked = _scheme(names)
        given = picked.class_names if picked else tuple(name.strip() for name in (names or "").split(",") if name)
        judge = judges.load_released(place, given, mode, fabric_for(device, precision))
        judge = replace(judge, class_scheme=picked.text if picked else "")
        sources = []
    return judge, {
        "kind": "predicted",
        "judge": judges.METHOD,
        "checkpoint": judge.checkpoint,
        "training_sources": sources,
    }


def _scheme(names: str | None) -> Any:
    """The class scheme of that name, if it is one's."""
    known = {entry.name for entry in catalog.CATALOG["class scheme"]}
    return scheme(names) if names in known else None


def _count(data: str, split: str | None) -> int:
    """How many tiles there are, all of them readable and of a known resolution."""
    count = 0
    for sample in read(data, split):
        if sample.mpp is None:
            raise UserError(
                "unknown resolution",
                expected="micrometres per pixel of every tile",
                got="none",
                where=f"sample {sample.sample_id!r} of {data}",
                mend="state mpp (meta.toml of a folder; about 0.25 at 40x), or write tiles anew: tiles --source-mpp",
            )
        count += 1
    return count


def _needed(options: dict[str, Any], name: str) -> Any:
    if options.get(name) is None:
        raise UserError(
            f"no {name}",
            expected=f"--{name}",
            got="nothing",
            where="nucleosynth segment fit",
            mend=f"give --{name}, or a --config that has it",
        )
    return options[name]
