"""What an outbox can be asked: one transaction each, that only reads. The SQL stands in `reading`, and beside the tables it is about."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Engine

from broker.outbox import copying, hindrances, reading, recovering, suspending
from broker.outbox.engine import last_write
from broker.outbox.engine import reading as reading_of
from broker.outbox.stages import Standing, standings
from broker.outbox.values import (
    ANY_TYPE,
    BeaconState,
    Depth,
    EventFate,
    Hindrance,
    KeptRow,
    Life,
    OutboxRow,
    RelayedRow,
    Types,
)
from broker.outbox.versioning import types_of
from broker.suspension import Scope, Suspension
from schemas.control import StreamHead


class OutboxQuestions:
    """How one unit's outbox stands, for the relay, for commands and for evidence."""

    def __init__(self, engine: Engine, life: Life, clock: Callable[[], datetime]) -> None:
        self._engine = engine
        self._life = life
        self._clock = clock

    def last_write(self) -> object:
        """Something that differs after another commit, of whichever process, for next to no cost; None where there is no such sign."""
        return last_write(self._engine)

    def epochs(self) -> list[str]:
        """The epochs of all its lives, oldest first."""
        with reading_of(self._engine) as connection:
            return [life.epoch for life, _ in reading.lives(connection)]

    def accepted(self) -> tuple[str, int]:
        """The current epoch, and how many events were accepted in it. Never less than before, but where the outbox was set back."""
        with reading_of(self._engine) as connection:
            return reading.accepted(connection)

    def newest(self) -> datetime | None:
        """When the last event of the current epoch was accepted; None where it has none yet."""
        with reading_of(self._engine) as connection:
            return reading.newest(connection, self._life.epoch)

    def types_of(self, references: Sequence[str]) -> dict[str, set[str]]:
        """The types under which each of these references was sent, archived ones too; those that were not are not in it."""
        with reading_of(self._engine) as connection:
            return types_of(connection, references)

    def waiting(
        self, destination: str, limit_events: int, limit_bytes: int, after_position: int = 0, types: Types = ANY_TYPE
    ) -> list[OutboxRow]:
        """Rows for `destination` (URN) not relayed yet, oldest first; a single row may pass `limit_bytes`."""
        with reading_of(self._engine) as connection:
            return reading.waiting(connection, destination, limit_events, limit_bytes, after_position, types)

    def waiting_since(
        self, destination: str, since_utc: datetime, limit_events: int, limit_bytes: int, after_position: int, types: Types
    ) -> list[OutboxRow]:
        """The newest rows for `destination` (URN) not relayed yet and not accepted before `since_utc`, oldest of them first."""
        with reading_of(self._engine) as connection:
            return reading.waiting_since(connection, destination, since_utc, limit_events, limit_bytes, after_position, types)

    def newest_waiting(self, destination: str) -> int:
        """The highest position of what waits for a destination, 0 where nothing does."""
        with reading_of(self._engine) as connection:
            return reading.newest_waiting(connection, destination)

    def tombstones(self, destination: str, limit_events: int) -> list[OutboxRow]:
        """Rows that were withdrawn, whose tombstone has not been relayed yet, oldest first."""
        with reading_of(self._engine) as connection:
            return reading.tombstones(connection, destination, limit_events)

    def relayed(self, destination: str, relayed_before_utc: datetime | None = None) -> list[RelayedRow]:
        """Rows relayed and not settled, without their bytes, the longest out first."""
        with reading_of(self._engine) as connection:
            return reading.relayed(connection, destination, relayed_before_utc)

    def rows_at(self, positions: Sequence[int]) -> list[OutboxRow]:
        """Those of these rows that are not settled, oldest first."""
        with reading_of(self._engine) as connection:
            return reading.rows_at(connection, positions)

    def in_flight(self, destination: str) -> tuple[int, int]:
        """Events and bytes relayed and not answered yet."""
        flying = [row for row in self.relayed(destination) if row.answered_fate is None]
        return len(flying), sum(row.size_bytes for row in flying)

    def is_quiet(self) -> bool:
        """Whether nothing waits and nothing is under way; HELD is quiet."""
        with reading_of(self._engine) as connection:
            return reading.is_quiet(connection)

    def holder(self) -> str | None:
        """Who relays this outbox now."""
        with reading_of(self._engine) as connection:
            return reading.holder(connection, self._clock())

    def counts(self, but_not: Collection[str] = ()) -> list[Depth]:
        """How each destination (URN) stands, `but_not` these."""
        with reading_of(self._engine) as connection:
            return reading.depths(connection, but_not)

    def fate_of(self, event_ids: Sequence[str]) -> list[EventFate]:
        """What became so far of those of these events that are in this outbox."""
        with reading_of(self._engine) as connection:
            return reading.fates(connection, event_ids)

    def rows_of(self, reference: str) -> Sequence[Any]:
        """All versions of one declaration: rows with every column but the bytes, by name, in order of acceptance."""
        with reading_of(self._engine) as connection:
            return reading.rows_of(connection, reference)

    def kept(self, reference: str) -> list[KeptRow]:
        """All versions of one declaration with their exact bytes and the receipts that answered them."""
        with reading_of(self._engine) as connection:
            return reading.kept(connection, reference)

    def streams(self) -> Sequence[Any]:
        """Every stream: rows of destination, type, epoch, last_sequence."""
        with reading_of(self._engine) as connection:
            return reading.streams(connection)

    def beacons(self) -> list[BeaconState]:
        """What is known of every destination's beacon."""
        with reading_of(self._engine) as connection:
            return reading.beacons(connection)

    def parked_control(self) -> Sequence[Any]:
        """Control messages that were not believed: rows of digest, lane, code, times, first_seen_utc, last_seen_utc."""
        with reading_of(self._engine) as connection:
            return reading.parked(connection)

    def hindrances(self) -> list[Hindrance]:
        """What kept the relay from sending when it looked last; worth something only while a relay runs."""
        with reading_of(self._engine) as connection:
            return hindrances.noted(connection)

    def suspensions(self, *, ended: bool = False) -> list[Suspension]:
        """Those that nobody has ended (their time may be over), or with `ended` all that ever were, oldest first."""
        with reading_of(self._engine) as connection:
            return suspending.read(connection, ended=ended)

    def count_waiting(self, scope: Scope) -> int:
        """How many events wait that this scope covers."""
        with reading_of(self._engine) as connection:
            return suspending.count_waiting(connection, scope)

    def held_back(self, event_ids: Sequence[str]) -> set[str]:
        """Those of these events that a suspension holds back at this moment."""
        with reading_of(self._engine) as connection:
            return suspending.held_back(connection, event_ids, self._clock())

    def copy_standing(self) -> copying.CopyStanding | None:
        """How the second copy stands, as the process that keeps it last said; None where none ever did."""
        with reading_of(self._engine) as connection:
            return copying.standing(connection)

    def holes(self) -> int:
        """How many numbers were given in forgotten times of which nobody knows the event."""
        with reading_of(self._engine) as connection:
            return sum(row.holes for row in reading.streams(connection))

    def heads(self, house: str) -> list[StreamHead]:
        """From where on a house (URN) is to tell what it holds, for each stream to it."""
        with reading_of(self._engine) as connection:
            return recovering.heads(connection, house)

    def heads_to_ask(self, house: str) -> list[StreamHead]:
        """From where on a house (URN) would be asked if a recovery began now; while one is under way, from where on it is."""
        with reading_of(self._engine) as connection:
            under_way = recovering.state(connection).life.recovering
            return recovering.heads(connection, house) if under_way else recovering.settled_prefixes(connection, house)

    def standings_of(self, event_id: str) -> list[Standing]:
        """How each event of the version stands that this event is of; none where it is not here."""
        with reading_of(self._engine) as connection:
            return standings(connection, event_id)
