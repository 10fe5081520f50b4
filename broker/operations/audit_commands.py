"""`panj audit`: what people did by commands, when and why; and whether the trail of it is whole."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any

import typer

from broker.audit import Entry
from broker.operations.instants import parse_instant
from broker.operations.output import ConfigOption, JsonOption, print_json, print_table
from broker.operations.trails import Head, Trail, Verdict, judge, trails
from broker.settings.load import load_settings
from schemas.errors import UsageError, cleaned

commands = typer.Typer(no_args_is_help=True, help="The audit trail: who did what, when and why; insert-only, and chained by digests.")

UnitOption = Annotated[str | None, typer.Option("--unit", help="Only this unit's, such as tj-customs or tj-panji-poyon.")]


@commands.command("list")
def list_entries(
    config: ConfigOption,
    unit: UnitOption = None,
    actor: Annotated[str | None, typer.Option("--actor", help="Only what this login did.")] = None,
    action: Annotated[str | None, typer.Option("--action", help="Only these acts: held.discarded, or a beginning such as order.")] = None,
    subject: Annotated[str | None, typer.Option("--subject", help="Only what was done to this: an event's id, a digest, order 3.")] = None,
    since: Annotated[str | None, typer.Option("--since", metavar="WHEN", help="From this day or instant on (UTC): 2026-11-24.")] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="WHEN", help="Before this day or instant (UTC).")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="The latest so many of each trail.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """List what people did, the latest last."""
    first = None if since is None else parse_instant(since, "--since")
    last = None if until is None else parse_instant(until, "--until")

    def wanted(entry: Entry) -> bool:
        when = datetime.fromisoformat(entry.at_utc)
        return (
            actor in (None, entry.actor)
            and (action is None or f"{entry.action}.".startswith(f"{action.rstrip('.')}."))
            and subject in (None, entry.subject)
            and (first is None or when >= first)
            and (last is None or when < last)
        )

    found = [(trail.unit, entry) for trail in _trails(config, unit) for entry in list(filter(wanted, trail.entries))[-limit:]]
    if as_json:
        print_json([_document(name, entry) for name, entry in found])
        return
    rows = [
        (
            entry.sequence,
            entry.at_utc[:19].replace("T", " "),
            name,
            cleaned(entry.actor),
            entry.action,
            cleaned(entry.subject),
            _told(entry),
        )
        for name, entry in sorted(found, key=lambda each: (each[1].at_utc, each[0], each[1].sequence))
    ]
    print_table(("", "when (UTC)", "in", "who", "did", "to", "why"), rows)


@commands.command("verify")
def verify(
    config: ConfigOption,
    unit: UnitOption = None,
    head: Annotated[
        list[str] | None,
        typer.Option("--head", metavar="DIGEST", help="A head that must stand in the trail: from a partner's closing, or a note of yours."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check that nothing in the trail was changed, removed or cut off. Ends with 1 where something was.

    The chain of digests shows changes within; heads that stand in signed closings, and those that you give, show that its end is there.
    """
    told = [Head("given", digest) for digest in head or ()]
    if told and unit is None:
        raise UsageError("post-unknown", "say whose trail the head is of", field="--unit")
    verdicts = [judge(trail, told) for trail in _trails(config, unit)]
    if as_json:
        print_json([_verdict_document(verdict) for verdict in verdicts])
    else:
        print_table(("", "in", "entries", "head", "what is wrong"), [_verdict_row(verdict) for verdict in verdicts])
    if not all(verdict.whole for verdict in verdicts):
        raise typer.Exit(1)


def _trails(config: ConfigOption, unit: str | None) -> list[Trail]:
    found = [trail for trail in trails(load_settings(config)) if unit in (None, trail.unit)]
    if unit is not None and not found:
        raise UsageError("post-unknown", "no database of such a unit is on this machine", field="--unit", value=unit)
    return found


def _document(unit: str, entry: Entry) -> dict[str, Any]:
    told = {name: cleaned(value) if isinstance(value, str) else value for name, value in entry._asdict().items()}
    return {"unit": unit, **told, "detail": json.loads(entry.detail)}


def _told(entry: Entry) -> str:
    detail = ", ".join(f"{name} {value}" for name, value in json.loads(entry.detail).items() if value not in (None, ""))
    return cleaned("\n".join(filter(None, (entry.reason, detail))))


def _verdict_document(verdict: Verdict) -> dict[str, Any]:
    missing = [{"where": head.where, "digest": head.digest} for head in verdict.missing]
    return {
        "unit": verdict.unit,
        "whole": verdict.whole,
        "entries": verdict.entries,
        "head": verdict.head,
        "broken_at": verdict.broken_at,
        "heads_checked": verdict.heads,
        "missing_heads": missing,
    }


def _verdict_row(verdict: Verdict) -> tuple[object, ...]:
    wrong = [] if verdict.broken_at is None else [f"entry {verdict.broken_at} does not fit to the one before: changed, removed or inserted"]
    wrong += [
        f"the head {cleaned(head.digest)} ({head.where}) is not in it: its end was cut off, or it was written anew"
        for head in verdict.missing
    ]
    return ("whole" if verdict.whole else "BROKEN", verdict.unit, verdict.entries, verdict.head or "–", "\n".join(wrong))
