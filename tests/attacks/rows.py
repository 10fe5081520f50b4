"""What an attack came to, as a row: what was tried, how often, what got in and what crashed; and how the rows are told."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

_SHOWN = 3  # failures told in full under the table, for each row


@dataclass(frozen=True, slots=True)
class Row:
    """One attack. `control`: whether the same check, with its defence taken away, was seen to fail; None where another row's control
    covers it. `failures` say what got in or crashed, well enough to do it again.
    """

    family: str
    attack: str
    tries: int
    got_in: int = 0
    crashed: int = 0
    control: bool | None = None
    note: str = ""
    failures: tuple[str, ...] = ()

    @property
    def held(self) -> bool:
        """Whether the defence held, and was seen to be able not to."""
        return not self.got_in and not self.crashed and self.control is not False and self.tries > 0


def named(attack: object) -> str:
    """What a function tries, in its own words."""
    words = " ".join(str(attack.__doc__).split()).rstrip(".")
    return words[0].lower() + words[1:]


def say_table(rows: Sequence[Row], console: Console) -> None:
    """Print the rows, and under them each failure."""
    table = Table(header_style="bold", pad_edge=False)
    table.add_column("family")
    table.add_column("what was tried", overflow="fold")
    for heading in ("tries", "got in", "crashed"):
        table.add_column(heading, justify="right")
    table.add_column("control")
    table.add_column("seen", overflow="fold")
    for row in rows:
        style = None if row.held else "bold red"
        control = {None: "", True: "fails as it must", False: "NOT SEEN TO FAIL"}[row.control]
        table.add_row(row.family, row.attack, f"{row.tries:,}", str(row.got_in), str(row.crashed), control, row.note, style=style)
    console.print(table)
    for row in rows:
        for failure in row.failures[:_SHOWN]:
            console.print(f"{row.family}: {row.attack}: {failure}", style="red", markup=False, soft_wrap=True)


def last_line(rows: Sequence[Row]) -> str:
    """The last line of a run: one JSON object."""
    return json.dumps(
        {
            "attacks": len(rows),
            "tries": sum(row.tries for row in rows),
            "got_in": sum(row.got_in for row in rows),
            "crashed": sum(row.crashed for row in rows),
        }
    )


def all_held(rows: Iterable[Row]) -> bool:
    """Whether every defence held and every control was seen to fail."""
    return all(row.held for row in rows)
