"""Suspensions of intake, in the house's database: what they cover comes in as HELD, its bytes kept and nothing decided, until they end.

A suspension that has ended goes on covering what arrives until all that it held back is taken up (`drained_at_utc`), so that what came
first is decided first. Taking it up stands in `retrying`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Exists, Row, and_, exists, func, insert, or_, select, update

from broker.audit import Act, append
from broker.suspension import Scope, Suspension
from consumers import held
from consumers.held import HeldEvent
from consumers.tables import audit, inbox, suspension
from consumers.tables import held as held_table
from schemas.errors import Problem
from schemas.names import Party

PROBLEM = Problem(code="suspended", text="loading this is suspended for now: it is kept, and decided when that ends")


_ALL = select(suspension).order_by(suspension.c.begun_at_utc, suspension.c.id)
_OPEN = _ALL.where(suspension.c.drained_at_utc.is_(None))  # made once: it is asked with every batch


def begin(connection: Connection, begun: Suspension) -> None:
    """Hold from now on what it covers."""
    row = {
        "id": begun.id,
        "partner": begun.scope.partner,
        "post": begun.scope.post,
        "type": begun.scope.type,
        "reason": begun.reason,
        "begun_by": begun.begun_by,
        "begun_at_utc": begun.begun_at_utc,
        "until_utc": begun.until_utc,
    }
    connection.execute(insert(suspension), row)
    detail = {"direction": "intake", **{name: row[name] for name in ("partner", "post", "type", "until_utc")}}
    append(connection, audit, Act(begun.begun_by, "suspension.begun", begun.id, begun.reason, detail), begun.begun_at_utc)


def end(connection: Connection, suspension_id: str, actor: str, reason: str, now_utc: datetime) -> bool:
    """Let what it held be taken up; False where no such suspension is in force."""
    in_force = (suspension.c.id == suspension_id, suspension.c.ended_at_utc.is_(None), _to_come(now_utc))
    values = {"ended_at_utc": now_utc, "ended_by": actor, "end_reason": reason}
    if connection.execute(update(suspension).where(*in_force).values(values)).rowcount == 0:
        return False
    append(connection, audit, Act(actor, "suspension.ended", suspension_id, reason, {"direction": "intake"}), now_utc)
    return True


def read(connection: Connection, *, ended: bool = False) -> list[Suspension]:
    """Those that nobody has ended or that still hold something, or with `ended` all that ever were, oldest first."""
    return [_value(row) for row in connection.execute(_ALL if ended else _OPEN)]


def holding(connection: Connection, suspension_id: str) -> int:
    """How many events it holds back."""
    query = select(func.count()).where(held_table.c.suspension == suspension_id, held_table.c.finished_at_utc.is_(None))
    return int(connection.execute(query).scalar_one())


def covering(suspensions: Sequence[Suspension], source: str, event_type: str) -> str | None:
    """The id of the first of these that covers an event of that type from that post (URN)."""
    party = Party.of_urn(source) if suspensions else None
    return next((one.id for one in suspensions if party is not None and one.scope.covers(party, event_type)), None)


def some_over(queue: str, now_utc: datetime) -> Exists:
    """Whether a suspension has ended and something is still to be done for it: events of this queue, or to say that none are left."""
    holds = exists().where(held_table.c.suspension == suspension.c.id, held_table.c.finished_at_utc.is_(None))
    here = exists().where(held_table.c.suspension == suspension.c.id, held_table.c.queue == queue, held_table.c.finished_at_utc.is_(None))
    return exists().where(_over(now_utc), or_(here, and_(suspension.c.drained_at_utc.is_(None), ~holds)))


def take_up(connection: Connection, queue: str, now_utc: datetime, limit: int) -> tuple[list[HeldEvent], int]:
    """Take events of this queue whose suspension has ended, those accepted first, sorted by version; no other process takes them too.

    They become held events like any other, tried within a minute should this process die of one. Those that another suspension covers
    stay with that one. Gives those taken, and how many were moved or taken.
    """
    over = select(suspension.c.id).where(_over(now_utc))
    query = (
        select(inbox.c.type, inbox.c.reference, inbox.c.version, *held.COLUMNS)
        .join(inbox, inbox.c.event_id == held_table.c.event_id)
        .where(held_table.c.queue == queue, held_table.c.suspension.in_(over), held_table.c.finished_at_utc.is_(None))
        .order_by(held_table.c.event_id)
        .limit(limit)
        .with_for_update(of=held_table, skip_locked=True)
    )
    others = [one for one in read(connection) if one.in_force(now_utc)]
    taken: list[HeldEvent] = []
    moved: dict[str, list[str]] = {}
    for row in sorted(connection.execute(query), key=lambda row: (row.reference, row.version or 0, row.event_id)):
        other = covering(others, row.source, row.type)
        if other is None:
            taken.append(held.event_of(row))
        else:
            moved.setdefault(other, []).append(row.event_id)
    for other, ids in moved.items():
        _set(connection, ids, suspension=other)
    _set(connection, [event.event_id for event in taken], suspension=None, next_attempt_at_utc=held.next_attempt(0, now_utc))
    return taken, len(taken) + sum(map(len, moved.values()))


def note_drained(connection: Connection, now_utc: datetime) -> list[str]:
    """Say of suspensions that have ended and hold nothing any more that they are done; gives their ids."""
    holds = exists().where(held_table.c.suspension == suspension.c.id, held_table.c.finished_at_utc.is_(None))
    done = (_over(now_utc), suspension.c.drained_at_utc.is_(None), ~holds)
    ids = list(connection.execute(select(suspension.c.id).where(*done)).scalars())
    if ids:
        connection.execute(update(suspension).where(suspension.c.id.in_(ids)).values(drained_at_utc=now_utc))
    return ids


def _set(connection: Connection, event_ids: Collection[str], **values: Any) -> None:
    if event_ids:
        connection.execute(update(held_table).where(held_table.c.event_id.in_(sorted(event_ids))).values(values))


def _over(now_utc: datetime) -> ColumnElement[bool]:
    return or_(suspension.c.ended_at_utc.is_not(None), suspension.c.until_utc <= now_utc)


def _to_come(now_utc: datetime) -> ColumnElement[bool]:
    return or_(suspension.c.until_utc.is_(None), suspension.c.until_utc > now_utc)


def _value(row: Row[*tuple[Any, ...]]) -> Suspension:
    return Suspension(
        id=row.id,
        scope=Scope(row.partner, row.post, row.type),
        reason=row.reason,
        begun_by=row.begun_by,
        begun_at_utc=row.begun_at_utc,
        until_utc=row.until_utc,
        ended_at_utc=row.ended_at_utc,
        ended_by=row.ended_by,
        end_reason=row.end_reason,
    )
