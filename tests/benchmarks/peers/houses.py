"""A peer's database: the rows of one declaration in one transaction, in this project's own tables with their indexes.

The transaction is one statement, prepared once for each number of items: one round trip, and half of what BEGIN, three INSERT and COMMIT
cost PostgreSQL and psycopg, in pipeline mode or not (177 and 203 µs against 315 and 393 µs on the machine of docs/performance.md).
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import Any

from sqlalchemy import Table

from consumers.context import ReceivedEvent
from consumers.loaders.record.rows import crossing_row, declaration_row, item_row
from consumers.loaders.record.tables import crossing_event, declaration, declaration_item
from consumers.tables import inbox
from schemas.crossing import CrossingEvent
from schemas.errors import ConflictError
from schemas.event import digest_of

Statement = tuple[str, tuple[Any, ...]]
CONNECT: dict[str, Any] = {"autocommit": True, "prepare_threshold": 0}

COUNT_DUPLICATE = "UPDATE inbox SET duplicates = duplicates + 1 WHERE event_id = %s AND digest = %s"


def statement_of(event: ReceivedEvent, jws: str) -> Statement:
    """Everything that one event brings; it breaks the inbox's primary key where the event came before, and nothing is done then."""
    values = inbox_row(event, jws)
    if isinstance(event.data, CrossingEvent):
        values += crossing_row(event)
        return _sql(crossing_event, 0), values
    values += declaration_row(event)
    items = event.data.items
    for item in items:
        values += item_row(event.id, item)
    return _sql(declaration, len(items)), values


def check_duplicate(rows: int, event: ReceivedEvent) -> None:
    """What broke a key must be a copy of what is kept; ConflictError otherwise."""
    if rows != 1:
        raise ConflictError("version-conflict", "another event holds this key", field="id", value=event.id)


def inbox_row(event: ReceivedEvent, jws: str) -> tuple[Any, ...]:
    """The inbox row of an event that was loaded."""
    return (
        event.id,
        event.source,
        event.destination,
        event.type,
        event.epoch,
        event.sequence,
        event.reference,
        event.version,
        event.digest,
        "LOADED",
        None,
        event.received_at_utc,
        datetime.now(UTC),
        0,
        digest_of(jws.encode()),
        event.content,
        None,
        event.raw,
        event.purpose,
        event.legal_basis,
    )


@cache
def _sql(table: Table, items: int) -> str:
    last = f"declared AS ({_insert(table, 1)}) {_insert(declaration_item, items)}" if items else _insert(table, 1)
    return f"WITH taken AS ({_insert(inbox, 1)}){', ' if items else ' '}{last}"


@cache
def _insert(table: Table, rows: int) -> str:
    """INSERT of so many rows."""
    names = ", ".join(f'"{column.name}"' for column in table.columns)
    marks = f"({', '.join(['%s'] * len(table.columns))})"
    return f'INSERT INTO "{table.name}" ({names}) VALUES {", ".join([marks] * rows)}'  # noqa: S608  names are our own tables'
