"""Suspensions of outflow, in the outbox that they hold back. Called within the store's transactions; applied by the relay."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, func, insert, select, update

from broker.audit import Act, append
from broker.outbox.reading import destinations
from broker.outbox.tables import audit, outbox, suspension
from broker.statements import in_parts
from broker.suspension import Scope, Suspension
from schemas.names import Party


def begin(connection: Connection, begun: Suspension) -> None:
    """Hold back from now on what it covers."""
    row = {
        "id": begun.id,
        "partner": begun.scope.partner,
        "type": begun.scope.type,
        "reason": begun.reason,
        "begun_by": begun.begun_by,
        "begun_at_utc": begun.begun_at_utc,
        "until_utc": begun.until_utc,
    }
    connection.execute(insert(suspension), row)
    detail = {"direction": "outflow", "partner": begun.scope.partner, "type": begun.scope.type, "until_utc": begun.until_utc}
    append(connection, audit, Act(begun.begun_by, "suspension.begun", begun.id, begun.reason, detail), begun.begun_at_utc)


def end(connection: Connection, suspension_id: str, actor: str, reason: str, now: datetime) -> bool:
    """Let go what it held back; False where no such suspension is in force here."""
    found = next((one for one in read(connection) if one.id == suspension_id and one.in_force(now)), None)
    if found is None:
        return False
    values = {"ended_at_utc": now, "ended_by": actor, "end_reason": reason}
    connection.execute(update(suspension).where(suspension.c.id == suspension_id).values(values))
    append(connection, audit, Act(actor, "suspension.ended", suspension_id, reason, {"direction": "outflow"}), now)
    return True


def read(connection: Connection, *, ended: bool = False) -> list[Suspension]:
    """Those that nobody has ended, or with `ended` all that ever were, oldest first."""
    query = select(suspension).order_by(suspension.c.begun_at_utc, suspension.c.id)
    rows = connection.execute(query if ended else query.where(suspension.c.ended_at_utc.is_(None)))
    return [
        Suspension(
            id=row.id,
            scope=Scope(row.partner, None, row.type),
            reason=row.reason,
            begun_by=row.begun_by,
            begun_at_utc=row.begun_at_utc,
            until_utc=row.until_utc,
            ended_at_utc=row.ended_at_utc,
            ended_by=row.ended_by,
            end_reason=row.end_reason,
        )
        for row in rows
    ]


def count_waiting(connection: Connection, scope: Scope) -> int:
    """How many events wait here that this scope covers."""
    count = select(func.count()).select_from(outbox).where(outbox.c.withdrawal.is_(None))
    waits = (outbox.c.relayed_at_utc.is_(None), outbox.c.settled_at_utc.is_(None))
    if scope.type is not None:
        count = count.where(outbox.c.type == scope.type)
    return sum(
        int(connection.execute(count.where(outbox.c.destination == destination, *waits)).scalar_one())
        for destination in destinations(connection)  # asked one by one, so that the partial index answers
        if scope.partner in (None, Party.of_urn(destination).country)
    )


def held_back(connection: Connection, event_ids: Sequence[str], now: datetime) -> set[str]:
    """Those of these events that are not settled and that a suspension in force holds back."""
    in_force = [one for one in read(connection) if one.in_force(now)]
    found: set[str] = set()
    columns = (outbox.c.event_id, outbox.c.destination, outbox.c.type)
    for ids in in_parts(event_ids if in_force else ()):
        named = outbox.c.event_id.in_(ids)
        for row in connection.execute(select(*columns).where(named, outbox.c.settled_at_utc.is_(None), outbox.c.withdrawal.is_(None))):
            if any(one.scope.covers(Party.of_urn(row.destination), row.type) for one in in_force):
                found.add(row.event_id)
    return found
