"""`panj trace`: one declaration's life on this side, step by step, every version; and the outboxes' part of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from broker.operations.contributions import Step, database_exists, steps
from broker.operations.output import ConfigOption, console, print_json
from broker.outbox.closing_values import StreamName
from broker.outbox.store import Outbox
from broker.settings.load import load_settings
from broker.settings.model import Settings
from schemas.errors import Problem
from schemas.names import Party


def commands(
    number: Annotated[
        str, typer.Argument(help="A declaration's reference (TJ/PNJ/2026/1), its registration number alone, or an event's id.")
    ],
    config: ConfigOption,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Tell one declaration's life on this side: accepted, relayed, answered, loaded; every version. Ends with 1 where nothing is known."""
    found = steps(load_settings(config), number)
    if as_json:
        print_json([{**asdict(step), "at_utc": step.at_utc.isoformat()} for step in found])
    elif found:
        console().print(_table(found))
    else:
        console(stderr=True).print(
            f"Nothing is known here of [bold]{escape(number)}[/]. Was it accepted on the other side of the frontier?"
        )
    if not found:
        raise typer.Exit(1)


def _table(found: Sequence[Step]) -> Table:
    references = sorted({step.reference for step in found})
    table = Table(title=", ".join(map(escape, references)), title_justify="left", header_style="bold", pad_edge=False)
    for column in ("when (UTC)", "version", "where", "what", "detail"):
        table.add_column(column, overflow="fold", no_wrap=column != "detail")
    for step in found:
        when = step.at_utc.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
        table.add_row(when, str(step.version), step.where, step.what, escape(step.detail))
    return table


def trace_outboxes(settings: Settings, reference: str) -> Iterator[Step]:
    """What the outboxes of this administration's posts know of a declaration."""
    for name, post in sorted(settings.posts.items()):
        party = settings.post_party(name)
        if not database_exists(post.outbox):
            continue
        outbox = Outbox.open(post.outbox, party, settings.environment)
        try:
            rows = outbox.rows_of(reference)
            closed = {
                row.event_id: outbox.closings.covering(row.destination, StreamName(row.type, row.epoch), row.sequence) for row in rows
            }
        finally:
            outbox.close()
        for row in rows:
            yield from _steps_of(party.unit, row)
            if (closing := closed[row.event_id]) is not None:
                said = f"closing {closing.number}, signed by both sides"
                yield Step(closing.answered_at_utc, party.unit, "closed", row.reference, row.version, row.event_id, said)


def _steps_of(where: str, row: Any) -> Iterator[Step]:
    def step(at_utc: datetime, what: str, detail: str = "") -> Step:
        return Step(at_utc, where, what, row.reference, row.version, row.event_id, detail)

    to = Party.of_urn(row.destination).unit
    yield step(row.accepted_at_utc, "accepted", f"for {to}, {row.type} {row.epoch}/{row.sequence}, {row.bytes} bytes")
    if row.relayed_at_utc is not None:
        yield step(row.relayed_at_utc, "relayed", f"{row.relays} times, last now" if row.relays > 1 else "confirmed by our broker")
    if row.withdrawn_at_utc is not None:
        detail = "too late: it had been loaded"
        if row.withdrawal is not None:
            detail = f"{json.loads(row.withdrawal)['data']['reason']}; its tombstone goes in its stead"
        yield step(row.withdrawn_at_utc, "withdrawn", detail)
    problems = "; ".join(str(Problem.model_validate(each)) for each in row.problems or ())
    if row.settled_at_utc is not None:
        yield step(row.settled_at_utc, f"settled: {row.fate.lower()}", problems or f"receipt of {to}")
    elif row.answered_fate is not None:
        yield step(row.relayed_at_utc or row.accepted_at_utc, f"answered: {row.answered_fate.lower()}", problems)
