"""The count of one direction, read from the two databases that are the truth: the senders' outboxes and the receiver's inbox."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from sqlalchemy import Engine, create_engine, func, select

from broker.outbox.tables import outbox
from broker.settings.model import Settings
from consumers.tables import held, inbox, parked
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
    return create_engine(url, connect_args={"timeout": 30} if url.startswith("sqlite") else {})


def tally(sender: Settings, receiver: Settings) -> Tally:
    """Count what went from one administration's posts to the other's customs house."""
    destination = house_of(receiver.country).urn
    accepted: set[str] = set()
    relayed = settled = 0
    for post in sender.posts.values():
        with _engine(post.outbox).connect() as connection:
            query = select(outbox.c.event_id, outbox.c.relayed_at_utc, outbox.c.settled_at_utc).where(outbox.c.destination == destination)
            for event_id, relayed_at, settled_at in connection.execute(query):
                accepted.add(event_id)
                relayed += relayed_at is not None
                settled += settled_at is not None
    house = receiver.house
    if house is None:
        raise ValueError("the receiver has no customs house")
    with _engine(house.database).connect() as connection:
        of_sender = inbox.c.source.like(f"urn:customs:{sender.country}:%")
        rows = connection.execute(select(inbox.c.event_id, inbox.c.fate, inbox.c.duplicates).where(of_sender)).all()
        parked_all = connection.scalar(select(func.count()).select_from(parked).where(parked.c.lane == sender.country)) or 0
        still = connection.scalar(
            select(func.count()).select_from(parked).where(parked.c.lane == sender.country, parked.c.closed_at_utc.is_(None))
        )
        left = connection.scalar(
            select(func.count())
            .select_from(held.join(inbox, inbox.c.event_id == held.c.event_id))
            .where(of_sender, held.c.finished_at_utc.is_(None), inbox.c.fate == Fate.HELD)
        )
    fates = [row.fate for row in rows]
    return Tally(
        accepted=len(accepted),
        relayed=relayed,
        loaded=fates.count(Fate.LOADED),
        refused=fates.count(Fate.REFUSED),
        held=left or 0,
        parked=parked_all,
        parked_open=still or 0,
        duplicates=sum(row.duplicates for row in rows),
        settled=settled,
        lost=len(accepted - {row.event_id for row in rows}),
    )
