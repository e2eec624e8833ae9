"""Tables of text (CSV) as people and programs write them: commas, semicolons or tabs, a byte order mark or none.

Columns are known by their names in any case and spacing, or by other names that programs give them. Every row has as
many fields as the header; its place in the file comes with it, for messages. Rows without anything in them are passed
over, as spreadsheets leave them.
"""

import csv
import io
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from nucleosynth.data.files import whole
from nucleosynth.errors import UserError

LONGEST_FIELD = 1 << 30
DELIMITERS = ",;\t"
NO_ALIASES: Mapping[str, Sequence[str]] = MappingProxyType({})
Row = tuple[str, dict[str, str]]
"""Where it stands (file and line), and its fields by column."""


class Table(NamedTuple):
    """The columns of a table and its rows, and what stands between its fields."""

    columns: list[str]
    rows: list[Row]
    delimiter: str = ","

    def with_point(self, number: str) -> str:
        """A number with a decimal point, where the table has room for a decimal comma."""
        return number if self.delimiter == "," or "." in number else number.replace(",", ".", 1)


def read_table(
    path: Path, folder: Path, columns: Collection[str], aliases: Mapping[str, Sequence[str]] = NO_ALIASES
) -> Table:
    """A table in a file inside `folder`, that has at least these columns.

    aliases: other names of a column, needed or not; its own name goes first, then the first alias that is there. Rows
    and columns come with the column's own name.

    Raises:
        UserError: no such file, not UTF-8, a column is missing or there twice, or a row with more or fewer fields than
            the header.
    """
    before = csv.field_size_limit(LONGEST_FIELD)
    try:
        text = whole(path, folder).decode("utf-8-sig")
        delimiter = max(DELIMITERS, key=next((line for line in text.splitlines() if line.strip()), "").count)
        filled = _filled(text, delimiter)
        _, header = next(filled, (0, []))
        names = _named(header, columns, aliases, str(path))
        lacking = [name for name in columns if name not in names]
        if lacking:
            raise UserError(
                "not the table that is wanted",
                expected=f"columns {', '.join(columns)}",
                got=", ".join(names) or "an empty file",
                where=str(path),
                mend=f"name the column {lacking[0]}",
            )
        return Table(names, [_row(names, fields, f"{path}, line {line}") for line, fields in filled], delimiter)
    except (csv.Error, UnicodeDecodeError) as error:
        raise UserError(
            "a broken table",
            expected="rows of text in UTF-8",
            got=str(error),
            where=str(path),
            mend="save it again as CSV UTF-8; in Excel: Save As, CSV UTF-8 (Comma delimited)",
        ) from error
    finally:
        csv.field_size_limit(before)


def is_number(text: str) -> bool:
    """Whether a field is a whole number of 1 to 18 plain digits."""
    return text.isascii() and text.isdigit() and len(text) <= 18


def _filled(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The rows that hold anything, each with the number of its last line."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    for fields in reader:
        if any(field.strip() for field in fields):
            yield reader.line_num, fields


def _named(
    header: Sequence[str], columns: Collection[str], aliases: Mapping[str, Sequence[str]], where: str
) -> list[str]:
    """The header with columns under their own names."""
    names = [name.strip() for name in header]
    plain = [name.casefold() for name in names]
    for column in dict.fromkeys([*columns, *aliases]):
        known = [name.casefold() for name in (column, *aliases.get(column, ()))]
        there = next((name for name in known if name in plain), None)
        if there is not None and plain.count(there) > 1:
            raise UserError(
                "a column twice",
                expected=f"one column {column}",
                got=", ".join(names),
                where=where,
                mend="remove or rename one of them",
            )
        if there is not None:
            names[plain.index(there)] = column
    return names


def _row(names: Sequence[str], fields: Sequence[str], where: str) -> Row:
    if len(fields) != len(names):
        got = "more" if len(fields) > len(names) else "fewer"
        raise UserError(
            "a bad row", expected="as many fields as the header has", got=got, where=where, mend="correct the table"
        )
    return where, dict(zip(names, fields, strict=True))
