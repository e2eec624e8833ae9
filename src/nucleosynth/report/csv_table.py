"""A table as CSV: RFC 4180, commas, CRLF, quotes where they are needed; decimal points, all digits; an empty field is a
number that is not defined."""

import csv
import io
from collections.abc import Sequence
from typing import Any, NamedTuple

JUDGE = {
    "arm": "its name in arms.csv",
    "fold": "of the data",
    "fraction": "of the labelled nuclei, asked",
    "seed": "of the judge",
}
METRIC = {"metric": "its name; of all nuclei, or f_CLASS and the like of one class"}


class Table(NamedTuple):
    """A file: its name without .csv, what each column means, and its rows."""

    name: str
    columns: dict[str, str]
    rows: Sequence[Sequence[Any]]


def text(table: Table) -> str:
    """A table as CSV."""
    whole = io.StringIO()
    writer = csv.writer(whole, lineterminator="\r\n")
    writer.writerow(table.columns)
    writer.writerows([_field(value) for value in row] for row in table.rows)
    return whole.getvalue()


def _field(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return ";".join(map(str, value)) if isinstance(value, tuple) else value
