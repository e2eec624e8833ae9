"""`nucleosynth generate`: pairs from a trained method, or what is missing beside a given side."""

from collections.abc import Callable, Iterator
from itertools import count as naturals
from itertools import groupby, islice
from pathlib import Path
from typing import Any

from nucleosynth import catalog
from nucleosynth.data.reader import read
from nucleosynth.data.store import ROWS_PER_SHARD, StoreWriter, open_for_writing
from nucleosynth.methods.reading import reading_in, spare_cores
from nucleosynth.pictures import write_contact_sheet
from nucleosynth.progress import progress, say
from nucleosynth.run import Run
from nucleosynth.sample import Condition, Sample
from nucleosynth.verbs.generate_checks import check, check_numbers, check_tissue
from nucleosynth.verbs.generate_conditions import Mode, Repaint, Wishes, conditions, sizes
from nucleosynth.verbs.options import RunFolder

SHEET = "_contact_sheet.png"
SHOWN = 16
PAIRS = 16
"""As many are made where neither a number nor data say."""


def generate(
    run: RunFolder,
    *,
    out: Path,
    n: int | None = None,
    seed: int = 0,
    size: int | None = None,
    batch: int | None = None,
    mode: Mode | None = None,
    points: str | None = None,
    counts: str | None = None,
    proportions: str | None = None,
    labels: str | None = None,
    images: str | None = None,
    tiles: str | None = None,
    hole: float | None = None,
    masks: Path | None = None,
    repaint: Repaint | None = None,
    caption: str | None = None,
    tissue: str | None = None,
    reference: str | None = None,
    split: str | None = None,
    classes: str | None = None,
    overwrite: bool = False,
    device: str = "auto",
    precision: str = "auto",
    workers: int | None = None,
) -> Path:
    """Make pairs with a trained method, or what is missing beside what is given, which is kept as it is.

    Sample k depends on the seed and k alone. An unfinished store of the same command is continued. Returns `out`.

    Args:
        run: the folder of a trained run.
        out: the store to write, with a contact sheet in it.
        n: how many; given sides are used again and again. Unless given: each given side once, or 16 pairs.
        seed: of all randomness.
        size: side of a tile, px at the method's resolution; given tiles are cut into such windows, else kept whole.
        batch: samples that go through the network together; other sizes give the same samples up to rounding. Unless
            given: as many as surely fit (1, 2, 4 ... 16; on a GPU ... 256 where all tiles are of one size), the same
            on the same machine.
        mode: pair, image (for --labels), label (for --images) or inpaint (parts of --tiles); unless given, what is
            given decides: without labels, images or tiles it is pair.
        points: place nuclei where this data has them, or a table of layouts (`nucleosynth layouts sample`, a .parquet
            file).
        counts: make as many nuclei of each class as each tile of this data has.
        proportions: make nuclei that cover as much of a tile, class by class, as in each tile of this data.
        labels: paint an image for each label of this data; diffmix begins from the image that the label has.
        images: find the nuclei of each image of this data.
        tiles: paint a part of each tile of this data anew, a random rectangle unless there are masks; the rest stays.
        hole: the rectangle's share of the tile, above 0 and below 1; 0.3 unless given.
        masks: a folder of PNGs named by sample_id in place of the rectangle, white where a tile is painted anew.
        repaint: both: image and label are kept outside the hole and made anew in it (so it is unless given). image: the
            image is, and a label for the whole tile is made anew. label: the label is, and an image for the whole tile
            is made anew.
        caption: make what this sentence says; beside a given side, in place of each tile's own caption, or by itself.
        tissue: make this tissue, one that the model was trained on; beside any side, in place of each tile's own.
        reference: make images of the stain and style of this picture (PNG, TIFF or JPEG, taken to be at the method's
            resolution), or of the tiles of this data in turn; beside any side but images. Its middle counts, as large
            as a training window.
        split: use only this split of the given data, the reference's too; unless given, all of a side's tiles are used,
            and of a reference's those that `fit` would train on.
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
    check_numbers(n, size, batch, workers)
    data = {"points": points, "counts": counts, "proportions": proportions, "labels": labels, "images": images}
    given = {name: each for name, each in (data | {"tiles": tiles}).items() if each}
    wishes = Wishes(given, split, classes, size, caption, tissue, reference, mode, hole, masks, repaint)
    opened = Run.open(run)
    kind = catalog.load("method", opened.record.method)
    check(wishes, opened, kind)
    fabric = _fabric(device, precision)
    model = kind.load(opened, fabric)
    check_tissue(tissue, model)
    if workers is None:
        workers = spare_cores(fabric.device.type)
    stream = conditions(wishes, model, seed)
    there = sizes(wishes, model, None if n is None or masks else n) if None in (n, batch) or masks else []
    n = n or len(there) or PAIRS
    if batch is None:
        batch = _fitting(kind, model, there or [(size, size) if size else model.size], fabric)
    identity = {
        "method": kind.name,
        "checkpoint": model.origin.checkpoint,
        "seed": seed,
        "size": size,
        "batch": batch,
        **wishes.stated(),
        "split": split,
        "classes": classes,
    }
    rows = batch * -(-ROWS_PER_SHARD // batch)
    with open_for_writing(out, identity, n, rows, overwrite) as store, reading_in(workers):
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


def _fitting(kind: Any, model: Any, there: list[tuple[int, int]], fabric: Any) -> int:
    from nucleosynth.methods.batching import fitting

    return fitting(kind, model, there, fabric.device)


def _fabric(device: str, precision: str) -> Any:
    from nucleosynth.training.device import fabric_for

    return fabric_for(device, precision)
