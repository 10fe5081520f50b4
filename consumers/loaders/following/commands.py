"""`panj customs follow`: how followers stand, what they could not write and why; to carry on at once, and to have them do things again."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from sqlalchemy import ColumnElement, Connection, func, select

from broker import audit
from broker.operations.instants import parse_instant
from broker.operations.output import ConfigOption, JsonOption, print_json, print_table
from broker.settings.code_lists import apply_lists
from broker.settings.followers import AnyFollower
from broker.settings.load import load_settings
from broker.settings.model import House
from broker.trust.keys import write_atomically
from broker.trust.sealing import DecryptionKeys
from consumers.database import open_engine
from consumers.loaders.following import ledger
from consumers.loaders.following.metrics import exposition
from consumers.loaders.following.tables import followed
from consumers.loaders.following.values import Done, Outcome
from consumers.loaders.following.worker import FollowerWorker
from consumers.migrations import make_ready
from consumers.operations import reading
from consumers.reading import note_reading
from consumers.tables import audit as trail
from consumers.tables import inbox
from schemas.errors import SettingsError, UsageError
from schemas.event import utc_text

commands = typer.Typer(no_args_is_help=True, help="What carries loaded declarations on into the national system.")

NameArgument = Annotated[str, typer.Argument(help="A follower's name, as exchange.toml has it.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]


@commands.command()
def status(
    config: ConfigOption,
    name: Annotated[str | None, typer.Argument(help="One follower; all by default.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Show at most so many that could not be written.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """Show how far behind each follower is, what it has done, and what it could not write. Ends with 1 where something needs a person."""
    settings = load_settings(config)
    house = _house_of(settings.house)
    shown: list[dict[str, Any]] = []
    with reading(house.database) as connection:
        for follower in _chosen(house, name):
            if connection is not None:
                stands = ledger.standing(connection, follower)
                shown.append(_told(follower, stands, ledger.failures(connection, follower.name, limit)))
    if as_json:
        print_json(shown)
    else:
        columns = ("follower", "kind", "purpose", "behind", "oldest waits since", *(each.value for each in Outcome), "hindered by")
        print_table(columns, ([_cell(each, column) for column in columns] for each in shown))
        for each in shown:
            _print_failures(each)
    raise typer.Exit(1 if any(each["trouble"] or each["failed"] for each in shown) else 0)


@commands.command()
def metrics(
    config: ConfigOption,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write them into this file, in one step, and print nothing.", dir_okay=False)
    ] = None,
) -> None:
    """Tell how followers stand as metrics for Prometheus, in its text format: for a collector that reads files, such as node_exporter's."""
    settings = load_settings(config)
    house = _house_of(settings.house)
    with reading(house.database) as connection:
        standings = [] if connection is None else [ledger.standing(connection, follower) for follower in house.followers]
    text = exposition(settings.house_party.unit, standings, _now())
    if out is not None:
        write_atomically(out, text.encode())
    else:
        typer.echo(text, nl=False)


@commands.command()
def now(
    config: ConfigOption,
    name: Annotated[str | None, typer.Argument(help="One follower; all by default.")] = None,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Carry on now what waits, without the daemon or beside it. Ends with 1 where something could not be written."""
    settings = load_settings(config)
    house = _house_of(settings.house)
    apply_lists(settings.code_lists)
    if dry_run:
        _show_waiting(house, name, as_json=as_json)
        return
    engine = open_engine(house.database)
    make_ready(engine)
    done: list[tuple[str, Done]] = []
    for follower in _chosen(house, name):
        worker = FollowerWorker(follower, engine, threading.Event(), DecryptionKeys.load(house))
        carried = worker.carry_on_all()
        with engine.begin() as connection:
            what = f"follower {follower.name}"
            note_reading(connection, audit.actor(), what, [follower.purpose], len(carried), {"types": list(follower.types)}, _now())
        done += [(follower.name, one) for one in carried]
    engine.dispose()
    rows = [
        {"follower": follower, "event": one.event_id, "outcome": one.outcome.value, "detail": one.detail, "code": _code(one)}
        for follower, one in done
    ]
    if as_json:
        print_json(rows)
    else:
        print_table(("follower", "event", "outcome", "detail"), ([row[column] for column in list(row)[:4]] for row in rows))
    raise typer.Exit(1 if any(one.outcome is Outcome.FAILED for _, one in done) else 0)


@commands.command()
def again(
    name: NameArgument,
    config: ConfigOption,
    reason: Annotated[str, typer.Option("--reason", help="Why; the audit trail keeps it.")] = "",
    since: Annotated[str | None, typer.Option("--since", metavar="INSTANT", help="What was done since then, such as 2026-11-24.")] = None,
    reference: Annotated[str | None, typer.Option("--reference", help="What was done with this declaration.")] = None,
    failed: Annotated[bool, typer.Option("--failed", help="What could not be written.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Everything from the beginning.")] = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Have a follower do again what it did: after its folder or tables were lost, or what failed has been mended.

    Files that are there already stay as they are; rows are written over.
    """
    house = _house_of(load_settings(config).house)
    (follower,) = _chosen(house, name)
    which, chosen = _which(since, reference, failed, everything)
    words = "" if dry_run else audit.worded(reason)
    engine = open_engine(house.database)
    make_ready(engine)
    with engine.begin() as connection:
        ledger.take(connection, follower.name)
        if dry_run:
            query = select(func.count()).select_from(followed).where(followed.c.follower == follower.name, *which)
            count = int(connection.execute(query).scalar_one())
        else:
            count = ledger.forget(connection, follower.name, *which)
            act = audit.Act(audit.actor(), "follower.set_back", follower.name, words, {"events": count, **chosen})
            audit.append(connection, trail, act, _now())
    engine.dispose()
    if as_json:
        print_json({"follower": follower.name, "events": count, "dry_run": dry_run})
    else:
        typer.echo(f"{follower.name}: {count} events {'would be' if dry_run else 'will be'} done again.")


def _which(since: str | None, reference: str | None, failed: bool, everything: bool) -> tuple[list[ColumnElement[bool]], dict[str, Any]]:
    which: list[ColumnElement[bool]] = []
    chosen: dict[str, Any] = {}
    if since is not None:
        which.append(followed.c.at_utc >= parse_instant(since, "--since"))
        chosen["since"] = since
    if reference is not None:
        which.append(followed.c.reference == reference)
        chosen["reference"] = reference
    if failed:
        which.append(followed.c.outcome == Outcome.FAILED.value)
        chosen["failed"] = True
    if bool(which) == everything:
        raise UsageError("follow-choice", "say what is to be done again: --since, --reference, --failed, or --all and none of these")
    return which, chosen or {"all": True}


def _house_of(house: House | None) -> House:
    if house is None or not house.followers:
        raise SettingsError("follower-missing", "exchange.toml has no [[house.followers]]", field="house.followers")
    return house


def _chosen(house: House, name: str | None) -> list[AnyFollower]:
    found = [follower for follower in house.followers if name in (None, follower.name)]
    if not found:
        known = ", ".join(follower.name for follower in house.followers)
        raise UsageError("follower-unknown", f"exchange.toml has no such follower; it has {known}", value=name)
    return found


def _show_waiting(house: House, name: str | None, *, as_json: bool) -> None:
    shown: list[dict[str, Any]] = []
    with reading(house.database) as connection:
        for follower in _chosen(house, name):
            shown += [{"follower": follower.name, **row} for row in _waiting(connection, follower)] if connection is not None else []
    if as_json:
        print_json(shown)
    else:
        print_table(("follower", "event", "type", "reference", "version"), (list(row.values()) for row in shown))


def _waiting(connection: Connection, follower: AnyFollower) -> list[dict[str, Any]]:
    query = ledger.waiting(follower, inbox.c.event_id, inbox.c.type, inbox.c.reference, inbox.c.version)
    rows = connection.execute(query.order_by(inbox.c.event_id))
    return [{"event": row.event_id, "type": row.type, "reference": row.reference, "version": row.version} for row in rows]


def _told(follower: AnyFollower, stands: ledger.Standing, failed: Sequence[Any]) -> dict[str, Any]:
    return {
        "follower": follower.name,
        "kind": follower.kind,
        "purpose": follower.purpose,
        "behind": stands.behind,
        "oldest_waits_since": None if stands.oldest_utc is None else utc_text(stands.oldest_utc),
        "last_success": None if stands.last_success_utc is None else utc_text(stands.last_success_utc),
        "outcomes": {each.value: stands.outcomes.get(each.value, 0) for each in Outcome},
        "trouble": None if stands.trouble is None else {"code": stands.trouble.code, "text": stands.trouble.text},
        "failed": [
            {
                "event": row.event_id,
                "reference": row.reference,
                "version": row.version,
                "code": row.code,
                "reason": row.detail,
                "attempts": row.attempts,
                "next_attempt": None if row.next_attempt_at_utc is None else utc_text(row.next_attempt_at_utc),
            }
            for row in failed
        ],
    }


def _cell(each: dict[str, Any], column: str) -> object:
    if column == "oldest waits since":
        return each["oldest_waits_since"]
    if column == "hindered by":
        return each["trouble"]["text"] if each["trouble"] else None
    return each["outcomes"][column] if column in each["outcomes"] else each[column]


def _print_failures(each: dict[str, Any]) -> None:
    if each["failed"]:
        rows = (
            (row["reference"], row["version"], row["code"], row["reason"], row["next_attempt"] or "a person's") for row in each["failed"]
        )
        print_table(("declaration", "version", "code", "why", "next attempt"), rows, title=f"{each['follower']}: not written")


def _code(one: Done) -> str | None:
    return None if one.problem is None else one.problem.code


def _now() -> datetime:
    return datetime.now(UTC)
