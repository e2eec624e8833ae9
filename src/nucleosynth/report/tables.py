"""Everything of a study as CSV, in a folder `tables` beside study.json; columns.csv says what each column means."""

from collections.abc import Iterable
from pathlib import Path

from nucleosynth.report import score_tables, tile_tables
from nucleosynth.report.csv_table import Table, text
from nucleosynth.report.results import Results
from nucleosynth.run import write_whole

FOLDER = "tables"
_TILES = (tile_tables.arms, tile_tables.parts, tile_tables.makers, tile_tables.classes)
_SCORES = (
    score_tables.judgements,
    score_tables.scores,
    score_tables.comparisons,
    score_tables.differences,
    score_tables.confusion,
    score_tables.curves,
    score_tables.images,
    score_tables.enough,
)
_LOOKS = (tile_tables.distances, tile_tables.consistency, tile_tables.colours, tile_tables.published)


def write(folder: Path, results: Results) -> Path:
    """Write every table; the folder they lie in."""
    tables = all_tables(results)
    for table in [*tables, _columns(tables)]:
        write_whole(folder / FOLDER / f"{table.name}.csv", text(table))
    return folder / FOLDER


def all_tables(results: Results) -> list[Table]:
    """Every table of a study."""
    return [make(results) for make in (*_TILES, *_SCORES, *_LOOKS)]


def _columns(tables: Iterable[Table]) -> Table:
    head = {"table": "the file, without .csv", "column": "in its first line", "meaning": "what it holds, and its unit"}
    return Table("columns", head, [(t.name, name, meaning) for t in tables for name, meaning in t.columns.items()])
