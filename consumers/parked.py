"""Parked: messages and events that are not to be trusted or contradict what is kept. Deduplicated, counted, bounded, and never answered.

What may be kept is bounded because a stranger decides how much comes: bodies up to `BODY_BYTES` each and, with headers and claimed ids,
`TOTAL_BYTES` together; beyond `OPEN_ROWS` open rows of one code in one lane, further ones only raise the counter of one common row, and
beyond as many closed ones the oldest are forgotten.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, func, insert, literal, select, update

from broker.ports import Message
from consumers.columns import Instant
from consumers.database import among, insert_missing
from consumers.tables import inbox, parked, parked_event
from schemas.errors import Problem, shown
from schemas.fates import Fate
from schemas.limits import BUNDLE_EVENTS, UNPACKED_BYTES
from schemas.names import Party

BODY_BYTES = 4 * 1024 * 1024
TOTAL_BYTES = 256 * 1024 * 1024
OPEN_ROWS = 2_000
CLAIMED_ID_BYTES = 150  # what a row of `parked_event` takes, its index included
HEADERS = 20
SHORT_STRING = 255  # AMQP's own limit for a routing key and the like
CONFLICT_CODES = ("event-conflict", "sequence-conflict")
_PROPERTIES = ("routing_key", "content_type", "content_encoding")  # kept among the headers
_CLAIMED_ID = re.compile(rb'"id":"([0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12})"')


@dataclass(frozen=True, slots=True)
class Parking:
    """One thing to park: where it came from, why, its bytes, and the events that it claims to hold."""

    digest: bytes
    lane: str
    queue: str
    problem: Problem
    claimed_source: str | None
    body: bytes
    headers: dict[str, Any] | None
    claimed_ids: tuple[str, ...]


def message_digest(message: Message) -> bytes:
    """A digest over routing key, headers and body: the same for the same message delivered again."""
    digest = hashlib.sha256(message.routing_key.encode())
    for key in sorted(message.headers):
        digest.update(f"\0{key}={message.headers[key]}".encode(errors="surrogatepass"))
    digest.update(b"\0")
    digest.update(message.body)
    return digest.digest()


def parking_of_message(message: Message, lane: str, queue: str, problem: Problem) -> Parking:
    """Park a whole message, with the ids that its body claims as far as it can be read."""
    headers: dict[str, Any] = {shown(key)[:64]: _header(value) for key, value in list(message.headers.items())[:HEADERS]}
    headers.update(
        routing_key=shown(message.routing_key, SHORT_STRING),
        content_type=shown(message.content_type, SHORT_STRING),
        content_encoding=None if message.content_encoding is None else shown(message.content_encoding, SHORT_STRING),
    )
    return Parking(
        message_digest(message), lane, queue, problem, _urn(message.headers.get("source")), message.body, headers, claimed_ids(message)
    )


def parking_of_event(
    raw: bytes, digest: bytes, problem: Problem, *, lane: str, queue: str, source: str, claimed_ids: tuple[str, ...] = ()
) -> Parking:
    """Park one event of a bundle that is otherwise sound."""
    return Parking(digest, lane, queue, problem, source, raw, None, claimed_ids)


def message_of(digest: bytes, headers: Mapping[str, Any] | None, body: bytes | None) -> Message | None:
    """A parked message as it came, from what was kept of it; None where not all of it was kept, or it is a single event."""
    if body is None or headers is None or not set(_PROPERTIES) <= set(headers):
        return None
    routing_key, content_type, content_encoding = (headers[name] for name in _PROPERTIES)
    kept = {name: value for name, value in headers.items() if name not in _PROPERTIES}
    message = Message(routing_key, body, kept, content_type, content_encoding)
    return message if message_digest(message) == digest else None


def claimed_ids(message: Message) -> tuple[str, ...]:
    """The event ids that stand in a body, as far as it can be unpacked within the limits; they prove nothing."""
    body = message.body
    if message.content_encoding == "gzip":
        try:
            body = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(body, UNPACKED_BYTES)
        except zlib.error:
            return ()
    found = (match.group(1).decode() for match in _CLAIMED_ID.finditer(body[:UNPACKED_BYTES]))
    return tuple(dict.fromkeys(event_id for _, event_id in zip(range(BUNDLE_EVENTS), found, strict=False)))


def park(connection: Connection, parkings: Sequence[Parking], now_utc: datetime) -> None:
    """Write parked rows or raise their counters, sorted by key, within the bounds."""
    for parking in sorted(parkings, key=lambda parking: parking.digest):
        again = update(parked).where(parked.c.digest == parking.digest).values(times=parked.c.times + 1, last_seen_utc=now_utc)
        if connection.execute(again).rowcount == 0:
            _insert(connection, parking, now_utc)


def _insert(connection: Connection, parking: Parking, now_utc: datetime) -> None:
    by_itself = parked.c.closed_at_utc.is_not(None) & parked.c.closed_by_order.is_(None)
    same = (parked.c.lane == parking.lane, parked.c.code == parking.problem.code)
    counted = select(func.count().filter(parked.c.closed_at_utc.is_(None)), func.count().filter(by_itself)).select_from(parked)
    open_rows, closed_rows = connection.execute(counted.where(*same)).one()
    if open_rows >= OPEN_ROWS:
        _overflow(connection, parking, now_utc)
        return
    if closed_rows >= OPEN_ROWS:  # who can have rows closed, by sending what they claim, could otherwise fill the disk with them
        oldest = select(parked.c.digest).where(*same, by_itself).order_by(parked.c.closed_at_utc)  # what people judged is kept
        connection.execute(delete(parked).where(parked.c.digest.in_(oldest.limit(closed_rows - OPEN_ROWS + 1))))
    room = TOTAL_BYTES - int(connection.execute(select(func.coalesce(func.sum(parked.c.kept_bytes), 0))).scalar_one())
    headers_bytes = sum(len(str(value)) for value in (parking.headers or {}).values())
    ids_bytes = CLAIMED_ID_BYTES * len(parking.claimed_ids)
    with_headers = headers_bytes <= room
    room -= headers_bytes if with_headers else 0
    with_ids = ids_bytes <= room
    room -= ids_bytes if with_ids else 0
    whole = len(parking.body) <= min(BODY_BYTES, room)
    kept_bytes = (headers_bytes if with_headers else 0) + (ids_bytes if with_ids else 0) + (len(parking.body) if whole else 0)
    row = {"kept_bytes": kept_bytes, "body": parking.body if whole else None, "headers": parking.headers if with_headers else None}
    connection.execute(insert(parked), _row(parking, now_utc) | row)
    ids = sorted(parking.claimed_ids) if with_ids else ()  # without them the row waits for a person
    insert_missing(connection, parked_event, ({"digest": parking.digest, "event_id": event_id} for event_id in ids))


def _overflow(connection: Connection, parking: Parking, now_utc: datetime) -> None:
    digest = hashlib.sha256(f"overflow:{parking.lane}:{parking.problem.code}".encode()).digest()
    again = update(parked).where(parked.c.digest == digest).values(times=parked.c.times + 1, last_seen_utc=now_utc)
    if connection.execute(again).rowcount == 0:
        row = _row(parking, now_utc) | {"digest": digest, "kept_bytes": 0, "body": None, "headers": None, "claimed_source": None}
        insert_missing(
            connection, parked, [row | {"text": f"more than {OPEN_ROWS} are parked for this code: the further ones, counted only"}]
        )


def _row(parking: Parking, now_utc: datetime) -> dict[str, Any]:
    return {
        "digest": parking.digest,
        "lane": parking.lane,
        "queue": parking.queue,
        "code": parking.problem.code,
        "text": str(parking.problem),
        "claimed_source": parking.claimed_source,
        "times": 1,
        "first_seen_utc": now_utc,
        "last_seen_utc": now_utc,
        "bytes": len(parking.body),
    }


_STILL_OPEN = (parked.c.closed_at_utc.is_(None), parked.c.code.not_in(CONFLICT_CODES))
_ANY_OPEN = select(parked.c.digest).where(*_STILL_OPEN).limit(1)  # made once: it is asked with every batch


def close_loaded(connection: Connection, event_ids: Iterable[str], now_utc: datetime) -> int:
    """Close the parked rows all of whose claimed events have a final fate now; give how many. Conflicts stay open for a person."""
    if connection.execute(_ANY_OPEN).first() is None:
        return 0
    touched = (
        select(parked.c.digest)
        .join(parked_event, parked_event.c.digest == parked.c.digest)
        .where(*_STILL_OPEN, among(connection, parked_event.c.event_id, event_ids))
    )
    taken_in = select(inbox.c.event_id).where(inbox.c.event_id == parked_event.c.event_id, inbox.c.fate != Fate.HELD.value)
    lacking = select(parked_event.c.event_id).where(parked_event.c.digest == parked.c.digest, ~taken_in.exists())
    closing = update(parked).where(*_STILL_OPEN, parked.c.digest.in_(touched), ~lacking.exists()).values(closed_at_utc=now_utc)
    return connection.execute(closing).rowcount


def still_parked(connection: Connection, digest: bytes, problem: Problem) -> None:
    """Say why a parked message cannot be opened today."""
    connection.execute(update(parked).where(parked.c.digest == digest).values(code=problem.code, text=str(problem)))


def close(connection: Connection, digest: bytes, order_number: int, now_utc: datetime) -> None:
    """A person's order has opened it (its events' loading may have closed it just now), or discards it: its row is closed and kept."""
    closed = {"closed_at_utc": func.coalesce(parked.c.closed_at_utc, literal(now_utc, Instant())), "closed_by_order": order_number}
    connection.execute(update(parked).where(parked.c.digest == digest).values(closed))


def _header(value: object) -> str | int:
    return value if isinstance(value, int) else str(value)[:100_000].replace("\0", "�").encode(errors="replace").decode()


def _urn(value: object) -> str | None:
    try:
        return Party.of_urn(str(value)).urn[:100]
    except ValueError:
        return None
