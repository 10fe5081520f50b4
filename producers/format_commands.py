"""`panj formats`: the formats that declarations are read from and written in, and what each element of theirs becomes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from broker.operations.output import JsonOption, print_json, print_table
from producers.formats.columns_files import load_columns
from producers.formats.proposing import propose
from producers.formats.reading import HEAD_BYTES, TableFormat, WritableFormat
from producers.formats.registry import format_named, load_formats
from schemas.errors import UsageError

commands = typer.Typer(name="formats", help="The formats that declarations are read from, and their mappings.")


@commands.callback(invoke_without_command=True)
def list_formats(context: typer.Context, as_json: JsonOption = False) -> None:
    """List the formats, or print the mapping of one ('panj formats describe NAME')."""
    if context.invoked_subcommand is not None:
        return
    found = load_formats()
    if as_json:
        print_json([{"name": one.name, "title": one.title, "writes": isinstance(one, WritableFormat)} for one in found])
    else:
        rows = [(one.name, one.title, "reads and writes" if isinstance(one, WritableFormat) else "reads") for one in found]
        print_table(("format", "what it is", ""), rows)


@commands.command()
def describe(
    name: Annotated[str, typer.Argument(help="A format's name.", show_default=False)],
    columns: Annotated[Path | None, typer.Option(help="A mapping file of CSV and Excel files: print what it says.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Print a format's mapping: source path, field, unit, rule.

    That of CSV and Excel files stands in a mapping file (--columns); without one, the fields are told that a column may fill.
    """
    found = format_named(name, load_formats())
    if columns is not None and not isinstance(found, TableFormat):
        raise UsageError("columns-needless", "only formats of rows have a mapping file", field="--columns", value=columns)
    rows = found.describe() if columns is None else load_columns(columns, proposals=True).describe()
    if as_json:
        print_json([{"source": row.source, "field": row.field, "unit": row.unit, "rule": row.rule} for row in rows])
    else:
        print_table(("source", "field", "unit", "rule"), [(row.source, row.field, row.unit, row.rule) for row in rows])


@commands.command("columns")
def propose_columns(file: Annotated[Path, typer.Argument(help="A CSV or Excel file.", show_default=False)]) -> None:
    """Propose a mapping file from a table's header, for you to read over: columns whose names are known are given their fields.

    It is printed as TOML, and is not taken before its line 'proposal = true' is removed.
    """
    try:
        with file.open("rb") as stream:
            head = stream.read(HEAD_BYTES)
            tables = [one for one in load_formats() if isinstance(one, TableFormat) and one.may_be(head)]
            if not tables:
                raise UsageError("columns-needless", "neither a CSV nor an Excel file", field=str(file))
            typer.echo(propose(tables[0].header(stream)), nl=False)
    except OSError as error:
        raise UsageError("file-unreadable", f"the file cannot be read: {error.strerror}", field=str(file)) from None
