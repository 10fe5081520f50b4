"""What the suite tells: a row for each fault, live while it runs, and one JSON line at the end."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.spinner import Spinner
from rich.table import Table

from tests.faults.fault import Breach, Fault
from tests.faults.invariants import Account
from tests.faults.scene import Measure


@dataclass(slots=True)
class Row:
    """How one fault went. `account` is None until it has run; `skipped` says why it has not."""

    fault: Fault
    account: Account | None = None
    recovery_seconds: float | None = None
    measures: list[Measure] = field(default_factory=list)
    failure: str = ""
    note: str = ""
    skipped: str = ""
    control: str = ""
    control_broke: bool | None = None

    @property
    def whole(self) -> bool:
        """Whether the promises were kept."""
        return bool(self.skipped) or (self.account is not None and self.account.whole and not self.failure)

    @property
    def good(self) -> bool:
        """Whether they were, and its control broke them."""
        return self.whole and self.control_broke is not False


class Report:
    """All rows, on the terminal."""

    def __init__(self, rows: Sequence[Row], *, quiet: bool) -> None:
        self.rows = rows
        self._quiet = quiet
        self._console = Console(stderr=True, quiet=quiet)
        if not self._console.is_terminal:
            self._console = Console(stderr=True, quiet=quiet, width=200)  # a log has no edge
        self._live: Live | None = None
        self._step = ""

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show the rows while they come, and all of them at the end."""
        try:
            if self._console.is_terminal:
                with Live(console=self._console, refresh_per_second=4, get_renderable=self._picture, transient=True) as self._live:
                    yield
            else:
                yield
        finally:
            self._live = None
            self._show_all()

    def _show_all(self) -> None:
        self._console.print(self._table())
        for row in self.rows:
            for line in (row.failure, *(row.account.examples if row.account else ())):
                if line:
                    self._console.print(f"[red]{row.fault.name}[/]: {escape(line)}")

    def tell(self, step: str) -> None:
        """Say what is happening."""
        self._step = step
        if self._live is None and not self._quiet:
            self._console.print(f"[dim]{escape(step)}[/]")

    def _picture(self) -> Table:
        grid = Table.grid()
        grid.add_row(self._table())
        grid.add_row(Spinner("dots", text=self._step, style="cyan"))
        return grid

    def _table(self) -> Table:
        table = Table(header_style="bold", pad_edge=False)
        table.add_column("fault", no_wrap=True)
        for name in ("events", *(breach.value for breach in Breach if breach is not Breach.OVER), "recovery s"):
            table.add_column(name, justify="right", no_wrap=True)
        table.add_column("measured")
        table.add_column("its control")
        for row in self.rows:
            if row.account is not None or row.skipped or row.failure:
                table.add_row(*_cells(row))
        return table

    def last_line(self, **more: object) -> str:
        """The JSON object that ends the run."""
        ran = [row for row in self.rows if row.account is not None]
        sums = {breach.value: sum(row.account.breaches[breach] for row in ran if row.account) for breach in Breach}
        return json.dumps(
            {
                "faults": len(ran),
                "events": sum(row.account.accepted for row in ran if row.account),
                **sums,
                "slowest_recovery_seconds": round(max((row.recovery_seconds or 0.0 for row in ran), default=0.0), 1),
                "controls": sum(row.control_broke is not None for row in self.rows),
                "controls_not_broken": [row.fault.name for row in self.rows if row.control_broke is False],
                "failed": [row.fault.name for row in self.rows if not row.whole],
                "not_run": {row.fault.name: row.skipped for row in self.rows if row.skipped},
                **more,
            },
            ensure_ascii=False,
        )


def _cells(row: Row) -> list[str]:
    if row.account is None:
        return [row.fault.name, "", "", "", "", "", "", escape(row.skipped or row.failure.splitlines()[0]), escape(row.control)]
    counts = [row.account.breaches[breach] for breach in Breach if breach is not Breach.OVER]
    recovery = "" if row.recovery_seconds is None else f"{row.recovery_seconds:.1f}"
    measured = ", ".join([*(f"{each.name} {each.value:g} ≤ {each.bound:g}" for each in row.measures), *filter(None, [row.note])])
    style = {True: "green", False: "bold red", None: "dim"}[row.control_broke]
    return [
        row.fault.name if row.whole else f"[bold red]{row.fault.name}[/]",
        f"{row.account.accepted:,}",
        *(f"[bold red]{count}[/]" if count else "[green]0[/]" for count in counts),
        recovery,
        escape(measured),
        f"[{style}]{escape(row.control)}[/]",
    ]


def say(line: str) -> None:
    """Print a line of the result itself."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
