"""Finding held events and parked rows: which are open, which of them an operator means, and in which groups they fall. Reads only."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, func, select

from consumers.review.groups import Failure, name_of
from consumers.review.values import Chosen, Kind
from consumers.tables import held, inbox, parked
from schemas.errors import UsageError, shown
from schemas.fates import Fate
from schemas.names import Party

ORDER_ITEMS = 10_000  # in one order
PREFIX = 8  # hexadecimal digits that name a parked row, at least
_DIGEST = re.compile(r"[0-9a-f]{8,64}")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which of the open ones are meant: all of these must fit; nothing given means every one."""

    code: str | None = None
    queue: str | None = None
    lane: str | None = None
    source: str | None = None
    older_than: timedelta | None = None
    group: str | None = None

    def said(self) -> str:
        """As it was typed."""
        age = None if self.older_than is None else f"{int(self.older_than.total_seconds())}s"
        parts = {"code": self.code, "queue": self.queue, "lane": self.lane, "source": self.source, "older-than": age, "group": self.group}
        return " ".join(f"--{name} {value}" for name, value in parts.items() if value is not None)


@dataclass(frozen=True, slots=True)
class Waiting:
    """One open row: a held event or a parked message, as lists and choices need it.

    `lane` is the country that it came from, `times` how often it was tried or came, `whole`: it could be opened again as it came.
    """

    kind: Kind
    key: str
    lane: str
    queue: str
    code: str
    problem: str
    exception: str | None
    source: str | None
    reference: str | None
    version: int | None
    type: str | None
    first_utc: datetime
    last_utc: datetime
    times: int
    next_attempt_at_utc: datetime | None
    released_by_order: int | None
    whole: bool

    @property
    def failure(self) -> Failure:
        """What it has in common with others."""
        place = self.queue if self.kind is Kind.HELD else f"{self.lane} {self.queue}"
        return Failure(self.kind, place, self.code, self.problem, self.exception, self.first_utc, self.last_utc)

    @property
    def group(self) -> str:
        """The name of its group."""
        return name_of(self.failure)

    @property
    def chosen(self) -> Chosen:
        """As an order freezes it."""
        return Chosen(self.key, self.queue, self.code)


def waiting_rows(connection: Connection, kind: Kind, wanted: Wanted, now_utc: datetime) -> list[Waiting]:
    """The open rows that are meant, oldest first."""
    query = _HELD if kind is Kind.HELD else _PARKED
    make = _held if kind is Kind.HELD else _parked
    rows = connection.execute(query.where(*_conditions(kind, wanted, now_utc)))
    found = (make(row) for row in rows)
    return [one for one in found if wanted.group is None or one.group.startswith(wanted.group)]


def rows_named(connection: Connection, kind: Kind, names: Sequence[str]) -> list[Waiting]:
    """The open rows of these names: event ids, or the first digits of digests. UsageError where one names none, or several."""
    keys = [key_named(connection, kind, name) for name in dict.fromkeys(names)]
    if kind is Kind.HELD:
        found = {one.key: one for one in map(_held, connection.execute(_HELD.where(held.c.event_id.in_(keys))))}
    else:
        digests = [bytes.fromhex(key) for key in keys]
        found = {one.key: one for one in map(_parked, connection.execute(_PARKED.where(parked.c.digest.in_(digests))))}
    for key in keys:
        if key not in found:
            raise UsageError(*_unknown(kind), value=key)
    return [found[key] for key in keys]


def key_named(connection: Connection, kind: Kind, name: str) -> str:
    """The key of a held event or a parked row, finished ones included, from its id or the first digits of its digest."""
    name = name.strip().lower()
    if kind is Kind.HELD:
        if _UUID.fullmatch(name) is None or connection.execute(select(held.c.event_id).where(held.c.event_id == name)).first() is None:
            raise UsageError(*_unknown(kind), value=shown(name))
        return name
    if _DIGEST.fullmatch(name) is None:
        raise UsageError(*_unknown(kind), value=shown(name))
    even = bytes.fromhex(name[: len(name) // 2 * 2])
    above = parked.c.digest < _after(even) if _after(even) else parked.c.digest.is_not(None)
    candidates = connection.execute(select(parked.c.digest).where(parked.c.digest >= even, above).limit(100)).scalars()
    matching = [found.hex() for found in map(bytes, candidates) if found.hex().startswith(name)]
    if len(matching) != 1:
        told = "no such row is parked" if not matching else "several parked rows begin so: give more digits"
        raise UsageError("parked-unknown", told, value=name)
    return matching[0]


def count_decided(connection: Connection) -> int:
    """How many held events have their final fate, and only their receipt is not confirmed yet."""
    query = select(func.count()).select_from(held.join(inbox, inbox.c.event_id == held.c.event_id))
    return int(connection.execute(query.where(held.c.finished_at_utc.is_(None), inbox.c.fate != Fate.HELD.value)).scalar_one())


_HELD = (
    select(
        held.c.event_id,
        held.c.queue,
        held.c.code,
        held.c.problem,
        held.c.exception,
        held.c.attempts,
        held.c.next_attempt_at_utc,
        held.c.first_held_at_utc,
        held.c.released_by_order,
        inbox.c.source,
        inbox.c.reference,
        inbox.c.version,
        inbox.c.type,
    )
    .join(inbox, inbox.c.event_id == held.c.event_id)
    .where(held.c.finished_at_utc.is_(None), held.c.suspension.is_(None), inbox.c.fate == Fate.HELD.value)
    .order_by(held.c.first_held_at_utc, held.c.event_id)
)
_PARKED = (
    select(
        parked.c.digest,
        parked.c.lane,
        parked.c.queue,
        parked.c.code,
        parked.c.text,
        parked.c.claimed_source,
        parked.c.times,
        parked.c.first_seen_utc,
        parked.c.last_seen_utc,
        (parked.c.body.is_not(None) & parked.c.headers["routing_key"].as_string().is_not(None)).label("whole"),
    )
    .where(parked.c.closed_at_utc.is_(None))
    .order_by(parked.c.first_seen_utc, parked.c.digest)
)


def _conditions(kind: Kind, wanted: Wanted, now_utc: datetime) -> list[ColumnElement[bool]]:
    table = held if kind is Kind.HELD else parked
    source = inbox.c.source if kind is Kind.HELD else parked.c.claimed_source
    first = held.c.first_held_at_utc if kind is Kind.HELD else parked.c.first_seen_utc
    found: list[ColumnElement[bool]] = []
    if wanted.code is not None:
        found.append(table.c.code == wanted.code)
    if wanted.queue is not None:
        found.append(table.c.queue == wanted.queue)
    if wanted.lane is not None:
        found.append(inbox.c.source.startswith(f"urn:customs:{wanted.lane}:") if kind is Kind.HELD else parked.c.lane == wanted.lane)
    if wanted.source is not None:
        found.append(source == _urn(wanted.source))
    if wanted.older_than is not None:
        found.append(first <= now_utc - wanted.older_than)
    return found


def _urn(source: str) -> str:
    """A URN, or a unit such as tj-panji-poyon, which names the same post."""
    country, _, name = source.partition("-")
    return source if source.startswith("urn:") else Party(country, name).urn


def _held(row: Row[*tuple[Any, ...]]) -> Waiting:
    return Waiting(
        kind=Kind.HELD,
        key=row.event_id,
        lane=Party.of_urn(row.source).country,
        queue=row.queue,
        code=row.code,
        problem=row.problem,
        exception=row.exception,
        source=row.source,
        reference=row.reference,
        version=row.version,
        type=row.type,
        first_utc=row.first_held_at_utc,
        last_utc=row.first_held_at_utc,
        times=row.attempts,
        next_attempt_at_utc=row.next_attempt_at_utc,
        released_by_order=row.released_by_order,
        whole=True,
    )


def _parked(row: Row[*tuple[Any, ...]]) -> Waiting:
    return Waiting(
        kind=Kind.PARKED,
        key=bytes(row.digest).hex(),
        lane=row.lane,
        queue=row.queue,
        code=row.code,
        problem=row.text,
        exception=None,
        source=row.claimed_source,
        reference=None,
        version=None,
        type=None,
        first_utc=row.first_seen_utc,
        last_utc=row.last_seen_utc,
        times=row.times,
        next_attempt_at_utc=None,
        released_by_order=None,
        whole=bool(row.whole),
    )


def _after(digits: bytes) -> bytes | None:
    """The first digest beyond all that begin so; None where there is none."""
    number = int.from_bytes(digits, "big") + 1
    return number.to_bytes(len(digits), "big") if number < 256 ** len(digits) else None


def _unknown(kind: Kind) -> tuple[str, str]:
    return ("held-unknown", "no such event is held") if kind is Kind.HELD else ("parked-unknown", "no such row is parked")
