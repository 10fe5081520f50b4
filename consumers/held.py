"""Held: trusted events that could not be finished. They are tried again at growing times, then left to a person, until a final fate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, insert, select, update

from consumers.tables import held, inbox
from schemas.errors import Problem
from schemas.fates import Fate

PATIENCE = (timedelta(minutes=1), timedelta(minutes=5), timedelta(minutes=30), timedelta(hours=2), timedelta(hours=12))
ANSWER_AGAIN = timedelta(minutes=1)  # a final receipt that the broker has not confirmed by then is made again


@dataclass(frozen=True, slots=True)
class HeldEvent:
    """A held event whose turn it is; `fate` is final where only its receipt is still to be confirmed."""

    event_id: str
    source: str
    digest: bytes
    raw: bytes
    received_at_utc: datetime
    fate: Fate
    problems: tuple[Problem, ...]
    reply_key: bytes | None = None


def next_attempt(attempts: int, now_utc: datetime) -> datetime | None:
    """When to try again after so many attempts (0: just held); None: it is left to a person."""
    return now_utc + PATIENCE[attempts] if attempts < len(PATIENCE) else None


def hold(connection: Connection, queue: str, held_now: Sequence[tuple[str, Problem]], now_utc: datetime) -> None:
    """Write the held rows of events whose inbox rows were just written."""
    rows = [
        {
            "event_id": event_id,
            "queue": queue,
            "code": problem.code,
            "problem": str(problem),
            "attempts": 0,
            "next_attempt_at_utc": next_attempt(0, now_utc),
            "first_held_at_utc": now_utc,
        }
        for event_id, problem in sorted(held_now, key=lambda pair: pair[0])
    ]
    if rows:
        connection.execute(insert(held), rows)


def take_due(connection: Connection, queue: str, now_utc: datetime, limit: int) -> list[HeldEvent]:
    """Take the events of this queue whose time has come, so that no other process takes them too.

    Their attempt is counted before it is made: an event that kills its worker is not tried for ever.
    """
    due = (
        select(
            held.c.event_id,
            held.c.attempts,
            inbox.c.source,
            inbox.c.digest,
            inbox.c.raw,
            inbox.c.received_at_utc,
            inbox.c.fate,
            inbox.c.problems,
            inbox.c.reply_key,
        )
        .join(inbox, inbox.c.event_id == held.c.event_id)
        .where(held.c.queue == queue, held.c.finished_at_utc.is_(None), held.c.next_attempt_at_utc <= now_utc)
        .order_by(held.c.event_id)
        .limit(limit)
        .with_for_update(of=held, skip_locked=True)
    )
    taken = []
    for row in connection.execute(due):
        fate = Fate(row.fate)
        later = now_utc + ANSWER_AGAIN if fate.final else next_attempt(row.attempts + 1, now_utc)
        attempts = row.attempts + (0 if fate.final else 1)
        connection.execute(update(held).where(held.c.event_id == row.event_id).values(attempts=attempts, next_attempt_at_utc=later))
        problems = tuple(Problem(**problem) for problem in row.problems or ())
        taken.append(
            HeldEvent(row.event_id, row.source, bytes(row.digest), bytes(row.raw), row.received_at_utc, fate, problems, row.reply_key)
        )
    return taken


def lock(connection: Connection, event_id: str) -> bool:
    """Let nobody else decide about a held event until this transaction ends; False where somebody has decided already."""
    connection.execute(select(held.c.event_id).where(held.c.event_id == event_id).with_for_update())
    # A statement of its own: PostgreSQL shows it what was committed until now.
    return connection.execute(select(inbox.c.fate).where(inbox.c.event_id == event_id)).scalar() == Fate.HELD.value


def still_held(connection: Connection, event_id: str, problem: Problem) -> None:
    """Say why the last attempt failed."""
    connection.execute(update(held).where(held.c.event_id == event_id).values(code=problem.code, problem=str(problem)))


def decided(connection: Connection, event_id: str, now_utc: datetime) -> None:
    """The event has its final fate in the inbox; the held row waits for its receipt's confirm."""
    connection.execute(update(held).where(held.c.event_id == event_id).values(next_attempt_at_utc=now_utc + ANSWER_AGAIN))


def finish(connection: Connection, event_ids: Sequence[str], now_utc: datetime) -> None:
    """The broker has confirmed the final receipts of these events: nothing is left to do for them."""
    if event_ids:
        statement = update(held).where(held.c.event_id.in_(sorted(event_ids)), held.c.finished_at_utc.is_(None))
        connection.execute(statement.values(finished_at_utc=now_utc, next_attempt_at_utc=None))


def refuse(connection: Connection, event_id: str, reason: str, now_utc: datetime) -> bool:
    """A person ends it: the event is REFUSED for good and answered by the house's next look; False where no such event is held."""
    problem = Problem(code="refused-by-person", text=reason[:500])
    refused = update(inbox).where(inbox.c.event_id == event_id, inbox.c.fate == Fate.HELD.value)
    values = {"fate": Fate.REFUSED.value, "problems": [problem.model_dump(exclude_none=True)], "decided_at_utc": now_utc}
    if connection.execute(refused.values(values)).rowcount == 0:
        return False
    connection.execute(update(held).where(held.c.event_id == event_id).values(next_attempt_at_utc=now_utc, code=problem.code))
    return True


def withdraw(connection: Connection, event_id: str, problem: Problem, now_utc: datetime) -> bool:
    """Its sender withdraws it: REFUSED for good; False where it is decided already. Whoever tries it at this moment goes before."""
    if not lock(connection, event_id):
        return False
    refused = update(inbox).where(inbox.c.event_id == event_id, inbox.c.fate == Fate.HELD.value)
    values = {"fate": Fate.REFUSED.value, "problems": [problem.model_dump(exclude_none=True)], "decided_at_utc": now_utc}
    connection.execute(refused.values(values))
    answered = {"code": problem.code, "problem": str(problem), "next_attempt_at_utc": now_utc + ANSWER_AGAIN}
    connection.execute(update(held).where(held.c.event_id == event_id).values(answered))
    return True


def retry_now(connection: Connection, event_ids: Sequence[str], now_utc: datetime) -> int:
    """A person asks for another attempt at once (no ids: of all that are held); give how many rows that concerns."""
    wanted = [held.c.event_id.in_(list(event_ids))] if event_ids else []
    statement = update(held).where(held.c.finished_at_utc.is_(None), *wanted).values(next_attempt_at_utc=now_utc, attempts=0)
    return connection.execute(statement).rowcount
