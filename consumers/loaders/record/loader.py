"""The handler of the record: refuse what contradicts a version that is kept, write the rest in three sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Dialect, Select, select

from consumers.context import Batch, Context, ReceivedEvent
from consumers.database import insert_rows, member_of
from consumers.loaders.record.rows import KINDS, crossing_row, declaration_row, item_row
from consumers.loaders.record.tables import crossing_event, declaration, declaration_item
from consumers.registry import consumer
from schemas.crossing import CrossingEvent
from schemas.declarations import ExportDeclaration, ImportDeclaration, TransitDeclaration

Key = tuple[str, int]  # reference and version

FIRST_YEAR, LAST_YEAR = 1990, 2199  # as for `registration_year`


@consumer((ExportDeclaration, ImportDeclaration, TransitDeclaration, CrossingEvent), queue="record")
def load_record(batch: Batch, context: Context) -> None:
    """Keep every version of every declaration, and every crossing event, once."""
    for event in batch:
        _refuse_implausible_instant(event, context)
    crossings = [event for event in batch.accepted if isinstance(event.data, CrossingEvent)]
    declarations = [event for event in batch.accepted if not isinstance(event.data, CrossingEvent)]
    new_declarations = _without_kept(declarations, _declarations_kept(context.transaction, declarations), context)
    new_crossings = _without_kept(crossings, _crossings_kept(context.transaction, crossings), context)
    insert_rows(context.transaction, declaration, [declaration_row(event) for event in new_declarations])
    items = [item_row(event.id, item) for event in new_declarations for item in event.data.items]
    insert_rows(context.transaction, declaration_item, items)
    insert_rows(context.transaction, crossing_event, [crossing_row(event) for event in new_crossings])


def _refuse_implausible_instant(event: ReceivedEvent, context: Context) -> None:
    # Instants at the ends of the calendar leave it when they are brought to UTC, and databases and programs disagree about them.
    field, instant = (
        ("occurred_at", event.data.occurred_at) if isinstance(event.data, CrossingEvent) else ("accepted_at", event.data.accepted_at)
    )
    if instant is not None and not FIRST_YEAR <= instant.year <= LAST_YEAR:
        context.refuse(event, "instant-implausible", f"not between {FIRST_YEAR} and {LAST_YEAR}", field=field, value=instant)


def _declarations_kept(connection: Connection, events: Sequence[ReceivedEvent]) -> dict[Key, bytes]:
    rows = connection.execute(_kept_declarations(connection.dialect), {"references": _references(events)}) if events else ()
    return {(row.reference, row.version): _content(row.kind, row.content) for row in rows}


def _crossings_kept(connection: Connection, events: Sequence[ReceivedEvent]) -> dict[Key, bytes]:
    rows = connection.execute(_kept_crossings(connection.dialect), {"references": _references(events)}) if events else ()
    return {(row.reference, 1): _content("", row.content) for row in rows}


@lru_cache
def _kept_declarations(dialect: Dialect) -> Select[Any]:
    columns = (declaration.c.reference, declaration.c.version, declaration.c.kind, declaration.c.content)
    return select(*columns).where(member_of(dialect, declaration.c.reference, "references"))


@lru_cache
def _kept_crossings(dialect: Dialect) -> Select[Any]:
    columns = (crossing_event.c.reference, crossing_event.c.content)
    return select(*columns).where(member_of(dialect, crossing_event.c.reference, "references"))


def _content(kind: str, content: bytes) -> bytes:
    return kind.encode() + bytes(content)


def _references(events: Sequence[ReceivedEvent]) -> list[str]:
    return sorted({event.reference for event in events})


def _without_kept(events: Sequence[ReceivedEvent], kept: Mapping[Key, bytes], context: Context) -> list[ReceivedEvent]:
    """Give the events that bring something new, sorted by key.

    The same version again under another id (a sender that began a new epoch) is loaded already; with other content it is refused.
    """
    contents = dict(kept)
    new: dict[Key, ReceivedEvent] = {}
    for event in events:
        key, content = (event.reference, event.version), _content(KINDS.get(type(event.data), ""), event.content)
        if key not in contents:
            contents[key], new[key] = content, event
        elif contents[key] != content:
            text = "this version is kept already with other content: a correction is a new version"
            context.refuse(event, "version-conflict", text, field="version", value=event.version)
    return [new[key] for key in sorted(new)]
