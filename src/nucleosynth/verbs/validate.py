"""`nucleosynth validate`: every problem of the data in one table, before any of them costs a training."""

from json import dumps
from pathlib import Path

from rich.console import Console
from rich.table import Table
from tyro.conf import Positional

from nucleosynth.curation.validation import Verdict, examine
from nucleosynth.data.findings import PROBLEMS, alike
from nucleosynth.progress import say
from nucleosynth.run import write_whole

SHOWN = 200


def validate(data: Positional[str], *, classes: str | None = None, json: Path | None = None) -> Verdict:
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
    count = len(verdict.problems)
    say(f"{data}: {verdict.images} tiles, {verdict.nuclei} nuclei; {f'{count} problems' if count else 'all is well'}")
    return verdict


def _print(verdict: Verdict) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0), title_justify="left")
    for heading in ("", "file", "what", "how to mend"):
        table.add_column(heading, overflow="fold", ratio=None if not heading else 1)
    rows = list(alike(verdict.findings))
    for finding, count in rows[:SHOWN]:
        where = finding.where + (f" and {count - 1} more" if count > 1 else "")
        style = "bold" if finding.kind in PROBLEMS else ""
        table.add_row(finding.kind, where, finding.text, finding.mend, style=style)
    if rows:
        Console(highlight=False, markup=False).print(table)
    if len(rows) > SHOWN:
        say(f"{len(rows) - SHOWN} more rows; --json FILE has all")
