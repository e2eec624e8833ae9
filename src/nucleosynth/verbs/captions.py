"""`nucleosynth captions`: what tiles show, in a sentence each, written into a store."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from json import dumps
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

from nucleosynth.conditions import captions as cosyn
from nucleosynth.conditions.pathology_captions import PathologyCaptions, census_of
from nucleosynth.data import store
from nucleosynth.data.findings import keeping
from nucleosynth.data.reader import read
from nucleosynth.data.splits import TRAIN, to_train_on
from nucleosynth.data.tables import read_table
from nucleosynth.errors import UserError
from nucleosynth.progress import count_of, say
from nucleosynth.run import write_whole
from nucleosynth.sample import Sample
from nucleosynth.verbs.options import Data

SHOWN = 20
"""Captions that are printed, the most frequent; --json has all."""


def captions(
    data: Data,
    *,
    style: Literal["cgpn", "cosyn"] = "cgpn",
    out: Path | None = None,
    table: Path | None = None,
    anew: bool = False,
    split: str | None = None,
    classes: str | None = None,
    json: Path | None = None,
    overwrite: bool = False,
) -> dict[str, str]:
    """Say what each tile shows, in the words that methods are conditioned on; show the sentences, and keep them.

    A tile that has a caption keeps it. A sentence is of the tile as it is; methods make it for each of their windows
    where a tile has none, so write captions of tiles cut to the windows' size (`nucleosynth tiles`). Returns the
    captions by sample id.

    Args:
        data: the labelled tiles: name:path, or the path of a store; names are in `nucleosynth list`.
        style: cgpn (CGPN-GAN's: few, several, many by the percentiles of that tissue and type over the training tiles:
            those of split "train" where there is one, else those of --split, else all that are not held out by name)
            or cosyn (CoSyn's: the types that occur).
        out: write the tiles with their captions as a store, which every method reads.
        table: your own captions, which go first: a CSV file with the columns sample_id and caption.
        anew: make sentences for tiles that have a caption of their own, too.
        split: only the tiles of this official split, or of several (fold1,fold2).
        classes: read them in this class scheme: a name of `nucleosynth list`, or a TOML file.
        json: write captions, and the percentiles of cgpn, to this file.
        overwrite: replace the store that is there.

    Raises:
        UserError: data or a table that cannot be read, a table with captions of tiles that are not there, or an output
            folder that is taken.
    """
    own = _own(table) if table else {}
    counted = _counted(data, split, classes) if style == "cgpn" else None
    tell: Callable[[Sample], str] = counted.of_sample if counted else cosyn.of_sample
    said: dict[str, str] = {}

    def told() -> Iterator[Sample]:
        for sample in read(data, split, classes):
            bare = replace(sample, caption="") if anew else sample
            said[sample.sample_id] = own.get(sample.sample_id) or tell(bare)
            yield replace(sample, caption=said[sample.sample_id])
        _check_all_used(own, said, table)

    if out:
        say(f"{count_of(store.write(told(), out, overwrite), 'tile')} with captions written to {out}")
    else:
        for _ in told():
            pass
    if json:
        facts = {"percentiles": counted.model_dump(mode="json")["spreads"]} if counted else {}
        write_whole(json, dumps({"style": style, "captions": said, **facts}, indent=1))
    _print(said.values(), data)
    return said


def _counted(data: str, split: str | None, classes: str | None) -> PathologyCaptions:
    """What few and many are among the tiles of split "train", else those asked for, else all that are not held out."""
    whole = [(each.split, each.tissue, census_of(each)) for each in read(data, None, classes, keeping([]))]
    there = {of for of, *_ in whole}
    if split is not None and TRAIN not in there:
        return PathologyCaptions.of_counts(
            (each.tissue, census_of(each)) for each in read(data, split, classes, keeping([]))
        )
    chosen = to_train_on(there) or there
    return PathologyCaptions.of_counts((tissue, nuclei) for of, tissue, nuclei in whole if of in chosen)


def _own(path: Path) -> dict[str, str]:
    """A user's own captions by sample id.

    Raises:
        UserError: no such table, or a tile in it twice.
    """
    found: dict[str, str] = {}
    for where, row in read_table(path, path.parent, ("sample_id", "caption")).rows:
        if row["sample_id"] in found:
            raise UserError(
                "a tile with two captions",
                expected="one row a tile",
                got=row["sample_id"],
                where=where,
                mend="keep one",
            )
        found[row["sample_id"]] = row["caption"].strip()
    return found


def _check_all_used(own: dict[str, str], said: dict[str, str], table: Path | None) -> None:
    absent = [name for name in own if name not in said]
    if absent:
        raise UserError(
            "captions of tiles that are not there",
            expected=f"sample ids as {next(iter(said), 'none')!r}",
            got=f"{absent[0]!r}" + (f" and {len(absent) - 1} more" if len(absent) > 1 else ""),
            where=str(table),
            mend="see the ids by --json without --table, or read all splits",
        )


def _print(said: Iterable[str], data: str) -> None:
    counts: Counter[Any] = Counter(said)
    shown = Table(title=f"{data}: {count_of(len(counts), 'caption')}", title_justify="left", box=None)
    shown.add_column("tiles", justify="right")
    shown.add_column("caption", overflow="fold")
    for caption, count in counts.most_common(SHOWN):
        shown.add_row(str(count), caption)
    console = Console(highlight=False, markup=False)
    console.print(shown)
    if len(counts) > SHOWN:
        console.print(f"and {len(counts) - SHOWN} more")
