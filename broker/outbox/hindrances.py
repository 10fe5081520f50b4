"""What keeps this outbox's relay from sending, as the relay noted it last. Called within the store's transactions."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Connection, delete, insert, select

from broker.outbox.tables import hindrance
from broker.outbox.values import Hindrance


def note(connection: Connection, found: Mapping[tuple[str, str], str], now: datetime) -> None:
    """Note what hinders now, by destination and code, in words; what was noted before keeps its beginning."""
    since = {(one.destination, one.code): one.since_utc for one in noted(connection)}
    connection.execute(delete(hindrance))
    rows = [
        {"destination": destination, "code": code, "words": words, "since_utc": since.get((destination, code), now)}
        for (destination, code), words in sorted(found.items())
    ]
    if rows:
        connection.execute(insert(hindrance), rows)


def noted(connection: Connection) -> list[Hindrance]:
    """What was noted last."""
    rows = connection.execute(select(hindrance).order_by(hindrance.c.destination, hindrance.c.code))
    return [Hindrance(row.destination, row.code, row.words, row.since_utc) for row in rows]
