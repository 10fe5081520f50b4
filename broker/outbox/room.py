"""How much more an outbox may accept: a reserve of disk, so that what was accepted can still be relayed and settled, and a bound on what
is unsettled. Only acceptance is refused, with a code; it goes on by itself once there is room again.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Connection
from sqlalchemy.engine import make_url

from broker.outbox.reading import given, unsettled
from schemas.errors import UnavailableError

MEGABYTE = 1024 * 1024
_WRITTEN_TWICE = 2  # into the write-ahead log first, into the file at its checkpoint then (SQLite, "Write-Ahead Logging")


@dataclass(slots=True)
class Counted:
    """How many events were unsettled when they were counted last, and how many numbers had been given by then."""

    unsettled: int = 0
    given: int | None = None


@dataclass(frozen=True, slots=True)
class Room:
    """The bounds: bytes of the outbox's disk that acceptance leaves free (SQLite only), and the most events that may be unsettled.

    A backlog is not counted with every acceptance: since it was `counted`, it has grown by no more than the numbers that were given.
    """

    min_free_bytes: int = 0
    max_unsettled: int | None = None
    counted: Counted = field(default_factory=Counted, compare=False)


UNBOUNDED = Room()


def free_bytes(url: str) -> int | None:
    """What is free for us on the disk of an SQLite outbox; None for another database, whose disk is its server's business."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database:
        return None
    found = os.statvfs(Path(parsed.database).parent)
    return found.f_bavail * found.f_frsize


def refuse_without_room(connection: Connection, room: Room, events: int, size_bytes: int) -> None:
    """UnavailableError `outbox-disk-low` or `outbox-unsettled` where so many events of so many bytes are more than the bounds allow."""
    if room.min_free_bytes:
        _refuse_low_disk(connection, room.min_free_bytes, size_bytes)
    if room.max_unsettled is not None:
        _refuse_backlog(connection, room.max_unsettled, room.counted, events)


def _refuse_low_disk(connection: Connection, min_free_bytes: int, size_bytes: int) -> None:
    free = free_bytes(connection.engine.url.render_as_string(hide_password=False))
    if free is None or free - _WRITTEN_TWICE * size_bytes >= min_free_bytes:
        return
    text = (
        f"the outbox's disk has {free // MEGABYTE} MB free, and {min_free_bytes // MEGABYTE} MB are kept for settling what was accepted: "
        "nothing was accepted; make room, and it goes on"
    )
    raise UnavailableError("outbox-disk-low", text, value=f"{free // MEGABYTE} MB")


def _refuse_backlog(connection: Connection, most: int, counted: Counted, events: int) -> None:
    numbers = given(connection)
    if counted.given is not None and counted.unsettled + numbers - counted.given + events <= most:
        return
    counted.unsettled, counted.given = unsettled(connection), numbers
    if counted.unsettled + events <= most:
        return
    text = f"{counted.unsettled} events are not settled yet, and {most} is the most: nothing was accepted; it goes on as receipts come home"
    raise UnavailableError("outbox-unsettled", text, value=counted.unsettled)
