"""The outbox: what this unit sends, durable until a signed receipt has settled it. Each method is one transaction.

The parts stand beside it: `acceptance`, `recording`, `reading`, `leasing`, `parked`. When and what is sent, the relay decides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from types import MappingProxyType
from typing import Any

import structlog
from sqlalchemy import Engine

from broker.audit import Act, actor, append
from broker.outbox import (
    acceptance,
    closing_records,
    copying,
    hindrances,
    leasing,
    lives,
    parked,
    reading,
    recording,
    recovering,
    restoring,
    skews,
    suspending,
    withdrawing,
)
from broker.outbox.archived import OutboxArchive
from broker.outbox.closing_values import Wish
from broker.outbox.closings import ClosingLedger
from broker.outbox.copy_lines import CopiedEvent
from broker.outbox.cursors import Cursors
from broker.outbox.engine import one_at_a_time, open_engine, writing
from broker.outbox.engine import reading as reading_transaction
from broker.outbox.migrations import upgrade
from broker.outbox.pruning import Pruning
from broker.outbox.requests import Requests
from broker.outbox.restoring import Restored
from broker.outbox.room import UNBOUNDED, Room
from broker.outbox.second_copy import CopyPlace, SecondCopy
from broker.outbox.stages import Standing, standings
from broker.outbox.tables import audit
from broker.outbox.telling import Tellings
from broker.outbox.values import (
    ANY_TYPE,
    Acceptance,
    BeaconState,
    Depth,
    Draft,
    EventFate,
    Hindrance,
    KeptRow,
    Life,
    Occurrences,
    OutboxRow,
    Recorded,
    RecoveryState,
    RelayedRow,
    Told,
    Types,
    WithdrawalStep,
    WithdrawalWish,
    Withdrawn,
)
from broker.suspension import Scope, Suspension
from broker.trust.sealing import Recipient
from schemas.control import StreamHead
from schemas.names import Party

log = structlog.get_logger()

Clock = Callable[[], datetime]
NOBODY: Mapping[str, Recipient] = MappingProxyType({})


def now_utc() -> datetime:
    """This machine's clock."""
    return datetime.now(UTC)


class Outbox:
    """One unit's outbox. Its methods may be called from any thread and from several processes; only one of them relays."""

    def __init__(self, engine: Engine, life: Life, clock: Clock, recipients: Mapping[str, Recipient], room: Room = UNBOUNDED) -> None:
        self._engine = engine
        self._life = life
        self._clock = clock
        self._recipients = recipients
        self._room = room
        self._copy: SecondCopy | None = None

    @classmethod
    def open(
        cls,
        url: str,
        source: Party,
        environment: str,
        clock: Clock = now_utc,
        recipients: Mapping[str, Recipient] = NOBODY,
        room: Room = UNBOUNDED,
    ) -> Outbox:
        """Open the outbox of `source`, make it where there is none, and bring its tables up to date.

        What is accepted for one of `recipients` (by URN) is encrypted to it; how much is accepted is bounded by `room`.

        `url`: `sqlite:///<file>` or `postgresql+psycopg://…`. SettingsError `outbox-foreign` where it is another unit's or another
        environment's, `outbox-newer`, `outbox-url`; UnavailableError where the database does not answer.
        """
        engine = open_engine(url)
        try:
            upgrade(engine)
            with writing(engine) as connection:
                one_at_a_time(connection)
                life = lives.current_life(connection) or lives.begin_life(connection, source.urn, environment, clock())
            lives.refuse_foreign(life, source, environment)
        except BaseException:
            engine.dispose()
            raise
        return cls(engine, life, clock, recipients, room)

    def copy_to(self, place: CopyPlace, *, keeps: bool) -> None:
        """Copy every acceptance from now on. One process `keeps` the copy: it catches up what is missing, and removes what is settled."""
        self._copy = SecondCopy(place, partial(reading_transaction, self._engine), partial(writing, self._engine), self._clock, keeps=keeps)

    def close(self) -> None:
        """Finish the second copy, and close the connections to the database."""
        if self._copy is not None:
            self._copy.close()
        self._engine.dispose()

    @property
    def epoch(self) -> str:
        """The epoch of the current life, as this process knows it."""
        return self._life.epoch

    def epochs(self) -> list[str]:
        """The epochs of all its lives, oldest first."""
        with reading_transaction(self._engine) as connection:
            return [life.epoch for life, _ in reading.lives(connection)]

    def accepted(self) -> tuple[str, int]:
        """The current epoch, and how many events were accepted in it. Never less than before, but where the outbox was set back."""
        with reading_transaction(self._engine) as connection:
            return reading.accepted(connection)

    def begin_epoch(self) -> str:
        """Begin a new life: streams count from 1 again, under a new epoch. What is unsettled stays and is still sent."""
        with writing(self._engine) as connection:
            before = lives.current_life(connection) or self._life
            self._life = lives.begin_life(connection, before.source, before.environment, self._clock())
        log.warning("epoch.begun", source=self._life.source, epoch=self._life.epoch, before=before.epoch)
        return self._life.epoch

    def accept(self, drafts: Sequence[Draft]) -> list[Acceptance]:
        """Accept all drafts in one transaction; what is returned is on disk, in the order of `drafts`.

        All or nothing. ConflictError `version-conflict` where another content was accepted under the same reference and version, and
        ContentError where a draft makes no event, name the draft in `field` (`drafts.3`). UnavailableError `clock-behind` where the
        clock stands before the last accepted event, `outbox-disk-low`, `outbox-unsettled` (see `room`), `outbox-full`, `outbox-busy`,
        `outbox-away`: nothing was accepted, try again; `outbox-restored` and `outbox-recovering`: nothing will be until
        `panj post recover` has ended.
        """
        if not drafts:
            return []
        with writing(self._engine) as connection:
            # On PostgreSQL this lock makes acceptors follow each other, so that numbers have no holes and positions rise with commits.
            self._life = lives.current_life(connection) or self._life
            accepted, rows = acceptance.accept(connection, self._life, drafts, self._clock(), self._recipients, self._room)
        return accepted if self._copy is None else self._copied(self._copy, accepted, rows)

    def _copied(self, copy: SecondCopy, accepted: list[Acceptance], rows: Sequence[Mapping[str, Any]]) -> list[Acceptance]:
        """Say of each acceptance in how many copies it is; those that are new are copied first."""
        new = not rows or copy.append([copying.copied(row) for row in rows])
        old = len(rows) < len(accepted) and (copy.whole or self._whole_elsewhere())
        return [replace(each, copies=2) if (old if each.duplicate else new) else each for each in accepted]

    def _whole_elsewhere(self) -> bool:
        """Whether the process that keeps the copy says that all is in it."""
        standing = self.copy_standing()
        return standing is not None and standing.trouble is None and standing.whole

    def suspect(self, because: str) -> None:
        """Note durably that this outbox was set back, and why that is known: it accepts nothing until it has recovered."""
        with writing(self._engine) as connection:
            lives.suspect(connection, because, self._clock())

    def begin_recovery(self, houses: Sequence[str], *, everything: bool = False, reason: str = "") -> RecoveryState:
        """Begin a new life that accepts nothing until these houses (URN) have told what they hold; go on with one that has begun.

        `everything`: the outbox is not an older state but a new one, and knows nothing of what the houses may have settled.
        """
        with writing(self._engine) as connection:
            state = recovering.begin(connection, houses, self._clock(), everything=everything, reason=reason)
        self._life = state.life
        return state

    def restore(self, events: Sequence[CopiedEvent], houses: Sequence[str], *, everything: bool, reason: str) -> Restored:
        """Put in what a second copy holds and this outbox lacks, and begin to recover from these houses (URN), in one transaction.

        The events are this unit's own: who calls has seen to that. Done twice it puts nothing in twice.
        """
        with writing(self._engine) as connection:
            now = self._clock()
            state = recovering.begin(connection, houses, now, everything=everything, reason=reason)
            restored = restoring.restore(connection, state.life, events, now)
            detail = {"put_in": restored.put_in, "known": restored.known, "clashing": restored.clashing}
            append(connection, audit, Act(actor(), "outbox.restored", state.life.source, reason, detail), now)
        self._life = state.life
        log.warning("outbox.restored", source=self._life.source, epoch=self._life.epoch, **detail)
        return restored

    def recovery(self) -> RecoveryState:
        """How the outbox stands between being set back and accepting again; from then on this process knows the current life."""
        with reading_transaction(self._engine) as connection:
            state = recovering.state(connection)
        self._life = state.life
        return state

    def heads(self, house: str) -> list[StreamHead]:
        """From where on a house (URN) is to tell what it holds, for each stream to it."""
        with reading_transaction(self._engine) as connection:
            return recovering.heads(connection, house)

    def heads_to_ask(self, house: str) -> list[StreamHead]:
        """From where on a house (URN) would be asked if a recovery began now; while one is under way, from where on it is."""
        with reading_transaction(self._engine) as connection:
            under_way = recovering.state(connection).life.recovering
            return recovering.heads(connection, house) if under_way else recovering.settled_prefixes(connection, house)

    def copy_standing(self) -> copying.CopyStanding | None:
        """How the second copy stands, as the process that keeps it last said; None where none ever did."""
        with reading_transaction(self._engine) as connection:
            return copying.standing(connection)

    def recipient(self, house: str) -> Recipient | None:
        """To whom what is accepted for a house (URN) is encrypted; None where it is not."""
        return self._recipients.get(house)

    def holes(self) -> int:
        """How many numbers were given in forgotten times of which nobody knows the event."""
        with reading_transaction(self._engine) as connection:
            return sum(row.holes for row in reading.streams(connection))

    def learn(self, told: Told) -> RecoveryState:
        """Keep what a house told; once that is all, learn it in the same transaction; once all houses have, accept again."""
        with writing(self._engine) as connection:
            return recovering.keep(connection, told, self._clock())

    def ask_again(self, house: str) -> bool:
        """See whether a house (URN) that told all before should be asked once more, for what was on its way then; if so, open that."""
        with writing(self._engine) as connection:
            return recovering.ask_again(connection, house, self._clock())

    def waiting(
        self, destination: str, limit_events: int, limit_bytes: int, after_position: int = 0, types: Types = ANY_TYPE
    ) -> list[OutboxRow]:
        """Rows for `destination` (URN) not relayed yet, oldest first; a single row may pass `limit_bytes`."""
        with reading_transaction(self._engine) as connection:
            return reading.waiting(connection, destination, limit_events, limit_bytes, after_position, types)

    def waiting_since(
        self, destination: str, since_utc: datetime, limit_events: int, limit_bytes: int, after_position: int, types: Types
    ) -> list[OutboxRow]:
        """The newest rows for `destination` (URN) not relayed yet and not accepted before `since_utc`, oldest of them first."""
        with reading_transaction(self._engine) as connection:
            return reading.waiting_since(connection, destination, since_utc, limit_events, limit_bytes, after_position, types)

    def tombstones(self, destination: str, limit_events: int) -> list[OutboxRow]:
        """Rows that were withdrawn, whose tombstone has not been relayed yet, oldest first."""
        with reading_transaction(self._engine) as connection:
            return reading.tombstones(connection, destination, limit_events)

    def withdraw(self, wish: WithdrawalWish, actor: str, *, dry_run: bool = False) -> list[Withdrawn]:
        """Withdraw events that are not settled: from now on their tombstone is sent in their stead. Gives every event concerned.

        UsageError `withdraw-unknown` where there is none, ConflictError `withdraw-settled` where all are settled; nothing is done then,
        nor with `dry_run`.
        """
        with writing(self._engine) as connection:
            life = lives.current_life(connection) or self._life
            found = withdrawing.withdraw(connection, life, wish, actor, self._clock(), dry_run=dry_run)
            ids = {one.event_id for one in found if one.step is WithdrawalStep.WITHDRAWN and not dry_run}
            tombstones = copying.events_of(connection, ids) if self._copy is not None else []
        if tombstones and self._copy is not None:
            self._copy.append(tombstones)
        return found

    def relayed(self, destination: str, relayed_before_utc: datetime | None = None) -> list[RelayedRow]:
        """Rows relayed and not settled, without their bytes, the longest out first."""
        with reading_transaction(self._engine) as connection:
            return reading.relayed(connection, destination, relayed_before_utc)

    def rows_at(self, positions: Sequence[int]) -> list[OutboxRow]:
        """Those of these rows that are not settled, oldest first."""
        with reading_transaction(self._engine) as connection:
            return reading.rows_at(connection, positions)

    def in_flight(self, destination: str) -> tuple[int, int]:
        """Events and bytes relayed and not answered yet."""
        flying = [row for row in self.relayed(destination) if row.answered_fate is None]
        return len(flying), sum(row.size_bytes for row in flying)

    def record(self, occurrences: Occurrences) -> Recorded:
        """Record all that happened since the last turn, in one transaction."""
        now = self._clock()
        with writing(self._engine) as connection:
            for told in occurrences.told:
                recovering.keep(connection, told, now)  # it may send events again as new ones: the second copy must get those, too
            recording.record_relayed(connection, occurrences.relayed)
            recorded = recording.record_settlements(connection, occurrences.settlements, occurrences.receipts, now)
            measured = recording.record_beacons(connection, occurrences.sent, occurrences.returned)
            measured |= skews.record_by_receipts(connection, occurrences.receipts, occurrences.settlements, now)
            lives.look_for_set_back(connection, occurrences.returned, now)
            if occurrences.parked:
                parked.record_parked(connection, occurrences.parked, now)
            closing_records.record_wishes(connection, occurrences.wishes)
            closing_records.record_runs(connection, occurrences.runs)
            closing_records.record_manifests(connection, occurrences.manifests)
            waiting_again = closing_records.record_answers(connection, occurrences.answers, now)
        if occurrences.told and self._copy is not None:
            self._copy.look_again()
        closed = frozenset(one.destination for one in occurrences.answers)
        return replace(recorded, skews=measured, waiting_again=waiting_again, closed=closed)

    def newest(self) -> datetime | None:
        """When the last event of the current epoch was accepted; None where it has none yet."""
        with reading_transaction(self._engine) as connection:
            return reading.newest(connection, self._life.epoch)

    def ask_for_closings(self, wishes: Sequence[Wish], acts: Sequence[Act]) -> None:
        """Note that a person wants closings, and that in the audit trail; whoever relays this outbox sees it within a second."""
        with writing(self._engine) as connection:
            closing_records.record_wishes(connection, wishes)
            for act in acts:
                append(connection, audit, act, self._clock())

    @property
    def source(self) -> Party:
        """Whose outbox it is."""
        return Party.of_urn(self._life.source)

    @property
    def pruning(self) -> Pruning:
        """What of this outbox may leave it for the archive."""
        return Pruning(self._engine, self.source, self._clock)

    @property
    def requests(self) -> Requests:
        """The idempotency keys that it remembers."""
        return Requests(self._engine, self._clock)

    @property
    def archive(self) -> OutboxArchive:
        """What of this outbox is in the archive."""
        return OutboxArchive(self._engine, self.source)

    @property
    def cursors(self) -> Cursors:
        """How far tables and views of national databases were read."""
        return Cursors(self._engine, self._clock)

    @property
    def tellings(self) -> Tellings:
        """What is to be told back to the national system."""
        return Tellings(self._engine, self._clock)

    @property
    def closings(self) -> ClosingLedger:
        """What this outbox knows of its closings."""
        return ClosingLedger(self._engine, self._clock)

    def counts(self) -> list[Depth]:
        """How each destination stands."""
        with reading_transaction(self._engine) as connection:
            return reading.depths(connection)

    def is_quiet(self) -> bool:
        """Whether nothing waits and nothing is under way; HELD is quiet."""
        with reading_transaction(self._engine) as connection:
            return reading.is_quiet(connection)

    def fate_of(self, event_ids: Sequence[str]) -> list[EventFate]:
        """What became so far of those of these events that are in this outbox."""
        with reading_transaction(self._engine) as connection:
            return reading.fates(connection, event_ids)

    def standings_of(self, event_id: str) -> list[Standing]:
        """How each event of the version stands that this event is of; none where it is not here."""
        with reading_transaction(self._engine) as connection:
            return standings(connection, event_id)

    def rows_of(self, reference: str) -> Sequence[Any]:
        """All versions of one declaration: rows with every column but the bytes, by name, in order of acceptance."""
        with reading_transaction(self._engine) as connection:
            return reading.rows_of(connection, reference)

    def kept(self, reference: str) -> list[KeptRow]:
        """All versions of one declaration with their exact bytes and the receipts that answered them."""
        with reading_transaction(self._engine) as connection:
            return reading.kept(connection, reference)

    def note(self, act: Act) -> None:
        """Write an act that changes nothing here, but that is to be known, into the audit trail."""
        with writing(self._engine) as connection:
            append(connection, audit, act, self._clock())

    def beacons(self) -> list[BeaconState]:
        """What is known of every destination's beacon."""
        with reading_transaction(self._engine) as connection:
            return reading.beacons(connection)

    def streams(self) -> Sequence[Any]:
        """Every stream: rows of destination, type, epoch, last_sequence."""
        with reading_transaction(self._engine) as connection:
            return reading.streams(connection)

    def parked_control(self) -> Sequence[Any]:
        """Control messages that were not believed: rows of digest, lane, code, times, first_seen_utc, last_seen_utc."""
        with reading_transaction(self._engine) as connection:
            return reading.parked(connection)

    def note_hindrances(self, found: Mapping[tuple[str, str], str]) -> None:
        """Note what keeps the relay from sending now, by destination and code, in words."""
        with writing(self._engine) as connection:
            hindrances.note(connection, found, self._clock())

    def hindrances(self) -> list[Hindrance]:
        """What kept the relay from sending when it looked last; worth something only while a relay runs."""
        with reading_transaction(self._engine) as connection:
            return hindrances.noted(connection)

    def suspend(self, begun: Suspension) -> None:
        """Hold back from now on what it covers; what is in flight already cannot be called back."""
        with writing(self._engine) as connection:
            suspending.begin(connection, begun)

    def end_suspension(self, suspension_id: str, actor: str, reason: str) -> bool:
        """Let go what it held back; False where no such suspension is in force here."""
        with writing(self._engine) as connection:
            return suspending.end(connection, suspension_id, actor, reason, self._clock())

    def suspensions(self, *, ended: bool = False) -> list[Suspension]:
        """Those that nobody has ended (their time may be over), or with `ended` all that ever were, oldest first."""
        with reading_transaction(self._engine) as connection:
            return suspending.read(connection, ended=ended)

    def count_waiting(self, scope: Scope) -> int:
        """How many events wait that this scope covers."""
        with reading_transaction(self._engine) as connection:
            return suspending.count_waiting(connection, scope)

    def held_back(self, event_ids: Sequence[str]) -> set[str]:
        """Those of these events that a suspension holds back at this moment."""
        with reading_transaction(self._engine) as connection:
            return suspending.held_back(connection, event_ids, self._clock())

    def newest_waiting(self, destination: str) -> int:
        """The highest position of what waits for a destination, 0 where nothing does."""
        with reading_transaction(self._engine) as connection:
            return reading.newest_waiting(connection, destination)

    def holder(self) -> str | None:
        """Who relays this outbox now."""
        with reading_transaction(self._engine) as connection:
            return reading.holder(connection, self._clock())

    def lease(self, holder: str, seconds: float) -> None:
        """Become the one relay of this outbox for so long; UnavailableError `outbox-leased` names who is."""
        with writing(self._engine) as connection:
            one_at_a_time(connection)
            leasing.take(connection, holder, seconds, self._clock())

    def renew(self, holder: str, seconds: float) -> None:
        """Stay it for so long from now; UnavailableError `outbox-lease-lost` where another is by now."""
        with writing(self._engine) as connection:
            leasing.renew(connection, holder, seconds, self._clock())

    def release(self, holder: str) -> None:
        """Be it no longer."""
        with writing(self._engine) as connection:
            leasing.release(connection, holder)
