"""What a second copy needs to know of the outbox, and what the outbox keeps of it. Called within the store's transactions."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, delete, insert, select

from broker.outbox.copy_lines import CopiedEvent
from broker.outbox.reading import destinations
from broker.outbox.tables import copy_state, outbox, reissued, stream
from broker.statements import in_parts

_AT_ONCE = 500
_COPIED = tuple(outbox.c[name] for name in ("event_id", "reference", "version", "content_digest", "raw", "reply_key", "withdrawal"))

Place = tuple[str, str, str, int]  # destination, type, epoch, sequence


class CopyStanding(NamedTuple):
    """How the second copy stands, as the post's daemon last knew; `whole`: all that is unsettled is in it."""

    directory: str
    trouble: str | None
    whole: bool
    since_utc: datetime
    seen_at_utc: datetime


def unsettled_ids(connection: Connection) -> list[str]:
    """The unsettled events that have bytes here, in order of acceptance: asked so that the partial indexes answer."""
    found: list[tuple[int, str]] = []
    for destination in destinations(connection):
        for relayed in (outbox.c.relayed_at_utc.is_(None), outbox.c.relayed_at_utc.is_not(None)):
            here = (outbox.c.destination == destination, relayed, outbox.c.settled_at_utc.is_(None), outbox.c.learned == 0)
            found += [(row.position, row.event_id) for row in connection.execute(select(outbox.c.position, outbox.c.event_id).where(*here))]
    return [event_id for _, event_id in sorted(found)]


def events_of(connection: Connection, event_ids: Collection[str]) -> list[CopiedEvent]:
    """These events as a copy keeps them, in order of acceptance."""
    found: list[CopiedEvent] = []
    for ids in in_parts(sorted(event_ids), _AT_ONCE):
        rows = connection.execute(select(outbox.c.position, *_COPIED).where(outbox.c.event_id.in_(ids)).order_by(outbox.c.position))
        found += [copied(dict(row)) for row in rows.mappings()]
    return found


def copied(row: Mapping[str, Any]) -> CopiedEvent:
    """A row of the outbox as a copy keeps it."""
    values: dict[str, Any] = {column.name: row.get(column.name) for column in _COPIED}
    return CopiedEvent(**values)


def still_needed(connection: Connection, event_ids: Collection[str]) -> tuple[set[str], set[str]]:
    """Of these events of a copy: those that are unsettled here, and those of which this outbox knows nothing."""
    needed: set[str] = set()
    unknown: set[str] = set()
    for ids in in_parts(sorted(event_ids), _AT_ONCE):
        standing = {
            row.event_id: row.settled_at_utc
            for row in connection.execute(select(outbox.c.event_id, outbox.c.settled_at_utc).where(outbox.c.event_id.in_(ids)))
        }
        became = set(connection.execute(select(reissued.c.event_id).where(reissued.c.event_id.in_(ids))).scalars())
        needed |= {event_id for event_id, settled_at in standing.items() if settled_at is None}
        unknown |= set(ids) - standing.keys() - became
    return needed, unknown


def was_pruned(connection: Connection, place: Place) -> bool:
    """Whether the event of a place was here, settled, and is in the archive since."""
    destination, event_type, epoch, sequence = place
    here = (stream.c.destination == destination, stream.c.type == event_type, stream.c.epoch == epoch)
    return sequence <= (connection.execute(select(stream.c.pruned_to).where(*here)).scalar() or 0)


def note_standing(connection: Connection, standing: CopyStanding) -> None:
    """Keep how the copy stands, for `panj status` in another process."""
    connection.execute(delete(copy_state))
    connection.execute(insert(copy_state), standing._asdict())


def standing(connection: Connection) -> CopyStanding | None:
    """What was kept last; None where there never was a second copy."""
    row = connection.execute(select(*(copy_state.c[name] for name in CopyStanding._fields))).first()
    return None if row is None else CopyStanding(*row)
