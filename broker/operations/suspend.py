"""`panj suspend`: hold back what leaves for a partner, or what its posts send, for a while and with a reason; list and end it.

What a suspension is stands in `broker.suspension`; each direction has a book of its own (`suspensions`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

import typer

from broker.audit import actor, worded
from broker.operations.instants import duration_of, parse_instant
from broker.operations.output import ConfigOption, JsonOption, print_json, print_table
from broker.operations.suspensions import Done, Listed, book_of, books
from broker.settings.load import load_settings
from broker.suspension import Direction, Scope, Suspension, new_id
from schemas.errors import UsageError
from schemas.names import STREAM_TYPES

commands = typer.Typer(name="suspend", help="Hold back outflow or intake for a while; list and end what is held back.")

ReasonOption = Annotated[str, typer.Option("--reason", "-r", help="Why, in your words: kept in the audit trail.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Tell what would be done; change nothing.")]


@commands.callback(invoke_without_command=True)
def suspend(
    context: typer.Context,
    config: ConfigOption,
    *,
    direction: Annotated[Direction | None, typer.Option("--direction", help="What leaves from here, or what is loaded here.")] = None,
    partner: Annotated[str | None, typer.Option("--partner", metavar="COUNTRY", help="Only to (or from) this country.")] = None,
    post: Annotated[str | None, typer.Option("--post", metavar="NAME", help="Outflow: only of our post. Intake: only of theirs.")] = None,
    event_type: Annotated[str | None, typer.Option("--type", help="Only this type, such as customs.export-declaration.v1.")] = None,
    reason: ReasonOption = "",
    until: Annotated[
        str | None, typer.Option("--until", metavar="INSTANT", help="When it ends by itself, in UTC unless it says: 2026-12-01T18:00.")
    ] = None,
    lasting: Annotated[str | None, typer.Option("--for", metavar="TIME", help="How long it lasts: 90m, 12h, 3d.")] = None,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Suspend outflow or intake. Nothing is lost: what is accepted waits in the outbox, what comes in is held, and both go on at the end.

    Control events (receipts, beacons, withdrawals) always pass. Outflow stops within two seconds; what is in flight cannot be called back.
    """
    if context.invoked_subcommand is not None:
        return
    settings = load_settings(config)
    if direction is None:
        raise UsageError("suspend-arguments", "say what is to be suspended: --direction outflow or --direction intake")
    now = datetime.now(UTC)
    begun = Suspension(new_id(), _scope(partner, post, event_type), worded(reason), actor(), now, _until(until, lasting, now))
    done = book_of(direction).begin(settings, begun, dry_run=dry_run)
    if as_json:
        print_json({**_document(direction, begun), "places": done.places, "elsewhere": done.elsewhere, "dry_run": dry_run})
        return
    would = "would be suspended" if dry_run else f"is suspended ({begun.id})"
    end = "until somebody ends it" if begun.until_utc is None else f"until {begun.until_utc:%Y-%m-%d %H:%M:%S} UTC"
    typer.echo(f"{direction} of {begun.scope} {would} at {', '.join(done.places)}, {end}.")
    _tell_elsewhere(done)


@commands.command("list")
def show(
    config: ConfigOption,
    ended: Annotated[bool, typer.Option("--all", help="Those that have ended, too.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List the suspensions, with who, why, until when, and how many events each holds back."""
    settings = load_settings(config)
    now = datetime.now(UTC)
    found = [one for book in books() for one in book.listed(settings, ended=ended) if ended or one.suspension.in_force(now) or one.events]
    if as_json:
        print_json([{**_document(one.direction, one.suspension), "place": one.place, "events": one.events} for one in found])
    elif found:
        columns = ("id", "what", "at", "of", "since (UTC)", "until (UTC)", "by", "reason", "events")
        print_table(columns, [_row(one, now) for one in found])
    else:
        typer.echo("Nothing is suspended.")


@commands.command("end")
def end(
    suspension_id: Annotated[str, typer.Argument(metavar="ID", help="As `panj suspend list` shows it.", show_default=False)],
    config: ConfigOption,
    reason: ReasonOption = "",
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """End a suspension now: what it held back goes on by itself, within seconds."""
    settings = load_settings(config)
    words, now = worded(reason), datetime.now(UTC)
    places: list[str] = []
    for book in books():
        places += book.end(settings, suspension_id.strip().lower(), actor(), words, now, dry_run=dry_run).places
    if not places:
        raise UsageError("suspension-unknown", "no such suspension is in force here: see 'panj suspend list'", value=suspension_id)
    if as_json:
        print_json({"id": suspension_id, "places": places, "dry_run": dry_run})
        return
    typer.echo(f"{suspension_id} {'would be' if dry_run else 'is'} ended at {', '.join(places)}.")


def _scope(partner: str | None, post: str | None, event_type: str | None) -> Scope:
    if partner is None and post is None and event_type is None:
        raise UsageError("suspend-arguments", "say what is to be suspended: --partner, --post, --type, or several of them")
    if event_type is not None and event_type not in STREAM_TYPES:
        text = f"one of {', '.join(sorted(STREAM_TYPES))}; control events always pass"
        raise UsageError("suspend-arguments", text, field="--type", value=event_type)
    return Scope(partner, post, event_type)


def _until(until: str | None, lasting: str | None, now: datetime) -> datetime | None:
    if until is not None and lasting is not None:
        raise UsageError("suspend-arguments", "--until or --for, not both")
    if lasting is not None:
        return now + duration_of(lasting)
    if until is None:
        return None
    found = parse_instant(until, "--until")
    if found <= now:
        raise UsageError("instant-invalid", f"it is over: now it is {now:%Y-%m-%dT%H:%M:%SZ}", field="--until", value=until)
    return found


def _tell_elsewhere(done: Done) -> None:
    if done.elsewhere:
        typer.echo(f"Not on this machine, run it there too: {', '.join(done.elsewhere)}.", err=True)


def _document(direction: Direction, one: Suspension) -> dict[str, object]:
    return {
        "id": one.id,
        "direction": direction.value,
        "partner": one.scope.partner,
        "post": one.scope.post,
        "type": one.scope.type,
        "reason": one.reason,
        "begun_by": one.begun_by,
        "begun_at_utc": one.begun_at_utc.isoformat(),
        "until_utc": one.until_utc and one.until_utc.isoformat(),
        "ended_at_utc": one.ended_at_utc and one.ended_at_utc.isoformat(),
        "ended_by": one.ended_by,
        "end_reason": one.end_reason,
    }


def _row(one: Listed, now: datetime) -> Sequence[object]:
    suspension = one.suspension
    until = f"{suspension.until_utc:%Y-%m-%d %H:%M}" if suspension.until_utc else "–"
    if suspension.ended_at_utc is not None:
        until = f"ended {suspension.ended_at_utc:%Y-%m-%d %H:%M} by {suspension.ended_by}"
    elif not suspension.in_force(now):
        until += " (over)"
    since = f"{suspension.begun_at_utc:%Y-%m-%d %H:%M}"
    return (
        suspension.id,
        one.direction.value,
        one.place,
        str(suspension.scope),
        since,
        until,
        suspension.begun_by,
        suspension.reason,
        one.events,
    )
