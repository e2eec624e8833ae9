"""`nucleosynth generate`: pairs from a trained method, or what is missing beside a given side."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import count as naturals
from itertools import groupby, islice, repeat
from pathlib import Path
from typing import Any, NamedTuple

from nucleosynth import catalog
from nucleosynth.conditions.counts import from_classes
from nucleosynth.conditions.points import from_instances
from nucleosynth.data.classes import renamed
from nucleosynth.data.reader import read, resolve
from nucleosynth.data.store import ROWS_PER_SHARD, StoreWriter, open_for_writing
from nucleosynth.data.windows import Cutting, windows
from nucleosynth.errors import UserError
from nucleosynth.layouts import table
from nucleosynth.layouts.asking import layout_conditions
from nucleosynth.methods.reading import reading_in, spare_cores
from nucleosynth.pictures import write_contact_sheet
from nucleosynth.progress import progress, say
from nucleosynth.run import Run
from nucleosynth.sample import Condition, Sample
from nucleosynth.verbs.options import RunFolder

SHEET = "_contact_sheet.png"
SHOWN = 16
SIDES = {"points": "points", "counts": "counts", "labels": "instances", "images": "image"}
"""Option -> the field of a Condition that it gives."""
PARTS = {"points": "points", "counts": "counts", "text": "caption"}
"""Part that a model may have been built without (`fit --without`) -> the option that it then does not take."""


def generate(
    run: RunFolder,
    *,
    out: Path,
    n: int | None = None,
    seed: int = 0,
    size: int | None = None,
    batch: int = 16,
    points: str | None = None,
    counts: str | None = None,
    labels: str | None = None,
    images: str | None = None,
    caption: str | None = None,
    split: str | None = None,
    classes: str | None = None,
    overwrite: bool = False,
    device: str = "auto",
    precision: str = "auto",
    workers: int | None = None,
) -> Path:
    """Make pairs with a trained method, or the missing side of what is given; a given side is kept as it is.

    Sample k depends on the seed and k alone. An unfinished store of the same command is continued. Returns `out`.

    Args:
        run: the folder of a trained run.
        out: the store to write, with a contact sheet in it.
        n: how many; given sides are used again and again. Unless given: each given side once, or 16 pairs.
        seed: of all randomness.
        size: side of a tile, px at the method's resolution; given tiles are cut into such windows, else kept whole.
        batch: samples that go through the network together; other sizes give the same samples up to rounding.
        points: place nuclei where this data has them, or a table of layouts (`nucleosynth layouts sample`, a .parquet
            file).
        counts: make as many nuclei of each class as each tile of this data has.
        labels: paint an image for each label of this data; diffmix begins from the image that the label has.
        images: find the nuclei of each image of this data.
        caption: make what this sentence says; beside a given side, in place of each tile's own caption, or by itself.
        split: use only this split of the given data.
        classes: read the given data in this class scheme, the one that the model was trained in.
        overwrite: replace a store in the output folder.
        device: auto, cpu or cuda.
        precision: auto, 32-true, bf16-mixed or 16-mixed.
        workers: processes that read nuclei beside the network, 0 = none; the samples are the same. Unless given: as
            many as there are spare cores, at most 8, where a GPU makes the tiles, none on a CPU.

    Raises:
        UserError: no trained run, a condition that the method does not take, or an output folder that is taken.
        MachineError, Interrupted: disk full, or stopped; whole shards stay, and the same command goes on.
    """
    _check_numbers(n, size, batch, workers)
    sides = {"points": points, "counts": counts, "labels": labels, "images": images}
    asked = {name: data for name, data in sides.items() if data}
    opened = Run.open(run)
    kind = catalog.load("method", opened.record.method)
    side = _one_side(asked, kind)
    _check_caption(caption, kind)
    _check_parts([*asked, *(["caption"] if caption else [])], opened)
    if side and not _is_layouts(side, asked[side]):
        resolve(asked[side])
    fabric = _fabric(device, precision)
    model = kind.load(opened, fabric)
    if workers is None:
        workers = spare_cores(fabric.device.type)

    def conditions() -> Iterator[Condition]:
        if side:
            return _captioned(_given(side, _Asked(asked[side], split, classes), size, model), caption)
        if caption:
            shape = (size, size) if size else model.size
            return repeat(Condition(shape, model.mpp, model.class_names, caption=caption))
        conditions: Iterator[Condition] = model.default_conditions(seed, size=(size, size) if size else None)
        return conditions

    if n is None:
        n = sum(1 for _ in _given_once(side, _Asked(asked[side], split, classes), size, model)) if side else 16
    stream = conditions()
    identity = {
        "method": kind.name,
        "checkpoint": model.origin.checkpoint,
        "seed": seed,
        "size": size,
        "batch": batch,
        **asked,
        **({"caption": caption} if caption else {}),
    }
    rows = batch * -(-ROWS_PER_SHARD // batch)
    told = identity | {"split": split, "classes": classes}
    with open_for_writing(out, told, n, rows, overwrite) as store, reading_in(workers):
        _fill(
            store,
            stream,
            lambda stream, rows: model.generate(stream, seed, count=len(rows), start=rows.start, batch=batch),
        )
    write_contact_sheet(out / SHEET, list(islice(read(str(out)), SHOWN)), columns=4, cell_px=256)
    say(f"{n} samples in {out}; contact sheet: {out / SHEET}")
    return out


def _fill(
    store: StoreWriter,
    stream: Iterator[Condition],
    make: Callable[[Iterator[Condition], range], Iterator[Sample]],
) -> None:
    """Make the missing shards, from one pass over the conditions; those that follow each other without a break."""
    at = 0
    shards = store.missing()
    with progress("generate", sum(len(store.rows(shard)) for shard in shards)) as report:
        done = naturals(1)

        def reported(samples: Iterator[Sample]) -> Iterator[Sample]:
            for sample in samples:
                report(next(done))
                yield sample

        for _, numbered in groupby(enumerate(shards), lambda pair: pair[1] - pair[0]):
            together = [shard for _, shard in numbered]
            rows = range(store.rows(together[0]).start, store.rows(together[-1]).stop)
            stream = islice(stream, rows.start - at, None)
            at = rows.stop
            samples = reported(make(islice(stream, len(rows)), rows))
            for shard in together:
                store.write(shard, islice(samples, len(store.rows(shard))))


class _Asked(NamedTuple):
    """Data that give a side, and how to read them."""

    data: str
    split: str | None
    classes: str | None


def _given(side: str, data: "_Asked", size: int | None, model: Any) -> Iterator[Condition]:
    """The conditions of some data, again and again; in later rounds names get the round's number."""
    for lap in naturals():
        for condition in _given_once(side, data, size, model):
            yield replace(condition, name=f"{condition.name}~{lap}") if lap else condition


def _captioned(conditions: Iterator[Condition], caption: str | None) -> Iterator[Condition]:
    return (replace(condition, caption=caption or condition.caption) for condition in conditions)


def _given_once(side: str, data: "_Asked", size: int | None, model: Any) -> Iterator[Condition]:
    if _is_layouts(side, data.data):
        yield from layout_conditions(Path(data.data), model.class_names, model.mpp or model.facts.mpp, size)
        return
    for sample in read(*data):
        for tile in _windows(sample, size, model.mpp):
            yield _condition(side, renamed(tile, model.class_names), model)


def _is_layouts(side: str, data: str) -> bool:
    return side == "points" and table.is_table(data)


def _windows(sample: Sample, size: int | None, mpp: float | None) -> Iterator[Sample]:
    """The tile, or windows of it of `size` px at `mpp`, that do not overlap but for the last row and column."""
    if size is None:
        yield sample
        return
    side = size if mpp is None or sample.mpp is None else max(round(size * mpp / sample.mpp), 1)
    yield from (window.sample for window in windows(sample, Cutting(side, side)))


def _condition(side: str, tile: Sample, model: Any) -> Condition:
    if model.mpp is not None and tile.mpp is None:
        raise UserError(
            "unknown resolution",
            expected="micrometres per pixel of the given tile",
            got="none",
            where=f"sample {tile.sample_id!r}",
            mend="state mpp (meta.toml of a folder), or write tiles anew by `tiles --source-mpp`",
        )
    asked = Condition(
        tile.size,
        tile.mpp,
        tile.class_names,
        tile.tissue,
        tile.stain,
        caption=(tile.caption or None) if _told(model) else None,
        name=tile.sample_id,
        source=tile.source,
        licence=tile.licence,
    )
    if side == "points":
        return replace(asked, points=tile.points or from_instances(tile))
    if side == "counts":
        return replace(asked, counts=from_classes(tile.classes, len(tile.class_names)))
    if side == "labels":
        return replace(asked, instances=tile.instances, classes=tile.classes, begin=tile.image)
    return replace(asked, image=tile.image)


def _told(model: Any) -> bool:
    """Whether the model follows captions: its method does, and it was not built without them."""
    return "caption" in model.takes and all(PARTS.get(part) != "caption" for part in model.origin.without)


def _one_side(asked: dict[str, str], kind: Any) -> str | None:
    if len(asked) > 1:
        got = " and ".join(f"--{name}" for name in asked)
        raise UserError(
            "more than one side is given",
            expected="one of " + ", ".join(f"--{name}" for name in SIDES),
            got=got,
            mend="give one of them",
        )
    for name in asked:
        if SIDES[name] not in kind.takes:
            takes = ", ".join(f"--{option}" for option, field in SIDES.items() if field in kind.takes) or "none of them"
            raise UserError(
                f"{kind.name} does not take {name}",
                expected=takes,
                got=f"--{name}",
                mend=f"take a run of a method that does: {_takers(SIDES[name])}",
            )
    for option, field in SIDES.items():
        if field in kind.needs and option not in asked:
            raise UserError(
                f"{kind.name} needs {option}",
                expected=f"--{option} DATA",
                got="nothing",
                where="nucleosynth generate",
                mend=f"give tiles, as --{option} consep:CoNSeP",
            )
    return next(iter(asked), None)


def _check_caption(caption: str | None, kind: Any) -> None:
    if caption is not None and not caption.strip():
        raise UserError("an empty caption", expected="a sentence", got=f"--caption {caption!r}", mend="leave it out")
    if caption and "caption" not in kind.takes:
        raise UserError(
            f"{kind.name} does not take a caption",
            expected="a method that is told text",
            got=f"--caption {caption!r}",
            mend=f"leave it out, or take a run of a method that does: {_takers('caption')}",
        )


def _takers(field: str) -> str:
    """The methods that follow a field of a Condition."""
    return ", ".join(entry.name for entry in catalog.CATALOG["method"] if field in entry.load().takes)


def _check_parts(options: Sequence[str], run: Run) -> None:
    """Refuse what a model was built without."""
    for part in run.record.settings.get("without", ()):
        option = PARTS.get(part)
        if option in options:
            raise UserError(
                f"a model without {part}",
                expected=f"no --{option}",
                got=f"--{option}",
                where=str(run.folder),
                mend=f"leave it out, or train a model of {run.record.method} with {part}",
            )


def _fabric(device: str, precision: str) -> Any:
    from nucleosynth.training.device import fabric_for

    return fabric_for(device, precision)


def _check_numbers(n: int | None, size: int | None, batch: int, workers: int | None) -> None:
    least_of = (("--n", n, 1), ("--size", size, 16), ("--batch", batch, 1), ("--workers", workers, 0))
    for name, value, least in least_of:
        if value is not None and value < least:
            raise UserError(
                f"{name} is too small",
                expected=f"at least {least}",
                got=str(value),
                where="nucleosynth generate",
                mend=f"give {least} or more, or leave {name} out",
            )
