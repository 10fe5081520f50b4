"""What the demo shows: a live table of both directions while it runs, and the table at its end."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Group
from rich.table import Table
from rich.text import Text

from deploy.demo.tally import Tally

COLUMNS = ("accepted", "relayed", "loaded", "refused", "held", "parked", "duplicates", "settled", "lost")


def live(tallies: Mapping[str, Tally], step: str, seconds: float) -> Group:
    """The picture while it runs."""
    return Group(_table(tallies, final=False), Text(f"{seconds:5.1f} s  {step}", style="cyan"))


def final(tallies: Mapping[str, Tally], seconds: float) -> Table:
    """The table at the end."""
    table = _table(tallies, final=True)
    table.caption = f"{seconds:.0f} s in all; parked counts messages, the other columns events"
    return table


def _table(tallies: Mapping[str, Tally], *, final: bool) -> Table:
    table = Table(header_style="bold", pad_edge=False)
    table.add_column("direction", no_wrap=True)
    for column in COLUMNS:
        if column != "lost" or final:
            table.add_column(column, justify="right", no_wrap=True)
    for direction, each in tallies.items():
        cells = [direction]
        for column in COLUMNS:
            if column == "lost" and not final:
                continue  # on its way is not lost: it can be said only when all is quiet
            cells.append(_cell(column, getattr(each, column)))
        table.add_row(*cells)
    return table


def _cell(column: str, value: int) -> str:
    if column == "lost" and value:
        return f"[bold red]{value}[/]"
    if column in ("refused", "held", "parked") and value:
        return f"[yellow]{value}[/]"
    return f"[green]{value}[/]" if column in ("loaded", "settled") and value else str(value)
