"""Tables of text (CSV) as people and programs write them: commas, semicolons or tabs, a byte order mark or none.

Every row has as many fields as the header; its place in the file comes with it, for messages.
"""

import csv
import io
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from nucleosynth.data.files import whole
from nucleosynth.errors import UserError

LONGEST_FIELD = 1 << 30
DELIMITERS = ",;\t"
Row = tuple[str, dict[str, str]]
"""Where it stands (file and line), and its fields by column."""


class Table(NamedTuple):
    """The columns of a table and its rows."""

    columns: list[str]
    rows: list[Row]


def read_table(path: Path, folder: Path, columns: Collection[str]) -> Table:
    """A table in a file inside `folder`, that has at least these columns.

    Raises:
        UserError: no such file, not UTF-8, a column is missing, or a row with more or fewer fields than the header.
    """
    before = csv.field_size_limit(LONGEST_FIELD)
    try:
        text = whole(path, folder).decode("utf-8-sig")
        delimiter = max(DELIMITERS, key=text.partition("\n")[0].count)
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        names = [name.strip() for name in reader.fieldnames or ()]
        lacking = [name for name in columns if name not in names]
        if lacking:
            raise UserError(
                "not the table that is wanted",
                expected=f"columns {', '.join(columns)}",
                got=", ".join(names) or "an empty file",
                where=str(path),
                mend=f"name the column {lacking[0]}",
            )
        reader.fieldnames = names
        rows = ((f"{path}, line {reader.line_num}", row) for row in reader)
        return Table(names, [(where, _whole_row(row, where)) for where, row in rows])
    except (csv.Error, UnicodeDecodeError) as error:
        raise UserError(
            "a broken table",
            expected="rows of text in UTF-8",
            got=str(error),
            where=str(path),
            mend="save it again as CSV UTF-8",
        ) from error
    finally:
        csv.field_size_limit(before)


def is_number(text: str) -> bool:
    """Whether a field is a whole number of 1 to 18 plain digits."""
    return text.isascii() and text.isdigit() and len(text) <= 18


def _whole_row(row: dict[str, str], where: str) -> dict[str, str]:
    if None in row or None in row.values():
        got = "more" if None in row else "fewer"
        raise UserError(
            "a bad row", expected="as many fields as the header has", got=got, where=where, mend="correct the table"
        )
    return row
