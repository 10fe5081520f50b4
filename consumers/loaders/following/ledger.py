"""What a follower has still to do, and what it has done: the cursor that misses nothing and repeats nothing.

A load that began early may be committed late, by another process; clocks and ids say nothing about what will yet appear. So a follower's
work is a difference of sets: loaded events without a row in `followed`. What keeps it small is the streams' own numbering: each sequence is
given to one event for ever (a unique key), so once all sequences of a stream up to n are there, final and done with, nothing at or below n
can ever appear: `follow_mark.done_to`. A hole, a held event or an uncommitted load stops the mark, never the others above it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time
from typing import Any

from sqlalchemy import Connection, Select, and_, case, delete, exists, func, insert, select, update
from sqlalchemy.sql import ColumnElement

from broker.settings.followers import Follower
from consumers import held
from consumers.database import among, insert_missing
from consumers.loaders.following.tables import follow_mark, followed, follower
from consumers.loaders.following.values import Done, Outcome
from consumers.tables import inbox, stream
from schemas.errors import Problem
from schemas.fates import Fate

_MARK_STEP = 1_000  # sequences looked at together


@dataclass(frozen=True, slots=True)
class Standing:
    """How a follower stands: what waits for it and since when, what it has done and when last, and what keeps it from going on."""

    name: str
    behind: int
    oldest_utc: datetime | None
    outcomes: dict[str, int]
    failed_for_good: int
    trouble: Problem | None
    trouble_since_utc: datetime | None
    last_success_utc: datetime | None = None


def begin(connection: Connection, name: str, now_utc: datetime) -> None:
    """Write down that there is such a follower."""
    insert_missing(connection, follower, [{"name": name, "began_at_utc": now_utc}])


def take(connection: Connection, name: str) -> None:
    """Let nobody else work for this follower until the transaction ends: another daemon, or a person who has it do things again."""
    connection.execute(select(follower.c.name).where(follower.c.name == name).with_for_update())


def waiting(settings: Follower, *columns: ColumnElement[Any]) -> Select[Any]:
    """Select these columns of `inbox` for the events that are loaded, released for the purpose, and not done."""
    done_to = func.coalesce(follow_mark.c.done_to, 0)
    mark = and_(
        follow_mark.c.follower == settings.name,
        follow_mark.c.source == stream.c.source,
        follow_mark.c.epoch == stream.c.epoch,
        follow_mark.c.type == stream.c.type,
    )
    place = and_(
        inbox.c.epoch == stream.c.epoch, inbox.c.source == stream.c.source, inbox.c.type == stream.c.type, inbox.c.sequence > done_to
    )
    did = exists().where(followed.c.event_id == inbox.c.event_id, followed.c.follower == settings.name)
    return (
        select(*columns)
        .select_from(stream.outerjoin(follow_mark, mark).join(inbox, place))
        .where(stream.c.type.in_([each.value for each in settings.types]), _meant(settings), ~did)
    )


def _meant(settings: Follower) -> ColumnElement[bool]:
    meant = and_(inbox.c.fate == Fate.LOADED.value, inbox.c.purpose == settings.purpose)
    if settings.since is None:
        return meant
    return and_(meant, inbox.c.received_at_utc >= datetime.combine(settings.since, time(), UTC))


def something_waits(connection: Connection, settings: Follower, now_utc: datetime) -> bool:
    """Whether there is anything to be carried on now."""
    return (
        connection.execute(_due(settings, now_utc, followed.c.event_id).union_all(waiting(settings, inbox.c.event_id)).limit(1)).first()
        is not None
    )


def _due(settings: Follower, now_utc: datetime, *columns: Any) -> Select[Any]:
    return (
        select(*columns)
        .select_from(inbox)
        .join(followed, followed.c.event_id == inbox.c.event_id)
        .where(followed.c.follower == settings.name, followed.c.outcome == Outcome.FAILED.value, followed.c.next_attempt_at_utc <= now_utc)
    )


def next_rows(connection: Connection, settings: Follower, limit: int, now_utc: datetime) -> list[Any]:
    """Give up to `limit` inbox rows to be carried on: those that failed and are due again, then those that wait."""
    rows = list(connection.execute(_due(settings, now_utc, inbox).limit(limit)))
    ids = list(connection.execute(waiting(settings, inbox.c.event_id).limit(limit - len(rows))).scalars()) if len(rows) < limit else []
    if ids:
        rows += connection.execute(select(inbox).where(among(connection, inbox.c.event_id, ids)))
    return sorted(rows, key=lambda row: (row.reference, row.version or 0, row.event_id))


def highest_versions(connection: Connection, settings: Follower, references: Iterable[str]) -> dict[str, int]:
    """The highest loaded version of each of these declarations, among those released for the purpose."""
    query = select(inbox.c.reference, func.max(inbox.c.version)).where(
        among(connection, inbox.c.reference, sorted(set(references))),
        inbox.c.fate == Fate.LOADED.value,
        inbox.c.purpose == settings.purpose,
    )
    return {row[0]: row[1] for row in connection.execute(query.group_by(inbox.c.reference))}


def known_versions(connection: Connection, name: str, references: Iterable[str]) -> set[tuple[str, str, int]]:
    """Type, reference and version of what was done before of these declarations."""
    query = (
        select(inbox.c.type, followed.c.reference, followed.c.version)
        .join(inbox, inbox.c.event_id == followed.c.event_id)
        .where(followed.c.follower == name, among(connection, followed.c.reference, sorted(set(references))))
        .where(followed.c.outcome != Outcome.FAILED.value)
    )
    return {(row.type, row.reference, row.version) for row in connection.execute(query)}


def note(connection: Connection, name: str, rows: Sequence[Any], done: Sequence[Done], now_utc: datetime) -> None:
    """Write down what became of these inbox rows; a failed one is tried again at growing times, then left to a person."""
    if not rows:
        return
    ids = [row.event_id for row in rows]
    before = connection.execute(
        select(followed.c.event_id, followed.c.attempts).where(followed.c.follower == name, among(connection, followed.c.event_id, ids))
    )
    attempts = {row.event_id: row.attempts for row in before}
    named = {row.event_id: (row.reference, row.version or 0) for row in rows}
    if attempts:
        connection.execute(delete(followed).where(followed.c.follower == name, among(connection, followed.c.event_id, list(attempts))))
    connection.execute(insert(followed), [_row(name, one, *named[one.event_id], attempts.get(one.event_id, 0), now_utc) for one in done])


def _row(name: str, one: Done, reference: str, version: int, attempts: int, now_utc: datetime) -> dict[str, Any]:
    failed = one.outcome is Outcome.FAILED
    return {
        "event_id": one.event_id,
        "follower": name,
        "reference": reference,
        "version": version,
        "outcome": one.outcome.value,
        "detail": one.detail,
        "code": one.problem.code if one.problem is not None else None,
        "attempts": attempts + failed,
        "next_attempt_at_utc": held.next_attempt(attempts, now_utc) if failed else None,
        "at_utc": now_utc,
    }


def raise_marks(connection: Connection, settings: Follower, epochs: Collection[str] | None = None) -> None:
    """Move the mark of each stream (of these epochs) up to where everything is done with. The follower must be taken."""
    query = select(stream.c.source, stream.c.epoch, stream.c.type, stream.c.pruned_to).where(
        stream.c.type.in_([each.value for each in settings.types])
    )
    if epochs is not None:
        query = query.where(stream.c.epoch.in_(sorted(epochs)))
    marks = {
        (row.source, row.epoch, row.type): row.done_to
        for row in connection.execute(select(follow_mark).where(follow_mark.c.follower == settings.name))
    }
    for source, epoch, kind, pruned_to in connection.execute(query).all():
        mark = marks.get((source, epoch, kind))
        done_to = _done_to(connection, settings, (source, epoch, kind), max(mark or 0, pruned_to))
        key = {"follower": settings.name, "source": source, "epoch": epoch, "type": kind}
        if mark is None and done_to:
            connection.execute(insert(follow_mark), {**key, "done_to": done_to})
        elif mark is not None and done_to > mark:
            here = and_(*(follow_mark.c[column] == value for column, value in key.items()))
            connection.execute(update(follow_mark).where(here).values(done_to=done_to))


def _done_to(connection: Connection, settings: Follower, place: tuple[str, str, str], mark: int) -> int:
    source, epoch, kind = place
    done = case((inbox.c.fate == Fate.HELD.value, False), (_meant(settings), followed.c.event_id.is_not(None)), else_=True)
    while True:
        query = (
            select(inbox.c.sequence, done.label("done"))
            .outerjoin(followed, and_(followed.c.event_id == inbox.c.event_id, followed.c.follower == settings.name))
            .where(inbox.c.epoch == epoch, inbox.c.source == source, inbox.c.type == kind, inbox.c.sequence > mark)
            .order_by(inbox.c.sequence)
            .limit(_MARK_STEP)
        )
        start = mark
        for sequence, is_done in connection.execute(query):
            if sequence != mark + 1 or not is_done:
                return mark
            mark = sequence
        if mark < start + _MARK_STEP:
            return mark


def forget(connection: Connection, name: str, *which: ColumnElement[bool]) -> int:
    """Have a follower do again what it did with these events (conditions over `followed`); gives how many. It must be taken."""
    chosen = select(followed.c.event_id).where(followed.c.follower == name, *which)
    lowest = select(inbox.c.source, inbox.c.epoch, inbox.c.type, func.min(inbox.c.sequence).label("first")).where(
        inbox.c.event_id.in_(chosen)
    )
    for row in connection.execute(lowest.group_by(inbox.c.source, inbox.c.epoch, inbox.c.type)).all():
        here = (follow_mark.c.source == row.source, follow_mark.c.epoch == row.epoch, follow_mark.c.type == row.type)
        above = update(follow_mark).where(follow_mark.c.follower == name, *here, follow_mark.c.done_to >= row.first)
        connection.execute(above.values(done_to=row.first - 1))
    return connection.execute(delete(followed).where(followed.c.follower == name, *which)).rowcount


def note_trouble(connection: Connection, name: str, trouble: Problem | None, now_utc: datetime) -> None:
    """Write down what keeps a follower from going on, or that nothing does any more; the first instant of the same trouble stays."""
    if trouble is None:
        values: dict[str, Any] = {"trouble_code": None, "trouble": None, "trouble_since_utc": None}
        connection.execute(update(follower).where(follower.c.name == name, follower.c.trouble_code.is_not(None)).values(values))
        return
    since = case((follower.c.trouble_code == trouble.code, follower.c.trouble_since_utc), else_=now_utc)
    told = {"trouble_code": trouble.code, "trouble": str(trouble), "trouble_since_utc": since}
    connection.execute(update(follower).where(follower.c.name == name).values(told))


def standing(connection: Connection, settings: Follower) -> Standing:
    """How a follower stands; nothing is changed."""
    behind, oldest = connection.execute(waiting(settings, func.count(), func.min(inbox.c.decided_at_utc))).one()
    each = (followed.c.outcome, func.count().label("events"), func.max(followed.c.at_utc).label("last_utc"))
    by_outcome = connection.execute(select(*each).where(followed.c.follower == settings.name).group_by(followed.c.outcome)).all()
    for_good = select(func.count()).where(
        followed.c.follower == settings.name, followed.c.outcome == Outcome.FAILED.value, followed.c.next_attempt_at_utc.is_(None)
    )
    row = connection.execute(select(follower).where(follower.c.name == settings.name)).first()
    troubled = row is not None and row.trouble_code is not None
    return Standing(
        name=settings.name,
        behind=int(behind),
        oldest_utc=oldest,
        outcomes={outcome.outcome: int(outcome.events) for outcome in by_outcome},
        failed_for_good=int(connection.execute(for_good).scalar_one()),
        trouble=Problem(code=row.trouble_code, text=str(row.trouble)[:500]) if row is not None and troubled else None,
        trouble_since_utc=row.trouble_since_utc if row is not None else None,
        last_success_utc=max((outcome.last_utc for outcome in by_outcome if outcome.outcome != Outcome.FAILED.value), default=None),
    )


def failures(connection: Connection, name: str, limit: int) -> list[Any]:
    """The events that could not be carried on, oldest first."""
    query = select(followed).where(followed.c.follower == name, followed.c.outcome == Outcome.FAILED.value)
    return list(connection.execute(query.order_by(followed.c.at_utc, followed.c.event_id).limit(limit)))
