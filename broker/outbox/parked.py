"""Control messages that were not believed: one row per body, counted, so that a flood costs no more room than `ROWS` rows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, delete, func, insert, select, update

from broker.outbox.tables import parked_control
from broker.outbox.values import ParkedControl

ROWS = 1_000  # beyond, the ones not seen for longest are forgotten: each was logged when it came


def record_parked(connection: Connection, parked: Sequence[ParkedControl], now: datetime) -> None:
    """Count each by the digest of its body. Called within the store's transaction."""
    for one in parked:
        again = (
            update(parked_control)
            .where(parked_control.c.digest == one.digest)
            .values(times=parked_control.c.times + 1, last_seen_utc=now, code=one.code)
        )
        if connection.execute(again).rowcount == 0:
            row = {"digest": one.digest, "lane": one.lane, "code": one.code, "times": 1, "first_seen_utc": now, "last_seen_utc": now}
            connection.execute(insert(parked_control), row)
    surplus = connection.execute(select(func.count()).select_from(parked_control)).scalar_one() - ROWS
    if parked and surplus > 0:
        oldest = select(parked_control.c.digest).order_by(parked_control.c.last_seen_utc).limit(surplus)
        connection.execute(delete(parked_control).where(parked_control.c.digest.in_(oldest)))
