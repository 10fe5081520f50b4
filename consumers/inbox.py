"""The inbox: one row per event taken in, with its fate; looked up before a batch and written with its load. Held rows: `held`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Dialect, Row, Select, bindparam, func, select, update

from consumers.columns import json_text
from consumers.context import ReceivedEvent
from consumers.database import each_by_key, insert_rows, member_of
from consumers.surprises import Surprise
from consumers.tables import inbox
from consumers.tables import stream as noted
from schemas.errors import Problem
from schemas.fates import Fate

Place = tuple[str, str, str, str, int]  # source, destination, type, epoch, sequence


@dataclass(frozen=True, slots=True)
class Known:
    """What the inbox holds of an event that came before."""

    event_id: str
    place: Place
    digest: bytes
    fate: Fate
    problems: tuple[Problem, ...]
    reply_key: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class InboxRow:
    """One event with its fate, to be written."""

    event_id: str
    place: Place
    reference: str
    version: int | None
    digest: bytes
    fate: Fate
    problems: tuple[Problem, ...]
    received_at_utc: datetime
    bundle_digest: bytes
    content: bytes | None
    reply_key: bytes | None
    raw: bytes
    purpose: str
    legal_basis: str
    surprise: Surprise | None = None  # for the held row, as `suspension`: the inbox says no more than the sender learns
    suspension: str | None = None


_COLUMNS = (
    inbox.c.event_id,
    inbox.c.source,
    inbox.c.destination,
    inbox.c.type,
    inbox.c.epoch,
    inbox.c.sequence,
    inbox.c.digest,
    inbox.c.fate,
    inbox.c.problems,
    inbox.c.reply_key,
)


def look_up(connection: Connection, ids: Sequence[str], places: Iterable[Place]) -> list[Known]:
    """Give the rows that carry one of these ids or stand at one of these places of their streams; each once."""
    rows = connection.execute(_with_ids(connection.dialect), {"ids": list(ids)}) if ids else ()
    found = {row.event_id: _known(row) for row in rows}
    streams: dict[tuple[str, str, str, str], list[int]] = defaultdict(list)
    for source, destination, event_type, epoch, sequence in places:
        streams[(source, destination, event_type, epoch)].append(sequence)
    for stream, sequences in streams.items():
        asked = dict(zip(("source", "destination", "type", "epoch"), stream, strict=True))
        for row in connection.execute(_at_places(connection.dialect), asked | {"sequences": sequences}):
            found.setdefault(row.event_id, _known(row))
    return list(found.values())


@lru_cache
def _with_ids(dialect: Dialect) -> Select[Any]:
    return select(*_COLUMNS).where(member_of(dialect, inbox.c.event_id, "ids"))


@lru_cache
def _at_places(dialect: Dialect) -> Select[Any]:
    stream = (inbox.c[name] == bindparam(name) for name in ("source", "destination", "type", "epoch"))
    return each_by_key(dialect, select(*_COLUMNS).where(*stream), inbox.c.sequence, "sequences")


def highest(connection: Connection, source: str, epoch: str) -> int:
    """The highest sequence held of any stream of this epoch from this post (URN), 0 for none.

    The unique index begins with (epoch, type, sequence): one step from the end of each stream, however many rows there are.
    """
    return connection.execute(highest_of(source, epoch)).scalar() or 0


def highest_of(source: str, epoch: str) -> Select[Any]:
    """The question of `highest`; tests look at its plan."""
    here = (inbox.c.epoch == noted.c.epoch, inbox.c.type == noted.c.type, inbox.c.source == noted.c.source)
    last = select(inbox.c.sequence).where(*here).order_by(inbox.c.sequence.desc()).limit(1).scalar_subquery()
    return select(func.max(last)).select_from(noted).where(noted.c.source == source, noted.c.epoch == epoch)


def write_rows(connection: Connection, rows: Sequence[InboxRow], decided_at_utc: datetime) -> None:
    """Write the rows of a batch, sorted by key so that two processes never wait for each other in a circle."""
    insert_rows(
        connection,
        inbox,
        [
            (
                row.event_id,
                *row.place,
                row.reference,
                row.version,
                row.digest,
                row.fate.value,
                problems_text(row.problems),
                row.received_at_utc,
                decided_at_utc,
                0,
                row.bundle_digest,
                row.content,
                row.reply_key,
                row.raw,
                row.purpose,
                row.legal_basis,
            )
            for row in sorted(rows, key=lambda row: row.event_id)
        ],
    )


def count_duplicates(connection: Connection, ids: Iterable[str]) -> None:
    """Count one more arrival for each of these events (an id as often as it came)."""
    times: dict[str, int] = defaultdict(int)
    for event_id in ids:
        times[event_id] += 1
    if times:
        statement = update(inbox).where(inbox.c.event_id == bindparam("id")).values(duplicates=inbox.c.duplicates + bindparam("times"))
        connection.execute(statement, [{"id": event_id, "times": times[event_id]} for event_id in sorted(times)])


def fate_of(connection: Connection, event_id: str) -> Fate | None:
    """The fate of an event that was taken in; None where the inbox holds none."""
    fate = connection.execute(select(inbox.c.fate).where(inbox.c.event_id == event_id)).scalar()
    return None if fate is None else Fate(fate)


def finish_held(connection: Connection, event_id: str, fate: Fate, problems: tuple[Problem, ...], now_utc: datetime) -> bool:
    """Give an event that was HELD its final fate; False where it had one already, and then nothing is changed."""
    told = [problem.model_dump(exclude_none=True) for problem in problems] or None
    waiting = update(inbox).where(inbox.c.event_id == event_id, inbox.c.fate == Fate.HELD.value)
    return connection.execute(waiting.values(fate=fate.value, problems=told, decided_at_utc=now_utc)).rowcount == 1


def now_readable(connection: Connection, event: ReceivedEvent, reply_key: bytes) -> None:
    """Note what could be read of a held event only now: it came encrypted to a key that was missing."""
    values = {"reference": event.reference, "version": event.version, "content": event.content, "reply_key": reply_key}
    connection.execute(update(inbox).where(inbox.c.event_id == event.id).values(values))


def problems_text(problems: tuple[Problem, ...]) -> str | None:
    """Problems as the JSON column keeps them."""
    return json_text([problem.model_dump(exclude_none=True) for problem in problems]) if problems else None


def problems_of(value: list[dict[str, str]] | None) -> tuple[Problem, ...]:
    """Problems as they were kept."""
    return tuple(Problem(**problem) for problem in value or ())


def _known(row: Row[*tuple[Any, ...]]) -> Known:
    place = (row.source, row.destination, row.type, row.epoch, row.sequence)
    return Known(row.event_id, place, bytes(row.digest), Fate(row.fate), problems_of(row.problems), row.reply_key)
