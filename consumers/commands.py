"""`panj customs`: run the customs house, look after its database, and show a declaration. Held and parked: `panj held`, `panj parked`."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table
from sqlalchemy import Connection, Engine, select

from broker import logs
from broker.audit import actor
from broker.daemon import stop_on_signals
from broker.operations.output import ConfigOption, console, print_json
from broker.settings.load import load_settings
from consumers import migrations
from consumers.clock import now_utc
from consumers.database import open_engine
from consumers.house import house_of, run_house
from consumers.loaders.following.commands import commands as follow_commands
from consumers.loaders.record.tables import declaration_item
from consumers.operations import reading
from consumers.purposes import stated_purposes
from consumers.reading import Record, note_reading, record_for

commands = typer.Typer(no_args_is_help=True, help="The customs house: receive, load and answer.")
database = typer.Typer(no_args_is_help=True, help="The house's database: its tables and their revisions.")
commands.add_typer(database, name="database")
commands.add_typer(follow_commands, name="follow")

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@commands.command()
def run(
    config: ConfigOption,
    trust_clock: Annotated[
        bool,
        typer.Option("--trust-clock", help="Work although the clock stands before what was written down: it had run ahead and is right."),
    ] = False,
) -> None:
    """Run the customs house: open, verify, validate, load, answer. SIGTERM finishes the batch in hand and ends with 0."""
    stop = stop_on_signals()
    settings = load_settings(config)
    logs.configure(settings.log_format)
    run_house(settings, stop, trust_clock=trust_clock)


@database.command("upgrade")
def upgrade(config: ConfigOption, revision: Annotated[str, typer.Argument(help="A revision; the newest by default.")] = "head") -> None:
    """Bring the database to the newest revision, or to the one given. Back it up first."""
    engine = _engine(config)
    migrations.upgrade(engine, revision)
    _tell_revision(engine)


@database.command("downgrade")
def downgrade(
    config: ConfigOption,
    revision: Annotated[str, typer.Argument(help='An older revision; "base" drops every table and all that is in them.')],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Take the database back to an older revision. What only newer tables hold is lost."""
    if not yes:
        typer.confirm(f"Go back to {revision}? What only newer tables hold is lost.", abort=True)
    engine = _engine(config)
    migrations.downgrade(engine, revision)
    _tell_revision(engine)


@database.command("current")
def current(config: ConfigOption) -> None:
    """Tell the revision that the database has and the one that this software needs; ends with 1 where they differ."""
    if _tell_revision(_engine(config)) != migrations.newest_revision():
        raise typer.Exit(1)


@commands.command("declaration")
def show_declaration(
    reference: Annotated[str, typer.Argument(help="A declaration's reference, such as TJ/PNJ/2026/1.")],
    config: ConfigOption,
    purpose: Annotated[
        str | None, typer.Option("--purpose", help="For which you read it; by default for those that the house's consumers state.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show a declaration as it stands now: its highest version, its status, its items. Ends with 1 where none is loaded.

    Only what was released for the purpose is shown, and the audit trail keeps who read it.
    """
    house = house_of(load_settings(config))
    purposes = stated_purposes(house) if purpose is None else frozenset({purpose})
    found = None
    with reading(house.database, noted=True) as connection:
        if connection is not None:
            found = _declaration(connection, reference, record_for(purposes))
            note_reading(connection, actor(), "declaration", purposes, int(found is not None), {"reference": reference}, now_utc())
    if found is None:
        told = "" if purposes is None else f" for {', '.join(sorted(purposes))}"
        console(stderr=True).print(f"No declaration {escape(reference)} is loaded here{escape(told)}.")
        raise typer.Exit(1)
    if as_json:
        print_json(found)
        return
    table = Table("field", "value", title=f"{reference} version {found['version']}: {found['status']}", title_justify="left")
    for field, value in found.items():
        if value not in (None, [], {}) and field != "items":
            table.add_row(field, escape(str(value)))
    for item in found["items"]:
        table.add_row(
            f"item {item['number']}", escape(", ".join(f"{key} {value}" for key, value in item.items() if value not in (None, [])))
        )
    console().print(table)


def _declaration(connection: Connection, reference: str, record: Record) -> dict[str, Any] | None:
    current = record.current_declarations
    row = connection.execute(select(current).where(current.c.reference == reference)).mappings().first()
    if row is None:
        return None
    items = connection.execute(
        select(declaration_item).where(declaration_item.c.event_id == row["event_id"]).order_by(declaration_item.c.number)
    ).mappings()
    plain = {key: _plain(value) for key, value in row.items() if key != "status"}
    listed = [{key: _plain(value) for key, value in item.items() if key != "event_id"} for item in items]
    return {"status": row["status"], **plain, "items": listed}


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, (str, int, bool, list, dict)) else str(value)


def _engine(config: Any) -> Engine:
    engine = open_engine(house_of(load_settings(config)).database)
    return engine


def _tell_revision(engine: Engine) -> str | None:
    revision = migrations.current_revision(engine)
    console().print(f"revision {revision or 'none (an empty database)'}; this software needs {migrations.newest_revision()}")
    return revision
