"""The count of one direction, read from the two databases that are the truth: the senders' outboxes and the receiver's inbox."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import Connection, Engine, NullPool, Table, create_engine, func, inspect, select

from broker.operations.contributions import database_exists
from broker.outbox.tables import outbox
from broker.settings.model import Settings
from consumers.tables import inbox, parked
from schemas.fates import Fate
from schemas.names import house_of


@dataclass(frozen=True, slots=True)
class Tally:
    """One direction's events. `lost`: accepted and relayed, quiet, and yet unknown to the receiver; `parked`: messages, not events."""

    accepted: int
    relayed: int
    loaded: int
    refused: int
    held: int
    parked: int
    parked_open: int
    duplicates: int
    settled: int
    lost: int

    @property
    def balanced(self) -> bool:
        """Whether every accepted event has exactly one fate at the receiver, and the sender knows the final ones."""
        return self.accepted == self.loaded + self.refused + self.held and self.settled == self.loaded + self.refused and self.lost == 0

    @property
    def waiting(self) -> int:
        """Accepted and not yet finished."""
        return self.accepted - self.settled


@cache
def _engine(url: str) -> Engine:
    if url.startswith("sqlite"):  # no connection is kept: the file may be replaced by an older copy
        return create_engine(url, poolclass=NullPool, connect_args={"timeout": 30})
    return create_engine(url, pool_pre_ping=True)


@contextmanager
def _reading(url: str, table: Table) -> Iterator[Connection | None]:
    """A connection to a database, or None while its daemon has not made its tables yet."""
    if not database_exists(url):
        yield None
        return
    with _engine(url).connect() as connection:
        yield connection if inspect(connection).has_table(table.name) else None


def tally(sender: Settings, receiver: Settings) -> Tally:
    """Count what went from one administration's posts to the other's customs house."""
    accepted, relayed, settled = _sent(sender, house_of(receiver.country).urn)
    house = receiver.house
    if house is None:
        raise ValueError("the receiver has no customs house")
    with _reading(house.database, parked) as connection:
        rows = _taken_in(connection, sender.country) if connection else []
        parked_all, parked_open = _parked(connection, sender.country) if connection else (0, 0)
    fates = Counter(row.fate for row in rows)
    return Tally(
        accepted=len(accepted),
        relayed=relayed,
        loaded=fates[Fate.LOADED],
        refused=fates[Fate.REFUSED],
        held=fates[Fate.HELD],
        parked=parked_all,
        parked_open=parked_open,
        duplicates=sum(row.duplicates for row in rows),
        settled=settled,
        lost=len(accepted - {row.event_id for row in rows}),
    )


def _sent(sender: Settings, destination: str) -> tuple[set[str], int, int]:
    accepted: set[str] = set()
    relayed = settled = 0
    query = select(outbox.c.event_id, outbox.c.relayed_at_utc, outbox.c.settled_at_utc).where(outbox.c.destination == destination)
    for post in sender.posts.values():
        with _reading(post.outbox, outbox) as connection:
            for event_id, relayed_at, settled_at in connection.execute(query) if connection else ():
                accepted.add(event_id)
                relayed += relayed_at is not None
                settled += settled_at is not None
    return accepted, relayed, settled


def _taken_in(connection: Connection, country: str) -> Sequence[Any]:
    query = select(inbox.c.event_id, inbox.c.fate, inbox.c.duplicates).where(inbox.c.source.startswith(f"urn:customs:{country}:"))
    return connection.execute(query).all()


def _parked(connection: Connection, country: str) -> tuple[int, int]:
    query = select(func.count(), func.count().filter(parked.c.closed_at_utc.is_(None))).where(parked.c.lane == country)
    everything, still = connection.execute(query).one()
    return everything, still
