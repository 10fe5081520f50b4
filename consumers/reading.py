"""The record as one sees it who reads it for a purpose: only what was released for it (WTO TFA, Article 12.5). Reports, exports and
followers read through here; what a person or program reads by a command is written into the audit trail, once per reading.

A row whose purpose is not known (it was archived before the purpose was kept beside it) is read for nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Subquery, TableClause, Text, column, select, table

from broker.audit import Act, append
from broker.bundle.open import OpenEvent
from broker.trust.sealing import NO_KEYS, DecryptionKeys
from consumers.context import ReceivedEvent
from consumers.decisions import readable, received
from consumers.loaders.record.tables import crossing_event, declaration, declaration_item
from consumers.tables import audit, inbox
from schemas.content import validate
from schemas.event import Event
from schemas.fates import Fate
from schemas.strict_json import parse

Purposes = Collection[str] | None  # None: a house that states no purposes reads everything that came to it

current_declaration = table("current_declaration", *(column(each.name, each.type) for each in declaration.c), column("status", Text()))


@dataclass(frozen=True, slots=True)
class Record:
    """The tables and views of the record, cut down to what was released for some purposes; to be selected from and joined like tables."""

    declarations: Subquery
    items: Subquery
    current_declarations: Subquery
    current_items: Subquery
    crossings: Subquery


def record_for(purposes: Purposes) -> Record:
    """Give the record as seen by one who reads it for these purposes.

    What is current is decided before: where the highest version was released for another purpose, the older one is not shown instead.
    """
    versions = _released(declaration, purposes).subquery("declaration_released")
    current = _released(current_declaration, purposes).subquery("current_declaration_released")
    return Record(
        declarations=versions,
        items=_items_of(versions).subquery("declaration_item_released"),
        current_declarations=current,
        current_items=_items_of(current).subquery("current_declaration_item_released"),
        crossings=_released(crossing_event, purposes).subquery("crossing_event_released"),
    )


def _released(source: TableClause, purposes: Purposes) -> Select[Any]:
    query = select(source)
    return query if purposes is None else query.where(source.c.purpose.in_(sorted(purposes)))


def _items_of(versions: Subquery) -> Select[Any]:
    return select(versions.c.reference, versions.c.version, versions.c.kind, declaration_item).join(
        versions, versions.c.event_id == declaration_item.c.event_id
    )


def loaded(purposes: Purposes) -> Select[Any]:
    """The inbox rows of events that were loaded and released for one of these purposes."""
    query = select(inbox).where(inbox.c.fate == Fate.LOADED.value)
    return query if purposes is None else query.where(inbox.c.purpose.in_(sorted(purposes)))


def loaded_events(
    connection: Connection, purposes: Purposes, *which: ColumnElement[bool], keys: DecryptionKeys = NO_KEYS
) -> Iterator[ReceivedEvent]:
    """Give loaded events with the values of their models, in the order of their ids; `which` are further conditions over `inbox`.

    UnavailableError where one came encrypted to a key that is not among `keys`.
    """
    for row in connection.execute(loaded(purposes).where(*which).order_by(inbox.c.event_id)):
        yield event_of(row, keys)


def event_of(row: Any, keys: DecryptionKeys = NO_KEYS) -> ReceivedEvent:
    """Give the event of one inbox row, from its signed bytes."""
    event = Event.model_validate(parse(bytes(row.raw)))
    said = readable(event, keys)
    return received(OpenEvent(event, bytes(row.raw), bytes(row.digest)), said, validate(event.type, said.data), row.received_at_utc)


def note_reading(
    connection: Connection, actor: str, what: str, purposes: Purposes, rows: int, chosen: Mapping[str, Any], now_utc: datetime
) -> None:
    """Write down that somebody read the record: what, for which purposes, how many rows, chosen how; one entry however many rows."""
    told = "any" if purposes is None else ", ".join(sorted(purposes))
    append(connection, audit, Act(actor, "record.read", what, detail={"purposes": told, "rows": rows, "chosen": dict(chosen)}), now_utc)
