"""`nucleosynth validate`: every problem of the data in one table, before any of them costs a training."""

from json import dumps
from pathlib import Path

from rich.console import Console
from rich.table import Table

from nucleosynth.curation.validation import Verdict, examine
from nucleosynth.data.findings import PROBLEMS, alike
from nucleosynth.progress import count_of, say
from nucleosynth.run import write_whole
from nucleosynth.verbs.options import Data

SHOWN = 200


def validate(data: Data, *, classes: str | None = None, json: Path | None = None) -> Verdict:
    """List every problem of some data: file, what is wrong, how to mend it. Exit code 0 when all is well, else 2.

    Problems are tiles that cannot be read, parts that are missing, and what may spoil a study: a tile that is there
    twice, a source in two splits, labels that do not lie on the image's nuclei. What reading mends or leaves out (such
    as overlaps) is told as well and is no problem. Returns the verdict.

    Args:
        data: what to read: name:path, or the path of a store; names are in `nucleosynth list`.
        classes: read them in this class scheme: a name of `nucleosynth list`, or a TOML file.
        json: write the findings to this file.

    Raises:
        UserError: an unknown data set or class scheme.
    """
    verdict = examine(data, classes)
    if json:
        write_whole(json, dumps(verdict.numbers(), indent=1))
    _print(verdict)
    said = count_of(len(verdict.problems), "problem") if verdict.problems else "all is well"
    say(f"{data}: {count_of(verdict.images, 'tile')}, {verdict.nuclei} nuclei; {said}")
    return verdict


def _print(verdict: Verdict) -> None:
    """A row for all findings that say the same: kind, the first file, what is wrong and, below it, how to mend it."""
    table = Table(box=None, padding=(0, 2, 1, 0), title_justify="left")
    for heading, ratio in (("", None), ("file", 2), ("what, and how to mend it", 3)):
        table.add_column(heading, overflow="fold", ratio=ratio)
    rows = list(alike(verdict.findings))
    for finding, count in rows[:SHOWN]:
        where = "all of it" if finding.where == verdict.data else finding.where
        where += f"\nand {count - 1} more" if count > 1 else ""
        what = finding.text + (f"\n{finding.mend}" if finding.mend else "")
        table.add_row(finding.kind, where, what, style="bold" if finding.kind in PROBLEMS else "")
    if rows:
        Console(highlight=False, markup=False).print(table)
    if len(rows) > SHOWN:
        say(f"{len(rows) - SHOWN} more rows; --json FILE has all")
