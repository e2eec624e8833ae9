"""`nucleosynth list`: the catalog, as a table for each kind."""

from rich.console import Console
from rich.table import Table

from nucleosynth.catalog import CATALOG


def list() -> None:
    """What there is: verbs, data sets, formats, methods, judges and metrics, with papers and licences."""
    console = Console(highlight=False)
    for kind, entries in CATALOG.items():
        table = Table(title=f"{kind}s", title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0))
        for heading in ("name", "what", "paper", "licence"):
            table.add_column(heading, overflow="fold")
        for entry in entries:
            table.add_row(entry.name, entry.line, entry.paper, entry.licence)
        console.print(table, markup=False)
        console.print()
