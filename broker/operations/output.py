"""What all commands share: the option that names exchange.toml, tables for people and one JSON document for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

DEFAULT_CONFIG = Path("exchange.toml")
PIPE_COLUMNS = 140


def _default_config() -> Path:
    return DEFAULT_CONFIG


# A parameter `config: ConfigOption` needs no default of its own: the default, the environment variable and the help stand here.
ConfigOption = Annotated[
    Path,
    typer.Option(
        "--config",
        "-c",
        envvar="PANJ_CONFIG",
        default_factory=_default_config,
        show_default=str(DEFAULT_CONFIG),
        help="This administration's exchange.toml.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document, for programs.")]


def console(*, stderr: bool = False) -> Console:
    """Give a console that is wide enough for tables where it has no width of its own: in a pipe, a file or a log."""
    from rich.console import Console  # noqa: PLC0415  costs 50 ms, which `panj --help` need not pay

    made = Console(stderr=stderr, emoji=False)  # else it draws a pictogram for the middle of every URN: `:customs:` is one
    if not made.is_terminal:
        made.width = PIPE_COLUMNS
    return made


def print_json(document: object) -> None:
    """Print exactly one JSON document and a newline to standard output; what JSON does not know (paths, instants) as text."""
    typer.echo(json.dumps(document, ensure_ascii=False, indent=2, default=str))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str | None = None, stderr: bool = False) -> None:
    """Print a table to standard output, or standard error. Cells are shown as they are: square brackets in them are no markup."""
    from rich.markup import escape  # noqa: PLC0415  costs 50 ms, which `panj --help` need not pay
    from rich.table import Table  # noqa: PLC0415  as above

    table = Table(title=title, title_justify="left", header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(escape("" if cell is None else str(cell)) for cell in row))
    console(stderr=stderr).print(table)
