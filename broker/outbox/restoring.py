"""Putting what a second copy holds into an outbox that was lost or set back. Called within the store's transaction, which begins the
recovery as well: what the houses know of it they tell then, and only the rest is sent.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import Connection, insert, select, update

from broker.outbox.copy_lines import CopiedEvent
from broker.outbox.tables import outbox, outbox_life, reissued, stream
from broker.outbox.values import Life
from broker.statements import in_parts
from schemas.event import Event, digest_of

log = structlog.get_logger()

_AT_ONCE = 500


@dataclass(slots=True)
class Restored:
    """What came of a copy's events: put in, there already, or `clashing`: another content stands here under the same name or place."""

    put_in: int = 0
    known: int = 0
    clashing: int = 0


def restore(connection: Connection, life: Life, events: Iterable[CopiedEvent], now: datetime) -> Restored:
    """Put in what is missing, as accepted and not relayed. `life` is the one that recovers."""
    result = Restored()
    read = {event.event_id: (event, Event.model_validate(json.loads(event.raw))) for event in events}  # the last line of an id counts
    ids = sorted(read, key=lambda event_id: (read[event_id][1].time, read[event_id][1].sequence))  # as they were accepted
    for some in in_parts(ids, _AT_ONCE):
        part = {event_id: read[event_id] for event_id in some}
        known, taken = _standing(connection, part)
        rows = []
        for event_id, (copied, event) in part.items():
            names = {_place(event), _name(copied, event)}
            if event_id in known:
                result.known += 1
                _withdraw(connection, copied, now)
            elif names & taken:
                result.clashing += 1
                log.error("copy.clashing", event_id=event_id, reference=copied.reference, advice="see docs/recovery.md")
            else:
                taken |= names
                rows.append(_row_of(copied, event, now))
        if rows:
            connection.execute(insert(outbox), rows)
        result.put_in += len(rows)
        _number(connection, rows)
    _know_lives(connection, life, {event.epoch or "" for _, event in read.values()}, now)
    return result


def _standing(connection: Connection, part: Mapping[str, tuple[CopiedEvent, Event]]) -> tuple[set[str], set[tuple[Any, ...]]]:
    """Which of these events are known here, and which of their places and names are taken."""
    known = set(connection.execute(select(outbox.c.event_id).where(outbox.c.event_id.in_(part))).scalars())
    known |= set(connection.execute(select(reissued.c.event_id).where(reissued.c.event_id.in_(part))).scalars())
    taken: set[tuple[Any, ...]] = set()
    named = (outbox.c.destination, outbox.c.type, outbox.c.reference, outbox.c.version)
    query = select(*named).where(outbox.c.reference.in_({copied.reference for copied, _ in part.values()}), outbox.c.learned == 0)
    taken |= {tuple(row) for row in connection.execute(query)}
    places: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    for _, event in part.values():
        destination, event_type, epoch, sequence = _place(event)
        places[(destination, event_type, epoch)].append(sequence)
    for (destination, event_type, epoch), sequences in places.items():
        here = (outbox.c.destination == destination, outbox.c.type == event_type, outbox.c.epoch == epoch)
        for sequence in connection.execute(select(outbox.c.sequence).where(*here, outbox.c.sequence.in_(sequences))).scalars():
            taken.add((destination, event_type, epoch, sequence))
    return known, taken


def _place(event: Event) -> tuple[str, str, str, int]:
    return event.destination, event.type, event.epoch or "", event.sequence or 0


def _name(copied: CopiedEvent, event: Event) -> tuple[str, str, str, int]:
    return event.destination, event.type, copied.reference, copied.version


def _row_of(copied: CopiedEvent, event: Event, now: datetime) -> dict[str, Any]:
    return {
        "event_id": copied.event_id,
        "destination": event.destination,
        "type": event.type,
        "epoch": event.epoch,
        "sequence": event.sequence,
        "reference": copied.reference,
        "version": copied.version,
        "content_digest": copied.content_digest,
        "digest": digest_of(copied.raw),
        "bytes": len(copied.withdrawal or copied.raw),
        "accepted_at_utc": event.time,
        "reply_key": copied.reply_key,
        "withdrawn_at_utc": None if copied.withdrawal is None else now,
        "withdrawal": copied.withdrawal,
        "raw": copied.raw,
    }


def _withdraw(connection: Connection, copied: CopiedEvent, now: datetime) -> None:
    """What was withdrawn after the outbox was copied stays so."""
    if copied.withdrawal is not None:
        here = (outbox.c.event_id == copied.event_id, outbox.c.settled_at_utc.is_(None), outbox.c.withdrawal.is_(None))
        values = {"withdrawn_at_utc": now, "withdrawal": copied.withdrawal, "bytes": len(copied.withdrawal)}
        values |= {"relayed_at_utc": None, "relayed_mark": None, "relays": 0, "answered_fate": None}
        connection.execute(update(outbox).where(*here).values(values))


def _number(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write down how far the streams of these rows were numbered, and how many of their numbers are missing."""
    streams: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    for row in rows:
        streams[(row["destination"], row["type"], row["epoch"])].append(row["sequence"])
    for (destination, event_type, epoch), sequences in streams.items():
        name = {"destination": destination, "type": event_type, "epoch": epoch}
        here = [stream.c[column] == value for column, value in name.items()]
        before = connection.execute(select(stream.c.last_sequence, stream.c.holes).where(*here)).first()
        last_before, holes = (before.last_sequence, before.holes) if before is not None else (0, 0)
        last = max(last_before, *sequences)
        values = {"last_sequence": last, "holes": holes + last - last_before - len(sequences)}
        if before is None:
            connection.execute(insert(stream), name | values)
        else:
            connection.execute(update(stream).where(*here).values(values))


def _know_lives(connection: Connection, life: Life, epochs: Iterable[str], now: datetime) -> None:
    known = set(connection.execute(select(outbox_life.c.epoch)).scalars())
    for epoch in sorted(set(epochs) - known):
        row = {"epoch": epoch, "source": life.source, "environment": life.environment, "begun_at_utc": now, "current": False}
        connection.execute(insert(outbox_life), row | {"suspected_at_utc": now, "suspected_because": "restored from a second copy"})
