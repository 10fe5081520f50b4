"""Held: trusted events that could not be finished. They are tried again at growing times, then left to a person, until a final fate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Exists, Row, exists, insert, select, update

from consumers.surprises import Surprise
from consumers.tables import held, inbox
from schemas.errors import Problem
from schemas.fates import Fate

PATIENCE = (timedelta(minutes=1), timedelta(minutes=5), timedelta(minutes=30), timedelta(hours=2), timedelta(hours=12))
ANSWER_AGAIN = timedelta(minutes=1)  # a final receipt that the broker has not confirmed by then is made again


@dataclass(frozen=True, slots=True)
class HeldEvent:
    """A held event whose turn it is; `fate` is final where only its receipt is still to be confirmed.

    `released`: a person decided that no rule holds it any more.
    """

    event_id: str
    source: str
    digest: bytes
    raw: bytes
    received_at_utc: datetime
    fate: Fate
    problems: tuple[Problem, ...]
    reply_key: bytes | None = None
    released: bool = False


COLUMNS = (
    held.c.event_id,
    held.c.released_by_order,
    inbox.c.source,
    inbox.c.digest,
    inbox.c.raw,
    inbox.c.received_at_utc,
    inbox.c.fate,
    inbox.c.problems,
    inbox.c.reply_key,
)


def event_of(row: Row[*tuple[Any, ...]]) -> HeldEvent:
    """A held event from a row that has `COLUMNS`."""
    problems = tuple(Problem(**problem) for problem in row.problems or ())
    return HeldEvent(
        event_id=row.event_id,
        source=row.source,
        digest=bytes(row.digest),
        raw=bytes(row.raw),
        received_at_utc=row.received_at_utc,
        fate=Fate(row.fate),
        problems=problems,
        reply_key=row.reply_key,
        released=row.released_by_order is not None,
    )


def next_attempt(attempts: int, now_utc: datetime) -> datetime | None:
    """When to try again after so many attempts (0: just held); None: it is left to a person."""
    return now_utc + PATIENCE[attempts] if attempts < len(PATIENCE) else None


def _first_attempt(one: ToHold, now_utc: datetime) -> datetime | None:
    # What a worker died of would end this one too, with all that it has in hand: a person looks at it first.
    return None if one.suspension is not None or one.problem.code == "worker-died" else next_attempt(0, now_utc)


@dataclass(frozen=True, slots=True)
class ToHold:
    """An event to be held: why, what the handler raised where it did, and the suspension that holds it where one does."""

    event_id: str
    problem: Problem
    surprise: Surprise | None = None
    suspension: str | None = None


def hold(connection: Connection, queue: str, held_now: Sequence[ToHold], now_utc: datetime) -> None:
    """Write the held rows of events whose inbox rows were just written."""
    rows = [
        {
            "event_id": one.event_id,
            "queue": queue,
            "code": one.problem.code,
            "problem": str(one.problem),
            "attempts": 0,
            "next_attempt_at_utc": _first_attempt(one, now_utc),
            "first_held_at_utc": now_utc,
            "suspension": one.suspension,
            **_told(one.surprise),
        }
        for one in sorted(held_now, key=lambda each: each.event_id)
    ]
    if rows:
        connection.execute(insert(held), rows)


def some_due(queue: str, now_utc: datetime) -> Exists:
    """Whether an event of this queue waits for its next attempt or its final receipt now; one step in an index."""
    due = (held.c.finished_at_utc.is_(None), held.c.next_attempt_at_utc <= now_utc, held.c.suspension.is_(None))
    return exists().where(held.c.queue == queue, *due)


def take_due(
    connection: Connection, queue: str, now_utc: datetime, limit: int, among: ColumnElement[bool] | None = None
) -> list[HeldEvent]:
    """Take the events of this queue whose time has come (of those `among` these), so that no other process takes them too.

    Their attempt is counted before it is made: an event that kills its worker is not tried for ever.
    """
    due = (
        select(held.c.attempts, *COLUMNS)
        .join(inbox, inbox.c.event_id == held.c.event_id)
        .where(held.c.queue == queue, held.c.finished_at_utc.is_(None), held.c.next_attempt_at_utc <= now_utc)
        .where(held.c.suspension.is_(None))  # what a suspension holds is nobody's to try before that ends
        .order_by(held.c.event_id)
        .limit(limit)
        .with_for_update(of=held, skip_locked=True)
    )
    taken: list[HeldEvent] = []
    for row in connection.execute(due if among is None else due.where(among)):
        event = event_of(row)
        later = now_utc + ANSWER_AGAIN if event.fate.final else next_attempt(row.attempts + 1, now_utc)
        attempts = row.attempts + (0 if event.fate.final else 1)
        connection.execute(update(held).where(held.c.event_id == row.event_id).values(attempts=attempts, next_attempt_at_utc=later))
        taken.append(event)
    return taken


def read(connection: Connection, event_ids: Sequence[str]) -> list[HeldEvent]:
    """Those of these events that are held or were, in the order of their ids; nothing is taken."""
    query = select(*COLUMNS).join(inbox, inbox.c.event_id == held.c.event_id).where(held.c.event_id.in_(event_ids))
    return [event_of(row) for row in connection.execute(query.order_by(held.c.event_id))]


@dataclass(frozen=True, slots=True)
class Lock:
    """A held event that this transaction alone decides about; `released_by_order`: the number of the order that released it."""

    code: str
    released_by_order: int | None


def lock(connection: Connection, event_id: str, *, wait: bool = False) -> Lock | None:
    """Let nobody else decide about a held event until this transaction ends; None where somebody has decided already.

    None too where another process is about to decide, unless this one is to `wait` for it.
    """
    query = select(held.c.code, held.c.released_by_order).where(held.c.event_id == event_id, held.c.finished_at_utc.is_(None))
    row = connection.execute(query.with_for_update(skip_locked=not wait)).first()
    if row is None:
        return None
    # A statement of its own: PostgreSQL shows it what was committed until now, while the locked row may be newer than its own statement.
    fate = connection.execute(select(inbox.c.fate).where(inbox.c.event_id == event_id)).scalar_one()
    return Lock(row.code, row.released_by_order) if fate == Fate.HELD.value else None


def still_held(connection: Connection, event_id: str, problem: Problem, surprise: Surprise | None) -> None:
    """Say why the last attempt failed."""
    values = {"code": problem.code, "problem": str(problem), **_told(surprise)}
    connection.execute(update(held).where(held.c.event_id == event_id).values(values))


def decided(connection: Connection, event_id: str, answer_at_utc: datetime) -> None:
    """The event has its final fate in the inbox; the held row waits for its receipt, which is made (again) at this instant."""
    connection.execute(update(held).where(held.c.event_id == event_id).values(next_attempt_at_utc=answer_at_utc))


def due_now(connection: Connection, which: ColumnElement[bool], now_utc: datetime, released_by_order: int | None = None) -> None:
    """People want these tried at once, with all their patience before them; `released_by_order`: and loaded although a rule holds them."""
    values: dict[str, object] = {"next_attempt_at_utc": now_utc, "attempts": 0}
    if released_by_order is not None:
        values["released_by_order"] = released_by_order
    connection.execute(update(held).where(held.c.finished_at_utc.is_(None), which).values(values))


def finish(connection: Connection, event_ids: Sequence[str], now_utc: datetime) -> None:
    """The broker has confirmed the final receipts of these events: nothing is left to do for them."""
    if event_ids:
        statement = update(held).where(held.c.event_id.in_(sorted(event_ids)), held.c.finished_at_utc.is_(None))
        connection.execute(statement.values(finished_at_utc=now_utc, next_attempt_at_utc=None))


def withdraw(connection: Connection, event_id: str, problem: Problem, now_utc: datetime) -> bool:
    """Its sender withdraws it: REFUSED for good; False where it is decided already. Whoever tries it at this moment goes before."""
    if lock(connection, event_id, wait=True) is None:
        return False
    refused = update(inbox).where(inbox.c.event_id == event_id, inbox.c.fate == Fate.HELD.value)
    values = {"fate": Fate.REFUSED.value, "problems": [problem.model_dump(exclude_none=True)], "decided_at_utc": now_utc}
    connection.execute(refused.values(values))
    answered = {"code": problem.code, "problem": str(problem), "next_attempt_at_utc": now_utc + ANSWER_AGAIN, "suspension": None}
    connection.execute(update(held).where(held.c.event_id == event_id).values(answered))
    return True


def _told(surprise: Surprise | None) -> dict[str, str | None]:
    if surprise is None:
        return {"exception": None, "traceback": None}
    return {"exception": surprise.exception, "traceback": surprise.traceback}
